use ledger::Error;
use ledger::account::Account;
use ledger::posting::lock_in_tx;
use money::Currency;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Books, DAY, available, funding, held, pending, posting};

fn hold(minor: i64) -> ledger::posting::Posting {
    posting(Uuid::now_v7(), "hold", DAY, &[(available("s-1"), minor), (held("s-1"), -minor)])
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn one_posting_below_a_floor_refuses_its_whole_batch(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[funding("s-1", 50)]).await.unwrap();
    let fine = books.capture(Uuid::now_v7(), "s-2", 10);
    let error = books.post(&[fine.clone(), hold(51)]).await.unwrap_err();
    assert!(matches!(error, Error::BelowFloor(merchant) if merchant == books.merchant), "{error:?}");
    assert_eq!(books.balance(&pending("s-2")).await, 0, "its neighbour is rolled back too");
    assert_eq!(books.balance(&available("s-1")).await, 50);
    assert_eq!(books.transactions().await, 1);
    books.post(&[fine, hold(50)]).await.unwrap();
    assert_eq!(books.balance(&available("s-1")).await, 0, "a floor is zero, not one");
    assert_eq!(books.lies().await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_a_batch_brings_it_may_also_take(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[hold(50), funding("s-1", 50)]).await.unwrap();
    assert_eq!(books.balance(&available("s-1")).await, 0);
    assert_eq!(books.balance(&held("s-1")).await, 50);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_seller_debt_has_a_floor_on_the_side_of_an_asset(pool: PgPool) {
    let books = Books::open(&pool).await;
    let debt = Account::SellerDebt("s-1".parse().unwrap());
    let owe = |minor| {
        posting(Uuid::now_v7(), "owe", DAY, &[(debt.clone(), minor), (Account::PlatformFees, -minor)])
    };
    books.post(&[owe(20)]).await.unwrap();
    assert_eq!(books.balance(&debt).await, 20);
    let repay = posting(Uuid::now_v7(), "repay", DAY, &[(Account::BankCash, 21), (debt.clone(), -21)]);
    assert!(matches!(books.post(&[repay]).await, Err(Error::BelowFloor(_))));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_account_without_a_floor_may_go_below_zero(pool: PgPool) {
    let books = Books::open(&pool).await;
    let spend =
        posting(Uuid::now_v7(), "fee", DAY, &[(Account::PspFees, 30), (Account::PspBalance(books.psp), -30)]);
    books.post(&[spend]).await.unwrap();
    assert_eq!(books.balance(&Account::PspBalance(books.psp)).await, -30);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn rivals_spend_what_there_is_and_no_more(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[funding("s-1", 100)]).await.unwrap();
    let mut rivals = JoinSet::new();
    for _ in 0..10 {
        let books = books.clone();
        rivals.spawn(async move { books.post(&[hold(30)]).await });
    }
    let results = rivals.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(Error::BelowFloor(_)))), "{results:?}");
    assert_eq!(books.balance(&available("s-1")).await, 10);
    assert_eq!(books.balance(&held("s-1")).await, 90);
    assert_eq!(books.lies().await, 0);
}

/// The answer of Postgres to whoever would have to wait for a lock.
const LOCK_NOT_AVAILABLE: &str = "55P03";

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_floored_account_is_locked_and_a_hot_one_is_not(pool: PgPool) {
    let books = Books::open(&pool).await;
    let opening = [books.capture(Uuid::now_v7(), "s-1", 10), books.capture(Uuid::now_v7(), "s-2", 10)];
    books.post(&opening).await.unwrap();

    let mut first = pool.begin().await.unwrap();
    let capture = books.capture(Uuid::now_v7(), "s-1", 10);
    ledger::posting::post_in_tx(&mut first, books.merchant, &[capture]).await.unwrap();

    let mut second = pool.begin().await.unwrap();
    sqlx::query("set local lock_timeout = '50ms'").execute(&mut *second).await.unwrap();
    let other_seller = books.capture(Uuid::now_v7(), "s-2", 10);
    ledger::posting::post_in_tx(&mut second, books.merchant, &[other_seller])
        .await
        .expect("they share psp_receivable and platform_fees, which nobody waits for");
    let same_seller = [(pending("s-1"), Currency::EUR)];
    let error = lock_in_tx(&mut second, books.merchant, &same_seller).await.unwrap_err();
    let Error::Database(error) = error else { panic!("{error:?}") };
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), LOCK_NOT_AVAILABLE);
    second.rollback().await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(books.balance(&books.receivable()).await, 30);
}

/// The answer of Postgres to a number that does not fit.
const OUT_OF_RANGE: &str = "22003";

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_sum_beyond_64_bits_is_refused_and_moves_nothing(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[funding("s-1", i64::MAX)]).await.unwrap();
    for batch in [vec![funding("s-1", 1)], vec![funding("s-2", i64::MAX), funding("s-2", 1)]] {
        let Err(Error::Database(error)) = books.post(&batch).await else { panic!("{batch:?}") };
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), OUT_OF_RANGE);
    }
    assert_eq!(books.balance(&available("s-1")).await, i64::MAX);
    assert_eq!(books.transactions().await, 1);
}
