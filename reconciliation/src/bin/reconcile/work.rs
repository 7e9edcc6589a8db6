use std::io;
use std::path::Path;
use std::time::Duration;

use money::{FileId, MerchantId};
use reconciliation::intake::{self, Account, CHUNK_LINES};
use reconciliation::report::{self, Given, Refused, Report, Verdict};
use reconciliation::source::Source;
use reconciliation::statement::{self, Map, MapError};
use reconciliation::{evidence, run};
use sqlx::PgPool;
use tokio::time::Instant;

use crate::args::Args;
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
pub async fn reconcile(args: &Args) -> Report {
    let map = match args.map.as_deref().map(read_map).transpose() {
        Ok(map) => map,
        Err(error) => return Report::of_nothing(Verdict::Refused, with_causes(&error)),
    };
    let pool = match database::connect(args).await {
        Ok(pool) => pool,
        Err(error) => return Report::of_nothing(Verdict::Incomplete, with_causes(&error)),
    };
    let report = reconcile_in(&pool, args, map.as_ref()).await;
    pool.close().await;
    report
}

fn read_map(path: &Path) -> Result<Map, NoMap> {
    let name = path.display().to_string();
    let toml = std::fs::read(path).map_err(|error| NoMap::Unreadable(name.clone(), error))?;
    Ok(Map::read(&name, &toml)?)
}

async fn reconcile_in(pool: &PgPool, args: &Args, map: Option<&Map>) -> Report {
    let account = match intake::account(pool, args.merchant, args.psp_account).await {
        Ok(account) => account,
        Err(error) => return Report::of_nothing(verdict_of(&error), with_causes(&error)),
    };
    let mut given = Given::default();
    if args.drop_interrupted
        && let Err(error) = drop_interrupted(pool, args.merchant, &account).await
    {
        given.failures.push(with_causes(&error));
    }
    for source in sources(args, &mut given) {
        take_in(pool, args.merchant, &account, (&source, map), &mut given).await;
    }
    settle(pool, args, &mut given).await;
    match report::make(pool, args.merchant, account.psp_account_id, &given).await {
        Ok(report) => report,
        Err(error) => Report::of_nothing(Verdict::Incomplete, with_causes(&error)),
    }
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
fn sources(args: &Args, given: &mut Given) -> Vec<Source> {
    let mut sources = Vec::new();
    for argument in &args.files {
        match Source::of_argument(argument) {
            Ok(named) => sources
                .extend(named.into_iter().filter(|source| !sources.contains(source)).collect::<Vec<_>>()),
            Err(error) => note(given, error.into()),
        }
    }
    sources
}

/// Takes a file in.
async fn take_in(
    pool: &PgPool,
    merchant: MerchantId,
    account: &Account,
    (source, map): (&Source, Option<&Map>),
    given: &mut Given,
) {
    let progress = Progress::begin("");
    let observer = progress.observer(&source.name());
    let taken = intake::take_in(pool, merchant, account, source, map, CHUNK_LINES, observer).await;
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
async fn settle(pool: &PgPool, args: &Args, given: &mut Given) {
    let refused_at_once = given.blocked;
    let files: Vec<FileId> = given.files.iter().map(|(file, _)| *file).collect();
    let progress = Progress::begin("settling");
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    loop {
        match run::settle(pool, args.merchant, |_| ()).await {
            // what is refused again is the same
            Ok(settled) => given.blocked = refused_at_once + settled.blocked,
            Err(error) => {
                given.failures.push(with_causes(&error));
                break;
            }
        }
        let open = match still_open(pool, args.merchant, &files).await {
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
            given.failures.push(format!("gave up after waiting {} s; is the service running?", args.wait));
            break;
        }
        progress.say(format!("waiting for the service: {open} lines"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.end();
}

/// Lines that wait for the service, and files that others are still booking.
async fn still_open(pool: &PgPool, merchant: MerchantId, files: &[FileId]) -> Result<u64, sqlx::Error> {
    Ok(evidence::waiting(pool, merchant, files).await? + run::unsettled(pool, merchant, files).await?)
}
