//! Files of records with commas between their fields: columns found by their names, lines counted as an editor counts them.

use std::borrow::Cow;
use std::io::Read;

use csv::StringRecord;
use encoding_rs::Encoding;
use money::{Currency, OperationId};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use super::amount::minor_units;
use super::decoded::{Decoded, Malformed, Text};
use super::hashed::Hashed;
use super::lines::Lines;
use super::refusal::{Error, Refusal};

/// The longest name that a column of ids may hold, in bytes.
pub(super) const LONGEST_NAME: usize = 255;

/// How records are written down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub delimiter: u8,
    /// What stands around fields, if anything does.
    pub quote: Option<u8>,
    /// None where it is UTF-8, which the CSV reader checks by itself.
    pub encoding: Option<&'static Encoding>,
    /// Lines before the first record: only where there is an encoding.
    pub skip_lines: u64,
}

impl Dialect {
    /// What PSPs' own reports are in.
    pub const USUAL: Self = Self { delimiter: b',', quote: Some(b'"'), encoding: None, skip_lines: 0 };
}

/// A file being read: a record at a time, whatever its size.
pub(super) struct Table<R> {
    file: String,
    reader: csv::Reader<Lines<Text<R>>>,
    fields: StringRecord,
}

impl<R: Read> Table<R> {
    pub fn open(file: &str, source: R, dialect: Dialect) -> Self {
        let Dialect { delimiter, quote, encoding, skip_lines } = dialect;
        let source = Hashed::new(source);
        let text = match encoding {
            None => Text::Plain(source),
            Some(encoding) => Text::Decoded(Box::new(Decoded::new(source, encoding, skip_lines))),
        };
        let reader = csv::ReaderBuilder::new()
            .buffer_capacity(1 << 16)
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .quote(quote.unwrap_or(b'"'))
            .quoting(quote.is_some())
            .from_reader(Lines::after(skip_lines, text, quote));
        Self { file: file.to_owned(), reader, fields: StringRecord::new() }
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, is no text, or is cut off within quotes.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        match self.reader.read_record(&mut self.fields) {
            Ok(true) => {
                let byte = self.fields.position().map_or(0, csv::Position::byte);
                let at = self.reader.get_mut().line_of_record(byte);
                Ok(Some(Row { file: &self.file, at, fields: &self.fields }))
            }
            Ok(false) if self.reader.get_ref().quotes_are_paired() => Ok(None),
            Ok(false) => {
                let expected = "as many closing quotes as opening ones; is the file cut off?";
                Err(Refusal::of_file(&self.file, "a quoted field without an end", expected).into())
            }
            Err(error) => Err(self.error(error)),
        }
    }

    fn error(&mut self, error: csv::Error) -> Error {
        let byte = error.position().map(csv::Position::byte);
        let line = byte.map(|byte| self.reader.get_mut().line_of_record(byte));
        let refused = |found: String, expected: &str| {
            Error::Refused(Refusal { line, ..Refusal::of_file(&self.file, found, expected) })
        };
        match error.into_kind() {
            csv::ErrorKind::Io(source) => match source.downcast::<Malformed>() {
                Ok(Malformed { line, encoding }) => {
                    let found = format!("bytes that are no {encoding}");
                    Refusal::of_line(&self.file, line, found, format!("text in {encoding}")).into()
                }
                Err(source) => Error::Io { file: self.file.clone(), source },
            },
            csv::ErrorKind::Utf8 { err, .. } => {
                refused(format!("bytes that are no UTF-8 in field {}", err.field() + 1), "UTF-8")
            }
            other => refused(format!("{other:?}"), "CSV"),
        }
    }

    /// The SHA-256 of what was read.
    pub fn sha256(&self) -> [u8; 32] {
        self.reader.get_ref().inner().source().sha256()
    }
}

/// One record, wherever it stands.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub file: &'a str,
    /// The line on which it begins.
    pub at: u64,
    pub fields: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// The field at this place, or nothing.
    pub fn field(&self, at: usize) -> &'a str {
        self.fields.get(at).unwrap_or_default()
    }

    pub fn refuse(&self, found: impl Into<String>, expected: impl Into<String>) -> Refusal {
        Refusal::of_line(self.file, self.at, found, expected)
    }

    /// The record under this header.
    ///
    /// # Errors
    /// When it has more or fewer fields.
    pub fn under(self, header: &'a Header) -> Result<Record<'a>, Refusal> {
        let (found, expected) = (self.fields.len(), header.names.len());
        if found != expected {
            let expected = format!("{expected}, as in the header");
            return Err(self.refuse(format!("{found} fields"), expected));
        }
        Ok(Record { row: self, header })
    }
}

/// The names of columns.
pub(super) struct Header {
    names: StringRecord,
    line: u64,
    /// What files have it, for refusals.
    of: Cow<'static, str>,
}

impl Header {
    pub fn of(row: &Row<'_>, of: impl Into<Cow<'static, str>>) -> Self {
        Self { names: row.fields.iter().map(str::trim).collect(), line: row.at, of: of.into() }
    }

