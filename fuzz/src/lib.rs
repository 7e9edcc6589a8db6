//! What reads foreign bytes, one target each: none of them may panic, whatever comes, and what they say has to hold.
//!
//! `make fuzz` runs each under libFuzzer, with coverage; the tests run the kept seeds through the same functions. A target
//! panics where something does not hold: that is how a fuzzer is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is what a fuzzer looks for"
)]

mod answer;
mod bank;
mod card_number;
mod key;
mod mapped;
mod settlement;
mod text;
mod webhook;

/// A target: bytes in, and a panic where something is wrong.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder of seeds.
pub const TARGETS: [(&str, Target); 11] = [
    ("bank_bai2", bank::bai2),
    ("bank_camt053", bank::camt053),
    ("bank_mt940", bank::mt940),
    ("card_number", card_number::run),
    ("idempotency_key", key::run),
    ("mapped_csv", mapped::run),
    ("psp_answer", answer::run),
    ("settlement_file", settlement::run),
    ("text", text::run),
    ("webhook_body", webhook::body),
    ("webhook_signature", webhook::signature),
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|(known, _)| *known == name).map(|(_, run)| run)
}

/// What the first byte chooses, and the rest.
fn choose<'a, T: Copy>(choices: &[T], data: &'a [u8]) -> (T, &'a [u8]) {
    let (first, rest) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    (choices[usize::from(first) % choices.len()], rest)
}
