//! Operations of which nobody can tell what became: people find out.

use serde_json::{Value, json};
use tests::shop::{Balance, ShopClient, Told};
use tokio::task::block_in_place;

use crate::world::{World, order, order_to_capture};

/// A person is asked almost at once.
const HASTY: [&str; 5] =
    ["--patience=300ms", "--psp-deadline=500ms", "--lease=600ms", "--review-after=1s", "--grace=5s"];

/// From now on the PSP does what it is asked for, answers nothing, and shows nothing.
async fn silence(world: &World) {
    for (operation, fault) in [
        ("payment_intents.create", json!({"kind": "drop_reply"})),
        ("refunds.create", json!({"kind": "drop_reply"})),
        ("payment_intents.search", json!({"kind": "unavailable"})),
        ("refunds.list", json!({"kind": "unavailable"})),
    ] {
        let rule = json!({"fault": fault, "match": {"operation": operation}, "times": u64::MAX >> 12});
        world.stage.control.fault(&rule).await.unwrap();
    }
}

/// The operations that need review, once there are so many.
async fn pending(world: &World, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    world
        .eventually("they need review", async || {
            let page: Value = world.stage.client.read("/v1/reviews?limit=200").await.unwrap();
            found = page["data"].as_array().unwrap().clone();
            found.len() == count
        })
        .await;
    found
}

fn id_of(pending: &[Value], order: &str) -> String {
    let found = pending.iter().find(|pending| pending["order_id"] == order);
    found.unwrap_or_else(|| panic!("{order} in {pending:?}"))["operation_id"].as_str().unwrap().to_owned()
}

async fn close(client: &ShopClient, key: &str, operation: &str, body: &Value) -> Told {
    client.post(&format!("/v1/reviews/{operation}/close"), key, body).await.unwrap()
}

#[track_caller]
fn assert_closed(told: &Told, standing: &str) {
    let review = told.json();
    assert_eq!((told.status, &review["state"]), (201, &json!("closed")), "{}", told.body);
    assert_eq!(review["operation"]["status"], standing, "{}", told.body);
}

