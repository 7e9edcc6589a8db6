//! The payment orchestrator: takes orders over HTTP, charges each exactly once at a PSP, books what happened.
//!
//! `ARCHITECTURE.md` has the map. Each folder is one aggregate: its `mod.rs` says what can be done, a private
//! `repo.rs` holds its SQL.

pub mod audit;
pub mod cli;
pub mod config;
pub mod database;
pub mod dispute;
pub mod draw;
pub mod engine;
pub mod failpoint;
pub mod http;
pub mod idempotency;
pub mod merchant;
pub mod operation;
pub mod outbox;
pub mod payment;
pub mod payout;
pub mod psp;
pub mod review;
pub mod serve;
pub mod settlement;
pub mod transitions;
pub mod webhook;
pub mod worker;
