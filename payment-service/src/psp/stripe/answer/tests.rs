use money::{Currency, MerchantId, Money, OperationId};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::psp::{Aim, CaptureMethod, Outcome, Success, decline};

const SECRET: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";

fn expected() -> Expected {
    let merchant = MerchantId::from_uuid(uuid::Uuid::from_u128(7));
    Expected {
        operation_id: OperationId::derive(merchant, &["o-1", "1", "authorize"]),
        amount: Money::new(1099, Currency::EUR),
        aim: Aim::Authorize { capture: CaptureMethod::Automatic },
    }
}

fn intent(status: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 1099, "currency": "eur",
        "amount_received": if status == "succeeded" { 1099 } else { 0 }, "status": status, "latest_charge": "ch_1", "next_action": null, "last_payment_error": null,
        "metadata": {"payonce_operation": expected().operation_id.to_string(), "order_id": "o-1"},
        "payment_method_types": ["card"], "livemode": false, "created": 1_700_000_000,
    })
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

fn error(kind: &str, code: &str, intent: Option<Value>) -> Value {
    let mut error = json!({"type": kind, "code": code, "message": "no"});
    if let Some(intent) = intent {
        error["payment_intent"] = intent;
    }
    json!({"error": error})
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        })
        .collect::<HeaderMap>();
    Response { status: StatusCode::from_u16(status).unwrap(), headers, body: Ok(body.as_bytes().to_vec()) }
}

fn read(status: u16, headers: &[(&str, &str)], body: &str) -> Reading<Judgement> {
    Reader { expected: &expected(), secret: SECRET }.object(Ok(response(status, headers, body)))
}

fn answer(status: u16, body: &Value) -> Answer<Judgement> {
    read(status, &[], &body.to_string()).answer
}

