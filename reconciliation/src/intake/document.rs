use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt as _;

use time::OffsetDateTime;

use super::{Event, Observer, latest};
use crate::source::{Position, Source};
use crate::statement::{Error, Format, Line, Map, Refusal, Statement};

/// How often progress is told, in lines.
const TELL_EVERY_LINES: u64 = 8_192;
/// How often it is noted where in the copy a line begins: so many are passed over at most to get at one.
const MARKED_LINES: u64 = 1_024;
/// What is read or written of the copy at once, in bytes.
const BUFFER_BYTES: usize = 1 << 17;

/// A file that was read once and is right, and its lines as they were read: what is stored is what was checked, whoever
/// writes to the file meanwhile. They are kept in a temporary file without a name.
pub(super) struct Document {
    pub name: String,
    pub sha256: [u8; 32],
    pub lines: u64,
    pub latest_at: Option<OffsetDateTime>,
    pub format: Format,
    /// What its columns are, where we have no reader of our own.
    pub map: Option<Map>,
    /// What it is a version of, in its PSP's words.
    pub identity: Option<String>,
    copy: File,
    /// Where every so many lines begin.
    marks: Vec<u64>,
}

impl Document {
    /// Reads the whole file, keeping none of it in memory.
    pub fn check(source: &Source, map: Option<Map>, observer: &Observer) -> Result<Self, Error> {
        let opened = source.open()?;
        let name = opened.name.clone();
        let (content, position) = opened.into_parts();
        let copy = tempfile::tempfile().map_err(|source| Error::Copy { file: name.clone(), source })?;
        let mut statement = match &map {
            Some(map) => Statement::open_mapped(&name, content, map)?,
            None => Statement::open(&name, content)?,
        };
        let mut document = Self {
            format: statement.format(),
            map,
            name,
            sha256: [0; 32],
            lines: 0,
            latest_at: None,
            identity: None,
            copy,
            marks: Vec::new(),
        };
        document.check_lines(&mut statement, &position, observer)?;
        document.sha256 = statement.sha256();
        document.identity = statement.identity();
        Ok(document)
    }

    fn check_lines(
        &mut self,
        statement: &mut Statement<impl Read>,
        position: &Position,
        observer: &Observer,
    ) -> Result<(), Error> {
        let mut copy = Copy::to(&self.copy);
        while let Some(line) = statement.next_line()? {
            if self.lines.is_multiple_of(MARKED_LINES) {
                self.marks.push(copy.bytes);
            }
            copy.add(&line).map_err(|source| Error::Copy { file: self.name.clone(), source })?;
            self.lines += 1;
            self.latest_at = latest(self.latest_at, line.occurred_at);
            if self.lines.is_multiple_of(TELL_EVERY_LINES) {
                observer(Event::Checked { bytes: position.bytes(), of: position.size });
            }
        }
        copy.file.flush().map_err(|source| Error::Copy { file: self.name.clone(), source })?;
        let most = i32::MAX as u64;
        if self.lines > most {
            let found = format!("{} lines", self.lines);
            return Err(Refusal::of_file(&self.name, found, format!("at most {most}")).into());
        }
        Ok(())
    }

    /// The lines from the one after `passed` others.
    pub fn lines_after(&self, passed: u64) -> Result<Lines<'_>, Error> {
        let mark = usize::try_from(passed / MARKED_LINES).ok().and_then(|mark| self.marks.get(mark));
        let at = At { file: &self.copy, offset: mark.copied().unwrap_or_default() };
        let copy = BufReader::with_capacity(BUFFER_BYTES, at);
        let left = self.lines - (passed - passed % MARKED_LINES).min(self.lines);
        let mut lines = Lines { document: self, copy, left, bytes: Vec::new() };
        for _ in 0..passed % MARKED_LINES {
            lines.pass()?;
        }
        Ok(lines)
    }
}

/// Lines of a copy, in their order.
pub(super) struct Lines<'a> {
    document: &'a Document,
    copy: BufReader<At<'a>>,
    left: u64,
    /// The line at hand, as it was written.
    bytes: Vec<u8>,
}

impl Lines<'_> {
    /// Up to `count` of the next.
    pub fn take(&mut self, count: usize) -> Result<Vec<Line>, Error> {
        let count = usize::try_from(self.left).map_or(count, |left| count.min(left));
        let mut lines = Vec::with_capacity(count);
        for _ in 0..count {
            self.pass()?;
            let line =
                postcard::from_bytes(&self.bytes).map_err(|error| self.broken(io::Error::other(error)))?;
            lines.push(line);
        }
        Ok(lines)
    }

    fn pass(&mut self) -> Result<(), Error> {
        let mut length = [0; 4];
        self.copy.read_exact(&mut length).map_err(|error| self.broken(error))?;
        self.bytes.resize(u32::from_le_bytes(length) as usize, 0);
        let read = self.copy.read_exact(&mut self.bytes);
        read.map_err(|error| self.broken(error))?;
        self.left -= 1;
        Ok(())
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Copy { file: self.document.name.clone(), source }
    }
}

/// Lines as they are written down, each after its length.
struct Copy<'a> {
    file: BufWriter<&'a File>,
    bytes: u64,
    line: Vec<u8>,
}

impl<'a> Copy<'a> {
    fn to(file: &'a File) -> Self {
        Self { file: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0, line: Vec::new() }
    }

    fn add(&mut self, line: &Line) -> io::Result<()> {
        self.line.clear();
        self.line = postcard::to_extend(line, std::mem::take(&mut self.line)).map_err(io::Error::other)?;
        let length = u32::try_from(self.line.len()).map_err(io::Error::other)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&self.line)?;
        self.bytes += 4 + u64::from(length);
        Ok(())
    }
}

/// A place in a file, which readers of other places do not move.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
