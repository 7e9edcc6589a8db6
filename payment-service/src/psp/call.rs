use std::str::FromStr;

use money::{Money, OperationId, OrderId};

use super::{Expected, PspReference};

/// When authorised money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CaptureMethod {
    /// At once.
    Automatic,
    /// By a later operation.
    Manual,
}

/// A text that names no capture method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected automatic or manual")]
pub struct UnknownCaptureMethod;

impl CaptureMethod {
    /// The name in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
        }
    }
}

impl FromStr for CaptureMethod {
    type Err = UnknownCaptureMethod;

    fn from_str(name: &str) -> Result<Self, UnknownCaptureMethod> {
        match name {
            "automatic" => Ok(Self::Automatic),
            "manual" => Ok(Self::Manual),
            _ => Err(UnknownCaptureMethod),
        }
    }
}

/// A charge to be made. All that goes to the PSP follows from these fields, so that the same intent always sends the
/// same bytes.
#[derive(Debug, Clone, Copy)]
pub struct Authorize<'a> {
    /// Our operation: the idempotency key and the reference at the PSP.
    pub operation_id: OperationId,
    /// The merchant's name for the order, shown in the PSP's dashboard.
    pub order_id: &'a OrderId,
    /// How much.
    pub amount: Money,
    /// The PSP's token for the buyer's means of payment.
    pub payment_method: &'a str,
    /// When the money is taken.
    pub capture: CaptureMethod,
    /// An earlier call for this operation may have reached the PSP (its owner died, or the outcome was unknown):
    /// then this call never ends in [`Outcome::NotSent`](super::Outcome::NotSent).
    pub resent: bool,
}

/// A question about an operation that was, or may have been, sent.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// Our operation.
    pub operation_id: OperationId,
    /// How much it was to charge.
    pub amount: Money,
    /// When the money was to be taken.
    pub capture: CaptureMethod,
    /// The PSP's object, when we were told; without it the PSP is searched by our reference.
    pub reference: Option<&'a PspReference>,
}

impl Authorize<'_> {
    pub(super) const fn expected(&self) -> Expected {
        Expected { operation_id: self.operation_id, amount: self.amount, capture: self.capture }
    }
}

impl Inquiry<'_> {
    pub(super) const fn expected(&self) -> Expected {
        Expected { operation_id: self.operation_id, amount: self.amount, capture: self.capture }
    }
}
