//! What a finding means for an operation and its payment: pure, decided on rows that are locked.

mod authorize;
mod capture;
mod refund;
mod void;

use std::time::Duration;

use ::wallet::wallet::Split;
use ledger::posting::{Posting, PostingError, Source};
use money::{Money, OperationId, SellerId};
use time::OffsetDateTime;

use super::record::{By, Finding};
use super::state::{OperationEvent, OperationStatus};
use super::{OperationKind, OperationView, Standing};
use crate::draw::GiveBack;
use crate::http::stored;
use crate::outbox::{self, NewEvent};
use crate::payment::{Failure, PaymentEvent, PaymentStatus, PaymentView, SplitView};
use crate::payout::PayoutView;
use crate::psp::{Decline, Outcome, PspReference, Success, Why, decline};

/// An operation and its payment as they are under the lock.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub operation_id: OperationId,
    pub kind: OperationKind,
    pub status: OperationStatus,
    /// Why it stands so.
    pub reason: Option<String>,
    pub amount: i64,
    pub last_capture: Option<bool>,
    pub fence: i64,
    pub takeovers: i32,
    pub created_at: OffsetDateTime,
    pub payment: PaymentView,
    pub version: i32,
    /// Whether a capture or void of the payment is under way. Known of its authorisation alone.
    pub has_open_change: bool,
    /// The PSP's object, if one is known.
    pub psp_reference: Option<String>,
    /// The client's key whose stored response the operation completes.
    pub key: String,
    /// The payment's, in their order.
    pub splits: Vec<Split>,
    /// How a capture or refund falls on them; empty for others.
    pub shares: Vec<Share>,
    pub now: OffsetDateTime,
}

/// What of a capture or refund falls on one split, and how that split stands.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub split_no: i16,
    pub seller: SellerId,
    pub amount: i64,
    /// What of the amount is the platform's.
    pub platform_fee: i64,
    pub sums: SplitSums,
}

/// What has become of a split so far, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SplitSums {
    pub captured: i64,
    pub refunded: i64,
    pub reserved: i64,
    /// What of the platform's fee goes back with what is refunded and reserved.
    pub refunded_fee: i64,
}

impl Share {
    /// What of it is the seller's.
    pub const fn net(&self) -> i64 {
        self.amount - self.platform_fee
    }
}

/// What of an operation tells whether a finding says anything new of it, whatever it is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand<'a> {
    pub kind: OperationKind,
    pub status: OperationStatus,
    pub fence: i64,
    /// Why it stands so.
    pub reason: Option<&'a str>,
    /// The PSP's object, if one is known.
    pub psp_reference: Option<&'a str>,
}

/// What is to be done about a finding.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Somebody else owns the operation now: the answer is evidence, and nothing more.
    Superseded,
    /// It says nothing new.
    Stale,
    /// The operation ended as not having happened, and this says that it did.
    LateSuccess,
    /// The operation happened, and this says that it happened once more, in another object of the PSP's.
    Twice,
    /// The operation changes.
    Change(Box<Change>),
}

/// What an operation and its payment or payout become.
#[derive(Debug)]
pub(crate) struct Change {
    pub status: OperationStatus,
    pub reason: Option<String>,
    /// Why it failed, where the payment does not say so.
    pub failure: Option<Failure>,
    pub psp_reference: Option<PspReference>,
    pub psp_movement: Option<String>,
    /// When a worker looks at it next; none when it has ended.
    pub due_in: Option<Duration>,
    /// None where the payment stays as it is.
    pub payment: Option<PaymentView>,
    /// None where the payout stays as it is.
    pub payout: Option<PayoutView>,
    /// Splits that change, by their number.
    pub splits: Vec<(i16, SplitSums)>,
    pub event: Option<NewEvent>,
    /// What is posted.
    pub postings: Vec<Posting>,
    /// What a seller gets back beside it, which depends on what is in their purse.
    pub give_back: Option<GiveBack>,
    /// What the client is answered from now on.
    pub response: Option<(u16, String)>,
    /// The payment's authorisation waits for a buyer no longer: the PSP's object that the payment turned out to be.
    pub ends_wait: Option<PspReference>,
}

