//! PaymentIntents, their hosted pages, charges, refunds, disputes, balance transactions and payouts.
//!
//! Objects refer to each other by position (`u64`) within their account, and are replaced rather than
//! changed, so that an event or a saved response keeps the version it was made from at no cost.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Metadata;
use super::card::{Card, Decline};
use super::currency::Currency;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads the word on the wire.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }

            /// Every word, for messages.
            pub const WORDS: &'static [&'static str] = &[$($text),+];
        }
    };
}
pub(super) use wire_enum;

wire_enum! {
    /// The status of a PaymentIntent.
    IntentStatus {
        RequiresPaymentMethod = "requires_payment_method",
        RequiresConfirmation = "requires_confirmation",
        RequiresAction = "requires_action",
        Processing = "processing",
        RequiresCapture = "requires_capture",
        Canceled = "canceled",
        Succeeded = "succeeded",
    }
}

wire_enum! {
    /// When an authorised amount is captured.
    CaptureMethod {
        Automatic = "automatic",
        AutomaticAsync = "automatic_async",
        Manual = "manual",
    }
}

wire_enum! {
    /// Why a PaymentIntent was cancelled.
    CancellationReason {
        Abandoned = "abandoned",
        Duplicate = "duplicate",
        Fraudulent = "fraudulent",
        RequestedByCustomer = "requested_by_customer",
    }
}

wire_enum! {
    /// The status of a Checkout Session.
    SessionStatus {
        Open = "open",
        Complete = "complete",
        Expired = "expired",
    }
}

wire_enum! {
    /// Why money was given back.
    RefundReason {
        Duplicate = "duplicate",
        Fraudulent = "fraudulent",
        RequestedByCustomer = "requested_by_customer",
    }
}

wire_enum! {
    /// The status of a refund.
    RefundStatus {
        Succeeded = "succeeded",
        Failed = "failed",
    }
}

wire_enum! {
    /// The status of a payout.
    PayoutStatus {
        Pending = "pending",
        InTransit = "in_transit",
        Paid = "paid",
        Failed = "failed",
        Canceled = "canceled",
    }
}

impl PayoutStatus {
    /// Of one that went to the merchant's bank by itself.
    const fn paid() -> Self {
        Self::Paid
    }

    /// Whether the money came back.
    pub const fn is_back(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled)
    }
}

wire_enum! {
    /// The status of a dispute.
    DisputeStatus {
        WarningNeedsResponse = "warning_needs_response",
        WarningUnderReview = "warning_under_review",
        WarningClosed = "warning_closed",
        NeedsResponse = "needs_response",
        UnderReview = "under_review",
        Won = "won",
        Lost = "lost",
    }
}

wire_enum! {
    /// Why a buyer disputes.
    DisputeReason {
        Duplicate = "duplicate",
        Fraudulent = "fraudulent",
        General = "general",
        ProductNotReceived = "product_not_received",
        SubscriptionCanceled = "subscription_canceled",
    }
}

/// Why the last try of a PaymentIntent failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason.
    pub decline: Decline,
    /// The card that failed.
    pub card: Card,
    /// The failed charge, when it came to one.
    pub charge: Option<u64>,
}

/// A payment as the merchant intends it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// Position within the account.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Minor units.
    pub amount: i64,
    /// Minor units captured so far.
    pub amount_received: i64,
    /// Minor units authorised and not yet captured.
    pub amount_capturable: i64,
    /// Of all its amounts.
    pub currency: Currency,
    /// Where it stands.
    pub status: IntentStatus,
    /// When it captures.
    pub capture_method: CaptureMethod,
    /// Whether redirecting payment methods are allowed, so that confirming needs a return URL.
    pub automatic_payment_methods: bool,
    /// Whether it may be captured in several parts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multicapture: bool,
    /// The card attached, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
    /// The charge of the last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_charge: Option<u64>,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The merchant's own data.
    pub metadata: Arc<Metadata>,
    /// The merchant's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// What the buyer's statement ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_descriptor_suffix: Option<Box<str>>,
    /// Where the buyer returns to after authenticating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_url: Option<Box<str>>,
    /// The Checkout Session on whose page it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// When it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_ms: Option<i64>,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation_reason: Option<CancellationReason>,
}

/// A page where a buyer chooses how to pay, and pays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Position within the account.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// When it closes by itself.
    pub expires_ms: i64,
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// What is paid for.
    pub product: Box<str>,
    /// Where it stands.
    pub status: SessionStatus,
    /// Whether the money is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paid: bool,
    /// When the money is captured.
    pub capture_method: CaptureMethod,
    /// Where the buyer goes who has paid.
    pub success_url: Box<str>,
    /// Where the buyer goes who has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_url: Option<Box<str>>,
    /// The merchant's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_reference_id: Option<Box<str>>,
    /// The merchant's own data.
    pub metadata: Arc<Metadata>,
    /// The merchant's own data of its PaymentIntent.
    pub intent_metadata: Arc<Metadata>,
    /// The PaymentIntent, once the buyer has tried to pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
}

