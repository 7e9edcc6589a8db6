use time::OffsetDateTime;

use super::{Evidence, PayoutEvidence, PspReference, RefundEvidence};
use crate::dispute::Word;

/// What a verified webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The PSP's name of the event: the same on each repeat.
    pub event_id: String,
    /// The PSP's type, such as `payment_intent.succeeded`.
    pub kind: String,
    /// When it happened, by the PSP's clock. Events come in any order; this decides nothing.
    pub created_at: OffsetDateTime,
    /// Whether real money is meant. Never to be applied to an account of the other mode.
    pub livemode: bool,
    /// What it is about.
    pub subject: Subject,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A payment, ours or somebody else's on the same account, as it was when the event was made. A stale event says
    /// what was true then: whatever it leaves open is asked of the PSP.
    Payment(Box<Evidence>),
    /// A refund, likewise.
    Refund(Box<RefundEvidence>),
    /// A payout that names an operation, likewise.
    Payout(Box<PayoutEvidence>),
    /// What a buyer's bank asks back, as it stood when the event was made.
    Dispute(Box<DisputeEvidence>),
    /// Something that we do not use yet.
    Other,
}

/// What an event says of a dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeEvidence {
    /// The PSP's object of the payment, where it is named.
    pub payment: Option<PspReference>,
    /// What it says.
    pub word: Word,
}

/// A body that is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not the JSON of an event, or of the object that its type promises.
    #[error("not an event that can be read")]
    Unreadable(#[from] serde_json::Error),
    /// JSON, and a value in it that cannot be.
    #[error("`{field}` is not {expected}")]
    Field {
        /// Where.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
}

/// Why a webhook is not taken for the PSP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is not of the PSP's form, or too long.
    #[error("the signature header has not the form of this PSP")]
    Malformed,
    /// It was signed too long ago, or for a time to come.
    #[error("the signature's time is outside the window")]
    OutsideWindow,
    /// No secret of the account made it over this body.
    #[error("no secret of this account made the signature")]
    Forged,
}
