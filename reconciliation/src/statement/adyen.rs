//! Adyen's settlement detail report, as CSV.

use std::collections::HashMap;

use money::{Currency, Money};
use time::{OffsetDateTime, UtcOffset};

use super::refusal::{A_YEAR, Refusal};
use super::table::{Header, Record, Row};
use super::{FeeParts, Line, LineKind};

/// The column that no other PSP's file has.
pub(super) const TELLING: &str = "Gross Debit (GC)";

pub(super) struct Layout {
    header: Header,
    merchant_account: usize,
    psp_reference: usize,
    merchant_reference: usize,
    method: usize,
    variant: Option<usize>,
    created: usize,
    time_zone: usize,
    kind: usize,
    modification: usize,
    modification_ours: Option<usize>,
    gross: Signed,
    net: Signed,
    fees: Fees,
    batch: usize,
    booked_on: Option<usize>,
    /// The batch that every line is of, and the account.
    of: Option<(String, String)>,
    /// Lines about no payment, by what they are called: they have no reference of their own.
    nameless: HashMap<String, u32>,
}

/// An amount in two columns, of which at most one says something.
struct Signed {
    currency: usize,
    debit: usize,
    credit: usize,
}

impl Signed {
    fn of(row: &Row<'_>, header: &Header, names: [&str; 3]) -> Result<Self, Refusal> {
        let [currency, debit, credit] = names.map(|name| header.needed(row.file, &[name]));
        Ok(Self { currency: currency?, debit: debit?, credit: credit? })
    }

    fn read(&self, record: &Record<'_>) -> Result<i64, Refusal> {
        let currency = record.currency(self.currency)?;
        let side = |column| {
            let amount = record.amount_if_any(column, currency)?;
            let is_one = amount >= 0;
            is_one
                .then_some(amount)
                .ok_or_else(|| record.refuse(column, record.text(column), "an amount without a sign"))
        };
        let (debit, credit) = (side(self.debit)?, side(self.credit)?);
        if debit != 0 && credit != 0 {
            let expected = "nothing, as there is a debit";
            return Err(record.refuse(self.credit, record.text(self.credit), expected));
        }
        Ok(credit - debit)
    }
}

struct Fees {
    commission: usize,
    markup: usize,
    scheme: usize,
    interchange: usize,
}

impl Fees {
    fn read(&self, record: &Record<'_>, currency: Currency) -> Result<(i64, FeeParts), Refusal> {
        let part = |column| record.amount_if_any(column, currency);
        let commission = part(self.commission)?;
        let (markup, scheme, interchange) = (part(self.markup)?, part(self.scheme)?, part(self.interchange)?);
        let parts = [markup, scheme, interchange];
        let sum = parts.into_iter().try_fold(commission, i64::checked_add);
        let sum = sum.ok_or_else(|| {
            record.refuse(
                self.commission,
                record.text(self.commission),
                "fees that fit 64 bits of minor units",
            )
        })?;
        let is_told = parts.iter().any(|part| *part != 0);
        let told = |part| is_told.then_some(part);
        let parts = FeeParts { interchange: told(interchange), scheme: told(scheme), markup: told(markup) };
        Ok((sum, parts))
    }
}

impl Layout {
    pub fn of(row: &Row<'_>) -> Result<Self, Refusal> {
        let header = Header::of(row, "a settlement detail report");
        let needed = |name: &str| header.needed(row.file, &[name]);
        let position = |name: &str| header.position(row.file, &[name]);
        Ok(Self {
            merchant_account: needed("Merchant Account")?,
            psp_reference: needed("Psp Reference")?,
            merchant_reference: needed("Merchant Reference")?,
            method: needed("Payment Method")?,
            variant: position("Payment Method Variant")?,
            created: needed("Creation Date")?,
            time_zone: needed("TimeZone")?,
            kind: needed("Type")?,
            modification: needed("Modification Reference")?,
            modification_ours: position("Modification Merchant Reference")?,
            gross: Signed::of(row, &header, ["Gross Currency", TELLING, "Gross Credit (GC)"])?,
            net: Signed::of(row, &header, ["Net Currency", "Net Debit (NC)", "Net Credit (NC)"])?,
            fees: Fees {
                commission: needed("Commission (NC)")?,
                markup: needed("Markup (NC)")?,
                scheme: needed("Scheme Fees (NC)")?,
                interchange: needed("Interchange (NC)")?,
            },
            batch: needed("Batch Number")?,
            booked_on: position("Booking Date")?,
            of: None,
            nameless: HashMap::new(),
            header,
        })
    }

