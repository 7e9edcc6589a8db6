//! Buyers who pay on a page of the PSP's, or are sent away to prove who they are, and come back; and means of payment
//! about which a bank decides days later.

use reqwest::Client;
use serde_json::{Value, json};

use crate::world::{World, order, order_to_capture};

const QUICK: [&str; 6] = ["--patience", "1s", "--psp-deadline", "2s", "--lease", "3s"];
const SHOP: &str = "http://127.0.0.1:1/orders/1?tab=paid";

/// Somebody who pays, with a browser.
struct Buyer {
    browser: Client,
    page: String,
}

impl Buyer {
    fn at(payment: &Value) -> Self {
        let page = payment["next_action"]["redirect_url"].as_str();
        let page = page.unwrap_or_else(|| panic!("nowhere to go: {payment}")).to_owned();
        Self { browser: tests::http::client().unwrap(), page }
    }

    /// What the page says.
    async fn sees(&self) -> String {
        let page = self.browser.get(&self.page).send().await.unwrap();
        page.text().await.unwrap()
    }

    /// Presses a button, and is where that leads.
    async fn presses(&mut self, name: &str, value: &str) {
        let sent = self.browser.post(&self.page).form(&[(name, value)]).send().await.unwrap();
        let to = sent.headers().get("location").unwrap_or_else(|| panic!("sent nowhere: {}", sent.status()));
        self.page = to.to_str().unwrap().to_owned();
    }

    async fn pays_with(&mut self, card: &str) {
        self.presses("payment_method", card).await;
    }
}

/// The same order, to be paid on the PSP's page.
fn on_page(mut order: Value) -> Value {
    order.as_object_mut().unwrap().remove("payment_method");
    order["return_url"] = json!(SHOP);
    order
}

async fn begun(world: &World, key: &str, request: &Value) -> Value {
    let told = world.stage.client.pay(key, request).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("requires_action")), "{}", told.body);
    told.json()
}

async fn now(world: &World, payment: &Value) -> Value {
    let id = payment["payment_id"].as_str().unwrap();
    world.stage.client.read(&format!("/v1/payments/{id}")).await.unwrap()
}

async fn kinds(world: &World, payment: &Value) -> Vec<String> {
    let query = "select type from payment_event where payment_id = $1::uuid order by version";
    let id = payment["payment_id"].as_str().unwrap();
    sqlx::query_scalar(query).bind(id).fetch_all(&mut world.database().await).await.unwrap()
}

/// The service looks at what waits for buyers, as it does every minute.
async fn a_minute_later(world: &World) {
    let soon = "update operation set due_at = now() where due_at is not null and status <> 'succeeded'";
    sqlx::query(soon).execute(&mut world.database().await).await.unwrap();
}

/// Waits until the payment stands so.
async fn becomes(world: &World, payment: &Value, status: &str) -> Value {
    world
        .eventually(&format!("it is {status}"), async || now(world, payment).await["status"] == status)
        .await;
    now(world, payment).await
}

