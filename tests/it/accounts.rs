//! What an operator may change of a PSP account while money moves through it.

use serde_json::json;
use tests::process::Ended;
use tokio::task::block_in_place;

use crate::crashes::QUICK;
use crate::world::{World, charge_fault, order};

/// Gives the shop's account another API secret.
fn set_api_secret(world: &World, secret: &str, further: &[&str]) -> Ended {
    let shop = &world.stage.shop;
    let command = world
        .stage
        .installation
        .command(["psp-account", "set-api-secret", "--api-secret-env", "API_SECRET"])
        .args(["--merchant", &shop.merchant_id, "--psp-account", &shop.psp_account_id])
        .args(further)
        .env("API_SECRET", secret);
    block_in_place(|| command.outcome()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_api_secret_is_taken_only_if_the_psp_shows_it_what_the_account_made() {
    let mut world = World::new(&[]);
    let early = set_api_secret(&world, &world.stage.shop.psp_secret, &[]);
    assert!(early.status.success(), "nothing was made yet: {}", early.stderr);
    let told = world.stage.client.pay("key-1", &order("order-1", 1000)).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);

    let account = world.stage.control.get("effects").await.unwrap()["data"][0]["account"].clone();
    let rotated = json!({"key": "sk_test_rotated", "account": account});
    world.stage.control.post("keys", &rotated).await.unwrap();
    let of_other = set_api_secret(&world, "sk_test_somebodyelse", &[]);
    assert!(!of_other.status.success());
    assert!(of_other.stderr.contains("it is of another account at the PSP"), "{}", of_other.stderr);
    let of_same = set_api_secret(&world, "sk_test_rotated", &[]);
    assert!(of_same.status.success(), "{}", of_same.stderr);

    block_in_place(|| world.stage.kill_sandbox()).unwrap();
    let unasked = set_api_secret(&world, "sk_test_rotated", &[]);
    assert!(!unasked.status.success());
    assert!(unasked.stderr.contains("could not be asked whose it is"), "{}", unasked.stderr);
    let forced = set_api_secret(&world, "sk_test_rotated", &["--unchecked"]);
    assert!(forced.status.success(), "{}", forced.stderr);
    block_in_place(|| world.stage.start_sandbox()).unwrap();

    let told = world.stage.client.pay("key-2", &order("order-2", 1000)).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    assert_eq!(world.charges().await.len(), 2);
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_api_secret_is_taken_unasked_while_something_in_doubt_could_be_sent_again() {
    let world = World::new(&QUICK);
    let control = &world.stage.control;
    control.fault(&charge_fault(&json!({"kind": "drop_reply"}), u64::MAX >> 12)).await.unwrap();
    let told = world.stage.client.pay("key-1", &order("order-1", 1000)).await.unwrap();
    assert_eq!(told.status, 202, "{}", told.body);
    let unasked = set_api_secret(&world, "sk_test_somebodyelse", &[]);
    assert!(!unasked.status.success());
    assert!(unasked.stderr.contains("could not be asked whose it is"), "{}", unasked.stderr);
    control.heal().await.unwrap();
    world.quiet().await;
    let of_other = set_api_secret(&world, "sk_test_somebodyelse", &[]);
    assert!(of_other.stderr.contains("it is of another account at the PSP"), "{}", of_other.stderr);
    assert_eq!(world.charges().await.len(), 1);
    world.assert_books_are_right().await;
}
