//! The service dies, and comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tests::shop::ShopClient;
use tokio::task::{JoinSet, block_in_place};

use crate::world::{World, charge_fault, order};

/// Short, so that what a killed service left is taken over while the test waits.
pub const QUICK: [&str; 6] = ["--patience", "1s", "--psp-deadline", "2s", "--lease", "3s"];
/// Long, so that a step that takes a slow machine long is not taken for the end of somebody's patience. The PSP hangs
/// more than once, because a call that got no answer is made again after a while.
const PATIENT: [&str; 5] =
    ["--patience=60s", "--psp-deadline=60s", "--lease=70s", "--request-timeout=80s", "--grace=60s"];
const CLIENTS: u64 = 12;
const ORDERS: u64 = 30;
const KILLS: u32 = 4;

/// Pays so many orders, each again and again until told the outcome; with another key only what surely was not sent,
/// because the service had no time left for it.
pub async fn pay_stubbornly(client: ShopClient, number: u64, orders: u64) -> u64 {
    let mut rng = SmallRng::seed_from_u64(number);
    for order_number in 0..orders {
        let name = format!("{number}-{order_number}");
        let (mut key, request) = (format!("key-{name}"), order(&format!("order-{name}"), 500));
        loop {
            match client.pay(&key, &request).await {
                Ok(told) if told.status == 201 && told.json()["failure"]["code"] == "deadline_passed" => {
                    key.push_str("-again");
                }
                Ok(told) if told.status == 201 => break assert_eq!(told.json()["status"], "captured"),
                Ok(told) => assert!(matches!(told.status, 202 | 409 | 503), "{}: {}", told.status, told.body),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(20..200))).await;
        }
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_at_random_finishes_everything_after_its_restart() {
    let mut world = World::new(&QUICK);
    world.stage.send_webhooks().await.unwrap();
    world.stage.control.configure(&json!({"latency_ms": {"min": 5, "max": 40}})).await.unwrap();
    let mut clients: JoinSet<u64> =
        (0..CLIENTS).map(|number| pay_stubbornly(world.stage.client.clone(), number, ORDERS)).collect();
    let (mut rng, mut in_flight) = (SmallRng::seed_from_u64(1), 0);
    for kill in 1..=KILLS {
        // so many more payments each time, and a random moment in the middle of the next ones
        let wanted = i64::from(kill) * i64::try_from(CLIENTS * ORDERS).unwrap() / i64::from(KILLS + 1);
        world
            .eventually("enough is paid for the next kill", async || {
                world.count("select count(*) from payment where status = 'captured'").await >= wanted
            })
            .await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..60))).await;
        block_in_place(|| world.stage.kill_service()).unwrap();
        in_flight += world.count("select count(*) from operation where status = 'sending'").await;
        block_in_place(|| world.stage.start_service()).unwrap();
    }
    let mut paid = 0;
    while let Some(client) = clients.join_next().await {
        paid += client.unwrap();
    }
    assert_eq!(paid, CLIENTS * ORDERS);
    assert!(in_flight > 0, "no kill hit anything");
    world.quiet().await;
    let charges = world.charges().await;
    let orders: BTreeSet<&str> = charges.iter().map(|charge| charge.order_id()).collect();
    assert_eq!((charges.len() as u64, orders.len() as u64), (paid, paid));
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_client_and_service_are_both_gone_is_finished_by_the_next_start() {
    let mut world = World::new(&QUICK);
    world.stage.control.fault(&charge_fault(&json!({"kind": "hang", "when": "after"}), 1)).await.unwrap();
    let client = world.stage.client.clone();
    let asking = tokio::spawn(async move { client.pay("key", &order("order-1", 700)).await });
    world.stage.control.get("wait?hanging=1").await.unwrap();
    block_in_place(|| world.stage.kill_service()).unwrap();
    assert!(asking.await.unwrap().is_err(), "nobody can have answered");
    assert_eq!(world.charges().await.len(), 1, "the PSP has charged, and nobody knows");
    block_in_place(|| world.stage.start_service()).unwrap();
    world.quiet().await;
    let payments = world.stage.client.payments_of("order-1").await.unwrap();
    assert_eq!(payments.iter().map(|payment| payment.status.as_str()).collect::<Vec<_>>(), ["captured"]);
    let told = world.stage.client.pay("key", &order("order-1", 700)).await.unwrap();
    assert_eq!((told.status, told.replayed), (201, true), "{}", told.body);
    assert_eq!(world.charges().await.len(), 1);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_what_is_in_flight_be_answered_and_takes_nothing_new() {
    let mut world = World::new(&PATIENT);
    world.stage.control.fault(&charge_fault(&json!({"kind": "hang"}), 5)).await.unwrap();
    let client = world.stage.client.clone();
    let asking = tokio::spawn(async move { client.pay("key", &order("order-1", 700)).await });
    world.stage.control.get("wait?hanging=1").await.unwrap();
    world.stage.service().unwrap().terminate().unwrap();
    let address = world.stage.service_address();
    world
        .eventually("the service takes no new connection", async || {
            tokio::net::TcpStream::connect(address).await.is_err()
        })
        .await;
    assert!(!asking.is_finished(), "it was dropped");
    world.stage.control.heal().await.unwrap();
    world.stage.control.post("faults/release", &json!({})).await.unwrap();
    let told = asking.await.unwrap().expect("an answer in spite of the signal");
    assert_eq!((told.status, &told.json()["status"]), (201, &json!("captured")), "{}", told.body);
    block_in_place(|| world.stage.await_end_of_service()).expect("it ends well");
    assert_eq!(world.count("select count(*) from operation where status <> 'succeeded'").await, 0);
}
