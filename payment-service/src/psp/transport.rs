use std::error::Error;
use std::fmt::Write;
use std::sync::Once;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Request, StatusCode, redirect, retry};
use tokio::time::{Instant, timeout_at};

/// How the connectors talk. The defaults suit a PSP on the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a connection may take to come about, TLS included. Shorter than `try_timeout`, so that a PSP that
    /// cannot be reached is told apart from one that does not answer.
    pub connect_timeout: Duration,
    /// How long one try may take from its first byte to the end of its answer.
    pub try_timeout: Duration,
    /// A resend with less time than this left is not begun: cut off, it would leave in doubt what was clear.
    pub shortest_try: Duration,
    /// The mean pause before the first resend; it doubles with each one, with jitter of a half around it.
    pub first_pause: Duration,
    /// The longest mean pause.
    pub longest_pause: Duration,
    /// How many resends each hundred calls pay for.
    pub resends_per_hundred_calls: u32,
    /// How many resends each second allows besides.
    pub resends_per_second: u32,
    /// How many resends may be saved up.
    pub resend_burst: u32,
    /// The longest answer that is read, in bytes.
    pub answer_limit: usize,
    /// How many idle connections are kept for each PSP.
    pub idle_connections: usize,
    /// How long a connection is kept without use: less than PSPs keep theirs, lest a request meets a closing one.
    pub idle_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            try_timeout: Duration::from_secs(20),
            shortest_try: Duration::from_millis(500),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            resends_per_hundred_calls: 20,
            resends_per_second: 10,
            resend_burst: 100,
            answer_limit: 1024 * 1024,
            idle_connections: 1024,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for PSPs cannot be set up")]
pub struct ClientError(#[from] reqwest::Error);

/// One HTTP exchange at a time, each bounded in time and size.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) client: Client,
    answer_limit: usize,
}

/// An answer: its status line and headers came; its body perhaps.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Vec<u8>, BodyLost>,
}

/// Why there is no whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyLost {
    TooLarge,
    BrokenOff(String),
    Late,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoResponse {
    /// No connection came about: not a byte of the request left.
    Unreached(String),
    /// The request, or a part of it, may have arrived.
    Lost(String),
    /// As `Lost`: time was up.
    Late,
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Result<Self, ClientError> {
        install_tls_provider();
        let client = Client::builder()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(settings.connect_timeout)
            .pool_max_idle_per_host(settings.idle_connections)
            .pool_idle_timeout(settings.idle_timeout)
            .user_agent("payonce/1")
            .build()?;
        Ok(Self { client, answer_limit: settings.answer_limit })
    }

    /// Sends once and reads the answer until `until`.
    pub(super) async fn send(&self, request: Request, until: Instant) -> Result<Response, NoResponse> {
        let mut answer = match timeout_at(until, self.client.execute(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                return Err(NoResponse::Unreached(in_words(error)));
            }
            Ok(Err(error)) => return Err(NoResponse::Lost(in_words(error))),
            Err(_) => return Err(NoResponse::Late),
        };
        let body = match timeout_at(until, self.read(&mut answer)).await {
            Ok(body) => body,
            Err(_) => Err(BodyLost::Late),
        };
        Ok(Response { status: answer.status(), headers: std::mem::take(answer.headers_mut()), body })
    }

    async fn read(&self, answer: &mut reqwest::Response) -> Result<Vec<u8>, BodyLost> {
        let announced = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if announced > self.answer_limit {
            return Err(BodyLost::TooLarge);
        }
        let mut body = Vec::with_capacity(announced);
        while let Some(chunk) = answer.chunk().await.map_err(|error| BodyLost::BrokenOff(in_words(error)))? {
            if body.len() + chunk.len() > self.answer_limit {
                return Err(BodyLost::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// The error and its causes, without the address, which may hold what nobody should read.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(words, ": {error}");
        cause = error.source();
    }
    words
}

/// The client finds its TLS provider in the process; whoever comes first installs it.
pub(crate) fn install_tls_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // an error means that the program has chosen one already, which is as good
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