/// How often the PSP is asked about a buyer who has to act, beside its webhooks.
const ACTION_POLL: Duration = Duration::from_secs(60);
/// The longest wait between two looks at an operation in doubt: the hourly housekeeping.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// When a hold is looked at again: PSPs let go what is not captured by then, and need not tell.
const HOLD: Duration = Duration::from_secs(7 * 24 * 3600);

/// When to look next at an operation in doubt that has been taken over so often.
pub(crate) fn next_look(takeovers: i32) -> Duration {
    let exponent = takeovers.clamp(0, 12).cast_unsigned();
    Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(exponent)).min(LONGEST_WAIT)
}

/// Decides what `finding` means.
///
/// # Errors
/// When the books of the outcome cannot balance, which the checks of a request prevent.
pub(crate) fn decide(known: &Known, by: By, finding: &Finding) -> Result<Decision, PostingError> {
    let stand = known.stand();
    if let Some(decision) = old_news(&stand, by, finding) {
        return Ok(decision);
    }
    if is_of_what_follows(known, finding) {
        return Ok(Decision::Stale);
    }
    if let Finding::Answer(Outcome::Unknown { reference, why: Why::PartlyCaptured(taken) }) = finding {
        return Ok(partly_captured(known, *taken, reference.as_ref()));
    }
    let event = match void::has_nothing_to_end(known, finding) {
        true => OperationEvent::Declined,
        false => event_of(&stand, by, finding, can_be_taken_back(known)),
    };
    let Ok(status) = known.status.apply(event) else {
        return Ok(Decision::Stale);
    };
    let change = match finding {
        Finding::Answer(Outcome::Succeeded(_)) if event == OperationEvent::Declined => {
            fail(known, status, None, &void::nothing_to_end())
        }
        Finding::Answer(Outcome::Succeeded(success)) => succeed(known, status, success)?,
        Finding::Answer(Outcome::Declined { reference, decline }) => {
            fail(known, status, reference.clone(), decline)
        }
        Finding::Answer(Outcome::NotSent { code, message }) if status == OperationStatus::Declined => {
            let decline = Decline { code: code.as_str(), decline_code: None, message: message.clone() };
            fail(known, status, None, &decline)
        }
        Finding::Answer(Outcome::RequiresAction { reference, redirect_url }) => {
            authorize::require_action(known, status, reference, redirect_url.as_deref())
        }
        Finding::Answer(Outcome::NotSent { code, .. }) => doubt(known, status, None, code.as_str()),
        Finding::Answer(Outcome::Unknown { why: Why::Processing, .. })
            if known.status == OperationStatus::RequiresAction =>
        {
            authorize::acted(known, status)
        }
        Finding::Answer(Outcome::Unknown { reference, why }) => {
            doubt(known, status, reference.clone(), why.as_str())
        }
        Finding::GiveUp { reason } => give_up(known, status, reason),
    };
    Ok(Decision::Change(Box::new(change)))
}

/// What it means that the PSP has let go what was held only after `taken` of it was captured. Of what nobody here asked for, its
/// order is not free, and the settlement file tells whose money it is: people have to know of it, also those who were asked
/// for another reason. They are told once.
fn partly_captured(known: &Known, taken: i64, reference: Option<&PspReference>) -> Decision {
    let reason = Why::PARTLY_CAPTURED;
    let reference = reference.filter(|_| known.kind.has_object()).cloned();
    let is_told = known.reason.as_deref() == Some(reason);
    let is_ours = can_be_taken_back(known) && taken <= known.payment.captured_amount;
    let event = match known.status {
        OperationStatus::NeedsReview if is_told => return Decision::Stale,
        OperationStatus::NeedsReview => {
            let reason = Some(reason.to_owned());
            let change = Change { reason, psp_reference: reference, ..change(known.status) };
            return Decision::Change(Box::new(change));
        }
        OperationStatus::Succeeded if is_ours => OperationEvent::Reversed,
        // its first sender may still be at work: in doubt first
        OperationStatus::Sending => OperationEvent::Doubt,
        _ => OperationEvent::GivenUp,
    };
    let Ok(status) = known.status.apply(event) else { return Decision::Stale };
    Decision::Change(Box::new(match event {
        OperationEvent::Reversed => authorize::let_go(known, status, reference),
        OperationEvent::Doubt => doubt(known, status, reference, reason),
        _ => Change { psp_reference: reference, ..give_up(known, status, reason) },
    }))
}

