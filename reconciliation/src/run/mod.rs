//! Settling: stored lines are tied to operations and booked, a chunk in one commit.
//!
//! [`settle`] does whatever is due for a merchant and may run anywhere, in any number: a chunk belongs to the transaction
//! that locked it, its bookings have ids derived from the chunk, and an operation has one match at a time, by constraint.
//! Locks are taken in one order: the chunk, the matches by operation, the wallets by account.
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
mod error;
mod missing;
mod repo;

use money::{FileId, MerchantId};
use sqlx::PgPool;

pub use error::Error;

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
    /// Chunks, and lines that had waited, which could not be booked because the books refused: they stay due, and need a
    /// person.
    pub blocked: u64,
}

impl Progress {
    /// Whether anything changed.
    pub const fn is_idle(&self) -> bool {
        self.lines == 0 && self.files == 0
    }

    fn add(&mut self, done: batch::Done) {
        self.lines += done.lines;
        self.matched += done.matched;
        self.waiting += done.waiting;
        self.breaks += done.breaks;
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

/// Settles what is due: the stored chunks of files, in the order the files came, then lines that waited and whose
/// operation has since succeeded or been refused. `observe` is told after each commit.
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
        let mut after = 0;
        while let Some((chunk_no, outcome)) = settle_chunk(pool, merchant, file, after).await? {
            match outcome {
                Ok(done) => progress.add(done),
                Err(refusal) => {
                    tracing::error!(%merchant, %file, chunk_no, error = %refusal, "a chunk cannot be booked");
                    progress.blocked += 1;
                    after = chunk_no;
                }
            }
            observe(&progress);
        }
        progress.files += u64::from(finish(pool, merchant, file, &mut progress.breaks).await?);
    }
    settle_waiting(pool, merchant, &mut progress, &mut observe).await?;
    Ok(progress)
}

/// Books the first due chunk of a file after chunk `after` that nobody else is at; none when there is none. When the
/// books refuse it, that is the outcome, and nothing of it is booked.
async fn settle_chunk(
    pool: &PgPool,
    merchant: MerchantId,
    file: FileId,
    after: i32,
) -> Result<Option<(i32, Result<batch::Done, Error>)>, Error> {
    let mut tx = pool.begin().await?;
    let Some(claimed) = repo::claim_chunk(&mut tx, merchant, file, after).await? else {
        return Ok(None);
    };
    let lines = repo::lines_of_chunk(&mut tx, merchant, file, &claimed).await?;
    let batch = batch::Batch { file_id: file, psp_account_id: claimed.psp_account_id, late: false, lines };
    match batch::book_in_tx(&mut tx, merchant, &batch).await {
        Ok(done) => {
            repo::chunk_settled(&mut tx, merchant, file, claimed.chunk_no).await?;
            tx.commit().await?;
            Ok(Some((claimed.chunk_no, Ok(done))))
        }
        Err(error) if error.is_refusal() => {
            tx.rollback().await?;
            Ok(Some((claimed.chunk_no, Err(error))))
        }
        Err(error) => Err(error),
    }
}

/// Marks a file settled once all its chunks are, after looking for what should have been in it.
async fn finish(pool: &PgPool, merchant: MerchantId, file: FileId, breaks: &mut u64) -> Result<bool, Error> {
    let Some(whole) = repo::file_when_booked(pool, merchant, file).await? else {
        return Ok(false);
    };
    if let Some(latest_at) = whole.latest_at {
        *breaks += missing::open(pool, merchant, whole.psp_account_id, latest_at, whole.delay_days).await?;
    }
    Ok(repo::file_settled(pool, merchant, file).await?)
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
        let Some(batch) = repo::claim_ripe_evidence(&mut tx, merchant, after, limit).await? else {
            return Ok(());
        };
        match batch::book_in_tx(&mut tx, merchant, &batch).await {
            Ok(done) => {
                tx.commit().await?;
                progress.add(done);
                after = batch.last_place();
                observe(progress);
            }
            Err(error) if error.is_refusal() && batch.lines.len() > 1 => {
                tx.rollback().await?;
                limit = 1;
            }
            Err(error) if error.is_refusal() => {
                tx.rollback().await?;
                after = batch.last_place();
                tracing::error!(%merchant, file = %after.file_id, line_no = after.line_no, %error, "a line cannot be booked");
                progress.blocked += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
