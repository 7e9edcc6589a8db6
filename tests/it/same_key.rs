//! One key, many clients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tests::shop::{ShopClient, Told};
use tokio::task::JoinSet;

use crate::world::{PATIENCE, World, order};

const KEYS: usize = 200;
const CLIENTS: usize = 100;
/// Keys under way at one time: so many connections have to fit into what a process may open.
const AT_ONCE: usize = 4;

/// What a client of a key was told, first and in the end.
struct Heard {
    key: usize,
    first: Told,
    last: Told,
}

async fn ask(client: &ShopClient, key: usize) -> Told {
    let request = order(&format!("order-{key}"), 1000 + i64::try_from(key).unwrap());
    client.pay(&format!("key-{key}"), &request).await.expect("an answer")
}

async fn listen(client: ShopClient, key: usize) -> Heard {
    let first = ask(&client, key).await;
    let mut last = first.clone();
    let in_the_end = tokio::time::timeout(PATIENCE, async {
        while last.status != 201 {
            let pause = last.retry_after.unwrap_or_default().min(Duration::from_millis(100));
            tokio::time::sleep(pause).await;
            last = ask(&client, key).await;
        }
    });
    in_the_end.await.expect("a final answer in time");
    Heard { key, first, last }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_keys_of_a_hundred_clients_each_make_two_hundred_charges_and_one_answer_a_key() {
    let world = World::new(&[]);
    world.stage.control.configure(&json!({"latency_ms": {"min": 5, "max": 50}})).await.unwrap();
    let (mut clients, mut heard) = (JoinSet::new(), Vec::new());
    for key in 0..KEYS {
        for _ in 0..CLIENTS {
            clients.spawn(listen(world.stage.client.clone(), key));
        }
        while clients.len() > (AT_ONCE - 1) * CLIENTS {
            heard.push(clients.join_next().await.unwrap().unwrap());
        }
    }
    heard.extend(clients.join_all().await);
    assert_eq!(heard.len(), KEYS * CLIENTS);

    let mut answers: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut told_to_wait = 0;
    for Heard { key, first, last } in heard {
        match first.status {
            201 => assert_eq!(first.body, last.body),
            409 => {
                assert_eq!(first.problem().as_deref(), Some("idempotency_key_in_flight"), "{}", first.body);
                assert!(first.retry_after.is_some());
                told_to_wait += 1;
            }
            status => panic!("{status}: {}", first.body),
        }
        answers.entry(key).or_default().insert(last.body);
    }
    assert!(told_to_wait > 0, "nobody met anybody: it was not the test that it claims to be");
    assert_eq!(answers.len(), KEYS);
    assert!(answers.values().all(|bodies| bodies.len() == 1), "{answers:#?}");

    let charges = world.charges().await;
    let orders: BTreeSet<&str> = charges.iter().map(|charge| charge.order_id()).collect();
    assert_eq!((charges.len(), orders.len()), (KEYS, KEYS));
    assert_eq!(world.stage.client.payments().await.unwrap().len(), KEYS);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_back_with_another_request_moves_nothing_and_is_told_what_differs() {
    let world = World::new(&[]);
    let client = &world.stage.client;
    let first = client.pay("k", &order("order-1", 1000)).await.unwrap();
    assert_eq!(first.status, 201, "{}", first.body);
    let other = client.pay("k", &order("order-1", 1001)).await.unwrap();
    assert_eq!(other.status, 422, "{}", other.body);
    assert!(other.body.contains("amount"), "{}", other.body);
    let again = client.pay("k", &order("order-1", 1000)).await.unwrap();
    assert_eq!((again.status, &again.body, again.replayed), (201, &first.body, true));
    let rival = client.pay("another", &order("order-1", 1000)).await.unwrap();
    assert_eq!(rival.problem().as_deref(), Some("order_has_live_payment"), "{}", rival.body);
    assert_eq!(rival.json()["payment_id"], first.json()["payment_id"]);
    assert_eq!(world.charges().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_answered_is_answered_so_again_though_it_would_be_refused_now() {
    let world = World::new(&[]);
    let client = &world.stage.client;
    let first = client.pay("k", &order("order-1", 1000)).await.unwrap();
    assert_eq!(first.status, 201, "{}", first.body);

    // a merchant with two accounts has to say which
    let another =
        ["psp-account", "create", "--merchant", &world.stage.shop.merchant_id, "--psp", "stripe", "--name"];
    let rest =
        ["another", "--base-url", "http://127.0.0.1:9", "--api-secret-env", "S", "--webhook-secret-env", "S"];
    let command =
        world.stage.installation.command(another.into_iter().chain(rest)).env("S", "sk_test_another");
    tokio::task::block_in_place(|| command.run()).unwrap_or_else(|error| panic!("{}", error.chain()));
    let mut tries = 0;
    world
        .eventually("the service has heard of the other account", async || {
            tries += 1;
            let told =
                client.pay(&format!("fresh-{tries}"), &order(&format!("fresh-{tries}"), 1000)).await.unwrap();
            told.problem().as_deref() == Some("psp_account_required")
        })
        .await;

    let again = client.pay("k", &order("order-1", 1000)).await.unwrap();
    assert_eq!((again.status, &again.body, again.replayed), (201, &first.body, true));
    let other = client.pay("k", &order("order-1", 1001)).await.unwrap();
    assert_eq!(
        (other.status, other.problem().as_deref()),
        (422, Some("idempotency_key_reused")),
        "{}",
        other.body
    );
}
