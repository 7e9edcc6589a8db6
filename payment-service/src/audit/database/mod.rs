//! The statements of the audit, one per check.
//!
//! Each answers how many it looked at, how many of these offend, and a few of those. What it looks at is what should be
//! there by other rows, so that a row that is missing offends too.

mod answers;
mod bookings;
mod books;
mod card_numbers;
mod disputes;
mod events;
mod guards;
mod operations;
mod orders;
mod payments;
mod payouts;
mod settlement;
mod tenants;

use money::MerchantId;
use sqlx::{PgPool, PgTransaction};

use super::{Check, Options};

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub looked: i64,
    pub offending: i64,
    /// A few of them.
    pub offenders: Vec<String>,
    pub figures: Vec<(String, Figure)>,
    pub note: Option<String>,
    /// There was no way to look; the note says why.
    pub failed: bool,
}

/// A figure beside the count, and how those of several merchants become one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Figure {
    Sum(i64),
    Max(i64),
}

/// What most statements answer.
struct Counted {
    looked: i64,
    offending: i64,
    offenders: Vec<String>,
}

impl From<Counted> for Found {
    fn from(counted: Counted) -> Self {
        let Counted { looked, offending, offenders } = counted;
        Self { looked, offending, offenders, ..Self::default() }
    }
}

impl Found {
    fn with(mut self, name: &str, figure: Figure) -> Self {
        self.figures.push((name.to_owned(), figure));
        self
    }

    /// Counts one that was looked at in memory.
    pub(super) fn judge(&mut self, holds: bool, id: impl FnOnce() -> String) {
        self.looked += 1;
        if !holds {
            self.offend(id);
        }
    }

    pub(super) fn offend(&mut self, id: impl FnOnce() -> String) {
        self.offending += 1;
        if self.offenders.len() < super::NAMED {
            self.offenders.push(id());
        }
    }
}

/// Every merchant, oldest first.
pub(super) async fn merchants(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select merchant_id as "merchant_id: MerchantId" from merchant order by merchant_id"#
    )
    .fetch_all(pool)
    .await
}

/// A snapshot that changes nothing and waits for nobody. Large shops take longer than a request may.
///
/// Every check reads whole tables, so joins row by row are left to where there is no other way: believing a table to be
/// small that nobody has analysed yet, the planner would make the check of a day's payments take hours.
pub(super) async fn snapshot(pool: &PgPool) -> Result<PgTransaction<'static>, sqlx::Error> {
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await?;
    sqlx::raw_sql(
        "set local statement_timeout = '30min'; set local idle_in_transaction_session_timeout = '5min';
         set local enable_nestloop = off",
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx)
}

/// Asks a check of one merchant.
pub(super) async fn look(
    pool: &PgPool,
    check: Check,
    merchant: MerchantId,
    options: &Options,
) -> Result<Found, sqlx::Error> {
    let mut tx = snapshot(pool).await?;
    let db = &mut *tx;
    let age = options.max_open_age;
    let found = match check {
        Check::OneLivePayment => orders::one_live_payment(db, merchant).await,
        Check::ChargedOnce => orders::charged_once(db, merchant).await,
        Check::AskedOnce => orders::asked_once(db, merchant).await,
        Check::PspObjectOnce => orders::psp_object_once(db, merchant).await,
        Check::AnswerStored => answers::stored(db, merchant).await,
        Check::AnswerTrue => answers::truthful(db, merchant).await,
        Check::ZeroSum => books::zero_sum(db, merchant).await,
        Check::Legs => books::legs(db, merchant).await,
        Check::EntryCurrency => books::entry_currency(db, merchant).await,
        Check::Balances => books::balances(db, merchant).await,
        Check::TrialBalance => books::trial_balance(db, merchant).await,
        Check::Floors => books::floors(db, merchant).await,
        Check::Bounds => payments::bounds(db, merchant).await,
        Check::Splits => payments::splits(db, merchant).await,
        Check::Sums => payments::sums(db, merchant).await,
        Check::Versions => payments::versions(db, merchant).await,
        Check::Path => payments::path(db, merchant).await,
        Check::OperationAgrees => operations::agrees(db, merchant).await,
        Check::CapturePosted => bookings::capture_posted(db, merchant).await,
        Check::RefundPosted => bookings::refund_posted(db, merchant).await,
        Check::DisputePosted => disputes::posted(db, merchant).await,
        Check::PayoutPosted => payouts::posted(db, merchant).await,
        Check::PostedOnce => bookings::posted_once(db, merchant).await,
        Check::SettlementMoved => bookings::settlement_moved(db, merchant).await,
        Check::WebhookAgrees => events::webhook_agrees(db, merchant).await,
        Check::WebhookOnce => events::webhook_once(db, merchant).await,
        Check::PublishedInOrder => events::published_in_order(db, merchant).await,
        Check::EventIdOnce => events::event_id_once(db, merchant).await,
        Check::OutboxAge => events::outbox_age(db, merchant, age).await,
        Check::Fences => operations::fences(db, merchant).await,
        Check::OwnersWord => operations::owners_word(db, merchant).await,
        Check::OpenOperations => operations::left_open(db, merchant, age).await,
        Check::OpenWebhooks => events::left_open(db, merchant, age).await,
        Check::OpenSettlement => settlement::left_open(db, merchant, age).await,
        Check::Files => settlement::files(db, merchant).await,
        Check::Lines => settlement::lines(db, merchant).await,
        Check::Bookings => settlement::bookings(db, merchant).await,
        Check::PayoutsToBank => settlement::payouts(db, merchant).await,
        Check::BankStatements => settlement::bank(db, merchant).await,
        Check::Clearing => bookings::clearing(db, merchant).await,
        Check::Tenants => tenants::references(db, merchant).await,
        Check::CardNumbers => card_numbers::look(db, merchant).await,
        Check::KnownMerchants
        | Check::AppendOnly
        | Check::Privileges
        | Check::SandboxChargedOnce
        | Check::SandboxEffects
        | Check::AcknowledgedSurvives
        | Check::RefusedMovedNothing
        | Check::HashChain => Ok(Found::default()),
    }?;
    tx.rollback().await?;
    Ok(found)
}

/// Asks a check of the database as a whole.
pub(super) async fn look_at_all(
    pool: &PgPool,
    check: Check,
    options: &Options,
) -> Result<Found, sqlx::Error> {
    let mut tx = snapshot(pool).await?;
    let db = &mut *tx;
    let found = match check {
        Check::KnownMerchants => tenants::known_merchants(db).await,
        Check::AppendOnly => guards::triggers(db).await,
        Check::Privileges => guards::privileges(db, &options.app_role).await,
        _ => Ok(Found::default()),
    }?;
    tx.rollback().await?;
    Ok(found)
}

/// Milliseconds, for a statement's parameter.
fn in_ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
