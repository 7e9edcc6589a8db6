//! What buyers' banks ask back: opened, answered, won and lost, by webhook and by settlement file.

use serde_json::{Value, json};
use tests::shop::Balance;

use crate::world::{World, order, order_to_capture};

/// A shop that gets the PSP's webhooks.
async fn hearing() -> World {
    let world = World::new(&[]);
    world.stage.send_webhooks().await.unwrap();
    world
}

async fn paid(world: &World, request: &Value) -> String {
    let key = format!("pay-{}", request["order_id"]).replace('"', "");
    let told = world.stage.client.pay(&key, request).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    told.json()["payment_id"].as_str().unwrap().to_owned()
}

async fn payment(world: &World, id: &str) -> Value {
    world.stage.client.read(&format!("/v1/payments/{id}")).await.unwrap()
}

async fn decided(world: &World, dispute: &str, status: &str) {
    let path = format!("disputes/{dispute}/decide");
    world.stage.control.post(&path, &json!({"status": status})).await.unwrap();
    world.heard().await;
}

/// The payment's only dispute.
async fn dispute(world: &World, payment: &str) -> Value {
    let page: Value = world.stage.client.read(&format!("/v1/disputes?payment_id={payment}")).await.unwrap();
    let [one] = page["data"].as_array().unwrap().as_slice() else { panic!("{page}") };
    let id = one["dispute_id"].as_str().unwrap();
    let alone: Value = world.stage.client.read(&format!("/v1/disputes/{id}")).await.unwrap();
    assert_eq!(&alone, one);
    alone
}

async fn wallet(world: &World) -> (i64, i64, i64, i64) {
    let wallets = world.stage.client.wallet("seller-1").await.unwrap();
    let [Balance { pending, available, held, debt, .. }] = wallets.as_slice() else { panic!("{wallets:?}") };
    (*pending, *available, *held, *debt)
}

/// What an account of ours comes to, debits positive.
async fn account(world: &World, code: &str) -> i64 {
    let balances = world.stage.client.trial_balance().await.unwrap();
    let of = |balance: &tests::shop::TrialBalance| {
        balance.accounts.iter().find(|account| account.code == code).map_or(0, |account| account.balance)
    };
    balances.iter().map(of).sum()
}