fn said(answer: Answer<Judgement>) -> Outcome {
    match answer {
        Answer::Given(Judgement::Said(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

fn why(outcome: Outcome) -> String {
    match outcome {
        Outcome::Unknown { why, .. } => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_success_is_one_only_when_everything_in_it_is_right() {
    let charge = Success {
        reference: PspReference::parse("pi_1").unwrap(),
        movement: Some("ch_1".to_owned()),
        amount: Money::new(1099, Currency::EUR),
        captured: true,
    };
    assert_eq!(said(answer(200, &intent("succeeded"))), Outcome::Succeeded(charge.clone()));
    let expanded = with(intent("succeeded"), "latest_charge", json!({"id": "ch_1", "object": "charge"}));
    assert_eq!(said(answer(200, &expanded)), Outcome::Succeeded(charge.clone()));
    let silent = with(intent("succeeded"), "amount_received", Value::Null);
    assert_eq!(said(answer(200, &silent)), Outcome::Succeeded(charge));

    for (field, value, words) in [
        ("amount", json!(1), "mismatch: 0.01 EUR instead of 10.99 EUR"),
        ("currency", json!("usd"), "mismatch: 10.99 USD instead of 10.99 EUR"),
        ("currency", json!("zzz"), "mismatch: 1099 in Stripe's units of `zzz` instead of 10.99 EUR"),
        ("amount_received", json!(99), "mismatch: received 0.99 EUR instead of 10.99 EUR"),
        ("metadata", json!({}), "mismatch: no operation instead of 5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"),
        ("metadata", Value::Null, "mismatch: no operation instead of 5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"),
        (
            "metadata",
            json!({"payonce_operation": "00000000-0000-8000-8000-000000000000"}),
            "mismatch: operation 00000000-0000-8000-8000-000000000000 instead of 5ea98b1d-4fd1-846a-9e24-c99a5744a0ae",
        ),
        ("status", json!("requires_capture"), "mismatch: held instead of captured"),
        ("status", json!("processing"), "processing"),
    ] {
        assert_eq!(why(said(answer(200, &with(intent("succeeded"), field, value)))), words, "{field}");
    }
}

#[test]
fn an_answer_that_is_not_the_object_is_doubtful() {
    for object in [
        with(intent("succeeded"), "object", json!("charge")),
        with(intent("succeeded"), "status", json!("a_status_of_next_year")),
        with(intent("succeeded"), "id", json!("pi_1/../..")),
        with(intent("succeeded"), "amount", json!(10.99)),
        with(intent("succeeded"), "amount", json!("1099")),
        with(intent("succeeded"), "amount", Value::Null),
        json!({}),
        json!([]),
    ] {
        assert_eq!(answer(200, &object), Answer::Doubtful(Why::Unreadable), "{object}");
    }
    for body in ["", "<html>ok</html>", r#"{"id":"pi_1","object":"payment_int"#, "\u{0}"] {
        assert_eq!(read(200, &[], body).answer, Answer::Doubtful(Why::Unreadable), "{body:?}");
    }
}

#[test]
fn what_an_object_leaves_open_has_to_be_closed() {
    let failed = with(
        intent("requires_payment_method"),
        "last_payment_error",
        json!({"type": "card_error", "code": "card_declined", "decline_code": "lost_card", "message": "Lost."}),
    );
    for (object, code, finer) in [
        (failed.clone(), decline::CARD_DECLINED, Some("lost_card")),
        (intent("requires_payment_method"), decline::PSP_ERROR, None),
        (intent("requires_confirmation"), decline::PSP_ERROR, None),
    ] {
        match answer(200, &object) {
            Answer::Given(Judgement::Open { reference, decline }) => {
                assert_eq!((reference.as_str(), decline.code), ("pi_1", code));
                assert_eq!(decline.decline_code.as_deref(), finer);
            }
            other => panic!("{other:?}"),
        }
    }
    for (object, code) in [
        (intent("canceled"), decline::CANCELED),
        (with(failed, "status", json!("canceled")), decline::CARD_DECLINED),
    ] {
        match said(answer(200, &object)) {
            Outcome::Declined { reference: Some(_), decline } => assert_eq!(decline.code, code),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_buyer_is_only_sent_to_a_web_page() {
    for (url, sent_to) in [
        ("https://hooks.example/3ds?x=1", Some("https://hooks.example/3ds?x=1")),
        ("http://127.0.0.1:9/3ds", Some("http://127.0.0.1:9/3ds")),
        ("javascript:alert(1)", None),
        ("/relative", None),
    ] {
        let action = json!({"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": "x"}});
        match said(answer(200, &with(intent("requires_action"), "next_action", action))) {
            Outcome::RequiresAction { redirect_url, .. } => assert_eq!(redirect_url.as_deref(), sent_to),
            other => panic!("{other:?}"),
        }
    }
    let sdk = with(
        intent("requires_action"),
        "next_action",
        json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}}),
    );
    assert!(matches!(said(answer(200, &sdk)), Outcome::RequiresAction { redirect_url: None, .. }));
    let wrong = with(intent("requires_action"), "amount", json!(1));
    assert_eq!(why(said(answer(200, &wrong))), "mismatch: 0.01 EUR instead of 10.99 EUR");
}

/// One word for an answer, for the table below.
fn word(answer: &Answer<Judgement>) -> &'static str {
    match answer {
        Answer::Given(_) => "given",
        Answer::Declined { object: None, .. } => "declined",
        Answer::Declined { object: Some(Judgement::Open { .. }), .. } => "declined, open",
        Answer::Declined { object: Some(Judgement::Said(_)), .. } => "declined, closed",
        Answer::Rejected { object: None, .. } => "rejected",
        Answer::Rejected { object: Some(_), .. } => "rejected, object",
        Answer::Missing(_) => "missing",
        Answer::Unauthorised(_) => "unauthorised",
        Answer::KeyConflict => "key conflict",
        Answer::InFlight => "in flight",
        Answer::Throttled(_) => "throttled",
        Answer::Unreached(_) => "unreached",
        Answer::Doubtful(Why::NoAnswer) => "no answer",
        Answer::Doubtful(Why::ServerError) => "server error",
        Answer::Doubtful(Why::Unreadable) => "unreadable",
        Answer::Stuck(Why::ServerError) => "stuck, server error",
        Answer::Stuck(Why::Unreadable) => "stuck, unreadable",
        Answer::Doubtful(_) | Answer::Stuck(_) | Answer::Overdue => "never here",
    }
}

#[test]
fn each_refusal_has_one_meaning() {
    let open = Some(intent("requires_payment_method"));
    let closed = Some(intent("canceled"));
    let invalid = "invalid_request_error";
    for (status, body, meaning) in [
        (400, error(invalid, "amount_too_small", None), "rejected"),
        (400, error(invalid, "payment_intent_unexpected_state", closed.clone()), "rejected, object"),
        (400, error("idempotency_error", "", None), "key conflict"),
        (400, error("card_error", "card_declined", None), "declined"),
        (400, error("api_error", "", None), "server error"),
        (400, error("an_error_of_next_year", "", None), "unreadable"),
        (401, error(invalid, "", None), "unauthorised"),
        (402, error("card_error", "card_declined", None), "declined"),
        (402, error(invalid, "card_declined", None), "declined"),
        (402, error("card_error", "card_declined", open.clone()), "declined, open"),
        (402, error("card_error", "card_declined", closed), "declined, closed"),
        (402, error("api_error", "", open), "server error"),
        (403, error(invalid, "", None), "unauthorised"),
        (404, error(invalid, "resource_missing", None), "missing"),
        (408, error("api_error", "", None), "server error"),
        (409, error("idempotency_error", "idempotency_key_in_use", None), "in flight"),
        (409, error(invalid, "idempotency_key_in_use", None), "in flight"),
        (409, error("idempotency_error", "", None), "key conflict"),
        (409, error(invalid, "something", None), "in flight"),
        (400, error(invalid, "lock_timeout", None), "throttled"),
        (424, error(invalid, "", None), "server error"),
        (429, error(invalid, "lock_timeout", None), "throttled"),
        (429, error(invalid, "rate_limit", None), "throttled"),
        (429, error("card_error", "card_declined", None), "throttled"),
        (500, error("api_error", "", None), "server error"),
        (500, error("card_error", "card_declined", None), "server error"),
        (500, intent("succeeded"), "server error"),
        (503, json!({}), "server error"),
        (302, json!({}), "stuck, unreadable"),
        (418, json!({}), "unreadable"),
    ] {
        assert_eq!(word(&answer(status, &body)), meaning, "{status} {body}");
    }
}

#[test]
fn a_status_without_a_readable_body_means_no_more_than_itself() {
    for (status, meaning) in [
        (400, "unreadable"),
        (401, "unauthorised"),
        (402, "unreadable"),
        (403, "unauthorised"),
        (404, "unreadable"),
        (409, "in flight"),
        (424, "server error"),
        (429, "throttled"),
        (500, "server error"),
        (502, "server error"),
        (504, "server error"),
    ] {
        assert_eq!(word(&read(status, &[], "<html>").answer), meaning, "{status}");
    }
    for (status, lost, meaning) in [
        (200, BodyLost::Late, "no answer"),
        (200, BodyLost::BrokenOff("reset".to_owned()), "no answer"),
        (200, BodyLost::TooLarge, "stuck, unreadable"),
        (402, BodyLost::Late, "no answer"),
        (429, BodyLost::Late, "throttled"),
        (500, BodyLost::TooLarge, "server error"),
    ] {
        let response = Response { body: Err(lost), ..response(status, &[], "") };
        let reading = Reader { expected: &expected(), secret: SECRET }.object(Ok(response));
        assert_eq!(word(&reading.answer), meaning, "{status}");
    }
}

#[test]
fn a_saved_500_is_told_from_a_fresh_one() {
    let body = error("api_error", "", None).to_string();
    let saved = [("Idempotent-Replayed", "true")];
    assert_eq!(read(500, &saved, &body).answer, Answer::Stuck(Why::ServerError));
    assert_eq!(read(500, &saved, "<html>").answer, Answer::Stuck(Why::ServerError));
    assert_eq!(read(500, &[], &body).answer, Answer::Doubtful(Why::ServerError));
}

#[test]
fn a_search_names_only_objects_with_our_reference() {
    let foreign = with(intent("succeeded"), "metadata", json!({"payonce_operation": "x"}));
    let list = json!({"object": "search_result", "data": [foreign, intent("succeeded")], "has_more": false});
    let expected = expected();
    let reader = Reader { expected: &expected, secret: SECRET };
    let found = reader.list(Ok(response(200, &[], &list.to_string()))).answer;
    assert_eq!(found, Answer::Given(vec![PspReference::parse("pi_1").unwrap()]));
    let none = reader.list(Ok(response(200, &[], r#"{"object":"search_result","data":[]}"#))).answer;
    assert_eq!(none, Answer::Given(vec![]));
    let object = reader.list(Ok(response(200, &[], &intent("succeeded").to_string()))).answer;
    assert_eq!(object, Answer::Doubtful(Why::Unreadable));
}

#[test]
fn the_headers_of_an_answer_are_taken_for_what_they_are() {
    let reading = read(
        429,
        &[("Retry-After", "3"), ("Stripe-Should-Retry", "false"), ("Request-Id", "req_1")],
        &error("invalid_request_error", "rate_limit", None).to_string(),
    );
    assert_eq!(reading.pause, Some(Duration::from_secs(3)));
    assert_eq!(reading.should_resend, Some(false));
    assert_eq!(reading.request_id.as_deref(), Some("req_1"));
    assert_eq!(reading.http_status, Some(429));

    let soon = read(503, &[("Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT")], "").pause;
    assert!(soon.is_some_and(|pause| pause > Duration::from_secs(3600)), "{soon:?}");
    for odd in ["Fri, 31 Dec 1999 23:59:59 GMT", "-1", "soon", ""] {
        assert_eq!(read(503, &[("Retry-After", odd)], "").pause, None, "{odd}");
    }
}

#[test]
fn no_secret_and_no_card_number_stays_in_what_is_kept() {
    let message = format!("key {SECRET} and card 4242 4242 4242 4242\u{0}");
    let body = json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": SECRET, "message": message}});
    let reading = read(402, &[], &body.to_string());
    let kept = format!("{reading:?}");
    assert!(kept.contains("card_declined"), "{kept}");
    assert!(!kept.contains(SECRET) && !kept.contains("4242") && !kept.contains("\\0"), "{kept}");

    let long = json!({"error": {"type": "api_error", "message": "x".repeat(100_000)}});
    assert_eq!(read(500, &[], &long.to_string()).detail.unwrap().chars().count(), 2000);
}
