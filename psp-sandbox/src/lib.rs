//! A PSP that speaks Stripe's wire format, stands where the real one cannot be reached, and misbehaves
//! on request in every way the real one can.
//!
//! It keeps accounts (a secret key never seen before opens one), charges test payment methods, remembers idempotency keys,
//! signs and delivers webhooks, pays out and reports settlements. What it really did to money is written
//! to `effects.jsonl`, by code that knows nothing of idempotency, for tests to compare a service with.
//!
//! Start it as a program (`psp-sandbox --help`) or in a test:
//!
//! ```no_run
//! # async fn example() -> Result<(), psp_sandbox::StartError> {
//! let sandbox = psp_sandbox::Sandbox::start(psp_sandbox::SandboxConfig::default()).await?;
//! println!("{}", sandbox.url());
//! sandbox.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Control API
//!
//! Under `/_sandbox`, from loopback only, in JSON. Unknown fields are refused.
//!
//! | call | what it does |
//! |---|---|
//! | `GET config`, `PUT config`, `PATCH config` | [`Behaviour`]: latency, search lag, key expiry, fees, webhook rates. `PUT` replaces it, `PATCH` merges into it |
//! | `POST faults`, `GET faults`, `DELETE faults`, `DELETE faults/{id}` | scripts, lists and lifts faults ([`fault::Rule`]): `{"fault":{"kind":"drop_reply"},"match":{"operation":"payment_intents.create","metadata":{"order_id":"o-1"}},"times":1}`, or `"rate":0.1`, `"skip":2`, `"nth":[1,3]` |
//! | `POST faults/release` | lets hung calls go on |
//! | `POST outage`, `DELETE outage` | `{"mode":"refuse"}` (503) or `{"mode":"drop"}`, for `"seconds":n` or until deleted |
//! | `POST webhook_endpoints`, `GET webhook_endpoints`, `DELETE webhook_endpoints/{id}` | `{"url":"…","secrets":["whsec_…"],"enabled_events":["payment_intent.*"]}`; `"account"` narrows it to one |
//! | `POST keys`, `DELETE keys` | `{"key":"sk_test_new","account":"acct_…"}` adds a key to an account that exists, beside those it has, as when a secret is replaced; `GET /v1/account` tells the account of a key. `DELETE` with `{"key":"…"}` revokes any key: calls with it are answered 401 |
//! | `POST payouts` | pays out all unsettled balance transactions, per account and currency: `{"account":"acct_…","currency":"eur","keep":5000}`, all optional; `keep` stays in the balance |
//! | `POST payouts/{id}/advance` | what becomes of a payout that a call asked for: `{"status":"in_transit"}`, `"paid"`, `"failed"` (also once it was paid), `"canceled"` |
//! | `GET payouts/{id}/settlement.csv`, `GET settlement.csv` | the itemised payout reconciliation report of one payout or of all; `?payment_metadata=a,b`, `?refund_metadata=a`, `?include_payout=true`, `?account=acct_…` |
//! | `POST discrepancies`, `GET discrepancies`, `DELETE discrepancies` | plants differences in the reports ([`settlement::Discrepancy`]): `{"change":{"kind":"drop_line"},"match":{"line":3}}`, `duplicate_line`, `change_amount`, `change_currency`, `unknown_line` |
//! | `POST refunds/{id}/fail` | a refund that seemed done comes back |
//! | `POST disputes` | the buyer's bank asks for the money back: `{"payment_intent":"pi_…"}`, optionally `"amount"`, `"reason"`, `"inquiry":true` |
//! | `POST disputes/{id}/decide` | what becomes of it: `{"status":"needs_response"}` (an inquiry becomes a chargeback), `"won"`, `"lost"`, `"warning_closed"` |
//! | `GET effects?after=n&limit=m` | the log of effects, paged by `seq` |
//! | `GET effects/summary` | count and sum per kind and currency, and every `payonce_operation` charged more than once |
//! | `POST clock` | `{"advance_seconds":n}`: moves the sandbox's clock, as far as keys, search and objects go |
//! | `GET stats` | faults by kind and rule, calls per operation and those open now, replays, webhook deliveries |
//! | `GET wait?hanging=n`, `GET wait?webhooks=idle` | answers once so many calls hang, or once no delivery is left |
//! | `POST reset` | forgets everything but how the sandbox was started |
//!
//! A buyer sent to `next_action.redirect_to_url.url` finds a page with two buttons; `POST` to it with
//! `outcome=complete` or `outcome=fail` does the same.

mod accounts;
mod config;
mod core;
pub mod fault;
mod http;
pub mod model;
mod render;
mod sandbox;
pub mod settlement;
mod stats;
mod store;
pub mod webhook;
mod wire;
mod world;

pub use config::{Behaviour, Delivery, Disputes, Fee, Fees, Outage, OutageMode, SandboxConfig, Span};
pub use sandbox::{Sandbox, StartError};
pub use store::{Effect, EffectKind, StoreError};
