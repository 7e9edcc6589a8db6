//! The service: starts everything, waits for a signal, and lets go in order.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConfigError, Embedding, OpenDatabase, ServeArgs};
use crate::database::{self, DatabaseError};
use crate::engine::{self, Engine};
use crate::http::health::Health;
use crate::http::{self, AppState};
use crate::merchant::{Directory, MerchantError};
use crate::outbox::relay::{self, Relay};
use crate::psp::{self, Connectors};
use crate::worker::Workers;

/// Connections for the statements of every payment: as many as the batchers' workers, and a few for what finishes payments.
const HOT_CONNECTIONS: u32 = 16;

/// Why the service did not start, or not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The secrets of the PSP accounts cannot be opened.
    #[error("the secrets of the PSP accounts cannot be used")]
    Secrets(#[source] MerchantError),
    /// The relay to Kafka cannot be configured so.
    #[error("the relay to Kafka cannot be started")]
    Relay(#[from] relay::Error),
    /// The client for the PSPs cannot be built.
    #[error(transparent)]
    PspClient(#[from] psp::ClientError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The system refused something.
    #[error("{0}")]
    Io(&'static str, #[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT, then finishes what is in flight, for as long as the grace lasts.
///
/// # Errors
/// [`ServeError`].
pub async fn run(config: ServeArgs) -> Result<(), ServeError> {
    config.times.check()?;
    let stop = stop_at_a_signal()?;
    let keys = config.secret_key.key_ring(&config.database)?;
    let database = config.database.open("payment-service", Embedding::Own).await?;
    let served = serve(&config, &database, keys, stop).await;
    database.close().await?;
    served
}

async fn serve(
    config: &ServeArgs,
    database: &OpenDatabase,
    keys: crate::merchant::KeyRing,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let pool = database.pool.clone();
    if database::may_alter_the_ledger(&pool).await? {
        tracing::warn!(
            "the database role may change what is booked: connect as the application's role instead"
        );
    }
    let directory = Arc::new(Directory::new(pool.clone(), keys));
    directory.check_secrets().await.map_err(ServeError::Secrets)?;
    let health = Arc::new(Health::new(pool.clone()));
    let connectors = Arc::new(Connectors::new(psp::Settings::default())?);
    let hot = database::hot_pool(&pool, HOT_CONNECTIONS);
    let engine = Engine::start(hot.clone(), connectors, engine_settings(config));
    let inbox_bell = Arc::new(Notify::new());
    let reading = database::reading_pool(&pool);
    let state = AppState {
        directory: Arc::clone(&directory),
        health: Arc::clone(&health),
        pool: pool.clone(),
        reading: reading.clone(),
        engine: engine.clone(),
        inbox_bell: Arc::clone(&inbox_bell),
    };
    let router = http::router(state, config.times.request_timeout);

    let address = config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    announce(&listener).map_err(|source| ServeError::Io("cannot say where the service listens", source))?;
    let background = TaskTracker::new();
    let key_age = config.times.idempotency_retention;
    if let Some(brokers) = &config.kafka_brokers {
        let relay = relay::Config {
            topic: config.kafka_topic.clone(),
            message_timeout: config.times.kafka_timeout,
            ..relay::Config::new(brokers)
        };
        background.spawn(Relay::new(pool.clone(), relay)?.run(stop.clone()));
    }
    Workers { pool, hot: hot.clone(), engine: engine.clone(), directory, inbox_bell, key_age }
        .start(&background, &stop);
    let server = http::server::serve(listener, router, config.connections as usize, stop.clone());
    let deadline = finish(server, &health, stop, config.times.grace).await;
    background.close();
    let left = deadline.saturating_duration_since(Instant::now());
    if !engine.drain(left).await || tokio::time::timeout_at(deadline, background.wait()).await.is_err() {
        tracing::warn!("the grace is over: what is under way is left to the next start, which finishes it");
    }
    hot.close().await;
    reading.close().await;
    Ok(())
}

fn engine_settings(config: &ServeArgs) -> engine::Settings {
    let times = &config.times;
    engine::Settings {
        deadline: times.psp_deadline,
        lease: times.lease,
        patience: times.patience,
        action_window: times.action_window,
        review_after: times.review_after,
        in_flight: config.in_flight as usize,
        ..engine::Settings::default()
    }
}

/// The one line on standard output, for those who wait for it and for those who asked for port 0.
fn announce(listener: &TcpListener) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "payment-service listening on http://{address}")?;
    out.flush()
}

/// Waits for the server's end: without limit until the signal, and from then on for the grace. Answers when that ends.
async fn finish(
    server: impl Future<Output = ()>,
    health: &Health,
    stop: CancellationToken,
    grace: Duration,
) -> Instant {
    tokio::pin!(server);
    tokio::select! {
        () = &mut server => return Instant::now() + grace,
        () = stop.cancelled() => {}
    }
    health.drain();
    tracing::info!(grace_s = grace.as_secs(), "shutting down: no new connections, requests in flight go on");
    let deadline = Instant::now() + grace;
    match tokio::time::timeout_at(deadline, server).await {
        Ok(()) => tracing::info!("every request was answered"),
        Err(_) => tracing::warn!("the grace is over: connections are dropped"),
    }
    deadline
}

/// A token that the first SIGTERM or SIGINT cancels. A second signal ends the process at once.
fn stop_at_a_signal() -> Result<CancellationToken, ServeError> {
    let refused = |error| ServeError::Io("cannot wait for signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first.is_cancelled() {
                tracing::warn!("a second signal: ending at once");
                std::process::exit(130);
            }
            first.cancel();
        }
    });
    Ok(stop)
}
