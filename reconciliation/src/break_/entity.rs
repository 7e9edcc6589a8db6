use money::{
    BankAccountId, BankEntryId, BookingId, BreakId, Currency, FileId, MerchantId, Money, OperationId,
    PaymentId, PspAccountId,
};
use time::Date;

/// What is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakKind {
    /// The PSP moved money that nothing of ours explains.
    UnknownToUs,
    /// We captured, and the PSP's files do not have it though they should by now.
    MissingAtPsp,
    /// The PSP moved another amount than we did.
    Amount,
    /// The PSP moved it in another currency than we did.
    Currency,
    /// A line that came before, in this file or another.
    Duplicate,
    /// A second capture of an operation: the buyer may have been charged twice.
    CapturedTwice,
    /// A second refund of an operation.
    RefundedTwice,
    /// A second payout of an operation: the seller may have been paid twice.
    PaidOutTwice,
    /// The PSP moved money for an operation that did not succeed at ours, and that could not be changed.
    Status,
    /// An operation that we had given up succeeded after all.
    LateSuccess,
    /// A dispute took more of a payment than refunds had left of it.
    DisputedBeyond,
    /// The PSP refunded a payment of ours, and we know of no such refund.
    RefundWithoutRefund,
    /// The buyer's bank took money of a payment of ours back, and we know of no such dispute.
    ChargebackUnseen,
    /// We sent an operation and do not know how it ended, though the PSP's files should have told by now.
    StaleUnknown,
    /// A payout should be at our bank, and is not.
    PayoutNotInBank,
    /// Money came to our bank that is no payout.
    BankCreditWithoutPayout,
    /// Money left our bank that no PSP should have taken.
    BankDebitWithoutPayout,
}

impl BreakKind {
    const ALL: [Self; 17] = [
        Self::UnknownToUs,
        Self::MissingAtPsp,
        Self::Amount,
        Self::Currency,
        Self::Duplicate,
        Self::CapturedTwice,
        Self::RefundedTwice,
        Self::PaidOutTwice,
        Self::Status,
        Self::LateSuccess,
        Self::DisputedBeyond,
        Self::RefundWithoutRefund,
        Self::ChargebackUnseen,
        Self::StaleUnknown,
        Self::PayoutNotInBank,
        Self::BankCreditWithoutPayout,
        Self::BankDebitWithoutPayout,
    ];

    /// The word in the database and the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownToUs => "unknown_to_us",
            Self::MissingAtPsp => "missing_at_psp",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Duplicate => "duplicate",
            Self::CapturedTwice => "captured_twice",
            Self::RefundedTwice => "refunded_twice",
            Self::PaidOutTwice => "paid_out_twice",
            Self::Status => "status",
            Self::LateSuccess => "late_success",
            Self::DisputedBeyond => "disputed_beyond",
            Self::RefundWithoutRefund => "refund_without_refund",
            Self::ChargebackUnseen => "chargeback_unseen",
            Self::StaleUnknown => "stale_unknown",
            Self::PayoutNotInBank => "payout_not_in_bank",
            Self::BankCreditWithoutPayout => "bank_credit_without_payout",
            Self::BankDebitWithoutPayout => "bank_debit_without_payout",
        }
    }

    /// The words of all kinds, for a person.
    pub fn words() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Where something is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// At an account at a PSP.
    Psp(PspAccountId),
    /// At an account at a bank.
    Bank(BankAccountId),
}

impl At {
    pub(super) const fn psp_account_id(self) -> Option<PspAccountId> {
        match self {
            Self::Psp(id) => Some(id),
            Self::Bank(_) => None,
        }
    }

    pub(super) const fn bank_account_id(self) -> Option<BankAccountId> {
        match self {
            Self::Psp(_) => None,
            Self::Bank(id) => Some(id),
        }
    }
}

/// A difference to be opened as a break.
#[derive(Debug, Clone)]
pub struct NewBreak {
    /// What is different.
    pub kind: BreakKind,
    /// At which account of ours.
    pub at: At,
    /// What it is about, such as the operation's id: with kind and currency, what makes it the same break.
    pub subject: String,
    /// Ours, where it is known; else the PSP's.
    pub currency: Currency,
    /// The day it is about: its age counts from here.
    pub arose_on: Date,
    /// What should be, in minor units of `currency`.
    pub expected: Option<i64>,
    /// What is.
    pub found: Option<Money>,
    /// The settlement line.
    pub line: Option<(FileId, i32)>,
    /// That line's identity at the PSP.
    pub psp_line_id: Option<String>,
    /// The PSP's object.
    pub psp_reference: Option<String>,
    /// Our operation.
    pub operation_id: Option<OperationId>,
    /// Its payment.
    pub payment_id: Option<PaymentId>,
    /// The payment's order, or what the PSP says is.
    pub order_id: Option<String>,
    /// The booking that holds its money.
    pub booking_id: Option<BookingId>,
    /// The bank's entry.
    pub bank_entry_id: Option<BankEntryId>,
    /// The PSP's payout to our bank.
    pub payout_id: Option<String>,
    /// A sentence for a person.
    pub detail: String,
}

impl NewBreak {
    /// A break that names nothing but what makes it what it is.
    pub fn new(kind: BreakKind, at: At, subject: String, currency: Currency, arose_on: Date) -> Self {
        Self {
            kind,
            at,
            subject,
            currency,
            arose_on,
            expected: None,
            found: None,
            line: None,
            psp_line_id: None,
            psp_reference: None,
            operation_id: None,
            payment_id: None,
            order_id: None,
            booking_id: None,
            bank_entry_id: None,
            payout_id: None,
            detail: String::new(),
        }
    }

    /// Its id: the same for the same kind, subject and currency.
    pub fn id(&self, merchant: MerchantId) -> BreakId {
        BreakId::derive(merchant, self.kind.as_str(), &self.subject, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in BreakKind::ALL {
            assert_eq!(BreakKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(BreakKind::from_word("lost"), None);
    }
}
