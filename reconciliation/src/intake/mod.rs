//! Intake: a settlement file becomes stored and booked lines.
//!
//! The file is read twice. The first time checks every line, hashes the content and copies it to where nobody else writes,
//! and touches no database: a file with anything wrong in it changes nothing. The second time stores the lines of the copy
//! and books them ([`run`]), a chunk in a commit, while the next chunk is being read. A crash leaves the file `reading`;
//! given again, what is missing of it is stored and booked. Two that read the same file at once store each chunk once
//! between them.

mod document;
mod error;
mod repo;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use money::{FileId, MerchantId, Money, PspAccountId};
use sqlx::{PgPool, PgTransaction};
use time::OffsetDateTime;
use tokio::task::JoinSet;

pub use error::Error;
pub use repo::{Account, Interrupted};

use crate::break_::{self, At, BreakKind, NewBreak};
use crate::run;
use crate::source::Opened;
use crate::statement::{Line, Map};
use document::Document;

/// Lines of a chunk, unless told otherwise: a commit has a posting for each seller in it, so many lines make it cheap.
pub const CHUNK_LINES: usize = 128_000;

/// Lines of a chunk that are in memory at once.
const SLICE_LINES: usize = 4_000;

/// Chunks that are worked on at once: while one waits for the database, the other is decided.
const WORKERS: usize = 2;

/// How often a chunk is tried again that gave way to another: files that repeat each other's lines can meet crosswise, and
/// a rival may be long at the same chunk.
const TRIES_AGAIN: u32 = 5;

/// What happened so far, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// So many bytes were checked, of so many.
    Checked {
        /// Bytes that were read of it as it lies there.
        bytes: u64,
        /// The file's size as it lies there; 0 where nobody can tell.
        of: u64,
    },
    /// So many lines are stored, of so many.
    Stored {
        /// Lines that were read for storing.
        lines: u64,
        /// The file's lines.
        of: u64,
    },
}

/// Who is told about progress, from whichever thread.
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;

/// A file that is in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    /// Its id.
    pub file_id: FileId,
    /// Whether it was there already, whole: nothing changed then.
    pub known_before: bool,
    /// Its lines.
    pub lines: u64,
    /// What became of those that were stored now.
    pub progress: run::Progress,
}

