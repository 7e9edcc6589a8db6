//! The fields of a message, each by its own grammar.

use money::{Currency, Money};
use time::Date;

use crate::bank_statement::date::{short, yearless};
use crate::bank_statement::draft::{At, name};
use crate::bank_statement::part::Balance;
use crate::statement::Refusal;
use crate::statement::amount::minor_units;

/// One field, as it stands in the file.
pub(super) struct Field {
    /// The line on which it begins.
    pub at: u64,
    /// Its number, with its letter: `61`, `60F`.
    pub tag: String,
    pub lines: Vec<String>,
}

/// The tag that a line begins with, and what follows it.
pub(super) fn tag(line: &str) -> Option<(&str, &str)> {
    let (tag, rest) = line.strip_prefix(':')?.split_once(':')?;
    let is_tag = match tag.as_bytes() {
        b"NS" | b"940" => true,
        [tens, ones] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        [tens, ones, letter] => tens.is_ascii_digit() && ones.is_ascii_digit() && letter.is_ascii_uppercase(),
        _ => false,
    };
    is_tag.then_some((tag, rest))
}

/// A field that is being taken apart.
pub(super) struct Reading<'a> {
    at: At<'a>,
    rest: &'a str,
}

impl<'a> Reading<'a> {
    pub const fn new(at: At<'a>, text: &'a str) -> Self {
        Self { at, rest: text }
    }

    /// What stands here is not what was expected.
    fn refuse(&self, expected: impl Into<String>) -> Refusal {
        self.at.value(self.rest, expected)
    }

    /// As many bytes as stand here of such signs.
    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let length = self.rest.find(|sign| !is_part(sign)).unwrap_or(self.rest.len());
        self.take(length).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn takes(&mut self, what: &str) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn date(&mut self) -> Result<Date, Refusal> {
        let date = self.rest.get(..6).and_then(short);
        let date = date.ok_or_else(|| self.refuse("a date such as 260131"))?;
        self.take(6);
        Ok(date)
    }

    /// An amount, which has a comma before its decimal places, and has it even if none follow.
    fn amount(&mut self, currency: Currency) -> Result<i64, Refusal> {
        let found = Reading { at: self.at, rest: self.rest };
        let text = self.take_while(|sign| sign.is_ascii_digit() || sign == ',');
        if text.matches(',').count() != 1 {
            return Err(found.refuse("an amount with a decimal comma, such as 12,05"));
        }
        let major = text.replace(',', ".");
        minor_units(major.strip_suffix('.').unwrap_or(&major), currency)
            .map_err(|expected| self.at.value(text, expected))
    }
}

/// `C260131EUR12,05`.
pub(super) fn balance(at: At<'_>, text: &str) -> Result<Balance, Refusal> {
    let mut reading = Reading::new(at, text.trim_end());
    let is_credit = reading.takes("C");
    if !is_credit && !reading.takes("D") {
        return Err(reading.refuse("C or D, for credit or debit"));
    }
    let on = reading.date()?;
    let Some(code) = reading.take(3) else {
        return Err(reading.refuse("an ISO 4217 currency code such as EUR"));
    };
    let currency = at.currency(code)?;
    let amount = reading.amount(currency)?;
    if !reading.rest.is_empty() {
        return Err(reading.refuse("nothing after the amount"));
    }
    let minor = if is_credit { amount } else { -amount };
    Ok(Balance { amount: Money::new(minor, currency), on })
}

/// What `:61:` says in its first line.
pub(super) struct Line {
    pub value_on: Date,
    pub booked_on: Date,
    pub is_credit: bool,
    pub is_reversal: bool,
    /// Without a sign.
    pub minor: i64,
    pub kind: String,
    pub customer_reference: Option<String>,
    pub bank_reference: Option<String>,
}

/// `2601310131CR12,05NTRFcustomer//bank`: the value day, the day of booking if it is told, the direction, the last letter of the
/// currency if it is told, the amount, its type, and the references.
pub(super) fn line(at: At<'_>, text: &str, currency: Currency) -> Result<Line, Refusal> {
    let mut reading = Reading::new(at, text.trim_end());
    let value_on = reading.date()?;
    let booked_on = match reading.rest.as_bytes() {
        [first, ..] if first.is_ascii_digit() => {
            let date = reading.rest.get(..4).and_then(|text| yearless(text, value_on));
            let date = date.ok_or_else(|| reading.refuse("a day of booking such as 0131"))?;
            reading.take(4);
            date
        }
        _ => value_on,
    };
    let is_reversal = reading.takes("R");
    let is_marked_credit = reading.takes("C");
    if !is_marked_credit && !reading.takes("D") {
        return Err(reading.refuse("C, D, RC or RD, for credit, debit or the reversal of one"));
    }
    let funds = reading.rest;
    let letters = reading.take_while(|sign| sign.is_ascii_uppercase());
    if letters.len() > 1 || !(letters.is_empty() || currency.code().ends_with(letters)) {
        let third = currency.code().get(2..).unwrap_or_default();
        return Err(at.value(
            funds,
            format!("an amount, or {third} before it, which is the third letter of {currency}"),
        ));
    }
    let minor = reading.amount(currency)?;
    let kind = reading.rest.get(..4).filter(|kind| is_kind(kind));
    let kind = kind.ok_or_else(|| reading.refuse("a type such as NTRF"))?.to_owned();
    reading.take(4);
    let (customer, bank) = reading.rest.split_once("//").unwrap_or((reading.rest, ""));
    let name = |text| name(text).map_err(|expected| at.value(text, expected));
    let customer_reference = name(customer)?.filter(|name| !SEE_DETAILS.contains(&name.as_str()));
    Ok(Line {
        value_on,
        booked_on,
        // the reversal of a credit is a debit
        is_credit: is_marked_credit != is_reversal,
        is_reversal,
        minor,
        kind,
        customer_reference,
        bank_reference: name(bank)?,
    })
}

/// What stands for a reference that is told in `:86:`, by that name.
const SEE_DETAILS: [&str; 6] = ["EREF", "EREF+", "KREF+", "MARF", "PREF", "SVWZ+"];

fn is_kind(kind: &str) -> bool {
    let is_sign = |sign: u8| sign.is_ascii_uppercase() || sign.is_ascii_digit();
    kind.starts_with(['N', 'F', 'S']) && kind.bytes().all(is_sign)
}

/// The number of a statement and of its page: `12/1`, or `12` where it has no pages.
pub(super) fn number(at: At<'_>, text: &str) -> Result<(u32, Option<u32>), Refusal> {
    let number = |text: &str| {
        let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().ok() } else { None }
    };
    let text = text.trim();
    let read = match text.split_once('/') {
        None => number(text).map(|statement| (statement, None)),
        Some((statement, page)) => number(statement).zip(number(page)).map(|(of, page)| (of, Some(page))),
    };
    read.ok_or_else(|| at.value(text, "a statement's number and its page's, such as 12/1"))
}
