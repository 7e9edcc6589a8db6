//! The hosted page: what the merchant asks for, and what a buyer does on it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Caller, Receiver, Reply, start, start_with};
use psp_sandbox::SandboxConfig;

/// The form of a page for 10.99 EUR.
const PAGE: [(&str, &str); 10] = [
    ("mode", "payment"),
    ("line_items[0][quantity]", "1"),
    ("line_items[0][price_data][currency]", "eur"),
    ("line_items[0][price_data][unit_amount]", "1099"),
    ("line_items[0][price_data][product_data][name]", "Order <o-1>"),
    ("success_url", "http://127.0.0.1:1/thanks?of={CHECKOUT_SESSION_ID}"),
    ("cancel_url", "http://127.0.0.1:1/cart"),
    ("client_reference_id", "op-1"),
    ("metadata[payonce_operation]", "op-1"),
    ("payment_intent_data[metadata][payonce_operation]", "op-1"),
];

async fn opened(psp: &Caller, key: &str, more: &[(&str, &str)]) -> Reply {
    let form = [PAGE.as_slice(), more].concat();
    psp.post("/v1/checkout/sessions", key, &form).await.ok()
}

/// What the page says now: its status and text.
async fn seen(url: &str) -> (u16, String) {
    let page = browser().get(url).send().await.expect("a page");
    (page.status().as_u16(), page.text().await.expect("text"))
}

/// A browser that says where it is sent, and does not go there.
fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client")
}

/// Presses a button, and says where that leads.
async fn pressed(url: &str, name: &str, value: &str) -> String {
    let sent = browser().post(url).form(&[(name, value)]).send().await.expect("an answer");
    let location = sent.headers().get("location").and_then(|value| value.to_str().ok());
    location.unwrap_or_else(|| panic!("sent nowhere: {}", sent.status())).to_owned()
}

async fn session(psp: &Caller, id: &str) -> Value {
    psp.get(&format!("/v1/checkout/sessions/{id}?expand[]=payment_intent")).await.ok().json()
}

fn is_open(session: &Value) -> bool {
    session["status"] == "open"
}

async fn told(receiver: &mut Receiver, what: &str) {
    let event = receiver.next().await.event();
    assert_eq!(event["type"], format!("checkout.session.{what}"));
    assert_eq!(event["data"]["object"]["metadata"]["payonce_operation"], "op-1");
}

