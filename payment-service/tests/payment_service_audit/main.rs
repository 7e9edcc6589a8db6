//! The audit: silent over a shop that is right, and loud about each way in which one can be wrong.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as tests do"
)]

mod clean;
mod guards;
mod sandbox;
mod shop;
mod tampering;

use std::collections::BTreeSet;
use std::time::Duration;

use money::MerchantId;
use payment_service::audit::{self, Check, Options, Report, Verdict};
use sqlx::PgPool;

fn options(merchant: Option<MerchantId>) -> Options {
    Options {
        merchant,
        sandbox: None,
        max_open_age: Duration::from_secs(3600),
        // every server has it, and it may do nothing with tables
        app_role: "pg_signal_backend".to_owned(),
    }
}

async fn report_on(pool: &PgPool, options: &Options) -> Report {
    audit::run(pool, options).await.unwrap()
}

fn checks(report: &Report, verdict: Verdict) -> BTreeSet<Check> {
    report.checks.iter().filter(|check| check.verdict == verdict).map(|check| check.check).collect()
}
