//! Where files come from: a path, all of a folder or standard input; plain, or compressed by gzip or zstd, which is told by
//! how they begin and not by their names.

mod kept;
mod unpack;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use kept::{Items, Keeper, Kept};

use crate::statement::{Error, Refusal};

/// What is read at once, in bytes.
const BUFFER_BYTES: usize = 1 << 16;

/// The argument that names standard input.
pub const STANDARD_INPUT: &str = "-";

/// One file to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At a path.
    Path(PathBuf),
    /// What is piped in.
    StandardInput,
}

impl Source {
    /// The files that an argument names: itself, `-` for standard input, or those of a folder in the order of their names.
    /// Folders within it and hidden files, which is what an upload in progress is mostly called, are passed over.
    ///
    /// # Errors
    /// When it is a folder that has no files or cannot be read.
    pub fn of_argument(argument: &Path) -> Result<Vec<Self>, Error> {
        if argument.as_os_str() == STANDARD_INPUT {
            return Ok(vec![Self::StandardInput]);
        }
        // what is not there is told when it is opened
        if !argument.is_dir() {
            return Ok(vec![Self::Path(argument.to_owned())]);
        }
        let shown = argument.display().to_string();
        let mut files = files_in(argument).map_err(|source| Error::Io { file: shown.clone(), source })?;
        if files.is_empty() {
            return Err(Refusal::of_file(&shown, "a folder without files", "files").into());
        }
        files.sort_unstable();
        Ok(files.into_iter().map(Self::Path).collect())
    }

    /// What it is called in reports.
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Self::StandardInput => "standard input".to_owned(),
        }
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// When it cannot be got at, or is a folder.
    pub fn open(&self) -> Result<Opened, Error> {
        let name = self.name();
        let (reader, size): (Box<dyn Read + Send>, _) = match self {
            Self::StandardInput => (Box::new(io::stdin()), None),
            Self::Path(path) => {
                let io_error = |source| Error::Io { file: path.display().to_string(), source };
                let file = File::open(path).map_err(io_error)?;
                let metadata = file.metadata().map_err(io_error)?;
                if metadata.is_dir() {
                    return Err(Refusal::of_file(&name, "a folder", "a file that can be read").into());
                }
                (Box::new(file), metadata.is_file().then_some(metadata.len()))
            }
        };
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: reader, read: read.clone() };
        let reader =
            unpack::plain(Box::new(counted)).map_err(|source| Error::Io { file: name.clone(), source })?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Ok(Opened { name, size: size.unwrap_or_default(), read, reader })
    }
}

/// A path is a file by itself.
impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    Ok(files)
}

/// A file that is being read, as if it had never been compressed.
pub struct Opened {
    /// What it is called in reports.
    pub name: String,
    /// How long it is as it lies there, in bytes; 0 where nobody can tell.
    pub size: u64,
    read: Arc<AtomicU64>,
    reader: BufReader<Box<dyn Read + Send>>,
}

impl Opened {
    /// How it begins: some thousands of bytes, fewer of a shorter file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn beginning(&mut self) -> Result<&[u8], Error> {
        let name = &self.name;
        self.reader.fill_buf().map_err(|source| Error::Io { file: name.clone(), source })
    }

    /// The content, and what tells how far it was read.
    pub fn into_parts(self) -> (impl BufRead + Send + use<>, Position) {
        (self.reader, Position { read: self.read, size: self.size })
    }
}

/// How far a file was read.
#[derive(Debug, Clone)]
pub struct Position {
    read: Arc<AtomicU64>,
    /// The file's size as it lies there, in bytes; 0 where nobody can tell.
    pub size: u64,
}

impl Position {
    /// Bytes that were read of the file as it lies there.
    pub fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
