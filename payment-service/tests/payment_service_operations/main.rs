//! Claims and recordings against Postgres: what a key, an order and a fence are worth.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod claims;
mod recordings;
mod shop;
mod takeovers;
