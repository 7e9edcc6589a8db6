//! What sellers have is sent to their banks: once, never more than there is, and theirs again when it comes back.

use serde_json::{Value, json};
use tests::shop::{Balance, Told};
use tokio::task::block_in_place;

use crate::world::{World, order, payout};

const QUICK: [&str; 6] = ["--patience", "1s", "--psp-deadline", "2s", "--lease", "3s"];
/// Long, so that a step that takes a slow machine long is not taken for the end of somebody's patience.
const PATIENT: [&str; 5] =
    ["--patience=60s", "--psp-deadline=60s", "--lease=70s", "--request-timeout=80s", "--grace=60s"];
/// More often than anybody asks.
const ALWAYS: u64 = u64::MAX >> 12;

async fn pay_out(world: &World, key: &str, body: &Value) -> Told {
    world.stage.client.post("/v1/payouts", key, body).await.unwrap()
}

fn id_of(told: &Told) -> String {
    told.json()["payout_id"].as_str().unwrap_or_else(|| panic!("{}", told.body)).to_owned()
}

async fn read(world: &World, id: &str) -> Value {
    world.stage.client.read(&format!("/v1/payouts/{id}")).await.unwrap()
}

#[track_caller]
fn assert_told(told: &Told, status: u16, standing: &str) {
    assert_eq!((told.status, told.json()["status"].as_str()), (status, Some(standing)), "{}", told.body);
}

/// A seller's wallet: available, held and owed.
async fn wallet(world: &World, seller: &str) -> (i64, i64, i64) {
    let wallets = world.stage.client.wallet(seller).await.unwrap();
    let [Balance { available, held, debt, .. }] = wallets.as_slice() else { panic!("{wallets:?}") };
    (*available, *held, *debt)
}

/// What an account of ours comes to, debits positive.
async fn account(world: &World, code: &str) -> i64 {
    let balances = world.stage.client.trial_balance().await.unwrap();
    let accounts = balances.iter().flat_map(|balance| &balance.accounts);
    accounts.filter(|account| account.code == code).map(|account| account.balance).sum()
}

async fn strike(world: &World, call: &str, fault: &Value, times: u64) {
    let rule = json!({"fault": fault, "match": {"operation": call}, "times": times});
    world.stage.control.fault(&rule).await.unwrap();
}

/// The bank's word, of which the PSP tells by webhook where there is an endpoint for it.
async fn advance(world: &World, payout: &str, status: &str) {
    let path = format!("payouts/{payout}/advance");
    world.stage.control.post(&path, &json!({"status": status})).await.unwrap();
    world.stage.control.webhooks_delivered().await.unwrap();
}

/// The PSP's payouts wait for their banks.
async fn banks_are_slow(world: &World) {
    world.stage.control.configure(&json!({"payouts_wait": true})).await.unwrap();
}

async fn until(world: &World, id: &str, status: &str) {
    world.eventually(&format!("it is {status}"), async || read(world, id).await["status"] == status).await;
}

