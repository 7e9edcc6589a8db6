//! Double-entry ledger on Postgres.
//!
//! A [`posting::Posting`] is balanced or cannot be made. [`posting::post_in_tx`] writes many of them in one
//! statement; a posting is known by what it posts, so it cannot happen twice. Balances are kept as the postings
//! happen ([`balance`]); a busy account without a floor is appended to and rolled up, so that it never serialises
//! the service. What the code promises, the database holds again under named constraints and triggers:
//! `migrations/0002_ledger.sql`.

pub mod account;
pub mod balance;
mod error;
pub mod posting;

pub use error::Error;

/// The one history of the schema, for every program and test of the workspace.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
