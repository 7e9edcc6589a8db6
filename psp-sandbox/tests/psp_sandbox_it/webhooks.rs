//! Webhooks: signed, retried, doubled, reordered, lost.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use psp_sandbox::Sandbox;
use psp_sandbox::webhook::{Endpoint, sign};
use serde_json::json;

use crate::support::{Hook, Receiver, start};

fn endpoint(sandbox: &Sandbox, receiver: &Receiver, secrets: &[&str], events: &[&str]) {
    let owned = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
    let endpoint = Endpoint {
        id: 0,
        url: receiver.url.clone(),
        secrets: owned(secrets),
        enabled_events: owned(events),
        account: None,
    };
    sandbox.add_webhook_endpoint(endpoint).expect("an endpoint");
}

/// Checks a signature as a receiver does, and gives its timestamp.
fn verify(hook: &Hook, secrets: &[&str]) -> i64 {
    let mut parts = hook.signature.split(',');
    let timestamp = parts.next().and_then(|it| it.strip_prefix("t=")).expect("a time");
    let timestamp: i64 = timestamp.parse().expect("a number");
    let signatures: Vec<_> = parts.collect();
    let expected: Vec<_> =
        secrets.iter().map(|secret| format!("v1={}", sign(secret, timestamp, &hook.body))).collect();
    assert_eq!(signatures, expected);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    assert!(timestamp.abs_diff(i64::try_from(now).expect("a time")) <= 60);
    timestamp
}

#[tokio::test]
async fn events_come_signed_with_every_secret_and_say_what_happened() {
    let (sandbox, psp) = start().await;
    let mut receiver = Receiver::start(vec![]).await;
    endpoint(&sandbox, &receiver, &["whsec_new", "whsec_old"], &["payment_intent.succeeded"]);
    let paid = psp.pay("op-1", "pm_card_visa").await.ok();
    let hook = receiver.next().await;
    verify(&hook, &["whsec_new", "whsec_old"]);
    let event = hook.event();
    assert_eq!(event["type"], "payment_intent.succeeded");
    assert_eq!(event["object"], "event");
    assert_eq!(event["livemode"], false);
    assert_eq!(event["pending_webhooks"], 1);
    assert_eq!(event["request"]["idempotency_key"], "op-1");
    assert_eq!(event["request"]["id"].as_str(), paid.header("request-id"));
    assert_eq!(event["data"]["object"], paid.json());
    sandbox.webhooks_idle().await;
    assert_eq!(receiver.counts().len(), 0, "only the enabled events are sent");
    let id = event["id"].as_str().expect("an id");
    let listed = psp.get(&format!("/v1/events/{id}")).await.ok().json();
    assert_eq!(listed["pending_webhooks"], 0);
    assert_eq!(listed["data"], event["data"]);
}

#[tokio::test]
async fn a_refused_event_comes_again_until_it_is_taken() {
    let (sandbox, psp) = start().await;
    psp.control("PATCH", "config", json!({"webhooks": {"retry_initial_ms": 1}})).await;
    let refusals = vec![StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND, StatusCode::BAD_REQUEST];
    let mut receiver = Receiver::start(refusals).await;
    endpoint(&sandbox, &receiver, &["whsec_a"], &["payment_intent.succeeded"]);
    psp.pay("op-1", "pm_card_visa").await.ok();
    sandbox.webhooks_idle().await;
    let mut bodies = HashSet::new();
    for _ in 0..4 {
        let hook = receiver.next().await;
        verify(&hook, &["whsec_a"]);
        bodies.insert(hook.event()["id"].clone().to_string());
    }
    assert_eq!(bodies.len(), 1);
    let stats = psp.control("GET", "stats", json!({})).await;
    assert_eq!(stats["webhooks"]["delivered"], 1);
    assert_eq!(stats["webhooks"]["failed_attempts"], 3);
}

#[tokio::test]
async fn an_event_nobody_takes_is_given_up_and_listed_as_undelivered() {
    let (sandbox, psp) = start().await;
    let few = json!({"webhooks": {"retry_initial_ms": 1, "max_attempts": 3}});
    psp.control("PATCH", "config", few).await;
    let mut receiver = Receiver::start(vec![StatusCode::SERVICE_UNAVAILABLE; 3]).await;
    endpoint(&sandbox, &receiver, &["whsec_a"], &["payment_intent.succeeded"]);
    let lost = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    sandbox.webhooks_idle().await;
    assert_eq!(receiver.counts().values().sum::<usize>(), 3);
    psp.pay("op-2", "pm_card_visa").await.ok();
    sandbox.webhooks_idle().await;
    let undelivered = psp.get("/v1/events?delivery_success=false").await.ok();
    assert_eq!(undelivered.json()["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(undelivered.text_at("/data/0/data/object/id"), lost);
}

#[tokio::test]
async fn events_are_doubled_reordered_and_lost_at_the_configured_rates() {
    let (sandbox, psp) = start().await;
    psp.control(
        "PATCH",
        "config",
        json!({"webhooks": {
            "duplicate_rate": 0.3, "reorder_rate": 0.3, "lose_rate": 0.1,
            "reorder_delay_ms": {"min": 1, "max": 30}
        }}),
    )
    .await;
    let mut receiver = Receiver::start(vec![]).await;
    endpoint(&sandbox, &receiver, &["whsec_a"], &["payment_intent.succeeded"]);
    for number in 0..200 {
        psp.pay(&format!("op-{number}"), "pm_card_visa").await.ok();
    }
    sandbox.webhooks_idle().await;
    let stats = psp.control("GET", "stats", json!({})).await;
    let count = |name: &str| stats["webhooks"][name].as_u64().expect("a count");
    let (doubled, lost) = (count("duplicates"), count("lost"));
    assert!((20..=100).contains(&doubled), "{doubled}");
    assert!((5..=50).contains(&lost), "{lost}");
    assert!((20..=100).contains(&count("reordered")));
    assert_eq!(count("delivered"), 200 - lost + doubled);
    let counts = receiver.counts();
    assert_eq!(counts.len() as u64, 200 - lost);
    assert_eq!(counts.values().filter(|count| **count == 2).count() as u64, doubled);
    let undelivered = psp.get("/v1/events?delivery_success=false&limit=100").await.ok().json();
    assert_eq!(undelivered["data"].as_array().map(Vec::len), usize::try_from(lost).ok());
}

#[tokio::test]
async fn an_endpoint_may_be_for_one_account_alone() {
    let (sandbox, psp) = start().await;
    let mut receiver = Receiver::start(vec![]).await;
    let other = psp.with_secret("sk_test_second");
    let account = other.get("/v1/account").await.ok().text_at("/id");
    psp.control(
        "POST",
        "webhook_endpoints",
        json!({
            "url": receiver.url, "secrets": ["whsec_a"], "account": account
        }),
    )
    .await;
    psp.pay("op-1", "pm_card_visa").await.ok();
    let theirs = other.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    sandbox.webhooks_idle().await;
    let mut types = Vec::new();
    for _ in 0..3 {
        let event = receiver.next().await.event();
        let object = &event["data"]["object"];
        let about = object["payment_intent"].as_str().or(object["id"].as_str());
        assert_eq!(about, Some(theirs.as_str()));
        types.push(event["type"].as_str().expect("a type").to_owned());
    }
    types.sort();
    assert_eq!(types, ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]);
    assert_eq!(receiver.counts().len(), 0);
}
