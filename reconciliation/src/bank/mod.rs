//! Our bank accounts: what their statements say, and which payouts of PSPs their entries are. What is here is what we have.
//!
//! A file of statements is stored and booked in one commit: each entry moves money from suspense to `bank_cash`
//! ([`take_in`]). An entry that is known to be a payout ([`matching`], pure) moves it from `payout_in_transit` to suspense,
//! at once or when the PSP's file comes ([`settle`]). What is neither is a break, until it is.
//!
//! | what | debit | credit |
//! |---|---|---|
//! | entries of a day | bank_cash | suspense |
//! | entry is a payout | suspense | payout_in_transit |
//!
//! One transaction at a time matches for a merchant: it locks all of the merchant's bank accounts first.

mod account;
mod document;
mod error;
mod intake;
pub mod matching;
mod repo;
mod run;

pub use account::{BankAccount, DELAY_DAYS, NewBankAccount, accounts, create_account};
pub use error::Error;
pub use intake::{TakenIn, take_in};
pub(crate) use run::lock_in_tx;
pub use run::{Progress, settle};

/// What tied an entry to a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The entry names the payout.
    Reference,
    /// The amount, near the day, and no other that it could be.
    Amount,
    /// The amount of all payouts of a day together.
    Day,
}

impl Rule {
    /// The word in the database and the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Amount => "amount",
            Self::Day => "day",
        }
    }
}
