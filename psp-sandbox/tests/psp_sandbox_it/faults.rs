//! Every way the sandbox misbehaves.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Caller, KEY, payment, start};

/// Sends a payment by hand and gives every byte that came back, and how the connection ended.
fn raw_payment(psp: &Caller, operation: &str) -> (Vec<u8>, std::io::Result<usize>) {
    let form: Vec<String> =
        payment(operation, "pm_card_visa").iter().map(|(key, value)| format!("{key}={value}")).collect();
    let body = form.join("&");
    let address = psp.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /v1/payment_intents HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\nidempotency-key: {operation}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("a request");
    let mut received = Vec::new();
    let ended = stream.read_to_end(&mut received);
    (received, ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_was_executed_and_not_a_byte_of_it_came() {
    let (_sandbox, psp) = start().await;
    psp.fault(json!({"fault": {"kind": "drop_reply"}, "times": 1})).await;
    psp.fault(json!({"fault": {"kind": "drop_reply", "close": "fin"}, "times": 1})).await;
    let (received, ended) = raw_payment(&psp, "op-1");
    assert_eq!(received, b"");
    let error = ended.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let (received, ended) = raw_payment(&psp, "op-2");
    assert_eq!((received.as_slice(), ended.expect("an end")), (&b""[..], 0));
    for operation in ["op-1", "op-2"] {
        assert_eq!(psp.charges_of(operation).await, 1);
        let replay = psp.pay(operation, "pm_card_visa").await.ok();
        assert_eq!(replay.header("idempotent-replayed"), Some("true"));
        assert_eq!(psp.charges_of(operation).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_request_did_nothing() {
    let (_sandbox, psp) = start().await;
    psp.fault(json!({"fault": {"kind": "drop_request"}, "times": 1})).await;
    let (received, ended) = raw_payment(&psp, "op-1");
    assert_eq!(received, b"");
    assert!(ended.is_err());
    assert_eq!(psp.effects().await.len(), 0);
    let first = psp.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(first.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn refusals_before_the_idempotency_layer_are_not_saved() {
    let (_sandbox, psp) = start().await;
    for (fault, status, header) in [
        (
            json!({"kind": "rate_limited", "retry_after_seconds": 3, "reason": "endpoint-rate"}),
            429,
            Some(("retry-after", "3")),
        ),
        (json!({"kind": "rate_limited"}), 429, Some(("stripe-rate-limited-reason", "global-rate"))),
        (json!({"kind": "lock_timeout"}), 429, None),
        (json!({"kind": "unavailable", "retry_after_seconds": 2}), 503, Some(("retry-after", "2"))),
        (json!({"kind": "server_error", "saved": false}), 500, None),
    ] {
        let operation = fault.to_string();
        psp.fault(json!({"fault": fault, "times": 1})).await;
        let refused = psp.pay(&operation, "pm_card_visa").await;
        assert_eq!(refused.status, status, "{operation}");
        if let Some((name, value)) = header {
            assert_eq!(refused.header(name), Some(value), "{operation}");
        }
        assert_eq!(psp.charges_of(&operation).await, 0, "{operation}");
        let retried = psp.pay(&operation, "pm_card_visa").await.ok();
        assert_eq!(retried.header("idempotent-replayed"), None, "{operation}");
        assert_eq!(psp.charges_of(&operation).await, 1, "{operation}");
    }
}

#[tokio::test]
async fn a_saved_500_is_replayed_whatever_was_done() {
    let (_sandbox, psp) = start().await;
    for (executes, charges, found) in [("nothing", 0, 0), ("created", 0, 1), ("all", 1, 1)] {
        let fault = json!({"kind": "server_error", "executes": executes});
        psp.fault(json!({"fault": fault, "times": 1})).await;
        let failed = psp.pay(executes, "pm_card_visa").await;
        assert_eq!(failed.status, 500);
        assert_eq!(failed.text_at("/error/type"), "api_error");
        let again = psp.pay(executes, "pm_card_visa").await;
        assert_eq!(again.status, 500);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(psp.charges_of(executes).await, charges);
        let search = psp.search(&format!("metadata['payonce_operation']:'{executes}'")).await;
        let search = search.json();
        let results = search["data"].as_array().expect("results");
        assert_eq!(results.len(), found);
        if executes == "created" {
            assert_eq!(results[0]["status"], "requires_confirmation");
        }
    }
}

#[tokio::test]
async fn spoilt_bodies_hide_a_charge_that_was_made() {
    let (_sandbox, psp) = start().await;
    psp.fault(json!({"fault": {"kind": "garbage_body"}, "times": 1})).await;
    let garbage = psp.pay("garbage", "pm_card_visa").await.ok();
    assert!(serde_json::from_str::<Value>(&garbage.text).is_err());

    psp.fault(json!({"fault": {"kind": "truncated_body"}, "times": 1})).await;
    let cut = psp.try_pay("truncated", "pm_card_visa").await;
    assert!(cut.is_err(), "the body must end early");

    psp.fault(json!({"fault": {"kind": "huge_body", "bytes": 5_000_000}, "times": 1})).await;
    let huge = psp.pay("huge", "pm_card_visa").await.ok();
    assert!(huge.text.len() >= 5_000_000);
    assert_eq!(huge.text_at("/status"), "succeeded");

    psp.fault(json!({"fault": {"kind": "slow_drip", "bytes": 200, "interval_ms": 1}, "times": 1})).await;
    let slow = psp.pay("slow", "pm_card_visa").await.ok();
    assert_eq!(slow.text_at("/status"), "succeeded");

    for operation in ["garbage", "truncated", "huge", "slow"] {
        assert_eq!(psp.charges_of(operation).await, 1, "{operation}");
        let replay = psp.pay(operation, "pm_card_visa").await.ok();
        assert_eq!(replay.text_at("/status"), "succeeded", "{operation}");
    }
}

#[tokio::test]
async fn a_wrong_reply_lies_once_and_its_replay_is_true() {
    let (_sandbox, psp) = start().await;
    let lie = json!({
        "kind": "wrong_reply", "amount": 1, "currency": "usd", "metadata": {"payonce_operation": "other"}
    });
    psp.fault(json!({"fault": lie, "times": 1})).await;
    let wrong = psp.pay("op-1", "pm_card_visa").await.ok().json();
    assert_eq!(wrong["amount"], 1);
    assert_eq!(wrong["currency"], "usd");
    assert_eq!(wrong["metadata"]["payonce_operation"], "other");
    let right = psp.pay("op-1", "pm_card_visa").await.ok().json();
    assert_eq!(right["amount"], 1099);
    assert_eq!(right["metadata"]["payonce_operation"], "op-1");
    assert_eq!(psp.effects().await[0]["amount"], 1099);
}

#[tokio::test]
async fn a_call_hung_after_execution_was_executed() {
    let (sandbox, psp) = start().await;
    psp.fault(json!({"fault": {"kind": "hang", "when": "after"}, "times": 1})).await;
    let hung = tokio::spawn({
        let psp = psp.clone();
        async move { psp.pay("op-1", "pm_card_visa").await }
    });
    psp.control("GET", "wait?hanging=1", json!({})).await;
    assert_eq!(psp.charges_of("op-1").await, 1);
    let replay = psp.pay("op-1", "pm_card_visa").await.ok();
    sandbox.release_hung();
    assert_eq!(hung.await.expect("no panic").ok().text, replay.text);
}

#[tokio::test]
async fn an_outage_refuses_everyone_until_it_is_lifted() {
    let (_sandbox, psp) = start().await;
    psp.control("POST", "outage", json!({"mode": "refuse"})).await;
    assert_eq!(psp.pay("op-1", "pm_card_visa").await.status, 503);
    assert_eq!(psp.get("/v1/events").await.status, 503);
    psp.control("POST", "outage", json!({"mode": "drop"})).await;
    assert!(psp.try_pay("op-1", "pm_card_visa").await.is_err());
    psp.control("DELETE", "outage", json!({})).await;
    let first = psp.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(first.header("idempotent-replayed"), None);
    psp.control("POST", "outage", json!({"seconds": 60})).await;
    assert_eq!(psp.get("/v1/events").await.status, 503);
    psp.control("POST", "clock", json!({"advance_seconds": 61})).await;
    psp.get("/v1/events").await.ok();
}

#[tokio::test]
async fn faults_strike_the_payments_they_name_on_every_call_about_them() {
    let (_sandbox, psp) = start().await;
    psp.fault(json!({
        "fault": {"kind": "unavailable"}, "match": {"metadata": {"payonce_operation": "op-2"}}
    }))
    .await;
    let first = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    assert_eq!(psp.pay("op-2", "pm_card_visa").await.status, 503);
    psp.get(&format!("/v1/payment_intents/{first}")).await.ok();
    psp.fault(json!({
        "fault": {"kind": "unavailable"},
        "match": {"operation": "refunds.*", "metadata": {"payonce_operation": "op-1"}}
    }))
    .await;
    let refund = psp.post("/v1/refunds", "", &[("payment_intent", &first)]).await;
    assert_eq!(refund.status, 503);
    psp.get(&format!("/v1/payment_intents/{first}")).await.ok();
    psp.control("DELETE", "faults", json!({})).await;
    psp.post("/v1/refunds", "", &[("payment_intent", &first)]).await.ok();
}

#[tokio::test]
async fn the_same_seed_and_calls_meet_the_same_faults_and_statistics_count_them() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (_sandbox, psp) = start().await;
        psp.fault(json!({"fault": {"kind": "drop_reply"}, "rate": 0.2})).await;
        psp.fault(json!({"fault": {"kind": "server_error"}, "rate": 0.2})).await;
        psp.fault(json!({"fault": {"kind": "latency", "ms": {"min": 0, "max": 1}}, "rate": 0.5})).await;
        let mut run = String::new();
        for number in 0..60 {
            let reply = psp.try_pay(&format!("op-{number}"), "pm_card_visa").await;
            run.push_str(&reply.map_or("lost ".to_owned(), |it| format!("{} ", it.status)));
        }
        let stats = psp.control("GET", "stats", json!({})).await;
        assert_eq!(stats["calls"]["payment_intents.create"], 60);
        let lost = run.matches("lost").count();
        let failed = run.matches("500").count();
        assert!(lost > 0 && failed > 0, "{run}");
        assert_eq!(stats["faults"]["drop_reply"], lost);
        assert_eq!(stats["faults"]["server_error_saved"], failed);
        assert_eq!(psp.effects().await.len(), 60 - failed);
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_rule_that_cannot_be_understood_is_refused_with_a_reason() {
    let (_sandbox, psp) = start().await;
    let url = format!("{}/_sandbox/faults", psp.url);
    let rule = json!({"fault": {"kind": "explode"}});
    let answer = psp.http.post(url).json(&rule).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 400);
    let text = answer.text().await.expect("text");
    assert!(text.contains("explode"), "{text}");
}