/// The decision of the buyer's bank, on the payment that was made last.
async fn bank_says(world: &World, pays: bool) {
    let url = format!("{}/v1/payment_intents?limit=1", world.stage.sandbox().unwrap().url());
    let request = tests::http::client().unwrap().get(url).bearer_auth(&world.stage.shop.psp_secret);
    let newest: Value = request.send().await.unwrap().json().await.unwrap();
    let id = newest["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{newest}"));
    world.stage.control.post(&format!("payment_intents/{id}/decide"), &json!({"pays": pays})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_pays_on_the_psps_page_after_a_decline_and_comes_back() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    let payment = begun(&world, "key-1", &on_page(order("order-1", 1200))).await;
    assert_eq!((payment.get("payment_method"), &payment["return_url"]), (None, &json!(SHOP)));
    let mut buyer = Buyer::at(&payment);
    let page = buyer.page.clone();
    assert!(buyer.sees().await.contains("12.00 EUR"));
    buyer.pays_with("pm_card_visa_chargeDeclinedInsufficientFunds").await;
    assert_eq!(buyer.page, page);
    world.stage.control.webhooks_delivered().await.unwrap();
    a_minute_later(&world).await;
    // a try that failed is not the last word
    let rival = world.stage.client.pay("key-2", &order("order-1", 1200)).await.unwrap();
    assert_eq!(rival.status, 409, "{}", rival.body);
    assert_eq!(now(&world, &payment).await["next_action"]["redirect_url"], json!(page));
    buyer.pays_with("pm_card_threeDSecure2Required").await;
    buyer.presses("outcome", "complete").await;
    assert!(buyer.page.starts_with(&page));
    let back = buyer.browser.get(&buyer.page).send().await.unwrap();
    assert_eq!(back.headers()["location"], SHOP);
    world.heard().await;
    let paid = becomes(&world, &payment, "captured").await;
    assert_eq!((paid.get("next_action"), &paid["captured_amount"]), (None, &json!(1200)));
    assert_eq!(
        kinds(&world, &payment).await,
        ["payment.created", "payment.requires_action", "payment.captured"]
    );
    assert_eq!(world.charges().await.len(), 1);
    world.settle().await;
    let id = payment["payment_id"].as_str().unwrap();
    let refund = world.stage.client.follow(id, "refunds", "r-1", &json!({"amount": 500})).await.unwrap();
    assert_eq!((refund.status, &refund.json()["status"]), (201, &json!("succeeded")), "{}", refund.body);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_on_a_page_is_found_without_any_webhook() {
    let world = World::new(&QUICK);
    let payment = begun(&world, "key-1", &on_page(order_to_capture("order-1", 1200))).await;
    let mut buyer = Buyer::at(&payment);
    buyer.pays_with("pm_card_visa_chargeDeclined").await;
    a_minute_later(&world).await;
    world
        .eventually("it was looked at", async || world.count("select count(*) from attempt").await == 2)
        .await;
    assert_eq!(now(&world, &payment).await["status"], "requires_action");
    buyer.pays_with("pm_card_visa").await;
    assert_eq!(buyer.page, SHOP);
    a_minute_later(&world).await;
    becomes(&world, &payment, "authorized").await;
    let id = payment["payment_id"].as_str().unwrap();
    let captured = world.stage.client.follow(id, "capture", "c-1", &json!({"amount": 700})).await.unwrap();
    assert_eq!(
        (captured.status, &captured.json()["status"]),
        (201, &json!("succeeded")),
        "{}",
        captured.body
    );
    assert_eq!(now(&world, &payment).await["captured_amount"], 700);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_answer_was_lost_is_asked_for_again_and_is_the_same() {
    let world = World::new(&QUICK);
    for (number, fault) in
        [json!({"kind": "drop_reply"}), json!({"kind": "server_error", "saved": false})].iter().enumerate()
    {
        let rule = json!({"fault": fault, "match": {"operation": "checkout.sessions.create"}, "times": 3});
        world.stage.control.fault(&rule).await.unwrap();
        let request = on_page(order(&format!("order-{number}"), 1200));
        let key = format!("key-{number}");
        let told = world.stage.client.pay(&key, &request).await.unwrap();
        assert!(matches!(told.status, 201 | 202), "{}", told.body);
        let payment = becomes(&world, &told.json(), "requires_action").await;
        let again = world.stage.client.pay(&key, &request).await.unwrap();
        assert_eq!(again.json()["next_action"], payment["next_action"], "{}", again.body);
        Buyer::at(&payment).pays_with("pm_card_visa").await;
        a_minute_later(&world).await;
        becomes(&world, &payment, "captured").await;
    }
    assert_eq!(world.charges().await.len(), 2);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_pays_on_is_closed_and_frees_its_order() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    // by the PSP's clock, and told by it
    let first = begun(&world, "key-1", &on_page(order("order-1", 1200))).await;
    Buyer::at(&first).pays_with("pm_card_visa_chargeDeclined").await;
    world.stage.control.post("clock", &json!({"advance_seconds": 24 * 3600 + 1})).await.unwrap();
    world.heard().await;
    assert_eq!(now(&world, &first).await["status"], "expired");
    // by ours
    let second = begun(&world, "key-2", &on_page(order("order-1", 1200))).await;
    let mut database = world.database().await;
    let a_day_later = "update payment_event set recorded_at = now() - interval '25 hours'";
    sqlx::query(a_day_later).execute(&mut database).await.unwrap();
    a_minute_later(&world).await;
    becomes(&world, &second, "expired").await;
    assert!(Buyer::at(&second).sees().await.contains("This page is closed"));
    let third = world.stage.client.pay("key-3", &order("order-1", 1200)).await.unwrap();
    assert_eq!((third.status, &third.json()["ordinal"]), (201, &json!(3)), "{}", third.body);
    assert_eq!(world.charges().await.len(), 1);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_who_ends_a_payment_on_a_page_is_told_if_the_buyer_was_quicker() {
    let world = World::new(&QUICK);
    let void = async |payment: &Value, key: &str| {
        let id = payment["payment_id"].as_str().unwrap().to_owned();
        world.stage.client.follow(&id, "void", key, &json!({})).await.unwrap()
    };
    let open = begun(&world, "key-1", &on_page(order("order-1", 1200))).await;
    let told = void(&open, "v-1").await;
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("succeeded")), "{}", told.body);
    assert_eq!(now(&world, &open).await["status"], "voided");
    assert!(Buyer::at(&open).sees().await.contains("This page is closed"));
    // the service has not heard of what these have paid
    let held = begun(&world, "key-2", &on_page(order_to_capture("order-2", 1200))).await;
    Buyer::at(&held).pays_with("pm_card_visa").await;
    let told = void(&held, "v-2").await;
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("succeeded")), "{}", told.body);
    assert_eq!(now(&world, &held).await["status"], "voided");
    let paid = begun(&world, "key-3", &on_page(order("order-3", 1200))).await;
    Buyer::at(&paid).pays_with("pm_card_visa").await;
    let told = void(&paid, "v-3").await;
    assert_eq!(
        (told.status, &told.json()["failure"]["code"]),
        (201, &json!("already_captured")),
        "{}",
        told.body
    );
    a_minute_later(&world).await;
    becomes(&world, &paid, "captured").await;
    world.quiet().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_decides_days_later_ends_the_payment_then() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    for (number, pays, ending) in [(1, true, "captured"), (2, false, "failed")] {
        let order = order(&format!("order-{number}"), 1200);
        let payment = begun(&world, &format!("key-{number}"), &on_page(order.clone())).await;
        let mut buyer = Buyer::at(&payment);
        buyer.pays_with("pm_usBankAccount_success").await;
        assert_eq!(buyer.page, SHOP);
        let waits = becomes(&world, &payment, "processing").await;
        assert_eq!(waits.get("next_action"), None);
        bank_says(&world, pays).await;
        world.heard().await;
        let ended = becomes(&world, &payment, ending).await;
        let told = kinds(&world, &payment).await;
        assert_eq!(told[2..], ["payment.processing".to_owned(), format!("payment.{ending}")]);
        let next = world.stage.client.pay(&format!("next-{number}"), &order).await.unwrap();
        assert_eq!(next.status, if pays { 409 } else { 201 }, "{}", next.body);
        if !pays {
            assert_eq!(ended["failure"]["decline_code"], "insufficient_funds");
        }
    }
    assert_eq!(world.charges().await.len(), 2);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_bank_account_is_processing_until_the_bank_decides() {
    let world = World::new(&QUICK);
    for (number, pays, ending) in [(1, true, "captured"), (2, false, "failed")] {
        let mut request = order(&format!("order-{number}"), 1200);
        request["payment_method"] = json!("pm_usBankAccount_success");
        request["return_url"] = json!(SHOP);
        let told = world.stage.client.pay(&format!("key-{number}"), &request).await.unwrap();
        assert_eq!((told.status, &told.json()["status"]), (202, &json!("processing")), "{}", told.body);
        a_minute_later(&world).await;
        bank_says(&world, pays).await;
        a_minute_later(&world).await;
        becomes(&world, &told.json(), ending).await;
    }
    assert_eq!(world.charges().await.len(), 1);
    world.quiet().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_is_sent_to_the_bank_comes_back_to_the_shop() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    for (number, outcome, ending) in [(1, "complete", "captured"), (2, "fail", "failed")] {
        let mut request = order(&format!("order-{number}"), 1200);
        request["payment_method"] = json!("pm_card_threeDSecure2Required");
        request["return_url"] = json!(SHOP);
        let payment = begun(&world, &format!("key-{number}"), &request).await;
        let mut buyer = Buyer::at(&payment);
        buyer.presses("outcome", outcome).await;
        assert!(buyer.page.starts_with(&format!("{SHOP}&payment_intent=pi_")), "{}", buyer.page);
        world.heard().await;
        becomes(&world, &payment, ending).await;
    }
    assert_eq!(world.charges().await.len(), 1);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_tell_what_was_paid_on_a_page_by_the_payments_own_name() {
    let world = World::new(&QUICK);
    let payment = begun(&world, "key-1", &on_page(order("order-1", 1200))).await;
    let page =
        payment["next_action"]["redirect_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    Buyer::at(&payment).pays_with("pm_card_visa").await;
    world.stage.control.post("outage", &json!({})).await.unwrap();
    let days_later = "update payment_event set recorded_at = now() - interval '100 hours'";
    sqlx::query(days_later).execute(&mut world.database().await).await.unwrap();
    a_minute_later(&world).await;
    let in_review = "select count(*) from operation where status = 'needs_review'";
    world.eventually("a person is asked", async || world.count(in_review).await == 1).await;
    world.stage.control.call(reqwest::Method::DELETE, "outage", None).await.unwrap();
    let pending: Value = world.stage.client.read("/v1/reviews").await.unwrap();
    let id = pending["data"][0]["operation_id"].as_str().unwrap();
    let said = async |key: &str, name: Value| {
        let word = json!({"outcome": "succeeded", "reason": "shown as paid", "psp_reference": name});
        world.stage.client.post(&format!("/v1/reviews/{id}/close"), key, &word).await.unwrap()
    };
    for (key, name) in [("r-1", Value::Null), ("r-2", json!(page))] {
        let told = said(key, name).await;
        assert_eq!(
            (told.status, &told.json()["errors"][0]["field"]),
            (422, &json!("psp_reference")),
            "{}",
            told.body
        );
    }
    let [intent] = world.intents().await.try_into().unwrap();
    let told = said("r-3", json!(intent)).await;
    assert_eq!((told.status, &told.json()["state"]), (201, &json!("closed")), "{}", told.body);
    assert_eq!(now(&world, &payment).await["status"], "captured");
    world.stage.send_webhooks().await.unwrap();
    world.settle().await;
    let id = payment["payment_id"].as_str().unwrap();
    let refund = world.stage.client.follow(id, "refunds", "r-1", &json!({"amount": 500})).await.unwrap();
    assert_eq!((refund.status, &refund.json()["status"]), (201, &json!("succeeded")), "{}", refund.body);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_psp_that_forgets_is_never_asked_for_a_second_page() {
    for idempotency in ["lookup", "none"] {
        let world = World::with_idempotency(idempotency, &QUICK);
        world.stage.send_webhooks().await.unwrap();
        let rule = json!({"fault": {"kind": "drop_reply"}, "match": {"operation": "checkout.sessions.create"}, "times": 1});
        world.stage.control.fault(&rule).await.unwrap();
        let told = world.stage.client.pay("key-1", &on_page(order("order-1", 1200))).await.unwrap();
        assert_eq!((told.status, &told.json()["status"]), (202, &json!("processing")), "{}", told.body);
        a_minute_later(&world).await;
        // nobody knows where that page is, and it closes
        world.stage.control.post("clock", &json!({"advance_seconds": 24 * 3600 + 1})).await.unwrap();
        becomes(&world, &told.json(), "failed").await;
        let stats = world.stage.control.get("stats").await.unwrap();
        assert_eq!(stats["calls"]["checkout.sessions.create"], 1, "{stats}");
        let next = world.stage.client.pay("key-2", &order("order-1", 1200)).await.unwrap();
        assert_eq!(next.status, 201, "{}", next.body);
        world.quiet().await;
        world.assert_books_are_right().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_that_crosses_what_a_bank_decides_ends_with_it() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    for (number, pays, ending, void) in [(1, false, "voided", "succeeded"), (2, true, "captured", "failed")] {
        let payment =
            begun(&world, &format!("key-{number}"), &on_page(order(&format!("order-{number}"), 1200))).await;
        // the PSP shows nothing while the buyer acts, so that it still waits for us
        world
            .stage
            .control
            .configure(&json!({"webhooks": {"delay_ms": {"min": 3000, "max": 3000}}}))
            .await
            .unwrap();
        Buyer::at(&payment).pays_with("pm_usBankAccount_success").await;
        let id = payment["payment_id"].as_str().unwrap();
        let told =
            world.stage.client.follow(id, "void", &format!("void-{number}"), &json!({})).await.unwrap();
        assert_eq!(told.status, 202, "{}", told.body);
        becomes(&world, &payment, "processing").await;
        bank_says(&world, pays).await;
        world.stage.control.webhooks_delivered().await.unwrap();
        a_minute_later(&world).await;
        becomes(&world, &payment, ending).await;
        world.quiet().await;
        let told =
            world.stage.client.follow(id, "void", &format!("void-{number}"), &json!({})).await.unwrap();
        assert_eq!((told.status, &told.json()["status"]), (201, &json!(void)), "{}", told.body);
    }
    assert_eq!(world.count("select count(*) from webhook_event where status = 'quarantined'").await, 0);
    assert_eq!(world.count("select count(*) from recon_break").await, 0);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_on_a_page_and_let_go_at_once_is_not_taken_for_a_charge() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    let late = json!({"webhooks": {"delay_ms": {"min": 2000, "max": 2000}}});
    world.stage.control.configure(&late).await.unwrap();
    let payment = begun(&world, "key-1", &on_page(order_to_capture("order-1", 1200))).await;
    Buyer::at(&payment).pays_with("pm_card_visa").await;
    let id = payment["payment_id"].as_str().unwrap();
    let told = world.stage.client.follow(id, "void", "void-1", &json!({})).await.unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("succeeded")), "{}", told.body);
    // what the PSP says of the moment before comes now
    world.heard().await;
    assert_eq!(now(&world, &payment).await["status"], "voided");
    assert_eq!(world.count("select count(*) from recon_break").await, 0);
    assert_eq!(world.count("select count(*) from webhook_event where status = 'quarantined'").await, 0);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_refuses_what_people_look_at_already_ends_it() {
    let world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    let payment = begun(&world, "key-1", &on_page(order("order-1", 1200))).await;
    Buyer::at(&payment).pays_with("pm_usBankAccount_success").await;
    becomes(&world, &payment, "processing").await;
    world.stage.control.webhooks_delivered().await.unwrap();
    let given_up =
        "update operation set status = 'needs_review', reason = 'no_evidence', due_at = null, takeovers = 0";
    sqlx::query(given_up).execute(&mut world.database().await).await.unwrap();
    // whoever looks because of the news hears nothing at first
    for operation in ["payment_intents.retrieve", "checkout.sessions.retrieve"] {
        let rule =
            json!({"fault": {"kind": "unavailable"}, "match": {"operation": operation}, "times": 1_000_000});
        world.stage.control.fault(&rule).await.unwrap();
    }
    bank_says(&world, false).await;
    let looked = "select count(*) from operation where status = 'needs_review' and takeovers > 0 and due_at > lease_until
                  and lease_until <= now()";
    world.eventually("it is looked at again", async || world.count(looked).await == 1).await;
    world.stage.control.heal().await.unwrap();
    becomes(&world, &payment, "failed").await;
    let next = world.stage.client.pay("key-2", &order("order-1", 1200)).await.unwrap();
    assert_eq!(next.status, 201, "{}", next.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_told_of_while_what_was_held_on_it_is_captured_contradicts_nothing() {
    let world = World::new(&["--patience=60s", "--psp-deadline=60s", "--lease=70s", "--request-timeout=80s"]);
    let control = &world.stage.control;
    world.stage.send_webhooks().await.unwrap();
    let fault = json!({"kind": "hang", "when": "before"});
    control.fault(&json!({"fault": fault, "match": {"operation": "payment_intents.capture"}})).await.unwrap();
    control.configure(&json!({"webhooks": {"delay_ms": {"min": 3000, "max": 3000}}})).await.unwrap();
    let payment = begun(&world, "key-1", &on_page(order_to_capture("order-1", 1200))).await;
    Buyer::at(&payment).pays_with("pm_card_visa").await;
    a_minute_later(&world).await;
    becomes(&world, &payment, "authorized").await;
    let (client, id) = (world.stage.client.clone(), payment["payment_id"].as_str().unwrap().to_owned());
    let capturing = tokio::spawn(async move { client.follow(&id, "capture", "capture-1", &json!({})).await });
    control.get("wait?hanging=1").await.unwrap();
    control.webhooks_delivered().await.unwrap();
    let waiting = "select count(*) from webhook_event where due_at is not null";
    world.eventually("all are applied", async || world.count(waiting).await == 0).await;
    assert!(
        world.count("select count(*) from webhook_event where type = 'checkout.session.completed'").await
            == 1
    );
    assert_eq!(world.count("select count(*) from webhook_event where status = 'quarantined'").await, 0);
    control.heal().await.unwrap();
    control.post("faults/release", &json!({})).await.unwrap();
    let told = capturing.await.unwrap().unwrap();
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("succeeded")), "{}", told.body);
    world.heard().await;
    world.assert_books_are_right().await;
}
