//! Stripe's itemised payout reconciliation (`payout_reconciliation.itemized`), as CSV.

use std::io::Read;

use csv::StringRecord;
use money::{Currency, OperationId};
use time::format_description::{FormatItem, StaticFormatDescription};
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

use super::amount::minor_units;
use super::digest::Digesting;
use super::refusal::{Error, Refusal};
use super::{Line, LineKind};

/// The longest name that a column of ids may hold, in bytes.
const LONGEST_NAME: usize = 255;

/// Where the columns are. The names with `_utc` are those of reports that were asked for in UTC beside another time
/// zone, and go before.
struct Columns {
    psp_line_id: usize,
    created: usize,
    available_on: Option<usize>,
    currency: usize,
    gross: usize,
    fee: usize,
    net: usize,
    category: usize,
    source_id: usize,
    charge_id: usize,
    payment_intent_id: usize,
    payout_id: usize,
    operation: usize,
    order: Option<usize>,
    refund_operation: Option<usize>,
    description: Option<usize>,
}

const OPERATION: &str = "payment_metadata[payonce_operation]";

impl Columns {
    fn of(file: &str, header: &StringRecord) -> Result<Self, Refusal> {
        let position = |names: &[&str]| -> Result<Option<usize>, Refusal> {
            for name in names {
                let mut at = header.iter().enumerate().filter(|(_, found)| found.trim() == *name);
                match (at.next(), at.next()) {
                    (None, _) => {}
                    (Some((index, _)), None) => return Ok(Some(index)),
                    (Some(_), Some(_)) => {
                        let refusal = Refusal::of_line(file, 1, "the column twice", "each column once");
                        return Err(Refusal { column: Some((*name).to_owned()), ..refusal });
                    }
                }
            }
            Ok(None)
        };
        let needed = |names: &[&str]| {
            position(names)?.ok_or_else(|| {
                let found = if header.is_empty() { "nothing" } else { "no such column" };
                let expected = "it in the header of an itemised payout reconciliation";
                let column = names.last().map(|name| (*name).to_owned());
                Refusal { column, ..Refusal::of_line(file, 1, found, expected) }
            })
        };
        Ok(Self {
            psp_line_id: needed(&["balance_transaction_id"])?,
            created: needed(&["created_utc", "created"])?,
            available_on: position(&["available_on_utc", "available_on"])?,
            currency: needed(&["currency"])?,
            gross: needed(&["gross"])?,
            fee: needed(&["fee"])?,
            net: needed(&["net"])?,
            category: needed(&["reporting_category"])?,
            source_id: needed(&["source_id"])?,
            charge_id: needed(&["charge_id"])?,
            payment_intent_id: needed(&["payment_intent_id"])?,
            payout_id: needed(&["automatic_payout_id"])?,
            operation: needed(&[OPERATION])?,
            order: position(&["payment_metadata[order_id]"])?,
            refund_operation: position(&["refund_metadata[payonce_operation]"])?,
            description: position(&["description"])?,
        })
    }
}

/// A file being read: a line at a time, whatever its size.
pub struct Statement<R> {
    file: String,
    reader: csv::Reader<Digesting<R>>,
    header: StringRecord,
    columns: Columns,
    record: StringRecord,
}

impl<R: Read> Statement<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When a column is missing or there twice, or the file cannot be read.
    pub fn open(file: &str, source: R) -> Result<Self, Error> {
        let mut reader =
            csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(Digesting::new(source));
        let header = match reader.headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(csv_error(file, &mut reader, error)),
        };
        let columns = Columns::of(file, &header)?;
        Ok(Self { file: file.to_owned(), reader, header, columns, record: StringRecord::new() })
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that it may not.
    pub fn next_line(&mut self) -> Result<Option<Line>, Error> {
        match self.reader.read_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return self.end().map(|()| None),
            Err(error) => return Err(csv_error(&self.file, &mut self.reader, error)),
        }
        let byte = self.record.position().map_or(0, csv::Position::byte);
        let at = self.reader.get_mut().line_of_record(byte);
        Ok(Some(
            Row { file: &self.file, at, header: &self.header, record: &self.record }.line(&self.columns)?,
        ))
    }

    fn end(&self) -> Result<(), Error> {
        if self.reader.get_ref().quotes_are_paired() {
            return Ok(());
        }
        let expected = "as many closing quotes as opening ones; is the file cut off?";
        Err(Refusal::of_file(&self.file, "a quoted field without an end", expected).into())
    }

    /// How far the file was read, in bytes.
    pub fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    /// The SHA-256 of the content, once [`Self::next_line`] has answered none.
    pub fn sha256(&self) -> [u8; 32] {
        self.reader.get_ref().sha256()
    }
}

fn csv_error<R: Read>(file: &str, reader: &mut csv::Reader<Digesting<R>>, error: csv::Error) -> Error {
    let byte = error.position().map(csv::Position::byte);
    let line = byte.map(|byte| reader.get_mut().line_of_record(byte));
    let refused = |found: String, expected: String| {
        Error::Refused(Refusal { line, ..Refusal::of_file(file, found, expected) })
    };
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::Io { file: file.to_owned(), source },
        csv::ErrorKind::Utf8 { err, .. } => {
            refused(format!("bytes that are no UTF-8 in field {}", err.field() + 1), "UTF-8".to_owned())
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            refused(format!("{len} fields"), format!("{expected_len}, as in the header"))
        }
        other => refused(format!("{other:?}"), "CSV".to_owned()),
    }
}

