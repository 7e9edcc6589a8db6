//! Clients that hang up in the middle.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tests::shop::{Payment, ShopClient};
use tokio::task::JoinSet;

use crate::world::{PATIENCE, World, order};

const CLIENTS: u64 = 24;
const ORDERS: u64 = 125;

/// Pays orders, hanging up on most requests at a random moment, and some reads as well; returns what was acknowledged.
async fn pay_impatiently(client: ShopClient, number: u64) -> Vec<Payment> {
    let mut rng = SmallRng::seed_from_u64(number);
    let mut acknowledged = Vec::new();
    for order_number in 0..ORDERS {
        let name = format!("{number}-{order_number}");
        let request = order(&format!("order-{name}"), rng.random_range(100..10_000));
        // every second buyer hears the outcome in the end, the others leave it at that
        let last = if rng.random_ratio(1, 2) { u32::MAX } else { 2 };
        for attempt in 0..last {
            let hangs_up = attempt < 2;
            let patience =
                if hangs_up { Duration::from_micros(rng.random_range(0..40_000)) } else { PATIENCE };
            let asked = tokio::time::timeout(patience, client.pay(&format!("key-{name}"), &request)).await;
            let Ok(Ok(told)) = asked else { continue };
            if let (201 | 202, Some(payment)) = (told.status, told.payment()) {
                acknowledged.push(payment);
                break;
            }
            assert!(matches!(told.status, 409 | 503), "{}: {}", told.status, told.body);
            tokio::time::sleep(Duration::from_millis(rng.random_range(1..20))).await;
        }
        let patience = Duration::from_micros(rng.random_range(0..5_000));
        // whether it is read to its end is not the point
        let _ = tokio::time::timeout(patience, client.get("/v1/ledger/trial-balance")).await;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cancelled_in_the_middle_lose_nothing_that_was_acknowledged() {
    let world = World::new(&["--database-connections", "8"]);
    world.stage.control.configure(&json!({"latency_ms": {"min": 0, "max": 15}})).await.unwrap();
    let clients: JoinSet<Vec<Payment>> =
        (0..CLIENTS).map(|number| pay_impatiently(world.stage.client.clone(), number)).collect();
    let acknowledged: Vec<Payment> = clients.join_all().await.into_iter().flatten().collect();
    world.quiet().await;

    let kept: BTreeMap<String, Payment> = world
        .stage
        .client
        .payments()
        .await
        .unwrap()
        .into_iter()
        .map(|payment| (payment.payment_id.clone(), payment))
        .collect();
    assert!(acknowledged.len() > 1000, "too few were acknowledged to show anything: {}", acknowledged.len());
    assert!(kept.len() > acknowledged.len(), "nobody hung up");
    for told in &acknowledged {
        let kept = kept.get(&told.payment_id).unwrap_or_else(|| panic!("{told:?} is lost"));
        assert_eq!((kept.amount, kept.status.as_str()), (told.amount, "captured"));
    }
    let left_open = "select count(*) from pg_stat_activity where state like 'idle in transaction%'
                     and datname = current_database() and state_change < now() - interval '1 second'";
    assert_eq!(world.count(left_open).await, 0, "a connection was left inside of a transaction");
    let charges = world.charges().await;
    assert_eq!(charges.len(), kept.len(), "each payment is charged once");
    world.assert_books_are_right().await;
}