/// The types of a payout's events, in order.
async fn events(world: &World, id: &str) -> Vec<String> {
    let query = "select type from payment_event where payout_id = $1::uuid order by version";
    sqlx::query_scalar(query).bind(id).fetch_all(&mut world.database().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_available_is_paid_out_once_and_never_more_of_it() {
    let world = World::new(&[]);
    world.fund("anna", 10_000).await;
    let mut body = payout("anna", 6000);
    body["metadata"] = json!({"week": "47"});
    body["statement_descriptor"] = json!("SHOP 47");
    let first = pay_out(&world, "p-1", &body).await;
    assert_told(&first, 201, "paid");
    let names = world.payouts().await;
    let given = first.json();
    assert_eq!(
        ["seller", "amount", "currency", "destination", "psp_reference", "metadata", "failure"]
            .map(|field| given[field].clone()),
        [
            json!("anna"),
            json!(6000),
            json!("EUR"),
            json!("ba_1"),
            json!(names[0]),
            json!({"week": "47"}),
            Value::Null
        ]
    );
    assert_eq!(read(&world, &id_of(&first)).await, given);
    let operation: Value = {
        let id = given["operation_id"].as_str().unwrap();
        world.stage.client.read(&format!("/v1/operations/{id}")).await.unwrap()
    };
    assert_eq!(
        (&operation["type"], &operation["status"], &operation["payout_id"]),
        (&json!("payout"), &json!("succeeded"), &given["payout_id"])
    );
    let again = pay_out(&world, "p-1", &body).await;
    assert_eq!((again.status, again.replayed, &again.body), (201, true, &first.body));
    assert_eq!(wallet(&world, "anna").await, (4000, 0, 0));

    // a refusal is an answer, and is repeated though there is enough by then
    let refused = pay_out(&world, "p-2", &payout("anna", 4001)).await;
    assert_eq!((refused.status, refused.problem().as_deref()), (409, Some("payout_exceeds_available")));
    assert_eq!(
        (&refused.json()["available_amount"], &refused.json()["debt_amount"]),
        (&json!(4000), &json!(0))
    );
    world.fund("anna", 500).await;
    let again = pay_out(&world, "p-2", &payout("anna", 4001)).await;
    assert_eq!((again.status, again.replayed, &again.body), (409, true, &refused.body));

    let mut all = payout("anna", 0);
    all.as_object_mut().unwrap().remove("amount");
    let rest = pay_out(&world, "p-3", &all).await;
    assert_told(&rest, 201, "paid");
    assert_eq!((&rest.json()["amount"], wallet(&world, "anna").await), (&json!(4500), (0, 0, 0)));
    for seller in ["anna", "nobody"] {
        let mut all = all.clone();
        all["seller"] = json!(seller);
        let nothing = pay_out(&world, &format!("p-4-{seller}"), &all).await;
        assert_eq!(
            (nothing.status, &nothing.json()["available_amount"]),
            (409, &json!(0)),
            "{}",
            nothing.body
        );
    }
    assert_eq!(world.payouts().await.len(), 2);
    assert_eq!(events(&world, &id_of(&first)).await, ["payout.created", "payout.paid"]);
    world.assert_books_are_right().await;
    let told = world.settle().await;
    assert!(told.contains("verdict: clean"), "{told}");
    assert_eq!((account(&world, "psp_receivable").await, account(&world, "payout_clearing").await), (0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_payout_and_nothing_else() {
    let world = World::new(&[]);
    world.fund("anna", 1000).await;
    assert_told(&pay_out(&world, "p-1", &payout("anna", 100)).await, 201, "paid");
    for (field, value) in [
        ("seller", json!("bert")),
        ("amount", json!(101)),
        ("currency", json!("USD")),
        ("destination", json!("ba_2")),
        ("statement_descriptor", json!("X")),
        ("metadata", json!({"a": "b"})),
    ] {
        let mut other = payout("anna", 100);
        other[field] = value;
        let told = pay_out(&world, "p-1", &other).await;
        assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!(field)), "{}", told.body);
    }
    let told = world.stage.client.pay("p-1", &order("order-1", 100)).await.unwrap();
    assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!("endpoint")), "{}", told.body);
    assert_eq!(world.payouts().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_before_anything_happens() {
    let world = World::new(&[]);
    world.fund("anna", 1000).await;
    for (field, value) in [
        ("seller", json!("a b")),
        ("amount", json!(0)),
        ("amount", json!(-5)),
        ("currency", json!("eur")),
        ("currency", json!("XXX")),
        ("destination", json!("")),
        ("destination", json!("DE89 3704")),
        ("destination", json!("../balance")),
        ("statement_descriptor", json!("")),
        ("statement_descriptor", json!("longer than a statement")),
        ("statement_descriptor", json!("Zoë")),
        ("psp_account_id", json!("01890000-0000-7000-8000-000000000000")),
    ] {
        let mut body = payout("anna", 100);
        body[field] = value;
        let told = pay_out(&world, "p-1", &body).await;
        assert_eq!(
            (told.status, &told.json()["errors"][0]["field"]),
            (422, &json!(field)),
            "{body}: {}",
            told.body
        );
    }
    // sent in whole hundreds only
    let mut body = payout("anna", 150);
    body["currency"] = json!("HUF");
    let told = pay_out(&world, "p-1", &body).await;
    assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!("amount")), "{}", told.body);
    assert_told(&pay_out(&world, "p-1", &payout("anna", 100)).await, 201, "paid");
    assert_eq!(world.payouts().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_and_refunds_at_once_never_spend_the_same_money_twice() {
    let world = World::new(&[]);
    for round in 0..10 {
        world.fund("anna", 1000 + round).await;
        let (had, ..) = wallet(&world, "anna").await;
        let body = payout("anna", had * 2 / 3);
        let paid: Value = world.stage.client.read("/v1/payments?limit=1").await.unwrap();
        let payment = paid["data"][0]["payment_id"].as_str().unwrap();
        let (refund, given) = (json!({"amount": 10, "refund_platform_fee": false}), format!("r-{round}"));
        let keys: Vec<String> = (0..3).map(|number| format!("p-{round}-{number}")).collect();
        let (one, two, three, given) = tokio::join!(
            pay_out(&world, &keys[0], &body),
            pay_out(&world, &keys[1], &body),
            pay_out(&world, &keys[2], &body),
            world.stage.client.follow(payment, "refunds", &given, &refund)
        );
        assert_told(&given.unwrap(), 201, "succeeded");
        let mut told = [one, two, three].map(|told| (told.status, told.problem()));
        told.sort();
        let refused = || (409, Some("payout_exceeds_available".to_owned()));
        assert_eq!(told, [(201, None), refused(), refused()], "round {round}");
        assert_eq!(world.payouts().await.len(), round as usize + 1);
        assert_eq!(wallet(&world, "anna").await, (had - had * 2 / 3 - 10, 0, 0));
    }
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_whose_answer_is_lost_is_not_sent_twice() {
    for idempotency in ["native", "lookup"] {
        let world = World::with_idempotency(idempotency, &QUICK);
        world.fund("anna", 10_000).await;
        let faults = [
            ("reset", json!({"kind": "drop_reply"})),
            ("closed", json!({"kind": "drop_reply", "close": "fin"})),
            ("truncated", json!({"kind": "truncated_body"})),
            ("garbage", json!({"kind": "garbage_body"})),
            ("error", json!({"kind": "server_error", "saved": true, "executes": "all"})),
        ];
        let count = faults.len();
        for (name, fault) in faults {
            strike(&world, "payouts.create", &fault, 1).await;
            let told = pay_out(&world, name, &payout("anna", 1000)).await;
            assert!(matches!(told.status, 201 | 202), "{name}: {}", told.body);
            world.quiet().await;
            let told = pay_out(&world, name, &payout("anna", 1000)).await;
            assert_told(&told, 201, "paid");
            world.stage.control.heal().await.unwrap();
        }
        assert_eq!(world.payouts().await.len(), count, "{idempotency}");
        assert_eq!(wallet(&world, "anna").await, (5000, 0, 0));
        world.assert_books_are_right().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_psp_that_has_not_enough_sends_nothing_and_the_seller_keeps_it() {
    let world = World::new(&[]);
    let mut sold = order("order-1", 1000);
    sold["splits"] = json!([{"seller": "anna", "amount": 1000, "platform_fee": 0}]);
    assert_told(&world.stage.client.pay("sold", &sold).await.unwrap(), 201, "captured");
    // all of it goes to our own bank
    world.settle().await;
    let told = pay_out(&world, "p-1", &payout("anna", 600)).await;
    assert_told(&told, 201, "failed");
    assert_eq!(told.json()["failure"]["decline_code"], "balance_insufficient", "{}", told.body);
    assert_eq!((wallet(&world, "anna").await, world.payouts().await.len()), ((1000, 0, 0), 0));
    assert_eq!(events(&world, &id_of(&told)).await, ["payout.created", "payout.failed"]);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_before_after_twice_or_never_pays_out_the_same() {
    let world = World::new(&PATIENT);
    let (control, client) = (&world.stage.control, &world.stage.client);
    for seller in ["never", "before", "after", "twice"] {
        world.fund(seller, 1000).await;
    }
    let heard = world.count("select count(*) from webhook_event").await;
    assert_told(&pay_out(&world, "never", &payout("never", 700)).await, 201, "paid");
    assert_eq!(world.count("select count(*) from webhook_event").await, heard);

    world.stage.send_webhooks().await.unwrap();
    strike(&world, "payouts.create", &json!({"kind": "hang", "when": "after"}), 5).await;
    let early = client.clone();
    let asking =
        tokio::spawn(async move { early.post("/v1/payouts", "before", &payout("before", 700)).await });
    control.get("wait?hanging=1").await.unwrap();
    let sent = "select count(*) from payout where seller_id = 'before' and status = 'paid'";
    world.eventually("the webhook alone ends it", async || world.count(sent).await == 1).await;
    assert!(!asking.is_finished(), "the PSP has not answered yet");
    control.heal().await.unwrap();
    control.post("faults/release", &json!({})).await.unwrap();
    assert_told(&asking.await.unwrap().unwrap(), 201, "paid");
    world.heard().await;

    control.configure(&json!({"webhooks": {"delay_ms": {"min": 200, "max": 200}}})).await.unwrap();
    assert_told(&pay_out(&world, "after", &payout("after", 700)).await, 201, "paid");
    world.heard().await;
    control.configure(&json!({"webhooks": {"duplicate_rate": 1.0}})).await.unwrap();
    assert_told(&pay_out(&world, "twice", &payout("twice", 700)).await, 201, "paid");
    world.heard().await;

    let kinds = "select string_agg(t.kind, ' ' order by t.kind) from ledger_transaction t
                 join operation o on (o.merchant_id, o.operation_id) = (t.merchant_id, t.source_id)
                 where o.kind = 'payout' group by o.operation_id";
    let posted: Vec<String> = sqlx::query_scalar(kinds).fetch_all(&mut world.database().await).await.unwrap();
    assert_eq!(posted, vec!["payout_hold payout_paid payout_sent"; 4]);
    for seller in ["never", "before", "after", "twice"] {
        assert_eq!(wallet(&world, seller).await, (300, 0, 0), "{seller}");
    }
    assert_eq!(world.count("select count(*) from payment_event where payout_id is not null").await, 8);
    assert_eq!(world.payouts().await.len(), 4);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_arrives_by_webhook_or_is_asked_after() {
    let world = World::new(&QUICK);
    world.fund("anna", 3000).await;
    banks_are_slow(&world).await;
    let asked = pay_out(&world, "asked", &payout("anna", 1000)).await;
    assert_told(&asked, 201, "in_transit");
    // sent is not there yet, and no longer the seller's
    assert_eq!(wallet(&world, "anna").await, (2000, 0, 0));
    assert_eq!(account(&world, "payout_clearing").await, -1000);
    world.assert_books_are_right().await;
    let name = world.payouts().await[0].clone();
    for status in ["in_transit", "paid"] {
        advance(&world, &name, status).await;
        let due = "update operation set due_at = now() where kind = 'payout' and due_at is not null";
        sqlx::query(due).execute(&mut world.database().await).await.unwrap();
    }
    until(&world, &id_of(&asked), "paid").await;

    world.stage.send_webhooks().await.unwrap();
    let told = pay_out(&world, "told", &payout("anna", 1000)).await;
    assert_told(&told, 201, "in_transit");
    advance(&world, &world.payouts().await[1], "paid").await;
    until(&world, &id_of(&told), "paid").await;
    for id in [id_of(&asked), id_of(&told)] {
        assert_eq!(events(&world, &id).await, ["payout.created", "payout.in_transit", "payout.paid"]);
    }
    assert_eq!((wallet(&world, "anna").await, account(&world, "payout_clearing").await), ((1000, 0, 0), 0));
    // what was answered is answered again, as it was
    let again = pay_out(&world, "asked", &payout("anna", 1000)).await;
    assert_eq!((again.replayed, &again.body), (true, &asked.body));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_on_its_way_or_days_later_is_the_sellers_again() {
    let world = World::new(&[]);
    world.stage.send_webhooks().await.unwrap();
    world.fund("anna", 4000).await;
    banks_are_slow(&world).await;
    for (key, ways, ends, why) in [
        ("failed", vec!["in_transit", "failed"], "failed", "payout_failed"),
        ("canceled", vec!["canceled"], "failed", "canceled"),
        ("returned", vec!["paid", "failed"], "returned", "payout_failed"),
    ] {
        let told = pay_out(&world, key, &payout("anna", 1000)).await;
        assert_told(&told, 201, "in_transit");
        let name = world.payouts().await.pop().unwrap();
        for status in ways {
            advance(&world, &name, status).await;
            world.quiet().await;
        }
        let back = read(&world, &id_of(&told)).await;
        assert_eq!((&back["status"], &back["failure"]["code"]), (&json!(ends), &json!(why)), "{key}: {back}");
        assert_eq!(
            (wallet(&world, "anna").await, account(&world, "payout_clearing").await),
            ((4000, 0, 0), 0)
        );
        let operation = back["operation_id"].as_str().unwrap();
        let operation: Value = world.stage.client.read(&format!("/v1/operations/{operation}")).await.unwrap();
        assert_eq!(operation["status"], "reversed", "{key}");
        world.assert_books_are_right().await;
    }
    // it can be sent again, as a payout of its own
    assert_told(&pay_out(&world, "again", &payout("anna", 4000)).await, 201, "in_transit");
    let told = world.settle().await;
    assert!(told.contains("verdict: clean"), "{told}");
    // the line says that it left the PSP, not that it is there
    assert_eq!(account(&world, "payout_clearing").await, -4000);
    assert_eq!(account(&world, "psp_receivable").await, 4000);
    advance(&world, &world.payouts().await.pop().unwrap(), "paid").await;
    world.quiet().await;
    assert_eq!((account(&world, "payout_clearing").await, account(&world, "psp_receivable").await), (0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_repays_what_the_seller_owes_first() {
    let world = World::new(&[]);
    world.stage.send_webhooks().await.unwrap();
    world.fund("anna", 1000).await;
    let told = pay_out(&world, "p-1", &payout("anna", 1000)).await;
    assert_told(&told, 201, "paid");
    let paid: Value = world.stage.client.read("/v1/payments").await.unwrap();
    let payment = paid["data"][0]["payment_id"].as_str().unwrap();
    let refund = json!({"amount": 800, "refund_platform_fee": false});
    let refunded = world.stage.client.follow(payment, "refunds", "r-1", &refund).await.unwrap();
    assert_told(&refunded, 201, "succeeded");
    assert_eq!(wallet(&world, "anna").await, (0, 0, 800));
    let refused = pay_out(&world, "p-2", &payout("anna", 100)).await;
    assert_eq!((refused.status, &refused.json()["debt_amount"]), (409, &json!(800)), "{}", refused.body);
    advance(&world, &world.payouts().await[0], "failed").await;
    world.quiet().await;
    assert_eq!(read(&world, &id_of(&told)).await["status"], "returned");
    assert_eq!(wallet(&world, "anna").await, (200, 0, 0));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_settlement_file_tells_of_ends_and_comes_back_by_it() {
    let world = World::new(&QUICK);
    world.fund("anna", 3000).await;
    for (call, kind) in [("payouts.create", "drop_reply"), ("payouts.list", "unavailable")] {
        strike(&world, call, &json!({"kind": kind}), ALWAYS).await;
    }
    for key in ["sent", "returned"] {
        let told = pay_out(&world, key, &payout("anna", 1000)).await;
        assert_eq!(told.status, 202, "{}", told.body);
        assert_eq!(told.json()["status"], "processing");
    }
    assert_eq!(wallet(&world, "anna").await, (1000, 2000, 0));
    let names = world.payouts().await;
    assert_eq!(names.len(), 2);
    advance(&world, &names[1], "failed").await;
    let told = world.settle().await;
    assert!(told.contains("verdict: clean"), "{told}");
    let sent = pay_out(&world, "sent", &payout("anna", 1000)).await;
    assert_told(&sent, 201, "in_transit");
    assert_eq!((sent.replayed, &sent.json()["psp_reference"]), (true, &json!(names[0])));
    let returned = pay_out(&world, "returned", &payout("anna", 1000)).await;
    assert_eq!((returned.status, returned.replayed), (201, true), "{}", returned.body);
    assert_eq!(read(&world, &id_of(&returned)).await["status"], "failed");
    assert_eq!(wallet(&world, "anna").await, (2000, 0, 0));
    world.stage.control.heal().await.unwrap();
    let due = "update operation set due_at = now() where kind = 'payout' and due_at is not null";
    sqlx::query(due).execute(&mut world.database().await).await.unwrap();
    until(&world, &id_of(&sent), "paid").await;

    // one that was there comes back, and nobody says so but the file
    advance(&world, &names[0], "failed").await;
    let told = world.settle().await;
    assert!(told.contains("verdict: clean"), "{told}");
    assert_eq!(read(&world, &id_of(&sent)).await["status"], "returned");
    assert_eq!(wallet(&world, "anna").await, (3000, 0, 0));
    assert_eq!(world.payouts().await.len(), 2);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_somebody_else_made_of_ours_is_a_break() {
    let world = World::new(&[]);
    world.fund("anna", 2000).await;
    let told = pay_out(&world, "p-1", &payout("anna", 1000)).await;
    assert_told(&told, 201, "paid");
    let operation = told.json()["operation_id"].as_str().unwrap().to_owned();
    let form = [
        ("amount", "1000"),
        ("currency", "eur"),
        ("destination", "ba_1"),
        ("description", operation.as_str()),
        ("metadata[payonce_operation]", operation.as_str()),
    ];
    world.psp_post("payouts", &form).await;
    world.settle_with_breaks().await;
    assert_eq!(world.count("select count(*) from recon_break where kind = 'paid_out_twice'").await, 1);
    assert_eq!(wallet(&world, "anna").await, (1000, 0, 0), "it is not taken of the seller twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_own_payouts_and_those_of_others_are_not_the_sellers() {
    let world = World::new(&[]);
    world.stage.send_webhooks().await.unwrap();
    world.fund("anna", 2000).await;
    let form = [("amount", "300"), ("currency", "eur"), ("destination", "ba_9")];
    world.psp_post("payouts", &form).await;
    world.heard().await;
    assert_eq!(world.count("select count(*) from payout").await, 0);
    assert_eq!(wallet(&world, "anna").await, (2000, 0, 0));
    assert_eq!(world.count("select count(*) from webhook_event where status = 'pending'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_say_what_became_of_a_payout_that_nobody_can_tell_of() {
    let hasty =
        ["--patience=300ms", "--psp-deadline=500ms", "--lease=600ms", "--review-after=1s", "--grace=5s"];
    let world = World::new(&hasty);
    world.fund("anna", 3000).await;
    for (call, kind) in [("payouts.create", "drop_reply"), ("payouts.list", "unavailable")] {
        strike(&world, call, &json!({"kind": kind}), ALWAYS).await;
    }
    let mut operations = Vec::new();
    for key in ["sent", "lost"] {
        let told = pay_out(&world, key, &payout("anna", 1000)).await;
        assert_eq!(told.status, 202, "{}", told.body);
        operations.push(told.json()["operation_id"].as_str().unwrap().to_owned());
    }
    world
        .eventually("both need review", async || {
            world.count("select count(*) from operation where status = 'needs_review'").await == 2
        })
        .await;
    assert_eq!(wallet(&world, "anna").await, (1000, 2000, 0), "it stays held");
    let page: Value = world.stage.client.read("/v1/reviews").await.unwrap();
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    assert!(page["data"][0]["payout_id"].is_string(), "{page}");
    let name = world.payouts().await[0].clone();
    let word = json!({"outcome": "succeeded", "reason": "on the dashboard", "psp_reference": name});
    let path = format!("/v1/reviews/{}/close", operations[0]);
    let told = world.stage.client.post(&path, "close", &word).await.unwrap();
    assert_eq!(
        (told.status, &told.json()["operation"]["status"]),
        (201, &json!("succeeded")),
        "{}",
        told.body
    );
    let merchant = world.stage.shop.merchant_id.as_str();
    let said = [
        "review",
        "close",
        "--merchant",
        merchant,
        "--operation",
        &operations[1],
        "--as",
        "alice",
        "--outcome",
        "failed",
        "--reason",
        "not on the dashboard",
    ];
    let closed = block_in_place(|| world.stage.installation.command(said).run()).unwrap();
    assert!(closed.contains("closed"), "{closed}");
    assert_eq!(wallet(&world, "anna").await, (2000, 0, 0));
    let told = pay_out(&world, "lost", &payout("anna", 1000)).await;
    assert_told(&told, 201, "failed");
    assert_eq!(pay_out(&world, "sent", &payout("anna", 1000)).await.status, 201);
    // it was sent all the same: the file says so, and it is not dropped
    world.stage.control.heal().await.unwrap();
    world.settle_with_breaks().await;
    block_in_place(|| world.stage.audit()).unwrap_or_else(|error| panic!("{}", error.chain()));
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_are_listed_newest_first_by_seller_and_by_status() {
    let world = World::new(&[]);
    for seller in ["anna", "bert"] {
        world.fund(seller, 1000).await;
    }
    let mut made = Vec::new();
    for (key, seller) in [("p-1", "anna"), ("p-2", "bert"), ("p-3", "anna"), ("p-4", "anna")] {
        made.push(pay_out(&world, key, &payout(seller, 100)).await.json());
    }
    made.reverse();
    let client = &world.stage.client;
    let page: Value = client.read("/v1/payouts?limit=3").await.unwrap();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest: Value = client.read(&format!("/v1/payouts?limit=3&cursor={cursor}")).await.unwrap();
    assert_eq!((&page["data"], &rest["data"]), (&json!(made[..3]), &json!(made[3..])));
    assert_eq!(rest["next_cursor"], Value::Null);
    let of_bert: Value = client.read("/v1/payouts?seller=bert&status=paid").await.unwrap();
    assert_eq!(of_bert["data"], json!([made[2]]));
    let failed: Value = client.read("/v1/payouts?status=failed").await.unwrap();
    assert_eq!(failed["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_whose_key_the_psp_knows_of_another_request_is_never_sent_again() {
    let world = World::new(&QUICK);
    world.fund("anna", 3000).await;
    let merchant = world.stage.shop.merchant_id.parse().unwrap();
    let key = "p-1".to_owned().try_into().unwrap();
    // as of a claim that was lost in a restore, and asked for something else
    let operation = payment_service::payout::operation_id(merchant, &key).to_string();
    let url = format!("{}/v1/payouts", world.stage.sandbox().unwrap().url());
    let form = [("amount", "700"), ("currency", "eur"), ("destination", "ba_1")];
    let request = tests::http::client().unwrap().post(url).bearer_auth(&world.stage.shop.psp_secret);
    let sent = request.header("Idempotency-Key", &operation).form(&form).send().await.unwrap();
    assert!(sent.status().is_success());
    let told = pay_out(&world, "p-1", &payout("anna", 1000)).await;
    assert_eq!(told.status, 202, "{}", told.body);
    let looks = "select count(*) from attempt where action = 'search'";
    for _ in 0..3 {
        let before = world.count(looks).await;
        let due = "update operation set due_at = now(), lease_until = now() where due_at is not null";
        sqlx::query(due).execute(&mut world.database().await).await.unwrap();
        world.eventually("it is looked for", async || world.count(looks).await > before).await;
    }
    assert_eq!(world.count("select count(*) from attempt where action = 'payout'").await, 1);
    let reason = "select count(*) from operation where status = 'unknown' and reason = 'key_conflict'";
    assert_eq!(world.count(reason).await, 1);
    assert_eq!(wallet(&world, "anna").await, (2000, 1000, 0), "it stays held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_people_ask_about_and_is_on_its_way_is_asked_about_until_it_is_there() {
    let hasty =
        ["--patience=300ms", "--psp-deadline=500ms", "--lease=600ms", "--review-after=1s", "--grace=5s"];
    let world = World::new(&hasty);
    world.fund("anna", 3000).await;
    banks_are_slow(&world).await;
    for (call, kind) in [("payouts.create", "drop_reply"), ("payouts.list", "unavailable")] {
        strike(&world, call, &json!({"kind": kind}), ALWAYS).await;
    }
    let told = pay_out(&world, "p-1", &payout("anna", 1000)).await;
    assert_eq!(told.status, 202, "{}", told.body);
    world
        .eventually("it needs review", async || {
            world.count("select count(*) from operation where status = 'needs_review'").await == 1
        })
        .await;
    world.stage.control.heal().await.unwrap();
    let path = format!("/v1/reviews/{}/ask", told.json()["operation_id"].as_str().unwrap());
    let asked = world.stage.client.post(&path, "ask", &json!({})).await.unwrap();
    assert!(asked.status < 300, "{}", asked.body);
    until(&world, &id_of(&told), "in_transit").await;
    // nobody tells, and somebody asks
    let wakes = "select count(*) from operation where kind = 'payout' and due_at > now()";
    assert_eq!(world.count(wakes).await, 1);
    advance(&world, &world.payouts().await[0], "paid").await;
    let due = "update operation set due_at = now() where kind = 'payout' and due_at is not null";
    sqlx::query(due).execute(&mut world.database().await).await.unwrap();
    until(&world, &id_of(&told), "paid").await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sellers_are_paid_is_shown_to_finance_alone() {
    let world = World::new(&[]);
    world.fund("anna", 1000).await;
    let told = pay_out(&world, "p-1", &payout("anna", 100)).await.json();
    let (merchant, installation) = (world.stage.shop.merchant_id.as_str(), &world.stage.installation);
    let create =
        ["api-key", "create", "--merchant", merchant, "--name", "till", "--scopes", "payments", "--json"];
    let made = block_in_place(|| installation.command(create).run()).unwrap();
    let till: Value = serde_json::from_str(&made).unwrap();
    let till = till["secret"].as_str().unwrap();
    let status = async |key: &str, path: &str| {
        let request =
            tests::http::client().unwrap().get(format!("http://{}{path}", world.stage.service_address()));
        let request = request.bearer_auth(key);
        request.send().await.unwrap().status().as_u16()
    };
    let operation = format!("/v1/operations/{}", told["operation_id"].as_str().unwrap());
    assert_eq!(status(&world.stage.shop.api_key, &operation).await, 200);
    assert_eq!(status(till, &operation).await, 404);
    let timeline = format!("/v1/payments/{}/timeline", told["payout_id"].as_str().unwrap());
    assert_eq!(status(&world.stage.shop.api_key, &timeline).await, 404, "a payout is no payment");
}
