//! What follows an authorisation: captures, voids, refunds.

use serde_json::{Value, json};
use tests::shop::{Balance, Told};
use tokio::task::block_in_place;

use crate::world::{World, order, order_to_capture};

const QUICK: [&str; 6] = ["--patience", "1s", "--psp-deadline", "2s", "--lease", "3s"];

/// A payment that is held, or captured at once.
async fn paid(world: &World, request: &Value) -> String {
    let key = format!("pay-{}", request["order_id"]).replace('"', "");
    let told = world.stage.client.pay(&key, request).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    told.json()["payment_id"].as_str().unwrap().to_owned()
}

async fn payment(world: &World, id: &str) -> Value {
    world.stage.client.read(&format!("/v1/payments/{id}")).await.unwrap()
}

async fn follow(world: &World, id: &str, what: &str, key: &str, body: &Value) -> Told {
    world.stage.client.follow(id, what, key, body).await.unwrap()
}

#[track_caller]
fn assert_told(told: &Told, status: u16, standing: &str) {
    assert_eq!((told.status, told.json()["status"].as_str()), (status, Some(standing)), "{}", told.body);
}

#[track_caller]
fn assert_refused(told: &Told, code: &str) {
    assert_eq!((told.status, told.problem().as_deref()), (409, Some(code)), "{}", told.body);
}

