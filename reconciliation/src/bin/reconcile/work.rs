use std::io;
use std::path::Path;
use std::time::Duration;

use money::{FileId, MerchantId};
use reconciliation::bank_statement::Format;
use reconciliation::intake::{self, Account, CHUNK_LINES};
use reconciliation::report::{self, BankGiven, Given, Refused, Report, Verdict};
use reconciliation::source::{Opened, Source};
use reconciliation::statement::{self, Map, MapError};
use reconciliation::{bank, evidence};
use sqlx::PgPool;
use tokio::time::Instant;

use crate::args::Run;
use crate::progress::Progress;
use crate::{database, with_causes};

/// How often to look whether the service has applied what waits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why there is no map to read by.
#[derive(Debug, thiserror::Error)]
enum NoMap {
    #[error("the map {0} could not be read")]
    Unreadable(String, #[source] io::Error),
    #[error(transparent)]
    Wrong(#[from] MapError),
}

/// Does all of it. What goes wrong is in the report.
pub async fn reconcile(run: &Run) -> Report {
    let map = match run.map.as_deref().map(read_map).transpose() {
        Ok(map) => map,
        Err(error) => return Report::of_nothing(Verdict::Refused, with_causes(&error)),
    };
    let pool = match database::connect(&run.books).await {
        Ok(pool) => pool,
        Err(error) => return Report::of_nothing(Verdict::Incomplete, with_causes(&error)),
    };
    let report = reconcile_in(&pool, run, map.as_ref()).await;
    pool.close().await;
    report
}

fn read_map(path: &Path) -> Result<Map, NoMap> {
    let name = path.display().to_string();
    let toml = std::fs::read(path).map_err(|error| NoMap::Unreadable(name.clone(), error))?;
    Ok(Map::read(&name, &toml)?)
}

async fn reconcile_in(pool: &PgPool, run: &Run, map: Option<&Map>) -> Report {
    let merchant = run.books.merchant;
    // bank statements name their accounts, settlement files do not
    let account = intake::account(pool, merchant, run.psp_account).await;
    let account = match account {
        Err(error) if run.psp_account.is_some() || run.drop_interrupted || !error.is_refusal() => {
            return Report::of_nothing(verdict_of(&error), with_causes(&error));
        }
        account => account,
    };
    let mut given = Given::default();
    if run.drop_interrupted
        && let Ok(account) = &account
        && let Err(error) = drop_interrupted(pool, merchant, account).await
    {
        given.failures.push(with_causes(&error));
    }
    for source in sources(run, &mut given) {
        match open(&source, map) {
            Ok(Kind::Bank(opened)) => take_in_bank(pool, merchant, opened, &mut given).await,
            Ok(Kind::Settlement(opened)) => match &account {
                Ok(account) => take_in(pool, merchant, account, (opened, map), &mut given).await,
                Err(error) => return Report::of_nothing(verdict_of(error), with_causes(error)),
            },
            Err(error) => note(&mut given, error.into()),
        }
    }
    settle(pool, run, &mut given).await;
    let account = account.ok().map(|account| account.psp_account_id);
    match report::make(pool, merchant, account, &given).await {
        Ok(report) => report,
        Err(error) => Report::of_nothing(Verdict::Incomplete, with_causes(&error)),
    }
}

/// A file, by whose it is.
enum Kind {
    Bank(Opened),
    Settlement(Opened),
}

/// With a map, all are settlement files.
fn open(source: &Source, map: Option<&Map>) -> Result<Kind, statement::Error> {
    let mut opened = source.open()?;
    let is_bank = map.is_none() && Format::of(opened.beginning()?).is_some();
    Ok(if is_bank { Kind::Bank(opened) } else { Kind::Settlement(opened) })
}

const fn verdict_of(error: &intake::Error) -> Verdict {
    if error.is_refusal() { Verdict::Refused } else { Verdict::Incomplete }
}

async fn drop_interrupted(
    pool: &PgPool,
    merchant: MerchantId,
    account: &Account,
) -> Result<(), intake::Error> {
    for file in intake::interrupted(pool, merchant, account.psp_account_id).await? {
        if intake::drop_interrupted(pool, merchant, file.file_id).await? {
            tracing::warn!(name = file.name, file_id = %file.file_id, "dropped a file whose reading broke off");
        }
    }
    Ok(())
}

/// The files that the arguments name, each once.
fn sources(run: &Run, given: &mut Given) -> Vec<Source> {
    let mut sources = Vec::new();
    for argument in &run.files {
        match Source::of_argument(argument) {
            Ok(named) => sources
                .extend(named.into_iter().filter(|source| !sources.contains(source)).collect::<Vec<_>>()),
            Err(error) => note(given, error.into()),
        }
    }
    sources
}

/// Takes a settlement file in.
async fn take_in(
    pool: &PgPool,
    merchant: MerchantId,
    account: &Account,
    (opened, map): (Opened, Option<&Map>),
    given: &mut Given,
) {
    let progress = Progress::begin("");
    let observer = progress.observer(&opened.name);
    let taken = intake::take_in(pool, merchant, account, opened, map, CHUNK_LINES, observer).await;
    progress.end();
    match taken {
        Ok(taken) => {
            if !given.files.iter().any(|(file, _)| *file == taken.file_id) {
                given.files.push((taken.file_id, taken.known_before));
            }
            given.blocked += taken.progress.blocked;
        }
        Err(error) => note(given, error),
    }
}

/// Takes a file of bank statements in.
async fn take_in_bank(pool: &PgPool, merchant: MerchantId, opened: Opened, given: &mut Given) {
    let progress = Progress::begin("");
    let observer = progress.observer(&opened.name);
    let taken = bank::take_in(pool, merchant, opened, observer).await;
    progress.end();
    match taken {
        Ok(taken) => {
            let known_before = taken.known_before || taken.statements_known == taken.statements;
            if !given.bank_files.iter().any(|file| file.file_id == taken.file_id) {
                given.bank_files.push(BankGiven { file_id: taken.file_id, known_before });
            }
        }
        Err(bank::Error::Statement(error)) => note(given, error.into()),
        Err(error) if error.is_refusal() => {
            given.refused.push(Refused { message: with_causes(&error), refusal: None });
        }
        Err(error) => given.failures.push(with_causes(&error)),
    }
}

/// Notes why something that was given is not taken in.
fn note(given: &mut Given, error: intake::Error) {
    if !error.is_refusal() {
        return given.failures.push(with_causes(&error));
    }
    let refusal = match &error {
        intake::Error::Statement(statement::Error::Refused(refusal)) => Some(refusal.clone()),
        _ => None,
    };
    given.refused.push(Refused { message: with_causes(&error), refusal });
}

/// Settles until everything given is booked or found to differ, or the time to wait is over.
async fn settle(pool: &PgPool, run: &Run, given: &mut Given) {
    let refused_at_once = given.blocked;
    let files: Vec<FileId> = given.files.iter().map(|(file, _)| *file).collect();
    let progress = Progress::begin("settling");
    let deadline = Instant::now() + Duration::from_secs(run.wait);
    loop {
        match reconciliation::run::settle(pool, run.books.merchant, |_| ()).await {
            // what is refused again is the same
            Ok(settled) => given.blocked = refused_at_once + settled.blocked,
            Err(error) => {
                given.failures.push(with_causes(&error));
                break;
            }
        }
        let open = match still_open(pool, run.books.merchant, &files).await {
            Ok(open) => open,
            Err(error) => {
                given.failures.push(with_causes(&error));
                break;
            }
        };
        // what the books refused will not get better by waiting
        if open == 0 || given.blocked > 0 {
            break;
        }
        if Instant::now() >= deadline {
            given.failures.push(format!("gave up after waiting {} s; is the service running?", run.wait));
            break;
        }
        progress.say(format!("waiting for the service: {open} lines"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // an account may have been made known after the files of its payouts were settled
    if let Err(error) = bank::settle(pool, run.books.merchant).await {
        given.failures.push(with_causes(&error));
    }
    progress.end();
}

/// Lines that wait for the service, and files that others are still booking.
async fn still_open(pool: &PgPool, merchant: MerchantId, files: &[FileId]) -> Result<u64, sqlx::Error> {
    Ok(evidence::waiting(pool, merchant, files).await?
        + reconciliation::run::unsettled(pool, merchant, files).await?)
}
