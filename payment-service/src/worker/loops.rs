use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Error, Outcome};

/// The longest pause after rounds that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs `round` again and again: at once while it is busy, else after `pause` or when the bell rings. A round that
/// fails is logged, once, and waited out.
pub(super) fn start<R, F>(
    tasks: &TaskTracker,
    stop: &CancellationToken,
    name: &'static str,
    pause: Duration,
    bell: Option<Arc<Notify>>,
    round: R,
) where
    R: Fn() -> F + Send + 'static,
    F: Future<Output = Result<Outcome, Error>> + Send + 'static,
{
    let stop = stop.clone();
    tasks.spawn(async move {
        let mut wait = pause;
        while !stop.is_cancelled() {
            // in a task of its own: a panic costs a round, not the worker
            wait = match tokio::spawn(round()).await {
                Ok(Ok(Outcome::Busy)) => continue,
                Ok(Ok(Outcome::Idle)) => pause,
                Ok(Err(error)) => {
                    tracing::warn!(worker = name, error = &error as &dyn std::error::Error, "a round failed");
                    (wait * 2).clamp(pause, LONGEST_PAUSE.max(pause))
                }
                Err(error) => {
                    tracing::error!(worker = name, %error, "a round was interrupted");
                    LONGEST_PAUSE.max(pause)
                }
            };
            let rung = async {
                match &bell {
                    Some(bell) => bell.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                () = rung => {}
            }
        }
    });
}
