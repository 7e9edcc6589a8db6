//! Closed-loop clients: each sends its next request when the one before is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::figures::Latencies;
use super::wire::{Connection, Reply};
use crate::Error;

/// What a client sends, and what it expects.
pub trait Script: Clone + Send + 'static {
    /// Puts the next request of this client into `request`, which is empty.
    fn next(&mut self, request: &mut Vec<u8>);

    /// Whether this is the answer that a request should get.
    fn is_right(&self, reply: Reply<'_>) -> bool;
}

/// For how long there is a load.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Before anything is measured.
    pub warm_up: Duration,
    /// While it is.
    pub measured: Duration,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured<S> {
    /// Of the requests that were answered in the window.
    pub latencies: Latencies,
    /// How long it really was.
    pub span: Duration,
    /// What `sample` said over the window: its value at the end, and the one at the beginning.
    pub samples: [S; 2],
}

/// Runs `clients` clients, each with the script that `script` makes for its number.
///
/// # Errors
/// When a connection fails, or an answer is not right.
pub async fn run<T: Script, S>(
    address: SocketAddr,
    clients: usize,
    window: Window,
    mut script: impl FnMut(usize) -> T,
    sample: impl Fn() -> S,
) -> Result<Measured<S>, Error> {
    let begin = Instant::now() + window.warm_up;
    let end = begin + window.measured;
    let mut running = JoinSet::new();
    for number in 0..clients {
        running.spawn(client(address, script(number), begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let (first, began) = (sample(), Instant::now());
    tokio::time::sleep_until(end.into()).await;
    let (last, ended) = (sample(), Instant::now());
    let mut latencies = Vec::new();
    while let Some(done) = running.join_next().await {
        latencies.extend(done.map_err(|error| Error::Unexpected(error.to_string()))??);
    }
    Ok(Measured { latencies: Latencies::new(latencies), span: ended - began, samples: [last, first] })
}

async fn client<T: Script>(
    address: SocketAddr,
    mut script: T,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>, Error> {
    let mut connection =
        Connection::open(address).await.map_err(Error::io(format_args!("connect to {address}")))?;
    let mut latencies = Vec::new();
    let mut request = Vec::with_capacity(1024);
    loop {
        request.clear();
        script.next(&mut request);
        let sent = Instant::now();
        let reply = connection.call(&request).await.map_err(Error::io(format_args!("call {address}")))?;
        if !script.is_right(reply) {
            let said = String::from_utf8_lossy(reply.body).into_owned();
            return Err(Error::Unexpected(format!("{address} answered {}: {said}", reply.status)));
        }
        let answered = Instant::now();
        if answered >= end {
            return Ok(latencies);
        }
        if answered >= begin {
            latencies.push(answered - sent);
        }
    }
}