/// The account to read files for: the one that is named, or the merchant's only one.
///
/// # Errors
/// When there is none such, or several to choose from.
pub async fn account(
    pool: &PgPool,
    merchant: MerchantId,
    named: Option<PspAccountId>,
) -> Result<Account, Error> {
    let mut accounts = repo::accounts(pool, merchant, named).await?;
    match (accounts.pop(), accounts.is_empty()) {
        (Some(account), true) => Ok(account),
        (None, _) => Err(Error::NoAccount { merchant, named }),
        (Some(last), false) => {
            accounts.push(last);
            let names =
                accounts.iter().map(|account| format!("{} ({})", account.psp_account_id, account.name));
            Err(Error::ManyAccounts(names.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Stores the file, in chunks of `chunk_lines` unless it was begun with others. Without a `map` it is one of a PSP's own
/// reports.
///
/// # Errors
/// When the file is refused or cannot be read, belongs to another account, was read by another map, or Postgres fails.
pub async fn take_in(
    pool: &PgPool,
    merchant: MerchantId,
    account: &Account,
    opened: Opened,
    map: Option<&Map>,
    chunk_lines: usize,
    observer: Observer,
) -> Result<TakenIn, Error> {
    let document = {
        let (map, observer) = (map.cloned(), observer.clone());
        blocking(move || Document::check(opened, map, &observer)).await??
    };
    let file_id = FileId::derive(merchant, &document.sha256);
    let lines = document.lines();
    let begun = repo::begin_file(pool, merchant, account, file_id, &document, chunk_lines).await?;
    if begun.psp_account_id != account.psp_account_id {
        return Err(Error::OtherAccount { file: document.name, account: begun.psp_account_id });
    }
    begun.check_map(&document)?;
    if begun.whole {
        return Ok(TakenIn { file_id, known_before: true, lines, progress: run::Progress::default() });
    }
    let target = Target { merchant, file_id, psp_account_id: account.psp_account_id };
    let progress = store(pool, target, document, begun.chunk_lines, observer).await?;
    Ok(TakenIn { file_id, known_before: false, lines, progress })
}

/// Where lines go.
#[derive(Debug, Clone, Copy)]
struct Target {
    merchant: MerchantId,
    file_id: FileId,
    psp_account_id: PspAccountId,
}

async fn store(
    pool: &PgPool,
    target: Target,
    document: Document,
    chunk_lines: usize,
    observer: Observer,
) -> Result<run::Progress, Error> {
    let work = Arc::new(Work {
        pool: pool.clone(),
        target,
        chunks: i32::try_from(document.lines().div_ceil(chunk_lines as u64)).unwrap_or(i32::MAX),
        chunk_lines: chunk_lines as u64,
        document,
        begun: AtomicI32::new(0),
        stored: AtomicU64::new(0),
        observer,
    });
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work.clone().chunks());
    }
    let mut worked = Ok(run::Progress::default());
    while let Some(ended) = workers.join_next().await {
        // the others end the chunks that they are at: a connection that is dropped while rows are copied is of no more use
        worked = match (worked, ended.unwrap_or(Err(Error::Stopped))) {
            (Ok(mut progress), Ok(done)) => {
                progress.add(&done);
                Ok(progress)
            }
            (Err(error), _) | (Ok(_), Err(error)) => {
                work.begun.store(work.chunks, Ordering::Relaxed);
                Err(error)
            }
        };
    }
    let progress = worked?;
    let document = &work.document;
    if progress.blocked > 0 || repo::finish_file(pool, target, document.lines()).await? {
        return Ok(progress);
    }
    Err(Error::Incomplete(document.name.clone()))
}

/// What the workers share.
struct Work {
    pool: PgPool,
    target: Target,
    document: Document,
    chunk_lines: u64,
    chunks: i32,
    /// How many chunks a worker has begun.
    begun: AtomicI32,
    stored: AtomicU64,
    observer: Observer,
}

impl Work {
    /// Stores chunks until none is left.
    async fn chunks(self: Arc<Self>) -> Result<run::Progress, Error> {
        let mut progress = run::Progress::default();
        loop {
            let chunk_no = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
            if chunk_no > self.chunks {
                return Ok(progress);
            }
            progress.add(&self.chunk(chunk_no).await?);
        }
    }

    /// Stores and books a chunk in one commit; does nothing when it is there. What the books refuse is not stored: it is
    /// when the file is given again, once a person has found out why.
    async fn chunk(&self, chunk_no: i32) -> Result<run::Progress, Error> {
        let mut tries = TRIES_AGAIN;
        loop {
            match self.try_chunk(chunk_no).await {
                Err(Error::Booking(error)) if error.is_refusal() => {
                    let Target { merchant, file_id, .. } = self.target;
                    tracing::error!(%merchant, file = %file_id, chunk_no, %error, "a chunk cannot be booked");
                    return Ok(run::Progress { blocked: 1, ..run::Progress::default() });
                }
                Err(error) if error.gave_way() && tries > 0 => tries -= 1,
                done => return done,
            }
        }
    }

    /// The number of the line after `passed` others.
    fn line_no(&self, passed: u64) -> Result<i32, Error> {
        Ok(self.document.lines_after(passed)?.take(1)?.first().map_or(i32::MAX, |line| line.line_no))
    }

    async fn try_chunk(&self, chunk_no: i32) -> Result<run::Progress, Error> {
        let Target { merchant, file_id, psp_account_id } = self.target;
        let passed = u64::try_from(chunk_no - 1).unwrap_or_default() * self.chunk_lines;
        let count = self.chunk_lines.min(self.document.lines() - passed);
        let ends = (self.line_no(passed)?, self.line_no(passed + count - 1)?);
        let mut tx = self.pool.begin().await?;
        if !repo::claim_chunk(&mut tx, self.target, chunk_no, ends, count).await? {
            return Ok(run::Progress::default());
        }
        let mut lines = self.document.lines_after(passed)?;
        let mut batch = run::Batch::new(file_id, psp_account_id, false);
        let (mut left, mut known) = (count, 0);
        while left > 0 {
            let slice = lines.take(SLICE_LINES.min(usize::try_from(left).unwrap_or(SLICE_LINES)))?;
            let read = slice.len() as u64;
            left -= read;
            let new = store_new_in_tx(&mut tx, self.target, chunk_no, slice).await?;
            known += read - new.len() as u64;
            let new = new.into_iter().map(|line| run::Stored { chunk_no, line, refused: None });
            batch.add_in_tx(&mut tx, merchant, &new.collect::<Vec<_>>()).await?;
            (self.observer)(Event::Stored {
                lines: self.stored.fetch_add(read, Ordering::Relaxed) + read,
                of: self.document.lines(),
            });
        }
        if known > 0 {
            repo::count_duplicates(&mut tx, self.target, chunk_no, known).await?;
        }
        let progress = batch.book_in_tx(&mut tx, merchant).await?;
        tx.commit().await?;
        Ok(progress)
    }
}

/// Stores those of the lines that are not there, and answers them; the others are breaks. Of two with one identity the
/// first is kept.
async fn store_new_in_tx(
    tx: &mut PgTransaction<'_>,
    target: Target,
    chunk_no: i32,
    mut lines: Vec<Line>,
) -> Result<Vec<Line>, Error> {
    let mut again = Vec::new();
    while !repo::copy_lines(tx, target, chunk_no, &lines).await? {
        // one of them is stored, by a rival that has committed since perhaps, or is here twice
        let known = repo::first_lines(tx, target, &lines).await?;
        let mut seen = HashSet::new();
        let is_new =
            |line: &Line| !known.contains_key(&line.psp_line_id) && seen.insert(line.psp_line_id.clone());
        let twice;
        (lines, twice) = lines.into_iter().partition(is_new);
        again.extend::<Vec<Line>>(twice);
    }
    if !again.is_empty() {
        open_duplicates(tx, target, &again).await?;
    }
    Ok(lines)
}

async fn open_duplicates(tx: &mut PgTransaction<'_>, target: Target, again: &[Line]) -> Result<(), Error> {
    let firsts = repo::first_lines(tx, target, again).await?;
    let breaks: Vec<NewBreak> = again
        .iter()
        .filter_map(|line| firsts.get(&line.psp_line_id).map(|first| duplicate(target, line, first)))
        .collect();
    break_::open_all_in_tx(tx, target.merchant, &breaks).await?;
    Ok(())
}

fn duplicate(target: Target, line: &Line, first: &repo::FirstLine) -> NewBreak {
    let subject =
        format!("{}/{}/{}/{}", target.psp_account_id, line.psp_line_id, target.file_id, line.line_no);
    let same =
        (first.gross, first.fee, first.currency.as_str()) == (line.gross, line.fee, line.currency.code());
    let detail = format!(
        "line {} of {} has {}",
        first.line_no,
        first.file_name,
        if same { "the same" } else { "this identity with other amounts" }
    );
    NewBreak {
        expected: (first.currency == line.currency.code()).then_some(first.gross),
        found: Some(Money::new(line.gross, line.currency)),
        line: Some((target.file_id, line.line_no)),
        psp_line_id: Some(line.psp_line_id.clone()),
        psp_reference: line.psp_reference.clone(),
        order_id: line.order_id.clone(),
        detail,
        ..NewBreak::new(
            BreakKind::Duplicate,
            At::Psp(target.psp_account_id),
            subject,
            line.currency,
            line.value_date,
        )
    }
}

/// Files of an account whose reading broke off, oldest first.
///
/// # Errors
/// When Postgres fails.
pub async fn interrupted(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<Vec<Interrupted>, Error> {
    Ok(repo::interrupted(pool, merchant, account).await?)
}

/// Forgets a file whose reading broke off before anything of it was booked. Answers whether there was one.
///
/// # Errors
/// When Postgres fails.
pub async fn drop_interrupted(pool: &PgPool, merchant: MerchantId, file_id: FileId) -> Result<bool, Error> {
    let mut tx = pool.begin().await?;
    let dropped = repo::drop_interrupted(&mut tx, merchant, file_id).await?;
    tx.commit().await?;
    Ok(dropped)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopped)
}

/// The latest of two moments, of which one may be missing.
fn latest(known: Option<OffsetDateTime>, new: OffsetDateTime) -> Option<OffsetDateTime> {
    Some(known.map_or(new, |known| known.max(new)))
}
