//! Webhooks: early, late, twice, never. The books are the same.

use serde_json::{Value, json};
use tests::shop::Balance;

use crate::world::{World, charge_fault, order};

/// The order of a seller of its own.
fn order_of(seller: &str) -> Value {
    let mut order = order(&format!("order-of-{seller}"), 2000);
    order["splits"] = json!([{"seller": seller, "amount": 2000, "platform_fee": 150}]);
    order
}

async fn delivered(world: &World) {
    world.stage.control.webhooks_delivered().await.unwrap();
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_before_after_twice_or_never_makes_the_same_books() {
    let world = World::new(&[]);
    let (control, client) = (&world.stage.control, &world.stage.client);

    let told = client.pay("never", &order_of("never")).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    assert_eq!(world.count("select count(*) from webhook_event").await, 0);

    world.stage.send_webhooks().await.unwrap();
    control.fault(&charge_fault(&json!({"kind": "hang", "when": "after"}), 1)).await.unwrap();
    let early = client.clone();
    let asking = tokio::spawn(async move { early.pay("before", &order_of("before")).await });
    control.get("wait?hanging=1").await.unwrap();
    world
        .eventually("the webhook alone captures the payment", async || {
            let payments = client.payments_of("order-of-before").await.unwrap();
            payments.iter().any(|payment| payment.status == "captured")
        })
        .await;
    assert!(!asking.is_finished(), "the PSP has not answered yet");
    control.post("faults/release", &json!({})).await.unwrap();
    let told = asking.await.unwrap().unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("captured")), "{}", told.body);
    delivered(&world).await;

    control.configure(&json!({"webhooks": {"delay_ms": {"min": 200, "max": 200}}})).await.unwrap();
    let told = client.pay("after", &order_of("after")).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    delivered(&world).await;

    control.configure(&json!({"webhooks": {"duplicate_rate": 1.0}})).await.unwrap();
    let told = client.pay("twice", &order_of("twice")).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    delivered(&world).await;

    let mut wallets = Vec::new();
    for seller in ["never", "before", "after", "twice"] {
        wallets.push(client.wallet(seller).await.unwrap());
    }
    let wallet = Balance { currency: "EUR".to_owned(), pending: 1850, available: 0, held: 0, debt: 0 };
    assert_eq!(wallets, vec![vec![wallet]; 4]);
    assert_eq!(world.count("select count(*) from ledger_transaction").await, 4);
    assert_eq!(
        world.count("select count(*) from payment_event").await,
        8,
        "each has two: created and captured"
    );
    let stats = control.get("stats").await.unwrap();
    assert!(stats["webhooks"].to_string().contains("duplicate"), "{}", stats["webhooks"]);
    assert_eq!(world.charges().await.len(), 4);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_not_the_psp_s_is_refused_and_changes_nothing() {
    let world = World::new(&[]);
    let http = tests::http::client().unwrap();
    let account = &world.stage.shop.psp_account_id;
    let url = format!("http://{}/v1/webhooks/{account}", world.stage.service_address());
    let event = json!({"id": "evt_1", "object": "event", "type": "payment_intent.succeeded"}).to_string();
    for signature in [None, Some("t=1700000000,v1=00"), Some("nonsense")] {
        let mut request = http.post(&url).header("content-type", "application/json").body(event.clone());
        if let Some(signature) = signature {
            request = request.header("stripe-signature", signature);
        }
        assert_eq!(request.send().await.unwrap().status().as_u16(), 401, "{signature:?}");
    }
    assert_eq!(world.count("select count(*) from webhook_event").await, 0);
}
