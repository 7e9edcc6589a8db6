//! Requests that together want more than there is, at several services at once.

use serde_json::json;
use tests::shop::{ShopClient, Told};
use tokio::task::{JoinSet, block_in_place};

use crate::world::{World, order};

const ROUNDS: usize = 1000;
/// How many payments are fought over at once.
const AT_ONCE: usize = 6;

async fn raced(clients: &[ShopClient], round: usize) {
    let at = |shift: usize| &clients[(round + shift) % clients.len()];
    let paid = at(0).pay(&format!("pay-{round}"), &order(&format!("order-{round}"), 10_000)).await.unwrap();
    assert_eq!(paid.status, 201, "{}", paid.body);
    let paid = paid.json();
    let payment = paid["payment_id"].as_str().unwrap();
    let body = json!({"amount": 6000});
    let (one, two) = (format!("one-{round}"), format!("two-{round}"));
    let (one, two) = tokio::join!(
        at(1).follow(payment, "refunds", &one, &body),
        at(2).follow(payment, "refunds", &two, &body)
    );
    let mut told: [Told; 2] = [one.unwrap(), two.unwrap()];
    told.sort_by_key(|told| told.status);
    let [won, lost] = told;
    assert_eq!((won.status, &won.json()["status"]), (201, &json!("succeeded")), "{}", won.body);
    assert_eq!(
        (lost.status, lost.problem().as_deref()),
        (409, Some("refund_exceeds_captured")),
        "{}",
        lost.body
    );
    let why = lost.json();
    let gone = why["refunded_amount"].as_i64().unwrap() + why["refund_reserved_amount"].as_i64().unwrap();
    assert_eq!((&why["refundable_amount"], gone), (&json!(4000), 6000), "{why}");
    assert!(why["detail"].as_str().unwrap().contains("6000 is more than the 4000 that are left"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_refunds_that_are_too_much_together_three_services_make_one_a_thousand_times() {
    let mut world = World::new(&[]);
    for _ in 0..2 {
        block_in_place(|| world.stage.add_replica(&[])).unwrap();
    }
    let clients = world.stage.clients().unwrap();
    let mut races = JoinSet::new();
    for first in 0..AT_ONCE {
        let clients = clients.clone();
        races.spawn(async move {
            for round in (first..ROUNDS).step_by(AT_ONCE) {
                raced(&clients, round).await;
            }
        });
    }
    while let Some(raced) = races.join_next().await {
        raced.unwrap();
    }
    let stats = world.stage.control.get("stats").await.unwrap();
    assert_eq!(stats["calls"]["refunds.create"], json!(ROUNDS), "the PSP is asked once for each");
    assert_eq!(world.done("refund").await, ROUNDS);
    world.assert_books_are_right().await;
}
