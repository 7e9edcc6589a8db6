//! What survives a kill: the journal the sandbox starts again from, and the log of what it did to money.
//!
//! Both are written with `write(2)` before the answer leaves. Nothing is synced to the disk: the page
//! cache outlives the process, and only the process is ever killed.

mod effect;
mod journal;
mod line;

pub use effect::{Effect, EffectKind};
pub use line::{Commit, Line};

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use effect::EffectLog;
use journal::Journal;

/// A store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line in the middle of the journal is not one.
    #[error("line {line} of {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// Another sandbox keeps its state there.
    #[error("{} is in use by {}", directory.display(), owner(*pid))]
    InUse {
        /// The state directory.
        directory: PathBuf,
        /// The other sandbox's process, if it said so.
        pid: Option<u32>,
    },
    /// The journal is whole and contradicts itself.
    #[error("{} contradicts itself: {what}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// How.
        what: String,
    },
}

impl StoreError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another sandbox".to_owned(), |pid| format!("the sandbox of process {pid}"))
}

/// The two files of a state directory, which is this sandbox's alone.
pub struct Store {
    files: Mutex<Files>,
    broken: AtomicBool,
    directory: PathBuf,
}

struct Files {
    journal: Journal,
    effects: EffectLog,
    /// Locked while it is open; closed once this sandbox may write no more.
    lock: Option<File>,
}

impl Files {
    fn check_open(&self) -> io::Result<()> {
        self.lock.as_ref().map(drop).ok_or_else(|| io::Error::other("the sandbox has stopped"))
    }
}

/// Makes the directory ours. A second sandbox would compact away what the first one still writes.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("owner.lock");
    let io = StoreError::io(&path);
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(&io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without it only the message lacks the process.
            let _ = file.read_to_string(&mut text);
            return Err(StoreError::InUse { directory: directory.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(&io)?;
    Ok(file)
}

impl Store {
    /// Opens a state directory and hands every journal line, oldest first, to `apply`.
    pub fn open(
        directory: &Path,
        mut apply: impl FnMut(Line<'static>) -> Result<(), String>,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(StoreError::io(directory))?;
        let lock = lock(directory)?;
        let mut effects = EffectLog::open(&directory.join("effects.jsonl"))?;
        let journal = Journal::open(&directory.join("journal.jsonl"), |line| {
            if let Line::Commit { commit, .. } = &line {
                // A kill between the two writes leaves the effect in the journal alone.
                effects.catch_up(&commit.effects).map_err(|error| error.to_string())?;
            }
            apply(line)
        })?;
        Ok(Self {
            files: Mutex::new(Files { journal, effects, lock: Some(lock) }),
            broken: AtomicBool::new(false),
            directory: directory.to_owned(),
        })
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write failed. Memory is then ahead of the files and nothing may be acknowledged.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn guard(&self, result: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &result {
            self.broken.store(true, Ordering::Relaxed);
            tracing::error!(%error, directory = %self.directory.display(), "state cannot be written");
        }
        result
    }

    /// Writes one change of an account, numbering its effects.
    pub fn commit(&self, world: u32, commit: &mut Commit) -> io::Result<()> {
        let mut files = self.files();
        files.check_open()?;
        let Files { journal, effects, .. } = &mut *files;
        for (effect, seq) in commit.effects.iter_mut().zip(effects.next_seq()..) {
            effect.seq = seq;
        }
        let written = journal
            .append(&Line::Commit { world, commit: std::borrow::Cow::Borrowed(commit) })
            .and_then(|()| effects.append(&commit.effects));
        self.guard(written)
    }

    /// Writes any other line.
    pub fn append(&self, line: &Line<'_>) -> io::Result<()> {
        let mut files = self.files();
        files.check_open()?;
        let written = files.journal.append(line);
        drop(files);
        self.guard(written)
    }

    /// Replaces the journal by the lines `dump` gives.
    pub fn compact(
        &self,
        dump: impl FnOnce(&mut dyn FnMut(&Line<'_>) -> io::Result<()>) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        self.files().journal.replace(dump)
    }

    /// Leaves the directory to the next sandbox: calls that are still under way write nothing any more.
    pub fn close(&self) {
        self.files().lock = None;
    }

    /// Forgets everything.
    pub fn clear(&self) -> Result<(), StoreError> {
        let mut files = self.files();
        files.check_open().map_err(StoreError::io(&self.directory))?;
        files.journal.replace(|_| Ok(()))?;
        files.effects.clear()
    }

    /// A page of effects as JSON lines without their line ends, after the first `after`.
    pub fn effects(&self, after: u64, limit: usize) -> io::Result<Vec<Vec<u8>>> {
        let range = self.files().effects.range(after, limit);
        range.read()
    }

    /// How many effects there are.
    pub fn effect_count(&self) -> u64 {
        self.files().effects.next_seq() - 1
    }
}
