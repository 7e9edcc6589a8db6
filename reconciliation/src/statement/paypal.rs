//! PayPal's settlement report (`STL-...CSV`): sections between headers and footers, where each record says in its first field
//! what it is. The footers' counts and sums have to be those of the records.

use std::collections::BTreeMap;

use money::Currency;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::refusal::{A_YEAR, Refusal};
use super::table::{Header, Record, Row};
use super::{FeeParts, Line, LineKind};

/// What the first record is.
pub(super) const TELLING: &str = "RH";

/// Where in the report it is, and what its footers have to say.
pub(super) struct Layout {
    /// The account, and the moment of which the report is.
    of: Option<(String, String)>,
    place: Place,
    columns: Option<Columns>,
    section: Totals,
    report: Totals,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The report's header, then the file's.
    Start,
    File,
    /// A section, or the report's footer.
    Sections,
    Section,
    Body,
    /// The section's sums were told.
    SectionSums,
    ReportSums,
    ReportCount,
    End,
}

/// What records add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    records: u64,
    sums: BTreeMap<Currency, Sums>,
}

/// In minor units, as the footers have them: credits and debits, gross, then of fees.
type Sums = [i64; 4];

struct Columns {
    header: Header,
    transaction: usize,
    invoice: usize,
    reference: usize,
    code: usize,
    completed: usize,
    side: usize,
    gross: usize,
    currency: usize,
    fee_side: usize,
    fee: usize,
    fee_currency: usize,
    custom: usize,
}

impl Columns {
    fn of(row: &Row<'_>) -> Result<Self, Refusal> {
        let header = Header::of(row, "a section of a settlement report");
        let needed = |name: &str| header.needed(row.file, &[name]);
        Ok(Self {
            transaction: needed("Transaction ID")?,
            invoice: needed("Invoice ID")?,
            reference: needed("PayPal Reference ID")?,
            code: needed("Transaction Event Code")?,
            completed: needed("Transaction Completion Date")?,
            side: needed("Transaction Debit or Credit")?,
            gross: needed("Gross Transaction Amount")?,
            currency: needed("Gross Transaction Currency")?,
            fee_side: needed("Fee Debit or Credit")?,
            fee: needed("Fee Amount")?,
            fee_currency: needed("Fee Currency")?,
            custom: needed("Custom Field")?,
            header,
        })
    }
}

impl Layout {
    pub fn new() -> Self {
        let (section, report) = (Totals::default(), Totals::default());
        Self { of: None, place: Place::Start, columns: None, section, report }
    }

    /// The line that the record is; none where it is a header or footer.
    pub fn line(&mut self, row: Row<'_>) -> Result<Option<Line>, Refusal> {
        let kind = row.field(0);
        self.place = match (self.place, kind) {
            (Place::Start, "RH") => {
                self.of = Some((row.field(3).to_owned(), row.field(1).to_owned()));
                Place::File
            }
            (Place::File, "FH") => Place::Sections,
            (Place::Sections, "SH") => Place::Section,
            (Place::Section, "CH") => {
                self.columns = Some(Columns::of(&row)?);
                Place::Body
            }
            (Place::Body, "SB") => return self.body(row).map(Some),
            // a section without records may have no columns
            (Place::Section | Place::Body | Place::SectionSums, "SF") => {
                check_sums(&row, &self.section)?;
                Place::SectionSums
            }
            (Place::SectionSums | Place::Body | Place::Section, "SC") => {
                check_count(&row, self.section.records)?;
                self.section = Totals::default();
                Place::Sections
            }
            (Place::Sections | Place::ReportSums, "RF") => {
                check_sums(&row, &self.report)?;
                Place::ReportSums
            }
            (Place::Sections | Place::ReportSums, "RC") => {
                check_count(&row, self.report.records)?;
                Place::ReportCount
            }
            // of a report in several files, only the last has the report's footer
            (Place::Sections | Place::ReportCount, "FF") => Place::End,
            (place, _) => return Err(row.refuse(format!("{kind:?}"), place.expected())),
        };
        Ok(None)
    }

    /// Whether the file has ended where it may.
    pub fn end(&self, file: &str) -> Result<(), Refusal> {
        if self.place == Place::End {
            return Ok(());
        }
        Err(Refusal::of_file(file, "the end of the file", self.place.expected()))
    }

    /// What the file is a version of: the report of an account and a moment.
    pub fn identity(&self) -> Option<String> {
        self.of.as_ref().map(|(account, made_at)| format!("{account}/{made_at}"))
    }

    fn body(&mut self, row: Row<'_>) -> Result<Line, Refusal> {
        let Some(columns) = &self.columns else {
            return Err(row.refuse("a record", "its columns before it"));
        };
        let record = row.under(&columns.header)?;
        let currency = record.currency(columns.currency)?;
        let (gross, fee) = (columns.gross(&record)?, columns.charged(&record, currency)?);
        let net = gross.checked_sub(fee);
        let net = net
            .ok_or_else(|| record.refuse(columns.fee, record.text(columns.fee), "a sum that fits 64 bits"))?;
        for totals in [&mut self.section, &mut self.report] {
            totals.records += 1;
            let sums = totals.sums.entry(currency).or_default();
            for (sum, part) in sums.iter_mut().zip([gross.max(0), -gross.min(0), -fee.min(0), fee.max(0)]) {
                *sum = sum.saturating_add(part);
            }
        }
        columns.line(&record, currency, [gross, fee, net])
    }
}

