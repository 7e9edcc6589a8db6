//! Records and their fields.

use money::Currency;
use time::Date;

use crate::bank_statement::date::short;
use crate::bank_statement::draft::At;
use crate::bank_statement::lines::Line;
use crate::statement::Refusal;
use crate::statement::amount::minor_units;

/// A record, with those that continue it.
pub(super) struct Record {
    /// The line on which it begins.
    pub at: u64,
    pub code: String,
    /// What stands in each of its lines, without the slash at the end.
    pub pieces: Vec<Line>,
}

/// A line's code, and what follows it without the slash that ends it. Lines are padded where all are to be of one length.
pub(super) fn code(line: &str) -> Option<(&str, &str)> {
    let (code, rest) = line.split_at_checked(2)?;
    let rest = rest.strip_prefix(',')?.trim_end();
    let is_known = matches!(code, "01" | "02" | "03" | "16" | "49" | "88" | "98" | "99");
    is_known.then_some((code, rest.strip_suffix('/').unwrap_or(rest)))
}

/// The fields of a record, one after the other. A field ends with its line: what continues a record begins with a field.
pub(super) struct Fields<'a> {
    file: &'a str,
    record: &'a Record,
    /// The line that the field at hand is in, and what is left of it.
    piece: usize,
    rest: Option<&'a str>,
}

/// A field, by its name.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub at: At<'a>,
    pub text: &'a str,
}

impl<'a> Fields<'a> {
    pub fn of(file: &'a str, record: &'a Record) -> Self {
        Self { file, record, piece: 0, rest: record.pieces.first().map(|line| line.text.as_str()) }
    }

    /// The next field, which has this name; none where the record has ended.
    pub fn next(&mut self, column: &'a str) -> Option<Value<'a>> {
        let rest = self.left()?;
        let line = self.record.pieces.get(self.piece).map_or(self.record.at, |line| line.at);
        let at = At { file: self.file, line, column };
        let text = match rest.split_once(',') {
            Some((text, after)) => {
                self.rest = Some(after);
                text
            }
            None => {
                self.rest = None;
                rest
            }
        };
        Some(Value { at, text: text.trim() })
    }

    /// The same, of a field that may be left out at the end.
    pub fn or_empty(&mut self, column: &'a str) -> Value<'a> {
        let at = At { file: self.file, line: self.record.at, column };
        self.next(column).unwrap_or(Value { at, text: "" })
    }

    /// All that is left, commas included: a line for each of the file's.
    pub fn tail(mut self) -> Vec<&'a str> {
        let mut lines = Vec::new();
        while let Some(rest) = self.left() {
            lines.push(rest);
            self.rest = None;
        }
        lines
    }

    /// Nothing may follow but what is empty.
    pub fn end(mut self) -> Result<(), Refusal> {
        while let Some(value) = self.next("the last field") {
            if !value.text.is_empty() {
                return Err(value.refuse("nothing more in the record"));
            }
        }
        Ok(())
    }

    fn left(&mut self) -> Option<&'a str> {
        if self.rest.is_none() {
            self.piece += 1;
            self.rest = self.record.pieces.get(self.piece).map(|line| line.text.as_str());
        }
        self.rest
    }
}

impl Value<'_> {
    pub fn refuse(&self, expected: impl Into<String>) -> Refusal {
        self.at.value(self.text, expected)
    }

    pub fn date(&self) -> Result<Date, Refusal> {
        short(self.text).ok_or_else(|| self.refuse("a date such as 260131"))
    }

    /// The hour and minute; 2400 is a day's end, and 9999 whenever it was.
    pub fn time(&self) -> Result<(), Refusal> {
        let is_digits = self.text.len() == 4 && self.text.bytes().all(|byte| byte.is_ascii_digit());
        let is_clock = |time: u16| time == 9999 || (time <= 2400 && time % 100 < 60);
        let is_time = self.text.is_empty() || (is_digits && self.text.parse().is_ok_and(is_clock));
        is_time.then_some(()).ok_or_else(|| self.refuse("a time such as 2359"))
    }

    pub fn currency(&self) -> Result<Currency, Refusal> {
        self.at.currency(self.text)
    }

    pub fn number(&self) -> Result<u64, Refusal> {
        let is_number = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| self.text.parse().ok()).flatten();
        number.ok_or_else(|| self.refuse("a number"))
    }

    /// Minor units, with a sign where it needs one.
    pub fn amount(&self) -> Result<i64, Refusal> {
        let unsigned = self.text.strip_prefix('+').unwrap_or(self.text);
        let is_integer = !unsigned.contains('.') && !self.text.starts_with("+-");
        // a currency without minor units, so that none are added
        let minor = is_integer.then(|| minor_units(unsigned, Currency::JPY).ok()).flatten();
        minor.ok_or_else(|| self.refuse("an amount in minor units such as 1205"))
    }
}
