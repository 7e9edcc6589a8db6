//! Payouts and their reports.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::{Caller, payment, start};

type Row = HashMap<String, String>;

async fn report(psp: &Caller, path: &str) -> Vec<Row> {
    let text = psp.get(&format!("/_sandbox/{path}")).await.ok().text;
    csv::Reader::from_reader(text.as_bytes()).deserialize().collect::<Result<_, _>>().expect("rows")
}

fn sum(rows: &[Row], column: &str) -> Decimal {
    rows.iter().map(|row| row[column].parse::<Decimal>().expect("an amount")).sum()
}

async fn pay(psp: &Caller, operation: &str, amount: &str, currency: &str) -> String {
    let mut form = payment(operation, "pm_card_visa").to_vec();
    form[0].1 = amount;
    form[1].1 = currency;
    psp.post("/v1/payment_intents", operation, &form).await.ok().text_at("/id")
}

#[tokio::test]
async fn a_payout_is_the_sum_of_its_lines_in_each_currency() {
    let (_sandbox, psp) = start().await;
    let first = pay(&psp, "op-1", "10000", "eur").await;
    pay(&psp, "op-2", "333", "eur").await;
    pay(&psp, "op-3", "1000", "jpy").await;
    pay(&psp, "op-4", "12340", "kwd").await;
    let refund =
        [("payment_intent", first.as_str()), ("amount", "2500"), ("metadata[payonce_operation]", "re-1")];
    psp.post("/v1/refunds", "re-1", &refund).await.ok();
    let payouts = psp.control("POST", "payouts", json!({})).await;
    let payouts = payouts["data"].as_array().expect("payouts").clone();
    assert_eq!(payouts.len(), 3);

    for payout in &payouts {
        let id = payout["id"].as_str().expect("an id");
        let rows = report(&psp, &format!("payouts/{id}/settlement.csv")).await;
        assert_eq!(rows.len() as u64, payout["lines"].as_u64().expect("a count"));
        let exponent = match payout["currency"].as_str() {
            Some("jpy") => 0,
            Some("kwd") => 3,
            _ => 2,
        };
        let paid = Decimal::new(payout["amount"].as_i64().expect("an amount"), exponent);
        assert_eq!(sum(&rows, "net"), paid, "{id}");
        assert_eq!(sum(&rows, "gross") - sum(&rows, "fee"), paid, "{id}");
        let list = psp.get(&format!("/v1/balance_transactions?payout={id}&limit=100")).await.ok().json();
        let items = list["data"].as_array().expect("transactions");
        assert_eq!(items.len(), rows.len() + 1, "the payout's own movement is listed too");
        let net: i64 = items.iter().map(|it| it["net"].as_i64().expect("a net")).sum();
        assert_eq!(net, 0, "the payout empties what it pays out");
    }

    let rows = report(&psp, "settlement.csv?account=&").await;
    assert_eq!(rows.len(), 0, "no account is called that");
    let rows = report(&psp, "settlement.csv").await;
    assert_eq!(rows.len(), 5);
    let euro: Vec<_> = rows.iter().filter(|row| row["currency"] == "eur").cloned().collect();
    assert_eq!(euro[0]["gross"], "100.00");
    assert_eq!(euro[0]["fee"], "1.65");
    assert_eq!(euro[0]["net"], "98.35");
    assert_eq!(euro[0]["payment_metadata[payonce_operation]"], "op-1");
    assert_eq!(euro[0]["payment_metadata[order_id]"], "o-1");
    assert_eq!(euro[0]["payment_intent_id"], first);
    let back = euro.iter().find(|row| row["reporting_category"] == "refund").expect("a refund");
    assert_eq!(back["gross"], "-25.00");
    assert_eq!(back["fee"], "0.00");
    assert_eq!(back["refund_metadata[payonce_operation]"], "re-1");
    assert_eq!(back["payment_metadata[payonce_operation]"], "op-1");
    let yen = rows.iter().find(|row| row["currency"] == "jpy").expect("yen");
    assert_eq!(yen["gross"], "1000");
    let dinar = rows.iter().find(|row| row["currency"] == "kwd").expect("dinar");
    assert_eq!(dinar["gross"], "12.340");

    let nothing = psp.control("POST", "payouts", json!({})).await;
    assert_eq!(nothing["data"], json!([]), "what was paid out is not paid out again");
    let effects = psp.effects().await;
    assert_eq!(effects.iter().filter(|it| it["kind"] == "payout").count(), 3);
    let types = psp.get("/v1/events?types[]=payout.*&limit=100").await.ok().json();
    assert_eq!(types["data"].as_array().map(Vec::len), Some(9));
}

#[tokio::test]
async fn a_long_report_is_whole() {
    let (_sandbox, psp) = start().await;
    for number in 0..501 {
        pay(&psp, &format!("op-{number}"), "1000", "eur").await;
    }
    psp.control("POST", "payouts", json!({})).await;
    let rows = report(&psp, "settlement.csv?payment_metadata=payonce_operation&include_payout=true").await;
    assert_eq!(rows.len(), 502);
    for (number, row) in rows[..501].iter().enumerate() {
        assert_eq!(row["payment_metadata[payonce_operation]"], format!("op-{number}"));
        assert!(!row.contains_key("payment_metadata[order_id]"));
    }
    assert_eq!(rows[501]["reporting_category"], "payout");
    assert_eq!(sum(&rows, "net"), Decimal::ZERO);
}

#[tokio::test]
async fn planted_discrepancies_are_in_every_reading_until_they_are_taken_back() {
    let (_sandbox, psp) = start().await;
    for number in 1..=6 {
        pay(&psp, &format!("op-{number}"), "1000", "eur").await;
    }
    psp.control("POST", "payouts", json!({})).await;
    let truth = report(&psp, "settlement.csv").await;
    let on = |operation: &str| json!({"metadata": {"payonce_operation": operation}});
    let plant = |change: Value, matches: Value| {
        let psp = psp.clone();
        async move {
            let body = json!({"change": change, "match": matches});
            psp.control("POST", "discrepancies", body).await;
        }
    };
    plant(json!({"kind": "drop_line"}), json!({"line": 1})).await;
    plant(json!({"kind": "duplicate_line"}), on("op-2")).await;
    plant(json!({"kind": "change_amount", "by_minor": -1}), on("op-3")).await;
    plant(json!({"kind": "change_currency", "currency": "usd"}), on("op-4")).await;
    plant(json!({"kind": "unknown_line", "gross_minor": 777, "fee_minor": 7}), on("op-5")).await;

    for _ in 0..2 {
        let rows = report(&psp, "settlement.csv").await;
        let operations: Vec<_> =
            rows.iter().map(|row| row["payment_metadata[payonce_operation]"].as_str()).collect();
        assert_eq!(operations, ["op-2", "op-2", "op-3", "op-4", "op-5", "", "op-6"]);
        assert_eq!(rows[0], rows[1]);
        assert_eq!(rows[2]["gross"], "9.99");
        assert_eq!(rows[3]["currency"], "usd");
        assert_eq!(rows[5]["gross"], "7.77");
        assert_eq!(rows[5]["net"], "7.70");
        assert!(rows[5]["charge_id"].starts_with("ch_unknown"));
        assert_eq!(rows[6], truth[5]);
    }
    psp.control("DELETE", "discrepancies", json!({})).await;
    assert_eq!(report(&psp, "settlement.csv").await, truth);
}
