//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::config::{Behaviour, SandboxConfig};
use crate::core::Core;
use crate::http;
use crate::store::StoreError;
use crate::webhook::Endpoint;

/// How long calls under way get when the sandbox stops.
const GRACE: Duration = Duration::from_secs(2);

/// A sandbox that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its state cannot be used.
    #[error("the state directory cannot be used")]
    Store(#[from] StoreError),
    /// No temporary directory could be made.
    #[error("no temporary state directory could be made")]
    TemporaryDirectory(#[source] std::io::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP client for webhooks cannot be made.
    #[error("webhooks cannot be sent")]
    WebhookClient(#[source] reqwest::Error),
}

/// A running sandbox. Dropping it stops it without ceremony.
pub struct Sandbox {
    address: SocketAddr,
    core: Arc<Core>,
    serving: JoinHandle<()>,
    delivering: JoinHandle<()>,
    _temporary: Option<TempDir>,
}

impl Sandbox {
    /// Starts a sandbox and returns once it listens.
    pub async fn start(config: SandboxConfig) -> Result<Self, StartError> {
        let temporary = match config.state_dir {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("psp-sandbox-")
                    .tempdir()
                    .map_err(StartError::TemporaryDirectory)?,
            ),
        };
        let directory = match (&config.state_dir, &temporary) {
            (Some(directory), _) => directory.as_path(),
            (None, Some(temporary)) => temporary.path(),
            (None, None) => {
                return Err(StartError::TemporaryDirectory(std::io::Error::other("none")));
            }
        };
        // First, so that a start that fails for the address has touched nobody's state.
        let listener = tokio::net::TcpListener::bind(config.listen).await;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = listener.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let client = http::webhook_client().map_err(StartError::WebhookClient)?;
        let core = Arc::new(Core::open(&config, directory)?);
        core.set_base_url(format!("http://{address}"));
        let serving = tokio::spawn(http::serve(listener, Arc::clone(&core)));
        let delivering = tokio::spawn(http::deliver_webhooks(Arc::clone(&core), client));
        Ok(Self { address, core, serving, delivering, _temporary: temporary })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL, without a slash at its end.
    pub fn url(&self) -> &str {
        self.core.base_url()
    }

    /// What is configured now.
    pub fn behaviour(&self) -> Behaviour {
        Behaviour::clone(&self.core.behaviour())
    }

    /// Configures something else.
    pub fn set_behaviour(&self, behaviour: Behaviour) -> std::io::Result<()> {
        self.core.set_behaviour(behaviour)
    }

    /// Scripts a fault and gives its id.
    pub fn add_fault(&self, rule: crate::fault::Rule) -> std::io::Result<u32> {
        http::add_fault(&self.core, rule).map(|rule| rule.id)
    }

    /// Lifts all faults.
    pub fn lift_faults(&self) -> std::io::Result<()> {
        http::lift_faults(&self.core)
    }

    /// Lets hung calls go on.
    pub fn release_hung(&self) {
        http::release_hung(&self.core);
    }

    /// Returns once at least so many calls hang.
    pub async fn wait_hanging(&self, at_least: usize) {
        let mut hanging = self.core.hanging.subscribe();
        // The sender lives as long as the sandbox.
        let _ = hanging.wait_for(|count| *count >= at_least).await;
    }

    /// Sends webhooks to another endpoint and gives its id.
    pub fn add_webhook_endpoint(&self, endpoint: Endpoint) -> std::io::Result<u32> {
        http::add_endpoint(&self.core, endpoint).map(|endpoint| endpoint.id)
    }

    /// Returns once no webhook delivery waits or is under way.
    pub async fn webhooks_idle(&self) {
        self.core.dispatcher.idle().await;
    }

    /// Moves the sandbox's clock forward.
    pub fn advance_clock(&self, by: Duration) -> std::io::Result<()> {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.core.advance_clock(by_ms).map(drop)
    }

    /// Stops listening, lets calls under way end (hung ones by dropping them), and stops.
    pub async fn shutdown(mut self) {
        self.core.shutdown.cancel();
        if tokio::time::timeout(GRACE, &mut self.serving).await.is_err() {
            tracing::warn!("calls under way were cut off");
        }
        self.delivering.abort();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.core.shutdown.cancel();
        self.serving.abort();
        self.delivering.abort();
        self.core.store.close();
    }
}
