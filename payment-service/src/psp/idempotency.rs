use std::fmt;
use std::str::FromStr;

/// What an account's PSP does about a request that comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Idempotency {
    /// It remembers our keys for a while, in which a request may be resent
    Native,
    /// It forgets keys, but finds operations by our reference: it is asked, and nothing is sent twice
    Lookup,
    /// Neither: each request is sent once, and then it is for the PSP to tell, by webhook or settlement file
    None,
}

/// A text that names none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected native, lookup or none, found {0:?}")]
pub struct UnknownIdempotency(String);

impl Idempotency {
    /// As it stands in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Lookup => "lookup",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Idempotency {
    type Err = UnknownIdempotency;

    fn from_str(text: &str) -> Result<Self, UnknownIdempotency> {
        match text {
            "native" => Ok(Self::Native),
            "lookup" => Ok(Self::Lookup),
            "none" => Ok(Self::None),
            other => Err(UnknownIdempotency(other.to_owned())),
        }
    }
}