/// What is to be done about a finding that changes no operation, whatever that is for; none where it may change this one.
pub(crate) fn old_news(stand: &Stand<'_>, by: By, finding: &Finding) -> Option<Decision> {
    // whoever says it, and however late: money that was moved is never dropped
    if let Some(contradiction) = contradiction(stand, finding) {
        return Some(contradiction);
    }
    if let By::Owner { fence } = by
        && fence != stand.fence
    {
        return Some(Decision::Superseded);
    }
    let needs_no_word = by == By::Review && stand.status != OperationStatus::NeedsReview;
    (needs_no_word || is_of_another_object(stand, finding)).then_some(Decision::Stale)
}

/// What cannot be: that an operation happened which had ended without, or that it happened once more.
fn contradiction(known: &Stand<'_>, finding: &Finding) -> Option<Decision> {
    let Finding::Answer(Outcome::Succeeded(success)) = finding else { return None };
    match known.status {
        // as the object was before it was closed, which is for good: nothing is held or given back any more
        OperationStatus::Declined | OperationStatus::Expired if is_older(known, success) => {
            Some(Decision::Stale)
        }
        OperationStatus::Declined | OperationStatus::Expired => Some(Decision::LateSuccess),
        OperationStatus::Succeeded | OperationStatus::Reversed => {
            let known = known.psp_reference;
            // a capture or void has no object of its own
            known.is_some_and(|known| known != success.reference.as_str()).then_some(Decision::Twice)
        }
        OperationStatus::Created
        | OperationStatus::Sending
        | OperationStatus::RequiresAction
        | OperationStatus::Unknown
        | OperationStatus::NeedsReview => None,
    }
}

/// That one object of the PSP's is closed says nothing of the one that the operation waits for.
fn is_of_another_object(known: &Stand<'_>, finding: &Finding) -> bool {
    let Finding::Answer(
        Outcome::Declined { reference: Some(closed), .. }
        | Outcome::Unknown { reference: Some(closed), why: Why::PartlyCaptured(_) },
    ) = finding
    else {
        return false;
    };
    known.psp_reference.is_some_and(|awaited| awaited != closed.as_str())
}

/// Whether a success is that of an object which we know to have been closed since, and which took no money. People who said
/// that it was not done have closed no object.
fn is_older(known: &Stand<'_>, success: &Success) -> bool {
    let is_same = known.psp_reference == Some(success.reference.as_str());
    let is_of_its_own = known.kind.has_object() && is_same;
    is_of_its_own
        && known.reason != Some(decline::BY_REVIEW)
        && (matches!(known.kind, OperationKind::Refund | OperationKind::Payout) || !success.captured)
}

/// That the payment's object is closed is said by the capture or void that is under way, whose doing it may be.
fn is_of_what_follows(known: &Known, finding: &Finding) -> bool {
    let is_closed = matches!(
        finding,
        Finding::Answer(Outcome::Declined { .. } | Outcome::Unknown { why: Why::PartlyCaptured(_), .. })
    );
    known.kind == OperationKind::Authorize && is_closed && known.has_open_change
}

