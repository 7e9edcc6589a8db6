//! The lines of the journal.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Effect;
use crate::config::{Behaviour, Outage};
use crate::fault::Rule;
use crate::model::event::StoredEvent;
use crate::model::id::Nonce;
use crate::model::{BalanceTransaction, Charge, Dispute, Intent, Payout, Refund, Session};
use crate::settlement::Discrepancy;
use crate::webhook::Endpoint;
use crate::world::StoredKey;

/// Everything one request changed in one account; it happened whole or not at all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Commit {
    /// New or changed PaymentIntents.
    #[serde(rename = "pi", default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<Arc<Intent>>,
    /// New or changed Checkout Sessions.
    #[serde(rename = "cs", default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Arc<Session>>,
    /// New or changed charges.
    #[serde(rename = "ch", default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Arc<Charge>>,
    /// New or changed refunds.
    #[serde(rename = "re", default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Arc<Refund>>,
    /// New or changed disputes.
    #[serde(rename = "dp", default, skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<Arc<Dispute>>,
    /// New balance transactions.
    #[serde(rename = "tx", default, skip_serializing_if = "Vec::is_empty")]
    pub transactions: Vec<Arc<BalanceTransaction>>,
    /// New payouts.
    #[serde(rename = "po", default, skip_serializing_if = "Vec::is_empty")]
    pub payouts: Vec<Arc<Payout>>,
    /// The request that caused the events.
    #[serde(rename = "rq", default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Arc<str>>,
    /// That request's idempotency key.
    #[serde(rename = "ik", default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Arc<str>>,
    /// New events.
    #[serde(rename = "ev", default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<StoredEvent>,
    /// The answer saved under the request's idempotency key.
    #[serde(rename = "key", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<StoredKey>,
    /// What happened to money.
    #[serde(rename = "fx", default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    /// An account came to be.
    World {
        /// Its position.
        index: u32,
        /// Its id.
        account: Cow<'a, str>,
        /// Of its ids.
        nonce: Nonce,
        /// Whether it is a live one.
        livemode: bool,
        /// The number of its first event still kept.
        #[serde(default)]
        first_event: u64,
    },
    /// A key was added to an account or revoked.
    Key {
        /// The account that the key opens by itself, which is a digest of it.
        #[serde(rename = "k")]
        digest: Cow<'a, str>,
        /// The account it was added to; none when it was revoked.
        to: Option<u32>,
    },
    /// An account changed.
    Commit {
        /// Which.
        #[serde(rename = "w")]
        world: u32,
        /// How.
        #[serde(rename = "c")]
        commit: Cow<'a, Commit>,
    },
    /// An event's delivery to an endpoint ended.
    Delivered {
        /// Whose event.
        #[serde(rename = "w")]
        world: u32,
        /// Which event.
        #[serde(rename = "e")]
        event: u64,
        /// To which endpoint.
        #[serde(rename = "to")]
        endpoint: u32,
        /// Whether it was taken; otherwise the sandbox gave up.
        ok: bool,
    },
    /// A webhook endpoint was set up.
    Endpoint(Cow<'a, Endpoint>),
    /// A webhook endpoint was removed.
    EndpointRemoved(u32),
    /// The configuration was replaced.
    Behaviour(Cow<'a, Behaviour>),
    /// A fault was scripted.
    Fault(Cow<'a, Rule>),
    /// A fault was lifted.
    FaultRemoved(u32),
    /// A fault struck.
    Fired {
        /// Which rule.
        rule: u32,
        /// The number of the matching call it struck; zero when only the count is told.
        number: u64,
    },
    /// An outage began or ended.
    Outage(Option<Outage>),
    /// A discrepancy was planted in the settlement reports.
    Discrepancy(Cow<'a, Discrepancy>),
    /// All discrepancies were taken back.
    DiscrepanciesCleared,
    /// The clock was moved to this many milliseconds ahead of the system's.
    Clock(i64),
}
