//! What the readers put together from pieces, whatever the format.

use std::collections::HashSet;

use money::{Currency, Money};

use crate::statement::Refusal;

/// The longest reference, in bytes.
const LONGEST_REFERENCE: usize = 255;
/// The most references of one entry: a batch has one or more for each transaction.
const MOST_REFERENCES: usize = 20_000;
/// The longest text of one entry, in bytes.
pub(super) const LONGEST_TEXT: usize = 1 << 20;

/// What words an entry comes with.
#[derive(Default)]
pub(super) struct Said {
    references: Vec<String>,
    seen: HashSet<String>,
    text: String,
}

impl Said {
    /// A reference among others, unless it says only that there is none.
    ///
    /// # Errors
    /// What was expected.
    pub fn reference(&mut self, text: &str) -> Result<(), String> {
        if let Some(name) = name(text)?
            && self.seen.insert(name.clone())
        {
            if self.references.len() >= MOST_REFERENCES {
                return Err(format!("at most {MOST_REFERENCES} references in an entry"));
            }
            self.references.push(name);
        }
        Ok(())
    }

    /// A piece of text.
    ///
    /// # Errors
    /// What was expected.
    pub fn words(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        if self.text.len() + text.len() >= LONGEST_TEXT {
            return Err(format!("less than {LONGEST_TEXT} bytes of text in an entry"));
        }
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        Ok(())
    }

    /// The references but those that are told elsewhere, and the text.
    pub fn finish(self, elsewhere: [Option<&str>; 2]) -> (Vec<String>, String) {
        let is_told = |name: &String| elsewhere.contains(&Some(name.as_str()));
        (self.references.into_iter().filter(|name| !is_told(name)).collect(), self.text)
    }
}

/// A name that somebody gave; none where it is empty, or the word for none.
///
/// # Errors
/// What was expected.
pub(super) fn name(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    if text.len() > LONGEST_REFERENCE {
        return Err(format!("at most {LONGEST_REFERENCE} bytes"));
    }
    let is_none = matches!(text, "" | "NOTPROVIDED" | "NONREF");
    Ok((!is_none).then(|| text.to_owned()))
}

/// What the entries of a statement add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub credits: Side,
    pub debits: Side,
}

/// What the entries in one direction add up to, in minor units and without a sign.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    pub count: u64,
    pub sum: i64,
}

impl Totals {
    /// One more entry; none where it does not fit. A direction is told apart, as an entry may be of nothing.
    pub fn with(mut self, minor: i64, is_credit: bool) -> Option<Self> {
        let side = if is_credit { &mut self.credits } else { &mut self.debits };
        side.count += 1;
        side.sum = side.sum.checked_add(minor.checked_abs()?)?;
        Some(self)
    }

    pub const fn count(&self) -> u64 {
        self.credits.count + self.debits.count
    }

    pub const fn net(&self) -> i64 {
        // neither is below zero
        self.credits.sum - self.debits.sum
    }
}

/// Where something stands, for refusals.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub file: &'a str,
    pub line: u64,
    pub column: &'a str,
}

impl At<'_> {
    /// What is there is not what it says.
    pub fn refuse(&self, found: impl Into<String>, expected: impl Into<String>) -> Refusal {
        Refusal {
            column: Some(self.column.to_owned()),
            ..Refusal::of_line(self.file, self.line, found, expected)
        }
    }

    /// The same, of a value.
    pub fn value(&self, found: &str, expected: impl Into<String>) -> Refusal {
        Refusal::of_value(self.file, self.line, self.column, found, expected)
    }

    /// The line, as a row of the database has it.
    pub fn line_no(&self) -> Result<i32, Refusal> {
        i32::try_from(self.line).map_err(|_| self.refuse("more lines", "at most 2147483647"))
    }

    pub fn currency(&self, code: &str) -> Result<Currency, Refusal> {
        code.parse().map_err(|_| self.value(code, "an ISO 4217 currency code such as EUR"))
    }

    /// Holds a closing balance to what was before it and between.
    pub fn closes(&self, opening: Money, totals: &Totals, closing: Money) -> Result<(), Refusal> {
        let net = Money::new(totals.net(), opening.currency);
        if opening.checked_add(net) == Ok(closing) {
            return Ok(());
        }
        let sum = opening.checked_add(net).map_or("no amount that fits".to_owned(), |sum| sum.to_string());
        let entries = match totals.count() {
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        };
        let expected = format!("{sum}: {opening} and {entries} of {net}");
        Err(self.refuse(closing.to_string(), expected))
    }
}
