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
    /// The merchant's name for the order, shown in the PSP's dashboard; of a payout, which has none, ours for it.
    pub order_id: OrderId,
    /// How the buyer pays; none of a payout.
    pub method: Option<Method>,
}

/// How a buyer pays. Card data never reaches us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// With the means of payment that the PSP's token stands for.
    Token {
        /// The token.
        token: String,
        /// Where the buyer comes back to from a page that the PSP or the buyer's bank may ask for.
        return_url: Option<String>,
    },
    /// With whatever the buyer chooses on a page of the PSP's.
    Page {
        /// Where the buyer comes back to.
        return_url: String,
    },
}

impl Method {
    /// The method that these say; none where there is neither.
    pub fn of(token: Option<String>, return_url: Option<String>) -> Option<Self> {
        match (token, return_url) {
            (Some(token), return_url) => Some(Self::Token { token, return_url }),
            (None, Some(return_url)) => Some(Self::Page { return_url }),
            (None, None) => None,
        }
    }

    /// The PSP's token, if there is one.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Token { token, .. } => Some(token),
            Self::Page { .. } => None,
        }
    }

    /// Where the buyer comes back to, if there is somewhere.
    pub fn return_url(&self) -> Option<&str> {
        match self {
            Self::Token { return_url, .. } => return_url.as_deref(),
            Self::Page { return_url } => Some(return_url),
        }
    }
}

/// A question about an operation that was, or may have been, sent.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// What it was to do.
    pub expected: &'a Expected,
    /// The PSP's object of the operation, when we were told; without it the PSP is searched by our reference.
    pub reference: Option<&'a PspReference>,
}
