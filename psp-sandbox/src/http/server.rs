//! The listener, and connections that can be cut without a byte of an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::{api, authentication, checkout, control};
use crate::core::Core;
use crate::fault::Close;

const OPEN: u8 = 0;
const RESET: u8 = 1;
const FIN: u8 = 2;

/// A connection's far end, and the means to cut it.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    cut: Arc<AtomicU8>,
}

impl Peer {
    /// From now on nothing leaves: the next write fails and the connection closes.
    pub fn cut(&self, how: Close) {
        let how = match how {
            Close::Reset => RESET,
            Close::Fin => FIN,
        };
        self.cut.store(how, Ordering::Release);
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

impl Connected<IncomingStream<'_, Sockets>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Sockets>) -> Self {
        stream.remote_addr().clone()
    }
}

struct Sockets(TcpListener);

impl Listener for Sockets {
    type Io = Socket;
    type Addr = Peer;

    async fn accept(&mut self) -> (Socket, Peer) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be late");
        }
        let cut = Arc::new(AtomicU8::new(OPEN));
        let peer = Peer { address, cut: Arc::clone(&cut) };
        (Socket { stream, cut }, peer)
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.0.local_addr()?, cut: Arc::default() })
    }
}

/// A TCP stream that stops writing when it is cut.
struct Socket {
    stream: TcpStream,
    cut: Arc<AtomicU8>,
}

impl Socket {
    fn check(&self) -> io::Result<()> {
        match self.cut.load(Ordering::Acquire) {
            OPEN => Ok(()),
            how => {
                if how == RESET {
                    // Closing then sends a reset instead of an orderly end.
                    self.stream.set_zero_linger()?;
                }
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Serves until the sandbox shuts down.
pub async fn serve(listener: TcpListener, core: Arc<Core>) {
    let shutdown = core.shutdown.clone();
    let app = Router::new()
        .nest("/_sandbox", control::routes())
        .merge(authentication::routes())
        .merge(checkout::routes())
        .fallback(api::handle)
        .with_state(core);
    let app = app.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(Sockets(listener), app).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "serving ended");
    }
}
