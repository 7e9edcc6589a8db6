use serde::{Deserialize, Serialize};

/// What an operation is meant to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// To charge a buyer, or to hold the money.
    Authorize,
    /// To take what is held, or a part of it.
    Capture,
    /// To let go what is held, or to end what waits for its buyer.
    Void,
    /// To give back what was taken, or a part of it.
    Refund,
    /// To send a seller what is its.
    Payout,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Authorize, Self::Capture, Self::Void, Self::Refund, Self::Payout];

    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Payout => "payout",
        }
    }

    /// The kind with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether it has an object of its own at the PSP; the others act on the payment's.
    pub const fn has_object(self) -> bool {
        match self {
            Self::Authorize | Self::Refund | Self::Payout => true,
            Self::Capture | Self::Void => false,
        }
    }
}
