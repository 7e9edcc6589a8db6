use std::io::{self, Read};
use std::ops::Range;

use encoding_rs::{Decoder, DecoderResult, Encoding};

use super::hashed::Hashed;

/// What is read and decoded at once, in bytes.
const BUFFER_BYTES: usize = 1 << 16;

/// The text of a file: its bytes as they are, or what they say in an encoding.
pub(super) enum Text<R> {
    Plain(Hashed<R>),
    Decoded(Box<Decoded<Hashed<R>>>),
}

impl<R> Text<R> {
    /// What it is made of.
    pub const fn source(&self) -> &Hashed<R> {
        match self {
            Self::Plain(source) => source,
            Self::Decoded(decoded) => &decoded.inner,
        }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Decoded(decoded) => decoded.read(buffer),
        }
    }
}

/// Bytes that mean nothing in the encoding they should be in: nothing is put in their place.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no {encoding}")]
pub(super) struct Malformed {
    pub line: u64,
    pub encoding: &'static str,
}

/// Passes on as UTF-8 what is in another encoding, without its first lines. A byte order mark goes before the encoding.
pub(super) struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    raw: Box<[u8]>,
    /// The part of it that is not decoded yet.
    raw_left: Range<usize>,
    /// Whether there are no more bytes.
    ended: bool,
    text: Box<[u8]>,
    /// The part of it that is not passed on yet.
    text_left: Range<usize>,
    /// The line of the byte after the text.
    line: u64,
    lines_to_pass: u64,
    malformed: Option<Malformed>,
    done: bool,
}

impl<R: Read> Decoded<R> {
    /// Without its first `lines_to_pass` lines.
    pub fn new(inner: R, encoding: &'static Encoding, lines_to_pass: u64) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder(),
            raw: vec![0; BUFFER_BYTES].into(),
            raw_left: 0..0,
            ended: false,
            text: vec![0; BUFFER_BYTES].into(),
            text_left: 0..0,
            line: 1,
            lines_to_pass,
            malformed: None,
            done: false,
        }
    }

    /// Decodes a piece.
    fn fill(&mut self) -> io::Result<()> {
        if self.raw_left.is_empty() && !self.ended {
            let count = self.inner.read(&mut self.raw)?;
            self.raw_left = 0..count;
            self.ended = count == 0;
        }
        let raw = self.raw.get(self.raw_left.clone()).unwrap_or_default();
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.ended);
        self.raw_left.start += read;
        self.text_left = 0..written;
        self.pass_lines();
        match result {
            DecoderResult::InputEmpty => self.done = self.ended,
            DecoderResult::OutputFull => {}
            // told once the text before it was looked at: what is wrong first is told first
            DecoderResult::Malformed(..) => {
                self.done = true;
                self.malformed =
                    Some(Malformed { line: self.line, encoding: self.decoder.encoding().name() });
            }
        }
        Ok(())
    }

    /// Counts the lines of a new piece, and leaves out what has to be.
    fn pass_lines(&mut self) {
        let written = self.text_left.end;
        for (at, byte) in self.text.iter().take(written).enumerate() {
            if *byte != b'\n' {
                continue;
            }
            self.line += 1;
            if self.lines_to_pass > 0 {
                self.lines_to_pass -= 1;
                self.text_left.start = at + 1;
            }
        }
        if self.lines_to_pass > 0 {
            self.text_left.start = written;
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text_left.is_empty() && !self.done {
            self.fill()?;
        }
        let text = self.text.get(self.text_left.clone()).unwrap_or_default();
        if text.is_empty()
            && let Some(malformed) = self.malformed.take()
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, malformed));
        }
        let count = text.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), text.get(..count)) {
            to.copy_from_slice(from);
        }
        self.text_left.start += count;
        Ok(count)
    }
}
