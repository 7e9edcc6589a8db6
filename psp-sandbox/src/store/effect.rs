//! The log of effects: what really happened to money, one JSON line each.
//!
//! It is written by the code that moves money and knows nothing of idempotency: were a key ever executed
//! twice, it would say so.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::model::Metadata;
use crate::model::currency::Currency;

/// What happened to money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// A buyer was charged.
    Charge,
    /// A buyer's money was reserved.
    Authorization,
    /// Reserved money was taken.
    Capture,
    /// Money was given back.
    Refund,
    /// A refund came back.
    RefundFailure,
    /// A buyer's bank took money back.
    Dispute,
    /// It gave that back.
    DisputeReversal,
    /// A payment was cancelled; the amount is what had been reserved.
    Cancel,
    /// Money went to the merchant's bank, or where a call said.
    Payout,
    /// It did not arrive, or came back.
    PayoutFailure,
}

/// One effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Effect {
    /// Position in the log, counted from one.
    pub seq: u64,
    /// What happened.
    pub kind: EffectKind,
    /// Whose account.
    pub account: Box<str>,
    /// The PaymentIntent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_intent: Option<String>,
    /// The charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<String>,
    /// The refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<String>,
    /// The dispute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<String>,
    /// The payout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payout: Option<String>,
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// Of the PaymentIntent, or of the payout.
    pub metadata: Arc<Metadata>,
    /// Of the refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_metadata: Option<Arc<Metadata>>,
    /// Of the request.
    #[serde(default)]
    pub idempotency_key: Option<Arc<str>>,
    /// The request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Arc<str>>,
    /// Milliseconds since 1970, on the sandbox's clock.
    pub created_ms: i64,
}

/// The file, and where each of its lines begins.
pub struct EffectLog {
    file: Arc<File>,
    /// `starts[n]` is where effect `n + 1` begins; the last is the end of the file.
    starts: Vec<u64>,
    buffer: Vec<u8>,
}

/// Some lines of the file, to be read without holding it.
pub struct LineRange {
    file: Arc<File>,
    starts: Vec<u64>,
}

impl EffectLog {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io = StoreError::io(path);
        let mut file = OpenOptions::new();
        let file = file.create(true).read(true).append(true).open(path);
        let file = file.map_err(&io)?;
        let mut starts = vec![0];
        let (mut reader, mut text, mut end) = (BufReader::new(&file), Vec::new(), 0);
        loop {
            text.clear();
            let length = reader.read_until(b'\n', &mut text).map_err(&io)?;
            if length == 0 || text.last() != Some(&b'\n') {
                break;
            }
            end += length as u64;
            starts.push(end);
        }
        drop(reader);
        file.set_len(end).map_err(&io)?;
        Ok(Self { file: Arc::new(file), starts, buffer: Vec::with_capacity(1024) })
    }

    pub fn next_seq(&self) -> u64 {
        self.starts.len() as u64
    }

    /// Adds the effects a kill kept out of the file.
    pub fn catch_up(&mut self, effects: &[Effect]) -> io::Result<()> {
        let known = self.next_seq();
        let missing = effects.iter().position(|effect| effect.seq >= known);
        missing.map_or(Ok(()), |at| self.append(&effects[at..]))
    }

    pub fn append(&mut self, effects: &[Effect]) -> io::Result<()> {
        if effects.is_empty() {
            return Ok(());
        }
        let mut end = self.starts.last().copied().unwrap_or_default();
        self.buffer.clear();
        for effect in effects {
            let before = self.buffer.len();
            serde_json::to_writer(&mut self.buffer, effect)?;
            self.buffer.push(b'\n');
            end += (self.buffer.len() - before) as u64;
            self.starts.push(end);
        }
        (&*self.file).write_all(&self.buffer)
    }

    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.starts.truncate(1);
        let cleared = self.file.set_len(0);
        cleared.map_err(StoreError::io(Path::new("effects.jsonl")))
    }

    pub fn range(&self, after: u64, limit: usize) -> LineRange {
        let first = usize::try_from(after).unwrap_or(usize::MAX);
        let first = first.min(self.starts.len() - 1);
        let last = first.saturating_add(limit).min(self.starts.len() - 1);
        LineRange { file: Arc::clone(&self.file), starts: self.starts[first..=last].to_vec() }
    }
}

impl LineRange {
    pub fn read(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::with_capacity(self.starts.len().saturating_sub(1));
        for pair in self.starts.windows(2) {
            let length = pair[1].saturating_sub(pair[0]).saturating_sub(1);
            let mut line = vec![0; usize::try_from(length).unwrap_or_default()];
            self.file.read_exact_at(&mut line, pair[0])?;
            lines.push(line);
        }
        Ok(lines)
    }
}
