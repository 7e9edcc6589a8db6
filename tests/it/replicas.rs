//! Several services on one database, and a database that dies under its service.

use std::collections::BTreeSet;

use embedded_postgres::{Durability, EmbeddedPostgres, Options, ScratchFolder};
use rustix::process::Signal;
use serde_json::json;
use tests::shop::{ShopClient, Told};
use tokio::task::{JoinSet, block_in_place};

use crate::crashes::{QUICK, pay_stubbornly};
use crate::world::{World, order};

const KEYS: usize = 100;
const CLIENTS: u64 = 12;

/// One more service on the world's database, and the shop's client of it.
fn replica(world: &mut World) -> ShopClient {
    let number = block_in_place(|| world.stage.add_replica(&QUICK)).unwrap();
    world.stage.clients().unwrap().remove(number)
}

/// Asks for a key's payment until it is decided.
async fn decided(client: &ShopClient, key: usize) -> Told {
    loop {
        let told = client.pay(&format!("key-{key}"), &order(&format!("order-{key}"), 900)).await.unwrap();
        if told.status == 201 {
            return told;
        }
        assert!(matches!(told.status, 202 | 409), "{}: {}", told.status, told.body);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_that_are_asked_at_once_charge_once_and_answer_alike() {
    let mut world = World::new(&QUICK);
    let client_of_other = replica(&mut world);
    let mut asking = JoinSet::new();
    for key in 0..KEYS {
        let (one, two) = (world.stage.client.clone(), client_of_other.clone());
        asking.spawn(async move { tokio::join!(decided(&one, key), decided(&two, key)) });
    }
    while let Some(answers) = asking.join_next().await {
        let (one, two) = answers.unwrap();
        assert_eq!(one.body, two.body);
        assert_eq!(one.json()["status"], "captured");
    }
    assert_eq!(world.charges().await.len(), KEYS);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_was_doing_when_it_was_killed_another_finishes() {
    let mut world = World::new(&QUICK);
    let client_of_other = replica(&mut world);
    world.stage.control.configure(&json!({"latency_ms": {"min": 200, "max": 400}})).await.unwrap();
    let mut asking = JoinSet::new();
    for key in 0..KEYS {
        let client = world.stage.client.clone();
        asking.spawn(
            async move { client.pay(&format!("key-{key}"), &order(&format!("order-{key}"), 900)).await },
        );
    }
    world
        .eventually("all are claimed", async || {
            world.count("select count(*) from operation").await == KEYS as i64
        })
        .await;
    block_in_place(|| world.stage.kill_service()).unwrap();
    let left = world.count("select count(*) from operation where status = 'sending'").await;
    assert!(left > 0, "the kill hit nothing");
    asking.join_all().await;
    world.stage.control.configure(&json!({"latency_ms": {"min": 0, "max": 0}})).await.unwrap();
    world.quiet().await;
    assert_eq!(world.charges().await.len(), KEYS);
    let told = decided(&client_of_other, 0).await;
    assert_eq!(told.json()["status"], "captured");
    block_in_place(|| world.stage.start_service()).unwrap();
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_crashes_in_the_middle_loses_and_doubles_nothing() {
    const ORDERS: u64 = 40;
    let scratch = ScratchFolder::create().unwrap();
    let options = Options::new(scratch.database(), Durability::Durable);
    let mut postgres = block_in_place(|| EmbeddedPostgres::start(&options)).unwrap();
    let world = World::on(&postgres.superuser_url("postgres"), &QUICK);
    world.stage.control.configure(&json!({"latency_ms": {"min": 5, "max": 40}})).await.unwrap();
    let mut clients: JoinSet<u64> =
        (0..CLIENTS).map(|number| pay_stubbornly(world.stage.client.clone(), number, ORDERS)).collect();
    let mut in_flight = 0;
    for crash in 1..=3 {
        let wanted = crash * i64::try_from(CLIENTS * ORDERS).unwrap() / 4;
        world
            .eventually("enough is paid for the next crash", async || {
                world.count("select count(*) from payment where status = 'captured'").await >= wanted
            })
            .await;
        postgres = block_in_place(|| {
            // at once: no checkpoint, no word to anybody
            postgres.server().signal(Signal::QUIT).unwrap();
            postgres.server().wait_timeout(crate::world::PATIENCE).expect("it ends");
            drop(postgres);
            EmbeddedPostgres::start(&options).unwrap()
        });
        in_flight += world.count("select count(*) from operation where status = 'sending'").await;
    }
    let mut paid = 0;
    while let Some(client) = clients.join_next().await {
        paid += client.unwrap();
    }
    assert!(in_flight > 0, "no crash hit anything");
    world.quiet().await;
    let charges = world.charges().await;
    let orders: BTreeSet<&str> = charges.iter().map(|charge| charge.order_id()).collect();
    assert_eq!((charges.len() as u64, orders.len() as u64), (paid, paid));
    world.assert_books_are_right().await;
    drop(world);
    block_in_place(|| postgres.shutdown()).unwrap();
}
