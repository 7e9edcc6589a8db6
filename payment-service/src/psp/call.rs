use std::str::FromStr;

use money::OrderId;

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

/// What an operation is to do at its PSP. All that is sent follows from it, so that the same intent always sends the same
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Which operation, what it is to do, and how much.
    pub expected: Expected,
    /// The merchant's name for the order, shown in the PSP's dashboard.
    pub order_id: OrderId,
    /// The PSP's token for the buyer's means of payment.
    pub payment_method: String,
}

/// A question about an operation that was, or may have been, sent.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// What it was to do.
    pub expected: &'a Expected,
    /// The PSP's object of the operation, when we were told; without it the PSP is searched by our reference.
    pub reference: Option<&'a PspReference>,
}
