//! MT940, SWIFT's customer statement message, with or without the blocks of SWIFT's network around it.
//!
//! A statement that does not fit one message goes on in others, its pages: they begin and end with the balances between them
//! (`:60M:`, `:62M:`) and are joined here, in the order of `:28C:`. A page alone is refused, as it is no statement.

mod details;
mod field;
mod message;

use std::collections::VecDeque;
use std::io::Read;

use field::Field;
use message::Messages;

use super::lines::{FRAME, Line, Lines};
use super::part::Part;
use super::source::Source;
use crate::statement::refusal::quoted;
use crate::statement::{Error, Refusal};

/// The most lines of a field: the standard has six, banks have more.
const MOST_LINES: usize = 1_000;
/// The longest line before a message, such as the names of the banks, in bytes.
const LONGEST_PRELUDE: usize = 40;

/// Whether a file that starts like this is one.
pub(super) fn is_start(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    for line in text.lines() {
        let line = line.trim_matches(FRAME).trim();
        if line.starts_with(":20:") || line.starts_with("{1:") {
            return true;
        }
        // the Rabobank's files begin with :940:, and some with the end of a message that is not there
        if !is_prelude(line) && !matches!(line, ":940:" | "-") {
            return false;
        }
    }
    false
}

/// Whether some bank puts such a line before a message: nothing, `940`, or who sends it to whom.
fn is_prelude(line: &str) -> bool {
    let is_sign = |sign: u8| sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == b' ';
    line.len() <= LONGEST_PRELUDE && line.bytes().all(is_sign)
}

/// A file being read.
pub(super) struct File<R> {
    lines: Lines<R>,
    /// The line that was read to see that a field had ended.
    ahead: Option<Line>,
    messages: Messages,
    parts: VecDeque<Part>,
    is_ended: bool,
    /// Whether a message is in SWIFT's blocks, whose end has to be there.
    is_in_block: bool,
    /// What stands before a message, which then has to come.
    announced: Option<Line>,
}

/// What a file consists of.
enum Item {
    Field(Field),
    /// The end of a message: `-`, `-XXX`, or `-}` with what follows it.
    End(Line),
    /// Anything else, which may only stand between messages.
    Other(Line),
}

impl<R: Read> File<R> {
    pub fn open(file: &str, source: Source<R>) -> Self {
        Self {
            lines: Lines::open(file, source),
            ahead: None,
            messages: Messages::new(file),
            parts: VecDeque::new(),
            is_ended: false,
            is_in_block: false,
            announced: None,
        }
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
            match self.item()? {
                Some(Item::Field(field)) => {
                    self.announced = None;
                    self.messages.field(field, &mut self.parts)?;
                }
                Some(Item::End(line)) => {
                    self.messages.end(line.at)?;
                    self.is_in_block = false;
                    // the blocks of the next message may follow
                    let rest = line.text.trim_start_matches(['-', '}', 'X']).to_owned();
                    self.between(&Line { at: line.at, text: rest })?;
                }
                Some(Item::Other(line)) if self.messages.is_between() => self.between(&line)?,
                Some(Item::Other(line)) => return Err(self.refuse(&line, "a field such as :61:").into()),
                None => {
                    self.is_ended = true;
                    self.eof()?;
                }
            }
        }
        Ok(self.parts.pop_front())
    }

    fn eof(&self) -> Result<(), Refusal> {
        if let Some(line) = &self.announced {
            return Err(self.refuse(line, "a message after it; is the file cut off?"));
        }
        let at = self.lines.at();
        if self.is_in_block {
            let expected = "-} at the message's end; is the file cut off?";
            return Err(Refusal::of_line(self.lines.file(), at, "the file's end", expected));
        }
        self.messages.eof(at)
    }

    fn refuse(&self, line: &Line, expected: &str) -> Refusal {
        Refusal::of_line(self.lines.file(), line.at, quoted(&line.text), expected)
    }

    /// A line between messages.
    fn between(&mut self, line: &Line) -> Result<(), Refusal> {
        let text = line.text.trim();
        if text.contains("{1:") || (is_prelude(text) && !text.is_empty()) {
            self.announced = Some(line.clone());
        }
        if is_prelude(text) {
            return Ok(());
        }
        if !text.starts_with(['{', '$']) {
            return Err(self.refuse(line, "a message, which begins with :20:"));
        }
        let kind = text.split_once("{2:").map(|(_, block)| block.get(1..4).unwrap_or_default());
        if let Some(kind) = kind.filter(|kind| *kind != "940") {
            let found = format!("a message MT{kind}");
            return Err(Refusal::of_line(self.lines.file(), line.at, found, "MT940"));
        }
        if let Some((_, first)) = text.split_once("{4:") {
            self.is_in_block = true;
            if !first.trim().is_empty() {
                self.ahead = Some(Line { at: line.at, text: first.to_owned() });
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<Option<Line>, Error> {
        match self.ahead.take() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next(),
        }
    }

    fn item(&mut self) -> Result<Option<Item>, Error> {
        let Some(line) = self.line()? else { return Ok(None) };
        if is_end(&line.text) {
            return Ok(Some(Item::End(line)));
        }
        let Some((tag, first)) = field::tag(&line.text) else { return Ok(Some(Item::Other(line))) };
        let mut field = Field { at: line.at, tag: tag.to_owned(), lines: vec![first.to_owned()] };
        while let Some(next) = self.line()? {
            if is_end(&next.text) || field::tag(&next.text).is_some() {
                self.ahead = Some(next);
                break;
            }
            if field.lines.len() >= MOST_LINES {
                return Err(self.refuse(&next, &format!("at most {MOST_LINES} lines in a field")).into());
            }
            field.lines.push(next.text);
        }
        Ok(Some(Item::Field(field)))
    }
}

/// Whether a message ends with it; `-XXX` is the ING's way.
fn is_end(line: &str) -> bool {
    matches!(line.trim_end(), "-" | "-XXX") || line.starts_with("-}")
}

#[cfg(test)]
mod tests;