impl Place {
    const fn expected(self) -> &'static str {
        match self {
            Self::Start => "\"RH\", the report's header",
            Self::File => "\"FH\", the file's header",
            Self::Sections => "\"SH\", a section's header, or the footers \"RF\", \"RC\" or \"FF\"",
            Self::Section => "\"CH\", the names of columns",
            Self::Body => "\"SB\", a record, or the section's footers \"SF\" or \"SC\"",
            Self::SectionSums => "the section's footers \"SF\" or \"SC\"",
            Self::ReportSums => "the report's footers \"RF\" or \"RC\"",
            Self::ReportCount => "\"FF\", the file's footer",
            Self::End => "nothing after \"FF\", the file's footer",
        }
    }
}

/// The sums of one currency.
fn check_sums(row: &Row<'_>, totals: &Totals) -> Result<(), Refusal> {
    let currency = row.field(1).parse::<Currency>();
    let currency =
        currency.map_err(|_| row.refuse(format!("{:?}", row.field(1)), "an ISO 4217 currency code"))?;
    let sums = totals.sums.get(&currency).copied().unwrap_or_default();
    let names = ["gross credits", "gross debits", "fee credits", "fee debits"];
    for ((at, name), sum) in (2..).zip(names).zip(sums) {
        if row.field(at).parse() != Ok(sum) {
            let expected = format!("{sum}, the {name} of the records before");
            return Err(row.refuse(format!("{:?} {currency}", row.field(at)), expected));
        }
    }
    Ok(())
}

fn check_count(row: &Row<'_>, records: u64) -> Result<(), Refusal> {
    if row.field(1).parse() == Ok(records) {
        return Ok(());
    }
    let expected = format!("{records}, the number of records before");
    Err(row.refuse(format!("{:?}", row.field(1)), expected))
}

const STAMP: StaticFormatDescription = format_description!(
    "[year]/[month]/[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

impl Columns {
    /// Minor units without a sign, which another column has.
    fn side(record: &Record<'_>, side: usize, amount: usize) -> Result<i64, Refusal> {
        let (text, word) = (record.text(amount), record.text(side));
        if text.is_empty() && word.is_empty() {
            return Ok(0);
        }
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let minor = text.parse::<i64>().ok().filter(|_| is_plain);
        let minor = minor
            .ok_or_else(|| record.refuse(amount, text, "digits alone, in the currency's smallest unit"))?;
        match word {
            "CR" => Ok(minor),
            "DR" => Ok(-minor),
            _ => Err(record.refuse(side, word, "CR or DR")),
        }
    }

    fn gross(&self, record: &Record<'_>) -> Result<i64, Refusal> {
        Self::side(record, self.side, self.gross)
    }

    /// What PayPal kept; less than nothing where it gave back.
    fn charged(&self, record: &Record<'_>, currency: Currency) -> Result<i64, Refusal> {
        let fee = -Self::side(record, self.fee_side, self.fee)?;
        if fee != 0 && record.currency(self.fee_currency)? != currency {
            let found = record.text(self.fee_currency);
            return Err(record.refuse(self.fee_currency, found, format!("{currency}, as the amount is in")));
        }
        Ok(fee)
    }

    fn line(
        &self,
        record: &Record<'_>,
        currency: Currency,
        [gross, fee, net]: [i64; 3],
    ) -> Result<Line, Refusal> {
        let code = record.name(self.code)?;
        let code = code.ok_or_else(|| record.refuse(self.code, "", "an event code such as T0006"))?;
        let transaction = record.name(self.transaction)?;
        let transaction =
            transaction.ok_or_else(|| record.refuse(self.transaction, "", "the transaction's id"))?;
        let kind = kind_of(&code, gross);
        let stamp = record.text(self.completed);
        let completed = OffsetDateTime::parse(stamp, STAMP).map_err(|_| {
            record.refuse(self.completed, stamp, "a moment such as 2026/01/31 13:45:00 +0100")
        })?;
        let occurred_at = completed.checked_to_offset(UtcOffset::UTC);
        let occurred_at = occurred_at.ok_or_else(|| record.refuse(self.completed, stamp, A_YEAR))?;
        let is_payment = kind == LineKind::Capture;
        let is_payout = matches!(kind, LineKind::Payout | LineKind::PayoutReversal);
        let reference = if is_payment { Some(transaction.clone()) } else { record.name(self.reference)? };
        Ok(Line {
            line_no: record.line_no()?,
            // what is held and let go again has the id of its payment
            psp_line_id: format!("{transaction}/{code}/{}", record.text(self.side)),
            kind,
            category: code,
            gross,
            fee,
            net,
            currency,
            presented: None,
            fee_parts: FeeParts::default(),
            method: None,
            occurred_at,
            value_date: completed.date(),
            payout_id: is_payout.then(|| transaction.clone()),
            payout_on: None,
            operation_id: record.operation(Some(self.custom)),
            order_id: record.name(self.invoice)?,
            psp_reference: reference,
            psp_movement: None,
            psp_source: Some(transaction),
        })
    }
}

fn kind_of(code: &str, gross: i64) -> LineKind {
    match code {
        // a payment out of many at once
        "T0001" => LineKind::Payout,
        "T1107" => LineKind::Refund,
        "T1108" => LineKind::Fee,
        "T1114" | "T1116" => LineKind::PayoutReversal,
        "T1106" | "T1201" => LineKind::Chargeback,
        "T1202" => LineKind::ChargebackReversal,
        _ if code.starts_with("T00") && gross >= 0 => LineKind::Capture,
        _ if code.starts_with("T01") => LineKind::Fee,
        _ if code.starts_with("T04") => LineKind::Payout,
        // what is new to us moves our balance all the same, and a person looks at it
        _ => LineKind::Adjustment,
    }
}

#[cfg(test)]
mod tests;
