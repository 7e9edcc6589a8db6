//! What a payment costs the database does not depend on how many payments there are.

use money::{AccountId, Currency, MerchantId};
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

/// This many transactions of one seller, after a hundred of another's.
const OTHERS: i64 = 20_000;

/// Books of a merchant with one receivable and two sellers, as the postings would have left them.
async fn fill_books(world: &World) {
    let books = "
        with account as (
            insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
            select $1, id, code, 'EUR', kind, side
            from unnest($3::uuid[], array['psp_receivable/x', 'seller_pending/rare', 'seller_pending/busy'],
                        array['asset', 'liability', 'liability'], array[1, -1, -1]) as a (id, code, kind, side)
            returning account_id, code
        ), transaction as (
            insert into ledger_transaction (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
            select $1, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'operation',
                   ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, 'capture', current_date
            from generate_series(1, 100 + $2) n
            returning transaction_id
        ), numbered as (
            select transaction_id, row_number() over (order by transaction_id) as n from transaction
        )
        insert into ledger_entry (merchant_id, transaction_id, entry_no, account_id, currency, amount)
        select $1, t.transaction_id, leg.no, a.account_id, 'EUR', leg.amount
        from numbered t
        cross join lateral (values (0, 'psp_receivable/x', 100),
            (1, case when t.n <= 100 then 'seller_pending/rare' else 'seller_pending/busy' end, -100))
            as leg (no, code, amount)
        join account a on a.code = leg.code";
    let merchant = world.stage.shop.merchant_id.parse::<MerchantId>().unwrap();
    let codes = ["psp_receivable/x", "seller_pending/rare", "seller_pending/busy"];
    let ids = codes.map(|code| AccountId::derive(merchant, code, Currency::EUR).as_uuid());
    let query = sqlx::query(books).bind(merchant.as_uuid()).bind(OTHERS).bind(ids);
    query.execute(&mut world.database().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_books_reads_what_is_on_it_however_much_there_is_beside_it() {
    let mut world = World::new(&[]);
    fill_books(&world).await;
    let of_ledger = |rows: Vec<(String, i64)>| -> i64 {
        rows.into_iter().filter(|(table, _)| table.starts_with("ledger_")).map(|(_, rows)| rows).sum()
    };
    // what filled the books is counted when its session has ended
    let total = 3 * (100 + OTHERS);
    world.eventually("the books are counted", async || {
        let counted: i64 = world.count("select coalesce(sum(n_tup_ins), 0)::bigint from pg_stat_user_tables where relname like 'ledger_%'").await;
        counted >= total
    }).await;
    let before = of_ledger(rows_read(&world).await);
    let (client, mut pages) = (world.stage.client.clone(), 0);
    for (path, expected) in [
        ("/v1/ledger/transactions?limit=10", 10),
        ("/v1/ledger/transactions?limit=10&account=seller_pending/rare", 10),
        (
            "/v1/ledger/transactions?limit=10&account=seller_pending/rare&cursor=00000000-0000-7000-8000-000000000032",
            10,
        ),
        ("/v1/ledger/transactions?limit=10&account=seller_pending/nobody", 0),
        ("/v1/ledger/transactions?limit=10&account=psp_receivable/x", 10),
        ("/v1/ledger/transactions?limit=10&source_id=00000000-0000-7000-9000-000000000007", 1),
        ("/v1/ledger/transactions?limit=10&source_id=00000000-0000-7000-9000-ffffffffffff", 0),
        ("/v1/wallets/busy/entries?limit=10&currency=EUR", 10),
        ("/v1/wallets/rare/entries?limit=10&currency=EUR", 10),
    ] {
        let page: serde_json::Value = client.read(path).await.unwrap();
        assert_eq!(page["data"].as_array().unwrap().len(), expected, "{path}");
        pages += 1;
    }
    // a session counts what it read when it ends
    block_in_place(|| world.stage.stop_service()).unwrap();
    let read = of_ledger(rows_read(&world).await) - before;
    assert!(read < 500 * pages, "{read} rows for {pages} pages");
}
