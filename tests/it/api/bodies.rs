//! Requests to pay that are refused: with which words, and that nothing is left of them.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Api, order_of};
use crate::world::World;

/// The request to pay with a member changed, or left out where it is null.
fn with(member: &str, value: Value) -> Value {
    let mut body = order_of("anna", "order-1", 1000);
    match value {
        Value::Null => drop(body.as_object_mut().unwrap().remove(member)),
        value => body[member] = value,
    }
    body
}

fn with_splits(splits: &[(&str, i64, i64)]) -> Value {
    let split = |(seller, amount, fee): &(&str, i64, i64)| json!({"seller": seller, "amount": amount, "platform_fee": fee});
    with("splits", splits.iter().map(split).collect())
}

/// Each body that is wrong in a field, and the field.
#[rustfmt::skip]
fn wrong_in_a_field() -> Vec<(Value, &'static str)> {
    let notes = |notes: usize| (0..notes).map(|note| (format!("k{note}"), "v".to_owned())).collect::<BTreeMap<_, _>>();
    vec![
        (with("unknown", json!(1)), "unknown"),
        (json!({"order_id": "order-1", "splits": [{"seller": "a", "amount": 1, "fee": 1}]}), "splits[0].fee"),
        (with("order_id", Value::Null), "order_id"),
        (with("order_id", json!(7)), "order_id"),
        (with("order_id", json!("")), "order_id"),
        (with("order_id", json!("x".repeat(256))), "order_id"),
        (with("order_id", json!("a\u{0}b")), "order_id"),
        (with("order_id", json!("a\nb")), "order_id"),
        (with("amount", Value::Null), "amount"),
        (with("amount", json!("1000")), "amount"),
        (with("amount", json!(10.5)), "amount"),
        (with("amount", json!(0)), "amount"),
        (with("amount", json!(-1000)), "amount"),
        (with("amount", json!(100_000_000_000_i64)), "amount"),
        (with("amount", json!(i64::MAX)), "amount"),
        (with("amount", json!(u64::MAX)), "amount"),
        (with("amount", json!(1e30)), "amount"),
        (with("currency", json!("XXX")), "currency"),
        (with("currency", json!("eur")), "currency"),
        (with("currency", json!("EURO")), "currency"),
        (with("currency", json!(978)), "currency"),
        (with("payment_method", json!("")), "payment_method"),
        (with("payment_method", json!("pm card")), "payment_method"),
        (with("payment_method", json!("x".repeat(256))), "payment_method"),
        (with("payment_method", Value::Null), "payment_method"),
        (with("return_url", json!("")), "return_url"),
        (with("return_url", json!("shop.example/back")), "return_url"),
        (with("return_url", json!("https://")), "return_url"),
        (with("return_url", json!("javascript:alert(1)")), "return_url"),
        (with("return_url", json!("https://me:secret@shop.example/")), "return_url"),
        (with("return_url", json!("https://shop.example/a b")), "return_url"),
        (with("return_url", json!(format!("https://shop.example/{}", "x".repeat(2048)))), "return_url"),
        (with("psp_account_id", json!("main")), "psp_account_id"),
        (with("capture", json!("later")), "capture"),
        (with("capture", json!("")), "capture"),
        (with("splits", json!({})), "splits"),
        (with_splits(&[("anna", 999, 0)]), "splits"),
        (with_splits(&[("anna", 600, 0), ("bert", 600, 0)]), "splits"),
        (with_splits(&[("anna", i64::MAX, 0), ("bert", i64::MAX, 0)]), "splits"),
        (with_splits(&[("anna", 1000, 1001)]), "splits[0].platform_fee"),
        (with_splits(&[("anna", 1000, -1)]), "splits[0].platform_fee"),
        (with_splits(&[("anna", 0, 0), ("bert", 1000, 0)]), "splits[0].amount"),
        (with_splits(&[("anna", 2000, 0), ("bert", -1000, 0)]), "splits[1].amount"),
        (with_splits(&[("anna", 500, 0), ("anna", 500, 0)]), "splits[1].seller"),
        (with_splits(&[("", 1000, 0)]), "splits[0].seller"),
        (with_splits(&[("a/b", 1000, 0)]), "splits[0].seller"),
        (with_splits(&[(&"s".repeat(65), 1000, 0)]), "splits[0].seller"),
        (with("splits", (0..51).map(|n| json!({"seller": format!("s-{n}"), "amount": 1})).collect()), "splits"),
        (with("metadata", json!(notes(51))), "metadata"),
        (with("metadata", json!({"": "v"})), "metadata"),
        (with("metadata", json!({"k".repeat(41): "v"})), "metadata"),
        (with("metadata", json!({"k": "v".repeat(501)})), "metadata"),
        (with("metadata", json!({"k": "\u{0}"})), "metadata"),
        (with("metadata", json!({"k": 1})), "metadata.k"),
        (with("metadata", json!({"k": {"nested": "v"}})), "metadata.k"),
        (json!([]), "body"),
        (json!("order-1"), "body"),
        (Value::Null, "body"),
    ]
}

