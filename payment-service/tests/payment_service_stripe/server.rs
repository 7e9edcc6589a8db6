//! A PSP of raw TCP that does what a script says, down to breaking off in the middle of a byte stream.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Every byte, for comparing.
    pub raw: String,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.raw.split("\r\n").skip(1).take_while(|line| !line.is_empty());
        lines
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The decoded form, in the order sent.
    pub fn form(&self) -> Vec<(String, String)> {
        decoded(&self.body)
    }

    /// The decoded query.
    pub fn query(&self) -> Vec<(String, String)> {
        decoded(self.path.split_once('?').map_or("", |(_, query)| query))
    }

    /// `METHOD path`, without the query.
    pub fn call(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

fn decoded(pairs: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://form/?{pairs}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// What is answered to one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A whole answer.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The connection ends without one.
    Nothing,
    /// The connection is reset, and nobody listens any more.
    ResetAndGone,
    /// The connection stays open and silent.
    Silence,
    /// The beginning of an answer, then a byte now and again for ever.
    Drip,
    /// An answer that says it is longer than it is.
    BrokenOff,
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Answer { status, headers: vec![("Request-Id", "req_lab".to_owned())], body: body.to_string() }
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: vec![], body: body.into() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// A PSP that listens while this lives.
pub struct ScriptedPsp {
    pub base_url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    _stop: DropGuard,
}

type Script = Arc<Mutex<dyn FnMut(&Request) -> Reply + Send>>;

struct Shared {
    script: Script,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    stop: CancellationToken,
    /// Set once nobody listens any more.
    gone: CancellationToken,
}

impl ScriptedPsp {
    pub async fn start(script: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(Shared {
            script: Arc::new(Mutex::new(script)),
            requests: Arc::clone(&requests),
            connections: Arc::clone(&connections),
            stop: CancellationToken::new(),
            gone: CancellationToken::new(),
        });
        let stop = shared.stop.clone().drop_guard();
        tokio::spawn(listen(listener, shared));
        Self { base_url, requests, connections, _stop: stop }
    }

    /// A PSP that answers these in turn, and nothing when they are used up.
    pub async fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
        Self::start(move |_| replies.next().unwrap_or(Reply::Nothing)).await
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// `METHOD path` of each request.
    pub fn calls(&self) -> Vec<String> {
        self.requests().iter().map(Request::call).collect()
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        }
    }
    drop(listener);
    shared.gone.cancel();
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(request) = read(&mut stream).await {
        let reply = (shared.script.lock().unwrap())(&request);
        shared.requests.lock().unwrap().push(request);
        match reply {
            Reply::Answer { status, headers, body } => {
                let headers: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Nothing => return,
            Reply::ResetAndGone => {
                shared.stop.cancel();
                shared.gone.cancelled().await;
                return stream.set_zero_linger().unwrap();
            }
            Reply::Silence => return shared.stop.cancelled().await,
            Reply::BrokenOff => {
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n{\"id\":").await;
                return;
            }
            Reply::Drip => {
                let mut now_and_again = tokio::time::interval(Duration::from_millis(5));
                let mut written =
                    stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n").await;
                while written.is_ok() && !shared.stop.is_cancelled() {
                    now_and_again.tick().await;
                    written = stream.write_all(b" ").await;
                }
                return;
            }
        }
    }
}

/// The next request, or nothing when the client is done.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut words = text.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let mut request = Request { method, path, raw: text, body: String::new() };
    let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    assert_eq!(bytes.len(), head + length, "one request at a time");
    request.body = String::from_utf8(bytes[head..].to_vec()).unwrap();
    request.raw.push_str(&request.body);
    Some(request)
}