    /// The column with the first of these names that there is.
    ///
    /// # Errors
    /// When it is there twice.
    pub fn position(&self, file: &str, names: &[&str]) -> Result<Option<usize>, Refusal> {
        for name in names {
            let mut at = self.names.iter().enumerate().filter(|(_, found)| found == name);
            match (at.next(), at.next()) {
                (None, _) => {}
                (Some((index, _)), None) => return Ok(Some(index)),
                (Some(_), Some(_)) => {
                    return Err(self.refuse(file, name, "the column twice", "each column once"));
                }
            }
        }
        Ok(None)
    }

    /// The same, of a column that has to be there.
    ///
    /// # Errors
    /// When it is not, or twice.
    pub fn needed(&self, file: &str, names: &[&str]) -> Result<usize, Refusal> {
        self.position(file, names)?.ok_or_else(|| {
            let expected = format!("it in the header of {}", self.of);
            self.refuse(file, names.last().copied().unwrap_or_default(), "no such column", expected)
        })
    }

    fn refuse(&self, file: &str, column: &str, found: &str, expected: impl Into<String>) -> Refusal {
        Refusal { column: Some(column.to_owned()), ..Refusal::of_line(file, self.line, found, expected) }
    }
}

/// One record under its header.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    row: Row<'a>,
    header: &'a Header,
}

/// Whether something in it is no text: in most names it is enough to look at the bytes.
fn has_control(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    !is_plain && text.chars().any(char::is_control)
}

/// A day, or a moment, as `2026-01-31` and `2026-01-31 13:45:00`.
fn clock(text: &str) -> Option<PrimitiveDateTime> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u16> {
        bytes.get(from..to)?.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
        })
    };
    let pair = |from: usize| u8::try_from(number(from, from + 2)?).ok();
    let has = |at: usize, sign: u8| bytes.get(at) == Some(&sign);
    let month = Month::try_from(pair(5)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, pair(8)?).ok()?;
    let time = match bytes.len() {
        10 => Time::MIDNIGHT,
        19 if has(10, b' ') && has(13, b':') && has(16, b':') => {
            Time::from_hms(pair(11)?, pair(14)?, pair(17)?).ok()?
        }
        _ => return None,
    };
    (has(4, b'-') && has(7, b'-')).then_some(PrimitiveDateTime::new(date, time))
}

impl<'a> Record<'a> {
    pub fn text(&self, column: usize) -> &'a str {
        self.row.field(column)
    }

    pub fn refuse(&self, column: usize, found: &str, expected: impl Into<String>) -> Refusal {
        let name = self.header.names.get(column).unwrap_or_default();
        Refusal::of_value(self.row.file, self.row.at, name, found, expected)
    }

    pub fn refuse_whole(&self, found: &str, expected: impl Into<String>) -> Refusal {
        self.row.refuse(found, expected)
    }

    /// Where it begins, as a line of the database has it.
    pub fn line_no(&self) -> Result<i32, Refusal> {
        i32::try_from(self.row.at).map_err(|_| self.row.refuse("more lines", "at most 2147483647"))
    }

    pub fn currency(&self, column: usize) -> Result<Currency, Refusal> {
        let text = self.text(column);
        let known = (text.len() == 3).then(|| text.to_ascii_uppercase().parse().ok()).flatten();
        known.ok_or_else(|| self.refuse(column, text, "an ISO 4217 currency code such as EUR"))
    }

    /// In minor units, of what the column has in major ones.
    pub fn amount(&self, column: usize, currency: Currency) -> Result<i64, Refusal> {
        let text = self.text(column);
        minor_units(text, currency).map_err(|expected| self.refuse(column, text, expected))
    }

    /// The same; 0 where the column has nothing.
    pub fn amount_if_any(&self, column: usize, currency: Currency) -> Result<i64, Refusal> {
        if self.text(column).is_empty() { Ok(0) } else { self.amount(column, currency) }
    }

    /// A day, or a moment of a clock that is no more told.
    pub fn clock(&self, column: usize) -> Result<PrimitiveDateTime, Refusal> {
        let text = self.text(column);
        clock(text).ok_or_else(|| self.refuse(column, text, "a date or moment such as 2026-01-31 13:45:00"))
    }

    /// The same, of a clock that shows UTC.
    pub fn moment(&self, column: usize) -> Result<OffsetDateTime, Refusal> {
        self.clock(column).map(PrimitiveDateTime::assume_utc)
    }

    /// A name of the PSP's or ours; none where the field is empty.
    pub fn name(&self, column: usize) -> Result<Option<String>, Refusal> {
        self.name_in(column, self.text(column))
    }

    /// The same, of the part `text` of a field.
    pub fn name_in(&self, column: usize, text: &str) -> Result<Option<String>, Refusal> {
        if text.len() > LONGEST_NAME || has_control(text) {
            let expected = format!("at most {LONGEST_NAME} bytes, none of them a control character");
            return Err(self.refuse(column, text, expected));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// The same, of a column that may not be there.
    pub fn name_of(&self, column: Option<usize>) -> Result<Option<String>, Refusal> {
        Ok(column.map(|column| self.name(column)).transpose()?.flatten())
    }

    /// Our operation, where the field is the id of one.
    pub fn operation(&self, column: Option<usize>) -> Option<OperationId> {
        self.text(column?).parse().ok()
    }
}
