//! What PSPs say they did and paid: their files, read line by line, checked and made exact.
//!
//! Columns are found by their names. Nothing is rounded, guessed or skipped: a file with anything wrong in it is refused
//! whole, and the [`Refusal`] says where, what was found and what was expected.

mod adyen;
pub(crate) mod amount;
mod decoded;
mod hashed;
mod lines;
mod mapped;
mod paypal;
pub(crate) mod refusal;
mod stripe;
mod table;

use std::io::Read;

use money::{Currency, Money, OperationId};
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

pub use mapped::{Map, MapError};
pub use refusal::{Error, Refusal};
use table::{Dialect, Row, Table};

/// The layouts that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Stripe's itemised payout reconciliation, as CSV.
    StripePayoutReconciliation,
    /// Adyen's settlement detail report, as CSV.
    AdyenSettlementDetail,
    /// PayPal's settlement report, as CSV.
    PaypalSettlement,
    /// Any CSV, as a [`Map`] says.
    Mapped,
}

impl Format {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StripePayoutReconciliation => "stripe_payout_reconciliation",
            Self::AdyenSettlementDetail => "adyen_settlement_detail",
            Self::PaypalSettlement => "paypal_settlement",
            Self::Mapped => "mapped_csv",
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
    /// What the buyer paid or got back, where that is in another currency.
    pub presented: Option<Money>,
    /// What the fee is made of, where the file tells.
    pub fee_parts: FeeParts,
    /// How the buyer paid, in the PSP's word.
    pub method: Option<String>,
    /// When it happened at the PSP.
    pub occurred_at: OffsetDateTime,
    /// The day it counts in our balance there.
    pub value_date: Date,
    /// The payout that it is part of.
    pub payout_id: Option<String>,
    /// The day that payout should be at the bank, where the file tells.
    pub payout_on: Option<Date>,
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

impl Line {
    /// The PSP's name of the payout that the line itself is, or that came back with it.
    pub fn pays(&self) -> Option<&str> {
        match self.kind {
            LineKind::Payout | LineKind::PayoutReversal => {
                self.psp_source.as_deref().or(self.payout_id.as_deref())
            }
            LineKind::Capture
            | LineKind::Refund
            | LineKind::RefundFailure
            | LineKind::Chargeback
            | LineKind::ChargebackReversal
            | LineKind::Fee
            | LineKind::Adjustment => None,
        }
    }
}

/// What a fee is made of, in minor units; none where it is not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeParts {
    /// To the buyer's bank.
    pub interchange: Option<i64>,
    /// To the card scheme.
    pub scheme: Option<i64>,
    /// To the PSP.
    pub markup: Option<i64>,
}

/// A file being read: a line at a time, whatever its size.
pub struct Statement<R> {
    file: String,
    table: Table<R>,
    layout: Layout,
}

enum Layout {
    Stripe(stripe::Layout),
    Adyen(adyen::Layout),
    Paypal(paypal::Layout),
    Mapped(Box<mapped::Layout>),
}

impl Layout {
    /// The layout of a file with this first record.
    fn of(row: Row<'_>) -> Result<Self, Refusal> {
        let has = |name: &str| row.fields.iter().any(|field| field.trim() == name);
        if row.field(0) == paypal::TELLING {
            let mut layout = paypal::Layout::new();
            layout.line(row)?;
            return Ok(Self::Paypal(layout));
        }
        if has(stripe::TELLING) {
            return stripe::Layout::of(&row).map(Self::Stripe);
        }
        if has(adyen::TELLING) {
            return adyen::Layout::of(&row).map(Self::Adyen);
        }
        let expected = "the header of an itemised payout reconciliation (Stripe), a settlement detail report (Adyen) or a \
                        settlement report (PayPal)";
        Err(row.refuse(refusal::quoted(&row.fields.iter().collect::<Vec<_>>().join(",")), expected))
    }

    fn line(&mut self, row: Row<'_>) -> Result<Option<Line>, Refusal> {
        match self {
            Self::Stripe(layout) => layout.line(row).map(Some),
            Self::Adyen(layout) => layout.line(row).map(Some),
            Self::Paypal(layout) => layout.line(row),
            Self::Mapped(layout) => layout.line(row),
        }
    }
}

impl<R: Read> Statement<R> {
    /// Reads the header, which tells what file it is.
    ///
    /// # Errors
    /// When it is no file that can be read, a column is missing or there twice, or the file cannot be got at.
    pub fn open(file: &str, source: R) -> Result<Self, Error> {
        Self::begin(file, Table::open(file, source, Dialect::USUAL), Layout::of)
    }

    /// Reads the header of a file that a map describes.
    ///
    /// # Errors
    /// When a column of the map is missing or there twice, or the file cannot be got at.
    pub fn open_mapped(file: &str, source: R, map: &Map) -> Result<Self, Error> {
        let layout = |row: Row<'_>| mapped::Layout::of(map.rules(), &row).map(Box::new).map(Layout::Mapped);
        Self::begin(file, Table::open(file, source, map.dialect()), layout)
    }

    fn begin(
        file: &str,
        mut table: Table<R>,
        layout: impl FnOnce(Row<'_>) -> Result<Layout, Refusal>,
    ) -> Result<Self, Error> {
        let layout = match table.next()? {
            Some(row) => layout(row)?,
            None => return Err(Refusal::of_file(file, "nothing", "a settlement file").into()),
        };
        Ok(Self { file: file.to_owned(), table, layout })
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that it may not.
    pub fn next_line(&mut self) -> Result<Option<Line>, Error> {
        while let Some(row) = self.table.next()? {
            if let Some(line) = self.layout.line(row)? {
                return Ok(Some(line));
            }
        }
        match &self.layout {
            Layout::Paypal(layout) => layout.end(&self.file)?,
            Layout::Mapped(layout) => layout.end(&self.file)?,
            Layout::Stripe(_) | Layout::Adyen(_) => {}
        }
        Ok(None)
    }

    /// What layout it has.
    pub const fn format(&self) -> Format {
        match self.layout {
            Layout::Stripe(_) => Format::StripePayoutReconciliation,
            Layout::Adyen(_) => Format::AdyenSettlementDetail,
            Layout::Paypal(_) => Format::PaypalSettlement,
            Layout::Mapped(_) => Format::Mapped,
        }
    }

    /// What the file is a version of, in its PSP's words, once [`Self::next_line`] has answered none: a corrected file is the same.
    pub fn identity(&self) -> Option<String> {
        match &self.layout {
            Layout::Stripe(_) => None,
            Layout::Adyen(layout) => layout.identity(),
            Layout::Paypal(layout) => layout.identity(),
            Layout::Mapped(layout) => layout.identity(),
        }
    }

    /// The SHA-256 of the content, once [`Self::next_line`] has answered none.
    pub fn sha256(&self) -> [u8; 32] {
        self.table.sha256()
    }
}

#[cfg(test)]
mod tests;
