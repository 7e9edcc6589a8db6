//! Pages where buyers choose how to pay: what is asked for, and what is made of what they show.

use payment_service::psp::{Outcome, Why};

use super::server::{Reply, ScriptedPsp};
use super::*;

const BACK: &str = "https://shop.example/orders/1?tab=paid";

fn cs_1() -> PspReference {
    PspReference::parse("cs_test_1").unwrap()
}

/// The page of our order, in this state, with what was tried on it.
fn session(status: &str, intent: Value) -> Value {
    let url =
        if status == "open" { json!("https://checkout.example/c/pay/cs_test_1#x") } else { Value::Null };
    json!({
        "id": "cs_test_1", "object": "checkout.session", "amount_total": 1099, "currency": "eur", "status": status,
        "payment_status": "unpaid", "url": url, "payment_intent": intent, "mode": "payment",
        "metadata": {"payonce_operation": operation_id().to_string()},
    })
}

fn on_page(psp: &ScriptedPsp) -> Shop {
    Shop { method: Method::Page { return_url: BACK.to_owned() }, ..Shop::of(psp) }
}

/// What becomes of a payment whose page is shown so, and what the PSP was asked for.
async fn shown(replies: Vec<Reply>) -> (Outcome, Vec<String>) {
    let mut replies = replies.into_iter();
    let psp = ScriptedPsp::start(move |_| replies.next().unwrap_or(Reply::Nothing)).await;
    let exchange = on_page(&psp).inquire(Some(&cs_1())).await;
    (exchange.outcome, psp.calls())
}

fn waits(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::RequiresAction { reference, redirect_url: Some(url) }
        if *reference == cs_1() && url == "https://checkout.example/c/pay/cs_test_1#x")
}

fn is_unknown(outcome: &Outcome, why: &Why) -> bool {
    matches!(outcome, Outcome::Unknown { why: because, .. } if because == why)
}

