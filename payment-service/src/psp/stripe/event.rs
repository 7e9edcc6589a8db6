//! Stripe's events.

use std::borrow::Cow;

use serde::Deserialize;
use time::OffsetDateTime;

use super::object::{CheckoutSession, Dispute, PaymentIntent, Payout, PayoutName, Refund};
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

/// What events about an object that we read have besides.
#[derive(Deserialize)]
struct Body<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    object: T,
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
    let subject = match head.kind.as_ref() {
        kind if kind.starts_with("payment_intent.") => payment(raw_body)?,
        kind if kind.starts_with("checkout.session.") => page(raw_body)?,
        kind if kind.starts_with("refund.") => refund(raw_body)?,
        kind if kind.starts_with("charge.dispute.") => dispute(raw_body, created_at)?,
        kind if kind.starts_with("payout.") => payout(raw_body)?,
        // Stripe's older name of the same, kept for some accounts
        "charge.refund.updated" => refund(raw_body)?,
        _ => Subject::Other,
    };
    Ok(Event {
        event_id: head.id.into_owned(),
        kind: head.kind.into_owned(),
        created_at,
        livemode: head.livemode,
        subject,
    })
}

fn payment(raw_body: &[u8]) -> Result<Subject, EventError> {
    let body: Body<PaymentIntent<'_>> = serde_json::from_slice(raw_body)?;
    // the account's key is never in an event: the PSP signs it, and does not know that we would mask it
    let evidence = body.data.object.evidence("").ok_or(EventError::Field {
        field: "data.object",
        expected: "a payment intent with an id that can be kept",
    })?;
    Ok(Subject::Payment(Box::new(evidence)))
}

fn page(raw_body: &[u8]) -> Result<Subject, EventError> {
    let body: Body<CheckoutSession<'_>> = serde_json::from_slice(raw_body)?;
    let evidence = body.data.object.evidence("").ok_or(EventError::Field {
        field: "data.object",
        expected: "a checkout session with an id that can be kept and a status",
    })?;
    Ok(Subject::Payment(Box::new(evidence)))
}

fn refund(raw_body: &[u8]) -> Result<Subject, EventError> {
    let body: Body<Refund<'_>> = serde_json::from_slice(raw_body)?;
    let evidence = body.data.object.evidence("").ok_or(EventError::Field {
        field: "data.object",
        expected: "a refund with an id that can be kept",
    })?;
    Ok(Subject::Refund(Box::new(evidence)))
}

/// Those that Stripe makes by itself name no operation, and whatever else they say is not for us.
fn payout(raw_body: &[u8]) -> Result<Subject, EventError> {
    let named: Result<Body<PayoutName<'_>>, _> = serde_json::from_slice(raw_body);
    if !named.is_ok_and(|body| body.data.object.names_operation()) {
        return Ok(Subject::Other);
    }
    let body: Body<Payout<'_>> = serde_json::from_slice(raw_body)?;
    let evidence = body.data.object.evidence("").ok_or(EventError::Field {
        field: "data.object",
        expected: "a payout with an id that can be kept",
    })?;
    Ok(Subject::Payout(Box::new(evidence)))
}

