//! Payouts: what sellers have is sent to their banks. Each is one operation at the PSP, and is claimed, sent, recorded and
//! resolved by the engine as every operation is.
//!
//! What is sent is held of the seller in the commit of its claim, under the lock of the seller's accounts: two payouts, or a
//! payout and a refund, never send the same money.

mod claim;
mod decide;
mod repo;
mod state;
mod view;

use money::{MerchantId, OperationId, PayoutId};
use sqlx::{PgExecutor, PgPool, PgTransaction};

use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::operation::{Change, Error};

pub use claim::{Claimed, NewPayout, claim, claim_in_tx};
pub(crate) use decide::{Known, decide};
pub(crate) use repo::lock_and_read;
pub use state::{IllegalTransition, PayoutEvent, PayoutStatus};
pub use view::{PayoutFilter, PayoutView};

/// The id of the operation that a request with this key makes, always: a claim that was lost and is made again asks for the
/// same payout.
pub fn operation_id(merchant: MerchantId, key: &IdempotencyKey) -> OperationId {
    OperationId::derive(merchant, &["payout", key.as_str()])
}

/// What a request with this key was answered, or whether it is another one's; none where the key is new. Changes nothing.
///
/// # Errors
/// When Postgres fails.
pub async fn earlier(
    pool: &PgPool,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
) -> Result<Option<Claimed>, Error> {
    Ok(repo::read_earlier(pool, merchant, key, fingerprint).await?)
}

/// The payout as it is now; none if the merchant has no such payout.
///
/// # Errors
/// When Postgres fails, or its row is not understood.
pub async fn get(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    payout: PayoutId,
) -> Result<Option<PayoutView>, Error> {
    repo::get(db, merchant, payout).await
}

/// The merchant's payouts, newest first.
///
/// # Errors
/// When Postgres fails, or a row is not understood.
pub async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &PayoutFilter,
) -> Result<Vec<PayoutView>, Error> {
    repo::list(pool, merchant, filter).await
}

/// Writes what payouts become, whose rows the caller has locked, and their events.
///
/// # Errors
/// When Postgres fails, or fewer rows changed than had to.
pub(crate) async fn write_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    changes: &[(&Known, &Change)],
) -> Result<(), Error> {
    repo::write(tx, merchant, changes).await
}
