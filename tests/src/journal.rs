//! What clients sent and were told, kept on disk as it happened: a line of JSON each.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

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
    pub fn note(&mut self, line: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string(line).map_err(|error| Error::Unexpected(error.to_string()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(Error::io(format_args!("write {}", self.path.display())))
    }
}

/// All lines of all journals in a folder.
///
/// # Errors
/// When one cannot be read.
pub fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>, Error> {
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
