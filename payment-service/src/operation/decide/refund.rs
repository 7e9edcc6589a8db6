//! Giving back. What a refund takes from its sellers is held from its claim on.

use ledger::account::Account;
use ledger::posting::{Builder, Posting, PostingError};

use super::{Change, Known, Share, SplitSums, change, end};
use crate::draw::GiveBack;
use crate::http::stored;
use crate::operation::state::OperationStatus;
use crate::outbox;
use crate::payment::PaymentView;
use crate::psp::{Decline, PspReference, Success};

pub(super) fn succeed(
    known: &Known,
    status: OperationStatus,
    success: &Success,
) -> Result<Change, PostingError> {
    let payment = PaymentView {
        refund_reserved_amount: known.payment.refund_reserved_amount - known.amount,
        refunded_amount: known.payment.refunded_amount + known.amount,
        updated_at: known.now,
        ..known.payment.clone()
    };
    let view = known.view(status, None);
    let given = |share: &Share| {
        let (reserved, refunded) = (share.sums.reserved - share.amount, share.sums.refunded + share.amount);
        (share.split_no, SplitSums { reserved, refunded, ..share.sums })
    };
    let receivable = Account::PspReceivable(known.payment.psp_account_id);
    let posting = known.shares.iter().fold(builder(known, "refund"), |posting, share| {
        posting
            .debit(Account::SellerHeld(share.seller.clone()), known.money(share.net()))
            .debit(Account::PlatformFees, known.money(share.platform_fee))
    });
    Ok(Change {
        psp_reference: Some(success.reference.clone()),
        psp_movement: success.movement.clone(),
        splits: known.shares.iter().map(given).collect(),
        event: Some(outbox::of_operation("payment.refunded", &payment, &view, None)),
        response: Some(stored::operation(&view)),
        payment: Some(payment),
        postings: vec![posting.credit(receivable, known.money(known.amount)).build()?],
        ..change(status)
    })
}

/// It was not done, or came back: sellers get back what they gave.
pub(super) fn fail(
    known: &Known,
    status: OperationStatus,
    reference: Option<PspReference>,
    decline: &Decline,
) -> Change {
    let came_back = status == OperationStatus::Reversed;
    let mut payment = PaymentView { updated_at: known.now, ..known.payment.clone() };
    match came_back {
        true => payment.refunded_amount -= known.amount,
        false => payment.refund_reserved_amount -= known.amount,
    }
    let restored = |share: &Share| {
        let mut sums = SplitSums { refunded_fee: share.sums.refunded_fee - share.platform_fee, ..share.sums };
        match came_back {
            true => sums.refunded -= share.amount,
            false => sums.reserved -= share.amount,
        }
        (share.split_no, sums)
    };
    let kind = if came_back { "payment.refund_reversed" } else { "payment.refund_failed" };
    Change {
        psp_reference: reference,
        splits: known.shares.iter().map(restored).collect(),
        give_back: Some(give_back(known, came_back)),
        ..end(known, status, kind, Some(payment), decline)
    }
}

fn give_back(known: &Known, came_back: bool) -> GiveBack {
    let posting = match came_back {
        true => {
            let receivable = Account::PspReceivable(known.payment.psp_account_id);
            known.shares.iter().fold(
                builder(known, "refund_reversal").debit(receivable, known.money(known.amount)),
                |posting, share| posting.credit(Account::PlatformFees, known.money(share.platform_fee)),
            )
        }
        false => known.shares.iter().fold(builder(known, "refund_return"), |posting, share| {
            posting.debit(Account::SellerHeld(share.seller.clone()), known.money(share.net()))
        }),
    };
    let part = |share: &Share| (share.split_no, share.seller.clone(), known.money(share.net()));
    GiveBack { posting, parts: known.shares.iter().map(part).collect() }
}

fn builder(known: &Known, kind: &'static str) -> Builder {
    Posting::builder(known.source(), kind, known.now.date())
}
