//! A caller of the sandbox, and a receiver of its webhooks.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use psp_sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

/// The key all callers use unless they say otherwise.
pub const KEY: &str = "sk_test_first";

/// A caller.
#[derive(Clone)]
pub struct Caller {
    pub url: String,
    pub http: reqwest::Client,
    pub secret: String,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub fn text_at(&self, pointer: &str) -> String {
        let value = self.json();
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer} of {value}")).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }
}

impl Caller {
    pub fn new(url: &str) -> Self {
        // Installed already when a sandbox runs in this process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        Self { url: url.to_owned(), http, secret: KEY.to_owned() }
    }

    pub fn with_secret(&self, secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..self.clone() }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
        let answer = request.bearer_auth(&self.secret).send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await?;
        Ok(Reply { status, headers, text: String::from_utf8_lossy(&body).into_owned() })
    }

    pub async fn try_post(
        &self,
        path: &str,
        key: &str,
        form: &[(&str, &str)],
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.http.post(format!("{}{path}", self.url)).form(form);
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        self.send(request).await
    }

    pub async fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> Reply {
        self.try_post(path, key, form).await.expect("an answer")
    }

    pub async fn try_get(&self, path: &str) -> Result<Reply, reqwest::Error> {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.try_get(path).await.expect("an answer")
    }

    pub async fn search(&self, query: &str) -> Reply {
        let url = format!("{}/v1/payment_intents/search", self.url);
        let request = self.http.get(url).query(&[("query", query)]);
        self.send(request).await.expect("an answer").ok()
    }

    /// A call to the sandbox's own API.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let reply = self.try_control(method, path, body).await.ok();
        reply.json()
    }

    /// The same, where it may be refused.
    pub async fn try_control(&self, method: &str, path: &str, body: Value) -> Reply {
        let url = format!("{}/_sandbox/{path}", self.url);
        let request = self.http.request(method.parse().expect("a method"), url).json(&body);
        self.send(request).await.expect("an answer")
    }

    pub async fn fault(&self, rule: Value) {
        self.control("POST", "faults", rule).await;
    }

    /// Creates and confirms a payment of 10.99 EUR for an order, under the operation as its key.
    pub async fn try_pay(&self, operation: &str, card: &str) -> Result<Reply, reqwest::Error> {
        self.try_post("/v1/payment_intents", operation, &payment(operation, card)).await
    }

    pub async fn pay(&self, operation: &str, card: &str) -> Reply {
        self.try_pay(operation, card).await.expect("an answer")
    }

    /// All effects, oldest first.
    pub async fn effects(&self) -> Vec<Value> {
        let page = self.control("GET", "effects?limit=10000", json!({})).await;
        page["data"].as_array().expect("effects").clone()
    }

    /// Charges noted under an operation.
    pub async fn charges_of(&self, operation: &str) -> usize {
        let effects = self.effects().await;
        let charges = effects.iter().filter(|effect| {
            effect["kind"] == "charge" && effect["metadata"]["payonce_operation"] == operation
        });
        charges.count()
    }
}

/// The form of [`Caller::pay`].
pub fn payment<'a>(operation: &'a str, card: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("amount", "1099"),
        ("currency", "eur"),
        ("confirm", "true"),
        ("payment_method", card),
        ("payment_method_types[0]", "card"),
        ("metadata[payonce_operation]", operation),
        ("metadata[order_id]", "o-1"),
    ]
}

/// A sandbox in this process and a caller of it. Search knows everything at once.
pub async fn start() -> (Sandbox, Caller) {
    let mut config = SandboxConfig::default();
    config.behaviour.search_lag_ms = 0;
    start_with(config).await
}

pub async fn start_with(config: SandboxConfig) -> (Sandbox, Caller) {
    let sandbox = Sandbox::start(config).await.expect("a sandbox");
    let caller = Caller::new(sandbox.url());
    (sandbox, caller)
}

/// One webhook as it came.
#[derive(Debug)]
pub struct Hook {
    pub signature: String,
    pub body: Vec<u8>,
}

impl Hook {
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("an event")
    }
}

/// Takes webhooks, answering with the statuses it was given first and 200 after those.
pub struct Receiver {
    pub url: String,
    hooks: mpsc::UnboundedReceiver<Hook>,
}

type Desk = (mpsc::UnboundedSender<Hook>, Arc<Mutex<Vec<StatusCode>>>);

impl Receiver {
    pub async fn start(mut statuses: Vec<StatusCode>) -> Self {
        statuses.reverse();
        let (sender, hooks) = mpsc::unbounded_channel();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let app = Router::new().route("/", post(take)).with_state((sender, Arc::new(Mutex::new(statuses))));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, hooks }
    }

    pub async fn next(&mut self) -> Hook {
        self.hooks.recv().await.expect("a webhook")
    }

    /// How many deliveries of each event came until now.
    pub fn counts(&mut self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        while let Ok(hook) = self.hooks.try_recv() {
            let id = hook.event()["id"].as_str().expect("an id").to_owned();
            *counts.entry(id).or_default() += 1;
        }
        counts
    }
}

async fn take(State((sender, statuses)): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("stripe-signature").expect("a signature");
    let signature = signature.to_str().expect("text").to_owned();
    let body = body.to_vec();
    // The test may have ended and taken the other half with it.
    let _ = sender.send(Hook { signature, body });
    statuses.lock().await.pop().unwrap_or(StatusCode::OK)
}
