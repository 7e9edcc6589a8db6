//! Balances: now, as of a day, all of them, and the roll-up of hot accounts.
//!
//! A balance is its row plus its deltas, read in one statement, hence in one snapshot.

mod repo;

use money::{AccountId, Currency, MerchantId};
use sqlx::{PgPool, PgTransaction};
use time::Date;

use crate::Error;
use crate::account::Account;
pub use repo::{AccountBalance, AccountFilter, AccountMovement, GroupTotal};

/// How many deltas one roll-up takes at the most.
pub const ROLL_UP_BATCH: i64 = 10_000;

/// The balances of `accounts` on their normal sides, in their order; an account that does not exist yet has zero.
///
/// # Errors
/// When Postgres fails.
pub async fn read(
    pool: &PgPool,
    merchant: MerchantId,
    accounts: &[(Account, Currency)],
) -> Result<Vec<i64>, Error> {
    let ids: Vec<AccountId> =
        accounts.iter().map(|(account, currency)| account.id(merchant, *currency)).collect();
    let found = repo::read(pool, merchant, &ids).await?;
    Ok(in_order(accounts, &ids, &found))
}

/// The balances of floored `accounts`, which the caller has locked ([`crate::posting::lock_in_tx`]) in this
/// transaction, on their normal sides and in their order.
///
/// # Errors
/// When Postgres fails.
pub async fn read_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    accounts: &[(Account, Currency)],
) -> Result<Vec<i64>, Error> {
    let ids: Vec<AccountId> =
        accounts.iter().map(|(account, currency)| account.id(merchant, *currency)).collect();
    let found = repo::read(&mut **tx, merchant, &ids).await?;
    Ok(in_order(accounts, &ids, &found))
}

fn in_order(accounts: &[(Account, Currency)], ids: &[AccountId], found: &[(AccountId, i64)]) -> Vec<i64> {
    accounts
        .iter()
        .zip(ids)
        .map(|((account, _), id)| {
            let signed = found.iter().find(|(found, _)| found == id).map_or(0, |(_, signed)| *signed);
            signed * i64::from(account.kind().normal_side())
        })
        .collect()
}

/// The merchant's accounts with their signed balances (debit positive), by code. With `as_of`, what
/// they were at the end of that effective day by what is known now, summed from the entries.
///
/// # Errors
/// When Postgres fails.
pub async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &AccountFilter,
    as_of: Option<Date>,
) -> Result<Vec<AccountBalance>, Error> {
    Ok(match as_of {
        None => repo::list_now(pool, merchant, filter).await?,
        Some(day) => repo::list_as_of(pool, merchant, filter, day).await?,
    })
}

/// The balances of the merchant's accounts by group (the code's first part) and currency, in that order: the trial
/// balance. With `as_of`, as they were at the end of that effective day.
///
/// # Errors
/// When Postgres fails.
pub async fn totals(
    pool: &PgPool,
    merchant: MerchantId,
    as_of: Option<Date>,
) -> Result<Vec<GroupTotal>, Error> {
    Ok(match as_of {
        None => repo::totals_now(pool, merchant).await?,
        Some(day) => repo::totals_as_of(pool, merchant, day).await?,
    })
}

/// The movements of accounts, newest first: those before the entry `before`, at most `limit`.
///
/// # Errors
/// When Postgres fails.
pub async fn movements(
    pool: &PgPool,
    merchant: MerchantId,
    accounts: &[AccountId],
    before: Option<(money::TransactionId, i16)>,
    limit: u16,
) -> Result<Vec<AccountMovement>, Error> {
    Ok(repo::movements(pool, merchant, accounts, before, limit).await?)
}

/// Merchants that have deltas to roll up.
///
/// # Errors
/// When Postgres fails.
pub async fn merchants_to_roll_up(pool: &PgPool) -> Result<Vec<MerchantId>, Error> {
    Ok(repo::merchants_with_deltas(pool).await?)
}

/// Moves up to [`ROLL_UP_BATCH`] deltas of a merchant into their balances, each exactly once: what one commit deletes
/// from the deltas it adds to the balances. Answers how many.
///
/// # Errors
/// When Postgres fails; nothing has changed then.
pub async fn roll_up(pool: &PgPool, merchant: MerchantId) -> Result<u64, Error> {
    let mut tx = pool.begin().await?;
    let rolled = repo::roll_up(&mut tx, merchant).await?;
    tx.commit().await?;
    Ok(rolled)
}
