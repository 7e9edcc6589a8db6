//! Breaks: differences between what PSPs and banks say and what we say, for a person or a later file to end.
//!
//! A break's id is derived from its kind, what it is about and its currency, so finding it again changes nothing. What people
//! do about it is decided by `decide`, which is pure; what it comes to and the act are written in one commit, and acts are
//! never changed.

mod act;
mod decide;
mod entity;
mod error;
mod repo;
mod view;
mod view_repo;
mod work;
mod work_repo;

use money::{BreakId, MerchantId, OperationId};
use sqlx::{PgPool, PgTransaction};

pub use act::{Act, Actor, NoTarget, TARGETS, Target};
pub use decide::{How, Outcome, Refused};
pub use entity::{At, BreakKind, NewBreak};
pub use error::Error;
pub use view::{ActView, Break, BreakWithActs, Filter, State};
pub use work::act_in_tx;

/// Opens a break, in the caller's transaction. When it was opened before, by whomever, nothing changes; also when it was
/// closed since.
///
/// # Errors
/// When Postgres fails.
pub async fn open_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    new: &NewBreak,
) -> Result<BreakId, sqlx::Error> {
    open_all_in_tx(tx, merchant, std::slice::from_ref(new)).await?;
    Ok(new.id(merchant))
}

/// Opens many breaks; answers how many are new.
///
/// # Errors
/// When Postgres fails.
pub async fn open_all_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    breaks: &[NewBreak],
) -> Result<u64, sqlx::Error> {
    if breaks.is_empty() {
        return Ok(0);
    }
    repo::insert(tx, merchant, breaks).await
}

/// Closes the breaks of these operations, which were missing in the PSP's files and have now come.
pub(crate) async fn close_missing_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[OperationId],
) -> Result<u64, Error> {
    if operations.is_empty() {
        return Ok(0);
    }
    let came = repo::missing_of(tx, merchant, operations).await?;
    close_in_tx(tx, merchant, came, "it came in a later file").await
}

/// Closes the breaks of what was missing in an account's files and has been matched.
pub(crate) async fn close_matched_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: money::PspAccountId,
) -> Result<u64, Error> {
    let came = repo::missing_and_matched(tx, merchant, account).await?;
    close_in_tx(tx, merchant, came, "it came in a later file").await
}

/// Closes the breaks of an account's operations of which nobody knew how they ended, and which have.
pub(crate) async fn close_ended_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: money::PspAccountId,
) -> Result<u64, Error> {
    let ended = repo::stale_and_ended(tx, merchant, account).await?;
    close_in_tx(tx, merchant, ended, "it has ended").await
}

/// Closes the breaks of bank entries and payouts of which nothing is open any longer.
pub(crate) async fn close_banked_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
) -> Result<u64, Error> {
    let banked = repo::banked(tx, merchant).await?;
    close_in_tx(tx, merchant, banked, "it was matched").await
}

/// Closes breaks by themselves; what a person had moved for one of them is moved back.
async fn close_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    found: Vec<repo::Found>,
    because: &str,
) -> Result<u64, Error> {
    let closed = found.len() as u64;
    let (adjusted, open): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.is_adjusted);
    let open: Vec<BreakId> = open.into_iter().map(|found| found.break_id).collect();
    repo::close(tx, merchant, &open, because).await?;
    for found in adjusted {
        work::undo_in_tx(tx, merchant, found.break_id, because).await?;
    }
    Ok(closed)
}

/// Breaks, those that are about the oldest days first.
///
/// # Errors
/// When Postgres fails.
pub async fn list(pool: &PgPool, merchant: MerchantId, filter: &Filter) -> Result<Vec<Break>, Error> {
    view_repo::list(pool, merchant, filter).await
}

/// A break, with what was done about it.
///
/// # Errors
/// When Postgres fails.
pub async fn get(
    pool: &PgPool,
    merchant: MerchantId,
    break_id: BreakId,
) -> Result<Option<BreakWithActs>, Error> {
    let mut connection = pool.acquire().await?;
    view_repo::get(&mut connection, merchant, break_id).await
}

/// The same, as the caller's transaction sees it.
///
/// # Errors
/// When Postgres fails.
pub async fn get_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    break_id: BreakId,
) -> Result<Option<BreakWithActs>, Error> {
    view_repo::get(tx, merchant, break_id).await
}
