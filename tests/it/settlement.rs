//! What only the settlement file can tell.

use serde_json::json;
use tokio::task::block_in_place;

use crate::crashes::QUICK;
use crate::world::{World, charge_fault, order};

const LOST: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn charges_that_nobody_told_us_of_are_found_in_the_settlement_file() {
    let world = World::new(&QUICK);
    let control = &world.stage.control;
    let drop = json!({"kind": "drop_reply"});
    control.fault(&charge_fault(&drop, u64::MAX >> 12)).await.unwrap();
    let looking = json!({"fault": {"kind": "unavailable"}, "match": {"operation": "payment_intents.search"}});
    control.fault(&looking).await.unwrap();
    for number in 0..LOST {
        let request = order(&format!("order-{number}"), 1000);
        let told = world.stage.client.pay(&format!("key-{number}"), &request).await.unwrap();
        assert_eq!(told.status, 202, "{}", told.body);
    }
    let unknown = "select count(*) from operation where status in ('sending', 'unknown')";
    assert_eq!(world.count(unknown).await, LOST as i64, "the PSP charged, and nobody knows");
    assert_eq!(world.charges().await.len(), LOST);

    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (id, csv) in control.pay_out().await.unwrap() {
        let file = folder.path().join(format!("{id}.csv"));
        std::fs::write(&file, csv).unwrap();
        files.push(file);
    }
    let told = block_in_place(|| world.stage.reconcile(&files)).unwrap();
    assert!(told.contains("verdict: clean"), "{told}");
    assert_eq!(world.count("select count(*) from payment where status = 'captured'").await, LOST as i64);
    let by_file = "select count(*) from settlement_evidence where settled_at is not null and refused is null";
    assert_eq!(world.count(by_file).await, LOST as i64, "each was proven by its line");
    let wallet = world.stage.client.wallet("seller-1").await.unwrap();
    assert_eq!((wallet[0].pending, wallet[0].available), (0, 900 * LOST as i64));
    for number in 0..LOST {
        let request = order(&format!("order-{number}"), 1000);
        let told = world.stage.client.pay(&format!("key-{number}"), &request).await.unwrap();
        assert_eq!((told.status, told.replayed), (201, true), "{}", told.body);
    }
    control.heal().await.unwrap();
    assert_eq!(world.charges().await.len(), LOST);
    world.assert_books_are_right().await;
}
