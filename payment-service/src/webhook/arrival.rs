//! What is kept of a body that the PSP has signed: everything, whether or not it can be read.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::http::card_number;
use crate::psp::{self, Event, Psp};

/// A signed body, as the inbox keeps it.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The PSP's name of the event; where it has none, one that follows from the body.
    pub event_id: String,
    pub kind: String,
    pub created_at: OffsetDateTime,
    /// The body, without what Postgres cannot hold and without card numbers.
    pub payload: Value,
    /// What it says, or why that cannot be read.
    pub event: Result<Event, String>,
}

impl Arrival {
    pub fn of(psp: Psp, raw_body: &[u8], now: OffsetDateTime) -> Self {
        let mut payload = serde_json::from_slice(raw_body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(raw_body).into_owned()));
        scrub(&mut payload);
        match psp::parse_event(psp, raw_body) {
            Ok(event) => Self {
                event_id: event.event_id.clone(),
                kind: event.kind.clone(),
                created_at: event.created_at,
                payload,
                event: Ok(event),
            },
            Err(problem) => Self {
                event_id: name(&payload, "id").unwrap_or_else(|| unnamed(raw_body)),
                kind: name(&payload, "type").unwrap_or_else(|| "unreadable".to_owned()),
                created_at: now,
                payload,
                event: Err(problem.to_string()),
            },
        }
    }
}

fn name(payload: &Value, field: &str) -> Option<String> {
    let text = payload.get(field)?.as_str()?;
    let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
}

/// The same for a repeat of the same bytes.
fn unnamed(raw_body: &[u8]) -> String {
    format!("unnamed-{}", hex::encode(&Sha256::digest(raw_body)[..16]))
}

fn scrub(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            if card_number::found_in(&number.to_string()) {
                *value = Value::String(MASK.to_owned());
            }
        }
        Value::String(text) => *text = scrubbed(text),
        Value::Array(values) => values.iter_mut().for_each(scrub),
        Value::Object(fields) => {
            for (key, mut value) in std::mem::take(fields) {
                scrub(&mut value);
                fields.insert(scrubbed(&key), value);
            }
        }
    }
}

const MASK: &str = "[card number]";

fn scrubbed(text: &str) -> String {
    // jsonb has no place for NUL
    let mut text = text.replace('\0', "\u{fffd}");
    while let Some(range) = card_number::find_card_number(&text) {
        text.replace_range(range, MASK);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn arrival(body: &[u8]) -> Arrival {
        Arrival::of(Psp::Stripe, body, NOW)
    }

    #[test]
    fn what_cannot_be_read_is_kept_under_its_name() {
        let odd = json!({"object": "event", "id": "evt_1", "type": "payment_intent.succeeded", "created": 1, "livemode": false,
                         "data": {"object": {"id": "pi_1", "object": "payment_intent", "status": "as never before"}}});
        let kept = arrival(odd.to_string().as_bytes());
        assert_eq!((kept.event_id.as_str(), kept.kind.as_str()), ("evt_1", "payment_intent.succeeded"));
        assert!(kept.event.is_err());
        assert_eq!(kept.payload, odd);

        let nothing = arrival(b"not json \xff");
        assert_eq!(nothing.event_id, arrival(b"not json \xff").event_id, "a repeat is known again");
        assert_ne!(nothing.event_id, arrival(b"not json").event_id);
        assert_eq!(nothing.payload, json!("not json \u{fffd}"));
    }

    #[test]
    fn no_card_number_and_nothing_that_postgres_refuses_is_kept() {
        let body = json!({"id": "evt_1", "note": "paid with 4242 4242 4242 4242, a\u{0}b", "n": 4_242_424_242_424_242_i64,
                          "at": 1_767_225_600_123_i64, "4242424242424242": ["4242-4242-4242-4242"]});
        let kept = arrival(body.to_string().as_bytes()).payload;
        assert_eq!(
            kept,
            json!({"id": "evt_1", "note": "paid with [card number], a\u{fffd}b", "n": "[card number]",
                   "at": 1_767_225_600_123_i64, "[card number]": ["[card number]"]})
        );
    }
}
