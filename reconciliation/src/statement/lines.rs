use std::collections::VecDeque;
use std::io::{self, Read};

/// Passes text on, and remembers what a CSV reader does not tell: whether its quotes are paired, and on which line a byte
/// is, however lines end.
pub(super) struct Lines<R> {
    inner: R,
    quote: Option<u8>,
    quotes: u64,
    bytes: u64,
    /// Whether the line at hand has nothing in it so far.
    blank: bool,
    /// The line of the last byte that was asked for, and the ends of those that follow.
    line: u64,
    ends: VecDeque<End>,
}

/// The end of a line.
struct End {
    at: u64,
    blank: bool,
}

impl<R> Lines<R> {
    /// The text begins after `passed` lines, and fields in it with `quote` around them.
    pub const fn after(passed: u64, inner: R, quote: Option<u8>) -> Self {
        let ends = VecDeque::new();
        Self { inner, quote, quotes: 0, bytes: 0, blank: true, line: passed + 1, ends }
    }

    pub const fn inner(&self) -> &R {
        &self.inner
    }

    /// A quoted field that never ends swallows the rest of a file, so it must be noticed.
    pub const fn quotes_are_paired(&self) -> bool {
        self.quotes.is_multiple_of(2)
    }

    /// The line of the record before which the CSV reader stood at byte `at`: it skips ends of lines and blank lines
    /// there. Bytes are asked for in their order.
    pub fn line_of_record(&mut self, at: u64) -> u64 {
        while self.ends.pop_front_if(|end| end.at <= at || end.blank).is_some() {
            self.line += 1;
        }
        self.line
    }

    fn take_note(&mut self, bytes: &[u8]) {
        // the end of a line is never compared, so it stands for none
        let quote = self.quote.unwrap_or(b'\n');
        for (at, &byte) in (self.bytes..).zip(bytes) {
            match byte {
                b'\n' => {
                    self.ends.push_back(End { at, blank: self.blank });
                    self.blank = true;
                }
                b'\r' => {}
                byte => {
                    self.quotes += u64::from(byte == quote);
                    self.blank = false;
                }
            }
        }
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.take_note(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
