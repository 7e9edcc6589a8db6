//! Reconciliation: what the PSPs say they did and paid, against what we booked. The only bridge between what we are owed
//! and what we have.
//!
//! A settlement file goes through in three steps, each resumable after a crash and safe beside itself:
//! 1. [`intake`] reads it twice, once to check every line of it and once to store them, a chunk in a commit;
//! 2. [`run::settle`] ties the lines of each stored chunk to operations ([`matching`], pure) and books the chunk, in one
//!    commit: the PSP's balance, fees and payouts, and sellers' money from pending to available;
//! 3. what cannot be tied becomes a break ([`break_`]); what the PSP knows and we do not yet becomes [`evidence`], which
//!    `payment-service` applies to its operation before the line is booked.
//!
//! What a bank says of our accounts is read by [`bank_statement`], in whichever of three formats it comes.
//!
//! This crate writes its own tables, and money through `ledger` and `wallet`. It reads payments through the `settleable_*`
//! views of `migrations/0005_reconciliation.sql` and never names `payment-service`.

pub mod bank;
pub mod bank_statement;
pub mod break_;
mod copy;
pub mod evidence;
pub mod intake;
pub mod matching;
mod payout;
pub mod report;
pub mod run;
pub mod source;
pub mod statement;
