//! Messages, and the statements that they are pages of.

use std::collections::VecDeque;

use money::Money;
use time::Date;

use super::details;
use super::field::{Field, Line, balance, line, number};
use crate::bank_statement::draft::{At, Said, Totals, name};
use crate::bank_statement::part::{Account, Balance, Closing, Entry, Head, Part};
use crate::statement::Refusal;

/// What was read so far.
pub(super) struct Messages {
    file: String,
    place: Place,
    page: Page,
    statement: Option<Statement>,
    entry: Option<Draft>,
    statements: u64,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `:20:`.
    Between,
    /// `:25:`.
    Account,
    /// `:28C:`.
    Number,
    /// `:60F:`, or `:60M:` on a further page.
    Opening,
    /// `:61:`, or `:62F:` or `:62M:`.
    Entries,
    /// What is said about the whole, or the end.
    Closed,
}

impl Place {
    const fn expected(self) -> &'static str {
        match self {
            Self::Between => ":20:",
            Self::Account => ":25:",
            Self::Number => ":28C:",
            Self::Opening => ":60F:",
            Self::Entries => ":61:, :62F: or :62M:",
            Self::Closed => ":64:, :65:, :86: or the message's end",
        }
    }
}

/// A message: one page of a statement.
#[derive(Default)]
struct Page {
    line: u64,
    name: Option<String>,
    account: Option<Account>,
    number: (u32, Option<u32>),
    number_text: String,
    totals: Totals,
}

/// The statement at hand, over all of its pages.
struct Statement {
    account: Account,
    number: (u32, Option<u32>),
    opening: Balance,
    /// How the page at hand opened.
    page_opening: Balance,
    totals: Totals,
    /// How the page before ended, where another one has to follow.
    to_follow: Option<Balance>,
}

/// An entry as it is read.
struct Draft {
    at: u64,
    line: Line,
    said: Said,
    details: Vec<String>,
}

