//! What a finding means for a payout: pure, decided on rows that are locked.

use std::time::Duration;

use ledger::account::Account;
use ledger::posting::{Builder, Posting, PostingError, Source};
use money::{Money, OperationId, SellerId};
use time::OffsetDateTime;

use super::{PayoutEvent, PayoutStatus, PayoutView};
use crate::draw::GiveBack;
use crate::http::stored;
use crate::operation::{
    By, Change, Decision, Finding, OperationKind, OperationStatus, Stand, change, event_of, lasting,
    next_look, old_news,
};
use crate::outbox;
use crate::payment::Failure;
use crate::psp::{Decline, Outcome, PspReference, Success};

/// A payout and its operation as they are under the lock.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub operation_id: OperationId,
    pub status: OperationStatus,
    pub fence: i64,
    pub takeovers: i32,
    /// Why the operation stands so.
    pub reason: Option<String>,
    /// The client's key whose stored response the operation completes.
    pub key: String,
    pub payout: PayoutView,
    pub seller: SellerId,
    pub version: i32,
    pub now: OffsetDateTime,
}

/// How long a bank is given before the PSP is asked whether it has the money, beside its webhooks.
const TRANSIT_POLL: Duration = Duration::from_secs(3600);

/// Decides what `finding` means.
///
/// # Errors
/// When the books of the outcome cannot balance, which the checks of a request prevent.
pub(crate) fn decide(known: &Known, by: By, finding: &Finding) -> Result<Decision, PostingError> {
    let stand = known.stand();
    if let Some(decision) = old_news(&stand, by, finding) {
        return Ok(decision);
    }
    if let (OperationStatus::Succeeded, Finding::Answer(Outcome::Succeeded(success))) =
        (known.status, finding)
    {
        return arrive(known, success);
    }
    // whatever was sent may come back
    let Ok(status) = known.status.apply(event_of(&stand, by, finding, true)) else {
        return Ok(Decision::Stale);
    };
    let change = match finding {
        Finding::Answer(Outcome::Succeeded(success)) => succeed(known, status, success)?,
        Finding::Answer(Outcome::Declined { reference, decline }) => {
            fail(known, status, reference.clone(), decline)?
        }
        Finding::Answer(Outcome::NotSent { code, message }) if status == OperationStatus::Declined => {
            let decline = Decline { code: code.as_str(), decline_code: None, message: message.clone() };
            fail(known, status, None, &decline)?
        }
        Finding::Answer(Outcome::NotSent { code, .. }) => doubt(known, status, None, code.as_str()),
        Finding::Answer(Outcome::Unknown { reference, why }) => {
            doubt(known, status, reference.clone(), why.as_str())
        }
        // a payout has no buyer: whoever says so is not understood
        Finding::Answer(Outcome::RequiresAction { .. }) => return Ok(Decision::Stale),
        Finding::GiveUp { reason } => give_up(known, status, reason),
    };
    Ok(Decision::Change(Box::new(change)))
}

impl Known {
    pub(crate) fn stand(&self) -> Stand<'_> {
        Stand {
            kind: OperationKind::Payout,
            status: self.status,
            fence: self.fence,
            reason: self.reason.as_deref(),
            psp_reference: self.payout.psp_reference.as_deref(),
        }
    }

    fn amount(&self) -> Money {
        Money::new(self.payout.amount, self.payout.currency)
    }

    fn builder(&self, kind: &'static str) -> Builder {
        let source = Source { table: "operation", id: self.operation_id.as_uuid() };
        Posting::builder(source, kind, self.now.date())
    }

    /// Held of the seller; sent by the PSP.
    fn sent(&self) -> Result<Posting, PostingError> {
        let held = Account::SellerHeld(self.seller.clone());
        let posting = self.builder("payout_sent").debit(held, self.amount());
        posting.credit(Account::PayoutClearing, self.amount()).build()
    }

    /// Sent; at the bank. It left our balance at the PSP, which is what the PSP owes us less.
    fn paid(&self) -> Result<Posting, PostingError> {
        let receivable = Account::PspReceivable(self.payout.psp_account_id);
        let posting = self.builder("payout_paid").debit(Account::PayoutClearing, self.amount());
        posting.credit(receivable, self.amount()).build()
    }

    /// At the bank; on its way back.
    fn returned(&self) -> Result<Posting, PostingError> {
        let receivable = Account::PspReceivable(self.payout.psp_account_id);
        let posting = self.builder("payout_returned").debit(receivable, self.amount());
        posting.credit(Account::PayoutClearing, self.amount()).build()
    }

    /// The payout after `event`; the operation's own table has already allowed it, so a refusal leaves it as it is.
    fn moved(&self, event: PayoutEvent) -> PayoutView {
        let status = self.payout.status.apply(event).unwrap_or(self.payout.status);
        PayoutView { status, updated_at: self.now, ..self.payout.clone() }
    }
}

