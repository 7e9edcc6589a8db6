//! The audit: whether what must always hold does, in the rows that are there.
//!
//! Each [`Check`] is one statement in a snapshot of its own, read-only and without locks, so that the audit can run beside
//! a live service. It looks at everything that should be as the check says, not only at what is there: a capture that was
//! never booked offends as one does that was booked wrongly. Merchants are listed first; a check is then asked of each,
//! and its figures are added up. With the address of the PSP sandbox, what the service believes is compared with what the
//! sandbox really did (`sandbox.rs`).
//!
//! The result is plain data: a [`Report`].

mod check;
mod database;
mod report;
mod sandbox;

use std::collections::BTreeMap;
use std::time::Duration;

use money::MerchantId;
use sqlx::PgPool;
use time::OffsetDateTime;

pub use check::Check;
use database::Found;
pub use report::{CheckReport, Offender, Report, Verdict};
pub use sandbox::SandboxError;

/// How many offenders of a check are named.
const NAMED: usize = 5;

/// What is audited.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only this merchant; none: all of them.
    pub merchant: Option<MerchantId>,
    /// Address of the PSP sandbox, without a slash at its end.
    pub sandbox: Option<String>,
    /// How old something unfinished may be before it counts as left behind.
    pub max_open_age: Duration,
    /// The role that the service runs as.
    pub app_role: String,
}

/// Why there is no report at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The merchants could not be listed.
    #[error("the merchants cannot be listed")]
    Merchants(#[from] sqlx::Error),
    /// There is no such merchant.
    #[error("there is no merchant {0}")]
    NoSuchMerchant(MerchantId),
}

/// Audits. A check that fails by itself is reported as failed; the others go on.
///
/// # Errors
/// When the merchants cannot be listed, or there is none with the given id.
pub async fn run(pool: &PgPool, options: &Options) -> Result<Report, Error> {
    let at = OffsetDateTime::now_utc();
    let mut merchants = database::merchants(pool).await?;
    if let Some(only) = options.merchant {
        merchants.retain(|merchant| *merchant == only);
        if merchants.is_empty() {
            return Err(Error::NoSuchMerchant(only));
        }
    }
    let mut found: BTreeMap<Check, CheckReport> = BTreeMap::new();
    for &merchant in &merchants {
        for check in Check::of_a_merchant() {
            let result = database::look(pool, check, merchant, options).await;
            note(&mut found, check, Some(merchant), result);
        }
    }
    for check in Check::of_the_database() {
        note(&mut found, check, None, database::look_at_all(pool, check, options).await);
    }
    if let Some(address) = &options.sandbox {
        sandbox::compare(pool, address, &merchants, options.merchant.is_some(), &mut found).await;
    }
    let checks = Check::ALL
        .into_iter()
        .map(|check| found.remove(&check).unwrap_or_else(|| CheckReport::unseen(check)))
        .collect();
    Ok(Report { at, merchants: merchants.len(), checks })
}

/// Adds what a check found to what it found before.
fn note(
    found: &mut BTreeMap<Check, CheckReport>,
    check: Check,
    merchant: Option<MerchantId>,
    result: Result<Found, sqlx::Error>,
) {
    let report = found.entry(check).or_insert_with(|| CheckReport::empty(check));
    match result {
        Ok(result) => report.add(merchant, result),
        Err(error) => report.fail(&error),
    }
}
