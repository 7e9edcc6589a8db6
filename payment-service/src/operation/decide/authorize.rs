//! Charging a buyer, or holding the money.

use ::wallet::wallet;
use ledger::account::Account;
use ledger::posting::{Posting, PostingError};

use super::{ACTION_POLL, Change, HOLD, Known, SplitSums, change, moved, next_look};
use crate::http::stored;
use crate::operation::state::OperationStatus;
use crate::outbox;
use crate::payment::{Failure, NextAction, PaymentEvent, PaymentStatus};
use crate::psp::{Decline, PspReference, Success, Why};

pub(super) fn succeed(
    known: &Known,
    status: OperationStatus,
    success: &Success,
) -> Result<Change, PostingError> {
    let (event, kind) = match success.captured {
        true => (PaymentEvent::Captured, "payment.captured"),
        false => (PaymentEvent::Authorized, "payment.authorized"),
    };
    let mut payment = moved(known, event);
    payment.authorized_amount = payment.amount;
    let (mut postings, mut splits) = (Vec::new(), Vec::new());
    if success.captured {
        payment.captured_amount = payment.amount;
        postings.push(capture_of_all(known)?);
        let whole = |amount| SplitSums { captured: amount, ..SplitSums::default() };
        splits = (0..).zip(known.splits.iter().map(|split| whole(split.amount))).collect();
    }
    Ok(Change {
        psp_reference: Some(success.reference.clone()),
        psp_movement: success.movement.clone(),
        // what is held is looked at again when its time is over
        due_in: (!success.captured).then_some(HOLD),
        event: Some(outbox::changed(kind, &payment, known.operation_id, None)),
        response: Some(stored::payment(&payment)),
        payment: Some(payment),
        splits,
        postings,
        ..change(status)
    })
}

/// The books of a full capture: the PSP owes us the amount, we owe the sellers their nets.
fn capture_of_all(known: &Known) -> Result<Posting, PostingError> {
    let amount = known.money(known.payment.amount);
    let posting = Posting::builder(known.source(), "capture", known.now.date())
        .debit(Account::PspReceivable(known.payment.psp_account_id), amount);
    wallet::credit_capture(posting, amount.currency, &known.splits).build()
}

pub(super) fn fail(
    known: &Known,
    status: OperationStatus,
    reference: Option<PspReference>,
    decline: &Decline,
) -> Change {
    match status {
        OperationStatus::Expired => close(known, status, reference, "buyer_did_not_act"),
        OperationStatus::Reversed => let_go(known, status, reference),
        _ => decline_it(known, status, reference, decline),
    }
}

fn decline_it(
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
        reason: Some(decline.code.to_owned()),
        psp_reference: reference,
        event: Some(outbox::changed("payment.failed", &payment, known.operation_id, Some(decline.code))),
        response: Some(stored::payment(&payment)),
        payment: Some(payment),
        ..change(status)
    }
}

/// What was held and not captured is let go.
pub(super) fn let_go(known: &Known, status: OperationStatus, reference: Option<PspReference>) -> Change {
    close(known, status, reference, "hold_released")
}

/// The PSP has closed what the buyer did not act on, or what was held and not captured. What was captured before stays.
fn close(known: &Known, status: OperationStatus, reference: Option<PspReference>, reason: &str) -> Change {
    let (event, kind) = match known.payment.status {
        PaymentStatus::PartiallyCaptured => (PaymentEvent::Captured, "payment.captured"),
        _ => (PaymentEvent::Expired, "payment.expired"),
    };
    let payment = moved(known, event);
    Change {
        reason: Some(reason.to_owned()),
        psp_reference: reference,
        event: Some(outbox::changed(kind, &payment, known.operation_id, Some(reason))),
        // one that was answered before keeps its answer
        response: Some(stored::payment(&payment)),
        payment: Some(payment),
        ..change(status)
    }
}

pub(super) fn require_action(
    known: &Known,
    status: OperationStatus,
    reference: &PspReference,
    redirect_url: Option<&str>,
) -> Change {
    let mut payment = moved(known, PaymentEvent::ActionRequired);
    payment.next_action = redirect_url.map(|url| NextAction { redirect_url: url.to_owned() });
    let news = known.payment.status != PaymentStatus::RequiresAction;
    Change {
        psp_reference: Some(reference.clone()),
        due_in: Some(ACTION_POLL.max(next_look(known.takeovers))),
        event: news.then(|| outbox::changed("payment.requires_action", &payment, known.operation_id, None)),
        response: news.then(|| stored::payment(&payment)),
        payment: news.then_some(payment),
        ..change(status)
    }
}

/// The buyer has done what there was to do: the PSP or a bank decides, which may take days.
pub(super) fn acted(known: &Known, status: OperationStatus) -> Change {
    let payment = moved(known, PaymentEvent::Acted);
    let reason = Why::Processing.as_str();
    Change {
        reason: Some(reason.to_owned()),
        due_in: Some(ACTION_POLL.max(next_look(known.takeovers))),
        event: Some(outbox::changed("payment.processing", &payment, known.operation_id, Some(reason))),
        payment: Some(payment),
        ..change(status)
    }
}
