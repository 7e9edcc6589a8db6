//! Lists, search and expansion.

use std::time::Duration;

use psp_sandbox::SandboxConfig;
use serde_json::{Value, json};

use crate::support::{payment, start, start_with};

#[tokio::test]
async fn lists_are_newest_first_and_pages_meet_without_overlap() {
    let (_sandbox, psp) = start().await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(psp.pay(&format!("op-{number}"), "pm_card_visa").await.ok().text_at("/id"));
    }
    made.reverse();
    let ids = |page: &Value| -> Vec<String> {
        let items = page["data"].as_array().expect("a page");
        items.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
    };
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = psp.get(&format!("/v1/payment_intents?limit=3{cursor}")).await.ok().json();
        seen.extend(ids(&page));
        cursor = format!("&starting_after={}", seen.last().expect("an id"));
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(seen, made);
    let before = format!("/v1/payment_intents?limit=2&ending_before={}", made[4]);
    let page = psp.get(&before).await.ok().json();
    assert_eq!(ids(&page), made[2..4]);
    assert_eq!(page["has_more"], true);

    psp.control("POST", "clock", json!({"advance_seconds": 100})).await;
    let late = psp.pay("late", "pm_card_visa").await.ok().json();
    let since = format!("/v1/payment_intents?created[gte]={}", late["created"]);
    assert_eq!(ids(&psp.get(&since).await.ok().json()), [late["id"].as_str().expect("an id")]);
    let until = format!(
        "/v1/payment_intents?created[lte]={}&limit=100",
        late["created"].as_i64().expect("a time") - 50
    );
    assert_eq!(ids(&psp.get(&until).await.ok().json()), made);
}

#[tokio::test]
async fn search_learns_of_a_payment_after_its_lag() {
    let config = SandboxConfig::default();
    let (sandbox, psp) = start_with(config).await;
    psp.control("PATCH", "config", json!({"search_lag_ms": 60_000})).await;
    let id = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    let query = "metadata['payonce_operation']:'op-1'";
    assert_eq!(psp.search(query).await.json()["data"], json!([]));
    psp.get(&format!("/v1/payment_intents/{id}")).await.ok();
    sandbox.advance_clock(Duration::from_secs(61)).expect("a clock");
    assert_eq!(psp.search(query).await.text_at("/data/0/id"), id);
    let both = format!("{query} AND status:'canceled'");
    assert_eq!(psp.search(&both).await.json()["data"], json!([]));
}

#[tokio::test]
async fn ids_are_expanded_where_the_call_asks_for_it() {
    let (_sandbox, psp) = start().await;
    let mut form = payment("op-1", "pm_card_visa").to_vec();
    form.push(("expand[0]", "latest_charge.balance_transaction"));
    let paid = psp.post("/v1/payment_intents", "op-1", &form).await.ok();
    let fee = paid.json()["latest_charge"]["balance_transaction"]["fee"].clone();
    assert_eq!(fee, 40);
    assert_eq!(psp.post("/v1/payment_intents", "op-1", &form).await.ok().text, paid.text);
    let list = psp.get("/v1/payment_intents?expand[]=data.latest_charge").await.ok();
    assert_eq!(list.text_at("/data/0/latest_charge/object"), "charge");
    let wrong = psp.get("/v1/payment_intents?expand[]=data.nonsense").await;
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.text_at("/error/param"), "expand");
}
