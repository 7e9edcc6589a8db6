use money::{Currency, Money};
use time::Date;

use crate::bank_statement::date::iso;
use crate::bank_statement::draft::At;
use crate::bank_statement::xml::column;
use crate::statement::Refusal;
use crate::statement::amount::minor_units;

/// An element with text in it, or the place of one without.
pub(super) struct Leaf<'a> {
    pub file: &'a str,
    /// Where it begins.
    pub line: u64,
    pub path: &'a str,
    pub text: &'a str,
    /// Its attribute `Ccy`.
    pub currency: Option<&'a str>,
}

impl<'a> Leaf<'a> {
    pub fn at(&self) -> At<'a> {
        At { file: self.file, line: self.line, column: column(self.path) }
    }

    pub fn refuse(&self, expected: impl Into<String>) -> Refusal {
        self.at().value(self.text, expected)
    }

    /// An element within this one that is not there.
    pub fn lacks(&self, element: &str, expected: &str) -> Refusal {
        let column = format!("{}/{element}", column(self.path));
        At { column: &column, ..self.at() }.refuse("nothing", expected)
    }

    /// Keeps a value that may be told once.
    pub fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<(), Refusal> {
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.refuse("it once")),
        }
    }

    /// An amount without a sign, which another element has.
    pub fn amount(&self, currency: Currency) -> Result<i64, Refusal> {
        if self.text.starts_with('-') {
            return Err(self.refuse("an amount without a sign, which is CdtDbtInd's"));
        }
        minor_units(self.text, currency).map_err(|expected| self.refuse(expected))
    }

    /// The same, in its own currency.
    pub fn money(&self) -> Result<Money, Refusal> {
        let Some(code) = self.currency else { return Err(self.refuse("an amount with its currency, Ccy")) };
        let currency = self.at().currency(code)?;
        Ok(Money::new(self.amount(currency)?, currency))
    }

    pub fn is_credit(&self) -> Result<bool, Refusal> {
        match self.text {
            "CRDT" => Ok(true),
            "DBIT" => Ok(false),
            _ => Err(self.refuse("CRDT or DBIT")),
        }
    }

    /// A day, or a moment of it.
    pub fn date(&self) -> Result<Date, Refusal> {
        iso(self.text).ok_or_else(|| {
            self.refuse("a date such as 2026-01-31, or a moment such as 2026-01-31T13:45:00+01:00")
        })
    }

    pub fn number(&self) -> Result<u64, Refusal> {
        let digits = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| self.text.parse().ok()).flatten();
        number.ok_or_else(|| self.refuse("a number of entries"))
    }
}

/// An amount in its direction.
pub(super) const fn signed(money: Money, is_credit: bool) -> Money {
    // there is a negative of whatever has no sign
    if is_credit { money } else { Money::new(-money.minor, money.currency) }
}