/// What a finding is to an operation. `can_be_taken_back`: whether what has succeeded can end all the same.
pub(crate) fn event_of(
    known: &Stand<'_>,
    by: By,
    finding: &Finding,
    can_be_taken_back: bool,
) -> OperationEvent {
    match finding {
        Finding::Answer(Outcome::Succeeded(_)) => OperationEvent::Succeeded,
        Finding::Answer(Outcome::Declined { decline, .. }) => match known.status {
            // whoever cancelled it, and whoever says so: the buyer had not acted
            OperationStatus::RequiresAction if decline.code == decline::CANCELED => OperationEvent::Expired,
            OperationStatus::Succeeded if can_be_taken_back => OperationEvent::Reversed,
            _ => OperationEvent::Declined,
        },
        Finding::Answer(Outcome::RequiresAction { .. }) => OperationEvent::ActionRequired,
        // "Not sent" proves that nothing happened only while nobody else can have sent it: it is the first owner's word.
        Finding::Answer(Outcome::NotSent { .. }) => {
            let first = by == By::Owner { fence: 1 } && known.status == OperationStatus::Sending;
            if first { OperationEvent::Declined } else { OperationEvent::Doubt }
        }
        Finding::Answer(Outcome::Unknown { why: Why::Processing, .. })
            if known.status == OperationStatus::RequiresAction =>
        {
            OperationEvent::Acted
        }
        Finding::Answer(Outcome::Unknown { .. }) => OperationEvent::Doubt,
        Finding::GiveUp { .. } => OperationEvent::GivenUp,
    }
}

/// Why an operation stays in doubt. That others took a part of what it held stays said: its order is not free. So does that the
/// PSP has seen its key with another request: it is never sent again. And that it is with the PSP, which decides, for as long as
/// nothing else is heard.
pub(crate) fn lasting<'a>(known: Option<&'a str>, reason: &'a str) -> &'a str {
    let is_heard = [Why::NotDone, Why::Absent, Why::StillOpen, Why::KeyConflict].map(|why| why.as_str());
    match known {
        Some(Why::PARTLY_CAPTURED) => Why::PARTLY_CAPTURED,
        _ if reason == Why::PARTLY_CAPTURED => reason,
        Some(known) if known == Why::KeyConflict.as_str() => known,
        Some(known) if known == Why::Processing.as_str() && !is_heard.contains(&reason) => known,
        _ => reason,
    }
}

/// Whether what has succeeded can end all the same: a refund comes back days later, what is held is held for a time.
const fn can_be_taken_back(known: &Known) -> bool {
    match known.kind {
        OperationKind::Refund | OperationKind::Payout => true,
        OperationKind::Authorize => {
            matches!(known.payment.status, PaymentStatus::Authorized | PaymentStatus::PartiallyCaptured)
        }
        OperationKind::Capture | OperationKind::Void => false,
    }
}

/// The payment after `event`; the operation's own table has already allowed it, so a refusal leaves it as it is.
fn moved(known: &Known, event: PaymentEvent) -> PaymentView {
    let status = known.payment.status.apply(event).unwrap_or(known.payment.status);
    PaymentView { status, updated_at: known.now, next_action: None, ..known.payment.clone() }
}

fn succeed(known: &Known, status: OperationStatus, success: &Success) -> Result<Change, PostingError> {
    match known.kind {
        OperationKind::Authorize => authorize::succeed(known, status, success),
        OperationKind::Capture => capture::succeed(known, status, success),
        OperationKind::Void => Ok(void::succeed(known, status, success)),
        OperationKind::Refund => refund::succeed(known, status, success),
        // of no payment: decided by itself
        OperationKind::Payout => Ok(change(status)),
    }
}

fn fail(
    known: &Known,
    status: OperationStatus,
    reference: Option<PspReference>,
    decline: &Decline,
) -> Change {
    match known.kind {
        OperationKind::Authorize => authorize::fail(known, status, reference, decline),
        OperationKind::Capture => end(known, status, "payment.capture_failed", None, decline),
        OperationKind::Void => end(known, status, "payment.void_failed", None, decline),
        OperationKind::Refund => refund::fail(known, status, reference, decline),
        OperationKind::Payout => change(status),
    }
}

