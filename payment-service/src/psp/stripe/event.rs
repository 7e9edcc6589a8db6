//! Stripe's events.

use std::borrow::Cow;

use serde::Deserialize;
use time::OffsetDateTime;

use super::object::PaymentIntent;
use crate::psp::{Event, EventError, Subject};

/// What all events have.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    created: i64,
    livemode: bool,
}

/// What events about a payment have besides.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: PaymentIntent<'a>,
}

/// What a verified event says.
pub(in crate::psp) fn parse_event(raw_body: &[u8]) -> Result<Event, EventError> {
    let head: Head<'_> = serde_json::from_slice(raw_body)?;
    if head.object != "event" {
        return Err(EventError::Field { field: "object", expected: "event" });
    }
    let named =
        |text: &str| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !named(&head.id) {
        return Err(EventError::Field { field: "id", expected: "1 to 255 visible ASCII characters" });
    }
    if !named(&head.kind) {
        return Err(EventError::Field { field: "type", expected: "1 to 255 visible ASCII characters" });
    }
    let created_at = OffsetDateTime::from_unix_timestamp(head.created)
        .map_err(|_| EventError::Field { field: "created", expected: "a time in Unix seconds" })?;
    let subject = if head.kind.starts_with("payment_intent.") { payment(raw_body)? } else { Subject::Other };
    Ok(Event {
        event_id: head.id.into_owned(),
        kind: head.kind.into_owned(),
        created_at,
        livemode: head.livemode,
        subject,
    })
}

fn payment(raw_body: &[u8]) -> Result<Subject, EventError> {
    let body: Body<'_> = serde_json::from_slice(raw_body)?;
    // the account's key is never in an event: the PSP signs it, and does not know that we would mask it
    let evidence = body.data.object.evidence("").ok_or(EventError::Field {
        field: "data.object",
        expected: "a payment intent with an id that can be kept",
    })?;
    Ok(Subject::Payment(Box::new(evidence)))
}
