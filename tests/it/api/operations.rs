//! Requests for captures, voids and refunds that are refused: with which words, and that nothing is left of them.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, order_of};
use crate::world::World;

/// Each body that is wrong in a field, and the field.
#[rustfmt::skip]
fn wrong_in_a_field() -> Vec<(&'static str, Value, &'static str)> {
    let part = |seller: &str, amount: i64| json!({"seller": seller, "amount": amount});
    vec![
        ("capture", json!({"unknown": 1}), "unknown"),
        ("void", json!({"amount": 1}), "amount"),
        ("refunds", json!({"final": true}), "final"),
        ("capture", json!({"amount": 0}), "amount"),
        ("refunds", json!({"amount": -1}), "amount"),
        ("refunds", json!({"amount": "100"}), "amount"),
        ("refunds", json!({"amount": 1.5}), "amount"),
        ("refunds", json!({"amount": u64::MAX}), "amount"),
        ("capture", json!({"final": "no"}), "final"),
        ("refunds", json!({"refund_platform_fee": 1}), "refund_platform_fee"),
        ("refunds", json!({"splits": []}), "splits"),
        ("refunds", json!({"splits": {}}), "splits"),
        ("refunds", json!({"splits": (0..51).map(|n| part(&format!("s-{n}"), 1)).collect::<Vec<_>>()}), "splits"),
        ("refunds", json!({"amount": 3, "splits": [part("anna", 2)]}), "splits"),
        ("refunds", json!({"splits": [part("anna", i64::MAX), part("bert", i64::MAX)]}), "splits"),
        ("refunds", json!({"splits": [part("anna", 0)]}), "splits[0].amount"),
        ("capture", json!({"splits": [part("anna", 5), part("anna", 5)]}), "splits[1].seller"),
        ("capture", json!({"splits": [part("a/b", 5)]}), "splits[0].seller"),
        ("capture", json!({"splits": [{"seller": "anna", "amount": 5, "platform_fee": 1}]}), "splits[0].platform_fee"),
        ("void", json!([]), "body"),
    ]
}

async fn rows(world: &World) -> i64 {
    let rows = "select (select count(*) from idempotency_key) + (select count(*) from operation)
                + (select count(*) from payment_event) + (select count(*) from ledger_transaction)";
    world.count(rows).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_wrong_is_named_and_nothing_is_written() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let paid = api.pay(key, "paid", &order_of("anna", "order-1", 1000)).await.json();
    let path = format!("/v1/payments/{}", paid["payment_id"].as_str().unwrap());
    let before = rows(&world).await;
    for (number, (what, body, field)) in wrong_in_a_field().into_iter().enumerate() {
        let answer = api.follow(key, &format!("{path}/{what}"), &format!("key-{number}"), &body).await;
        answer.refused_field(&format!("{what} {body}"), 422, "validation_failed", field);
    }
    let posted = |path: &str| api.request(Method::POST, path).bearer_auth(key);
    for (what, request, status, code) in [
        ("no key", posted(&format!("{path}/refunds")).json(&json!({})), 400, "idempotency_key_missing"),
        (
            "no media type",
            posted(&format!("{path}/refunds")).header("idempotency-key", "k").body("{}"),
            415,
            "unsupported_media_type",
        ),
        (
            "a card number",
            posted(&format!("{path}/refunds")).header("idempotency-key", "4242424242424242").json(&json!({})),
            422,
            "card_number_refused",
        ),
        (
            "no such payment",
            posted(&format!("/v1/payments/{}/refunds", Uuid::now_v7()))
                .header("idempotency-key", "k")
                .json(&json!({})),
            404,
            "not_found",
        ),
    ] {
        api.send(request).await.refused(what, status, code);
    }
    for (path, parameter) in
        [("operations?type=tip", "type"), ("refunds?cursor=x", "cursor"), ("refunds?limit=0", "limit")]
    {
        let path = format!("/v1/payments/{}/{path}", paid["payment_id"].as_str().unwrap());
        api.get(key, &path).await.refused_field(&path, 422, "validation_failed", parameter);
    }
    assert_eq!(rows(&world).await, before);

    // what was refused did not take its key; a body may be left out
    let request = posted(&format!("{path}/refunds")).header("idempotency-key", "key-0");
    let told = api.send(request).await;
    assert_eq!((told.status, &told.json()["amount"]), (201, &json!(1000)), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_what_the_payment_does_not_allow_is_kept_for_its_key() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let mut order = order_of("anna", "order-1", 1000);
    order["splits"] = json!([
        {"seller": "anna", "amount": 700, "platform_fee": 70}, {"seller": "bert", "amount": 300, "platform_fee": 0},
    ]);
    let paid = api.pay(key, "paid", &order).await.json();
    let refunds = format!("/v1/payments/{}/refunds", paid["payment_id"].as_str().unwrap());
    let too_much = json!({"amount": 1001});
    let told = api.follow(key, &refunds, "k-1", &too_much).await;
    told.refused("too much", 409, "refund_exceeds_captured");
    assert_eq!(told.problem()["refundable_amount"], 1000);
    let again = api.follow(key, &refunds, "k-1", &too_much).await;
    assert_eq!((again.status, &again.text), (409, &told.text), "byte for byte");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    for (splits, field) in [
        (json!([{"seller": "carl", "amount": 1}]), "splits[0].seller"),
        (json!([{"seller": "anna", "amount": 1}, {"seller": "bert", "amount": 301}]), "splits[1].amount"),
    ] {
        let body = json!({"splits": splits});
        let told = api.follow(key, &refunds, &format!("k-{field}"), &body).await;
        told.refused_field(&body.to_string(), 409, "split_exceeds_seller", field);
    }
    let of_bert = json!({"splits": [{"seller": "bert", "amount": 250}]});
    let told = api.follow(key, &refunds, "k-2", &of_bert).await.json();
    assert_eq!(told["splits"], json!([{"seller": "bert", "amount": 250, "platform_fee": 0}]));
    // what is left falls on both by what each still lacks
    let rest = api.follow(key, &refunds, "k-3", &json!({})).await.json();
    assert_eq!(
        rest["splits"],
        json!([{"seller": "anna", "amount": 700, "platform_fee": 70}, {"seller": "bert", "amount": 50, "platform_fee": 0}])
    );
    world.assert_books_are_right().await;
}
