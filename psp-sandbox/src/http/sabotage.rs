//! What may happen to an answer on its way back.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, HeaderValue};
use axum::response::Response;
use futures::stream;
use serde_json::Value;

use super::answer::{Answer, Envelope};
use super::server::Peer;
use crate::core::Core;
use crate::fault::{Close, Fault, When};

/// The sandbox stopped while a call hung.
pub struct Stopped;

/// Hangs until hung calls are released.
pub async fn hang(core: &Core) -> Result<(), Stopped> {
    struct Hanging<'a>(&'a Core);
    impl Drop for Hanging<'_> {
        fn drop(&mut self) {
            self.0.hanging.send_modify(|count| *count -= 1);
        }
    }
    // Subscribed before it is counted: a release that follows the count cannot be missed.
    let mut released = core.released.subscribe();
    core.hanging.send_modify(|count| *count += 1);
    let _hanging = Hanging(core);
    tokio::select! {
        _ = released.changed() => Ok(()),
        () = core.shutdown.cancelled() => Err(Stopped),
    }
}

/// Sends an answer as a fault has it.
pub async fn spoil(
    core: &Arc<Core>,
    mut answer: Answer,
    fault: Fault,
    peer: &Peer,
    envelope: &Envelope,
) -> Response {
    match fault {
        Fault::DropReply { close } => peer.cut(close),
        Fault::Hang { when: When::After } => {
            if hang(core).await.is_err() {
                peer.cut(Close::Reset);
            }
        }
        Fault::ServerError { should_retry, .. } => answer.should_retry = should_retry,
        Fault::SlowDrip { bytes, interval_ms } => {
            let body = drip(&answer.body, bytes, Duration::from_millis(interval_ms.into()));
            return answer.respond_with(envelope, body);
        }
        Fault::GarbageBody => answer.body = b"<html>\0\xff upstream says hello {\"id\":".to_vec(),
        Fault::TruncatedBody => return truncated(&answer, envelope),
        Fault::HugeBody { bytes } => return huge(&answer, bytes, envelope),
        Fault::WrongReply { .. } => answer.body = wrong(&answer.body, &fault),
        Fault::Hang { when: When::Before }
        | Fault::DropRequest { .. }
        | Fault::RateLimited { .. }
        | Fault::LockTimeout
        | Fault::Unavailable { .. }
        | Fault::Latency { .. } => {}
    }
    answer.respond(envelope)
}

/// A body that comes a few bytes at a time.
fn drip(body: &[u8], bytes: u32, interval: Duration) -> Body {
    let at_once = usize::try_from(bytes).unwrap_or(usize::MAX).max(1);
    let rest = Bytes::copy_from_slice(body);
    Body::from_stream(stream::unfold(rest, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(interval).await;
        let part = rest.split_to(at_once.min(rest.len()));
        Some((Ok::<_, Infallible>(part), rest))
    }))
}

/// Half of the body under the length of all of it, and then the end of the connection.
fn truncated(answer: &Answer, envelope: &Envelope) -> Response {
    let half = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
    let parts = [Ok(half), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    let body = Body::from_stream(stream::iter(parts));
    let mut response = answer.respond_with(envelope, body);
    let length = HeaderValue::from(answer.body.len());
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// Valid JSON with far too much space in it, made as it is sent.
fn huge(answer: &Answer, bytes: u64, envelope: &Envelope) -> Response {
    static SPACE: [u8; 64 << 10] = [b' '; 64 << 10];
    let end = answer.body.clone();
    let parts = (0..bytes.div_ceil(SPACE.len() as u64)).map(|_| Bytes::from_static(&SPACE));
    let parts = parts.chain(std::iter::once(Bytes::from(end)));
    let body = Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)));
    answer.respond_with(envelope, body)
}

/// The body with some of it replaced.
fn wrong(body: &[u8], fault: &Fault) -> Vec<u8> {
    let Fault::WrongReply { amount, currency, metadata, status } = fault else {
        return body.to_vec();
    };
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return body.to_vec();
    };
    if let Some(amount) = amount {
        fields.insert("amount".to_owned(), (*amount).into());
        if fields.contains_key("amount_received") {
            fields.insert("amount_received".to_owned(), (*amount).into());
        }
    }
    for (name, value) in [("currency", currency), ("status", status)] {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value.as_str().into());
        }
    }
    if let Some(Value::Object(pairs)) = fields.get_mut("metadata") {
        for (key, value) in metadata {
            pairs.insert(key.clone(), value.as_str().into());
        }
    }
    serde_json::to_vec(&Value::Object(fields)).unwrap_or_else(|_| body.to_vec())
}
