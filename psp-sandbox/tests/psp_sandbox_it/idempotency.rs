//! Keys: once, and the same answer ever after.

use std::time::Duration;

use serde_json::json;

use crate::support::{KEY, payment, start};

#[tokio::test]
async fn the_same_key_and_parameters_get_the_same_bytes_and_one_charge() {
    let (_sandbox, psp) = start().await;
    let first = psp.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(first.header("idempotent-replayed"), None);
    let mut reordered = payment("op-1", "pm_card_visa");
    reordered.reverse();
    let second = psp.post("/v1/payment_intents", "op-1", &reordered).await.ok();
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.header("original-request"), first.header("request-id"));
    assert_eq!(first.text, second.text);
    assert_eq!(psp.charges_of("op-1").await, 1);
}

#[tokio::test]
async fn a_replay_shows_the_object_as_it_was_and_not_as_it_is() {
    let (_sandbox, psp) = start().await;
    let first = psp.pay("op-1", "pm_card_visa").await.ok();
    let intent = first.text_at("/id");
    let update = [("metadata[order_id]", "o-2"), ("description", "changed")];
    psp.post(&format!("/v1/payment_intents/{intent}"), "", &update).await.ok();
    assert_eq!(psp.pay("op-1", "pm_card_visa").await.ok().text, first.text);
    let now = psp.get(&format!("/v1/payment_intents/{intent}")).await.ok();
    assert_eq!(now.text_at("/metadata/order_id"), "o-2");
}

#[tokio::test]
async fn other_parameters_or_another_endpoint_under_a_key_are_an_error_and_move_nothing() {
    let (_sandbox, psp) = start().await;
    let intent = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    let other = psp.pay("op-1", "pm_card_mastercard").await;
    assert_eq!(other.status, 400);
    assert_eq!(other.text_at("/error/type"), "idempotency_error");
    let elsewhere = psp.post("/v1/refunds", "op-1", &[("payment_intent", &intent)]).await;
    assert_eq!(elsewhere.status, 400);
    assert_eq!(elsewhere.text_at("/error/type"), "idempotency_error");
    assert_eq!(psp.effects().await.len(), 1);
}

#[tokio::test]
async fn a_key_in_flight_is_a_conflict_and_later_the_answer() {
    let (sandbox, psp) = start().await;
    psp.fault(json!({"fault": {"kind": "hang"}, "times": 1})).await;
    let hung = tokio::spawn({
        let psp = psp.clone();
        async move { psp.pay("op-1", "pm_card_visa").await }
    });
    sandbox.wait_hanging(1).await;
    let rival = psp.pay("op-1", "pm_card_visa").await;
    assert_eq!(rival.status, 409);
    assert_eq!(rival.text_at("/error/code"), "idempotency_key_in_use");
    assert_eq!(psp.charges_of("op-1").await, 0);
    sandbox.release_hung();
    let answer = hung.await.expect("no panic").ok();
    assert_eq!(answer.header("idempotent-replayed"), None);
    let later = psp.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(later.text, answer.text);
    assert_eq!(psp.charges_of("op-1").await, 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_what_it_asked_for() {
    let (sandbox, psp) = start().await;
    psp.fault(json!({"fault": {"kind": "hang"}, "times": 1})).await;
    let hung = tokio::spawn({
        let psp = psp.clone();
        async move { psp.try_pay("op-1", "pm_card_visa").await }
    });
    sandbox.wait_hanging(1).await;
    hung.abort();
    sandbox.release_hung();
    // Whichever comes first, the released call or this one, there is one charge.
    while psp.pay("op-1", "pm_card_visa").await.status == 409 {
        tokio::task::yield_now().await;
    }
    assert_eq!(psp.charges_of("op-1").await, 1);
}

#[tokio::test]
async fn a_hundred_callers_of_one_key_make_one_charge() {
    let (_sandbox, psp) = start().await;
    let calls = (0..100).map(|_| {
        let psp = psp.clone();
        tokio::spawn(async move { psp.pay("op-1", "pm_card_visa").await })
    });
    let mut bodies = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        bodies.push(call.await.expect("no panic").ok().text);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(psp.charges_of("op-1").await, 1);
}

#[tokio::test]
async fn declines_are_saved_and_validation_failures_are_not() {
    let (_sandbox, psp) = start().await;
    let declined = psp.pay("op-1", "pm_card_visa_chargeDeclined").await;
    assert_eq!(declined.status, 402);
    let again = psp.pay("op-1", "pm_card_visa_chargeDeclined").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.text, declined.text);

    let mut invalid = payment("op-2", "pm_card_visa").to_vec();
    invalid[0].1 = "10";
    assert_eq!(psp.post("/v1/payment_intents", "op-2", &invalid).await.status, 400);
    psp.pay("op-2", "pm_card_visa").await.ok();

    let nobody = psp.with_secret("nonsense");
    assert_eq!(nobody.pay("op-3", "pm_card_visa").await.status, 401);
    psp.pay("op-3", "pm_card_visa").await.ok();
}

#[tokio::test]
async fn a_forgotten_key_is_a_new_request() {
    let (sandbox, psp) = start().await;
    let first = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    sandbox.advance_clock(Duration::from_secs(86_399)).expect("a clock");
    assert_eq!(psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id"), first);
    sandbox.advance_clock(Duration::from_secs(2)).expect("a clock");
    let second = psp.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(second.header("idempotent-replayed"), None);
    assert_ne!(second.text_at("/id"), first);
    assert_eq!(psp.charges_of("op-1").await, 2);
    let summary = psp.control("GET", "effects/summary", json!({})).await;
    assert_eq!(summary["charged_more_than_once"], json!({"op-1": 2}));
}

#[tokio::test]
async fn accounts_share_neither_keys_nor_objects() {
    let (_sandbox, psp) = start().await;
    let other = psp.with_secret("sk_test_second");
    let ours = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    let theirs = other.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(theirs.header("idempotent-replayed"), None);
    assert_ne!(theirs.text_at("/id"), ours);
    let stolen = other.get(&format!("/v1/payment_intents/{ours}")).await;
    assert_eq!(stolen.status, 404);
    assert_eq!(stolen.text_at("/error/code"), "resource_missing");
    let basic = psp.http.get(format!("{}/v1/account", psp.url)).basic_auth(KEY, Some(""));
    let basic: serde_json::Value = basic.send().await.expect("an answer").json().await.expect("JSON");
    let bearer = psp.get("/v1/account").await.ok().json();
    assert_eq!(basic, bearer);
}

#[tokio::test]
async fn a_key_is_at_most_255_characters_long() {
    let (_sandbox, psp) = start().await;
    let (good, bad) = ("k".repeat(255), "k".repeat(256));
    psp.post("/v1/payment_intents", &good, &payment("op-1", "pm_card_visa")).await.ok();
    let refused = psp.post("/v1/payment_intents", &bad, &payment("op-2", "pm_card_visa")).await;
    assert_eq!(refused.status, 400);
    assert_eq!(psp.effects().await.len(), 1);
}
