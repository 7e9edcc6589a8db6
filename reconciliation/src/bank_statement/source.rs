//! The bytes of a file, before anybody makes text of them.

use std::io::{self, BufRead, Read};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use sha2::{Digest, Sha256};

use crate::statement::Error;
use crate::statement::refusal::quoted;

/// How much is read at once.
const BUFFER: usize = 1 << 16;
/// How much of a file tells what it is.
const START: usize = 1 << 10;

/// A file's bytes, with a hash of them.
pub(super) struct Source<R> {
    file: String,
    inner: R,
    sha256: Sha256,
    bytes: u64,
    /// What was read and not yet used: `buffer[at..]`.
    buffer: Vec<u8>,
    at: usize,
}

impl<R> Source<R> {
    pub fn new(file: &str, inner: R) -> Self {
        Self { file: file.to_owned(), inner, sha256: Sha256::new(), bytes: 0, buffer: Vec::new(), at: 0 }
    }

    /// How far the file was read, in bytes.
    pub const fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of what was read.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }

    /// An error of the system, about this file.
    pub fn error(&self, source: io::Error) -> Error {
        Error::Io { file: self.file.clone(), source }
    }
}

impl<R: Read> Source<R> {
    /// The first bytes, which stay to be read.
    ///
    /// # Errors
    /// When the file cannot be got at.
    pub fn start(&mut self) -> Result<&[u8], Error> {
        while self.buffer.len() < START {
            match self.more(START) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(&self.buffer)
    }

    /// Reads up to `most` more bytes behind those that there are.
    fn more(&mut self, most: usize) -> io::Result<usize> {
        let before = self.buffer.len();
        self.buffer.resize(before + most, 0);
        let room = self.buffer.get_mut(before..).unwrap_or_default();
        let read = loop {
            match self.inner.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let count = read.as_ref().copied().unwrap_or_default();
        self.sha256.update(room.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        self.buffer.truncate(before + count);
        read
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut held = self.fill_buf()?;
        let count = held.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
            self.more(BUFFER)?;
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at = self.buffer.len().min(self.at + count);
    }
}

/// The encoding that the first bytes give away, and how many of them are only a mark.
pub(super) fn byte_order(start: &[u8]) -> (Option<&'static Encoding>, usize) {
    match start {
        [0xEF, 0xBB, 0xBF, ..] => (Some(UTF_8), 3),
        [0xFE, 0xFF, ..] => (Some(UTF_16BE), 2),
        [0xFF, 0xFE, ..] => (Some(UTF_16LE), 2),
        [0, b'<', ..] => (Some(UTF_16BE), 0),
        [b'<', 0, ..] => (Some(UTF_16LE), 0),
        _ => (None, 0),
    }
}

/// Whether text in `encoding` has two bytes for each sign that is in ASCII.
pub(super) fn is_utf_16(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// The beginning of a file, for a refusal.
pub(super) fn shown(start: &[u8]) -> String {
    if start.is_empty() {
        return "nothing".to_owned();
    }
    let line = start.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty());
    quoted(&String::from_utf8_lossy(line.unwrap_or(start)))
}
