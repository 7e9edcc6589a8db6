//! What the PSP answers, and does not answer.

use serde_json::{Value, json};

use crate::world::{World, charge_fault, order};

const QUICK: [&str; 6] = ["--patience", "1s", "--psp-deadline", "2s", "--lease", "3s"];

/// Pays an order whose charge meets `fault` so often, and returns what became of it in the end.
async fn paid_in_spite_of(world: &World, name: &str, fault: &Value, times: u64) -> String {
    world.stage.control.fault(&charge_fault(fault, times)).await.unwrap();
    let request = order(&format!("order-{name}"), 1200);
    let told = world.stage.client.pay(&format!("key-{name}"), &request).await.unwrap();
    assert!(matches!(told.status, 201 | 202), "{name}: {}: {}", told.status, told.body);
    world.quiet().await;
    let told = world.stage.client.pay(&format!("key-{name}"), &request).await.unwrap();
    assert_eq!(told.status, 201, "{name}: {}", told.body);
    let stats = world.stage.control.get("stats").await.unwrap();
    assert_eq!(stats["rules"][0]["fired"], json!(times), "{name}: the fault did not strike");
    world.stage.control.heal().await.unwrap();
    told.json()["status"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_psp_answer_never_charges_twice() {
    let world = World::new(&QUICK);
    let faults = [
        ("reset", json!({"kind": "drop_reply"}), 3),
        ("closed", json!({"kind": "drop_reply", "close": "fin"}), 2),
        ("truncated", json!({"kind": "truncated_body"}), 1),
        ("garbage", json!({"kind": "garbage_body"}), 1),
        ("error", json!({"kind": "server_error", "saved": true, "executes": "all"}), 1),
        ("drip", json!({"kind": "slow_drip", "bytes": 1, "interval_ms": 1000}), 1),
    ];
    let count = faults.len();
    for (name, fault, times) in faults {
        assert_eq!(paid_in_spite_of(&world, name, &fault, times).await, "captured", "{name}");
    }
    assert_eq!(world.charges().await.len(), count);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_psp_that_refuses_before_it_charges_is_asked_again() {
    let world = World::new(&QUICK);
    let faults = [
        ("throttled", json!({"kind": "rate_limited", "retry_after_seconds": 1})),
        ("unavailable", json!({"kind": "unavailable"})),
        ("unsaved", json!({"kind": "server_error", "saved": false})),
        ("request", json!({"kind": "drop_request"})),
    ];
    let count = faults.len();
    for (name, fault) in faults {
        assert_eq!(paid_in_spite_of(&world, name, &fault, 1).await, "captured", "{name}");
    }
    assert_eq!(world.charges().await.len(), count);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_frees_the_order_for_another_card() {
    let world = World::new(&[]);
    let client = &world.stage.client;
    let mut request = order("order-1", 900);
    request["payment_method"] = json!("pm_card_visa_chargeDeclinedInsufficientFunds");
    let told = client.pay("first", &request).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("failed")), "{}", told.body);
    assert_eq!(told.json()["failure"]["decline_code"], json!("insufficient_funds"), "{}", told.body);
    let told = client.pay("second", &order("order-1", 900)).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("captured")), "{}", told.body);
    assert_eq!(told.json()["ordinal"], json!(2));
    assert_eq!(world.charges().await.len(), 1);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_buyer_never_acts_is_cancelled_and_frees_its_order() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    let mut request = order("order-1", 1200);
    request["payment_method"] = json!("pm_card_threeDSecure2Required");
    let told = world.stage.client.pay("key-1", &request).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("requires_action")), "{}", told.body);
    let rival = world.stage.client.pay("key-2", &order("order-1", 1200)).await.unwrap();
    assert_eq!(rival.status, 409, "{}", rival.body);

    let mut database = world.database().await;
    for a_day_later in [
        "update payment_event set recorded_at = now() - interval '25 hours'",
        "update operation set due_at = now() where status = 'requires_action'",
    ] {
        sqlx::query(a_day_later).execute(&mut database).await.unwrap();
    }
    world.quiet().await;
    let payments = world.stage.client.payments_of("order-1").await.unwrap();
    assert_eq!(payments.iter().map(|payment| payment.status.as_str()).collect::<Vec<_>>(), ["expired"]);
    assert!(world.charges().await.is_empty());
    let told = world.stage.client.pay("key-1", &request).await.unwrap();
    assert_eq!(
        (told.replayed, &told.json()["status"]),
        (true, &json!("requires_action")),
        "as it was answered"
    );
    let told = world.stage.client.pay("key-3", &order("order-1", 1200)).await.unwrap();
    assert_eq!((told.status, &told.json()["ordinal"]), (201, &json!(2)), "{}", told.body);
    assert_eq!(world.charges().await.len(), 1);
    world.assert_books_are_right().await;
}
