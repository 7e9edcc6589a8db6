//! What banks say happened on our accounts: their statements, read entry by entry, checked and made exact.
//!
//! What a file is shows in its first bytes, never in its name. Nothing is rounded, guessed or left out: a file with anything
//! wrong in it is refused whole, and the [`Refusal`] says where, what was found and what was expected. In each statement the
//! opening balance and the booked entries have to make the closing balance, and the counts and sums that the bank adds have
//! to be those of the entries.
//!
//! A file is read as it streams, whatever its size: what is held at a time is one entry, which is bounded too.

mod bai2;
mod camt053;
mod date;
mod draft;
mod lines;
mod mt940;
mod part;
mod source;
mod xml;

use std::io::Read;

use crate::statement::{Error, Refusal};
pub use part::{Account, Balance, Closing, Entry, Head, Part};
use source::Source;

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ISO 20022's bank-to-customer statement, camt.053.001, in XML.
    Camt053,
    /// SWIFT's customer statement message.
    Mt940,
    /// The Bank Administration Institute's cash management balance report, version 2.
    Bai2,
}

impl Format {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Camt053 => "camt053",
            Self::Mt940 => "mt940",
            Self::Bai2 => "bai2",
        }
    }

    /// What a file that starts like this is; the whole file, where it is shorter than that.
    pub fn of(start: &[u8]) -> Option<Self> {
        let (encoding, mark) = source::byte_order(start);
        let text = start.get(mark..).unwrap_or_default();
        if encoding.is_some_and(source::is_utf_16) {
            let is_sign = |byte: &&u8| **byte != 0 && !byte.is_ascii_whitespace();
            return (text.iter().find(is_sign) == Some(&b'<')).then_some(Self::Camt053);
        }
        let text = text.trim_ascii_start();
        if text.starts_with(b"<") {
            Some(Self::Camt053)
        } else if text.starts_with(b"01,") {
            Some(Self::Bai2)
        } else {
            mt940::is_start(text).then_some(Self::Mt940)
        }
    }
}

/// A file of statements being read: a part at a time, whatever its size.
pub struct BankStatements<R> {
    reader: Reader<R>,
}

enum Reader<R> {
    Camt053(Box<camt053::File<R>>),
    Mt940(Box<mt940::File<R>>),
    Bai2(Box<bai2::File<R>>),
}

impl<R: Read> BankStatements<R> {
    /// Reads as much as tells what file it is.
    ///
    /// # Errors
    /// When it is in no format that can be read, or cannot be got at.
    pub fn open(file: &str, source: R) -> Result<Self, Error> {
        let mut source = Source::new(file, source);
        let start = source.start()?;
        let reader = match Format::of(start) {
            Some(Format::Camt053) => Reader::Camt053(Box::new(camt053::File::open(file, source)?)),
            Some(Format::Mt940) => Reader::Mt940(Box::new(mt940::File::open(file, source))),
            Some(Format::Bai2) => Reader::Bai2(Box::new(bai2::File::open(file, source))),
            None => {
                let found = source::shown(start);
                let expected = "a bank statement: camt.053 (XML), MT940 (:20:) or BAI2 (01,)";
                return Err(Refusal::of_file(file, found, expected).into());
            }
        };
        Ok(Self { reader })
    }

    /// The next part: of each statement its head, its entries in the file's order, and its closing; none at the end. What was
    /// read is only worth something once that has come: a file is refused whole.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that it may not.
    pub fn next_part(&mut self) -> Result<Option<Part>, Error> {
        match &mut self.reader {
            Reader::Camt053(file) => file.next_part(),
            Reader::Mt940(file) => file.next_part(),
            Reader::Bai2(file) => file.next_part(),
        }
    }

    /// What format it has.
    pub const fn format(&self) -> Format {
        match self.reader {
            Reader::Camt053(_) => Format::Camt053,
            Reader::Mt940(_) => Format::Mt940,
            Reader::Bai2(_) => Format::Bai2,
        }
    }

    /// How far the file was read, in bytes.
    pub fn bytes_read(&self) -> u64 {
        self.source().bytes_read()
    }

    /// The SHA-256 of the content, once [`Self::next_part`] has answered none.
    pub fn sha256(&self) -> [u8; 32] {
        self.source().sha256()
    }

    fn source(&self) -> &Source<R> {
        match &self.reader {
            Reader::Camt053(file) => file.source(),
            Reader::Mt940(file) => file.source(),
            Reader::Bai2(file) => file.source(),
        }
    }
}

#[cfg(test)]
mod tests;
