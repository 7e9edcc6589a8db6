//! The inbox of the PSPs' webhooks: an event is committed before it is acknowledged, and applied afterwards, in a
//! transaction of its own, by whoever gets to it.

mod arrival;
mod repo;

use arrival::Arrival;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use money::{MerchantId, OperationId};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::engine::{Engine, PayError};
use crate::merchant::PspAccount;
use crate::operation::{self, By, Effect, Finding, Recording};
use crate::psp::{self, Event, Judgement, Outcome, Psp, Subject, Why};

/// How many events are taken from a merchant's inbox at once.
const BATCH: i64 = 64;

/// How many of them are applied at once: with fewer connections than the pool has.
const SIDE_BY_SIDE: usize = 6;

/// Why a webhook is not acknowledged. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It does not carry the account's signature, or not for this moment.
    #[error("the webhook's signature is not valid")]
    Signature(#[from] psp::SignatureError),
    /// Postgres failed; the PSP will deliver it again.
    #[error("webhook: the database failed")]
    Database(#[from] sqlx::Error),
}

/// Why an event could not be applied; it stays in the inbox.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("the operation could not be read")]
    Operation(#[from] operation::Error),
    #[error("what it says could not be recorded")]
    Record(#[from] PayError),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// What to do with an event that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It changed what we know.
    Applied(Option<&'static str>),
    /// It changed nothing.
    Stale(Option<&'static str>),
    /// It is of a type that is not used.
    Ignored,
    /// It is about nothing we know, yet.
    Parked,
    /// It names no operation of ours, and nothing that we know: of somebody else who uses the account, so far.
    Foreign,
    /// It is for a person.
    Quarantined(String),
}

/// Verifies a webhook and commits it to the inbox: what the PSP has signed is kept, also where it cannot be read, for a
/// person. Answers whether it is new; a repeat changes nothing.
///
/// # Errors
/// When it is not genuine, or could not be committed.
pub async fn receive(
    pool: &PgPool,
    account: &PspAccount,
    signature: &str,
    raw_body: &[u8],
    now: OffsetDateTime,
) -> Result<bool, ReceiveError> {
    psp::verify_webhook(&account.account, signature, raw_body, now)?;
    let arrival = Arrival::of(account.account.psp, raw_body, now);
    if let Err(problem) = &arrival.event {
        tracing::warn!(
            event_id = arrival.event_id,
            problem,
            "a signed webhook cannot be read: it is kept for a person"
        );
    }
    Ok(repo::insert(pool, account.merchant_id, account.psp_account_id, &arrival).await?)
}

/// Merchants that have events to apply.
///
/// # Errors
/// When Postgres fails.
pub async fn merchants_with_due(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    repo::merchants_with_due(pool).await
}

/// Applies up to a batch of a merchant's due events. Answers how many were looked at.
///
/// # Errors
/// When the inbox cannot be read or written. An event that fails by itself is tried again later.
pub async fn apply_due(pool: &PgPool, engine: &Engine, merchant: MerchantId) -> Result<usize, sqlx::Error> {
    let due = repo::take_due(pool, merchant, BATCH).await?;
    // side by side, so that what they record goes together
    stream::iter(&due)
        .map(Ok)
        .try_for_each_concurrent(SIDE_BY_SIDE, |row| apply_and_settle(pool, engine, merchant, row))
        .await?;
    Ok(due.len())
}

async fn apply_and_settle(
    pool: &PgPool,
    engine: &Engine,
    merchant: MerchantId,
    row: &repo::Row,
) -> Result<(), sqlx::Error> {
    match apply(pool, engine, merchant, row).await {
        Ok(verdict) => repo::settle(pool, merchant, row, &verdict).await,
        Err(error) => {
            tracing::warn!(
                event_id = row.event_id,
                error = &error as &dyn std::error::Error,
                "a webhook waits"
            );
            repo::put_back(pool, merchant, row, &error.to_string()).await
        }
    }
}

async fn apply(
    pool: &PgPool,
    engine: &Engine,
    merchant: MerchantId,
    row: &repo::Row,
) -> Result<Verdict, ApplyError> {
    let event = match read(row) {
        Ok(event) => event,
        Err(problem) => return Ok(Verdict::Quarantined(problem)),
    };
    if event.livemode != (row.mode == "live") {
        return Ok(Verdict::Quarantined("it is of the other mode".to_owned()));
    }
    let Subject::Payment(evidence) = event.subject else {
        return Ok(Verdict::Ignored);
    };
    let reference = evidence.reference.as_str();
    let operation_id = match evidence.operation_id {
        Some(id) => Some(id),
        None => operation::find_by_reference(pool, merchant, row.psp_account_id, reference).await?,
    };
    let Some(operation_id) = operation_id else { return Ok(Verdict::Foreign) };
    let Some(expected) = operation::expected(pool, merchant, row.psp_account_id, operation_id).await? else {
        return Ok(Verdict::Parked);
    };
    match evidence.judge(&expected) {
        Judgement::Said(outcome @ (Outcome::Succeeded(_) | Outcome::Declined { .. })) => {
            record(engine, merchant, operation_id, outcome).await
        }
        Judgement::Said(Outcome::Unknown { why: Why::Mismatch(what), .. }) => {
            operation::nudge(pool, merchant, operation_id).await?;
            Ok(Verdict::Quarantined(format!("it contradicts its operation: {what}")))
        }
        // It ends nothing by itself: whoever is in doubt asks the PSP for what is true now.
        Judgement::Open { .. } | Judgement::Said(_) => {
            operation::nudge(pool, merchant, operation_id).await?;
            Ok(Verdict::Stale(Some("it decides nothing by itself")))
        }
    }
}

fn read(row: &repo::Row) -> Result<Event, String> {
    let psp: Psp = row.psp.parse().map_err(|_| format!("unknown PSP {}", row.psp))?;
    psp::parse_event(psp, row.payload.to_string().as_bytes()).map_err(|error| error.to_string())
}

async fn record(
    engine: &Engine,
    merchant: MerchantId,
    operation_id: OperationId,
    outcome: Outcome,
) -> Result<Verdict, ApplyError> {
    let recording = Recording {
        operation_id,
        by: By::Evidence,
        finding: Finding::Answer(outcome),
        attempts: Vec::new(),
        attempt_fence: 0,
    };
    let recorded = match engine.record(merchant, recording).await {
        Err(error) if error.is_foreign_reference() => {
            return Ok(Verdict::Quarantined("the PSP's object is another operation's".to_owned()));
        }
        recorded => recorded?,
    };
    Ok(match recorded.effect {
        Effect::Now(_) => Verdict::Applied(None),
        Effect::LateSuccess => Verdict::Applied(Some("a late success: see the break")),
        Effect::SecondCharge => Verdict::Applied(Some("a second charge: see the break")),
        Effect::Stale | Effect::Superseded => Verdict::Stale(None),
    })
}

/// The object and operation that an event names, for the inbox's columns.
fn subject_of(event: &Event) -> (Option<&str>, Option<OperationId>) {
    match &event.subject {
        Subject::Payment(evidence) => (Some(evidence.reference.as_str()), evidence.operation_id),
        Subject::Other => (None, None),
    }
}
