use std::collections::BTreeMap;

use ledger::account::Account;
use ledger::posting::Posting;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Books, DAY, available, booked, funding, held, pending, posting};

async fn crowd(pool: PgPoolOptions, connect: PgConnectOptions) -> PgPool {
    pool.max_connections(12).connect_with(connect).await.unwrap()
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_posting_that_many_race_for_is_booked_by_one(pool: PgPoolOptions, connect: PgConnectOptions) {
    let books = Books::open(&crowd(pool, connect).await).await;
    let sources: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
    let mut rivals = JoinSet::new();
    for rival in 0..24 {
        let books = books.clone();
        let mut batch: Vec<Posting> =
            sources.iter().map(|source| books.capture(*source, "s-1", 100)).collect();
        batch.rotate_left(rival % sources.len());
        rivals.spawn(async move { booked(&books.post(&batch).await.unwrap()) });
    }
    let wins = rivals.join_all().await.into_iter().flatten().filter(|won| *won).count();
    assert_eq!(wins, sources.len());
    assert_eq!(books.transactions().await, sources.len() as i64);
    assert_eq!(books.balance(&books.receivable()).await, 100 * sources.len() as i64);
    assert_eq!(books.balance(&pending("s-1")).await, 99 * sources.len() as i64);
    assert_eq!(books.lies().await, 0);
}

const SELLERS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// The batches of one writer: sellers in an order of its own, many of them in each batch.
fn batches_of(books: &Books, writer: usize) -> Vec<Vec<Posting>> {
    (0..12)
        .map(|round| {
            let mut names = SELLERS;
            names.rotate_left((writer + round) % SELLERS.len());
            if writer.is_multiple_of(2) {
                names.reverse();
            }
            names.iter().map(|name| books.capture(Uuid::now_v7(), name, 2 + round as i64)).collect()
        })
        .collect()
}

/// Both kinds of accounts, new ones too: the first batches race to make them.
#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn batches_over_the_same_accounts_neither_deadlock_nor_lose_a_movement(
    pool: PgPoolOptions,
    connect: PgConnectOptions,
) {
    const WRITERS: usize = 12;
    let books = Books::open(&crowd(pool, connect).await).await;
    let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
    let mut receivable = 0;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let batches = batches_of(&books, writer);
        for name in SELLERS {
            *expected.entry(name).or_default() += (0..12).map(|round| 1 + round).sum::<i64>();
        }
        receivable += SELLERS.len() as i64 * (0..12).map(|round| 2 + round).sum::<i64>();
        let books = books.clone();
        writers.spawn(async move {
            for batch in batches {
                assert!(booked(&books.post(&batch).await.unwrap()).iter().all(|booked| *booked));
            }
        });
    }
    // the hot accounts are rolled up under the writers' feet
    let roller = {
        let books = books.clone();
        tokio::spawn(async move {
            let mut rolled = 0;
            while books.transactions().await < (WRITERS * 12 * SELLERS.len()) as i64 {
                rolled += ledger::balance::roll_up(&books.pool, books.merchant).await.unwrap();
            }
            rolled + ledger::balance::roll_up(&books.pool, books.merchant).await.unwrap()
        })
    };
    writers.join_all().await;
    let rolled = roller.await.unwrap();
    for (name, minor) in expected {
        assert_eq!(books.balance(&pending(name)).await, minor, "{name}");
    }
    assert_eq!(books.balance(&books.receivable()).await, receivable);
    assert_eq!(books.balance(&Account::PlatformFees).await, (WRITERS * 12 * SELLERS.len()) as i64);
    assert_eq!(books.deltas().await, 0);
    assert_eq!(rolled, (WRITERS * 12 * 2) as u64, "one delta per batch and hot account, each once");
    assert_eq!(books.lies().await, 0);
}

/// Of two accounts one is there and locked by each rival, the other is made by all of them: nobody may take the lock of
/// the first before the second is there, or the order of locks is not one.
#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn rivals_that_make_accounts_keep_the_one_order_of_locks(pool: PgPool) {
    // fewer connections than rivals: some come late, and see what the others have made
    let books = Books::open(&pool).await;
    for round in 0..12 {
        let name = format!("s-{round}");
        books.post(&[funding(&name, 100)]).await.unwrap();
        let mut rivals = JoinSet::new();
        for _ in 0..10 {
            let books = books.clone();
            let legs = [(available(&name), 10), (held(&name), -10)];
            let hold = posting(Uuid::now_v7(), "hold", DAY, &legs);
            rivals.spawn(async move { books.post(&[hold]).await.unwrap() });
        }
        assert_eq!(rivals.join_all().await.len(), 10);
        assert_eq!(books.balance(&held(&name)).await, 100);
    }
    assert_eq!(books.lies().await, 0);
}
