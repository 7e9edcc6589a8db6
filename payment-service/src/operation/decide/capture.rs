//! Taking what is held.

use ::wallet::wallet::{self, Split};
use ledger::account::Account;
use ledger::posting::{Posting, PostingError};

use super::{Change, Known, Share, SplitSums, change, moved};
use crate::http::stored;
use crate::operation::state::OperationStatus;
use crate::outbox;
use crate::payment::PaymentEvent;
use crate::psp::Success;

pub(super) fn succeed(
    known: &Known,
    status: OperationStatus,
    success: &Success,
) -> Result<Change, PostingError> {
    let captured = known.payment.captured_amount.saturating_add(known.amount);
    // what leaves nothing is the last, whatever was said
    let is_last = known.last_capture == Some(true) || captured >= known.payment.authorized_amount;
    let (event, kind) = match is_last {
        true => (PaymentEvent::Captured, "payment.captured"),
        false => (PaymentEvent::CapturedInPart, "payment.partially_captured"),
    };
    let mut payment = moved(known, event);
    payment.captured_amount = captured;
    let view = known.view(status, None);
    let taken = |share: &Share| {
        let captured = share.sums.captured + share.amount;
        (share.split_no, SplitSums { captured, ..share.sums })
    };
    Ok(Change {
        psp_movement: success.movement.clone(),
        splits: known.shares.iter().map(taken).collect(),
        event: Some(outbox::of_operation(kind, &payment, &view, None)),
        response: Some(stored::operation(&view)),
        postings: vec![posting(known)?],
        payment: Some(payment),
        ..change(status)
    })
}

/// The PSP owes us the amount, we owe the sellers their nets.
fn posting(known: &Known) -> Result<Posting, PostingError> {
    let amount = known.money(known.amount);
    let posting = Posting::builder(known.source(), "capture", known.now.date())
        .debit(Account::PspReceivable(known.payment.psp_account_id), amount);
    let split = |share: &Share| Split {
        seller: share.seller.clone(),
        amount: share.amount,
        platform_fee: share.platform_fee,
    };
    let splits: Vec<Split> = known.shares.iter().map(split).collect();
    wallet::credit_capture(posting, amount.currency, &splits).build()
}
