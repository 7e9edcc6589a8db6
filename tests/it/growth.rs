//! What a payment costs the database does not depend on how many payments there are.

use sqlx::{AssertSqlSafe, Executor as _};
use tokio::task::{JoinSet, block_in_place};

use crate::world::{World, order};

/// Payments that the tables grow by. Were each to read its table once, it would read half as many rows on average.
const PAYMENTS: usize = 1_000;
/// Payments at once: the fewer share a statement, the clearer is what it reads.
const AT_ONCE: usize = 2;
/// More than a payment of one seller has reason to read of a table, by all its statements, webhooks and foreign keys, and
/// by its part of what the workers look through.
const ROWS_PER_PAYMENT: i64 = 120;

async fn pay(world: &World) {
    let mut under_way = JoinSet::new();
    for number in 0..PAYMENTS {
        if under_way.len() == AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
        let (client, name) = (world.stage.client.clone(), format!("order-{number}"));
        under_way.spawn(async move {
            let told = client.pay(&name, &order(&name, 1000)).await.unwrap();
            assert_eq!(told.status, 201, "{}", told.body);
        });
    }
    under_way.join_all().await;
}

/// Rows and index entries read so far, by table.
async fn rows_read(world: &World) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select t.relname::text,
                (t.seq_tup_read + coalesce(t.idx_tup_fetch, 0) + coalesce(sum(i.idx_tup_read), 0))::bigint
         from pg_stat_user_tables t left join pg_stat_user_indexes i on i.relid = t.relid
         group by t.relid, t.relname, t.seq_tup_read, t.idx_tup_fetch",
    )
    .fetch_all(&mut world.database().await)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_reads_no_more_rows_of_grown_tables_than_of_new_ones() {
    let mut world = World::new(&[]);
    // Statements are planned while the tables are empty, and nobody is to tell the planner that they are no more.
    let mut database = world.database().await;
    for (table, _) in rows_read(&world).await {
        let left_alone = format!("alter table {table} set (autovacuum_enabled = off)");
        database.execute(AssertSqlSafe(left_alone)).await.unwrap();
    }
    world.stage.send_webhooks().await.unwrap();
    pay(&world).await;
    // a session counts what it read when it ends
    block_in_place(|| world.stage.stop_service()).unwrap();

    let payments = i64::try_from(PAYMENTS).unwrap();
    let per_payment: Vec<(String, i64)> =
        rows_read(&world).await.into_iter().map(|(table, rows)| (table, rows / payments)).collect();
    assert!(per_payment.iter().any(|(table, rows)| table == "payment" && *rows > 0), "{per_payment:?}");
    let too_many: Vec<_> = per_payment.iter().filter(|(_, rows)| *rows > ROWS_PER_PAYMENT).collect();
    assert!(too_many.is_empty(), "rows read per payment: {too_many:#?} of {per_payment:#?}");
}
