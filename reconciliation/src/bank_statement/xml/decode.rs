//! Text in UTF-8, whatever a file declares itself to be in.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, ISO_8859_15, UTF_8, WINDOWS_1252};

use crate::bank_statement::source::{Source, byte_order, is_utf_16};
use crate::statement::refusal::quoted;
use crate::statement::{Error, Refusal};

/// How much is decoded at once.
const BUFFER: usize = 1 << 16;

/// Passes text on, and counts its lines. Not more of it than is granted, so that nobody gathers more.
pub(super) struct Decoded<R> {
    source: Source<R>,
    decoder: Decoder,
    /// What was decoded and not yet used: `text[at..]`.
    text: Vec<u8>,
    at: usize,
    /// The line of what comes next.
    line: u64,
    granted: usize,
    is_ended: bool,
    fault: Option<Fault>,
}

/// Why no more text comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// More than was granted.
    TooLong,
    /// Bytes that are no text in the encoding.
    Malformed,
}

impl<R: Read> Decoded<R> {
    /// # Errors
    /// When the file is in an encoding that is not known here, or cannot be got at.
    pub fn open(file: &str, mut source: Source<R>) -> Result<Self, Error> {
        let start = source.start()?;
        let (marked, mark) = byte_order(start);
        let encoding = match marked {
            Some(encoding) => encoding,
            None => declared(file, start)?,
        };
        source.consume(mark);
        Ok(Self {
            source,
            decoder: encoding.new_decoder_without_bom_handling(),
            text: Vec::new(),
            at: 0,
            line: 1,
            granted: 0,
            is_ended: false,
            fault: None,
        })
    }

    pub const fn source(&self) -> &Source<R> {
        &self.source
    }

    pub const fn line(&self) -> u64 {
        self.line
    }

    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// What the file is in, for refusals.
    pub fn encoding(&self) -> &'static str {
        self.decoder.encoding().name()
    }

    /// As much as may be read until the next grant.
    pub const fn grant(&mut self, bytes: usize) {
        self.granted = bytes;
    }

    fn more(&mut self) -> io::Result<()> {
        self.text.resize(BUFFER, 0);
        self.at = 0;
        loop {
            let bytes = self.source.fill_buf()?;
            let is_last = bytes.is_empty();
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.text, is_last);
            self.source.consume(read);
            let is_malformed = matches!(result, DecoderResult::Malformed(..));
            if is_malformed {
                // what stands before it is passed on first
                self.fault = Some(Fault::Malformed);
            }
            self.is_ended = is_malformed || (is_last && result == DecoderResult::InputEmpty);
            if written > 0 || self.is_ended {
                self.text.truncate(written);
                return Ok(());
            }
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Decoded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.text.len() && !self.is_ended {
            self.more()?;
        }
        let held = self.text.get(self.at..).unwrap_or_default();
        if held.is_empty() && self.fault.is_some() {
            return Err(io::Error::other("no text"));
        }
        if self.granted == 0 && !held.is_empty() {
            self.fault = Some(Fault::TooLong);
            return Err(io::Error::other("too much text"));
        }
        Ok(held.get(..self.granted).unwrap_or(held))
    }

    fn consume(&mut self, count: usize) {
        let held = self.text.get(self.at..).unwrap_or_default();
        let used = held.get(..count).unwrap_or(held);
        self.line += used.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at += used.len();
        self.granted = self.granted.saturating_sub(used.len());
    }
}

/// The encoding that an XML declaration names; UTF-8 where it names none.
fn declared(file: &str, start: &[u8]) -> Result<&'static Encoding, Refusal> {
    let start = String::from_utf8_lossy(start);
    let declaration = start.strip_prefix("<?xml").and_then(|rest| Some(rest.split_once("?>")?.0));
    let Some((_, after)) = declaration.and_then(|declaration| declaration.split_once("encoding")) else {
        return Ok(UTF_8);
    };
    let name: String = after.chars().skip_while(|sign| " \t\r\n=\"'".contains(*sign)).collect();
    let name = name.split(['"', '\'']).next().unwrap_or_default();
    let known = Encoding::for_label(name.as_bytes());
    // what can be read here has one byte for each sign of the declaration
    known.filter(|known| [UTF_8, WINDOWS_1252, ISO_8859_15].contains(known)).ok_or_else(|| {
        let mark = if known.is_some_and(is_utf_16) { ", or UTF-16 with its byte order mark" } else { "" };
        let expected = format!("UTF-8, ISO-8859-1, ISO-8859-15 or Windows-1252{mark}");
        Refusal { column: Some("encoding".to_owned()), ..Refusal::of_line(file, 1, quoted(name), expected) }
    })
}
