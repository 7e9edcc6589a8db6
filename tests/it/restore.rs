//! A database that is restored to an earlier moment: what was claimed since then is lost, and its clients ask again.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::shop::Told;
use tokio::task::block_in_place;

use crate::world::{World, order, order_to_capture, payout};

/// A request, by the order that it is about.
struct Request {
    key: &'static str,
    order: &'static str,
    /// What is done to the order's payment, or a payout; a payment where there is nothing.
    action: &'static str,
    body: Value,
}

fn request(key: &'static str, order: &'static str, action: &'static str, body: Value) -> Request {
    Request { key, order, action, body }
}

/// What clients ask for, in this order, after the moment that the database goes back to.
fn lost() -> Vec<Request> {
    let mut declined = order("twice", 700);
    declined["payment_method"] = json!("pm_card_visa_chargeDeclined");
    vec![
        request("new", "new", "", order("new", 1000)),
        request("declined", "twice", "", declined),
        request("paid", "twice", "", order("twice", 700)),
        request("held", "later", "", order_to_capture("later", 900)),
        request("capture-held", "held", "capture", json!({"amount": 400, "final": false})),
        request("capture-rest", "held", "capture", json!({})),
        request("refund", "paid", "refunds", json!({"amount": 300})),
        request("refund-more", "paid", "refunds", json!({"amount": 300})),
        request("void", "idle", "void", json!({})),
        request("capture-later", "later", "capture", json!({"amount": 500})),
        request("refund-later", "later", "refunds", json!({"amount": 200})),
        request("refund-new", "new", "refunds", json!({})),
        request("payout", "", "payouts", payout("anna", 400)),
    ]
}

/// The shop, which knows its payments by their orders.
struct Client<'a> {
    world: &'a World,
    payments: HashMap<&'static str, String>,
}

impl Client<'_> {
    async fn ask(&mut self, request: &Request) -> Told {
        let Request { key, order, action, body } = request;
        if *action == "payouts" {
            return self.world.stage.client.post("/v1/payouts", key, body).await.unwrap();
        }
        if !action.is_empty() {
            let payment = &self.payments[order];
            return self.world.stage.client.follow(payment, action, key, body).await.unwrap();
        }
        let told = self.world.stage.client.pay(key, body).await.unwrap();
        self.payments.insert(order, told.json()["payment_id"].as_str().unwrap().to_owned());
        told
    }
}

/// Runs statements about the world's database, by its name, from beside it.
async fn run(world: &World, statements: impl Fn(&str) -> Vec<String>) {
    let url = world.stage.installation.superuser_url().unwrap();
    let options: PgConnectOptions = url.parse().unwrap();
    let name = options.get_database().unwrap().to_owned();
    let mut server = PgConnection::connect_with(&options.database("postgres")).await.unwrap();
    for statement in statements(&name) {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut server).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_has_lost_is_asked_for_again_and_done_once() {
    let mut world = World::new(&[]);
    world.fund("anna", 1000).await;
    let mut payments = HashMap::new();
    for (name, body) in [
        ("paid", order("paid", 1000)),
        ("held", order_to_capture("held", 800)),
        ("idle", order_to_capture("idle", 600)),
    ] {
        let told = world.stage.client.pay(&format!("first-{name}"), &body).await.unwrap();
        assert_eq!(told.status, 201, "{}", told.body);
        payments.insert(name, told.json()["payment_id"].as_str().unwrap().to_owned());
    }
    block_in_place(|| world.stage.stop_service()).unwrap();
    run(&world, |name| vec![format!("create database {name}_kept template {name}")]).await;
    block_in_place(|| world.stage.start_service()).unwrap();

    let mut client = Client { world: &world, payments: payments.clone() };
    let mut first = Vec::new();
    for request in lost() {
        let told = client.ask(&request).await;
        assert_eq!(told.status, 201, "{}: {}", request.key, told.body);
        first.push(told.json()["status"].clone());
    }
    let done = world.stage.control.effects().await.unwrap().len();

    block_in_place(|| world.stage.kill_service()).unwrap();
    run(&world, |name| {
        vec![
            format!("drop database {name} with (force)"),
            format!("alter database {name}_kept rename to {name}"),
        ]
    })
    .await;
    block_in_place(|| world.stage.start_service()).unwrap();
    let known = world.count("select count(*) from operation").await;
    assert_eq!(known, 4, "what came later is lost");

    let mut client = Client { world: &world, payments };
    for (request, first) in lost().iter().zip(first) {
        let told = client.ask(request).await;
        assert_eq!((told.status, &told.json()["status"]), (201, &first), "{}: {}", request.key, told.body);
    }
    assert_eq!(world.stage.control.effects().await.unwrap().len(), done, "something was done once more");
    world.quiet().await;
    world.settle().await;
    world.assert_books_are_right().await;
}
