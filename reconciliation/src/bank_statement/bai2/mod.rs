//! BAI2, the Bank Administration Institute's cash management balance report in its version 2.
//!
//! Amounts are in minor units, as the currency's exponent has them. A control total is the sum of all amounts that stand before
//! it, summaries and balances too, each with its sign; a count of records includes continuations (88) and the trailer that
//! tells it.
//!
//! What an entry does to the account is its type's: 101 to 399 and 920 to 959 are credits, 401 to 699 and 960 to 999 debits.
//! 890 is text without money and left out. Types of loans (700 to 799) and all others tell no direction, and are refused.
//! Deletions, corrections, tests and interim reports are refused: what they say is to be said again, or not to count.

mod account;
mod record;
mod report;

use std::collections::VecDeque;
use std::io::Read;

use record::Record;
use report::Report;

use super::draft::LONGEST_TEXT;
use super::lines::{Line, Lines};
use super::part::Part;
use super::source::Source;
use crate::statement::refusal::quoted;
use crate::statement::{Error, Refusal};

/// A file being read.
pub(super) struct File<R> {
    lines: Lines<R>,
    /// The line that was read to see that a record had ended.
    ahead: Option<Line>,
    report: Report,
    parts: VecDeque<Part>,
    is_ended: bool,
}

impl<R: Read> File<R> {
    pub fn open(file: &str, source: Source<R>) -> Self {
        let lines = Lines::open(file, source);
        Self { lines, ahead: None, report: Report::new(), parts: VecDeque::new(), is_ended: false }
    }

    pub const fn source(&self) -> &Source<R> {
        self.lines.source()
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that it may not.
    pub fn next_part(&mut self) -> Result<Option<Part>, Error> {
        while self.parts.is_empty() && !self.is_ended {
            match self.record()? {
                Some(record) => self.report.record(self.lines.file(), &record, &mut self.parts)?,
                None => {
                    self.is_ended = true;
                    self.report.eof(self.lines.file(), self.lines.at())?;
                }
            }
        }
        Ok(self.parts.pop_front())
    }

    /// The next record, with those that continue it.
    fn record(&mut self) -> Result<Option<Record>, Error> {
        let line = match self.ahead.take() {
            Some(line) => Some(line),
            None => self.lines.next()?,
        };
        let Some(line) = line else { return Ok(None) };
        let Some((code, rest)) = record::code(&line.text).filter(|(code, _)| *code != "88") else {
            return Err(self.refuse(&line, "a record 01, 02, 03, 16, 49, 98 or 99").into());
        };
        let mut record = Record {
            at: line.at,
            code: code.to_owned(),
            pieces: vec![Line { at: line.at, text: rest.to_owned() }],
        };
        let mut bytes = rest.len();
        while let Some(next) = self.lines.next()? {
            let Some(("88", rest)) = record::code(&next.text) else {
                self.ahead = Some(next);
                break;
            };
            bytes += rest.len() + 1;
            if bytes > LONGEST_TEXT {
                return Err(self.refuse(&next, &format!("at most {LONGEST_TEXT} bytes in a record")).into());
            }
            record.pieces.push(Line { at: next.at, text: rest.to_owned() });
        }
        Ok(Some(record))
    }

    fn refuse(&self, line: &Line, expected: &str) -> Refusal {
        Refusal::of_line(self.lines.file(), line.at, quoted(&line.text), expected)
    }
}

#[cfg(test)]
mod tests;
