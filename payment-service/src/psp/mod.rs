//! Payment service providers: asks them for a side effect and says what their answer means.
//!
//! Nothing here knows the database. A call never fails: whatever happens on the wire is one of the five
//! [`Outcome`]s, with one [`Attempt`] for each try as evidence. Answers, look-ups and webhooks all become an
//! [`Evidence`] and are judged by the one function [`Evidence::judge`].

mod account;
mod attempt;
mod backoff;
mod budget;
mod call;
mod event;
mod evidence;
mod idempotency;
mod outcome;
mod redact;
mod reference;
mod stripe;
mod transport;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use time::OffsetDateTime;
use tokio::time::Instant;

pub use account::{Account, AmountRefused, Psp, UnknownPsp};
pub use attempt::{Action, Attempt, AttemptOutcome, Exchange};
pub use call::{CaptureMethod, Errand, Inquiry, Method, UnknownCaptureMethod};
pub use event::{DisputeEvidence, Event, EventError, SignatureError, Subject};
pub use evidence::{
    Aim, Evidence, Expected, Judgement, PayoutEvidence, PayoutState, RefundEvidence, RefundState, State,
};
pub use idempotency::{Idempotency, UnknownIdempotency};
pub use outcome::{Decline, NotSentCode, Outcome, Success, Why, decline};
pub use reference::{InvalidReference, PspReference};
#[cfg(test)]
pub(crate) use stripe::steps;
pub(crate) use transport::install_tls_provider;
pub use transport::{ClientError, Settings};

/// The connectors of this process. Built once; cheap to share by reference.
#[derive(Debug)]
pub struct Connectors {
    stripe: stripe::Connector,
}

impl Connectors {
    /// Connectors over one HTTP client whose own retries, redirects and proxies are off.
    ///
    /// # Errors
    /// When the TLS side of the client cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        Ok(Self { stripe: stripe::Connector::new(settings)? })
    }

    /// Has an errand done. Resends the same bytes under the same key where that is safe, which is never once a PSP that
    /// remembers no keys may have got them, and closes what a decline leaves
    /// open at the PSP. Nothing is sent at or after `until`, which the caller sets before the end of its lease and of the
    /// PSP's idempotency window. Where an earlier call for the operation may have reached the PSP (its owner died, or the
    /// outcome was unknown) it is `resent`: then the call never ends in [`Outcome::NotSent`].
    pub async fn send(&self, account: &Account, errand: &Errand, resent: bool, until: Instant) -> Exchange {
        match account.psp {
            Psp::Stripe => self.stripe.send(account, errand, resent, until).await,
        }
    }

    /// Asks what became of an operation. Never charges, and never answers [`Outcome::NotSent`]: that a PSP does not
    /// show an operation proves nothing. An object that could still be paid, with nobody there to pay it, is
    /// cancelled first.
    pub async fn inquire(&self, account: &Account, call: &Inquiry<'_>, until: Instant) -> Exchange {
        match account.psp {
            Psp::Stripe => self.stripe.inquire(account, call, until).await,
        }
    }

    /// Cancels an authorisation that has not moved money, such as one whose buyer never came back. The outcome is what
    /// became of it: `Declined` once the PSP confirms, `Succeeded` when the buyer was quicker.
    pub async fn cancel(&self, account: &Account, call: &Inquiry<'_>, until: Instant) -> Exchange {
        match account.psp {
            Psp::Stripe => self.stripe.cancel(account, call, until).await,
        }
    }
}

/// Whether a webhook comes from the PSP: `signature` is the value of [`Psp::signature_header`], `raw_body` the bytes
/// as received.
///
/// # Errors
/// When no live secret of the account made the signature over exactly these bytes, or not within the time window.
/// Callers answer all of them alike.
pub fn verify_webhook(
    account: &Account,
    signature: &str,
    raw_body: &[u8],
    now: OffsetDateTime,
) -> Result<(), SignatureError> {
    match account.psp {
        Psp::Stripe => stripe::verify(&account.webhook_secrets, signature, raw_body, now),
    }
}

/// What an answer shows, read as the connector reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRead {
    /// What this try showed.
    pub shown: AttemptOutcome,
    /// What the call came to, where nothing more has to be asked.
    pub outcome: Option<Outcome>,
    /// The detail that is kept of it.
    pub detail: Option<String>,
}

/// Reads the answer to the one request of a call, for whoever has its bytes and no connection. Where the call is `resent`,
/// an earlier one may have been executed.
pub fn read_answer(
    account: &Account,
    expected: &Expected,
    resent: bool,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
) -> AnswerRead {
    match account.psp {
        Psp::Stripe => stripe::read_answer(account, expected, resent, status, headers, body),
    }
}

/// What a verified webhook says.
///
/// # Errors
/// When the body is no event of this PSP, or one about a payment that cannot be read.
pub fn parse_event(psp: Psp, raw_body: &[u8]) -> Result<Event, EventError> {
    match psp {
        Psp::Stripe => stripe::parse_event(raw_body),
    }
}
