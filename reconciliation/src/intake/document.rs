use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::SystemTime;

use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::{Error, Event, Observer, latest};
use crate::statement::{self, Line, Refusal, Statement};

/// How often progress is told, in lines.
const TELL_EVERY_LINES: u64 = 8_192;

/// A file that was read once and is right.
pub(super) struct Document {
    pub name: String,
    pub sha256: [u8; 32],
    pub lines: u64,
    pub latest_at: Option<OffsetDateTime>,
    file: File,
    size: u64,
    modified: Option<SystemTime>,
}

impl Document {
    /// Reads the whole file, keeping nothing but what it comes to.
    pub fn check(path: &Path, observer: &Observer) -> Result<Self, statement::Error> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let io_error = |source| statement::Error::Io { file: path.display().to_string(), source };
        let file = File::open(path).map_err(io_error)?;
        let metadata = file.metadata().map_err(io_error)?;
        if !metadata.is_file() {
            return Err(Refusal::of_file(&name, "no regular file", "a file that can be read twice").into());
        }
        let mut document = Self {
            name,
            sha256: [0; 32],
            lines: 0,
            latest_at: None,
            size: metadata.len(),
            modified: metadata.modified().ok(),
            file,
        };
        document.check_lines(observer)?;
        Ok(document)
    }

    fn check_lines(&mut self, observer: &Observer) -> Result<(), statement::Error> {
        let mut statement = Statement::open(&self.name, (&self.file).take(self.size))?;
        let (mut lines, mut latest_at) = (0, None);
        while let Some(line) = statement.next_line()? {
            lines += 1;
            latest_at = latest(latest_at, line.occurred_at);
            if lines % TELL_EVERY_LINES == 0 {
                observer(Event::Checked { bytes: statement.bytes_read(), of: self.size });
            }
        }
        let most = i32::MAX as u64;
        if lines > most {
            let found = format!("{lines} lines");
            return Err(Refusal::of_file(&self.name, found, format!("at most {most}")).into());
        }
        self.sha256 = statement.sha256();
        (self.lines, self.latest_at) = (lines, latest_at);
        Ok(())
    }

    /// Reads the file again, sending its lines in chunks; ends early when nobody receives them.
    pub fn send_chunks(&self, chunk_lines: usize, chunks: &mpsc::Sender<Vec<Line>>) -> Result<(), Error> {
        let io_error = |source| statement::Error::Io { file: self.name.clone(), source };
        (&self.file).seek(io::SeekFrom::Start(0)).map_err(io_error)?;
        let mut statement = Statement::open(&self.name, (&self.file).take(self.size))?;
        let mut chunk = Vec::with_capacity(chunk_lines);
        while let Some(line) = statement.next_line()? {
            chunk.push(line);
            if chunk.len() == chunk_lines {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(chunk_lines));
                if chunks.blocking_send(full).is_err() {
                    return Ok(());
                }
            }
        }
        if statement.sha256() != self.sha256 {
            return Err(Error::Changed(self.name.clone()));
        }
        if !chunk.is_empty() && chunks.blocking_send(chunk).is_err() {
            return Ok(());
        }
        Ok(())
    }

    /// That nobody wrote to the file since it was checked: what is stored is what was checked.
    pub fn unchanged(&self) -> Result<(), Error> {
        let now = self
            .file
            .metadata()
            .map_err(|source| statement::Error::Io { file: self.name.clone(), source })?;
        if now.len() >= self.size && now.modified().ok() == self.modified {
            Ok(())
        } else {
            Err(Error::Changed(self.name.clone()))
        }
    }
}
