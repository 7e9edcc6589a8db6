//! Black-box tests of the running programs, and of how the workspace is put together.
//!
//! They need the programs built (`cargo build --workspace --bins`) and a Postgres server to be thrown away
//! (`with-postgres -- cargo test`); `make test` sees to both.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod api;
mod architecture;
mod breaks;
mod crash;
mod crashes;
mod demo;
mod disputes;
mod embedded;
mod failpoints;
mod forgetful;
mod growth;
mod hanging_up;
mod hosted_page;
mod lifecycle;
mod makefile;
mod others;
mod payouts;
mod psp_answers;
mod races;
mod replicas;
mod restore;
mod reviews;
mod same_key;
mod settlement;
mod webhooks;
mod world;
