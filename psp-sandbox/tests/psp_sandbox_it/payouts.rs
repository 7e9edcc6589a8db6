//! Payouts that a call asks for.

use psp_sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};

use crate::support::{Caller, Reply, start};

/// 1.65 of it are the PSP's.
async fn funded(psp: &Caller) {
    let form = [
        ("amount", "10000"),
        ("currency", "eur"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("payment_method_types[0]", "card"),
    ];
    psp.post("/v1/payment_intents", "funds", &form).await.ok();
}

async fn pay_out(psp: &Caller, operation: &str, amount: &str) -> Reply {
    let form = [
        ("amount", amount),
        ("currency", "eur"),
        ("destination", "ba_1"),
        ("description", operation),
        ("method", "standard"),
        ("metadata[payonce_operation]", operation),
    ];
    psp.post("/v1/payouts", operation, &form).await
}

async fn advance(psp: &Caller, id: &str, status: &str) -> Reply {
    psp.try_control("POST", &format!("payouts/{id}/advance"), json!({"status": status})).await
}

async fn kinds(psp: &Caller) -> Vec<Value> {
    let events = psp.get("/v1/events?type=payout.*&limit=100").await.ok().json();
    events["data"].as_array().expect("events").iter().rev().map(|event| event["type"].clone()).collect()
}

#[tokio::test]
async fn a_payout_takes_of_the_balance_once_and_no_more_than_there_is() {
    let (_sandbox, psp) = start().await;
    funded(&psp).await;
    let made = pay_out(&psp, "op-1", "6000").await.ok();
    let again = pay_out(&psp, "op-1", "6000").await.ok();
    assert_eq!((again.header("idempotent-replayed"), &again.text), (Some("true"), &made.text));
    let payout = made.json();
    assert_eq!(
        ["status", "automatic", "destination", "amount", "failure_code"].map(|field| payout[field].clone()),
        [json!("paid"), json!(false), json!("ba_1"), json!(6000), Value::Null]
    );
    let id = made.text_at("/id");
    assert_eq!(psp.get(&format!("/v1/payouts/{id}")).await.ok().json(), payout);
    let listed = psp.get("/v1/payouts?created[gte]=1&limit=3").await.ok().json();
    assert_eq!(listed["data"], json!([payout]));
    let refused = pay_out(&psp, "op-2", "3836").await;
    assert_eq!((refused.status, refused.text_at("/error/code").as_str()), (400, "balance_insufficient"));
    pay_out(&psp, "op-3", "3835").await.ok();
    let moved: Vec<_> = psp.effects().await.into_iter().filter(|effect| effect["kind"] == "payout").collect();
    assert_eq!(moved.iter().map(|it| it["amount"].clone()).collect::<Vec<_>>(), [json!(6000), json!(3835)]);
    assert_eq!(moved[0]["metadata"], json!({"payonce_operation": "op-1"}));
    assert_eq!(kinds(&psp).await, ["payout.created", "payout.paid", "payout.created", "payout.paid"]);
}

#[tokio::test]
async fn a_payout_that_waits_goes_on_as_its_bank_says_and_may_come_back() {
    let (_sandbox, psp) = start().await;
    funded(&psp).await;
    psp.control("PATCH", "config", json!({"payouts_wait": true})).await;
    let id = pay_out(&psp, "op-1", "9835").await.ok().text_at("/id");
    assert_eq!(psp.get(&format!("/v1/payouts/{id}")).await.ok().text_at("/status"), "pending");
    for status in ["in_transit", "paid"] {
        assert_eq!(advance(&psp, &id, status).await.ok().text_at("/status"), status);
    }
    for status in ["in_transit", "paid", "pending", "canceled"] {
        assert_eq!(advance(&psp, &id, status).await.status, 400, "{status}");
    }
    let back = advance(&psp, &id, "failed").await.ok().json();
    assert_eq!((&back["status"], &back["failure_code"]), (&json!("failed"), &json!("account_closed")));
    assert!(back["failure_balance_transaction"].is_string());
    assert_eq!(advance(&psp, &id, "failed").await.status, 400);
    // it is in the balance again
    let second = pay_out(&psp, "op-2", "9835").await.ok().text_at("/id");
    assert_eq!(advance(&psp, &second, "canceled").await.ok().text_at("/status"), "canceled");
    let kinds = kinds(&psp).await;
    let told =
        ["created", "updated", "paid", "failed", "created", "canceled"].map(|kind| format!("payout.{kind}"));
    assert_eq!(kinds, told);
    let effects = psp.effects().await;
    let back: Vec<_> = effects.iter().filter(|effect| effect["kind"] == "payout_failure").collect();
    assert_eq!(back.len(), 2);
    assert_eq!(back[0]["metadata"], json!({"payonce_operation": "op-1"}));
}

#[tokio::test]
async fn payouts_are_lines_of_the_next_report_and_what_is_kept_stays() {
    let (_sandbox, psp) = start().await;
    funded(&psp).await;
    let first = psp.control("POST", "payouts", json!({"keep": 5000})).await;
    assert_eq!(first["data"][0]["amount"], 4835);
    let id = pay_out(&psp, "op-1", "3000").await.ok().text_at("/id");
    advance(&psp, &id, "failed").await.ok();
    let other = pay_out(&psp, "op-2", "1000").await.ok().text_at("/id");
    let last = psp.control("POST", "payouts", json!({})).await;
    assert_eq!((&last["data"][0]["amount"], &last["data"][0]["lines"]), (&json!(4000), &json!(3)));
    let report = psp.get("/_sandbox/settlement.csv").await.ok().text;
    let mut rows = csv::Reader::from_reader(report.as_bytes());
    let header = rows.headers().expect("a header").clone();
    let at = |name: &str| header.iter().position(|column| column == name).expect("a column");
    let found: Vec<_> = rows
        .records()
        .map(|row| row.expect("a row"))
        .map(|row| {
            ["reporting_category", "source_id", "gross", "description"].map(|name| row[at(name)].to_owned())
        })
        .filter(|row| row[0] != "charge")
        .collect();
    let expected = [
        ["payout", &id, "-30.00", "op-1"],
        ["payout_reversal", &id, "30.00", "op-1"],
        ["payout", &other, "-10.00", "op-2"],
    ];
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)));
}

