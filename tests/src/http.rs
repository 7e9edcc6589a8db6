//! The HTTP client of everything but the benchmark's load.

use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

use crate::Error;

/// A client that goes nowhere but where it is told, and tries everything once.
///
/// # Errors
/// When the system has nothing random to give.
pub fn client() -> Result<Client, Error> {
    // a second installation says that there was a first
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().redirect(Policy::none()).retry(reqwest::retry::never());
    Ok(client.timeout(Duration::from_secs(90)).build()?)
}
