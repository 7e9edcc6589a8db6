//! Files of lines: one at a time, counted as an editor counts them.

use std::io::{BufRead, Read};

use encoding_rs::WINDOWS_1252;

use super::source::{Source, byte_order};
use crate::statement::{Error, Refusal};

/// The longest line, in bytes.
const LONGEST_LINE: usize = 1 << 14;
/// What some banks begin and end a message with: start of heading, start of text, end of text.
pub(super) const FRAME: [char; 3] = ['\u{1}', '\u{2}', '\u{3}'];

/// A file being read: a line at a time, whatever its size.
pub(super) struct Lines<R> {
    file: String,
    source: Source<R>,
    /// The last line, counted from 1.
    at: u64,
    bytes: Vec<u8>,
}

/// A line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub at: u64,
    pub text: String,
}

impl<R: Read> Lines<R> {
    pub fn open(file: &str, source: Source<R>) -> Self {
        Self { file: file.to_owned(), source, at: 0, bytes: Vec::new() }
    }

    pub const fn source(&self) -> &Source<R> {
        &self.source
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The number of the last line.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The next line that is not blank; none at the end. A line that is no UTF-8 is Windows-1252, of which Latin-1's letters
    /// are a part.
    ///
    /// # Errors
    /// When the file cannot be read, or the line is too long or has a control character.
    pub fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            self.bytes.clear();
            let most = LONGEST_LINE as u64 + 1;
            let read = (&mut self.source).take(most).read_until(b'\n', &mut self.bytes);
            if read.map_err(|error| self.source.error(error))? == 0 {
                return Ok(None);
            }
            self.at += 1;
            if self.bytes.len() > LONGEST_LINE {
                let expected = format!("at most {LONGEST_LINE} bytes in a line");
                return Err(Refusal::of_line(&self.file, self.at, "a longer line", expected).into());
            }
            let text = self.text();
            let text = text.trim_matches(FRAME);
            if let Some(control) = text.chars().find(|sign| is_unwanted(*sign)) {
                let found = format!("the control character {control:?}");
                return Err(Refusal::of_line(&self.file, self.at, found, "text").into());
            }
            if !text.trim().is_empty() {
                return Ok(Some(Line { at: self.at, text: text.to_owned() }));
            }
        }
    }

    fn text(&self) -> String {
        let mark = if self.at == 1 { byte_order(&self.bytes).1 } else { 0 };
        let bytes = self.bytes.get(mark..).unwrap_or_default();
        let ended = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let ended = ended.strip_suffix(b"\r").unwrap_or(ended);
        match std::str::from_utf8(ended) {
            Ok(text) => text.to_owned(),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(ended).0.into_owned(),
        }
    }
}

/// Those of ASCII only: what Windows-1252 does not define comes as others, and is no fault of the line's.
fn is_unwanted(sign: char) -> bool {
    sign < ' ' && sign != '\t'
}
