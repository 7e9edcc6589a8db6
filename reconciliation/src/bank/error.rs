use money::Currency;

use crate::statement;

/// Why a file of bank statements was not taken in, or its entries were not matched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is wrong, or could not be read. Nothing changed.
    #[error(transparent)]
    Statement(#[from] statement::Error),
    /// It is of an account that is not known.
    #[error(
        "{file}, line {line}: account {number} in {currency} is not known; `reconcile bank-account create` makes it so"
    )]
    UnknownAccount {
        /// The file.
        file: String,
        /// Where the statement begins.
        line: i32,
        /// The account's number.
        number: String,
        /// Its currency.
        currency: Currency,
    },
    /// A statement was read before and said something else.
    #[error(
        "{file}, line {line}: statement {number:?} of {account} to {ends_on} was read before, in {before}, and said something else"
    )]
    Changed {
        /// The file.
        file: String,
        /// Where the statement begins.
        line: i32,
        /// The account's name.
        account: String,
        /// The statement's number.
        number: String,
        /// Its last day.
        ends_on: time::Date,
        /// The file it was read in.
        before: String,
    },
    /// An argument is not what it should be.
    #[error("{field}: found {found:?}, expected {expected}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// There is such an account.
    #[error("account {number} in {currency} is there already, as {name:?}")]
    AccountExists {
        /// Its number.
        number: String,
        /// Its currency.
        currency: Currency,
        /// Its name.
        name: String,
    },
    /// The thread that reads the file ended early.
    #[error("reading stopped")]
    Stopped,
    /// Sums do not fit.
    #[error("bank: the sums do not fit 64 bits of minor units")]
    Overflow,
    /// An entry's booking is in the ledger though the entry was not.
    #[error("bank: the ledger has a booking of entries that are not stored")]
    PostedBefore,
    /// A row says what it may not.
    #[error("bank: {0:?} in the database is not what its column holds")]
    Corrupt(String),
    /// A break could not be closed.
    #[error(transparent)]
    Break(#[from] crate::break_::Error),
    /// The ledger refused or failed.
    #[error("bank: the ledger did not take the booking")]
    Ledger(#[from] ledger::Error),
    /// The legs of a booking make no posting.
    #[error("bank: a booking makes no posting")]
    Posting(#[from] ledger::posting::PostingError),
    /// Postgres failed.
    #[error("bank: the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Whether the input is to blame, rather than the circumstances: given again, it would fail again.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Statement(statement::Error::Refused(_) | statement::Error::Io { .. })
            | Self::UnknownAccount { .. }
            | Self::Changed { .. }
            | Self::Invalid { .. }
            | Self::AccountExists { .. } => true,
            Self::Statement(statement::Error::Copy { .. })
            | Self::Stopped
            | Self::Overflow
            | Self::PostedBefore
            | Self::Corrupt(_)
            | Self::Break(_)
            | Self::Ledger(_)
            | Self::Posting(_)
            | Self::Database(_) => false,
        }
    }
}