fn dispute(raw_body: &[u8], at: OffsetDateTime) -> Result<Subject, EventError> {
    let body: Body<Dispute<'_>> = serde_json::from_slice(raw_body)?;
    let evidence = body.data.object.evidence(at).ok_or(EventError::Field {
        field: "data.object",
        expected: "a dispute with an id and amounts that can be kept",
    })?;
    Ok(Subject::Dispute(Box::new(evidence)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::psp::{Decline, PayoutState, RefundState, State, decline};

    fn event(kind: &str, object: Value) -> Value {
        json!({
            "id": "evt_1", "object": "event", "type": kind, "created": 1_700_000_000, "livemode": false,
            "api_version": "2026-08-26.dahlia", "pending_webhooks": 1, "request": {"id": null, "idempotency_key": null},
            "data": {"object": object},
        })
    }

    fn intent(status: &str) -> Value {
        json!({
            "id": "pi_1", "object": "payment_intent", "amount": 500, "currency": "jpy", "status": status,
            "metadata": {"payonce_operation": "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"},
        })
    }

    fn parse(event: &Value) -> Result<Event, EventError> {
        parse_event(event.to_string().as_bytes())
    }

    #[test]
    fn an_event_about_a_payment_carries_its_evidence() {
        let event = parse(&event("payment_intent.succeeded", intent("succeeded"))).unwrap();
        assert_eq!((event.event_id.as_str(), event.kind.as_str()), ("evt_1", "payment_intent.succeeded"));
        assert_eq!(event.created_at.unix_timestamp(), 1_700_000_000);
        assert!(!event.livemode);
        let Subject::Payment(evidence) = event.subject else { panic!("{event:?}") };
        assert_eq!(evidence.reference.as_str(), "pi_1");
        assert_eq!(evidence.operation_id.unwrap().to_string(), "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae");
        assert_eq!(evidence.amount.unwrap().to_string(), "500 JPY");
        assert_eq!(evidence.state, State::Succeeded);
    }

    #[test]
    fn a_payment_of_somebody_else_names_no_operation() {
        for metadata in [Value::Null, json!({}), json!({"payonce_operation": "theirs"})] {
            let mut object = intent("processing");
            object["metadata"] = metadata;
            match parse(&event("payment_intent.processing", object)).unwrap().subject {
                Subject::Payment(evidence) => assert_eq!(evidence.operation_id, None),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_event_about_a_page_says_whether_it_is_closed_and_leaves_the_rest_to_be_asked() {
        let page = |status: &str| {
            json!({
                "id": "cs_test_1", "object": "checkout.session", "amount_total": 500, "currency": "jpy", "status": status,
                "payment_intent": "pi_1", "metadata": {"payonce_operation": "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"},
            })
        };
        for (kind, status, state) in [
            ("checkout.session.completed", "complete", State::Processing),
            ("checkout.session.async_payment_failed", "complete", State::Processing),
            ("checkout.session.expired", "expired", State::Canceled(None)),
        ] {
            let Subject::Payment(evidence) = parse(&event(kind, page(status))).unwrap().subject else {
                panic!("{kind} is about a payment");
            };
            assert_eq!((evidence.reference.as_str(), evidence.state), ("cs_test_1", state));
            assert_eq!(evidence.operation_id.unwrap().to_string(), "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae");
        }
        assert!(parse(&event("checkout.session.completed", page("as never before"))).is_err());
    }

    #[test]
    fn an_event_about_a_refund_carries_its_evidence() {
        let refund = |status: &str| {
            json!({
                "id": "re_1", "object": "refund", "amount": 500, "currency": "jpy", "status": status, "payment_intent": "pi_1",
                "metadata": {"payonce_operation": "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"}, "failure_reason": "lost_or_stolen_card",
            })
        };
        for (kind, status, state) in [
            ("refund.created", "pending", RefundState::Pending),
            ("refund.updated", "requires_action", RefundState::Pending),
            ("refund.updated", "succeeded", RefundState::Succeeded),
            ("refund.failed", "failed", RefundState::Failed(Some("lost_or_stolen_card".to_owned()))),
            (
                "charge.refund.updated",
                "canceled",
                RefundState::Failed(Some("lost_or_stolen_card".to_owned())),
            ),
        ] {
            let Subject::Refund(evidence) = parse(&event(kind, refund(status))).unwrap().subject else {
                panic!("{kind} is about a refund");
            };
            assert_eq!(evidence.reference.as_str(), "re_1");
            assert_eq!(evidence.payment.unwrap().as_str(), "pi_1");
            assert_eq!(evidence.amount.unwrap().to_string(), "500 JPY");
            assert_eq!(evidence.operation_id.unwrap().to_string(), "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae");
            assert_eq!(evidence.state, state);
        }
        assert!(parse(&event("refund.created", refund("as never before"))).is_err());
    }

    #[test]
    fn an_event_about_a_payout_of_ours_carries_its_evidence_and_others_none() {
        let payout = |status: &str, metadata: Value| {
            json!({
                "id": "po_1", "object": "payout", "amount": 500, "currency": "jpy", "status": status, "destination": "ba_1",
                "metadata": metadata, "failure_code": "account_closed", "failure_message": "It is closed.",
            })
        };
        let ours = json!({"payonce_operation": "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"});
        let failed = |code| {
            let (decline_code, message) = (Some("account_closed".to_owned()), "It is closed.".to_owned());
            PayoutState::Failed(Decline { code, decline_code, message })
        };
        for (kind, status, state) in [
            ("payout.created", "pending", PayoutState::OnItsWay),
            ("payout.updated", "in_transit", PayoutState::OnItsWay),
            ("payout.paid", "paid", PayoutState::Arrived),
            ("payout.failed", "failed", failed(decline::PAYOUT_FAILED)),
            ("payout.canceled", "canceled", failed(decline::CANCELED)),
        ] {
            let Subject::Payout(evidence) =
                parse(&event(kind, payout(status, ours.clone()))).unwrap().subject
            else {
                panic!("{kind} is about a payout");
            };
            assert_eq!((evidence.reference.as_str(), evidence.state), ("po_1", state));
            assert_eq!(evidence.to.unwrap().as_str(), "ba_1");
            assert_eq!(evidence.amount.unwrap().to_string(), "500 JPY");
            assert_eq!(evidence.operation_id.unwrap().to_string(), "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae");
            for other in [json!({}), Value::Null, json!({"payonce_operation": "theirs"}), json!([1])] {
                let read = parse(&event(kind, payout(status, other))).unwrap();
                assert_eq!(read.subject, Subject::Other);
            }
        }
        assert!(parse(&event("payout.paid", payout("as never before", ours))).is_err());
    }

    #[test]
    fn an_event_of_a_kind_that_is_not_used_is_still_an_event() {
        for kind in ["charge.refunded", "payout.paid", "a.kind.of.next.year"] {
            let event = parse(&event(kind, json!({"id": 1}))).unwrap();
            assert_eq!((event.kind.as_str(), event.subject), (kind, Subject::Other));
        }
    }

    #[test]
    fn a_body_that_is_no_event_is_refused_with_the_reason() {
        let with = |field: &str, value: Value| {
            let mut event = event("payout.paid", json!({}));
            event[field] = value;
            parse(&event).unwrap_err().to_string()
        };
        assert_eq!(with("object", json!("v2.core.event")), "`object` is not event");
        assert_eq!(with("id", json!("")), "`id` is not 1 to 255 visible ASCII characters");
        assert_eq!(with("id", json!("evt\u{0}")), "`id` is not 1 to 255 visible ASCII characters");
        assert_eq!(with("type", json!("x".repeat(256))), "`type` is not 1 to 255 visible ASCII characters");
        assert_eq!(with("created", json!(i64::MAX)), "`created` is not a time in Unix seconds");
        assert_eq!(with("livemode", Value::Null), "not an event that can be read");
        assert!(matches!(parse_event(b"{"), Err(EventError::Unreadable(_))));
        let wrong = parse(&event("payment_intent.succeeded", json!({"id": "ch_1", "object": "charge"})));
        assert!(matches!(wrong, Err(EventError::Unreadable(_))), "{wrong:?}");
    }
}