async fn kinds(world: &World) -> Vec<String> {
    let query = "select type from payment_event where type like '%dispute%' order by recorded_at, version";
    sqlx::query_scalar(query).fetch_all(&mut world.database().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_holds_the_sellers_money_and_gives_it_back_when_it_is_won() {
    let world = hearing().await;
    let id = paid(&world, &order("order-1", 10_000)).await;
    let name = world.disputed(&json!({})).await;
    let open = dispute(&world, &id).await;
    assert_eq!(
        ["status", "funds", "amount", "fee", "reason", "psp_reference"].map(|field| &open[field]),
        [
            &json!("evidence_due"),
            &json!("taken"),
            &json!(10_000),
            &json!(2000),
            &json!("fraudulent"),
            &json!(name)
        ]
    );
    assert!(open["evidence_due_at"].is_string(), "{open}");
    assert_eq!(open["splits"], json!([{"seller": "seller-1", "amount": 10_000, "platform_fee": 1000}]));
    assert_eq!(wallet(&world).await, (0, 0, 9000, 0));
    assert_eq!((account(&world, "disputes").await, account(&world, "psp_fees").await), (10_000, 2000));
    let paid = payment(&world, &id).await;
    assert_eq!((&paid["status"], &paid["disputed_amount"]), (&json!("captured"), &json!(10_000)));
    // what the bank has cannot be given back as well
    let refund = world.stage.client.follow(&id, "refunds", "r-1", &json!({"amount": 1})).await.unwrap();
    assert_eq!((refund.status, refund.problem().as_deref()), (409, Some("refund_exceeds_captured")));
    assert_eq!(
        (&refund.json()["refundable_amount"], &refund.json()["disputed_amount"]),
        (&json!(0), &json!(10_000))
    );
    world.assert_books_are_right().await;

    let path = format!("disputes/{name}");
    world.psp_post(&path, &[("evidence[uncategorized_text]", "it was delivered"), ("submit", "true")]).await;
    world.heard().await;
    assert_eq!(dispute(&world, &id).await["status"], "under_review");
    // settled while the bank decides: what is the seller's stays held
    world.settle().await;
    assert_eq!(wallet(&world).await, (0, 0, 9000, 0));
    decided(&world, &name, "won").await;
    let won = dispute(&world, &id).await;
    assert_eq!((&won["status"], &won["funds"]), (&json!("won"), &json!("returned")));
    assert_eq!(payment(&world, &id).await["disputed_amount"], 0);
    assert_eq!(wallet(&world).await, (0, 9000, 0, 0));
    world.settle().await;
    assert_eq!((account(&world, "disputes").await, account(&world, "suspense").await), (0, 0));
    assert_eq!(account(&world, "psp_fees").await, 2000 + 165, "each fee once");
    let told = ["opened", "updated", "won"].map(|kind| format!("payment.dispute_{kind}"));
    assert_eq!(kinds(&world).await, told);
    let refund = world.stage.client.follow(&id, "refunds", "r-2", &json!({})).await.unwrap();
    assert_eq!((refund.status, &refund.json()["status"]), (201, &json!("succeeded")), "{}", refund.body);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_is_lost_is_paid_by_whoever_had_the_money() {
    let world = hearing().await;
    let id = paid(&world, &order("order-1", 10_000)).await;
    world.settle().await;
    assert_eq!(wallet(&world).await, (0, 9000, 0, 0));
    let part = world.stage.client.follow(&id, "refunds", "r-1", &json!({"amount": 2000})).await.unwrap();
    assert_eq!(part.status, 201, "{}", part.body);
    let name = world.disputed(&json!({"amount": 5000, "reason": "product_not_received"})).await;
    assert_eq!(wallet(&world).await, (0, 9000 - 1800 - 4500, 4500, 0));
    world.psp_post(&format!("disputes/{name}/close"), &[]).await;
    world.heard().await;
    let lost = dispute(&world, &id).await;
    assert_eq!((&lost["status"], &lost["funds"]), (&json!("lost"), &json!("lost")));
    assert_eq!(wallet(&world).await, (0, 2700, 0, 0));
    assert_eq!(account(&world, "platform_fees").await, -(1000 - 200 - 500));
    let left = world.stage.client.follow(&id, "refunds", "r-2", &json!({"amount": 3001})).await.unwrap();
    assert_eq!((left.status, &left.json()["refundable_amount"]), (409, &json!(3000)), "{}", left.body);
    world.settle().await;
    assert_eq!((account(&world, "disputes").await, account(&world, "suspense").await), (0, 0));
    world.assert_books_are_right().await;

    // the bank thinks again
    decided(&world, &name, "won").await;
    let won = dispute(&world, &id).await;
    assert_eq!((&won["status"], &won["funds"]), (&json!("won"), &json!("returned")));
    assert_eq!(wallet(&world).await, (0, 7200, 0, 0));
    assert_eq!(account(&world, "platform_fees").await, -800);
    world.settle().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_moves_nothing_until_it_becomes_a_chargeback() {
    let world = hearing().await;
    let id = paid(&world, &order("order-1", 1000)).await;
    let name = world.disputed(&json!({"inquiry": true})).await;
    let asked = dispute(&world, &id).await;
    assert_eq!((&asked["status"], &asked["funds"]), (&json!("inquiry"), &json!("left")));
    assert_eq!(
        (wallet(&world).await, payment(&world, &id).await["disputed_amount"].as_i64()),
        ((900, 0, 0, 0), Some(0))
    );
    decided(&world, &name, "warning_closed").await;
    assert_eq!(dispute(&world, &id).await["status"], "closed");
    decided(&world, &name, "needs_response").await;
    let open = dispute(&world, &id).await;
    assert_eq!((&open["status"], &open["funds"]), (&json!("evidence_due"), &json!("taken")));
    assert_eq!(wallet(&world).await, (0, 0, 900, 0));
    decided(&world, &name, "lost").await;
    let told = ["inquiry", "closed", "opened", "lost"].map(|kind| format!("payment.dispute_{kind}"));
    assert_eq!(kinds(&world).await, told);
    world.settle().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bank_takes_beyond_what_refunds_left_is_booked_and_is_a_break() {
    let world = hearing().await;
    let id = paid(&world, &order("order-1", 1000)).await;
    let given = world.stage.client.follow(&id, "refunds", "r-1", &json!({"amount": 400})).await.unwrap();
    assert_eq!(given.status, 201, "{}", given.body);
    let name = world.disputed(&json!({"amount": 1000})).await;
    assert_eq!(payment(&world, &id).await["disputed_amount"], 1000);
    // 360 are gone with the refund, and 40 of the platform's fee, which gives back no more of it than there is
    assert_eq!(wallet(&world).await, (0, 0, 940, 400));
    let breaks = world.count("select count(*) from recon_break where kind = 'disputed_beyond' and found = 1000 and expected = 600").await;
    assert_eq!(breaks, 1);
    decided(&world, &name, "lost").await;
    assert_eq!(wallet(&world).await, (0, 0, 0, 400));
    world.settle_with_breaks().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_and_a_chargeback_never_both_take_the_same_money_from_a_seller() {
    let world = hearing().await;
    for round in 0..10 {
        let id = paid(&world, &order(&format!("order-{round}"), 1000)).await;
        let intent = world.intents().await.pop().unwrap();
        let (key, request) = (format!("r-{round}"), json!({"payment_intent": intent}));
        let body = json!({"amount": 600});
        let (refund, bank) = tokio::join!(
            world.stage.client.follow(&id, "refunds", &key, &body),
            world.stage.control.post("disputes", &request),
        );
        let refund = refund.unwrap();
        bank.unwrap();
        world.heard().await;
        let after = payment(&world, &id).await;
        let of = |name: &str| after[name].as_i64().unwrap();
        assert_eq!((of("refund_reserved_amount"), of("disputed_amount")), (0, 1000), "{after}");
        // the PSP gave both, or one: our books say which
        let given = if refund.json()["status"] == "succeeded" { 600 } else { 0 };
        assert_eq!(of("refunded_amount"), given, "{}", refund.body);
    }
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_a_dispute_in_any_order_or_twice_or_not_at_all_end_in_the_same_books() {
    let mut seen = Vec::new();
    for webhooks in [
        json!({}),
        json!({"duplicate_rate": 1.0}),
        json!({"reorder_rate": 0.5, "reorder_delay_ms": {"min": 20, "max": 200}, "duplicate_rate": 0.5}),
    ] {
        let world = hearing().await;
        let id = paid(&world, &order("order-1", 1000)).await;
        world.heard().await;
        world.stage.control.configure(&json!({"webhooks": webhooks})).await.unwrap();
        let request = json!({"payment_intent": world.intents().await.pop().unwrap(), "inquiry": true});
        let made = world.stage.control.post("disputes", &request).await.unwrap();
        let name = made["id"].as_str().unwrap();
        for status in ["needs_response", "lost", "won"] {
            let path = format!("disputes/{name}/decide");
            world.stage.control.post(&path, &json!({"status": status})).await.unwrap();
        }
        world.heard().await;
        world.settle().await;
        world.assert_books_are_right().await;
        let end = dispute(&world, &id).await;
        seen.push((end["funds"].clone(), wallet(&world).await, account(&world, "psp_fees").await));
    }
    assert!(seen.iter().all(|end| *end == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_webhook_told_of_a_dispute_the_settlement_file_does() {
    let world = hearing().await;
    let id = paid(&world, &order("order-1", 1000)).await;
    let name = world.disputed(&json!({"inquiry": true})).await;
    world.stage.control.configure(&json!({"webhooks": {"lose_rate": 1.0}})).await.unwrap();
    decided(&world, &name, "needs_response").await;
    assert_eq!(dispute(&world, &id).await["funds"], "left");
    world.settle().await;
    assert_eq!(dispute(&world, &id).await["funds"], "taken");
    assert_eq!(wallet(&world).await, (0, 0, 900, 0));
    decided(&world, &name, "won").await;
    world.settle().await;
    assert_eq!(dispute(&world, &id).await["funds"], "returned");
    assert_eq!(wallet(&world).await, (0, 900, 0, 0));
    assert_eq!((account(&world, "disputes").await, account(&world, "suspense").await), (0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disputes_are_listed_by_page_and_status() {
    let world = hearing().await;
    for round in 0..3 {
        paid(&world, &order(&format!("order-{round}"), 1000)).await;
        let inquiry = json!({"inquiry": round == 2});
        world.disputed(&inquiry).await;
    }
    let read = async |query: &str| -> Value {
        world.stage.client.read(&format!("/v1/disputes{query}")).await.unwrap()
    };
    let first = read("?limit=2").await;
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    assert_eq!(first["data"][0]["status"], "inquiry", "the last one first");
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = read(&format!("?limit=2&cursor={cursor}")).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    assert_eq!(read("?status=evidence_due").await["data"].as_array().unwrap().len(), 2);
    assert_eq!(read("?status=won").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_of_a_payment_taken_in_parts_falls_on_what_was_captured() {
    let world = hearing().await;
    let mut request = order_to_capture("order-1", 1000);
    request["splits"] = json!([
        {"seller": "seller-1", "amount": 700, "platform_fee": 70},
        {"seller": "seller-2", "amount": 300, "platform_fee": 0},
    ]);
    let id = paid(&world, &request).await;
    let body = json!({"amount": 500, "splits": [{"seller": "seller-1", "amount": 500}]});
    let told = world.stage.client.follow(&id, "capture", "c-1", &body).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    world.disputed(&json!({})).await;
    let open = dispute(&world, &id).await;
    assert_eq!(open["splits"], json!([{"seller": "seller-1", "amount": 500, "platform_fee": 50}]));
    assert_eq!(wallet(&world).await, (0, 0, 450, 0));
    world.assert_books_are_right().await;
}