#[tokio::test]
async fn a_buyer_pays_on_the_page_and_goes_back_to_the_shop() {
    let (_sandbox, psp) = start().await;
    let page = opened(&psp, "k-1", &[]).await;
    let (id, url) = (page.text_at("/id"), page.text_at("/url"));
    assert!(id.starts_with("cs_test_") && url.ends_with(&id), "{url}");
    assert_eq!(
        (page.text_at("/payment_status").as_str(), &page.json()["payment_intent"]),
        ("unpaid", &Value::Null)
    );
    assert_eq!(opened(&psp, "k-1", &[]).await.text, page.text);
    let (status, text) = seen(&url).await;
    assert_eq!(status, 200);
    assert!(text.contains("10.99 EUR") && text.contains("Order &lt;o-1&gt;"), "{text}");
    let back = pressed(&url, "payment_method", "pm_card_visa").await;
    assert_eq!(back, format!("http://127.0.0.1:1/thanks?of={id}"));
    let paid = session(&psp, &id).await;
    assert_eq!(
        (&paid["status"], &paid["payment_status"], &paid["url"]),
        (&json!("complete"), &json!("paid"), &Value::Null)
    );
    let intent = &paid["payment_intent"];
    assert_eq!((&intent["status"], &intent["amount_received"]), (&json!("succeeded"), &json!(1099)));
    assert_eq!(intent["metadata"], json!({"payonce_operation": "op-1"}));
    assert_eq!(psp.charges_of("op-1").await, 1);
    // pressed again, or looked at again: it is paid
    assert_eq!(pressed(&url, "payment_method", "pm_card_visa").await, back);
    assert_eq!(psp.charges_of("op-1").await, 1);
    let refused = psp.post(&format!("/v1/checkout/sessions/{id}/expire"), "", &[]).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_declined_buyer_stays_on_the_page_and_may_pay_otherwise() {
    let (_sandbox, psp) = start().await;
    let page = opened(&psp, "", &[]).await;
    let (id, url) = (page.text_at("/id"), page.text_at("/url"));
    let again = pressed(&url, "payment_method", "pm_card_visa_chargeDeclinedInsufficientFunds").await;
    assert_eq!(again, url);
    assert!(seen(&url).await.1.contains("insufficient funds"));
    let declined = session(&psp, &id).await;
    assert!(is_open(&declined), "{declined}");
    let first = declined["payment_intent"]["id"].clone();
    let bank = pressed(&url, "payment_method", "pm_card_threeDSecure2Required").await;
    assert!(is_open(&session(&psp, &id).await));
    let back = pressed(&bank, "outcome", "fail").await;
    assert!(back.starts_with(&url), "{back}");
    assert!(seen(&back).await.1.contains("unable to authenticate"));
    let bank = pressed(&url, "payment_method", "pm_card_threeDSecure2Required").await;
    let back = pressed(&bank, "outcome", "complete").await;
    let page = browser().get(&back).send().await.expect("a page");
    assert_eq!(page.headers()["location"], format!("http://127.0.0.1:1/thanks?of={id}"));
    let paid = session(&psp, &id).await;
    assert_eq!((&paid["payment_status"], &paid["payment_intent"]["id"]), (&json!("paid"), &first));
    assert_eq!(psp.charges_of("op-1").await, 1);
}

#[tokio::test]
async fn a_page_that_is_closed_or_too_old_takes_no_money() {
    let (_sandbox, psp) = start().await;
    let closed = opened(&psp, "k-1", &[]).await;
    let url = closed.text_at("/url");
    pressed(&url, "payment_method", "pm_card_chargeDeclined").await;
    let path = format!("/v1/checkout/sessions/{}/expire", closed.text_at("/id"));
    let expired = psp.post(&path, "", &[]).await.ok();
    assert_eq!((expired.text_at("/status").as_str(), &expired.json()["url"]), ("expired", &Value::Null));
    assert_eq!(session(&psp, &closed.text_at("/id")).await["payment_intent"]["status"], "canceled");
    let old = opened(&psp, "k-2", &[]).await;
    psp.control("POST", "clock", json!({"advance_seconds": 24 * 3600 + 1})).await;
    assert_eq!(session(&psp, &old.text_at("/id")).await["status"], "expired");
    for url in [url, old.text_at("/url")] {
        let (status, text) = seen(&url).await;
        assert_eq!(status, 410);
        assert!(text.contains("This page is closed"), "{text}");
        let sent =
            browser().post(&url).form(&[("payment_method", "pm_card_visa")]).send().await.expect("an answer");
        assert_eq!(sent.status(), StatusCode::GONE);
    }
    assert_eq!(psp.charges_of("op-1").await, 0);
}

#[tokio::test]
async fn a_bank_that_takes_days_decides_later() {
    let mut receiver = Receiver::start(Vec::new()).await;
    let (_sandbox, psp) = start_with(SandboxConfig::default()).await;
    psp.control(
        "POST",
        "webhook_endpoints",
        json!({"url": receiver.url, "secrets": ["whsec_1"], "enabled_events": ["checkout.session.*"]}),
    )
    .await;
    for (key, pays) in [("k-1", true), ("k-2", false)] {
        let page = opened(&psp, key, &[]).await;
        let id = page.text_at("/id");
        let back = pressed(&page.text_at("/url"), "payment_method", "pm_usBankAccount_success").await;
        assert_eq!(back, format!("http://127.0.0.1:1/thanks?of={id}"));
        let waiting = session(&psp, &id).await;
        assert_eq!((&waiting["status"], &waiting["payment_status"]), (&json!("complete"), &json!("unpaid")));
        assert_eq!(waiting["payment_intent"]["status"], "processing");
        told(&mut receiver, "completed").await;
        let intent = waiting["payment_intent"]["id"].as_str().expect("an id").to_owned();
        let path = format!("payment_intents/{intent}/decide");
        psp.control("POST", &path, json!({"pays": pays})).await;
        assert_eq!(psp.try_control("POST", &path, json!({"pays": true})).await.status, 400);
        let (paid, status) = if pays { ("paid", "succeeded") } else { ("unpaid", "requires_payment_method") };
        let decided = session(&psp, &id).await;
        assert_eq!(
            (&decided["payment_status"], &decided["payment_intent"]["status"]),
            (&json!(paid), &json!(status))
        );
        let then = if pays { "async_payment_succeeded" } else { "async_payment_failed" };
        told(&mut receiver, then).await;
    }
    assert_eq!(psp.charges_of("op-1").await, 1);
}

#[tokio::test]
async fn what_a_page_holds_is_captured_as_any_other() {
    let (_sandbox, psp) = start().await;
    let page = opened(&psp, "", &[("payment_intent_data[capture_method]", "manual")]).await;
    let url = page.text_at("/url");
    assert!(!seen(&url).await.1.contains("Bank account"));
    pressed(&url, "payment_method", "pm_card_visa").await;
    let held = session(&psp, &page.text_at("/id")).await;
    assert_eq!((&held["status"], &held["payment_status"]), (&json!("complete"), &json!("unpaid")));
    assert_eq!(held["payment_intent"]["status"], "requires_capture");
}

#[tokio::test]
async fn a_page_is_refused_with_the_parameter_at_fault() {
    let (_sandbox, psp) = start().await;
    for (name, value, code) in [
        ("mode", "subscription", ""),
        ("line_items[0][price_data][unit_amount]", "0", "parameter_invalid_integer"),
        ("line_items[0][quantity]", "2", "parameter_invalid_integer"),
        ("success_url", "", "parameter_missing"),
        ("expires_at", "1", ""),
        ("card_number", "1", "parameter_unknown"),
    ] {
        let form: Vec<_> = PAGE.into_iter().filter(|(key, _)| *key != name).chain([(name, value)]).collect();
        let refused = psp.post("/v1/checkout/sessions", "", &form).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.text);
        assert_eq!(
            refused.json()["error"]["code"].as_str().unwrap_or_default(),
            code,
            "{name}: {}",
            refused.text
        );
    }
    assert_eq!(psp.get("/v1/checkout/sessions/cs_test_nothing").await.status, 404);
}
