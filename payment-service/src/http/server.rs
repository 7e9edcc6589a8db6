//! Accepting connections, and letting go of them in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Patient;

/// How long a request's head may take to arrive, and how long a connection may wait for its next request.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// The largest head of a request, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;

/// The pause after the system had no file descriptor to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled, then until every request in flight is answered. Whoever cannot wait so long drops
/// the future. At most `most` callers are connected at one time; the system lets others wait.
pub async fn serve(listener: TcpListener, router: Router, most: usize, stop: CancellationToken) {
    let (connections, room) = (TaskTracker::new(), Arc::new(Semaphore::new(most)));
    let mut told = false;
    loop {
        let free = room.available_permits();
        if free == 0 && !told {
            tracing::warn!(connections = most, "as many callers are connected as may be: others wait");
        }
        told = free == 0 || (told && free < most / 2);
        let place = Arc::clone(&room).acquire_owned();
        let Some(Ok(place)) = stop.run_until_cancelled(place).await else { break };
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { break };
        match accepted {
            Ok((stream, _)) => {
                let conversation = converse(stream, router.clone(), stop.clone());
                connections.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(error) if is_the_callers(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn converse(stream: TcpStream, router: Router, stop: CancellationToken) {
    // An answer is one write; waiting for more would only delay it. Without it the answer comes all the same.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is the caller's affair: there is nobody left to tell.
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Errors of one connection that was gone before it was accepted.
fn is_the_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    struct Running {
        address: std::net::SocketAddr,
        stop: CancellationToken,
        server: JoinHandle<()>,
    }

    async fn run(router: Router) -> Running {
        run_for(100, router).await
    }

    async fn run_for(most: usize, router: Router) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let server = tokio::spawn(serve(listener, router, most, stop.clone()));
        Running { address, stop, server }
    }

    async fn to_the_end(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn what_is_in_flight_is_answered_after_the_stop_and_nothing_new_is_taken() {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
            async move || {
                entered.notify_one();
                release.notified().await;
                "late"
            }
        };
        let Running { address, stop, server } = run(Router::new().route("/", get(handler))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        entered.notified().await;
        stop.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!server.is_finished());
        release.notify_one();
        let text = to_the_end(stream).await;
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("late"), "{text}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_waits_for_its_next_request_holds_nothing_up() {
        let Running { address, stop, server } = run(Router::new().route("/", get(async || "first"))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"first") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        stop.cancel();
        assert_eq!(to_the_end(stream).await, "");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn one_caller_more_than_may_be_connected_waits_for_a_place() {
        let Running { address, stop, server } =
            run_for(2, Router::new().route("/", get(async || "here"))).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let second = TcpStream::connect(address).await.unwrap();
        // whose turn it was is told by an answer
        first.write_all(REQUEST).await.unwrap();
        assert_ne!(first.read(&mut [0; 100]).await.unwrap(), 0);
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(REQUEST).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(300), third.read(&mut [0; 100])).await;
        assert!(waited.is_err(), "it was answered before there was a place");
        drop(second);
        assert_ne!(third.read(&mut [0; 100]).await.unwrap(), 0);
        stop.cancel();
        drop((first, third));
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_caller_that_reads_nothing_does_not_hold_up_the_end() {
        let large = vec![b'x'; 64 * 1024 * 1024];
        let Running { address, stop, server } =
            run(Router::new().route("/", get(async move || large.clone()))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(REQUEST).await.unwrap();
        assert_ne!(stream.read(&mut [0; 100]).await.unwrap(), 0);
        stop.cancel();
        // longer than a write may stall
        tokio::time::timeout(Duration::from_secs(20), server).await.expect("it ends").unwrap();
    }

    #[tokio::test]
    async fn a_refusal_reaches_a_caller_that_is_still_sending() {
        let refuse = Router::new().route("/", axum::routing::post(async || "no"));
        let Running { address, stop, server } = run(refuse).await;
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            for _ in 0..50 {
                stream.write_all(&[b'x'; 10_000]).await.unwrap();
            }
            let mut text = [0; 100];
            let read = stream.read(&mut text).await.unwrap();
            assert!(text[..read].starts_with(b"HTTP/1.1 200"), "{:?}", str::from_utf8(&text[..read]));
        }
        stop.cancel();
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_is_not_waited_for() {
        let Running { address, stop, server } = run(Router::new()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        let text = to_the_end(stream).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
        stop.cancel();
        server.await.unwrap();
    }
}
