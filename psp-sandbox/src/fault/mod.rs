//! Faults: what may go wrong with a call, and for which calls it does.

mod book;

pub use book::{CallFacts, FaultBook, Picked, RuleReport};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Span;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The call is executed, then the connection closes without a byte of an answer.
    DropReply {
        /// How it closes.
        #[serde(default)]
        close: Close,
    },
    /// The connection closes before anything is executed.
    DropRequest {
        /// How it closes.
        #[serde(default)]
        close: Close,
    },
    /// 429, before the idempotency layer.
    RateLimited {
        /// `Retry-After`, in seconds.
        #[serde(default = "one")]
        retry_after_seconds: u32,
        /// `Stripe-Rate-Limited-Reason`.
        #[serde(default = "global_rate")]
        reason: String,
    },
    /// 429 with `code=lock_timeout`.
    LockTimeout,
    /// 500.
    ServerError {
        /// Whether the answer is saved under the idempotency key. If not, nothing is executed.
        #[serde(default = "yes")]
        saved: bool,
        /// What was done before it went wrong.
        #[serde(default)]
        executes: Executes,
        /// `Stripe-Should-Retry`.
        #[serde(default)]
        should_retry: Option<bool>,
    },
    /// 503 before anything is executed.
    Unavailable {
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after_seconds: Option<u32>,
    },
    /// The answer's body trickles.
    SlowDrip {
        /// Bytes at a time.
        #[serde(default = "one")]
        bytes: u32,
        /// Between them.
        #[serde(default = "fifty")]
        interval_ms: u32,
    },
    /// The call waits until hung calls are released.
    Hang {
        /// Before or after it is executed. A call hung before execution holds its key in flight.
        #[serde(default)]
        when: When,
    },
    /// The call takes longer; other faults may still strike it.
    Latency {
        /// How much longer, in milliseconds.
        ms: Span,
    },
    /// The answer's body is not JSON.
    GarbageBody,
    /// The connection closes in the middle of the answer's body.
    TruncatedBody,
    /// The answer's body is far too long.
    HugeBody {
        /// How long.
        #[serde(default = "huge")]
        bytes: u64,
    },
    /// The answer says something that is not so; what was done is right.
    WrongReply {
        /// Minor units.
        #[serde(default)]
        amount: Option<i64>,
        /// A currency code.
        #[serde(default)]
        currency: Option<String>,
        /// Replaces these values.
        #[serde(default)]
        metadata: BTreeMap<String, String>,
        /// A status.
        #[serde(default)]
        status: Option<String>,
    },
}

impl Fault {
    /// Its name in statistics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DropReply { .. } => "drop_reply",
            Self::DropRequest { .. } => "drop_request",
            Self::RateLimited { .. } => "rate_limited",
            Self::LockTimeout => "lock_timeout",
            Self::ServerError { saved: true, .. } => "server_error_saved",
            Self::ServerError { saved: false, .. } => "server_error_unsaved",
            Self::Unavailable { .. } => "unavailable",
            Self::SlowDrip { .. } => "slow_drip",
            Self::Hang { .. } => "hang",
            Self::Latency { .. } => "latency",
            Self::GarbageBody => "garbage_body",
            Self::TruncatedBody => "truncated_body",
            Self::HugeBody { .. } => "huge_body",
            Self::WrongReply { .. } => "wrong_reply",
        }
    }
}

/// How a connection closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// With a reset.
    #[default]
    Reset,
    /// In order.
    Fin,
}

/// What a call that answers 500 did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Executes {
    /// Nothing.
    #[default]
    Nothing,
    /// A create-and-confirm made its PaymentIntent and did not confirm it.
    Created,
    /// Everything.
    All,
}

/// When a call hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before it is executed.
    #[default]
    Before,
    /// When it was executed and before it is answered.
    After,
}

/// Which calls; what is not given matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// `GET` or `POST`.
    pub method: Option<String>,
    /// A path; `*` at its end stands for anything.
    pub path: Option<String>,
    /// As in `payment_intents.create`.
    pub operation: Option<String>,
    /// The idempotency key.
    pub idempotency_key: Option<String>,
    /// Metadata sent, or that of the PaymentIntent the call is about.
    pub metadata: BTreeMap<String, String>,
}

/// A fault and when it strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Given by the sandbox.
    #[serde(default)]
    pub id: u32,
    /// What goes wrong.
    pub fault: Fault,
    /// For which calls.
    #[serde(default, rename = "match")]
    pub matches: Matcher,
    /// How often (0 to 1) it strikes a matching call; always when not given.
    #[serde(default)]
    pub rate: Option<f64>,
    /// How many matching calls it leaves alone first.
    #[serde(default)]
    pub skip: u64,
    /// Which matching calls it strikes, counted from one; any when empty.
    #[serde(default)]
    pub nth: Vec<u64>,
    /// How many times it strikes at most.
    #[serde(default)]
    pub times: Option<u64>,
}

const fn one() -> u32 {
    1
}

const fn fifty() -> u32 {
    50
}

const fn huge() -> u64 {
    64 << 20
}

const fn yes() -> bool {
    true
}

fn global_rate() -> String {
    "global-rate".to_owned()
}
