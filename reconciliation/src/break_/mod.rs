//! Breaks: differences between a PSP's account of things and ours, for a person or a later file to end.
//!
//! A break's id is derived from its kind, what it is about and its currency, so finding it again changes nothing.

mod entity;
mod repo;

use money::{BreakId, MerchantId, OperationId};
use sqlx::PgTransaction;

pub use entity::{BreakKind, NewBreak};

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

/// Closes the breaks of captures that were missing in the PSP's files and have now come.
pub(crate) async fn close_missing_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[OperationId],
) -> Result<u64, sqlx::Error> {
    repo::close_missing(tx, merchant, operations).await
}
