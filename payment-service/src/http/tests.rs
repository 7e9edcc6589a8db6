//! The edge around handlers of the tests' own.

use std::io::Write;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use super::auth::{Auth, Payments};
use super::extract::{ApiJson, ApiPath, ApiQuery};
use super::*;
use crate::idempotency::IdempotencyKey;
use crate::merchant::KeyRing;

const CARD: &str = "4242424242424242";
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    order_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: page::Limit,
}

fn service() -> Router {
    // Nothing in here gets as far as the database.
    let pool = PgPoolOptions::new().connect_lazy("postgres://127.0.0.1:1/none").unwrap();
    let directory = Arc::new(Directory::new(pool, KeyRing::parse(&KeyRing::generate().unwrap()).unwrap()));
    let protected = Router::new()
        .route("/protected", get(async |auth: Auth<Payments>| auth.merchant_id.to_string()))
        .with_state(directory);
    let routes = Router::new()
        .route(
            "/orders",
            post(async |key: IdempotencyKey, ApiJson(order): ApiJson<Order>| order.order_id + key.as_str()),
        )
        .route("/orders/{id}", get(async |ApiPath(id): ApiPath<money::PaymentId>| id.to_string()))
        .route("/list", get(async |ApiQuery(filter): ApiQuery<Filter>| filter.limit.get().to_string()))
        .route("/panic", get(async || -> StatusCode { panic!("on purpose") }))
        .route("/stuck", get(async || std::future::pending::<StatusCode>().await))
        .merge(protected);
    edged(routes, TIMEOUT)
}

struct Reply {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Reply {
    fn problem(&self) -> Value {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.text);
        let document: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(document["status"], self.status.as_u16());
        assert_eq!(document["type"], format!("/problems/{}", document["code"].as_str().unwrap()));
        assert_eq!(document["request_id"], self.headers[request_id::HEADER].to_str().unwrap());
        document
    }
}

async fn send(request: Request) -> Reply {
    let response = service().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.into()).unwrap() }
}

fn get_request(uri: &str) -> Request {
    Request::builder().uri(uri).body(Body::empty()).unwrap()
}

fn order() -> axum::http::request::Builder {
    Request::builder()
        .method(Method::POST)
        .uri("/orders")
        .header("idempotency-key", "k")
        .header("content-type", "application/json")
}

