//! Black-box tests of the running programs, and of how the workspace is put together.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod architecture;
