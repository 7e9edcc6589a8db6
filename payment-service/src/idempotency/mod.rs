//! Idempotency keys: the same request again is answered from what was stored; another request under the same key is
//! told what differs.
//!
//! The row is written in the same transaction as the payment it guards (`operation::claim`) and completed in
//! the one that ends the operation (`operation::record_in_tx`).

mod repo;

use std::fmt;

use money::MerchantId;
use sha2::{Digest, Sha256};
use sqlx::{PgPool, PgTransaction};

use crate::operation::Subject;

/// The client's name for one request, unique for its merchant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// What is not an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It is empty or too long.
    #[error("expected 1 to {LONGEST} characters, found {0}")]
    Length(usize),
    /// It has other characters than a header may.
    #[error("expected printable ASCII characters")]
    Character,
}

/// The most characters in a key.
const LONGEST: usize = 255;

impl IdempotencyKey {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(InvalidKey::Character);
        }
        if text.is_empty() || text.len() > LONGEST {
            return Err(InvalidKey::Length(text.len()));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a request was, as eight bytes of SHA-256 for each of its parts in a fixed order: enough to tell another
/// request and to name the first part that differs, without keeping the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    names: &'static [&'static str],
    hashes: Vec<u8>,
}

const HASH_BYTES: usize = 8;

impl Fingerprint {
    /// The fingerprint of a request whose parts, called `names`, are `values`. The first is the endpoint.
    pub fn of<const N: usize>(names: &'static [&'static str; N], values: [&[u8]; N]) -> Self {
        let mut hashes = Vec::with_capacity(N * HASH_BYTES);
        for value in values {
            hashes.extend_from_slice(&Sha256::digest(value)[..HASH_BYTES]);
        }
        Self { names, hashes }
    }

    /// For the column.
    pub fn as_bytes(&self) -> &[u8] {
        &self.hashes
    }

    /// The first part in which the request that was stored differs; none when it is the same. Parts at the end that say nothing
    /// may be missing: a later version asks for more of them.
    pub fn first_difference(&self, stored: &[u8]) -> Option<&'static str> {
        let (ours, theirs) = (said(&self.hashes), said(stored));
        if ours == theirs {
            return None;
        }
        let mut both = ours.chunks(HASH_BYTES).zip(theirs.chunks(HASH_BYTES));
        let same = both.position(|(ours, theirs)| ours != theirs);
        let place = same.unwrap_or(ours.len().min(theirs.len()) / HASH_BYTES);
        // another endpoint has other parts: its first one, the endpoint, then differs
        Some(self.names.get(place).unwrap_or(&self.names[0]))
    }
}

/// The parts up to the last that says something.
fn said(hashes: &[u8]) -> &[u8] {
    let empty = Sha256::digest([]);
    let parts = hashes.chunks(HASH_BYTES).rposition(|part| *part != empty[..HASH_BYTES]);
    &hashes[..parts.map_or(0, |last| (last + 1) * HASH_BYTES).min(hashes.len())]
}

/// What became of a key that was to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is this request's: the caller answers it in the same transaction.
    Fresh,
    /// It was answered before; or it is answered now.
    Answered {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// Whether an earlier request had this answer.
        replayed: bool,
    },
    /// Another request has it, which differs in this field.
    OtherRequest(&'static str),
    /// Somebody is working on it.
    InFlight,
}

/// Takes a key for a request about a payment or payout that is done in the caller's transaction.
///
/// # Errors
/// When Postgres fails.
pub async fn begin_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
    subject: Subject,
) -> Result<Begun, sqlx::Error> {
    if repo::insert(tx, merchant, key.as_str(), fingerprint.as_bytes(), subject).await? {
        return Ok(Begun::Fresh);
    }
    // whoever had it gave it back
    Ok(match look_in_tx(tx, merchant, key, fingerprint).await? {
        Begun::Fresh => Begun::InFlight,
        begun => begun,
    })
}

/// What is known of a key, which is not taken by this: fresh, if nothing is.
///
/// # Errors
/// When Postgres fails.
pub async fn look_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
) -> Result<Begun, sqlx::Error> {
    let Some(kept) = repo::read(tx, merchant, key.as_str()).await? else { return Ok(Begun::Fresh) };
    if let Some(field) = fingerprint.first_difference(&kept.fingerprint) {
        return Ok(Begun::OtherRequest(field));
    }
    Ok(match (kept.response_status, kept.response_body) {
        (Some(status), Some(body)) => {
            Begun::Answered { status: status.cast_unsigned(), body, replayed: true }
        }
        _ => Begun::InFlight,
    })
}

