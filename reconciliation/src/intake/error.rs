use money::{MerchantId, PspAccountId};

use crate::{run, statement};

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
    /// The file was taken in as another format, or by another map: its lines would not be the same ones.
    #[error("{file} was read before as {before}, and is not read again as {now}")]
    OtherMap {
        /// The file.
        file: String,
        /// How it was read.
        before: String,
        /// How it would be read.
        now: String,
    },
    /// The map has changed since the reading of the file broke off.
    #[error(
        "the reading of {file} broke off, and the map {map} says something else now: give the map as it was, or, where nothing of \
         the file is booked, forget it with --drop-interrupted"
    )]
    ChangedMap {
        /// The file.
        file: String,
        /// The map's name.
        map: String,
    },
    /// Chunks of the file are missing after its end.
    #[error("{0} was stored by somebody else at the same time and is not whole yet")]
    Incomplete(String),
    /// The thread that reads the file ended early.
    #[error("reading stopped")]
    Stopped,
    /// The lines could not be booked, for no reason of their own.
    #[error(transparent)]
    Booking(#[from] run::Error),
    /// Postgres failed.
    #[error("intake: the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Whether the input is to blame, rather than the circumstances: given again, it would fail again.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Statement(statement::Error::Refused(_) | statement::Error::Io { .. })
            | Self::NoAccount { .. }
            | Self::ManyAccounts(_)
            | Self::OtherAccount { .. }
            | Self::OtherMap { .. }
            | Self::ChangedMap { .. } => true,
            Self::Statement(statement::Error::Copy { .. })
            | Self::Incomplete(_)
            | Self::Stopped
            | Self::Booking(_)
            | Self::Database(_) => false,
        }
    }

    /// Whether it only lost to another transaction: it may be tried again.
    pub(super) fn gave_way(&self) -> bool {
        match self {
            Self::Booking(error) => error.gave_way(),
            Self::Database(error) => run::gave_way(error),
            _ => false,
        }
    }
}
