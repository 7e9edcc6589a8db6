//! The payment orchestrator: takes orders over HTTP, charges each exactly once at a PSP, books what happened.
//!
//! `ARCHITECTURE.md` has the map. Each folder is one aggregate: its `mod.rs` says what can be done, a private
//! `repo.rs` holds its SQL.

pub mod http;
pub mod merchant;
pub mod psp;
