use std::io;

use money::Currency;
use sha2::{Digest as _, Sha256};
use time::Date;

use crate::bank_statement::{Account, BankStatements, Closing, Entry, Format, Head, Part};
use crate::intake::{Event, Observer};
use crate::source::{Items, Keeper, Kept, Opened, Position};
use crate::statement::{Error, Refusal};

/// How often progress is told, in entries.
const TELL_EVERY_ENTRIES: u64 = 1_024;
/// The most statements of one file: what is known of each is kept in memory.
const MOST_STATEMENTS: usize = 100_000;

/// A file of bank statements that was read once and is right, and its entries as they were read.
pub(super) struct Document {
    pub name: String,
    pub sha256: [u8; 32],
    pub format: Format,
    pub statements: Vec<Summary>,
    entries: Kept<Entry>,
}

/// A statement, without its entries.
pub(super) struct Summary {
    /// Where it begins in the file.
    pub line_no: i32,
    /// The account's number.
    pub account: Account,
    pub currency: Currency,
    /// Its number at the bank, or nothing.
    pub number: String,
    pub begins_on: Date,
    pub ends_on: Date,
    pub opening: Option<i64>,
    pub closing: Option<i64>,
    pub entries: u64,
    /// What its entries come to.
    pub moved: i64,
    /// Of all that it says.
    pub sha256: [u8; 32],
}

impl Document {
    /// Reads the whole file, keeping none of its entries in memory.
    pub fn check(opened: Opened, observer: &Observer) -> Result<Self, Error> {
        let name = opened.name.clone();
        let (content, position) = opened.into_parts();
        let mut file = BankStatements::open(&name, content)?;
        let mut reading = Reading::new(&name)?;
        while let Some(part) = file.next_part()? {
            reading.add(&part)?;
            reading.tell(&position, observer);
        }
        let copy_error = |source| Error::Copy { file: name.clone(), source };
        let entries = reading.keeper.finish().map_err(copy_error)?;
        let statements = reading.statements;
        Ok(Self { sha256: file.sha256(), format: file.format(), statements, entries, name })
    }

    /// How many entries it has.
    pub const fn entries(&self) -> u64 {
        self.entries.count()
    }

    /// All entries, statement by statement.
    pub fn all(&self) -> Result<Entries<'_>, Error> {
        let items = self.entries.after(0).map_err(|source| self.broken(source))?;
        Ok(Entries { document: self, items })
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Copy { file: self.name.clone(), source }
    }
}

/// Entries of a document, in their order.
pub(super) struct Entries<'a> {
    document: &'a Document,
    items: Items<'a, Entry>,
}

impl Entries<'_> {
    /// Up to `count` of the next.
    pub fn take(&mut self, count: usize) -> Result<Vec<Entry>, Error> {
        self.items.take(count).map_err(|source| self.document.broken(source))
    }
}

/// What a bank calls a statement: its number in the account's sequence, else its id.
fn number(head: &Head) -> String {
    head.sequence.as_ref().or(head.statement_id.as_ref()).cloned().unwrap_or_default()
}

/// A file being read.
struct Reading<'a> {
    file: &'a str,
    keeper: Keeper<Entry>,
    statements: Vec<Summary>,
    open: Option<Open>,
    entries: u64,
}

/// The statement at hand.
struct Open {
    head: Head,
    days: Option<(Date, Date)>,
    sha256: Sha256,
}

impl<'a> Reading<'a> {
    fn new(file: &'a str) -> Result<Self, Error> {
        let keeper = Keeper::new().map_err(|source| Error::Copy { file: file.to_owned(), source })?;
        Ok(Self { file, keeper, statements: Vec::new(), open: None, entries: 0 })
    }

    fn add(&mut self, part: &Part) -> Result<(), Error> {
        match part {
            Part::Begin(head) => {
                let sha256 = Sha256::new();
                self.open = Some(Open { head: head.clone(), days: None, sha256 });
                Ok(())
            }
            Part::Entry(entry) => self.entry(entry),
            Part::End(closing) => self.end(closing),
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let copy_error = |source| Error::Copy { file: self.file.to_owned(), source };
        self.keeper.add(entry).map_err(copy_error)?;
        self.entries += 1;
        let Some(open) = &mut self.open else { return Ok(()) };
        // where it stands in the file is not what it says
        let said = Entry { line_no: 0, ..entry.clone() };
        let said = postcard::to_stdvec(&said).map_err(io::Error::other).map_err(copy_error)?;
        open.sha256.update(said);
        let day = entry.booked_on;
        open.days = Some(open.days.map_or((day, day), |(first, last)| (first.min(day), last.max(day))));
        Ok(())
    }

    fn end(&mut self, closing: &Closing) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if self.statements.len() >= MOST_STATEMENTS {
            let expected = format!("at most {MOST_STATEMENTS} in a file");
            let line = open.head.line_no.unsigned_abs().into();
            return Err(Refusal::of_line(self.file, line, "more statements", expected).into());
        }
        let (opening, closed) = (closing.opening, closing.closing);
        let said = (&open.head.account, open.head.currency, opening, closed, closing.from, closing.to);
        let said = postcard::to_stdvec(&said).map_err(io::Error::other);
        let said = said.map_err(|source| Error::Copy { file: self.file.to_owned(), source })?;
        self.statements.push(Summary {
            line_no: open.head.line_no,
            number: number(&open.head),
            opening: opening.map(|balance| balance.amount.minor),
            closing: closed.map(|balance| balance.amount.minor),
            // an entry may be booked before the first day or after the last
            begins_on: open.days.map_or(closing.from, |(first, _)| first.min(closing.from)),
            ends_on: closing.to,
            entries: closing.entries,
            moved: closing.total,
            sha256: open.sha256.chain_update(said).finalize().into(),
            account: open.head.account,
            currency: open.head.currency,
        });
        Ok(())
    }

    fn tell(&self, position: &Position, observer: &Observer) {
        if self.entries.is_multiple_of(TELL_EVERY_ENTRIES) {
            observer(Event::Checked { bytes: position.bytes(), of: position.size });
        }
    }
}