/// Takes a key together with its answer: the request is about no payment or payout, and is done in the caller's transaction.
/// False when somebody else has it; the transaction is then to be rolled back.
///
/// # Errors
/// When Postgres fails.
pub async fn keep_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
    status: u16,
    body: &str,
) -> Result<bool, sqlx::Error> {
    let answer = (status.cast_signed(), body);
    repo::insert_answered(tx, merchant, key.as_str(), fingerprint.as_bytes(), answer).await
}

/// Stores the answer of a request whose key was taken in the caller's transaction.
///
/// # Errors
/// When Postgres fails.
pub async fn answer_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
    status: u16,
    body: &str,
) -> Result<(), sqlx::Error> {
    repo::answer(tx, merchant, key.as_str(), status.cast_signed(), body).await
}

/// The same of a request that made nothing, or found what an earlier one had made: `about` is what its key leads to from now on.
///
/// # Errors
/// When Postgres fails.
pub async fn answer_about_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
    about: Option<Subject>,
    status: u16,
    body: &str,
) -> Result<(), sqlx::Error> {
    repo::answer_about(tx, merchant, key.as_str(), about, status.cast_signed(), body).await
}

/// Gives a key back: the request could never have been taken.
///
/// # Errors
/// When Postgres fails.
pub async fn release_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
) -> Result<(), sqlx::Error> {
    repo::release(tx, merchant, key.as_str()).await
}

/// Notes that the caller was answered 202: a repeat of its request is then told the payment's state instead of 409.
///
/// # Errors
/// When Postgres fails.
pub async fn accept(pool: &PgPool, merchant: MerchantId, key: &IdempotencyKey) -> Result<(), sqlx::Error> {
    repo::accept(pool, merchant, key.as_str()).await
}

/// Deletes a merchant's completed keys that are older than `age`, at most `limit` of them. A key that is gone lets a
/// repeated request through to the order's own uniqueness, which still prevents a second charge.
///
/// # Errors
/// When Postgres fails.
pub async fn reap(
    pool: &PgPool,
    merchant: MerchantId,
    age: std::time::Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    repo::reap(pool, merchant, age, limit).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str; 3] = &["endpoint", "order_id", "amount"];

    #[test]
    fn another_request_is_told_the_first_field_that_differs() {
        let stored = Fingerprint::of(NAMES, [b"POST /v1/payments", b"o-1", b"100"]);
        let check = |values: [&[u8]; 3], expected: Option<&str>| {
            assert_eq!(Fingerprint::of(NAMES, values).first_difference(stored.as_bytes()), expected);
        };
        check([b"POST /v1/payments", b"o-1", b"100"], None);
        check([b"POST /v1/payments", b"o-1", b"101"], Some("amount"));
        check([b"POST /v1/payments", b"o-2", b"101"], Some("order_id"));
        check([b"POST /v1/refunds", b"o-1", b"100"], Some("endpoint"));
    }

    #[test]
    fn a_part_that_is_new_and_says_nothing_makes_no_difference() {
        let older = Fingerprint::of(&["endpoint", "order_id"], [b"POST /v1/payments", b"o-1"]);
        let newer = |amount: &[u8]| Fingerprint::of(NAMES, [b"POST /v1/payments", b"o-1", amount]);
        assert_eq!(newer(b"").first_difference(older.as_bytes()), None);
        assert_eq!(newer(b"1").first_difference(older.as_bytes()), Some("amount"));
        assert_eq!(newer(b"").first_difference(newer(b"1").as_bytes()), Some("amount"));
        assert_eq!(older.first_difference(newer(b"").as_bytes()), None);
    }

    #[test]
    fn a_key_is_short_printable_text() {
        assert!(IdempotencyKey::try_from("a".repeat(255)).is_ok());
        for (text, error) in [
            (String::new(), InvalidKey::Length(0)),
            ("a".repeat(256), InvalidKey::Length(256)),
            ("tab\t".to_owned(), InvalidKey::Character),
            ("ä".to_owned(), InvalidKey::Character),
        ] {
            assert_eq!(IdempotencyKey::try_from(text), Err(error));
        }
    }
}