#[tokio::test]
async fn a_payout_that_cannot_be_is_refused_before_anything_happens() {
    let (_sandbox, psp) = start().await;
    funded(&psp).await;
    for (field, value) in [
        ("destination", "acct_1"),
        ("currency", "huf"),
        ("method", "instant"),
        ("amount", "0"),
        ("colour", "red"),
    ] {
        let mut form = vec![("amount", "150"), ("currency", "eur"), ("destination", "ba_1")];
        form.retain(|(name, _)| *name != field);
        form.push((field, value));
        let refused = psp.post("/v1/payouts", "", &form).await;
        assert_eq!(refused.status, 400, "{field}: {}", refused.text);
    }
    assert_eq!(kinds(&psp).await, [""; 0]);
}

#[tokio::test]
async fn payouts_survive_a_restart_with_the_balance_they_left() {
    let state = tempfile::tempdir().expect("a folder");
    let config = SandboxConfig { state_dir: Some(state.path().to_owned()), ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config.clone()).await.expect("a sandbox");
    let psp = Caller::new(sandbox.url());
    funded(&psp).await;
    let made = pay_out(&psp, "op-1", "9000").await.ok().json();
    sandbox.shutdown().await;
    let sandbox = Sandbox::start(config).await.expect("a sandbox");
    let psp = Caller::new(sandbox.url());
    let id = made["id"].as_str().expect("an id");
    assert_eq!(psp.get(&format!("/v1/payouts/{id}")).await.ok().json(), made);
    assert_eq!(pay_out(&psp, "op-2", "836").await.text_at("/error/code"), "balance_insufficient");
    pay_out(&psp, "op-3", "835").await.ok();
}
