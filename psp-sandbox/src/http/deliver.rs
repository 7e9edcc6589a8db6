//! Webhooks going out.

use std::sync::Arc;
use std::time::Duration;

use crate::core::{Core, locked, system_ms};
use crate::render::EventView;
use crate::webhook::{Ended, Endpoint, Job, Next, signature_header};

/// The client webhooks are sent with: no redirects, no proxies, no retries of its own.
pub fn webhook_client() -> reqwest::Result<reqwest::Client> {
    // Installed already when another part of the program did; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(5))
        .user_agent("Stripe/1.0 (psp-sandbox)")
        .build()
}

/// Works off deliveries until the sandbox shuts down.
pub async fn deliver_webhooks(core: Arc<Core>, client: reqwest::Client) {
    while !core.shutdown.is_cancelled() {
        let concurrency = core.behaviour().webhooks.concurrency;
        match core.dispatcher.next(concurrency) {
            Next::Deliver(job) => {
                tokio::spawn(deliver(Arc::clone(&core), client.clone(), job));
            }
            Next::Wait(until) => tokio::select! {
                () = core.dispatcher.wait(until) => {}
                () = core.shutdown.cancelled() => {}
            },
        }
    }
}

async fn deliver(core: Arc<Core>, client: reqwest::Client, job: Job) {
    let behaviour = core.behaviour();
    let endpoints = core.dispatcher.endpoints();
    let endpoint = endpoints.iter().find(|it| it.id == job.endpoint);
    let body = event_body(&core, job);
    let taken = match (endpoint, body) {
        (Some(endpoint), Some(body)) => {
            let timeout = Duration::from_millis(behaviour.webhooks.timeout_ms.into());
            send(&client, endpoint, body, timeout).await
        }
        // The endpoint or the event is gone: there is nothing left to try.
        _ => true,
    };
    let ended = core.dispatcher.tried(job, taken, &behaviour.webhooks);
    if matches!(ended, Ended::Settled) {
        core.delivery_ended(job.world, job.event, job.endpoint, taken);
    }
    core.dispatcher.done(taken, &ended);
}

fn event_body(core: &Core, job: Job) -> Option<Vec<u8>> {
    let pending = core.dispatcher.pending(job.world, job.event);
    let world = core.world_at(job.world)?;
    let (event, renderer) = {
        let world = locked(&world);
        let event = world.event_at(job.event)?.clone();
        (event, world.renderer(core.base_url()))
    };
    let view = EventView { renderer: &renderer, event: &event, pending };
    serde_json::to_vec(&view).ok()
}

/// One try, signed at the moment it is made: the real clock, since it is the receiver who will check it.
async fn send(client: &reqwest::Client, endpoint: &Endpoint, body: Vec<u8>, timeout: Duration) -> bool {
    let timestamp = system_ms().div_euclid(1000);
    let signature = signature_header(&endpoint.secrets, timestamp, &body);
    let answer = client
        .post(&endpoint.url)
        .header("content-type", "application/json; charset=utf-8")
        .header("stripe-signature", signature)
        .timeout(timeout)
        .body(body)
        .send()
        .await;
    match answer {
        Ok(answer) => answer.status().is_success(),
        Err(error) => {
            tracing::debug!(%error, "a webhook was not taken");
            false
        }
    }
}
