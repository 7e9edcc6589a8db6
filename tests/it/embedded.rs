//! The service with a Postgres of its own.

use embedded_postgres::ScratchFolder;
use tests::installation::Installation;
use tests::ports;
use tests::stage::{Plan, Stage};
use tokio::task::block_in_place;

use crate::world::order;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_database_of_its_own_keeps_it_and_shares_it_with_nobody() {
    let scratch = ScratchFolder::create().unwrap();
    let data = scratch.path().join("data");
    let installation = Installation::embedded(&data, scratch.path().join("service.log"));
    let plan = Plan { installation, folder: scratch.path(), seed: 1, arguments: &[], idempotency: "native" };
    let mut stage = block_in_place(|| Stage::set(plan)).unwrap_or_else(|error| panic!("{}", error.chain()));
    let told = stage.client.pay("key", &order("order-1", 700)).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);

    let log = scratch.path().join("second.log");
    let second = Installation::embedded(&data, &log);
    let refused = block_in_place(|| second.start(ports::lasting().unwrap())).unwrap_err().to_string();
    assert!(refused.contains("in use by process"), "{refused}");
    assert!(refused.contains(&*data.to_string_lossy()), "it does not say which folder: {refused}");

    block_in_place(|| stage.stop_service()).unwrap();
    block_in_place(|| stage.start_service()).unwrap();
    let again = stage.client.pay("key", &order("order-1", 700)).await.unwrap();
    assert_eq!((again.status, again.body, again.replayed), (201, told.body, true));
    block_in_place(|| stage.end()).unwrap();
}