#[tokio::test]
async fn a_page_is_asked_for_with_all_that_is_to_be_paid_and_no_more() {
    let psp = ScriptedPsp::answering([Reply::json(200, &session("open", Value::Null))]).await;
    let exchange = on_page(&psp).authorize().await;
    assert!(waits(&exchange.outcome), "{exchange:?}");
    let [request] = psp.requests().try_into().unwrap();
    assert_eq!(request.call(), "POST /v1/checkout/sessions");
    let operation = operation_id().to_string();
    assert_eq!(request.header("idempotency-key"), Some(operation.as_str()));
    let fields = [
        ("mode", "payment"),
        ("line_items[0][quantity]", "1"),
        ("line_items[0][price_data][currency]", "eur"),
        ("line_items[0][price_data][unit_amount]", "1099"),
        ("line_items[0][price_data][product_data][name]", "o-1"),
        ("adaptive_pricing[enabled]", "false"),
        ("success_url", BACK),
        ("cancel_url", BACK),
        ("client_reference_id", &operation),
        ("metadata[payonce_operation]", &operation),
        ("metadata[order_id]", "o-1"),
        ("payment_intent_data[capture_method]", "automatic"),
        ("payment_intent_data[metadata][payonce_operation]", &operation),
        ("payment_intent_data[metadata][order_id]", "o-1"),
    ];
    assert_eq!(request.form(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_buyer_who_may_be_sent_away_can_come_back() {
    let psp = ScriptedPsp::answering([Reply::json(200, &intent("succeeded"))]).await;
    let method = Method::Token { token: "pm_1".to_owned(), return_url: Some(BACK.to_owned()) };
    assert_charged(&Shop { method, ..Shop::of(&psp) }.authorize().await);
    let [request] = psp.requests().try_into().unwrap();
    let form = request.form();
    let says = |name: &str, value: &str| form.contains(&(name.to_owned(), value.to_owned()));
    assert!(says("return_url", BACK) && says("automatic_payment_methods[enabled]", "true"), "{form:?}");
    assert!(form.iter().all(|(name, _)| !name.starts_with("payment_method_types")), "{form:?}");
}

#[tokio::test]
async fn an_open_page_waits_for_its_buyer_whatever_was_tried_on_it() {
    for tried in [
        Value::Null,
        json!("pi_1"),
        intent("requires_payment_method"),
        intent("requires_action"),
        intent("requires_confirmation"),
        intent("canceled"),
    ] {
        let (outcome, asked) = shown(vec![Reply::json(200, &session("open", tried.clone()))]).await;
        assert!(waits(&outcome), "{tried}: {outcome:?}");
        assert_eq!(asked, ["GET /v1/checkout/sessions/cs_test_1"], "{tried}");
    }
}

#[tokio::test]
async fn what_was_paid_on_a_page_is_what_its_payment_says() {
    for status in ["open", "complete", "expired"] {
        let (outcome, _) = shown(vec![Reply::json(200, &session(status, intent("succeeded")))]).await;
        let Outcome::Succeeded(success) = outcome else { panic!("{status}: {outcome:?}") };
        assert_eq!((success.reference, success.amount, success.captured), (pi_1(), amount(), true));
        let (outcome, _) = shown(vec![Reply::json(200, &session(status, intent("processing")))]).await;
        assert!(is_unknown(&outcome, &Why::Processing), "{status}: {outcome:?}");
    }
    let (outcome, _) = shown(vec![Reply::json(200, &session("complete", json!("pi_1")))]).await;
    assert!(is_unknown(&outcome, &Why::Processing), "{outcome:?}");
    let mut other = intent("succeeded");
    other["amount"] = json!(1100);
    let (outcome, _) = shown(vec![Reply::json(200, &session("complete", other))]).await;
    assert!(matches!(outcome, Outcome::Unknown { why: Why::Mismatch(_), .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_page_that_is_closed_says_so_under_its_own_name() {
    let closed = |outcome: &Outcome, code: &str| matches!(outcome, Outcome::Declined { reference: Some(page), decline } if *page == cs_1() && decline.code == code);
    for tried in [Value::Null, intent("canceled"), intent("requires_payment_method")] {
        let (outcome, _) = shown(vec![Reply::json(200, &session("expired", tried.clone()))]).await;
        assert!(closed(&outcome, "canceled"), "{tried}: {outcome:?}");
    }
    // a bank that said no days later leaves something that could still be paid
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "no"});
    let replies = vec![Reply::json(200, &session("complete", failed)), Reply::json(200, &intent("canceled"))];
    let (outcome, asked) = shown(replies).await;
    assert!(closed(&outcome, "card_declined"), "{outcome:?}");
    assert_eq!(asked[1], "POST /v1/payment_intents/pi_1/cancel");
}

#[tokio::test]
async fn what_no_page_can_be_is_unreadable() {
    for (field, value) in [
        ("status", json!("half_open")),
        ("status", Value::Null),
        ("object", json!("checkout.sesame")),
        ("id", json!("")),
        ("id", json!("pi_1")),
        ("payment_intent", json!({"id": "pi_1", "object": "payment_intent", "status": "as never before"})),
    ] {
        let mut page = session("open", Value::Null);
        page[field] = value;
        let psp = ScriptedPsp::start(move |_| Reply::json(200, &page)).await;
        let outcome = on_page(&psp).hasty().inquire(Some(&cs_1())).await.outcome;
        assert_eq!(psp.requests()[0].query(), [("expand[]".to_owned(), "payment_intent".to_owned())]);
        assert!(is_unknown(&outcome, &Why::Unreadable), "{field}: {outcome:?}");
    }
    let mut page = session("open", Value::Null);
    page["amount_total"] = json!(1);
    let (outcome, _) = shown(vec![Reply::json(200, &page)]).await;
    assert!(matches!(outcome, Outcome::Unknown { why: Why::Mismatch(_), .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_page_whose_buyer_has_had_long_enough_is_closed() {
    let replies = [session("open", Value::Null), session("expired", Value::Null)];
    let psp = ScriptedPsp::answering(replies.map(|reply| Reply::json(200, &reply))).await;
    let exchange = on_page(&psp).cancel(Some(&cs_1())).await;
    assert_declined(&exchange, "canceled", None);
    let calls = psp.calls();
    assert_eq!(calls[1], "POST /v1/checkout/sessions/cs_test_1/expire");
}