fn succeed(known: &Known, status: OperationStatus, success: &Success) -> Result<Change, PostingError> {
    let (event, kind) = match success.captured {
        true => (PayoutEvent::Arrived, "payout.paid"),
        false => (PayoutEvent::Sent, "payout.in_transit"),
    };
    let mut payout = known.moved(event);
    payout.psp_reference = Some(success.reference.to_string());
    let mut postings = vec![known.sent()?];
    if success.captured {
        postings.push(known.paid()?);
    }
    Ok(Change {
        psp_reference: Some(success.reference.clone()),
        due_in: (!success.captured).then_some(TRANSIT_POLL),
        event: Some(outbox::of_payout(kind, &payout, None)),
        response: Some(stored::payout(&payout)),
        payout: Some(payout),
        postings,
        ..change(status)
    })
}

/// What was sent is there.
fn arrive(known: &Known, success: &Success) -> Result<Decision, PostingError> {
    if !success.captured || known.payout.status != PayoutStatus::InTransit {
        return Ok(Decision::Stale);
    }
    let payout = known.moved(PayoutEvent::Arrived);
    Ok(Decision::Change(Box::new(Change {
        event: Some(outbox::of_payout("payout.paid", &payout, None)),
        payout: Some(payout),
        postings: vec![known.paid()?],
        ..change(OperationStatus::Succeeded)
    })))
}

/// It was not sent, did not arrive, or came back: the seller has the money again.
fn fail(
    known: &Known,
    status: OperationStatus,
    reference: Option<PspReference>,
    decline: &Decline,
) -> Result<Change, PostingError> {
    let failure = Failure {
        code: decline.code.to_owned(),
        decline_code: decline.decline_code.clone(),
        message: decline.message.clone(),
    };
    let mut payout = known.moved(PayoutEvent::Failed);
    payout.failure = Some(failure.clone());
    payout.psp_reference = reference.as_ref().map(ToString::to_string).or(payout.psp_reference);
    let (kind, postings, from) = match known.payout.status {
        PayoutStatus::Paid => ("payout.returned", vec![known.returned()?], Account::PayoutClearing),
        PayoutStatus::InTransit => ("payout.failed", Vec::new(), Account::PayoutClearing),
        PayoutStatus::Processing | PayoutStatus::Failed | PayoutStatus::Returned => {
            ("payout.failed", Vec::new(), Account::SellerHeld(known.seller.clone()))
        }
    };
    let give_back = GiveBack {
        posting: known.builder("payout_back").debit(from, known.amount()),
        parts: vec![(0, known.seller.clone(), known.amount())],
    };
    Ok(Change {
        reason: Some(decline.code.to_owned()),
        failure: Some(failure),
        psp_reference: reference,
        event: Some(outbox::of_payout(kind, &payout, Some(decline.code))),
        response: Some(stored::payout(&payout)),
        payout: Some(payout),
        postings,
        give_back: Some(give_back),
        ..change(status)
    })
}

fn doubt(known: &Known, status: OperationStatus, reference: Option<PspReference>, reason: &str) -> Change {
    let news = status != known.status;
    let event = || outbox::of_payout("payout.outcome_unknown", &known.payout, Some(reason));
    Change {
        reason: Some(lasting(known.reason.as_deref(), reason).to_owned()),
        // the object that is waited for stays the one
        psp_reference: reference.filter(|_| known.payout.psp_reference.is_none()),
        due_in: Some(next_look(known.takeovers)),
        event: news.then(event),
        response: Some(stored::accepted()),
        ..change(status)
    }
}

fn give_up(known: &Known, status: OperationStatus, reason: &str) -> Change {
    Change {
        reason: Some(reason.to_owned()),
        event: Some(outbox::of_payout("payout.needs_review", &known.payout, Some(reason))),
        ..change(status)
    }
}

#[cfg(test)]
mod tests;
