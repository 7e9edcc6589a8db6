//! An append-only file of JSON lines that can be replayed and compacted.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Line, StoreError};

pub struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl Journal {
    /// Replays what is there and opens the file for more. A torn last line was never acknowledged and is cut off.
    pub fn open(
        path: &Path,
        mut apply: impl FnMut(Line<'static>) -> Result<(), String>,
    ) -> Result<Self, StoreError> {
        let io = StoreError::io(path);
        let mut file = OpenOptions::new();
        let file = file.create(true).read(true).append(true).open(path);
        let file = file.map_err(&io)?;
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let (mut good, mut number, mut text) = (0u64, 0, Vec::new());
        loop {
            text.clear();
            let length = reader.read_until(b'\n', &mut text).map_err(&io)?;
            if length == 0 || text.last() != Some(&b'\n') {
                break;
            }
            number += 1;
            let line = serde_json::from_slice(&text).map_err(|source| StoreError::Damaged {
                path: path.to_owned(),
                line: number,
                source,
            })?;
            apply(line).map_err(|what| StoreError::Contradiction {
                path: path.to_owned(),
                what: format!("line {number}: {what}"),
            })?;
            good += length as u64;
        }
        drop(reader);
        file.set_len(good).map_err(&io)?;
        Ok(Self { path: path.to_owned(), file, buffer: Vec::with_capacity(4096) })
    }

    /// Adds one line with one write.
    pub fn append(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        self.file.write_all(&self.buffer)
    }

    /// Writes a new journal beside the old one and puts it in its place.
    pub fn replace(
        &mut self,
        dump: impl FnOnce(&mut dyn FnMut(&Line<'_>) -> io::Result<()>) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let io = StoreError::io(&self.path);
        let fresh = self.path.with_extension("new");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&fresh).map_err(&io)?);
        dump(&mut |line| {
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")
        })
        .map_err(&io)?;
        out.flush().map_err(&io)?;
        std::fs::rename(&fresh, &self.path).map_err(&io)?;
        let file = OpenOptions::new().append(true).open(&self.path);
        self.file = file.map_err(&io)?;
        Ok(())
    }
}
