//! Webhooks: who gets them, how they are signed, and how they are delivered, late, twice and out of order.

mod delivery;
mod signature;

pub use delivery::{DeliveryCounts, Dispatcher, Ended, Job, Next, mix};
pub use signature::{sign, signature_header};

use serde::{Deserialize, Serialize};

use crate::model::event::EventKind;

/// Where webhooks go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Given by the sandbox.
    #[serde(default)]
    pub id: u32,
    /// Gets a POST for each event.
    pub url: String,
    /// Each signs; more than one while a secret is being replaced.
    pub secrets: Vec<String>,
    /// Event types; `*` at the end of one stands for anything.
    #[serde(default = "every_event")]
    pub enabled_events: Vec<String>,
    /// Only this account's events.
    #[serde(default)]
    pub account: Option<String>,
}

fn every_event() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Endpoint {
    /// Whether it gets such an event of that account.
    pub fn wants(&self, kind: EventKind, account: &str) -> bool {
        let ours = self.account.as_deref().is_none_or(|it| it == account);
        ours && self.enabled_events.iter().any(|wanted| {
            wanted
                .strip_suffix('*')
                .map_or_else(|| wanted == kind.as_str(), |start| kind.as_str().starts_with(start))
        })
    }
}