async fn status_of(world: &World, order: &str) -> String {
    world.stage.client.payments_of(order).await.unwrap().pop().unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_tell_is_told_by_people_and_ends_like_everything() {
    let world = World::new(&HASTY);
    let client = &world.stage.client;
    let captured = client.pay("pay-refunded", &order("refunded", 1000)).await.unwrap();
    let captured = captured.json()["payment_id"].as_str().unwrap().to_owned();
    silence(&world).await;
    for name in ["asked", "charged", "not-charged", "cli"] {
        let told = client.pay(&format!("pay-{name}"), &order(name, 1000)).await.unwrap();
        assert_eq!(told.status, 202, "{}", told.body);
    }
    let told = client.follow(&captured, "refunds", "refund", &json!({"amount": 400})).await.unwrap();
    assert_eq!(told.status, 202, "{}", told.body);
    let pending = pending(&world, 5).await;
    assert!(pending.iter().all(|pending| pending["state"] == "open"), "{pending:?}");
    let [asked, charged, not_charged, cli, refunded] =
        ["asked", "charged", "not-charged", "cli", "refunded"].map(|name| id_of(&pending, name));

    // a person sees what was tried
    let review: Value = client.read(&format!("/v1/reviews/{charged}")).await.unwrap();
    let tried = review["evidence"].as_array().unwrap();
    assert!(
        tried.iter().any(|entry| entry["kind"] == "authorize" && entry["outcome"] == "unknown"),
        "{review}"
    );
    // what is said has to be said well
    for (body, field) in [
        (json!({"outcome": "lost", "reason": "x"}), "outcome"),
        (json!({"outcome": "failed", "reason": ""}), "reason"),
        (json!({"outcome": "failed", "reason": "a\nb"}), "reason"),
        (json!({"outcome": "succeeded", "reason": "x", "psp_reference": "a/b"}), "psp_reference"),
        (json!({"outcome": "succeeded", "reason": "which one?"}), "psp_reference"),
    ] {
        let told = close(client, "bad", &charged, &body).await;
        assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!(field)), "{}", told.body);
    }

    // its name is in the PSP's dashboard
    let effects = world.stage.control.effects().await.unwrap();
    let intent = |order: &str| {
        effects.iter().find(|effect| effect.order_id() == order).unwrap().payment_intent.clone().unwrap()
    };
    let word = json!({"outcome": "succeeded", "reason": "shown as paid", "psp_reference": intent("charged")});
    let told = close(client, "close-1", &charged, &word).await;
    assert_closed(&told, "succeeded");
    let again = close(client, "close-1", &charged, &word).await;
    assert_eq!((again.replayed, &again.body), (true, &told.body));
    let late = close(client, "close-2", &charged, &word).await;
    assert_eq!((late.status, late.problem().as_deref()), (409, Some("not_in_review")), "{}", late.body);
    assert_eq!(status_of(&world, "charged").await, "captured");
    // another operation's object is not this one's
    let told = close(client, "close-3", &not_charged, &word).await;
    assert_eq!(
        (told.status, &told.json()["errors"][0]["field"]),
        (422, &json!("psp_reference")),
        "{}",
        told.body
    );

    // somebody is wrong: the PSP says so later, and it is not dropped
    let word = json!({"outcome": "failed", "reason": "not in the dashboard"});
    assert_closed(&close(client, "close-4", &not_charged, &word).await, "failed");
    assert_eq!(status_of(&world, "not-charged").await, "failed");
    assert_closed(&close(client, "close-5", &refunded, &word).await, "failed");
    let wallet =
        |pending| vec![Balance { currency: "EUR".to_owned(), pending, available: 0, held: 0, debt: 0 }];
    assert_eq!(client.wallet("seller-1").await.unwrap(), wallet(1800));

    // the same on the command line
    let merchant = world.stage.shop.merchant_id.clone();
    let run = |arguments: &[&str]| {
        let of = ["--merchant", merchant.as_str()];
        let arguments: Vec<&str> = ["review"].iter().chain(arguments).chain(&of).copied().collect();
        block_in_place(|| world.stage.installation.command(arguments).run())
    };
    let listed = run(&["list"]).unwrap();
    assert!(listed.contains(&cli) && listed.contains(&asked) && !listed.contains(&charged), "{listed}");
    let shown = run(&["show", "--operation", &cli]).unwrap();
    assert!(shown.contains("somebody has to say") && shown.contains("authorize"), "{shown}");
    let said = ["close", "--operation", &cli, "--as", "alice", "--outcome", "succeeded", "--reason", "paid"];
    assert!(
        run(&said).unwrap_err().chain().contains("expected the PSP's name"),
        "without the PSP's name of it"
    );
    let name = intent("cli");
    let said: Vec<&str> = said.iter().copied().chain(["--psp-reference", &name]).collect();
    assert!(run(&said).unwrap().contains("closed"));
    assert_eq!(status_of(&world, "cli").await, "captured");

    // or the PSP is asked again
    world.stage.control.heal().await.unwrap();
    let told = client.post(&format!("/v1/reviews/{asked}/ask"), "unused", &json!({})).await.unwrap();
    assert_eq!((told.status, &told.json()["state"]), (200, &json!("closed")), "{}", told.body);
    assert_eq!(told.json()["acts"][0]["kind"], "asked");
    assert_eq!(status_of(&world, "asked").await, "captured");
    let again = client.post(&format!("/v1/reviews/{asked}/ask"), "unused", &json!({})).await.unwrap();
    assert_eq!((again.status, again.problem().as_deref()), (409, Some("not_in_review")), "{}", again.body);

    // the settlement file knows better than who said that it was not charged
    world.settle_with_breaks().await;
    let breaks =
        "select count(*) from recon_break where state = 'open' and kind in ('late_success', 'status')";
    assert_eq!(world.count(breaks).await, 4, "a charge and a refund, each as they came and as lines");
    block_in_place(|| world.stage.audit()).unwrap_or_else(|error| panic!("{}", error.chain()));
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_limit_two_people_have_to_say_the_same() {
    let world = World::new(&HASTY);
    let merchant = world.stage.shop.merchant_id.clone();
    let set = ["merchant", "set", "--merchant", &merchant, "--review-limit", "10"];
    block_in_place(|| world.stage.installation.command(set).run()).unwrap();
    silence(&world).await;
    for (name, amount) in [("small", 1000), ("large", 1001)] {
        world.stage.client.pay(name, &order(name, amount)).await.unwrap();
    }
    let pending = pending(&world, 2).await;
    let [small, large] = ["small", "large"].map(|name| id_of(&pending, name));
    let (alice, bob, bob_again) = (world.person("alice"), world.person("bob"), world.person("bob"));
    let failed = |reason: &str| json!({"outcome": "failed", "reason": reason});
    assert_closed(&close(&alice, "k-1", &small, &failed("no trace")).await, "failed");

    let told = close(&alice, "k-2", &large, &failed("no trace")).await;
    assert_eq!((told.status, &told.json()["state"]), (201, &json!("awaits_second_person")), "{}", told.body);
    let told = close(&alice, "k-3", &large, &failed("still no trace")).await;
    assert_eq!(told.json()["state"], "awaits_second_person", "the same person: {}", told.body);
    // another opinion is not a second one
    let name = world.intents().await[1].clone();
    let told = close(
        &bob,
        "k-4",
        &large,
        &json!({"outcome": "succeeded", "reason": "I see it", "psp_reference": name}),
    )
    .await;
    assert_eq!(told.json()["state"], "awaits_second_person", "{}", told.body);
    let told = close(
        &bob_again,
        "k-5",
        &large,
        &json!({"outcome": "succeeded", "reason": "really", "psp_reference": name}),
    )
    .await;
    assert_eq!(told.json()["state"], "awaits_second_person", "a new key of the same name is the same person");
    assert_eq!(world.stage.client.payments_of("large").await.unwrap()[0].status, "processing");
    let told = close(
        &alice,
        "k-6",
        &large,
        &json!({"outcome": "succeeded", "reason": "so it is", "psp_reference": name}),
    )
    .await;
    assert_closed(&told, "succeeded");
    let acts: Vec<Value> = told.json()["acts"].as_array().unwrap().clone();
    let kinds: Vec<(&str, &str)> =
        acts.iter().map(|act| (act["actor"].as_str().unwrap(), act["kind"].as_str().unwrap())).collect();
    assert_eq!(
        kinds,
        [
            ("key:alice", "proposed"),
            ("key:alice", "proposed"),
            ("key:bob", "proposed"),
            ("key:bob", "proposed"),
            ("key:alice", "closed"),
        ]
    );
    assert_eq!(world.stage.client.payments_of("large").await.unwrap()[0].status, "captured");
}

