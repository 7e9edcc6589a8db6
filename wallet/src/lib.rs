//! Sellers' wallets: what is pending (captured), available (settled) and held (reserved), and what a seller owes.
//!
//! A wallet is a view of four ledger accounts; there is no balance here that the ledger does not have.

pub mod wallet;