fn wallet(pending: i64, available: i64, held: i64, debt: i64) -> Vec<Balance> {
    vec![Balance { currency: "EUR".to_owned(), pending, available, held, debt }]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_captured_in_parts_and_given_back_in_parts() {
    let world = World::new(&QUICK);
    let client = &world.stage.client;
    let id = paid(&world, &order_to_capture("order-1", 10_000)).await;
    let held = payment(&world, &id).await;
    assert_eq!((&held["status"], &held["authorized_amount"]), (&json!("authorized"), &json!(10_000)));
    assert_eq!(world.kept().await, 0);

    let first = follow(&world, &id, "capture", "c-1", &json!({"amount": 3000, "final": false})).await;
    assert_told(&first, 201, "succeeded");
    assert_eq!(payment(&world, &id).await["status"], "partially_captured");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(2700, 0, 0, 0));
    let again = follow(&world, &id, "capture", "c-1", &json!({"amount": 3000, "final": false})).await;
    assert_eq!((again.replayed, &again.body), (true, &first.body));
    let other = follow(&world, &id, "capture", "c-1", &json!({"amount": 3001, "final": false})).await;
    assert_eq!(
        (other.status, &other.json()["errors"][0]["field"]),
        (422, &json!("amount")),
        "{}",
        other.body
    );

    let too_much = follow(&world, &id, "capture", "c-2", &json!({"amount": 7001})).await;
    assert_refused(&too_much, "capture_exceeds_hold");
    assert_eq!(too_much.json()["capturable_amount"], 7000);
    assert_told(&follow(&world, &id, "capture", "c-3", &json!({"amount": 5000})).await, 201, "succeeded");
    let captured = payment(&world, &id).await;
    assert_eq!((&captured["status"], &captured["captured_amount"]), (&json!("captured"), &json!(8000)));
    assert_refused(&follow(&world, &id, "capture", "c-4", &json!({})).await, "payment_state_conflict");
    assert_refused(&follow(&world, &id, "void", "v-1", &json!({})).await, "payment_state_conflict");

    assert_told(&follow(&world, &id, "refunds", "r-1", &json!({"amount": 1000})).await, 201, "succeeded");
    assert_told(&follow(&world, &id, "refunds", "r-2", &json!({"amount": 1})).await, 201, "succeeded");
    let kept = json!({"amount": 999, "refund_platform_fee": false});
    assert_told(&follow(&world, &id, "refunds", "r-3", &kept).await, 201, "succeeded");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(7200 - 900 - 1 - 999, 0, 0, 0));
    let too_much = follow(&world, &id, "refunds", "r-4", &json!({"amount": 6001})).await;
    assert_refused(&too_much, "refund_exceeds_captured");
    assert_eq!(too_much.json()["refundable_amount"], 6000);
    assert_told(&follow(&world, &id, "refunds", "r-5", &json!({})).await, 201, "succeeded");
    assert_refused(&follow(&world, &id, "refunds", "r-6", &json!({})).await, "refund_exceeds_captured");
    let given = payment(&world, &id).await;
    assert_eq!((&given["refunded_amount"], &given["status"]), (&json!(8000), &json!("captured")));
    assert_eq!(world.kept().await, 0);
    let refunds: Value = client.read(&format!("/v1/payments/{id}/refunds?limit=3")).await.unwrap();
    assert_eq!(refunds["data"].as_array().unwrap().len(), 3);
    let cursor = refunds["next_cursor"].as_str().unwrap();
    let rest: Value = client.read(&format!("/v1/payments/{id}/refunds?cursor={cursor}")).await.unwrap();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    let operation = rest["data"][0]["operation_id"].as_str().unwrap();
    let one: Value = client.read(&format!("/v1/operations/{operation}")).await.unwrap();
    assert_eq!(one, rest["data"][0]);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_go_is_not_captured_and_frees_its_order() {
    let world = World::new(&QUICK);
    let id = paid(&world, &order_to_capture("order-1", 5000)).await;
    assert_told(&follow(&world, &id, "void", "v-1", &json!({})).await, 201, "succeeded");
    assert_eq!(payment(&world, &id).await["status"], "voided");
    assert_refused(&follow(&world, &id, "capture", "c-1", &json!({})).await, "payment_state_conflict");
    assert_refused(&follow(&world, &id, "refunds", "r-1", &json!({})).await, "payment_state_conflict");
    let second = world.stage.client.pay("again", &order("order-1", 5000)).await.unwrap();
    assert_told(&second, 201, "captured");

    let part = paid(&world, &order_to_capture("order-2", 5000)).await;
    let first = follow(&world, &part, "capture", "c-2", &json!({"amount": 2000, "final": false})).await;
    assert_told(&first, 201, "succeeded");
    assert_told(&follow(&world, &part, "void", "v-2", &json!({})).await, 201, "succeeded");
    let ended = payment(&world, &part).await;
    assert_eq!((&ended["status"], &ended["captured_amount"]), (&json!("captured"), &json!(2000)));
    assert_told(&follow(&world, &part, "refunds", "r-2", &json!({})).await, 201, "succeeded");
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_waits_for_its_buyer_can_be_ended() {
    let world = World::new(&QUICK);
    let mut request = order("order-1", 1200);
    request["payment_method"] = json!("pm_card_threeDSecure2Required");
    let id = paid(&world, &request).await;
    assert_eq!(payment(&world, &id).await["status"], "requires_action");
    assert_refused(&follow(&world, &id, "capture", "c-1", &json!({})).await, "payment_state_conflict");
    assert_told(&follow(&world, &id, "void", "v-1", &json!({})).await, 201, "succeeded");
    assert_eq!(payment(&world, &id).await["status"], "voided");
    world.quiet().await;
    let second = world.stage.client.pay("again", &order("order-1", 1200)).await.unwrap();
    assert_told(&second, 201, "captured");
    assert_eq!(world.done("cancel").await, 1);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_refunds_that_together_are_too_much_never_both_succeed() {
    let world = World::new(&QUICK);
    for round in 0..20 {
        let id = paid(&world, &order(&format!("order-{round}"), 10_000)).await;
        let body = json!({"amount": 6000});
        let (one, other) = (format!("one-{round}"), format!("other-{round}"));
        let (one, other) = tokio::join!(
            follow(&world, &id, "refunds", &one, &body),
            follow(&world, &id, "refunds", &other, &body)
        );
        let (winner, loser) = if one.status == 201 { (one, other) } else { (other, one) };
        assert_told(&winner, 201, "succeeded");
        assert_refused(&loser, "refund_exceeds_captured");
        let problem = loser.json();
        let sum = problem["refunded_amount"].as_i64().unwrap()
            + problem["refund_reserved_amount"].as_i64().unwrap();
        assert_eq!((sum, &problem["refundable_amount"]), (6000, &json!(4000)), "{}", loser.body);
        assert_eq!(world.done("refund").await, round + 1);
    }
    let stats = world.stage.control.get("stats").await.unwrap();
    assert_eq!(stats["calls"]["refunds.create"], 20, "{stats}");
    world.assert_books_are_right().await;
}

/// A fault of the PSP's at each of the next so many calls of a kind.
fn fault(operation: &str, fault: &Value, times: u64) -> Value {
    json!({"fault": fault, "match": {"operation": operation}, "times": times})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_what_follows_never_does_it_twice() {
    let world = World::new(&QUICK);
    let control = &world.stage.control;
    let faults = [
        ("reset", json!({"kind": "drop_reply"}), 3),
        ("truncated", json!({"kind": "truncated_body"}), 1),
        ("garbage", json!({"kind": "garbage_body"}), 1),
        ("error", json!({"kind": "server_error", "saved": true, "executes": "all"}), 1),
        ("unsaved", json!({"kind": "server_error", "saved": false}), 1),
        ("throttled", json!({"kind": "rate_limited", "retry_after_seconds": 1}), 1),
        ("request", json!({"kind": "drop_request"}), 1),
    ];
    let mut count = 0;
    for (name, kind, times) in &faults {
        let captured = paid(&world, &order_to_capture(&format!("c-{name}"), 1000)).await;
        let let_go = paid(&world, &order_to_capture(&format!("v-{name}"), 1000)).await;
        let given = paid(&world, &order(&format!("r-{name}"), 1000)).await;
        for (id, what, operation, body) in [
            (&captured, "capture", "payment_intents.capture", json!({"amount": 900})),
            (&let_go, "void", "payment_intents.cancel", json!({})),
            (&given, "refunds", "refunds.create", json!({"amount": 300})),
        ] {
            control.fault(&fault(operation, kind, *times)).await.unwrap();
            let key = format!("{what}-{name}");
            let told = follow(&world, id, what, &key, &body).await;
            assert!(matches!(told.status, 201 | 202), "{name}: {what}: {}", told.body);
            world.quiet().await;
            let told = follow(&world, id, what, &key, &body).await;
            assert_told(&told, 201, "succeeded");
            let stats = control.get("stats").await.unwrap();
            assert_eq!(stats["rules"][0]["fired"], json!(times), "{name}: {what}: the fault did not strike");
            control.heal().await.unwrap();
        }
        count += 1;
        assert_eq!(payment(&world, &captured).await["captured_amount"], 900);
        assert_eq!(payment(&world, &let_go).await["status"], "voided");
        assert_eq!(payment(&world, &given).await["refunded_amount"], 300);
        for kind in ["capture", "cancel", "refund"] {
            assert_eq!(world.done(kind).await, count, "{name}: {kind}");
        }
    }
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_psp_refuses_has_failed_and_leaves_everything_as_it_was() {
    let world = World::new(&QUICK);
    let client = &world.stage.client;
    // given back behind our back: the PSP has less to give than we know of
    let given = paid(&world, &order("order-1", 1000)).await;
    let intent = world.stage.control.effects().await.unwrap()[0].payment_intent.clone().unwrap();
    world.psp_post("refunds", &[("payment_intent", intent.as_str()), ("amount", "800")]).await;
    let told = follow(&world, &given, "refunds", "r-1", &json!({"amount": 300})).await;
    assert_told(&told, 201, "failed");
    assert_eq!(told.json()["failure"]["code"], "rejected", "{}", told.body);
    let after = payment(&world, &given).await;
    assert_eq!((&after["refunded_amount"], &after["refund_reserved_amount"]), (&json!(0), &json!(0)));
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(900, 0, 0, 0));
    assert_told(&follow(&world, &given, "refunds", "r-2", &json!({"amount": 200})).await, 201, "succeeded");

    // let go behind our back
    let held = paid(&world, &order_to_capture("order-2", 500)).await;
    let effects = world.stage.control.effects().await.unwrap();
    let intent = effects.last().unwrap().payment_intent.clone().unwrap();
    world.psp_post(&format!("payment_intents/{intent}/cancel"), &[]).await;
    let told = follow(&world, &held, "capture", "c-1", &json!({})).await;
    assert_told(&told, 201, "failed");
    assert_eq!(told.json()["failure"]["code"], "released", "{}", told.body);
    // whether it is let go by us or by somebody else, it is
    assert_told(&follow(&world, &held, "void", "v-1", &json!({})).await, 201, "succeeded");
    assert_eq!(payment(&world, &held).await["status"], "voided");

    // captured behind our back
    let taken = paid(&world, &order_to_capture("order-3", 500)).await;
    let effects = world.stage.control.effects().await.unwrap();
    let intent = effects.last().unwrap().payment_intent.clone().unwrap();
    world.psp_post(&format!("payment_intents/{intent}/capture"), &[]).await;
    let told = follow(&world, &taken, "void", "v-2", &json!({})).await;
    assert_told(&told, 201, "failed");
    assert_eq!(told.json()["failure"]["code"], "already_captured", "{}", told.body);
    // what is wanted has been done: it is ours
    assert_told(&follow(&world, &taken, "capture", "c-2", &json!({})).await, 201, "succeeded");
    assert_eq!(payment(&world, &taken).await["status"], "captured");
    block_in_place(|| world.stage.audit_of_rows()).unwrap();
}

async fn delivered(world: &World) {
    world.stage.control.webhooks_delivered().await.unwrap();
    world.quiet().await;
}

/// Long, so that a step that takes a slow machine long is not taken for the end of somebody's patience.
const PATIENT: [&str; 5] =
    ["--patience=60s", "--psp-deadline=60s", "--lease=70s", "--request-timeout=80s", "--grace=60s"];

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_before_after_twice_or_never_makes_the_same_of_what_follows() {
    let world = World::new(&PATIENT);
    let control = &world.stage.control;
    let mut books = Vec::new();
    for when in ["never", "before", "after", "twice"] {
        match when {
            "before" => world.stage.send_webhooks().await.unwrap(),
            "after" => {
                control
                    .configure(&json!({"webhooks": {"delay_ms": {"min": 200, "max": 200}}}))
                    .await
                    .unwrap();
            }
            "twice" => control.configure(&json!({"webhooks": {"duplicate_rate": 1.0}})).await.unwrap(),
            _ => {}
        }
        let mut held = order_to_capture(&format!("held-{when}"), 1000);
        held["splits"][0]["seller"] = json!(when);
        let part = paid(&world, &held).await;
        held["order_id"] = json!(format!("let-go-{when}"));
        let let_go = paid(&world, &held).await;
        delivered(&world).await;
        for (id, what, operation, body, standing) in [
            (
                &part,
                "capture",
                "payment_intents.capture",
                json!({"amount": 600, "final": false}),
                "partially_captured",
            ),
            (&let_go, "void", "payment_intents.cancel", json!({}), "voided"),
            (&part, "void", "payment_intents.cancel", json!({}), "captured"),
            (&part, "refunds", "refunds.create", json!({"amount": 200}), "captured"),
        ] {
            let key = format!("{what}-{when}-{standing}");
            if when != "before" {
                assert_told(&follow(&world, id, what, &key, &body).await, 201, "succeeded");
                continue;
            }
            control.fault(&fault(operation, &json!({"kind": "hang", "when": "after"}), 5)).await.unwrap();
            let (client, of, asked) = (world.stage.client.clone(), id.clone(), key.clone());
            let asking = tokio::spawn(async move { client.follow(&of, what, &asked, &body).await.unwrap() });
            control.get("wait?hanging=1").await.unwrap();
            world
                .eventually("the webhook alone ends it", async || {
                    let path = format!("/v1/payments/{id}/{what}");
                    let operations: Value = world.stage.client.read(&path).await.unwrap();
                    operations["data"][0]["status"] == "succeeded"
                })
                .await;
            assert!(!asking.is_finished(), "the PSP has not answered yet");
            control.heal().await.unwrap();
            control.post("faults/release", &json!({})).await.unwrap();
            assert_told(&asking.await.unwrap(), 201, "succeeded");
        }
        delivered(&world).await;
        let of = |payment: Value| {
            ["status", "authorized_amount", "captured_amount", "refunded_amount", "refund_reserved_amount"]
                .map(|field| payment[field].clone())
        };
        let mut kinds: Vec<String> = sqlx::query_scalar(
            "select e.type from payment_event e join payment p using (merchant_id, payment_id)
             where p.order_id = $1 order by e.version",
        )
        .bind(format!("held-{when}"))
        .fetch_all(&mut world.database().await)
        .await
        .unwrap();
        kinds.push("then".to_owned());
        books.push((
            of(payment(&world, &part).await),
            of(payment(&world, &let_go).await),
            world.stage.client.wallet(when).await.unwrap(),
            kinds,
        ));
    }
    for book in &books {
        assert_eq!(book, &books[0]);
    }
    assert_eq!(books[0].2, wallet(540 - 180, 0, 0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_comes_back_days_later_is_given_back_to_its_sellers() {
    let world = World::new(&QUICK);
    let (control, client) = (&world.stage.control, &world.stage.client);
    let id = paid(&world, &order("order-1", 1000)).await;
    // heard of by a webhook
    let told = follow(&world, &id, "refunds", "r-1", &json!({"amount": 400})).await;
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(540, 0, 0, 0));
    world.stage.send_webhooks().await.unwrap();
    let refunds = world.refunds().await;
    control.post(&format!("refunds/{}/fail", refunds[0]), &json!({})).await.unwrap();
    delivered(&world).await;
    let operation = format!("/v1/operations/{}", told.json()["operation_id"].as_str().unwrap());
    let operation: Value = client.read(&operation).await.unwrap();
    assert_eq!(
        (&operation["status"], &operation["failure"]["code"]),
        (&json!("reversed"), &json!("refund_failed"))
    );
    assert_eq!(payment(&world, &id).await["refunded_amount"], 0);
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(900, 0, 0, 0), "it is not settled yet");
    // what came back may be given once more
    let told = follow(&world, &id, "refunds", "r-2", &json!({})).await;
    assert_told(&told, 201, "succeeded");
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refunded_while_pending_does_not_become_available() {
    let world = World::new(&QUICK);
    let (control, client) = (&world.stage.control, &world.stage.client);
    let held = paid(&world, &order_to_capture("order-1", 2000)).await;
    for (number, amount) in [(1, 500), (2, 500)] {
        let body = json!({"amount": amount, "final": false});
        assert_told(&follow(&world, &held, "capture", &format!("c-{number}"), &body).await, 201, "succeeded");
    }
    let at_once = paid(&world, &order("order-2", 1000)).await;
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(1800, 0, 0, 0));
    // more than one capture has
    assert_told(&follow(&world, &held, "refunds", "r-1", &json!({"amount": 700})).await, 201, "succeeded");
    assert_told(&follow(&world, &at_once, "refunds", "r-2", &json!({"amount": 200})).await, 201, "succeeded");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(1800 - 630 - 180, 0, 0, 0));
    world.settle().await;
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 990, 0, 0));
    world.assert_books_are_right().await;

    // one that comes back after that is available; one that takes more than is there makes a debt
    let refunds = world.refunds().await;
    world.stage.send_webhooks().await.unwrap();
    control.post(&format!("refunds/{}/fail", refunds[0]), &json!({})).await.unwrap();
    delivered(&world).await;
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 990 + 630, 0, 0));
    let last = json!({"amount": 500, "final": true});
    assert_told(&follow(&world, &held, "capture", "c-3", &last).await, 201, "succeeded");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(450, 1620, 0, 0));
    assert_told(&follow(&world, &held, "refunds", "r-3", &json!({"amount": 1500})).await, 201, "succeeded");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 1620 - 900, 0, 0));
    let told = world.settle().await;
    assert!(told.contains("verdict: clean"), "{told}");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 720, 0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_without_money_owes_what_is_refunded_and_repays_it_first() {
    let world = World::new(&QUICK);
    let client = &world.stage.client;
    let (first, second) = (paid(&world, &order("order-1", 1000)).await, order("order-2", 1000));
    world.settle().await;
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 900, 0, 0));
    let mut all = json!({"refund_platform_fee": false});
    assert_told(&follow(&world, &first, "refunds", "r-1", &all).await, 201, "succeeded");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 0, 0, 100));
    let second = paid(&world, &second).await;
    world.settle().await;
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 800, 0, 0), "the debt first");
    all["amount"] = json!(1);
    assert_told(&follow(&world, &second, "refunds", "r-2", &all).await, 201, "succeeded");
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(0, 799, 0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_runs_out_is_noticed_with_and_without_a_webhook() {
    let world = World::new(&QUICK);
    let [told, untold, part] = ["told", "untold", "part"].map(|order| order_to_capture(order, 1000));
    let untold = paid(&world, &untold).await;
    let part = paid(&world, &part).await;
    let body = json!({"amount": 300, "final": false});
    assert_told(&follow(&world, &part, "capture", "c-1", &body).await, 201, "succeeded");
    for intent in world.intents().await {
        world.psp_post(&format!("payment_intents/{intent}/cancel"), &[]).await;
    }
    world.stage.send_webhooks().await.unwrap();
    let told = paid(&world, &told).await;
    let intent = world.intents().await.pop().unwrap();
    world.psp_post(&format!("payment_intents/{intent}/cancel"), &[]).await;
    delivered(&world).await;
    assert_eq!(payment(&world, &told).await["status"], "expired");
    assert_eq!(payment(&world, &untold).await["status"], "authorized", "nobody has told");

    let a_week_later =
        "update operation set due_at = now() where due_at is not null and status = 'succeeded'";
    sqlx::query(a_week_later).execute(&mut world.database().await).await.unwrap();
    world
        .eventually("the PSP was asked", async || {
            payment(&world, &untold).await["status"] == "expired"
                && payment(&world, &part).await["status"] == "captured"
        })
        .await;
    let second = world.stage.client.pay("again", &order("untold", 1000)).await.unwrap();
    assert_told(&second, 201, "captured");
    let held = paid(&world, &order_to_capture("held", 1000)).await;
    sqlx::query(a_week_later).execute(&mut world.database().await).await.unwrap();
    let asked = "select count(*) from operation where status = 'succeeded' and takeovers = 1 and due_at > now() + interval '30 minutes'";
    world.eventually("it is asked again in an hour", async || world.count(asked).await == 1).await;
    assert_eq!(payment(&world, &held).await["status"], "authorized");
    assert_told(&follow(&world, &held, "capture", "c-2", &json!({})).await, 201, "succeeded");
    sqlx::query(a_week_later).execute(&mut world.database().await).await.unwrap();
    world
        .eventually("nobody asks any more", async || {
            world.count("select count(*) from operation where due_at is not null").await == 0
        })
        .await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_failed_leaves_its_line_to_the_one_that_succeeded() {
    let world = World::new(&QUICK);
    let control = &world.stage.control;
    let held = paid(&world, &order_to_capture("order-1", 1000)).await;
    let busy = json!({"kind": "rate_limited"});
    control.fault(&fault("payment_intents.capture", &busy, u64::MAX >> 12)).await.unwrap();
    let body = json!({"amount": 1000});
    follow(&world, &held, "capture", "c-1", &body).await;
    world.quiet().await;
    assert_told(&follow(&world, &held, "capture", "c-1", &body).await, 201, "failed");
    control.heal().await.unwrap();
    assert_told(&follow(&world, &held, "capture", "c-2", &json!({})).await, 201, "succeeded");
    let told = world.settle().await;
    assert!(told.contains("verdict: clean"), "{told}");
    assert_eq!(world.stage.client.wallet("seller-1").await.unwrap(), wallet(0, 900, 0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_had_come_back_before_we_heard_of_it_has_failed_and_its_lines_cancel_out() {
    let world = World::new(&QUICK);
    let control = &world.stage.control;
    let id = paid(&world, &order("order-1", 1000)).await;
    // the PSP gives back, says nothing, and shows nothing
    for (operation, kind) in [("refunds.create", "drop_reply"), ("refunds.list", "unavailable")] {
        control.fault(&fault(operation, &json!({"kind": kind}), u64::MAX >> 12)).await.unwrap();
    }
    let told = follow(&world, &id, "refunds", "r-1", &json!({"amount": 400})).await;
    assert_eq!(told.status, 202, "{}", told.body);
    let refunds = world.refunds().await;
    world.stage.send_webhooks().await.unwrap();
    control.post(&format!("refunds/{}/fail", refunds[0]), &json!({})).await.unwrap();
    delivered(&world).await;
    control.heal().await.unwrap();
    let told = follow(&world, &id, "refunds", "r-1", &json!({"amount": 400})).await;
    assert_told(&told, 201, "failed");
    assert_eq!(world.stage.client.wallet("seller-1").await.unwrap(), wallet(900, 0, 0, 0));
    let told = world.settle().await;
    assert!(told.contains("verdict: clean"), "{told}");
    assert_eq!(world.stage.client.wallet("seller-1").await.unwrap(), wallet(0, 900, 0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_not_free_while_more_was_captured_of_it_than_we_know() {
    let world = World::new(&QUICK);
    let held = paid(&world, &order_to_capture("order-1", 1000)).await;
    let intent = world.intents().await.remove(0);
    // in part, and the rest let go: both behind our back
    world
        .psp_post(
            &format!("payment_intents/{intent}/capture"),
            &[("amount_to_capture", "300"), ("final_capture", "false")],
        )
        .await;
    world.psp_post(&format!("payment_intents/{intent}/cancel"), &[]).await;
    let told = follow(&world, &held, "void", "v-1", &json!({})).await;
    assert_eq!(told.status, 202, "{}", told.body);
    let needs_review = "select count(*) from operation where kind = 'void' and status = 'needs_review'";
    world.eventually("a person is asked", async || world.count(needs_review).await == 1).await;
    let a_week_later = "update operation set due_at = now() where kind = 'authorize'";
    sqlx::query(a_week_later).execute(&mut world.database().await).await.unwrap();
    world.eventually("the PSP was asked", async || {
        world.count("select count(*) from attempt a join operation o using (merchant_id, operation_id) where o.kind = 'authorize' and a.action = 'retrieve'").await == 1
    })
    .await;
    assert_eq!(payment(&world, &held).await["status"], "authorized");
    let rival = world.stage.client.pay("rival", &order("order-1", 1000)).await.unwrap();
    assert_refused(&rival, "order_has_live_payment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_could_cancel_can_be_ended_once_it_can() {
    let world = World::new(&[
        "--patience=1s",
        "--psp-deadline=2s",
        "--lease=3s",
        "--action-window=3s",
        "--review-after=1s",
    ]);
    let control = &world.stage.control;
    let cannot = fault("payment_intents.cancel", &json!({"kind": "unavailable"}), u64::MAX >> 12);
    control.fault(&cannot).await.unwrap();
    let mut request = order("order-1", 1200);
    request["payment_method"] = json!("pm_card_threeDSecure2Required");
    let id = paid(&world, &request).await;
    sqlx::query("update operation set due_at = now()").execute(&mut world.database().await).await.unwrap();
    let gave_up = "select count(*) from operation where kind = 'authorize' and status = 'needs_review'";
    world
        .eventually("a person is asked", async || {
            let again =
                "update operation set due_at = now() where due_at is not null and lease_until <= now()";
            sqlx::query(again).execute(&mut world.database().await).await.unwrap();
            world.count(gave_up).await == 1
        })
        .await;
    control.heal().await.unwrap();
    assert_told(&follow(&world, &id, "void", "v-1", &json!({})).await, 201, "succeeded");
    assert_eq!(payment(&world, &id).await["status"], "voided");
    let second = world.stage.client.pay("again", &order("order-1", 1200)).await.unwrap();
    assert_told(&second, 201, "captured");
    world.quiet().await;
    world.assert_books_are_right().await;
}
