//! What a client was told, kept on disk as it was told.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which order it is about.
    pub order: String,
    /// Under which key it was asked.
    pub key: String,
    /// Which of the requests with that key it was, counted from one.
    pub attempt: u32,
    /// What came of it.
    #[serde(flatten)]
    pub event: Event,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It was sent.
    Sent,
    /// It was answered.
    Told {
        /// The status.
        status: u16,
        /// Whether it was marked as the answer to an earlier request.
        replayed: bool,
        /// The body.
        body: String,
    },
    /// The client did not wait for the answer.
    HungUp,
    /// The connection broke before the answer.
    Broken,
    /// The service could not be reached at all.
    Unreachable,
}

/// A client's journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// An empty one for the client of this number.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(folder: &Path, client: usize) -> Result<Self, Error> {
        let path = folder.join(format!("client-{client:02}.jsonl"));
        let file = File::create(&path).map_err(Error::io(format_args!("make {}", path.display())))?;
        Ok(Self { file, path })
    }

    /// Adds a line, and has it on its way to the disk before anything else happens.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&mut self, line: &Line) -> Result<(), Error> {
        let mut text = serde_json::to_string(line).map_err(|error| Error::Unexpected(error.to_string()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(Error::io(format_args!("write {}", self.path.display())))
    }
}

/// All lines of all journals in a folder.
///
/// # Errors
/// When one cannot be read.
pub fn read_all(folder: &Path) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    let entries = fs::read_dir(folder).map_err(Error::io(format_args!("list {}", folder.display())))?;
    for entry in entries {
        let path = entry.map_err(Error::io("list the journals"))?.path();
        let reading = format!("read {}", path.display());
        let file = File::open(&path).map_err(Error::io(&reading))?;
        for text in BufReader::new(file).lines() {
            let text = text.map_err(Error::io(&reading))?;
            let line = serde_json::from_str(&text);
            lines.push(line.map_err(|error| Error::Unexpected(format!("{}: {error}", path.display())))?);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let event = Event::Told { status: 201, replayed: false, body: "{\"a\":\n1}".to_owned() };
        let line = |event| Line { order: "o-1".to_owned(), key: "k".to_owned(), attempt: 1, event };
        let lines = [Event::Sent, event, Event::HungUp].map(line);
        let mut journal = Journal::create(folder.path(), 3).unwrap();
        for line in &lines {
            journal.note(line).unwrap();
        }
        assert_eq!(read_all(folder.path()).unwrap(), lines);
    }
}