/// One record, while it is made a line.
struct Row<'a> {
    file: &'a str,
    at: u64,
    header: &'a StringRecord,
    record: &'a StringRecord,
}

const STAMP: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");

impl Row<'_> {
    fn line(&self, columns: &Columns) -> Result<Line, Refusal> {
        let currency = self.currency(columns.currency)?;
        let gross = self.amount(columns.gross, currency)?;
        let fee = self.amount(columns.fee, currency)?;
        let net = self.amount(columns.net, currency)?;
        if gross.checked_sub(fee) != Some(net) {
            let found = self.text(columns.net);
            let expected = format!("gross {} less fee {}", self.text(columns.gross), self.text(columns.fee));
            return Err(self.refuse(columns.net, found, expected));
        }
        let category = self.name(columns.category)?;
        let category = category.ok_or_else(|| self.refuse(columns.category, "", "a reporting category"))?;
        let kind = kind_of(&category);
        let operation = match kind {
            // the metadata of a payment names its capture, not this refund
            LineKind::Refund | LineKind::RefundFailure => columns.refund_operation,
            // nor a dispute, which has no name of ours
            LineKind::Chargeback | LineKind::ChargebackReversal => None,
            // there is no column for the metadata of a payout: one of ours is described by its operation
            LineKind::Payout | LineKind::PayoutReversal => columns.description,
            _ => Some(columns.operation),
        };
        let occurred_at = self.moment(columns.created)?;
        let value_date = match columns.available_on {
            Some(column) if !self.text(column).is_empty() => self.moment(column)?.date(),
            _ => occurred_at.date(),
        };
        Ok(Line {
            line_no: i32::try_from(self.at)
                .map_err(|_| Refusal::of_line(self.file, self.at, "more lines", "at most 2147483647"))?,
            psp_line_id: self
                .name(columns.psp_line_id)?
                .ok_or_else(|| self.refuse(columns.psp_line_id, "", "the line's id, such as txn_1"))?,
            kind,
            category,
            gross,
            fee,
            net,
            currency,
            occurred_at,
            value_date,
            payout_id: self.name(columns.payout_id)?,
            operation_id: operation.and_then(|column| self.text(column).parse::<OperationId>().ok()),
            order_id: columns.order.map(|column| self.name(column)).transpose()?.flatten(),
            psp_reference: self.name(columns.payment_intent_id)?,
            psp_movement: self.name(columns.charge_id)?,
            psp_source: self.name(columns.source_id)?,
        })
    }

    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    fn refuse(&self, column: usize, found: &str, expected: impl Into<String>) -> Refusal {
        let name = self.header.get(column).unwrap_or_default();
        Refusal::of_value(self.file, self.at, name, found, expected)
    }

    fn currency(&self, column: usize) -> Result<Currency, Refusal> {
        let text = self.text(column);
        let known = (text.len() == 3).then(|| text.to_ascii_uppercase().parse().ok()).flatten();
        known.ok_or_else(|| self.refuse(column, text, "an ISO 4217 currency code such as eur"))
    }

    fn amount(&self, column: usize, currency: Currency) -> Result<i64, Refusal> {
        let text = self.text(column);
        minor_units(text, currency).map_err(|expected| self.refuse(column, text, expected))
    }

    fn moment(&self, column: usize) -> Result<OffsetDateTime, Refusal> {
        let text = self.text(column);
        let parse = |format: &[FormatItem<'_>]| PrimitiveDateTime::parse(text, format);
        let moment = match text.len() {
            10 => Date::parse(text, DAY).map(|day| PrimitiveDateTime::new(day, Time::MIDNIGHT)),
            _ => parse(STAMP),
        };
        moment
            .map(PrimitiveDateTime::assume_utc)
            .map_err(|_| self.refuse(column, text, "a date or moment such as 2026-01-31 13:45:00"))
    }

    /// A name of the PSP's or ours; none where the field is empty.
    fn name(&self, column: usize) -> Result<Option<String>, Refusal> {
        let text = self.text(column);
        if text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
            let expected = format!("at most {LONGEST_NAME} bytes, none of them a control character");
            return Err(self.refuse(column, text, expected));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }
}

fn kind_of(category: &str) -> LineKind {
    match category {
        "charge" => LineKind::Capture,
        "refund" => LineKind::Refund,
        "refund_failure" => LineKind::RefundFailure,
        "dispute" => LineKind::Chargeback,
        "dispute_reversal" => LineKind::ChargebackReversal,
        "fee" | "network_cost" => LineKind::Fee,
        "payout" => LineKind::Payout,
        "payout_reversal" => LineKind::PayoutReversal,
        // what is new to us moves our balance all the same, and a person looks at it
        _ => LineKind::Adjustment,
    }
}
