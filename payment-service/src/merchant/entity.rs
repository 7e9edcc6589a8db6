//! What a merchant is.

use std::fmt;
use std::str::FromStr;

use money::MerchantId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Whether money moves. A merchant lives in one mode: a shop that tests and sells has two merchants.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The PSP's test mode or a sandbox: no money moves.
    Test,
    /// Real money.
    Live,
}

impl Mode {
    /// As it stands in the database and in the prefix of an API key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected test or live, found {0:?}")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "test" => Ok(Self::Test),
            "live" => Ok(Self::Live),
            other => Err(UnknownMode(other.to_owned())),
        }
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merchant {
    /// Its id, the first part of every key of its rows.
    pub merchant_id: MerchantId,
    /// Whether money moves.
    pub mode: Mode,
    /// What people call it.
    pub name: String,
    /// Since when it exists.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}