impl Known {
    pub(crate) fn stand(&self) -> Stand<'_> {
        Stand {
            kind: self.kind,
            status: self.status,
            fence: self.fence,
            reason: self.reason.as_deref(),
            psp_reference: self.psp_reference.as_deref(),
        }
    }

    fn source(&self) -> Source {
        Source { table: "operation", id: self.operation_id.as_uuid() }
    }

    fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.payment.currency)
    }

    /// The operation as it then is.
    fn view(&self, status: OperationStatus, failure: Option<Failure>) -> OperationView {
        let share = |share: &Share| SplitView {
            seller: share.seller.to_string(),
            amount: share.amount,
            platform_fee: share.platform_fee,
        };
        OperationView {
            operation_id: self.operation_id,
            payment_id: Some(self.payment.payment_id),
            payout_id: None,
            kind: self.kind,
            status: Standing::from(status),
            amount: self.amount,
            currency: self.payment.currency,
            last: self.last_capture,
            splits: self.shares.iter().map(share).collect(),
            failure,
            created_at: self.created_at,
            updated_at: self.now,
        }
    }
}

/// A change of this operation and status, and of nothing else yet.
pub(crate) const fn change(status: OperationStatus) -> Change {
    Change {
        status,
        reason: None,
        failure: None,
        psp_reference: None,
        psp_movement: None,
        due_in: None,
        payment: None,
        payout: None,
        splits: Vec::new(),
        event: None,
        postings: Vec::new(),
        give_back: None,
        response: None,
        ends_wait: None,
    }
}

/// A capture, void or refund that ended without having been done.
fn end(
    known: &Known,
    status: OperationStatus,
    kind: &'static str,
    payment: Option<PaymentView>,
    decline: &Decline,
) -> Change {
    let failure = Failure {
        code: decline.code.to_owned(),
        decline_code: decline.decline_code.clone(),
        message: decline.message.clone(),
    };
    let view = known.view(status, Some(failure.clone()));
    let told = payment.as_ref().unwrap_or(&known.payment);
    Change {
        reason: Some(decline.code.to_owned()),
        failure: Some(failure),
        event: Some(outbox::of_operation(kind, told, &view, Some(decline.code))),
        response: Some(stored::operation(&view)),
        payment,
        ..change(status)
    }
}

fn doubt(known: &Known, status: OperationStatus, reference: Option<PspReference>, reason: &str) -> Change {
    let news = status != known.status;
    Change {
        reason: Some(lasting(known.reason.as_deref(), reason).to_owned()),
        // the object that is waited for stays the one; what acts on the payment's has none of its own
        psp_reference: reference.filter(|_| known.psp_reference.is_none() && known.kind.has_object()),
        due_in: Some(next_look(known.takeovers)),
        event: news.then(|| {
            outbox::changed("payment.outcome_unknown", &known.payment, known.operation_id, Some(reason))
        }),
        response: Some(stored::accepted()),
        ..change(status)
    }
}

fn give_up(known: &Known, status: OperationStatus, reason: &str) -> Change {
    let others_took = known.reason.as_deref() == Some(Why::PARTLY_CAPTURED);
    let reason = if others_took { Why::PARTLY_CAPTURED } else { reason };
    Change {
        reason: Some(reason.to_owned()),
        event: Some(outbox::changed(
            "payment.needs_review",
            &known.payment,
            known.operation_id,
            Some(reason),
        )),
        ..change(status)
    }
}

#[cfg(test)]
mod tests {
    use super::lasting;

    #[test]
    fn what_was_said_of_an_operation_in_doubt_stays_said_for_as_long_as_it_holds() {
        for (known, reason, stays) in [
            (None, "no_answer", "no_answer"),
            (Some("no_answer"), "absent", "absent"),
            (Some("processing"), "no_answer", "processing"),
            (Some("processing"), "psp_busy", "processing"),
            (Some("processing"), "not_done", "not_done"),
            (Some("no_answer"), "processing", "processing"),
            (Some("absent"), "key_conflict", "key_conflict"),
            (Some("key_conflict"), "absent", "key_conflict"),
            (Some("key_conflict"), "processing", "key_conflict"),
            (Some("key_conflict"), "partly_captured", "partly_captured"),
            (Some("partly_captured"), "no_answer", "partly_captured"),
        ] {
            assert_eq!(lasting(known, reason), stays, "{known:?} {reason}");
        }
    }
}
