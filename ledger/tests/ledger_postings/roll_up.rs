use ledger::account::Account;
use ledger::balance::{merchants_to_roll_up, roll_up};
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Books;

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_roll_up_moves_the_deltas_and_no_balance(pool: PgPool) {
    let (books, idle) = (Books::open(&pool).await, Books::open(&pool).await);
    for _ in 0..3 {
        books.post(&[books.capture(Uuid::now_v7(), "s-1", 10)]).await.unwrap();
    }
    assert_eq!(books.deltas().await, 6);
    assert_eq!(books.balance(&books.receivable()).await, 30);
    assert_eq!(merchants_to_roll_up(&pool).await.unwrap(), [books.merchant]);
    assert_eq!(roll_up(&pool, books.merchant).await.unwrap(), 6);
    assert_eq!(books.balance(&books.receivable()).await, 30);
    assert_eq!(books.balance(&Account::PlatformFees).await, 3);
    assert_eq!(books.deltas().await, 0);
    assert_eq!(merchants_to_roll_up(&pool).await.unwrap(), []);
    assert_eq!(roll_up(&pool, books.merchant).await.unwrap(), 0);
    assert_eq!(roll_up(&pool, idle.merchant).await.unwrap(), 0);
    assert_eq!(books.lies().await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_raced_roll_up_takes_each_delta_once(pool: PgPool) {
    let books = Books::open(&pool).await;
    for _ in 0..40 {
        books.post(&[books.capture(Uuid::now_v7(), "s-1", 10)]).await.unwrap();
    }
    let mut rivals = JoinSet::new();
    for _ in 0..5 {
        let books = books.clone();
        rivals.spawn(async move { roll_up(&books.pool, books.merchant).await.unwrap() });
    }
    assert_eq!(rivals.join_all().await.into_iter().sum::<u64>(), 80);
    assert_eq!(books.deltas().await, 0);
    assert_eq!(books.balance(&books.receivable()).await, 400);
    assert_eq!(books.balance(&Account::PlatformFees).await, 40);
    assert_eq!(books.lies().await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_delta_that_appears_during_a_roll_up_waits_for_the_next(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[books.capture(Uuid::now_v7(), "s-1", 10)]).await.unwrap();
    let mut open = pool.begin().await.unwrap();
    let capture = books.capture(Uuid::now_v7(), "s-1", 10);
    ledger::posting::post_in_tx(&mut open, books.merchant, &[capture]).await.unwrap();
    assert_eq!(roll_up(&pool, books.merchant).await.unwrap(), 2, "it neither waits for it nor takes it");
    open.commit().await.unwrap();
    assert_eq!(books.balance(&books.receivable()).await, 20);
    assert_eq!(roll_up(&pool, books.merchant).await.unwrap(), 2);
    assert_eq!(books.balance(&books.receivable()).await, 20);
    assert_eq!(books.lies().await, 0);
}