    pub fn line(&mut self, row: Row<'_>) -> Result<Line, Refusal> {
        let batch = {
            let record = row.under(&self.header)?;
            let batch = (record.text(self.merchant_account).to_owned(), record.text(self.batch).to_owned());
            let first = self.of.get_or_insert_with(|| batch.clone());
            if batch.1.is_empty() || *first != batch {
                let expected = if batch.1.is_empty() {
                    "the batch's number".to_owned()
                } else {
                    format!("{:?} of {:?}, as in the lines before", first.1, first.0)
                };
                return Err(record.refuse(self.batch, &batch.1, expected));
            }
            batch.1
        };
        let category = row.under(&self.header)?.name(self.kind)?;
        let record = row.under(&self.header)?;
        let category = category.ok_or_else(|| record.refuse(self.kind, "", "a type such as Settled"))?;
        let kind = kind_of(&category);
        let currency = record.currency(self.net.currency)?;
        let net = self.net.read(&record)?;
        let (fee, fee_parts) = self.fees.read(&record, currency)?;
        let (gross, fee, presented) = self.gross(&record, kind, net, fee, currency)?;
        let psp_reference = record.name(self.psp_reference)?;
        let modification = record.name(self.modification)?;
        let merchant_reference = record.name(self.merchant_reference)?;
        let occurred_at = self.moment(&record)?;
        let value_date = match self.booked_on {
            Some(column) if !record.text(column).is_empty() => record.clock(column)?.date(),
            _ => occurred_at.date(),
        };
        let operation = match kind {
            LineKind::Refund | LineKind::RefundFailure => self.modification_ours,
            LineKind::Capture => Some(self.merchant_reference),
            _ => None,
        };
        let line = Line {
            line_no: record.line_no()?,
            psp_line_id: String::new(),
            kind,
            gross,
            fee,
            net,
            currency,
            presented,
            fee_parts,
            method: record.name_of(self.variant)?.or(record.name(self.method)?),
            occurred_at,
            value_date,
            operation_id: record.operation(operation),
            order_id: merchant_reference,
            psp_movement: modification.clone(),
            // the batch is what a payout is known by
            psp_source: modification.filter(|_| kind != LineKind::Payout),
            psp_reference,
            payout_id: Some(batch),
            payout_on: None,
            category,
        };
        Ok(self.named(line))
    }

    /// The amount before fees, in the currency of the balance; what of the fee is beside it; and what the buyer paid, where that
    /// is in another currency.
    fn gross(
        &self,
        record: &Record<'_>,
        kind: LineKind,
        net: i64,
        fee: i64,
        currency: Currency,
    ) -> Result<(i64, i64, Option<Money>), Refusal> {
        // their amount is the net one
        if matches!(kind, LineKind::Fee | LineKind::Payout | LineKind::PayoutReversal | LineKind::Adjustment)
        {
            return Ok((net, 0, None));
        }
        let presented = Money::new(self.gross.read(record)?, record.currency(self.gross.currency)?);
        let gross = net.checked_add(fee);
        if presented.currency != currency {
            let overflow = || {
                record.refuse(
                    self.net.credit,
                    record.text(self.net.credit),
                    "an amount that fits 64 bits of minor units",
                )
            };
            return Ok((gross.ok_or_else(overflow)?, fee, Some(presented)));
        }
        if gross != Some(presented.minor) {
            let column = if net < 0 { self.net.debit } else { self.net.credit };
            let expected = format!("gross {} less fees of {}", presented, Money::new(fee, currency));
            return Err(record.refuse(column, record.text(column), expected));
        }
        Ok((presented.minor, fee, None))
    }

    fn named(&mut self, mut line: Line) -> Line {
        let [batch, reference, modification] = [&line.payout_id, &line.psp_reference, &line.psp_movement]
            .map(|name| name.as_deref().unwrap_or_default());
        let mut name = format!("{batch}/{}/{reference}/{modification}", line.category);
        if line.psp_reference.is_none() {
            let seen = self.nameless.entry(name.clone()).or_default();
            *seen += 1;
            name = format!("{name}/{seen}");
        }
        line.psp_line_id = name;
        line
    }

    fn moment(&self, record: &Record<'_>) -> Result<OffsetDateTime, Refusal> {
        let zone = record.text(self.time_zone);
        let hours = ZONES.iter().find(|(name, _)| *name == zone).map(|(_, minutes)| *minutes);
        let offset = hours.and_then(|minutes| UtcOffset::from_whole_seconds(minutes * 60).ok());
        let offset = offset.ok_or_else(|| record.refuse(self.time_zone, zone, "a time zone such as CET"))?;
        let created = record.clock(self.created)?.assume_offset(offset).checked_to_offset(UtcOffset::UTC);
        created.ok_or_else(|| record.refuse(self.created, record.text(self.created), A_YEAR))
    }

    /// What the file is a version of: a batch of an account.
    pub fn identity(&self) -> Option<String> {
        self.of.as_ref().map(|(account, batch)| format!("{account}/{batch}"))
    }
}

/// Time zones as the report abbreviates them, in minutes east of UTC.
const ZONES: [(&str, i32); 20] = [
    ("UTC", 0),
    ("GMT", 0),
    ("WET", 0),
    ("BST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("PST", -480),
    ("PDT", -420),
    ("BRT", -180),
    ("SGT", 480),
    ("JST", 540),
    ("AEST", 600),
    ("AEDT", 660),
];

fn kind_of(category: &str) -> LineKind {
    match category {
        "Settled" | "SettledInInstallments" => LineKind::Capture,
        "Refunded" => LineKind::Refund,
        "RefundedReversed" => LineKind::RefundFailure,
        "Chargeback" | "SecondChargeback" => LineKind::Chargeback,
        "ChargebackReversed" => LineKind::ChargebackReversal,
        "Fee" | "InvoiceDeduction" | "PaymentCost" => LineKind::Fee,
        "MerchantPayout" => LineKind::Payout,
        // what is new to us moves our balance all the same, and a person looks at it
        _ => LineKind::Adjustment,
    }
}

#[cfg(test)]
mod tests;
