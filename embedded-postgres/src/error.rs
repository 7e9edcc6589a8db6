//! What can go wrong, in words an operator can act on.

use std::io;
use std::path::{Path, PathBuf};

/// Why a server could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No usable server programs are installed.
    #[error(
        "no PostgreSQL server ({wanted}) was found; tried: {tried}. \
         Install one (Debian, Ubuntu: apt-get install postgresql), or name the folder of initdb and postgres in PG_BIN_DIR"
    )]
    BinariesNotFound {
        /// The version that was looked for.
        wanted: String,
        /// Every place that was looked at, and why it was not taken.
        tried: String,
    },

    /// Another process owns the folder.
    #[error(
        "the folder {} is in use by {}; stop that process or choose another folder",
        folder.display(), owner(*pid)
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process that owns it, where it left its id.
        pid: Option<u32>,
    },

    /// The folder holds files that were not made here.
    #[error(
        "the folder {} is not empty and was not made by this program; choose an empty or a new one",
        folder.display()
    )]
    NotOurs {
        /// The data folder.
        folder: PathBuf,
    },

    /// The cluster belongs to another user.
    #[error(
        "the database in {} belongs to the user with id {owner}; run as that user or choose another folder",
        folder.display()
    )]
    OtherUser {
        /// The data folder.
        folder: PathBuf,
        /// The user id that owns it.
        owner: u32,
    },

    /// The server's account cannot get to the folder.
    #[error(
        "the server runs as user {account} (Postgres refuses root), who may not enter {}, \
         so the database cannot be in {}; choose a data folder outside of it, or allow it: chmod o+x {}",
        barrier.display(), folder.display(), barrier.display()
    )]
    NotReachable {
        /// The data folder.
        folder: PathBuf,
        /// The folder above it (or itself) that may not be entered.
        barrier: PathBuf,
        /// The account the server would run as.
        account: String,
    },

    /// Started as root, and no account to run the server as.
    #[error(
        "Postgres refuses to run as root, and neither a user postgres nor a user nobody exists; make one: useradd --system postgres"
    )]
    NoAccount,

    /// A path is not UTF-8, so no connection address can name it.
    #[error("the path {} is not valid UTF-8; choose another folder", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },

    /// A file operation or the start of a program failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was being done, and to what.
        action: String,
        /// The system's answer.
        source: io::Error,
    },

    /// A program of PostgreSQL failed.
    #[error("{program} failed ({status}): {output}")]
    Program {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },

    /// The server ended, or did not answer in time.
    #[error("the server in {} did not start: {reason}. The end of its log {}:\n{tail}", folder.display(), log.display())]
    DidNotStart {
        /// The data folder.
        folder: PathBuf,
        /// What was seen.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },

    /// A server that an earlier owner left behind does not end.
    #[error(
        "the server of an earlier owner (process {pid}) still runs in {} and does not stop",
        folder.display()
    )]
    PredecessorStays {
        /// The data folder.
        folder: PathBuf,
        /// The process that stays.
        pid: u32,
    },

    /// The server had to be killed; it will recover from its log at the next start.
    #[error("the server in {} did not stop within {seconds} s and was killed", folder.display())]
    DidNotStop {
        /// The data folder.
        folder: PathBuf,
        /// How long it was given.
        seconds: u64,
    },

    /// No server runs in the folder.
    #[error("no running server was found in {}", folder.display())]
    NotRunning {
        /// The data folder.
        folder: PathBuf,
    },
}

impl Error {
    /// For `map_err`: a failed file operation, with what was being done to which path.
    pub(crate) fn io(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let action = format!("{action} {}", path.display());
        move |source| Self::Io { action, source }
    }
}

fn owner(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
