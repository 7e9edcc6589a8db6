//! The `Idempotency-Key` header.

use axum::extract::FromRequestParts;
use axum::http::{HeaderValue, Request};
use futures::executor::block_on;
use payment_service::idempotency::IdempotencyKey;

/// A header is refused, or is a key of 1 to 255 printable characters, which means the same when it is quoted.
pub(crate) fn run(data: &[u8]) {
    let Some(key) = read(data) else { return };
    let text = key.as_str();
    assert!((1..=255).contains(&text.len()));
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    assert_eq!(read(quoted.as_bytes()), Some(key), "{quoted}");
}

fn read(value: &[u8]) -> Option<IdempotencyKey> {
    let value = HeaderValue::from_bytes(value).ok()?;
    let request = Request::builder().header("idempotency-key", value).body(()).unwrap();
    let (mut parts, ()) = request.into_parts();
    block_on(IdempotencyKey::from_request_parts(&mut parts, &())).ok()
}
