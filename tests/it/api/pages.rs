//! Lists, to their ends and through their filters.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Api, order_of};
use crate::world::World;

/// Payments of order-1 to order-9, of which every third was declined, and of which every second is of one of two sellers.
async fn a_day_of_orders(api: &Api, key: &str) -> Vec<Value> {
    let mut payments = Vec::new();
    for number in 1..=9_i64 {
        let seller = ["anna", "bert"][usize::try_from(number % 2).unwrap()];
        let mut order = order_of(seller, &format!("order-{number}"), 100 * number);
        if number % 3 == 0 {
            order["payment_method"] = "pm_card_visa_chargeDeclined".into();
        }
        let told = api.pay(key, &format!("key-{number}"), &order).await;
        assert_eq!(told.status, 201, "{}", told.text);
        payments.push(told.json());
    }
    payments
}

fn text<'a>(item: &'a Value, member: &str) -> &'a str {
    item[member].as_str().unwrap_or_else(|| panic!("{member} of {item}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_listed_each_once_newest_first() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let mut expected = a_day_of_orders(&api, key).await;
    expected.reverse();
    for limit in [1, 2, 3, 8, 9, 10, 200] {
        assert_eq!(api.all(key, "/v1/payments?", limit).await, expected, "{limit}");
    }
    assert_eq!(api.get(key, "/v1/payments").await.json()["data"].as_array().unwrap().len(), 9);
    let of = |is_so: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        expected.iter().filter(|payment| is_so(payment)).cloned().collect()
    };
    for limit in [1, 2, 200] {
        for status in ["captured", "failed", "processing", "voided"] {
            let found = api.all(key, &format!("/v1/payments?status={status}"), limit).await;
            assert_eq!(found, of(&|payment| payment["status"] == status), "{status}");
        }
        let found = api.all(key, "/v1/payments?order_id=order-4", limit).await;
        assert_eq!(found, of(&|payment| payment["order_id"] == "order-4"));
        let (from, before) = (text(&expected[6], "created_at"), text(&expected[2], "created_at"));
        let within = |payment: &Value| (from..before).contains(&text(payment, "created_at"));
        let query = format!("/v1/payments?created_from={from}&created_before={before}");
        let found = api.all(key, &query, limit).await;
        assert_eq!(found, of(&within), "from is within and before is not");
        assert_eq!(found.len(), 4);
        let found = api.all(key, &format!("{query}&status=failed"), limit).await;
        assert_eq!(found, of(&|payment| within(payment) && payment["status"] == "failed"));
    }
    assert!(api.all(key, "/v1/payments?order_id=order-99", 1).await.is_empty());
    let shifted = api.get(key, "/v1/payments?created_before=2026-01-01T00:00:00%2B02:00").await.json();
    assert_eq!(shifted["data"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finance_reads_is_listed_each_once() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let payments = a_day_of_orders(&api, key).await;
    let captured = |payment: &&Value| payment["status"] == "captured";

    for seller in ["anna", "bert"] {
        let own =
            payments.iter().rev().filter(captured).filter(|payment| payment["splits"][0]["seller"] == seller);
        let expected: Vec<i64> = own.map(|payment| payment["amount"].as_i64().unwrap() * 9 / 10).collect();
        for limit in [1, 2, 200] {
            let path = format!("/v1/wallets/{seller}/entries?currency=EUR");
            let entries = api.all(key, &path, limit).await;
            let amounts: Vec<i64> = entries.iter().map(|entry| entry["amount"].as_i64().unwrap()).collect();
            assert_eq!(amounts, expected, "newest first");
            assert!(entries.iter().all(|entry| entry["part"] == "pending" && entry["kind"] == "capture"));
        }
        let wallet = api.get(key, &format!("/v1/wallets/{seller}")).await.json();
        assert_eq!(wallet["balances"][0]["pending"], expected.iter().sum::<i64>());
        assert!(api.all(key, &format!("/v1/wallets/{seller}/entries?currency=USD"), 1).await.is_empty());
    }

    let whole = api.all(key, "/v1/ledger/transactions?", 200).await;
    assert_eq!(whole.len(), payments.iter().filter(captured).count());
    let of_anna: Vec<Value> = whole
        .iter()
        .filter(|transaction| transaction["entries"].to_string().contains("seller_pending/anna"))
        .cloned()
        .collect();
    let source = text(&whole[1], "source_id");
    for limit in [1, 2, 3, 200] {
        assert_eq!(api.all(key, "/v1/ledger/transactions?", limit).await, whole);
        assert_eq!(api.all(key, "/v1/ledger/transactions?account=seller_pending/anna", limit).await, of_anna);
        assert_eq!(api.all(key, "/v1/ledger/transactions?account=platform_fees", limit).await, whole);
        assert_eq!(
            api.all(key, &format!("/v1/ledger/transactions?source_id={source}"), limit).await,
            whole[1..2]
        );
        let both = format!("/v1/ledger/transactions?account=seller_pending/anna&source_id={source}");
        let expected: Vec<_> =
            of_anna.iter().filter(|transaction| transaction["source_id"] == source).cloned().collect();
        assert_eq!(api.all(key, &both, limit).await, expected);
        let accounts = api.all(key, "/v1/ledger/accounts?", limit).await;
        let codes: Vec<_> = accounts.iter().map(|account| text(account, "code")).collect();
        let receivable = format!("psp_receivable/{}", world.stage.shop.psp_account_id);
        assert_eq!(codes, ["platform_fees", &receivable, "seller_pending/anna", "seller_pending/bert"]);
        assert_eq!(accounts.iter().map(|account| account["balance"].as_i64().unwrap()).sum::<i64>(), 0);
        assert_eq!(api.all(key, "/v1/ledger/accounts?currency=EUR", limit).await, accounts);
        assert_eq!(api.all(key, "/v1/ledger/accounts?as_of=2099-12-31", limit).await, accounts);
        assert!(api.all(key, "/v1/ledger/accounts?currency=USD", limit).await.is_empty());
    }
    let none = api.all(key, "/v1/ledger/accounts?as_of=2020-01-01", 2).await;
    assert!(none.iter().all(|account| account["balance"] == 0), "{none:?}");
    let before = api.get(key, "/v1/ledger/trial-balance?as_of=2020-01-01").await.json();
    assert_eq!((&before["as_of"], &before["currencies"]), (&"2020-01-01".into(), &Value::Array(Vec::new())));
}

/// Every parameter of every list, each with values that it cannot have.
const WRONG: [(&str, &str, &[&str]); 18] = [
    ("/v1/payments?", "limit", &["0", "201", "65537", "-1", "many", "", "5&limit=6"]),
    ("/v1/payments?", "cursor", &["x", "0198c1f2", "../x", "%00"]),
    ("/v1/payments?", "status", &["paid", "", "CAPTURED", "%00"]),
    ("/v1/payments?", "order_id", &["", "%00", "a%0Ab"]),
    ("/v1/payments?", "created_from", &["yesterday", "2026-01-31", "2026-13-01T00:00:00Z", "%00"]),
    ("/v1/payments?", "created_before", &["1700000000", ""]),
    ("/v1/wallets/anna/entries?", "currency", &["eur", "XXX", ""]),
    (
        "/v1/ledger/accounts?",
        "as_of",
        &["2026-02-30", "today", "2026-01-31T00:00:00Z", "2026-W05-6", "0000-01-01", "%2B2026-01-01", "%00"],
    ),
    ("/v1/ledger/trial-balance?", "as_of", &["2026-02-30", ""]),
    ("/v1/wallets/anna/entries?", "currency", &["EUR&currency=EUR"]),
    ("/v1/wallets/anna/entries?currency=EUR&", "limit", &["0", "many"]),
    ("/v1/ledger/accounts?", "limit", &["0", "many"]),
    ("/v1/ledger/transactions?", "limit", &["0", "many"]),
    ("/v1/ledger/transactions?", "source_id", &["x", "", "%00"]),
    ("/v1/ledger/transactions?", "cursor", &["x", "", "%00"]),
    ("/v1/ledger/accounts?", "cursor", &["x", "a.EUR%00", "%00.EUR", "a.eur", ".EUR", "a%0Ab.EUR"]),
    (
        "/v1/wallets/anna/entries?currency=EUR&",
        "cursor",
        &["x", "0198c1f2-6f3a-7b10-8a52-3f8f0e3c9d11", "%00"],
    ),
    ("/v1/ledger/transactions?", "account", &["", "%00", "a%00b", "a%0Ab", "%C3%A4", "a%20b"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_is_wrong_is_named() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    for (list, field, values) in WRONG {
        for value in values {
            let path = format!("{list}{field}={value}");
            api.get(key, &path).await.refused_field(&path, 422, "validation_failed", field);
        }
    }
    for (path, field) in [
        ("/v1/payments/nonsense", "payment_id"),
        ("/v1/payments/%00/timeline", "payment_id"),
        ("/v1/payments/%ff", "payment_id"),
        ("/v1/wallets/a%2Fb", "seller"),
        ("/v1/wallets/%00/entries?currency=EUR", "seller"),
        (&format!("/v1/wallets/{}", "s".repeat(65)), "seller"),
        ("/v1/wallets/anna/entries", "currency"),
        ("/v1/payments?sort=asc", "sort"),
        ("/v1/ledger/trial-balance?currency=EUR", "currency"),
    ] {
        api.get(key, path).await.refused_field(path, 422, "validation_failed", field);
    }
    let lists: BTreeSet<_> = WRONG.iter().map(|(list, ..)| *list).collect();
    assert_eq!(lists.len(), 6);
}