/// One try to move a buyer's money.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Charge {
    /// Position within the account.
    pub seq: u64,
    /// The PaymentIntent it belongs to.
    pub intent: u64,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Minor units authorised.
    pub amount: i64,
    /// Minor units captured.
    pub amount_captured: i64,
    /// Minor units given back.
    pub amount_refunded: i64,
    /// Of all its amounts.
    pub currency: Currency,
    /// The card charged.
    pub card: Card,
    /// Whether it was captured.
    pub captured: bool,
    /// Why it failed; `None` is a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline: Option<Decline>,
    /// What it did to the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_transaction: Option<u64>,
    /// The last dispute about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<u64>,
    /// Copied from the PaymentIntent.
    pub metadata: Arc<Metadata>,
    /// Copied from the PaymentIntent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
}

/// Money given back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refund {
    /// Position within the account.
    pub seq: u64,
    /// The charge given back.
    pub charge: u64,
    /// Its PaymentIntent.
    pub intent: u64,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RefundReason>,
    /// Where it stands.
    pub status: RefundStatus,
    /// The merchant's own data.
    pub metadata: Arc<Metadata>,
    /// What it did to the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_transaction: Option<u64>,
    /// What its failure did to the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_balance_transaction: Option<u64>,
}

/// A buyer's bank that asks for a charge's money back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dispute {
    /// Position within the account.
    pub seq: u64,
    /// The charge disputed.
    pub charge: u64,
    /// Its PaymentIntent.
    pub intent: u64,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// Why.
    pub reason: DisputeReason,
    /// Where it stands.
    pub status: DisputeStatus,
    /// Until when the merchant may answer.
    pub due_ms: i64,
    /// How often the merchant has.
    #[serde(default)]
    pub submissions: u32,
    /// What it did to the balance: the money taken, and given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub movements: Vec<Arc<BalanceTransaction>>,
    /// The merchant's own data.
    pub metadata: Arc<Metadata>,
}

impl Dispute {
    /// Whether the bank has the money.
    pub fn is_withdrawn(&self) -> bool {
        self.movements.iter().map(|moved| moved.amount).sum::<i64>() < 0
    }
}

/// What moved the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A captured charge.
    #[serde(rename = "c")]
    Charge(u64),
    /// A refund.
    #[serde(rename = "r")]
    Refund(u64),
    /// A refund that failed and came back.
    #[serde(rename = "f")]
    RefundFailure(u64),
    /// A disputed charge.
    #[serde(rename = "d")]
    Dispute(u64),
    /// A dispute that was won.
    #[serde(rename = "w")]
    DisputeReversal(u64),
    /// A payout to the bank.
    #[serde(rename = "p")]
    Payout(u64),
    /// A payout that a call asked for.
    #[serde(rename = "m")]
    ManualPayout(u64),
    /// Such a payout that failed or was cancelled, and came back.
    #[serde(rename = "q")]
    PayoutFailure(u64),
}

/// One movement of the account's balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BalanceTransaction {
    /// Position within the account.
    pub seq: u64,
    /// What moved it.
    pub source: Source,
    /// Minor units, negative when money leaves.
    pub amount: i64,
    /// Minor units kept by the PSP; net is amount less fee.
    pub fee: i64,
    /// Of amount and fee.
    pub currency: Currency,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// When the money may be paid out.
    pub available_ms: i64,
}

impl BalanceTransaction {
    /// What is left of the amount after the fee, in minor units.
    pub const fn net(&self) -> i64 {
        self.amount.saturating_sub(self.fee)
    }
}

/// Money sent to the merchant's bank, or where a call said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payout {
    /// Position within the account.
    pub seq: u64,
    /// Minor units; negative when the merchant owes the PSP.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// The balance transactions it pays out, in order.
    pub items: Arc<Vec<u64>>,
    /// Its own balance transaction.
    pub balance_transaction: u64,
    /// Where it stands.
    #[serde(default = "PayoutStatus::paid")]
    pub status: PayoutStatus,
    /// What a call that asked for it said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<Arc<Manual>>,
    /// What its failure did to the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_balance_transaction: Option<u64>,
}

/// What a call said of the payout that it asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manual {
    /// The bank account or card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Box<str>>,
    /// The merchant's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// What the receiver's statement says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_descriptor: Option<Box<str>>,
    /// The merchant's own data.
    pub metadata: Arc<Metadata>,
}