impl Messages {
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            place: Place::Between,
            page: Page::default(),
            statement: None,
            entry: None,
            statements: 0,
        }
    }

    /// Whether no message is open.
    pub fn is_between(&self) -> bool {
        self.place == Place::Between
    }

    /// One more field of a message.
    pub fn field(&mut self, field: Field, parts: &mut VecDeque<Part>) -> Result<(), Refusal> {
        let column = format!(":{}:", field.tag);
        let file = self.file.clone();
        let at = At { file: &file, line: field.at, column: &column };
        let text = field.lines.first().map(String::as_str).unwrap_or_default();
        let most = match field.tag.as_str() {
            "61" | "86" | "NS" => usize::MAX,
            // the bank is in the second
            "25P" => 2,
            _ => 1,
        };
        if let Some(line) = field.lines.get(most) {
            return Err(at.value(line, "the next field, or the message's end"));
        }
        match (self.place, field.tag.as_str()) {
            // banks that leave the end of a message out begin the next one
            (Place::Between | Place::Closed, "20") => {
                let name = name(text).map_err(|expected| at.value(text, expected))?;
                self.page = Page { line: field.at, name, ..Page::default() };
                self.place = Place::Account;
            }
            (Place::Between | Place::Closed, "940") | (Place::Account, "21") => {}
            (Place::Account, "25" | "25P") => {
                let account = Account::new(text).ok_or_else(|| at.value(text, "an account"))?;
                self.page.account = Some(account);
                self.place = Place::Number;
            }
            (Place::Number, "28" | "28C") => {
                self.page.number = number(at, text)?;
                text.trim().clone_into(&mut self.page.number_text);
                self.place = Place::Opening;
            }
            (Place::Opening, "60F") => self.open(at, balance(at, text)?, parts)?,
            (Place::Opening, "60M") => self.go_on(at, balance(at, text)?)?,
            (Place::Entries, "61") => {
                self.flush(parts)?;
                self.enter(at, &field)?;
            }
            (Place::Entries, "86" | "NS") => self.say(at, field.lines)?,
            (Place::Entries, "62F" | "62M") => {
                self.flush(parts)?;
                self.close(at, balance(at, text)?, parts)?;
            }
            (Place::Closed, "64" | "65" | "86" | "NS") => {}
            (place, _) => return Err(at.refuse("it", place.expected())),
        }
        Ok(())
    }

    /// The first page of a statement opens.
    fn open(&mut self, at: At<'_>, opening: Balance, parts: &mut VecDeque<Part>) -> Result<(), Refusal> {
        if let Some(follows) = self.statement.as_ref().and_then(|statement| statement.to_follow) {
            return Err(at.refuse("a first page", format!("the page that opens with {}", follows.amount)));
        }
        let Some(account) = self.page.account.clone() else { return Err(at.refuse("it", ":25: before it")) };
        parts.push_back(Part::Begin(Head {
            line_no: At { line: self.page.line, ..at }.line_no()?,
            account: account.clone(),
            currency: opening.amount.currency,
            statement_id: self.page.name.take(),
            sequence: Some(std::mem::take(&mut self.page.number_text)),
            opening: Some(opening),
        }));
        self.statement = Some(Statement {
            account,
            number: self.page.number,
            opening,
            page_opening: opening,
            totals: Totals::default(),
            to_follow: None,
        });
        self.place = Place::Entries;
        Ok(())
    }

    /// Another page opens: it has to be the one after that before.
    fn go_on(&mut self, at: At<'_>, opening: Balance) -> Result<(), Refusal> {
        let Some((statement, before)) = self.statement.as_mut().and_then(|statement| {
            let before = statement.to_follow.take()?;
            Some((statement, before))
        }) else {
            return Err(at.refuse("a further page", ":60F:, or the page before it in the same file"));
        };
        let at_tag = |column| At { line: self.page.line, column, ..at };
        if self.page.account.as_ref() != Some(&statement.account) {
            let found = self.page.account.as_ref().map_or("", Account::as_str);
            return Err(at_tag(":25:").value(found, format!("{}, as on the page before", statement.account)));
        }
        let (of, page) = statement.number;
        let expected = (of, page.map(|page| page + 1));
        if self.page.number != expected {
            let next = expected.1.map(|page| format!("/{page}")).unwrap_or_default();
            let expected = format!("{of}{next}, after the page before");
            return Err(at_tag(":28C:").value(&self.page.number_text, expected));
        }
        if opening.amount != before.amount {
            let expected = format!("{}, as on the page before", before.amount);
            return Err(at.refuse(opening.amount.to_string(), expected));
        }
        statement.number = self.page.number;
        statement.page_opening = opening;
        self.place = Place::Entries;
        Ok(())
    }

    fn enter(&mut self, at: At<'_>, field: &Field) -> Result<(), Refusal> {
        let Some(statement) = &mut self.statement else { return Err(at.refuse("it", ":60F: before it")) };
        let (first, rest) =
            field.lines.split_first().map_or(("", [].as_slice()), |(first, rest)| (first, rest));
        let line = line(at, first, statement.opening.amount.currency)?;
        let with = |totals: Totals| {
            let signed = if line.is_credit { line.minor } else { -line.minor };
            let overflow = || at.value(first, "sums that fit 64 bits of minor units");
            totals.with(signed, line.is_credit).ok_or_else(overflow)
        };
        self.page.totals = with(self.page.totals)?;
        statement.totals = with(statement.totals)?;
        let mut said = Said::default();
        for words in rest {
            said.words(words).map_err(|expected| at.value(words, expected))?;
        }
        self.entry = Some(Draft { at: field.at, line, said, details: Vec::new() });
        Ok(())
    }

    /// What is said about an entry; what is said before the first one is about none.
    fn say(&mut self, at: At<'_>, lines: Vec<String>) -> Result<(), Refusal> {
        let Some(entry) = &mut self.entry else { return Ok(()) };
        entry.details.extend(lines);
        if entry.details.len() > super::MOST_LINES {
            return Err(
                at.refuse("more lines", format!("at most {} lines about an entry", super::MOST_LINES))
            );
        }
        Ok(())
    }

    /// The entry is complete.
    fn flush(&mut self, parts: &mut VecDeque<Part>) -> Result<(), Refusal> {
        let (Some(draft), Some(statement)) = (self.entry.take(), &self.statement) else { return Ok(()) };
        let Draft { at, line, mut said, details } = draft;
        let at = At { file: &self.file, line: at, column: ":86:" };
        let told = details::read(&details, &mut said);
        let told = told.map_err(|expected| at.refuse("more", expected))?;
        let customer_reference = line.customer_reference.or(told.end_to_end);
        let (references, text) = said.finish([line.bank_reference.as_deref(), customer_reference.as_deref()]);
        let minor = if line.is_credit { line.minor } else { -line.minor };
        parts.push_back(Part::Entry(Entry {
            line_no: at.line_no()?,
            amount: Money::new(minor, statement.opening.amount.currency),
            booked_on: line.booked_on,
            value_on: line.value_on,
            is_reversal: line.is_reversal,
            code: line.kind,
            bank_reference: line.bank_reference,
            customer_reference,
            references,
            counterparty: told.counterparty,
            text,
        }));
        Ok(())
    }

    /// A page has closed: it has to add up, and with the last one so does the statement.
    fn close(&mut self, at: At<'_>, closing: Balance, parts: &mut VecDeque<Part>) -> Result<(), Refusal> {
        let Some(mut statement) = self.statement.take() else {
            return Err(at.refuse("it", ":60F: before it"));
        };
        at.closes(statement.page_opening.amount, &self.page.totals, closing.amount)?;
        self.place = Place::Closed;
        if at.column == ":62M:" {
            statement.to_follow = Some(closing);
            self.statement = Some(statement);
            return Ok(());
        }
        self.statements += 1;
        let (from, to): (Date, Date) = (statement.opening.on, closing.on);
        parts.push_back(Part::End(Closing {
            line_no: at.line_no()?,
            opening: Some(statement.opening),
            closing: Some(closing),
            total: statement.totals.net(),
            entries: statement.totals.count(),
            not_booked: 0,
            from,
            to,
        }));
        Ok(())
    }

    /// A message has ended.
    pub fn end(&mut self, line: u64) -> Result<(), Refusal> {
        match self.place {
            // some banks end it twice
            Place::Between | Place::Closed => {
                self.place = Place::Between;
                Ok(())
            }
            place => Err(Refusal::of_line(&self.file, line, "the message's end", place.expected())),
        }
    }

    /// The file has ended.
    pub fn eof(&self, line: u64) -> Result<(), Refusal> {
        let cut = |expected: &str| {
            let expected = format!("{expected}; is the file cut off?");
            Err(Refusal::of_line(&self.file, line, "the file's end", expected))
        };
        match (self.place, &self.statement) {
            (Place::Between | Place::Closed, Some(_)) => cut("the statement's next page"),
            (Place::Between | Place::Closed, None) if self.statements == 0 => cut("a message"),
            (Place::Between | Place::Closed, None) => Ok(()),
            (place, _) => cut(place.expected()),
        }
    }
}
