/// Why the ledger refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A floor held: an account that may not go below zero would have.
    #[error("an account of merchant {0} may not go below zero")]
    BelowFloor(money::MerchantId),
    /// Fewer balances moved than the postings name. Nothing is committed by whoever sees this.
    #[error("a posting of {expected} accounts moved {moved} balances")]
    BalanceLost {
        /// Accounts that the written entries name.
        expected: i64,
        /// Balances that were moved.
        moved: i64,
    },
    /// Accounts that were just made have no balances; nothing is locked.
    #[error("of {expected} accounts {found} have a balance")]
    AccountsLost {
        /// Accounts that were asked for.
        expected: usize,
        /// Of these, those that have a balance.
        found: usize,
    },
    /// Postgres failed.
    #[error("ledger: the database failed")]
    Database(#[source] sqlx::Error),
}

impl Error {
    pub(crate) fn from_sqlx(merchant: money::MerchantId) -> impl Fn(sqlx::Error) -> Self {
        move |error| {
            let constraint = error.as_database_error().and_then(|error| error.constraint());
            if constraint == Some("ledger_balance_floor") {
                Self::BelowFloor(merchant)
            } else {
                Self::Database(error)
            }
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
