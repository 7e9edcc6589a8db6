use std::collections::VecDeque;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Passes bytes on, and remembers what a CSV reader does not tell: the hash of them, whether their quotes are paired, and
/// on which line a byte is, however lines end.
pub(super) struct Digesting<R> {
    inner: R,
    sha256: Sha256,
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

impl<R> Digesting<R> {
    pub fn new(inner: R) -> Self {
        let ends = VecDeque::new();
        Self { inner, sha256: Sha256::new(), quotes: 0, bytes: 0, blank: true, line: 1, ends }
    }

    /// Of what was read so far.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
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
        self.sha256.update(bytes);
        for (at, &byte) in (self.bytes..).zip(bytes) {
            match byte {
                b'\n' => {
                    self.ends.push_back(End { at, blank: self.blank });
                    self.blank = true;
                }
                b'\r' => {}
                byte => {
                    self.quotes += u64::from(byte == b'"');
                    self.blank = false;
                }
            }
        }
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.take_note(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
