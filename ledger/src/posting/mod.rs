//! Postings: balanced sets of entries about one fact.
//!
//! [`post_in_tx`] costs two round trips for any number of postings of one merchant: lock the floored balances in one
//! order, then write transactions, entries and balances in one statement. Only the first posting of an account costs
//! two more, which make it.

mod entity;
mod list_repo;
mod repo;

use std::collections::BTreeSet;

use money::{AccountId, Currency, MerchantId, TransactionId};
use sqlx::PgTransaction;

use crate::Error;
use crate::account::{self, Account};
pub use entity::{Builder, Leg, Posting, PostingError, Source};
pub use list_repo::{Entry, Transaction, TransactionFilter};

/// What became of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It is in the books, in this transaction.
    Now(TransactionId),
    /// It was already: nothing changed.
    Before,
}

/// Posts all of `postings`, each exactly once whoever else posts it. Answers in their order. Two of them must not
/// share source and kind.
///
/// # Errors
/// When a floor holds, or Postgres fails; the caller's transaction is then to be rolled back.
pub async fn post_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    postings: &[Posting],
) -> Result<Vec<Posted>, Error> {
    if postings.is_empty() {
        return Ok(Vec::new());
    }
    let accounts: BTreeSet<(&Account, Currency)> = postings.iter().flat_map(Posting::accounts).collect();
    let accounts: Vec<(Account, Currency)> =
        accounts.into_iter().map(|(account, currency)| (account.clone(), currency)).collect();
    lock_in_tx(tx, merchant, &accounts).await?;
    repo::write(tx, merchant, postings, &repo::hot_ids(merchant, &accounts)).await
}

/// Locks the balances of those of `accounts` that have a floor, in the one order that everybody uses; makes the
/// accounts that do not exist. What a statement after this one reads of them stays true until the commit.
///
/// # Errors
/// When Postgres fails.
pub async fn lock_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    accounts: &[(Account, Currency)],
) -> Result<(), Error> {
    let mut ids: Vec<AccountId> =
        accounts.iter().map(|(account, currency)| account.id(merchant, *currency)).collect();
    ids.sort_unstable();
    ids.dedup();
    if repo::lock(tx, merchant, &ids).await? == ids.len() {
        return Ok(());
    }
    account::open_in_tx(tx, merchant, accounts).await?;
    let found = repo::lock(tx, merchant, &ids).await?;
    if found == ids.len() { Ok(()) } else { Err(Error::AccountsLost { expected: ids.len(), found }) }
}

/// Transactions with their entries, newest first.
///
/// # Errors
/// When Postgres fails.
pub async fn list(
    pool: &sqlx::PgPool,
    merchant: MerchantId,
    filter: &TransactionFilter,
) -> Result<Vec<Transaction>, Error> {
    list_repo::list(pool, merchant, filter).await
}
