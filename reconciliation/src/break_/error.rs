/// Why a break could not be read or worked on. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("break: the database failed")]
    Database(#[from] sqlx::Error),
    /// The ledger refused or failed.
    #[error("break: the ledger did not take the adjustment")]
    Ledger(#[from] ledger::Error),
    /// The legs of an adjustment make no posting.
    #[error("break: the adjustment makes no posting")]
    Posting(#[from] ledger::posting::PostingError),
    /// The accounts at banks could not be locked.
    #[error("break: the accounts at banks could not be locked")]
    Bank(#[from] Box<crate::bank::Error>),
    /// An adjustment is in the ledger that is not noted.
    #[error("break: the ledger has an adjustment that is not noted")]
    PostedBefore,
    /// An amount does not fit.
    #[error("break: an amount does not fit 64 bits of minor units")]
    Overflow,
    /// A row says what it may not.
    #[error("break: {0:?} in the database is not what its column holds")]
    Corrupt(String),
}
