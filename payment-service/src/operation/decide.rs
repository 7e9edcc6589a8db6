//! What a finding means for an operation and its payment: pure, decided on rows that are locked.

use std::time::Duration;

use ::wallet::wallet::{self, Split};
use ledger::account::Account;
use ledger::posting::{Posting, PostingError, Source};
use money::{Money, OperationId};
use time::OffsetDateTime;

use super::record::{By, Finding};
use super::state::{OperationEvent, OperationStatus};
use crate::http::stored;
use crate::outbox::{self, NewEvent};
use crate::payment::{Failure, NextAction, PaymentEvent, PaymentStatus, PaymentView};
use crate::psp::{Charge, Decline, Outcome, PspReference, decline};

/// An operation and its payment as they are under the lock.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub operation_id: OperationId,
    pub status: OperationStatus,
    pub fence: i64,
    pub takeovers: i32,
    pub payment: PaymentView,
    pub version: i32,
    /// The PSP's object, if one is known.
    pub psp_reference: Option<String>,
    /// The client's key whose stored response the operation completes.
    pub key: String,
    pub splits: Vec<Split>,
    pub now: OffsetDateTime,
}

/// What is to be done about a finding.
#[derive(Debug)]
pub(super) enum Decision {
    /// Somebody else owns the operation now: the answer is evidence, and nothing more.
    Superseded,
    /// It says nothing new.
    Stale,
    /// The operation ended as not having happened, and this says that it did.
    LateSuccess,
    /// The operation happened, and this says that it happened once more, in another object of the PSP's.
    SecondCharge,
    /// The operation changes.
    Change(Box<Change>),
}

/// What an operation and its payment become.
#[derive(Debug)]
pub(super) struct Change {
    pub status: OperationStatus,
    pub reason: Option<String>,
    pub psp_reference: Option<PspReference>,
    pub psp_movement: Option<String>,
    /// When a worker looks at it next; none when it has ended.
    pub due_in: Option<Duration>,
    /// None where the payment stays as it is.
    pub payment: Option<PaymentView>,
    pub event: Option<NewEvent>,
    pub posting: Option<Posting>,
    /// What the client is answered from now on.
    pub response: Option<(u16, String)>,
}

/// How often the PSP is asked about a buyer who has to act, beside its webhooks.
const ACTION_POLL: Duration = Duration::from_secs(60);
/// The longest wait between two looks at an operation in doubt: the hourly housekeeping.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// When to look next at an operation in doubt that has been taken over so often.
fn next_look(takeovers: i32) -> Duration {
    let exponent = takeovers.clamp(0, 12).cast_unsigned();
    Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(exponent)).min(LONGEST_WAIT)
}

/// Decides what `finding` means.
///
/// # Errors
/// When the books of the outcome cannot balance, which the checks of a request prevent.
pub(super) fn decide(known: &Known, by: By, finding: &Finding) -> Result<Decision, PostingError> {
    // whoever says it, and however late: money that was taken is never dropped
    if let Some(contradiction) = contradiction(known, finding) {
        return Ok(contradiction);
    }
    if let By::Owner { fence } = by
        && fence != known.fence
    {
        return Ok(Decision::Superseded);
    }
    if is_of_another_object(known, finding) {
        return Ok(Decision::Stale);
    }
    let Ok(status) = known.status.apply(event_of(known, by, finding)) else {
        return Ok(Decision::Stale);
    };
    let change = match finding {
        Finding::Answer(Outcome::Succeeded(charge)) => succeed(known, status, charge)?,
        Finding::Answer(Outcome::Declined { reference, .. }) if status == OperationStatus::Expired => {
            expire(known, status, reference.clone())
        }
        Finding::Answer(Outcome::Declined { reference, decline }) => {
            fail(known, status, reference.clone(), decline)
        }
        Finding::Answer(Outcome::NotSent { code, message }) if status == OperationStatus::Declined => {
            let decline = Decline { code: code.as_str(), decline_code: None, message: message.clone() };
            fail(known, status, None, &decline)
        }
        Finding::Answer(Outcome::RequiresAction { reference, redirect_url }) => {
            require_action(known, status, reference, redirect_url.as_deref())
        }
        Finding::Answer(Outcome::NotSent { code, .. }) => doubt(known, status, None, code.as_str()),
        Finding::Answer(Outcome::Unknown { reference, why }) => {
            doubt(known, status, reference.clone(), why.as_str())
        }
        Finding::GiveUp { reason } => give_up(known, status, reason),
    };
    Ok(Decision::Change(Box::new(change)))
}

/// A charge that cannot be: of an operation that ended without one, or one more of an operation that has one.
fn contradiction(known: &Known, finding: &Finding) -> Option<Decision> {
    let Finding::Answer(Outcome::Succeeded(charge)) = finding else { return None };
    match known.status {
        OperationStatus::Declined | OperationStatus::Expired => Some(Decision::LateSuccess),
        OperationStatus::Succeeded | OperationStatus::Reversed => {
            let is_other = known.psp_reference.as_deref() != Some(charge.reference.as_str());
            is_other.then_some(Decision::SecondCharge)
        }
        OperationStatus::Created
        | OperationStatus::Sending
        | OperationStatus::RequiresAction
        | OperationStatus::Unknown
        | OperationStatus::NeedsReview => None,
    }
}

/// That one object of the PSP's is closed says nothing of the one that the operation waits for.
fn is_of_another_object(known: &Known, finding: &Finding) -> bool {
    let Finding::Answer(Outcome::Declined { reference: Some(closed), .. }) = finding else { return false };
    known.psp_reference.as_deref().is_some_and(|awaited| awaited != closed.as_str())
}

