//! What PSPs say they did and paid: their files, read line by line, checked and made exact.
//!
//! Columns are found by their names. Nothing is rounded, guessed or skipped: a file with anything wrong in it is refused
//! whole, and the [`Refusal`] says where, what was found and what was expected.

mod amount;
mod digest;
mod refusal;
mod stripe;

use money::{Currency, OperationId};
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

pub use refusal::{Error, Refusal};
pub use stripe::Statement;

/// The layouts that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Stripe's itemised payout reconciliation, as CSV.
    StripePayoutReconciliation,
}

impl Format {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StripePayoutReconciliation => "stripe_payout_reconciliation",
        }
    }
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LineKind {
    /// Money taken from a buyer.
    Capture,
    /// Money given back to a buyer.
    Refund,
    /// The same, come back: it did not reach the buyer.
    RefundFailure,
    /// Money taken back by a cardholder's bank.
    Chargeback,
    /// The same, returned by it.
    ChargebackReversal,
    /// What the PSP charges, on its own.
    Fee,
    /// What the PSP sends to our bank, or to a seller's.
    Payout,
    /// The same, come back: it did not arrive.
    PayoutReversal,
    /// Anything else that moved our balance.
    Adjustment,
}

impl LineKind {
    const ALL: [Self; 9] = [
        Self::Capture,
        Self::Refund,
        Self::RefundFailure,
        Self::Chargeback,
        Self::ChargebackReversal,
        Self::Fee,
        Self::Payout,
        Self::PayoutReversal,
        Self::Adjustment,
    ];

    /// The word in the database and the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::RefundFailure => "refund_failure",
            Self::Chargeback => "chargeback",
            Self::ChargebackReversal => "chargeback_reversal",
            Self::Fee => "fee",
            Self::Payout => "payout",
            Self::PayoutReversal => "payout_reversal",
            Self::Adjustment => "adjustment",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One line of a settlement file. Amounts are minor units of its currency, signed as they change our balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Where it begins in the file; the first line is 1.
    pub line_no: i32,
    /// Its identity at the PSP.
    pub psp_line_id: String,
    /// What it is about.
    pub kind: LineKind,
    /// The PSP's own word for that.
    pub category: String,
    /// Before the PSP's fee.
    pub gross: i64,
    /// What the PSP kept.
    pub fee: i64,
    /// `gross - fee`.
    pub net: i64,
    /// The currency of all three.
    pub currency: Currency,
    /// When it happened at the PSP.
    pub occurred_at: OffsetDateTime,
    /// The day it counts in our balance there.
    pub value_date: Date,
    /// The payout that it is part of.
    pub payout_id: Option<String>,
    /// Our operation, where the PSP gives back the id that we sent it.
    pub operation_id: Option<OperationId>,
    /// Our order, likewise.
    pub order_id: Option<String>,
    /// The PSP's object: `pi_...`.
    pub psp_reference: Option<String>,
    /// The movement: `ch_...`.
    pub psp_movement: Option<String>,
    /// What the line itself is: `ch_...`, `re_...`, `po_...`.
    pub psp_source: Option<String>,
}

#[cfg(test)]
mod tests;
