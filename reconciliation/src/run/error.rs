use money::OperationId;

/// Why settling stopped, or a chunk was not booked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger refused or failed.
    #[error("settling: the ledger did not take the booking")]
    Ledger(#[from] ledger::Error),
    /// The legs of a booking make no posting.
    #[error("settling: a booking makes no posting")]
    Posting(#[from] ledger::posting::PostingError),
    /// A booking of a chunk that is not settled is in the ledger.
    #[error("settling: the ledger has a booking of lines that are not settled")]
    PostedBefore,
    /// The sellers' parts are not what was captured.
    #[error("settling: the splits of capture {0} do not add up to it")]
    Splits(OperationId),
    /// Amounts of a booking do not fit.
    #[error("settling: the sums do not fit 64 bits of minor units")]
    Overflow,
    /// Others have meanwhile booked what a payout's lines come to, or a line that says it was sent.
    #[error("settling: payout {0} was booked in another way meanwhile")]
    PayoutTold(String),
    /// A break could not be closed.
    #[error(transparent)]
    Break(#[from] crate::break_::Error),
    /// What came to the bank could not be matched.
    #[error(transparent)]
    Bank(#[from] Box<crate::bank::Error>),
    /// A row says what it may not.
    #[error("settling: {0:?} in the database is not what its column holds")]
    Corrupt(String),
    /// Postgres failed.
    #[error("settling: the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Whether it is about the lines at hand, so that others can go on.
    pub(crate) const fn is_refusal(&self) -> bool {
        match self {
            Self::Ledger(ledger::Error::BelowFloor(_))
            | Self::Posting(_)
            | Self::PostedBefore
            | Self::Splits(_)
            | Self::Overflow
            | Self::Corrupt(_) => true,
            Self::Ledger(
                ledger::Error::BalanceLost { .. }
                | ledger::Error::AccountsLost { .. }
                | ledger::Error::Database(_),
            )
            | Self::PayoutTold(_)
            | Self::Bank(_)
            | Self::Break(_)
            | Self::Database(_) => false,
        }
    }

    /// Whether it only lost to another transaction: it may be tried again.
    pub(crate) fn gave_way(&self) -> bool {
        match self {
            Self::PayoutTold(_) => true,
            Self::Database(error) | Self::Ledger(ledger::Error::Database(error)) => gave_way(error),
            _ => false,
        }
    }
}

/// Whether two transactions waited for each other and this one was ended, or one waited longer than it may.
pub(crate) fn gave_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "40P01" || code == "55P03")
}