fn event_of(known: &Known, by: By, finding: &Finding) -> OperationEvent {
    match finding {
        Finding::Answer(Outcome::Succeeded(_)) => OperationEvent::Succeeded,
        // whoever cancelled it, and whoever says so: the buyer had not acted
        Finding::Answer(Outcome::Declined { decline, .. })
            if known.status == OperationStatus::RequiresAction && decline.code == decline::CANCELED =>
        {
            OperationEvent::Expired
        }
        Finding::Answer(Outcome::Declined { .. }) => OperationEvent::Declined,
        Finding::Answer(Outcome::RequiresAction { .. }) => OperationEvent::ActionRequired,
        // "Not sent" proves that nothing happened only while nobody else can have sent it: it is the first owner's word.
        Finding::Answer(Outcome::NotSent { .. }) => {
            let first = by == By::Owner { fence: 1 } && known.status == OperationStatus::Sending;
            if first { OperationEvent::Declined } else { OperationEvent::Doubt }
        }
        Finding::Answer(Outcome::Unknown { .. }) => OperationEvent::Doubt,
        Finding::GiveUp { .. } => OperationEvent::GivenUp,
    }
}

/// The payment after `event`; the operation's own table has already allowed it, so a refusal leaves it as it is.
fn moved(known: &Known, event: PaymentEvent) -> PaymentView {
    let status = known.payment.status.apply(event).unwrap_or(known.payment.status);
    PaymentView { status, updated_at: known.now, next_action: None, ..known.payment.clone() }
}

fn succeed(known: &Known, status: OperationStatus, charge: &Charge) -> Result<Change, PostingError> {
    let mut payment =
        moved(known, if charge.captured { PaymentEvent::Captured } else { PaymentEvent::Authorized });
    let mut posting = None;
    if charge.captured {
        payment.captured_amount = payment.amount;
        posting = Some(capture_posting(known)?);
    }
    let kind = if charge.captured { "payment.captured" } else { "payment.authorized" };
    Ok(Change {
        status,
        reason: None,
        psp_reference: Some(charge.reference.clone()),
        psp_movement: charge.movement.clone(),
        due_in: None,
        event: Some(outbox::changed(kind, &payment, known.operation_id, None)),
        response: Some(stored::payment(&payment)),
        payment: Some(payment),
        posting,
    })
}

/// The books of a full capture: the PSP owes us the amount, we owe the sellers their nets.
fn capture_posting(known: &Known) -> Result<Posting, PostingError> {
    let source = Source { table: "operation", id: known.operation_id.as_uuid() };
    let amount = Money::new(known.payment.amount, known.payment.currency);
    let posting = Posting::builder(source, "capture", known.now.date())
        .debit(Account::PspReceivable(known.payment.psp_account_id), amount);
    wallet::credit_capture(posting, amount.currency, &known.splits).build()
}

fn fail(
    known: &Known,
    status: OperationStatus,
    reference: Option<PspReference>,
    decline: &Decline,
) -> Change {
    let mut payment = moved(known, PaymentEvent::Failed);
    payment.failure = Some(Failure {
        code: decline.code.to_owned(),
        decline_code: decline.decline_code.clone(),
        message: decline.message.clone(),
    });
    Change {
        status,
        reason: Some(decline.code.to_owned()),
        psp_reference: reference,
        psp_movement: None,
        due_in: None,
        event: Some(outbox::changed("payment.failed", &payment, known.operation_id, Some(decline.code))),
        response: Some(stored::payment(&payment)),
        payment: Some(payment),
        posting: None,
    }
}

fn expire(known: &Known, status: OperationStatus, reference: Option<PspReference>) -> Change {
    let payment = moved(known, PaymentEvent::Expired);
    let reason = "buyer_did_not_act";
    Change {
        status,
        reason: Some(reason.to_owned()),
        psp_reference: reference,
        psp_movement: None,
        due_in: None,
        event: Some(outbox::changed("payment.expired", &payment, known.operation_id, Some(reason))),
        response: Some(stored::payment(&payment)),
        payment: Some(payment),
        posting: None,
    }
}

fn require_action(
    known: &Known,
    status: OperationStatus,
    reference: &PspReference,
    redirect_url: Option<&str>,
) -> Change {
    let mut payment = moved(known, PaymentEvent::ActionRequired);
    payment.next_action = redirect_url.map(|url| NextAction { redirect_url: url.to_owned() });
    let news = known.payment.status != PaymentStatus::RequiresAction;
    Change {
        status,
        reason: None,
        psp_reference: Some(reference.clone()),
        psp_movement: None,
        due_in: Some(ACTION_POLL.max(next_look(known.takeovers))),
        event: news.then(|| outbox::changed("payment.requires_action", &payment, known.operation_id, None)),
        response: news.then(|| stored::payment(&payment)),
        payment: news.then_some(payment),
        posting: None,
    }
}

fn doubt(known: &Known, status: OperationStatus, reference: Option<PspReference>, reason: &str) -> Change {
    let news = status != known.status;
    Change {
        status,
        reason: Some(reason.to_owned()),
        // the object that is waited for stays the one
        psp_reference: reference.filter(|_| known.psp_reference.is_none()),
        psp_movement: None,
        due_in: Some(next_look(known.takeovers)),
        event: news.then(|| {
            outbox::changed("payment.outcome_unknown", &known.payment, known.operation_id, Some(reason))
        }),
        response: Some(stored::accepted()),
        payment: None,
        posting: None,
    }
}

fn give_up(known: &Known, status: OperationStatus, reason: &str) -> Change {
    Change {
        status,
        reason: Some(reason.to_owned()),
        psp_reference: None,
        psp_movement: None,
        due_in: None,
        event: Some(outbox::changed(
            "payment.needs_review",
            &known.payment,
            known.operation_id,
            Some(reason),
        )),
        response: None,
        payment: None,
        posting: None,
    }
}
