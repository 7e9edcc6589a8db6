//! A payment from its answer to its history.

use serde_json::{Value, json};

use super::{Api, order_of};
use crate::world::World;

/// The timeline's entries as `source kind outcome`, after a look at their order.
async fn history(api: &Api, key: &str, payment: &Value) -> Vec<String> {
    let id = payment["payment_id"].as_str().unwrap();
    let timeline = api.get(key, &format!("/v1/payments/{id}/timeline")).await.json();
    assert_eq!(timeline["payment_id"], payment["payment_id"]);
    let entries = timeline["entries"].as_array().unwrap();
    let at: Vec<_> = entries.iter().map(|entry| moment(&entry["at"])).collect();
    assert!(at.is_sorted(), "{timeline:#}");
    let operations: std::collections::BTreeSet<_> =
        entries.iter().filter_map(|entry| entry["operation_id"].as_str()).collect();
    assert_eq!(operations.len(), 1, "{timeline:#}");
    let word = |entry: &Value, member: &str| entry[member].as_str().unwrap_or("-").to_owned();
    entries
        .iter()
        .map(|entry| ["source", "kind", "outcome"].map(|member| word(entry, member)).join(" "))
        .collect()
}

fn moment(text: &Value) -> time::OffsetDateTime {
    let format = time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text.as_str().unwrap(), &format).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_reads_as_it_was_answered_and_its_history_is_in_order() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let mut declined = order_of("anna", "declined", 700);
    declined["payment_method"] = json!("pm_card_visa_chargeDeclinedInsufficientFunds");
    let captured = order_of("anna", "captured", 1000);
    for (body, status, expected) in [
        (
            &captured,
            "captured",
            vec![
                "event payment.created processing",
                "attempt authorize succeeded",
                "event payment.captured captured",
                "ledger capture posted",
            ],
        ),
        (
            &declined,
            "failed",
            vec![
                "event payment.created processing",
                "attempt authorize declined",
                "attempt cancel declined",
                "event payment.failed failed",
            ],
        ),
    ] {
        let told = api.pay(key, status, body).await;
        assert_eq!((told.status, told.header("idempotent-replayed")), (201, None), "{}", told.text);
        let payment = told.json();
        assert_eq!(payment["status"], status);
        for member in ["order_id", "amount", "currency", "payment_method", "splits"] {
            assert_eq!(payment[member], body[member], "{member}");
        }
        assert_eq!(
            payment["failure"]["decline_code"].as_str(),
            (status == "failed").then_some("insufficient_funds")
        );
        let again = api.pay(key, status, body).await;
        assert_eq!((again.status, &again.text), (201, &told.text), "byte for byte");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let id = payment["payment_id"].as_str().unwrap();
        assert_eq!(api.get(key, &format!("/v1/payments/{id}")).await.json(), payment);
        assert_eq!(history(&api, key, &payment).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_payment_failed_is_paid_by_the_next_one() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let mut order = order_of("anna", "order-1", 700);
    order["payment_method"] = json!("pm_card_visa_chargeDeclined");
    let first = api.pay(key, "first", &order).await.json();
    order["payment_method"] = json!("pm_card_visa");
    let second = api.pay(key, "second", &order).await.json();
    assert_eq!((&first["ordinal"], &second["ordinal"]), (&json!(1), &json!(2)));
    assert_eq!(second["status"], "captured");
    let third = api.pay(key, "third", &order).await;
    third.refused("a third", 409, "order_has_live_payment");
    assert_eq!(third.problem()["payment_id"], second["payment_id"]);
    let again = api.pay(key, "third", &order).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.text, third.text);
}
