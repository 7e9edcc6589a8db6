//! The inbox of the PSPs' webhooks: an event is committed before it is acknowledged, and applied afterwards, in a
//! transaction of its own, by whoever gets to it.

mod arrival;
mod repo;

use arrival::Arrival;
use futures::future::join_all;
use money::{MerchantId, OperationId, PspAccountId};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::dispute::{self, Recorded};
use crate::engine::Engine;
use crate::failpoint::Failpoint;
use crate::merchant::PspAccount;
use crate::operation::{self, By, Effect, Finding, Named, OperationKind, OperationStatus, Recording};
use crate::psp::{
    self, DisputeEvidence, Event, Evidence, Expected, Judgement, Outcome, PayoutEvidence, Psp, PspReference,
    RefundEvidence, Subject, Why,
};

/// How many events are taken from a merchant's inbox at once.
const BATCH: i64 = 64;

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

/// What to do with an event that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It changed what we know of an operation, which became this.
    Applied(OperationId, &'static str, Option<&'static str>),
    /// It changed a dispute.
    Disputed(String),
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
    /// It could not be looked at: it stays in the inbox.
    Failed(String),
}

/// What an event says of an operation.
pub(crate) enum Word {
    /// It has ended so.
    Ends(Outcome),
    /// What cannot be, in words.
    Contradicts(String),
    /// It ends nothing by itself: whoever is in doubt asks the PSP for what is true now.
    DecidesNothing,
}

/// What an event that may end operations says.
enum Claim {
    Payment(Box<Evidence>),
    Refund(Box<RefundEvidence>),
    Payout(Box<PayoutEvidence>),
}

impl Claim {
    fn judge(&self, expected: &Expected) -> Judgement {
        match self {
            Self::Payment(evidence) => evidence.judge(expected),
            Self::Refund(evidence) => evidence.judge(expected),
            Self::Payout(evidence) => evidence.judge(expected),
        }
    }

    const fn operation_id(&self) -> Option<OperationId> {
        match self {
            Self::Payment(evidence) => evidence.operation_id,
            Self::Refund(evidence) => evidence.operation_id,
            Self::Payout(evidence) => evidence.operation_id,
        }
    }

    const fn reference(&self) -> &PspReference {
        match self {
            Self::Payment(evidence) => &evidence.reference,
            Self::Refund(evidence) => &evidence.reference,
            Self::Payout(evidence) => &evidence.reference,
        }
    }

    fn named(&self, row: &repo::Row) -> Named {
        Named {
            psp_account_id: row.psp_account_id,
            operation_id: self.operation_id(),
            reference: self.reference().clone(),
            kind: match self {
                Self::Payment(_) => OperationKind::Authorize,
                Self::Refund(_) => OperationKind::Refund,
                Self::Payout(_) => OperationKind::Payout,
            },
        }
    }
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
    Failpoint::WebhookCame.pass().await?;
    let is_new = repo::insert(pool, account.merchant_id, account.psp_account_id, &arrival).await?;
    Failpoint::WebhookKept.pass().await?;
    Ok(is_new)
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
/// All of them at once: what they say is recorded in few commits. One after the other they would take longer than payments
/// do, each of which brings several, and the inbox would grow for as long as the shop sells.
///
/// # Errors
/// When the inbox cannot be read or written. An event that fails by itself is tried again later.
pub async fn apply_due(pool: &PgPool, engine: &Engine, merchant: MerchantId) -> Result<usize, sqlx::Error> {
    let due = repo::take_due(pool, merchant, engine.lease(), BATCH).await?;
    if !due.is_empty() {
        Failpoint::WebhookTaken.pass().await?;
    }
    let claims: Vec<Result<Claim, Said>> = due.iter().map(claim).collect();
    let claimed = due.iter().zip(&claims).filter_map(|(row, claim)| Some(claim.as_ref().ok()?.named(row)));
    let named: Vec<Named> = claimed.collect();
    let mut concerned = operation::concerned(pool, merchant, &named).await?.into_iter();
    let claims =
        claims.into_iter().map(|claim| claim.map(|claim| (claim, concerned.next().unwrap_or_default())));
    let verdicts = due.iter().zip(claims).map(async |(row, claim)| match claim {
        Ok((claim, concerned)) => apply(pool, engine, merchant, &claim, &concerned).await,
        Err(Said::Dispute(evidence)) => disputed(pool, merchant, row.psp_account_id, &evidence).await,
        Err(Said::Nothing(verdict)) => verdict,
    });
    let verdicts = join_all(verdicts).await;
    for (row, verdict) in due.iter().zip(&verdicts) {
        if let Verdict::Failed(problem) = verdict {
            tracing::warn!(event_id = row.event_id, problem, "a webhook waits");
        }
    }
    if !due.is_empty() {
        Failpoint::WebhookApplied.pass().await?;
    }
    repo::settle(pool, merchant, &due, &verdicts).await?;
    Ok(due.len())
}

impl Verdict {
    /// Of what an event did to several operations, the heaviest is what became of it.
    const fn weight(&self) -> u8 {
        match self {
            Self::Ignored | Self::Parked | Self::Foreign => 0,
            Self::Stale(_) => 1,
            Self::Quarantined(_) => 2,
            Self::Applied(..) | Self::Disputed(_) => 3,
            // it has to be looked at again, whatever else it did
            Self::Failed(_) => 4,
        }
    }

    fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self::Failed(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}

/// What an event says that is about no operation.
enum Said {
    /// It tells of a dispute.
    Dispute(Box<DisputeEvidence>),
    /// Nothing: this is what to do with it.
    Nothing(Verdict),
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Self {
        Self::Nothing(verdict)
    }
}

/// What an event says of an operation; or what else it says.
fn claim(row: &repo::Row) -> Result<Claim, Said> {
    let event = read(row).map_err(Verdict::Quarantined)?;
    if event.livemode != (row.mode == "live") {
        return Err(Verdict::Quarantined("it is of the other mode".to_owned()).into());
    }
    match event.subject {
        Subject::Payment(evidence) => Ok(Claim::Payment(evidence)),
        Subject::Refund(evidence) => Ok(Claim::Refund(evidence)),
        Subject::Payout(evidence) => Ok(Claim::Payout(evidence)),
        Subject::Dispute(evidence) => Err(Said::Dispute(evidence)),
        Subject::Other => Err(Verdict::Ignored.into()),
    }
}

/// Applies what an event says to each operation that it concerns: what it did to one of them is what became of it.
async fn apply(
    pool: &PgPool,
    engine: &Engine,
    merchant: MerchantId,
    claim: &Claim,
    concerned: &[Result<Expected, operation::Error>],
) -> Verdict {
    let mut verdict = match claim.operation_id() {
        Some(_) => Verdict::Parked,
        None => Verdict::Foreign,
    };
    for expected in concerned {
        let next = match expected {
            Ok(expected) => apply_to(pool, engine, merchant, claim, expected).await,
            Err(error) => Verdict::failed(error),
        };
        if next.weight() > verdict.weight() {
            verdict = next;
        }
    }
    verdict
}

async fn apply_to(
    pool: &PgPool,
    engine: &Engine,
    merchant: MerchantId,
    claim: &Claim,
    expected: &Expected,
) -> Verdict {
    let operation_id = expected.operation_id;
    let instead = match word_of(claim.judge(expected)) {
        Word::Ends(outcome) => return record(engine, merchant, operation_id, outcome).await,
        Word::Contradicts(what) => Verdict::Quarantined(format!("it contradicts its operation: {what}")),
        Word::DecidesNothing => Verdict::Stale(Some("it decides nothing by itself")),
    };
    match operation::nudge(pool, merchant, operation_id).await {
        Ok(()) => instead,
        Err(error) => Verdict::failed(&error),
    }
}

/// Records what an event says of a dispute.
async fn disputed(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
    evidence: &DisputeEvidence,
) -> Verdict {
    let Some(payment) = &evidence.payment else {
        return Verdict::Quarantined("it names no payment".to_owned());
    };
    match dispute::record(pool, merchant, account, payment.as_str(), &evidence.word).await {
        Ok(Recorded::Now(status, _)) => Verdict::Disputed(format!("the dispute is now {}", status.as_str())),
        Ok(Recorded::Stale) => Verdict::Stale(None),
        // its payment's outcome may not be known yet
        Ok(Recorded::TooEarly) => Verdict::Parked,
        Ok(Recorded::NotOurs) => Verdict::Foreign,
        Ok(Recorded::Refused(why)) => Verdict::Quarantined(why),
        Err(error) => Verdict::failed(&error),
    }
}

pub(crate) fn word_of(judgement: Judgement) -> Word {
    match judgement {
        Judgement::Said(
            outcome @ (Outcome::Succeeded(_)
            | Outcome::Declined { .. }
            | Outcome::Unknown { why: Why::PartlyCaptured(_), .. }),
        ) => Word::Ends(outcome),
        Judgement::Said(Outcome::Unknown { why: Why::Mismatch(what), .. }) => Word::Contradicts(what),
        Judgement::Open { .. } | Judgement::Said(_) => Word::DecidesNothing,
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
) -> Verdict {
    let recording = Recording {
        operation_id,
        by: By::Evidence,
        finding: Finding::Answer(outcome),
        attempts: Vec::new(),
        attempt_fence: 0,
    };
    match engine.record(merchant, recording).await.map(|recorded| recorded.effect) {
        Ok(Effect::Now(status @ OperationStatus::NeedsReview)) => {
            tracing::error!(%operation_id, "needs a person: a webhook tells of what nobody here asked for");
            Verdict::Applied(operation_id, status.as_str(), None)
        }
        Ok(Effect::Now(status)) => Verdict::Applied(operation_id, status.as_str(), None),
        Ok(Effect::Arrived) => Verdict::Applied(operation_id, "arrived", None),
        Ok(Effect::LateSuccess) => {
            Verdict::Applied(operation_id, "late_success", Some("a late success: see the break"))
        }
        Ok(Effect::Twice) => Verdict::Applied(operation_id, "twice", Some("done twice: see the break")),
        Err(error) if error.is_foreign_reference() => {
            Verdict::Quarantined("the PSP's object is another operation's".to_owned())
        }
        Ok(Effect::Stale | Effect::Superseded) => Verdict::Stale(None),
        Err(error) => Verdict::failed(&error),
    }
}

/// The object and operation that an event names, for the inbox's columns.
fn subject_of(event: &Event) -> (Option<&str>, Option<OperationId>) {
    match &event.subject {
        Subject::Payment(evidence) => (Some(evidence.reference.as_str()), evidence.operation_id),
        Subject::Refund(evidence) => (Some(evidence.reference.as_str()), evidence.operation_id),
        Subject::Payout(evidence) => (Some(evidence.reference.as_str()), evidence.operation_id),
        Subject::Dispute(evidence) => (Some(evidence.word.psp_reference.as_str()), None),
        Subject::Other => (None, None),
    }
}
