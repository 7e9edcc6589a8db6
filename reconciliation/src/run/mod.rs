//! Settling: lines are tied to operations and booked, a chunk in one commit: the one that stores it ([`crate::intake`]).
//!
//! [`settle`] does whatever is due for a merchant besides and may run anywhere, in any number. A line that waited belongs
//! to the transaction that locked it, its bookings have ids derived from the chunk, and an operation has one match at a time, by constraint.
//! Locks are taken in one order: the chunk, its lines, the matches by operation, the breaks, the wallets by account; those
//! last, because whoever pays waits for them.
//!
//! How a line is booked, by what it was decided to be (gross G, fee F, what the operation says A, signed as they change
//! our balance):
//!
//! | line | debit | credit |
//! |---|---|---|
//! | all | psp_balance G - F; psp_fees F | |
//! | fee | psp_fees -G | |
//! | payout to our bank | payout_in_transit -G | |
//! | match | each seller's pending, for a capture | psp_receivable A; seller debt, then available |
//! | amount differs | | psp_receivable A; suspense G - A |
//! | currency differs, or tied to nothing | | suspense G |
//!
//! So the PSP's balance is always what the PSP says it is and its fees are what it charged, and what we cannot explain
//! stands in suspense beside an open break. A seller's money moves only where the line confirms its amount. A line that
//! waits as evidence books nothing.

mod batch;
mod booking;
mod candidates;
mod error;
mod missing;
mod repo;

use money::{FileId, MerchantId};
use sqlx::{PgPool, PgTransaction};

use crate::{bank, payout};
pub(crate) use batch::{Batch, Stored};
pub use error::Error;
pub(crate) use error::gave_way;
pub(crate) use repo::currency;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Lines that were decided: booked, or found to wait.
    pub lines: u64,
    /// Lines that were matched.
    pub matched: u64,
    /// Lines that wait as evidence, new ones.
    pub waiting: u64,
    /// Breaks that were opened.
    pub breaks: u64,
    /// Files of which every line is booked or waits.
    pub files: u64,
    /// Chunks, and lines that had waited, which could not be booked because the books refused: they need a person.
    pub blocked: u64,
}

impl Progress {
    /// Whether anything changed.
    pub const fn is_idle(&self) -> bool {
        self.lines == 0 && self.files == 0
    }

    /// Adds what was done elsewhere.
    pub const fn add(&mut self, done: &Self) {
        self.lines += done.lines;
        self.matched += done.matched;
        self.waiting += done.waiting;
        self.breaks += done.breaks;
        self.files += done.files;
        self.blocked += done.blocked;
    }
}

/// Lines that waited are settled so many at a time.
const WAITING_LINES: i64 = 2_000;

/// Merchants that have something to settle.
///
/// # Errors
/// When Postgres fails.
pub async fn merchants_due(pool: &PgPool) -> Result<Vec<MerchantId>, Error> {
    Ok(repo::merchants_due(pool).await?)
}

/// How many of these files are not settled, though another run may be at them.
///
/// # Errors
/// When Postgres fails.
pub async fn unsettled(pool: &PgPool, merchant: MerchantId, files: &[FileId]) -> Result<u64, sqlx::Error> {
    repo::unsettled(pool, merchant, files).await
}

/// Settles what is due: files that are read, then lines that waited and whose operation has since succeeded or been
/// refused. `observe` is told after each commit.
///
/// # Errors
/// When Postgres fails. What was committed before stays; the next call goes on from there.
pub async fn settle(
    pool: &PgPool,
    merchant: MerchantId,
    mut observe: impl FnMut(&Progress) + Send,
) -> Result<Progress, Error> {
    let mut progress = Progress::default();
    for file in repo::open_files(pool, merchant).await? {
        progress.files += u64::from(finish(pool, merchant, file, &mut progress.breaks).await?);
        observe(&progress);
    }
    settle_waiting(pool, merchant, &mut progress, &mut observe).await?;
    if !progress.is_idle() {
        progress.breaks += bank::settle(pool, merchant).await.map_err(Box::new)?.breaks;
    }
    Ok(progress)
}

/// Marks a file settled, after booking the payouts that its lines are part of and looking for what should have been in it.
async fn finish(pool: &PgPool, merchant: MerchantId, file: FileId, breaks: &mut u64) -> Result<bool, Error> {
    let Some(whole) = repo::booked_file(pool, merchant, file).await? else {
        return Ok(false);
    };
    if let Some(latest_at) = whole.latest_at {
        let told = missing::Told::new(latest_at, whole.delay_days);
        *breaks += missing::open(pool, merchant, whole.psp_account_id, told).await?;
    }
    let mut tx = pool.begin().await?;
    if !repo::mark_settled(&mut tx, merchant, file).await? {
        return Ok(false);
    }
    payout::imply_in_tx(&mut tx, merchant, whole.psp_account_id, file, &whole.format).await?;
    tx.commit().await?;
    Ok(true)
}

/// Books lines that waited and need not any longer, many in a commit; when the books refuse those, one in a commit, so
/// that one which cannot be booked does not hold up the others.
async fn settle_waiting(
    pool: &PgPool,
    merchant: MerchantId,
    progress: &mut Progress,
    observe: &mut (impl FnMut(&Progress) + Send),
) -> Result<(), Error> {
    let mut after = repo::LinePlace::FIRST;
    let mut limit = WAITING_LINES;
    loop {
        let mut tx = pool.begin().await?;
        let Some(waiting) = repo::claim_ripe_evidence(&mut tx, merchant, after, limit).await? else {
            return Ok(());
        };
        match book_waiting_in_tx(&mut tx, merchant, &waiting).await {
            Ok(done) => {
                tx.commit().await?;
                progress.add(&done);
                after = waiting.last_place();
                observe(progress);
            }
            Err(error) if error.is_refusal() && waiting.lines.len() > 1 => {
                tx.rollback().await?;
                limit = 1;
            }
            Err(error) if error.is_refusal() => {
                tx.rollback().await?;
                after = waiting.last_place();
                tracing::error!(%merchant, file = %after.file_id, line_no = after.line_no, %error, "a line cannot be booked");
                progress.blocked += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn book_waiting_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    waiting: &repo::Waiting,
) -> Result<Progress, Error> {
    let mut batch = Batch::new(waiting.file_id, waiting.psp_account_id, true);
    batch.add_in_tx(tx, merchant, &waiting.lines).await?;
    batch.book_in_tx(tx, merchant).await
}
