//! Ctrl-C and SIGTERM: what was started is ended, and then we end.

use tokio::signal::unix::{SignalKind, signal};

use crate::Error;

/// Does `work` unless somebody asks for the end first; what it holds is then dropped.
///
/// # Errors
/// Its own, or [`Error::Interrupted`].
pub async fn or<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let refused = "wait for signals";
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io(refused))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io(refused))?;
    tokio::select! {
        result = work => result,
        _ = interrupt.recv() => Err(Error::Interrupted),
        _ = terminate.recv() => Err(Error::Interrupted),
    }
}
