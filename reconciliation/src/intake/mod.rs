//! Intake: a settlement file becomes stored lines, all of them or none.
//!
//! The file is read twice. The first time checks every line and hashes the content, and touches no database: a file with
//! anything wrong in it changes nothing. The second time stores the lines, a chunk in a commit, while the next chunk is
//! being read. A crash leaves the file `reading`, and nothing of such a file is ever booked; given again, it is taken up
//! after its last stored chunk. Two that read the same file at once store each chunk once between them.

mod document;
mod error;
mod repo;

use std::path::Path;
use std::sync::Arc;

use money::{FileId, MerchantId, Money, PspAccountId};
use sqlx::PgPool;
use time::OffsetDateTime;

pub use error::Error;
pub use repo::{Account, Interrupted};

use crate::break_::{self, BreakKind, NewBreak};
use crate::statement::Line;
use document::Document;

/// Lines of a chunk, unless told otherwise: enough that a commit costs little per line.
pub const CHUNK_LINES: usize = 4_000;

/// What happened so far, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// So many bytes were checked, of so many.
    Checked {
        /// Bytes that were read.
        bytes: u64,
        /// The file's size.
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

/// Stores the file at `path`, in chunks of `chunk_lines` unless it was begun with others.
///
/// # Errors
/// When the file is refused or cannot be read, belongs to another account, overlaps with a file whose reading broke off,
/// changes while it is read, or Postgres fails.
pub async fn take_in(
    pool: &PgPool,
    merchant: MerchantId,
    account: &Account,
    path: &Path,
    chunk_lines: usize,
    observer: Observer,
) -> Result<TakenIn, Error> {
    let document = {
        let (path, observer) = (path.to_owned(), observer.clone());
        blocking(move || Document::check(&path, &observer)).await??
    };
    let file_id = FileId::derive(merchant, &document.sha256);
    let lines = document.lines;
    let begun = repo::begin_file(pool, merchant, account, file_id, &document, chunk_lines).await?;
    if begun.psp_account_id != account.psp_account_id {
        return Err(Error::OtherAccount { file: document.name, account: begun.psp_account_id });
    }
    if begun.whole {
        return Ok(TakenIn { file_id, known_before: true, lines });
    }
    let target = Target { merchant, file_id, psp_account_id: account.psp_account_id };
    store(pool, target, document, begun.chunk_lines, observer).await?;
    Ok(TakenIn { file_id, known_before: false, lines })
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
) -> Result<(), Error> {
    let total = document.lines;
    let document = Arc::new(document);
    // one chunk is stored while the next is read; no more are in memory
    let (sender, mut chunks) = tokio::sync::mpsc::channel(1);
    let reading = {
        let document = document.clone();
        tokio::task::spawn_blocking(move || document.send_chunks(chunk_lines, &sender))
    };
    let mut chunk_no = 0;
    let mut stored = 0;
    while let Some(lines) = chunks.recv().await {
        chunk_no += 1;
        store_chunk(pool, target, chunk_no, &lines, &document).await?;
        stored += lines.len() as u64;
        observer(Event::Stored { lines: stored, of: total });
    }
    reading.await.map_err(|_| Error::Stopped)??;
    if repo::finish_file(pool, target, chunk_no).await? {
        return Ok(());
    }
    Err(Error::Incomplete(document.name.clone()))
}

/// Stores a chunk in one commit; does nothing when it is there.
async fn store_chunk(
    pool: &PgPool,
    target: Target,
    chunk_no: i32,
    lines: &[Line],
    document: &Document,
) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    if !repo::claim_chunk(&mut tx, target, chunk_no, lines).await? {
        return Ok(());
    }
    let mut stored = repo::insert_lines(&mut tx, target, chunk_no, lines).await?;
    if stored.len() < lines.len() {
        stored.sort_unstable();
        let again: Vec<&Line> =
            lines.iter().filter(|line| stored.binary_search(&line.line_no).is_err()).collect();
        open_duplicates(&mut tx, target, &again).await?;
        repo::count_duplicates(&mut tx, target, chunk_no, again.len()).await?;
    }
    document.unchanged()?;
    tx.commit().await?;
    Ok(())
}

async fn open_duplicates(
    tx: &mut sqlx::PgTransaction<'_>,
    target: Target,
    again: &[&Line],
) -> Result<(), Error> {
    let firsts = repo::first_lines(tx, target, again).await?;
    if let Some(first) =
        firsts.values().find(|first| first.file_state == "reading" && first.file_id != target.file_id)
    {
        return Err(Error::Overlap { file: first.file_name.clone() });
    }
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
        ..NewBreak::new(BreakKind::Duplicate, target.psp_account_id, subject, line.currency)
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

/// Forgets a file whose reading broke off; nothing of it was booked. Answers whether there was one.
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
