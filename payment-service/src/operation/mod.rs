//! Operations: one intended side effect at one PSP each, claimed before it is sent and ended by one function.
//!
//! [`claim()`] and [`record_in_tx`] take many at once and answer each by its own result. Whatever ends an
//! operation (the PSP's answer, a webhook, the resolver, a settlement line) ends it through [`record_in_tx`], so the
//! stored response, the ledger and the event are always there.

mod claim;
mod claim_repo;
mod decide;
mod follow;
mod kind;
mod record;
mod record_repo;
mod record_write_repo;
mod repo;
mod state;
mod takeover_repo;
mod view;

use std::collections::HashMap;
use std::time::Duration;

use money::{MerchantId, OperationId, OrderId, PaymentId, PayoutId, PspAccountId};
use sqlx::{PgExecutor, PgPool, PgTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::psp::{Errand, Expected, PspReference};
pub use claim::{Claim, Claimed, claim, claim_in_tx, earlier};
pub(crate) use decide::{Change, Decision, Stand, change, event_of, lasting, next_look, old_news};
#[cfg(test)]
pub(crate) use decide::{Known, Share, SplitSums, decide};
pub use follow::{Begun, Follow, Followed, Want, WantedPart, follow, follow_in_tx};
pub use kind::OperationKind;
pub use record::{By, Effect, Finding, Recorded, Recording, record, record_in_tx};
pub use state::{IllegalTransition, OperationEvent, OperationStatus};
pub use view::{InvalidCursor, OperationCursor, OperationFilter, OperationView, Standing};

/// Why operations could not be claimed or recorded. The caller's transaction is to be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("operation: the database failed")]
    Database(#[from] sqlx::Error),
    /// The ledger refused or failed.
    #[error("operation: the ledger failed")]
    Ledger(#[from] ledger::Error),
    /// The books for an outcome do not balance.
    #[error("operation: the posting is impossible")]
    Posting(#[from] ledger::posting::PostingError),
    /// Fewer rows changed than were locked and decided on.
    #[error("operation: {changed} of {expected} rows changed")]
    RowsLost {
        /// Rows that had to change.
        expected: usize,
        /// Rows that did.
        changed: usize,
    },
    /// A row holds a word that this version does not know.
    #[error("operation: unknown word in column {0}")]
    UnknownWord(&'static str),
    /// An operation that does not exist.
    #[error("operation {0} does not exist")]
    NotFound(OperationId),
    /// A payment that was there and is not.
    #[error("payment {0} is gone")]
    PaymentLost(PaymentId),
}

impl From<crate::draw::Error> for Error {
    fn from(error: crate::draw::Error) -> Self {
        match error {
            crate::draw::Error::Database(error) => Self::Database(error),
            crate::draw::Error::Ledger(error) => Self::Ledger(error),
            crate::draw::Error::Posting(error) => Self::Posting(error),
        }
    }
}

impl Error {
    /// Whether the same transaction may well succeed when it is run again: deadlock, serialisation failure, a lost or
    /// exhausted connection, a server that is restarting.
    pub fn is_transient(&self) -> bool {
        let (Self::Database(error) | Self::Ledger(ledger::Error::Database(error))) = self else {
            return false;
        };
        crate::database::is_transient(error)
    }

    /// Whether a row may be at fault that others need not touch: one was waited for too long, or fought over.
    pub fn is_of_a_row(&self) -> bool {
        let (Self::Database(error) | Self::Ledger(ledger::Error::Database(error))) = self else {
            return false;
        };
        let code = error.as_database_error().and_then(|error| error.code());
        // deadlock, lock not available, statement timeout
        code.is_some_and(|code| matches!(&*code, "40P01" | "55P03" | "57014"))
    }

    /// Whether a recording names an object of the PSP's that is another operation's already.
    pub fn is_foreign_reference(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        constraint == Some("operation_psp_reference_once")
    }
}

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A payment: to charge it, or what follows.
    Payment(PaymentId),
    /// A payout: to send it.
    Payout(PayoutId),
}

impl Subject {
    /// The payment, if it is one.
    pub const fn payment(self) -> Option<PaymentId> {
        match self {
            Self::Payment(payment) => Some(payment),
            Self::Payout(_) => None,
        }
    }

    /// The payout, if it is one.
    pub const fn payout(self) -> Option<PayoutId> {
        match self {
            Self::Payment(_) => None,
            Self::Payout(payout) => Some(payout),
        }
    }

    /// Its id.
    pub const fn as_uuid(self) -> Uuid {
        match self {
            Self::Payment(payment) => payment.as_uuid(),
            Self::Payout(payout) => payout.as_uuid(),
        }
    }

    /// The one of both columns that is set.
    pub(crate) fn of(payment: Option<PaymentId>, payout: Option<PayoutId>) -> Option<Self> {
        payment.map(Self::Payment).or(payout.map(Self::Payout))
    }
}

/// An operation that a worker has taken over.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What it is to do.
    pub errand: Errand,
    /// The worker's fence.
    pub fence: i64,
    /// What it is for.
    pub subject: Subject,
    /// Of one that has succeeded: whether it is not over. The PSP holds the money, or a bank does not have it yet.
    pub is_pending: bool,
    /// Where it is sent.
    pub psp_account_id: PspAccountId,
    /// What the PSP calls it, if it has told us.
    pub psp_reference: Option<PspReference>,
    /// Where it stands.
    pub status: OperationStatus,
    /// Why.
    pub reason: Option<String>,
    /// How often it has been taken over, this time included.
    pub takeovers: i32,
    /// The moment before its first byte may have left.
    pub first_sent_at: OffsetDateTime,
    /// Since when its payment stands as it does; where it waits for its buyer, since when it does.
    pub standing_since: OffsetDateTime,
    /// Now, by the database's clock.
    pub now: OffsetDateTime,
}

/// What a claim made whose commit was not confirmed, while it is still its first sender's.
///
/// # Errors
/// When Postgres fails, or a row is not understood.
pub(crate) async fn begun_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<Begun>, Error> {
    takeover_repo::begun(tx, merchant, operation).await
}

/// Merchants that have operations to look at.
///
/// # Errors
/// When Postgres fails.
pub async fn merchants_with_due(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    takeover_repo::merchants_with_due(pool).await
}

/// Takes over up to `limit` of a merchant's due operations: each gets a new fence and a lease of `lease`, so whoever
/// had it before can no longer record anything.
///
/// # Errors
/// When Postgres fails.
pub async fn take_due(
    pool: &PgPool,
    merchant: MerchantId,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Taken>, Error> {
    takeover_repo::take_due(pool, merchant, lease, limit).await
}

/// Takes over an operation that needs review, so that its PSP is asked once more; none while somebody else is asking, or
/// where it does not need review.
///
/// # Errors
/// When Postgres fails.
pub async fn take_for_review(
    pool: &PgPool,
    merchant: MerchantId,
    operation: OperationId,
    lease: Duration,
) -> Result<Option<Taken>, Error> {
    takeover_repo::take_for_review(pool, merchant, operation, lease).await
}

/// Makes an operation that is in doubt due at once, because something new may be known of it; where somebody has it, once they
/// give it back or their lease has ended.
///
/// # Errors
/// When Postgres fails.
pub async fn nudge(pool: &PgPool, merchant: MerchantId, operation: OperationId) -> Result<(), sqlx::Error> {
    takeover_repo::nudge(pool, merchant, operation).await
}

/// Gives back what was taken over and has not changed: a hold, noting when it is looked at next (never, where there is
/// nothing to look for any more), or what still needs review. Where there was news since ([`nudge`]) it is due at once. Changes
/// nothing where somebody else has taken it over, or where it stands otherwise since.
///
/// # Errors
/// When Postgres fails.
pub async fn look_again(
    pool: &PgPool,
    merchant: MerchantId,
    taken: &Taken,
    after: Option<Duration>,
) -> Result<(), sqlx::Error> {
    takeover_repo::look_again(pool, merchant, taken, after).await
}

/// Gives back what was taken over and not looked into, as it was: due when it was due.
///
/// # Errors
/// When Postgres fails.
pub async fn leave(pool: &PgPool, merchant: MerchantId, taken: &Taken) -> Result<(), sqlx::Error> {
    takeover_repo::leave(pool, merchant, taken).await
}

/// A PSP's object, by what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Whose account it is in.
    pub psp_account_id: PspAccountId,
    /// The operation of ours that it names.
    pub operation_id: Option<OperationId>,
    /// Its own name.
    pub reference: PspReference,
    /// What it was made for: to authorise, to refund or to pay out.
    pub kind: OperationKind,
}

/// The operations that evidence about objects may be about, by the objects' places: the one that an object names or belongs
/// to, and of a payment the capture or void that is under way.
///
/// # Errors
/// When Postgres fails; for one of them, when its row is not understood.
pub async fn concerned(
    pool: &PgPool,
    merchant: MerchantId,
    named: &[Named],
) -> Result<Vec<Vec<Result<Expected, Error>>>, sqlx::Error> {
    repo::concerned(pool, merchant, named).await
}

/// What operations were to do, to measure evidence by. Those that the merchant does not have at that account are left out.
///
/// # Errors
/// When Postgres fails; for one of them, when its row is not understood.
pub async fn expected(
    pool: &PgPool,
    merchant: MerchantId,
    wanted: &[(PspAccountId, OperationId)],
) -> Result<HashMap<(PspAccountId, OperationId), Result<Expected, Error>>, sqlx::Error> {
    repo::expected(pool, merchant, wanted).await
}

/// The operation as its merchant sees it; none if the merchant has no such operation.
///
/// # Errors
/// When Postgres fails, or its row is not understood.
pub async fn get(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<OperationView>, Error> {
    repo::view(db, merchant, operation).await
}

/// A payment's operations, oldest first.
///
/// # Errors
/// When Postgres fails, or a row is not understood.
pub async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    payment: PaymentId,
    filter: &OperationFilter,
) -> Result<Vec<OperationView>, Error> {
    repo::list(pool, merchant, payment, filter).await
}

/// The last operation that ended at an account and has an object at the PSP: what it was to do, and that object.
///
/// # Errors
/// When Postgres fails.
pub async fn last_ended(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<Option<(Expected, PspReference)>, Error> {
    repo::last_ended(pool, merchant, account).await
}

/// Whether an account has operations that may be sent again, or that nobody knows the outcome of.
///
/// # Errors
/// When Postgres fails.
pub async fn has_unfinished(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<bool, sqlx::Error> {
    repo::has_unfinished(pool, merchant, account).await
}

/// The id of a payment's first operation, which the same intent always gets.
pub fn authorize_id(merchant: MerchantId, order: &OrderId, ordinal: i32) -> OperationId {
    OperationId::derive(merchant, &[order.as_str(), &ordinal.to_string(), "authorize"])
}
