//! What the PSP keeps: plain values, without locks or IO.

pub mod card;
pub mod currency;
pub mod event;
pub mod id;
mod metadata;
mod object;

pub use metadata::Metadata;
pub use object::{
    BalanceTransaction, CancellationReason, CaptureMethod, Charge, Dispute, DisputeReason, DisputeStatus,
    Failure, Intent, IntentStatus, Manual, Payout, PayoutStatus, Refund, RefundReason, RefundStatus, Session,
    SessionStatus, Source,
};
