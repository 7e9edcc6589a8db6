//! The context of a request: its id, whose it is, and the one line that the log has of it.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use money::MerchantId;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::card_number;
use super::error::{Code, Problem};

/// The header that carries the id, in requests and in every response.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a caller.
const LONGEST: usize = 64;

tokio::task_local! {
    static CURRENT: Arc<Context>;
}

/// Names a request in our logs and in its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// A fresh id.
    #[allow(clippy::new_without_default, reason = "a default id would be a trap")]
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The caller's own id, if it is one that may stand in a log: up to 64 letters, digits and `-_.`, and nothing
    /// that looks like a card number.
    pub fn from_text(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let sound = (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed);
        (sound && !card_number::found_in(text)).then(|| Self(text.to_owned()))
    }

    fn from_headers(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
        given.and_then(Self::from_text).unwrap_or_else(Self::new)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of the request at work.
#[derive(Debug)]
struct Context {
    id: RequestId,
    span: Span,
    merchant: OnceLock<MerchantId>,
}

/// Calls `read` with the id of the request that this task answers; `None` outside of one.
pub fn current<T>(read: impl FnOnce(Option<&RequestId>) -> T) -> T {
    match CURRENT.try_with(Arc::clone) {
        Ok(context) => read(Some(&context.id)),
        Err(_) => read(None),
    }
}

/// Notes whose request this is, for its line in the log.
pub(super) fn note_merchant(merchant: MerchantId) {
    // Outside of a request there is no line; a second note is the same merchant's.
    let _ = CURRENT.try_with(|context| {
        context.span.record("merchant", tracing::field::display(merchant));
        context.merchant.set(merchant)
    });
}

/// The outermost layer: gives the request its id, turns a panic into a problem, and logs one line. The line names the
/// route and never the path, the query or a header, in which anything may stand.
pub async fn track(request: Request, next: Next) -> Response {
    let id = RequestId::from_headers(request.headers());
    let span = tracing::info_span!("request", request_id = %id, merchant = tracing::field::Empty);
    let context = Arc::new(Context { id, span: span.clone(), merchant: OnceLock::new() });
    let mut line = LogLine::begin(&request, Arc::clone(&context));
    let answer = async {
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        answered
            .unwrap_or_else(|_| Problem::new(Code::Internal).caused_by("a handler panicked").into_response())
    };
    let mut response = CURRENT.scope(Arc::clone(&context), answer.instrument(span)).await;
    line.status = Some(response.status().as_u16());
    if let Ok(value) = HeaderValue::from_str(&context.id.0) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// Writes its line when it is dropped: also when the caller went away before there was an answer.
struct LogLine {
    context: Arc<Context>,
    method: &'static str,
    route: Option<MatchedPath>,
    began: Instant,
    status: Option<u16>,
}

impl LogLine {
    fn begin(request: &Request, context: Arc<Context>) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { context, method: method_name(request.method()), route, began: Instant::now(), status: None }
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let route = self.route.as_ref().map_or("(none)", MatchedPath::as_str);
        let duration_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let merchant = self.context.merchant.get().map(tracing::field::display);
        let (method, request_id) = (self.method, &self.context.id);
        match self.status {
            Some(status) => {
                tracing::info!(target: "access", %request_id, method, route, status, duration_us, merchant, "answered");
            }
            None => {
                tracing::info!(target: "access", %request_id, method, route, duration_us, merchant, "caller left")
            }
        }
    }
}

/// The method's name if it is one that we know: another may be any text.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "(other)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_taken_over_only_if_it_may_stand_in_a_log() {
        for sound in ["a", "req_7f.3-X", &"x".repeat(64)] {
            assert_eq!(RequestId::from_text(sound).unwrap().to_string(), sound);
        }
        for unsound in ["", "a b", "a\"b", "ä", &"x".repeat(65), "4242424242424242", "id-4242-4242-4242-4242"]
        {
            assert_eq!(RequestId::from_text(unsound), None, "{unsound}");
        }
    }
}
