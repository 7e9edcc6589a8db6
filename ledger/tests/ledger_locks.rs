//! Rivals for the same accounts, on a real Postgres.

use ledger::account::Account;
use ledger::posting::lock_in_tx;
use money::{Currency, MerchantId, SellerId};
use sqlx::PgPool;

/// Rounds, each with accounts that are new.
const ROUNDS: usize = 60;
/// Transactions that want them at once.
const RIVALS: usize = 4;

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn rivals_for_accounts_that_are_partly_new_never_deadlock(pool: PgPool) {
    let merchant = MerchantId::new();
    sqlx::query("insert into merchant (merchant_id, mode, name) values ($1, 'test', 'A shop')")
        .bind(merchant.as_uuid())
        .execute(&pool)
        .await
        .unwrap();
    for round in 0..ROUNDS {
        let seller = |number: usize| -> SellerId { format!("s-{round}-{number}").parse().unwrap() };
        let known: Vec<_> =
            (0..3).map(|number| (Account::SellerPending(seller(number)), Currency::EUR)).collect();
        let mut all = known.clone();
        for number in 0..3 {
            all.push((Account::SellerDebt(seller(number)), Currency::EUR));
            all.push((Account::SellerAvailable(seller(number)), Currency::EUR));
        }
        lock(&pool, merchant, &known).await;
        let rivals: Vec<_> = (0..RIVALS)
            .map(|_| {
                let (pool, all) = (pool.clone(), all.clone());
                tokio::spawn(async move { lock(&pool, merchant, &all).await })
            })
            .collect();
        for rival in rivals {
            rival.await.unwrap();
        }
    }
    let accounts: i64 = sqlx::query_scalar("select count(*) from ledger_balance where merchant_id = $1")
        .bind(merchant.as_uuid())
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(accounts, 9 * ROUNDS as i64);
}

#[allow(clippy::unwrap_used, reason = "a helper of the test fails where it stands")]
async fn lock(pool: &PgPool, merchant: MerchantId, accounts: &[(Account, Currency)]) {
    let mut tx = pool.begin().await.unwrap();
    lock_in_tx(&mut tx, merchant, accounts).await.unwrap();
    tx.commit().await.unwrap();
}
