//! Events, and the versions of objects they carry.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::object::wire_enum;
use super::{Charge, Dispute, Intent, Payout, Refund, Session};

wire_enum! {
    /// What happened.
    EventKind {
        IntentCreated = "payment_intent.created",
        IntentSucceeded = "payment_intent.succeeded",
        IntentProcessing = "payment_intent.processing",
        IntentFailed = "payment_intent.payment_failed",
        IntentCanceled = "payment_intent.canceled",
        IntentRequiresAction = "payment_intent.requires_action",
        IntentCapturable = "payment_intent.amount_capturable_updated",
        SessionCompleted = "checkout.session.completed",
        SessionExpired = "checkout.session.expired",
        SessionPaidLater = "checkout.session.async_payment_succeeded",
        SessionFailedLater = "checkout.session.async_payment_failed",
        ChargeSucceeded = "charge.succeeded",
        ChargeFailed = "charge.failed",
        ChargeCaptured = "charge.captured",
        ChargeRefunded = "charge.refunded",
        ChargeExpired = "charge.expired",
        DisputeCreated = "charge.dispute.created",
        DisputeUpdated = "charge.dispute.updated",
        DisputeClosed = "charge.dispute.closed",
        DisputeWithdrawn = "charge.dispute.funds_withdrawn",
        DisputeReinstated = "charge.dispute.funds_reinstated",
        RefundCreated = "refund.created",
        RefundUpdated = "refund.updated",
        RefundFailed = "refund.failed",
        PayoutCreated = "payout.created",
        PayoutUpdated = "payout.updated",
        PayoutPaid = "payout.paid",
        PayoutFailed = "payout.failed",
        PayoutCanceled = "payout.canceled",
        PayoutReconciled = "payout.reconciliation_completed",
    }
}

/// One version of an object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Snapshot {
    /// A PaymentIntent.
    Intent(Arc<Intent>),
    /// A PaymentIntent as it was before its first confirmation.
    IntentAsCreated(Arc<Intent>),
    /// A Checkout Session.
    Session(Arc<Session>),
    /// A charge.
    Charge(Arc<Charge>),
    /// A refund.
    Refund(Arc<Refund>),
    /// A dispute.
    Dispute(Arc<Dispute>),
    /// A payout.
    Payout(Arc<Payout>),
}

/// A version of an object as the journal writes it: most versions are the ones written beside them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Stored {
    /// The PaymentIntent at that position, as it is now.
    #[serde(rename = "i")]
    Intent(u64),
    /// The same, seen before its first confirmation.
    #[serde(rename = "n")]
    IntentAsCreated(u64),
    /// The Checkout Session at that position, as it is now.
    #[serde(rename = "s")]
    Session(u64),
    /// The charge at that position, as it is now.
    #[serde(rename = "c")]
    Charge(u64),
    /// The refund at that position, as it is now.
    #[serde(rename = "r")]
    Refund(u64),
    /// The dispute at that position, as it is now.
    #[serde(rename = "d")]
    Dispute(u64),
    /// The payout at that position.
    #[serde(rename = "p")]
    Payout(u64),
    /// A version that was replaced since.
    #[serde(rename = "v")]
    Version(Box<Snapshot>),
}

/// An event as the journal writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Position within the account.
    #[serde(rename = "n")]
    pub seq: u64,
    /// What happened.
    #[serde(rename = "k")]
    pub kind: EventKind,
    /// Milliseconds since 1970.
    #[serde(rename = "t")]
    pub created_ms: i64,
    /// What it happened to.
    #[serde(rename = "o")]
    pub object: Stored,
    /// The endpoints it is to be delivered to.
    #[serde(rename = "to", default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<u32>,
}

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Position within the account.
    pub seq: u64,
    /// What happened.
    pub kind: EventKind,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// The request that caused it.
    pub request: Option<Arc<str>>,
    /// That request's idempotency key.
    pub idempotency_key: Option<Arc<str>>,
    /// What it happened to, as it was then.
    pub object: Snapshot,
}
