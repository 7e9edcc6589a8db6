//! Webhooks: early, late, twice, never. The books are the same.

use serde_json::{Value, json};
use tests::shop::Balance;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::world::{World, charge_fault, order, order_to_capture};

/// Long, so that a step that takes a slow machine long is not taken for the end of somebody's patience. The PSP hangs
/// more than once, because a call that got no answer is made again after a while.
const PATIENT: [&str; 5] =
    ["--patience=60s", "--psp-deadline=60s", "--lease=70s", "--request-timeout=80s", "--grace=60s"];

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
    let world = World::new(&PATIENT);
    let (control, client) = (&world.stage.control, &world.stage.client);

    let told = client.pay("never", &order_of("never")).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    assert_eq!(world.count("select count(*) from webhook_event").await, 0);

    world.stage.send_webhooks().await.unwrap();
    control.fault(&charge_fault(&json!({"kind": "hang", "when": "after"}), 5)).await.unwrap();
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
    control.heal().await.unwrap();
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

/// Sends `body` as the PSP would, signed; answers the status.
async fn deliver(world: &World, body: &[u8]) -> u16 {
    let shop = &world.stage.shop;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(shop.webhook_secret.as_bytes()).unwrap();
    mac.update(format!("{now}.").as_bytes());
    mac.update(body);
    let signature = format!("t={now},v1={}", hex::encode(mac.finalize().into_bytes()));
    let url = format!("http://{}/v1/webhooks/{}", world.stage.service_address(), shop.psp_account_id);
    let request = tests::http::client().unwrap().post(url).header("stripe-signature", signature);
    request.body(body.to_vec()).send().await.unwrap().status().as_u16()
}

async fn inbox(world: &World) -> Vec<(String, String)> {
    sqlx::query_as("select event_id, status from webhook_event order by event_id")
        .fetch_all(&mut world.database().await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_psp_has_signed_is_kept_also_when_it_cannot_be_read() {
    let world = World::new(&[]);
    let event = |id: &str, object: Value| {
        json!({"id": id, "object": "event", "type": "payment_intent.succeeded", "created": 1, "livemode": false,
               "data": {"object": object}})
        .to_string()
    };
    let odd =
        event("evt_odd", json!({"id": "pi_1", "object": "payment_intent", "status": "as never before"}));
    for body in [odd.as_bytes(), odd.as_bytes(), b"no json \xff", br#"{"id": "evt_nul", "note": "a\u0000b"}"#]
    {
        assert_eq!(deliver(&world, body).await, 200);
    }
    let kept = inbox(&world).await;
    let ids: Vec<&str> = kept.iter().map(|(id, _)| id.as_str()).collect();
    assert!(
        matches!(ids[..], ["evt_nul", "evt_odd", unnamed] if unnamed.starts_with("unnamed-")),
        "{kept:?}"
    );
    assert!(kept.iter().all(|(_, status)| status == "quarantined"), "{kept:?}");

    let secret_in_it = json!({"id": "evt_card", "object": "event", "type": "charge.updated", "created": 1, "livemode": false,
                              "data": {"object": {"note": "4242 4242 4242 4242"}}});
    assert_eq!(deliver(&world, secret_in_it.to_string().as_bytes()).await, 200);
    assert_eq!(
        world.count("select count(*) from webhook_event where payload::text ~ '4242'").await,
        0,
        "no card number gets into a row"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_the_other_mode_or_contradicts_its_operation_is_for_a_person_and_charges_nothing() {
    let world = World::new(&[]);
    let told = world.stage.client.pay("k", &order("order-1", 1000)).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    let operation: String = sqlx::query_scalar("select operation_id::text from operation")
        .fetch_one(&mut world.database().await)
        .await
        .unwrap();
    let event = |id: &str, livemode: bool, reference: &str, amount: i64| {
        json!({"id": id, "object": "event", "type": "payment_intent.succeeded", "created": 1, "livemode": livemode,
               "data": {"object": {"id": reference, "object": "payment_intent", "status": "succeeded", "amount": amount,
                                   "amount_received": amount, "currency": "eur",
                                   "metadata": {"payonce_operation": operation}}}})
        .to_string()
    };
    assert_eq!(deliver(&world, event("evt_live", true, "pi_x", 1000).as_bytes()).await, 200);
    assert_eq!(deliver(&world, event("evt_other", false, "pi_x", 1).as_bytes()).await, 200);
    assert_eq!(deliver(&world, event("evt_second", false, "pi_x", 1000).as_bytes()).await, 200);
    world.quiet().await;
    let status = |id: &str, status: &str| (id.to_owned(), status.to_owned());
    assert_eq!(
        inbox(&world).await,
        [
            status("evt_live", "quarantined"),
            status("evt_other", "quarantined"),
            status("evt_second", "applied")
        ]
    );
    assert_eq!(
        world
            .count(
                "select count(*) from recon_break where kind = 'captured_twice' and psp_reference = 'pi_x'"
            )
            .await,
        1,
        "a second charge is never dropped"
    );
    assert_eq!(world.count("select count(*) from ledger_transaction").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_tells_of_a_hold_taken_in_part_by_others_asks_people() {
    let world =
        World::with_idempotency("lookup", &["--patience=300ms", "--psp-deadline=500ms", "--lease=600ms"]);
    for (operation, kind) in
        [("payment_intents.create", "drop_reply"), ("payment_intents.search", "unavailable")]
    {
        let rule = json!({"fault": {"kind": kind}, "match": {"operation": operation}, "times": 1_000_000});
        world.stage.control.fault(&rule).await.unwrap();
    }
    let told = world.stage.client.pay("k", &order_to_capture("order-1", 1000)).await.unwrap();
    assert_eq!(told.status, 202, "{}", told.body);
    let operation: String = sqlx::query_scalar("select operation_id::text from operation")
        .fetch_one(&mut world.database().await)
        .await
        .unwrap();
    let intent = world.intents().await.pop().unwrap();
    let event = json!({"id": "evt_1", "object": "event", "type": "payment_intent.canceled", "created": 1, "livemode": false,
                       "data": {"object": {"id": intent, "object": "payment_intent", "status": "canceled", "amount": 1000,
                                           "amount_received": 300, "currency": "eur",
                                           "metadata": {"payonce_operation": operation}}}});
    assert_eq!(deliver(&world, event.to_string().as_bytes()).await, 200);
    let asked = "select count(*) from operation where status = 'needs_review' and reason = 'partly_captured'";
    world.eventually("people are asked", async || world.count(asked).await == 1).await;
    let kept = "select count(*) from webhook_event where status = 'applied' and applied_as = 'needs_review' and tries <= 1";
    world.eventually("the webhook says what it did", async || world.count(kept).await == 1).await;
}
