//! Why a run could not go on.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program of this workspace is not there.
    #[error("{name} is not built: run `cargo build --workspace --bins` first (looked in {})", folder.display())]
    NotBuilt {
        /// Which.
        name: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A program that the system should have is not there.
    #[error("{0} was not found: install the PostgreSQL server package, which contains it")]
    NotInstalled(PathBuf),
    /// The system refused something.
    #[error("cannot {action}")]
    Io {
        /// What.
        action: String,
        /// Why.
        source: io::Error,
    },
    /// A program was started and did not get ready.
    #[error("{name} did not get ready: {reason}; the end of {}:\n{tail}", log.display())]
    NotReady {
        /// Which.
        name: &'static str,
        /// Why.
        reason: String,
        /// All that it said.
        log: PathBuf,
        /// The end of what it said.
        tail: String,
    },
    /// A program ended otherwise than it should.
    #[error("{command} ended with {status}:\n{said}")]
    Failed {
        /// Its command line, in short.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// The embedded Postgres.
    #[error("Postgres")]
    Postgres(#[from] embedded_postgres::Error),
    /// A query.
    #[error("a query")]
    Database(#[from] sqlx::Error),
    /// A request of ours.
    #[error("a request")]
    Http(#[from] reqwest::Error),
    /// Something else than was expected.
    #[error("{0}")]
    Unexpected(String),
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: what could not be done.
    pub fn io(action: impl Display) -> impl FnOnce(io::Error) -> Self {
        let action = action.to_string();
        move |source| Self::Io { action, source }
    }

    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}