#[tokio::test]
async fn whatever_is_refused_is_a_problem_with_its_code_and_request() {
    let long = format!(r#"{{"order_id":"{}"}}"#, "x".repeat(extract::API_BODY_LIMIT));
    for (request, status, code) in [
        (get_request("/nowhere"), 404, "not_found"),
        (get_request("/orders"), 405, "method_not_allowed"),
        (get_request("/orders/nonsense"), 422, "validation_failed"),
        (get_request("/orders/%ff"), 422, "validation_failed"),
        (get_request("/list?limit=many"), 422, "validation_failed"),
        (get_request("/list?unknown=1"), 422, "validation_failed"),
        (order().body(Body::from("[".repeat(10_000))).unwrap(), 400, "malformed_json"),
        (get_request("/protected"), 401, "unauthenticated"),
        (order().body(Body::from("{")).unwrap(), 400, "malformed_json"),
        (order().body(Body::from(vec![0xff])).unwrap(), 400, "malformed_json"),
        (order().body(Body::from("{}")).unwrap(), 422, "validation_failed"),
        (order().body(Body::from(r#"{"order_id":"o","x":1}"#)).unwrap(), 422, "validation_failed"),
        (order().body(Body::from(long)).unwrap(), 413, "body_too_large"),
        (
            order().header("idempotency-key", "k2").body(Body::from("{}")).unwrap(),
            400,
            "idempotency_key_invalid",
        ),
        (Request::post("/orders").body(Body::from("{}")).unwrap(), 400, "idempotency_key_missing"),
        (
            Request::post("/orders").header("idempotency-key", "k").body(Body::from("{}")).unwrap(),
            415,
            "unsupported_media_type",
        ),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let reply = send(request).await;
        let document = reply.problem();
        assert_eq!(
            (reply.status.as_u16(), document["code"].as_str().unwrap()),
            (status, code),
            "{what}: {document}"
        );
    }
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named_with_what_was_expected() {
    for (uri, field, detail) in [
        ("/orders/nonsense", "id", "expected a UUID such as 0198c1f2-6f3a-7b10-8a52-3f8f0e3c9d11"),
        ("/orders/%ff", "id", "expected percent-encoded UTF-8"),
        ("/list?limit=many", "limit", "expected 1 to 200"),
        ("/list?limit=0", "limit", "expected 1 to 200"),
        ("/list?limit=1&limit=2", "limit", "expected one value, found several"),
        ("/list?unknown=1", "unknown", "unknown field `unknown`, expected `limit`"),
    ] {
        let document = send(get_request(uri)).await.problem();
        assert_eq!(document["errors"], serde_json::json!([{"field": field, "detail": detail}]), "{uri}");
    }
}

#[tokio::test]
async fn a_body_that_grows_beyond_the_limit_is_refused_without_being_told_its_length() {
    let chunks = (0..).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]));
    let reply = send(order().body(Body::from_stream(futures::stream::iter(chunks))).unwrap()).await;
    assert_eq!(reply.problem()["code"], "body_too_large");
}

#[tokio::test]
async fn a_sound_request_passes_and_its_id_comes_back() {
    let request = order().header("x-request-id", "mine-1").body(Body::from(r#"{"order_id":"o-1"}"#)).unwrap();
    let reply = send(request).await;
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, "o-1k"));
    assert_eq!(reply.headers[request_id::HEADER], "mine-1");
    let reply =
        send(Request::get("/list").header("x-request-id", "not mine").body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_ne!(reply.headers[request_id::HEADER], "not mine");
}

#[tokio::test]
async fn whoever_is_not_recognised_gets_the_same_answer() {
    let mut bodies = Vec::new();
    for authorization in ["", "Bearer", "Bearer sk_test_x", "Basic eDp5", "Bearer sk_live_\u{e4}"] {
        let request =
            Request::get("/protected").header("x-request-id", "r").header("authorization", authorization);
        let reply = send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.headers[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(reply.problem()["code"], "unauthenticated");
        bodies.push(reply.text);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
}

#[test]
fn who_does_not_know_what_became_of_a_payment_is_told_to_ask_again_with_the_same_key() {
    for error in [crate::engine::PayError::Interrupted, crate::engine::PayError::Busy] {
        let problem = Problem::from(error);
        let document: Value = serde_json::from_str(&problem.render(None)).unwrap();
        assert_eq!((document["status"].as_u64(), document["retry_after"].as_u64()), (Some(503), Some(1)));
        assert!(document["detail"].as_str().unwrap().contains("the same key"), "{document}");
        assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], "1");
    }
}

#[tokio::test]
async fn a_panic_is_answered_and_tells_nothing() {
    let reply = send(get_request("/panic")).await;
    assert_eq!(reply.problem()["code"], "internal");
    assert!(!reply.text.contains("purpose"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_answered() {
    let reply = send(get_request("/stuck")).await;
    assert_eq!(
        (reply.status, reply.problem()["code"].as_str()),
        (StatusCode::GATEWAY_TIMEOUT, Some("timed_out"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let reply = send(order().body(body).unwrap()).await;
    assert_eq!(reply.problem()["code"], "body_too_slow");
}

/// Sends a request and does not wait for its answer.
async fn leave_a_request() {
    let mut answer = Box::pin(service().oneshot(get_request("/stuck")));
    assert!(futures::poll!(&mut answer).is_pending());
}

/// What is logged while it lives, by the thread that made it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to listen on this thread. Where other tests run beside it, a line that is logged for the first time may
    /// be judged by what they listen to: so every line is logged once, and then judged anew.
    async fn listen(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_max_level(level).with_writer(log.clone());
        let guard = tracing::subscriber::set_default(lines.finish());
        send(get_request("/list")).await;
        leave_a_request().await;
        tracing::callsite::rebuild_interest_cache();
        log.0.lock().unwrap().clear();
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Whether the number stands there, however its groups are separated. Four of its digits alone do so by chance in every
/// hundredth time stamp or id.
fn has_the_card(text: &str) -> bool {
    let separates = |character: char| character.is_whitespace() || "-.+".contains(character);
    text.replace("%20", " ").replace(separates, "").contains(CARD)
}

#[tokio::test]
async fn a_card_number_anywhere_is_refused_and_stands_in_no_answer_and_no_log() {
    let (log, _guard) = Log::listen(tracing::Level::TRACE).await;
    let with_key =
        |key: &str| Request::post("/orders").header("idempotency-key", key).body(Body::empty()).unwrap();
    for (request, field) in [
        (get_request(&format!("/orders/{CARD}")), "path"),
        (get_request(&format!("/nowhere/{CARD}")), "path"),
        (get_request("/orders/4242%204242%204242%204242"), "path"),
        (get_request(&format!("/list?limit={CARD}")), "query"),
        (get_request("/list?limit=4242+4242+4242+4242"), "query"),
        (with_key(CARD), "Idempotency-Key"),
        (with_key("\"4242-4242-4242-4242\""), "Idempotency-Key"),
        (order().body(Body::from(format!(r#"{{"order_id":"{CARD}"}}"#))).unwrap(), "order_id"),
        (order().body(Body::from(format!(r#"{{"order_id":{CARD}}}"#))).unwrap(), "order_id"),
        (order().body(Body::from(format!(r#"{{"{CARD}":1}}"#))).unwrap(), "a key of body"),
        (order().body(Body::from(r#"{"order_id":"\u0034242 4242 4242 4242"}"#)).unwrap(), "order_id"),
        (order().body(Body::from(format!(r#"{{"order_id":"{CARD}"#))).unwrap(), "body"),
    ] {
        let what = request.uri().clone();
        let reply = send(request).await;
        let document = reply.problem();
        assert_eq!(document["code"], "card_number_refused", "{what}: {document}");
        assert_eq!(document["errors"][0]["field"], field, "{what}");
        assert!(!has_the_card(&reply.text), "{what}: {}", reply.text);
    }
    let id = Request::get("/list").header("x-request-id", CARD).body(Body::empty()).unwrap();
    assert_eq!(send(id).await.status, StatusCode::OK);
    let method = Request::builder().method(CARD).uri("/list").body(Body::empty()).unwrap();
    assert_eq!(send(method).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let text = log.text();
    assert_eq!(text.matches("answered").count(), 14, "{text}");
    assert!(!has_the_card(&text), "{text}");
}

#[tokio::test]
async fn each_request_is_one_line_with_its_route_and_without_its_path() {
    let (log, _guard) = Log::listen(tracing::Level::INFO).await;
    let id = money::PaymentId::new();
    let request =
        Request::get(format!("/orders/{id}?secret=1")).header("x-request-id", "r-1").body(Body::empty());
    assert_eq!(send(request.unwrap()).await.text, id.to_string());
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in
        ["INFO access: answered", "request_id=r-1", "method=\"GET\"", "route=\"/orders/{id}\"", "status=200"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains(&id.to_string()) && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_caller_that_leaves_is_logged_too() {
    let (log, _guard) = Log::listen(tracing::Level::INFO).await;
    leave_a_request().await;
    assert!(log.text().contains("caller left"), "{}", log.text());
}

/// The program's text, but for its tests and for the table of the codes.
fn sources(folder: &std::path::Path, found: &mut String) {
    for entry in folder.read_dir().unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.ends_with("http/error.rs") && !path.ends_with("http/tests.rs") {
            found.push_str(std::fs::read_to_string(&path).unwrap().split("#[cfg(test)]").next().unwrap());
        }
    }
}

#[test]
fn every_code_that_is_described_is_given_to_somebody() {
    // the conversion of what the database says
    let mut text = "Code::Internal ".to_owned();
    sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    let unused = Code::ALL.iter().filter(|code| !text.contains(&format!("Code::{code:?}")));
    assert_eq!(unused.collect::<Vec<_>>(), Vec::<&Code>::new());
}

#[test]
fn the_description_names_every_route_and_how_it_is_secured() {
    let api = serde_json::to_value(openapi()).unwrap();
    assert_eq!(api["info"]["title"], "Payonce");
    assert_eq!(api["security"][0]["api_key"], serde_json::json!([]));
    assert_eq!(api["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
    for path in ["/healthz", "/readyz", "/v1/payments", "/v1/webhooks/{psp_account}"] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    let code = &api["components"]["schemas"]["Code"]["enum"];
    assert_eq!(code.as_array().unwrap().len(), Code::ALL.len());
    assert!(code.as_array().unwrap().iter().any(|code| code == "card_number_refused"));
}