/// Takes a part of what is held, and lets the rest go.
async fn takes_a_part_at_the_dashboard(world: &World, intent: &str) {
    let part = [("amount_to_capture", "300"), ("final_capture", "false")];
    world.psp_post(&format!("payment_intents/{intent}/capture"), &part).await;
    world.psp_post(&format!("payment_intents/{intent}/cancel"), &[]).await;
}

/// A person at the PSP's dashboard takes a part of a hold whose answer was lost, and lets the rest go.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_which_somebody_took_a_part_at_the_dashboard_is_closed_by_people_and_captured_as_it_was() {
    let world = World::with_idempotency("lookup", &HASTY[..3]);
    let client = &world.stage.client;
    silence(&world).await;
    let told = client.pay("k-1", &order_to_capture("order-1", 1000)).await.unwrap();
    assert_eq!(told.status, 202, "{}", told.body);
    let payment = told.json()["payment_id"].as_str().unwrap().to_owned();
    let intent = world.intents().await.pop().unwrap();
    takes_a_part_at_the_dashboard(&world, &intent).await;
    world.stage.control.heal().await.unwrap();

    let pending = pending(&world, 1).await;
    assert_eq!(pending[0]["because"], "partly_captured", "{pending:?}");
    let operation = id_of(&pending, "order-1");
    let told = close(client, "close-1", &operation, &json!({"outcome": "failed", "reason": "let go"})).await;
    assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!("outcome")), "{}", told.body);
    let told = client.pay("k-2", &order_to_capture("order-1", 1000)).await.unwrap();
    assert_eq!(
        (told.status, told.problem().as_deref()),
        (409, Some("order_has_live_payment")),
        "{}",
        told.body
    );
    let told = close(client, "close-2", &operation, &json!({"outcome": "succeeded", "reason": "held"})).await;
    assert_closed(&told, "succeeded");
    assert_eq!(status_of(&world, "order-1").await, "authorized");

    // the books say what was taken once somebody here asks for just that
    let told = client.follow(&payment, "capture", "capture", &json!({"amount": 300})).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("succeeded")), "{}", told.body);
    assert_eq!(world.done("capture").await, 1);
    let kept: Value = client.read(&format!("/v1/payments/{payment}")).await.unwrap();
    assert_eq!((&kept["status"], &kept["captured_amount"]), (&json!("captured"), &json!(300)), "{kept}");
    world.settle().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_which_somebody_took_a_part_is_not_let_go_whoever_says_so() {
    let world = World::with_idempotency("lookup", &HASTY[..3]);
    let client = &world.stage.client;
    let told = client.pay("k-1", &order_to_capture("order-1", 1000)).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    let payment = told.json()["payment_id"].as_str().unwrap().to_owned();
    takes_a_part_at_the_dashboard(&world, &world.intents().await.pop().unwrap()).await;

    let told = client.follow(&payment, "void", "void", &json!({})).await.unwrap();
    assert_eq!(told.status, 202, "{}", told.body);
    let pending = pending(&world, 1).await;
    assert_eq!((&pending[0]["because"], &pending[0]["type"]), (&json!("partly_captured"), &json!("void")));
    let operation = id_of(&pending, "order-1");
    let word = json!({"outcome": "succeeded", "reason": "canceled in the dashboard"});
    let told = close(client, "close-1", &operation, &word).await;
    assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!("outcome")), "{}", told.body);
    let told = client.pay("k-2", &order_to_capture("order-1", 1000)).await.unwrap();
    assert_eq!(
        (told.status, told.problem().as_deref()),
        (409, Some("order_has_live_payment")),
        "{}",
        told.body
    );
    let word = json!({"outcome": "failed", "reason": "a part of it was taken"});
    assert_closed(&close(client, "close-2", &operation, &word).await, "failed");
    let told = client.follow(&payment, "capture", "capture", &json!({"amount": 300})).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("succeeded")), "{}", told.body);
    world.settle().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_ask_for_want_of_the_account_keeps_nobody_else_from_asking() {
    let world = World::new(&HASTY);
    silence(&world).await;
    world.stage.client.pay("k-1", &order("order-1", 1000)).await.unwrap();
    let operation = id_of(&pending(&world, 1).await, "order-1");
    let ask = || {
        let merchant = world.stage.shop.merchant_id.as_str();
        let arguments =
            ["review", "ask", "--operation", operation.as_str(), "--as", "alice", "--merchant", merchant];
        block_in_place(|| world.stage.installation.command(arguments).run())
    };
    let spoil_or_mend =
        "update psp_account set api_secret = set_byte(api_secret, 20, get_byte(api_secret, 20) # 1)";
    sqlx::query(spoil_or_mend).execute(&mut world.database().await).await.unwrap();
    // there was news, which nobody could look at
    let due = "update operation set due_at = now() + interval '20 minutes'";
    sqlx::query(due).execute(&mut world.database().await).await.unwrap();
    ask().unwrap_err();
    assert_eq!(world.count("select count(*) from operation where lease_until > now()").await, 0);
    assert_eq!(world.count("select count(*) from operation where due_at > now()").await, 1);
    // nor can the service, which leaves others the time between its looks
    let news = "update operation set due_at = now() where due_at > now() + interval '10 minutes' or lease_until <= now()";
    world
        .eventually("the service finds it unusable too", async || {
            sqlx::query(news).execute(&mut world.database().await).await.unwrap();
            world.log().contains("its PSP account cannot be used")
        })
        .await;
    let left = "select count(*) from operation where lease_until <= now() and due_at > now()";
    world.eventually("it is left in between", async || world.count(left).await == 1).await;
    sqlx::query(spoil_or_mend).execute(&mut world.database().await).await.unwrap();
    world.stage.control.heal().await.unwrap();
    ask().unwrap();
    assert_eq!(status_of(&world, "order-1").await, "captured");
}
