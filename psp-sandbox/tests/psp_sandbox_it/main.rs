//! The sandbox over real HTTP, in this process and in one of its own.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod accounts;
mod checkout;
mod faults;
mod idempotency;
mod payments;
mod payouts;
mod reading;
mod restart;
mod settlement;
mod support;
mod webhooks;
