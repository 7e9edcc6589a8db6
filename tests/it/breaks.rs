//! What people do about breaks, over the API and the command line.

use serde_json::{Value, json};

use crate::world::{World, order};
use tests::shop::{ShopClient, Told};

async fn act(client: &ShopClient, break_id: &str, key: &str, body: &Value) -> Told {
    client.post(&format!("/v1/breaks/{break_id}/acts"), key, body).await.unwrap()
}

async fn balance(world: &World, code: &str) -> i64 {
    let accounts = world.stage.client.accounts().await.unwrap();
    accounts.iter().find(|account| account.code == code).map_or(0, |account| account.balance)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaks_money_is_moved_by_two_people_and_an_act_is_written_once() {
    let world = World::new(&[]);
    assert_eq!(world.stage.client.pay("p-1", &order("o-1", 2_000)).await.unwrap().status, 201);
    let break_id = world.broken().await;
    let mut database = world.database().await;
    sqlx::query("update merchant set review_limit = 10").execute(&mut database).await.unwrap();
    let (ann, bob) = (world.person("ann"), world.person("bob"));
    for (body, field) in [
        (json!({"act": "lose"}), "act"),
        (json!({"act": "comment"}), "note"),
        (json!({"act": "comment", "note": "a\nb"}), "note"),
        (json!({"act": "adjust", "account": "bank_cash", "note": "x"}), "account"),
        (json!({"act": "adjust", "account": "seller_available/nobody", "note": "x"}), "account"),
        (json!({"act": "snooze", "until": "2020-01-01"}), "until"),
        (json!({"act": "snooze", "until": "soon"}), "until"),
        (json!({"act": "assign", "assignee": ""}), "assignee"),
    ] {
        let told = act(&ann, &break_id, "bad", &body).await;
        assert_eq!((told.status, &told.json()["errors"][0]["field"]), (422, &json!(field)), "{}", told.body);
    }
    let fees = balance(&world, "psp_fees").await;
    let adjust = json!({"act": "adjust", "account": "psp_fees", "note": "the PSP's own charge, returned"});
    let proposed = act(&ann, &break_id, "k-1", &adjust).await;
    assert_eq!(
        (proposed.status, &proposed.json()["awaits_second_person"]),
        (201, &json!(true)),
        "{}",
        proposed.body
    );
    let again = act(&ann, &break_id, "k-1", &adjust).await;
    assert_eq!((again.status, again.replayed, &again.body), (201, true, &proposed.body));
    let other = act(&ann, &break_id, "k-1", &json!({"act": "accept", "note": "x"})).await;
    assert_eq!(
        (other.status, other.problem().as_deref()),
        (422, Some("idempotency_key_reused")),
        "{}",
        other.body
    );
    // ann with another key is still ann
    let alone = act(&ann, &break_id, "k-2", &adjust).await;
    assert_eq!(alone.json()["state"], "open", "{}", alone.body);
    assert_eq!(balance(&world, "suspense").await, -4_000);

    let seconded = act(&bob, &break_id, "k-3", &adjust).await;
    let closed = seconded.json();
    assert_eq!((&closed["state"], &closed["closed_how"]), (&json!("closed"), &json!("adjusted")), "{closed}");
    assert_eq!(closed["acts"].as_array().map(Vec::len), Some(2), "{closed}");
    assert_eq!((balance(&world, "suspense").await, balance(&world, "psp_fees").await), (0, fees - 4_000));
    let late = act(&bob, &break_id, "k-4", &json!({"act": "accept", "note": "x"})).await;
    assert_eq!(
        (late.status, late.problem().as_deref()),
        (409, Some("break_state_conflict")),
        "{}",
        late.body
    );
    let stranger = world.stage.client.get("/v1/breaks/00000000-0000-8000-8000-000000000000").await.unwrap();
    assert_eq!(stranger.status(), 404);
    let open: Value = world.stage.client.read("/v1/breaks?state=open").await.unwrap();
    assert_eq!(open["data"], json!([]));
    world.assert_books_are_right().await;
}