async fn nothing_is_left(world: &World) {
    let rows = "select (select count(*) from payment) + (select count(*) from idempotency_key)
                + (select count(*) from operation) + (select count(*) from payment_event)";
    assert_eq!(world.count(rows).await, 0);
    assert!(world.charges().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_wrong_is_named_and_nothing_is_written() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    for (number, (body, field)) in wrong_in_a_field().into_iter().enumerate() {
        let answer = api.pay(key, &format!("key-{number}"), &body).await;
        answer.refused_field(&body.to_string(), 422, "validation_failed", field);
    }
    // all that is wrong is told at once
    let mut body = with_splits(&[("anna", 1000, 1001)]);
    body["amount"] = json!(0);
    body["currency"] = json!("eur");
    let errors = api.pay(key, "several", &body).await.refused("several", 422, "validation_failed");
    for field in ["amount", "currency", "splits", "splits[0].platform_fee"] {
        assert!(errors.iter().any(|error| error.starts_with(&format!("{field}: "))), "{field} in {errors:?}");
    }
    nothing_is_left(&world).await;

    // what was refused took neither the key nor the order
    let told = api.pay(key, "key-0", &order_of("anna", "order-1", 1000)).await;
    assert_eq!(told.status, 201, "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_read_is_told_why_and_nothing_is_written() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let good = order_of("anna", "order-1", 1000).to_string();
    let posted = || api.request(Method::POST, "/v1/payments").bearer_auth(key);
    let keyed = || posted().header("idempotency-key", "key");
    let json = "application/json";
    for (what, request, status, code) in [
        ("no key", posted().header("content-type", json).body(good.clone()), 400, "idempotency_key_missing"),
        ("an empty key", api.to_pay(key, "").body(good.clone()), 400, "idempotency_key_invalid"),
        ("a long key", api.to_pay(key, &"k".repeat(256)).body(good.clone()), 400, "idempotency_key_invalid"),
        (
            "two keys",
            api.to_pay(key, "a").header("idempotency-key", "b").body(good.clone()),
            400,
            "idempotency_key_invalid",
        ),
        ("an open quote", api.to_pay(key, "\"a").body(good.clone()), 400, "idempotency_key_invalid"),
        ("no media type", keyed().body(good.clone()), 415, "unsupported_media_type"),
        (
            "a form",
            keyed().header("content-type", "application/x-www-form-urlencoded").body("amount=1"),
            415,
            "unsupported_media_type",
        ),
        ("no body", api.to_pay(key, "key"), 400, "malformed_json"),
        ("half a body", api.to_pay(key, "key").body(good[..20].to_owned()), 400, "malformed_json"),
        ("two bodies", api.to_pay(key, "key").body(good.repeat(2)), 400, "malformed_json"),
        ("a large body", api.to_pay(key, "key").body(" ".repeat(64 * 1024) + &good), 413, "body_too_large"),
        ("a deep body", api.to_pay(key, "key").body("[".repeat(10_000)), 400, "malformed_json"),
        (
            "another alphabet",
            api.to_pay(key, "key").body(b"{\"order_id\":\"\xff\"}".to_vec()),
            400,
            "malformed_json",
        ),
    ] {
        let answer: Answer = api.send(request).await;
        answer.refused(what, status, code);
        let detail = answer.problem()["detail"].as_str().unwrap_or_default().to_owned();
        let says = detail.contains("expected") || detail.contains("send");
        assert!(says, "{what} is not told what was expected: {detail:?}");
    }
    for (method, path) in
        [(Method::PUT, "/v1/payments"), (Method::DELETE, "/v1/wallets/anna"), (Method::GET, "/v1/webhooks/x")]
    {
        api.send(api.request(method, path).bearer_auth(key)).await.refused(path, 405, "method_not_allowed");
    }
    for path in ["/", "/v1", "/v1/payment", "/v1/payments/", "/v2/payments"] {
        api.get(key, path).await.refused(path, 404, "not_found");
    }
    nothing_is_left(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_within_the_bounds_is_paid() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let mut most = order_of("anna", &"ä".repeat(255), 50);
    most["splits"] =
        (0..50).map(|n| json!({"seller": format!("{n:_>64}"), "amount": 1, "platform_fee": 1})).collect();
    most["metadata"] = (0..50).map(|n| (format!("{n:k>40}"), "€".repeat(100))).collect();
    most["metadata"][format!("{:k>40}", 0)] = json!("v".repeat(500));
    let mut least =
        json!({"order_id": "1", "amount": 50, "currency": "EUR", "payment_method": "pm_card_visa"});
    let quoted = format!("\"{}\"", "k".repeat(255));
    for (idempotency_key, body) in [("~ !", &most), (quoted.as_str(), &least)] {
        let told = api.pay(key, idempotency_key, body).await;
        assert_eq!(told.status, 201, "{}", told.text);
        assert_eq!(told.json()["status"], "captured");
    }
    assert_eq!(api.get(key, "/v1/wallets/self").await.json()["balances"][0]["pending"], 50);
    // quoted or bare it is one key, and what is left out is what it is by default
    least["capture"] = json!("automatic");
    least["splits"] = json!([]);
    let again = api.pay(key, &"k".repeat(255), &least).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "{}", again.text);
    least["amount"] = json!(51);
    api.pay(key, &"k".repeat(255), &least).await.refused_field(
        "other",
        422,
        "idempotency_key_reused",
        "amount",
    );
}
