use money::{MerchantId, PspAccountId};

use crate::statement;

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is wrong, or could not be read. Nothing changed.
    #[error(transparent)]
    Statement(#[from] statement::Error),
    /// There is no such account at a PSP.
    #[error("merchant {merchant} has no account at a PSP{}", named.map(|id| format!(" with id {id}")).unwrap_or_default())]
    NoAccount {
        /// The merchant.
        merchant: MerchantId,
        /// The account that was asked for.
        named: Option<PspAccountId>,
    },
    /// The account must be named.
    #[error("the merchant has several accounts at PSPs; name one with --psp-account: {0}")]
    ManyAccounts(String),
    /// The file was taken in for another account.
    #[error("{file} was read before, as a file of account {account}")]
    OtherAccount {
        /// The file.
        file: String,
        /// The account it is of.
        account: PspAccountId,
    },
    /// Some lines are in a file whose reading broke off.
    #[error(
        "lines of it are in {file}, whose reading broke off: give that file again, or drop it with --drop-interrupted"
    )]
    Overlap {
        /// That other file.
        file: String,
    },
    /// Somebody wrote to the file.
    #[error("{0} changed while it was read; what was stored of it is not booked")]
    Changed(String),
    /// Chunks of the file are missing after its end.
    #[error("{0} was stored by somebody else at the same time and is not whole yet")]
    Incomplete(String),
    /// The thread that reads the file ended early.
    #[error("reading stopped")]
    Stopped,
    /// Postgres failed.
    #[error("intake: the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Whether the input is to blame, rather than the circumstances: given again, it would fail again.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Statement(_)
            | Self::NoAccount { .. }
            | Self::ManyAccounts(_)
            | Self::OtherAccount { .. }
            | Self::Overlap { .. } => true,
            Self::Changed(_) | Self::Incomplete(_) | Self::Stopped | Self::Database(_) => false,
        }
    }
}
