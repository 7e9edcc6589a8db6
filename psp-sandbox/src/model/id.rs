//! Object ids that look like Stripe's and cost eight bytes to store.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize, Serializer};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NONCE_LEN: usize = 12;
const SEQ_LEN: usize = 11;
/// Odd, so that multiplying by it permutes the 64-bit numbers; ids then show no order to rely on.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const GATHER: u64 = inverse(SPREAD);

/// Newton's iteration for the inverse of an odd number modulo 2^64.
const fn inverse(odd: u64) -> u64 {
    let mut guess = odd;
    let mut round = 0;
    while round < 6 {
        guess = guess.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(guess)));
        round += 1;
    }
    guess
}

/// What an id names; it decides the id's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `pi_`
    Intent,
    /// `cs_`
    Session,
    /// `ch_`
    Charge,
    /// `re_`
    Refund,
    /// `dp_`
    Dispute,
    /// `txn_`
    BalanceTransaction,
    /// `po_`
    Payout,
    /// `evt_`
    Event,
    /// `pm_`
    PaymentMethod,
}

impl Kind {
    /// The prefix with the digit Stripe's ids start with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Intent => "pi_3",
            Self::Session => "cs_test_1",
            Self::Charge => "ch_3",
            Self::Refund => "re_3",
            Self::Dispute => "dp_1",
            Self::BalanceTransaction => "txn_3",
            Self::Payout => "po_1",
            Self::Event => "evt_3",
            Self::PaymentMethod => "pm_1",
        }
    }

    /// The kind an id claims to be, by its prefix.
    pub fn of(id: &str) -> Option<Self> {
        [
            Self::Intent,
            Self::Session,
            Self::Charge,
            Self::Refund,
            Self::Dispute,
            Self::BalanceTransaction,
            Self::Payout,
            Self::Event,
            Self::PaymentMethod,
        ]
        .into_iter()
        .find(|kind| id.starts_with(kind.prefix()))
    }
}

/// An id rendered on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Id {
    bytes: [u8; 32],
    len: u8,
}

impl Id {
    /// The id as it travels on the wire.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    fn push(&mut self, text: &[u8]) {
        let at = usize::from(self.len);
        self.bytes[at..at + text.len()].copy_from_slice(text);
        self.len += text.len() as u8;
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The part of every id that tells one account (and one life of it) from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    /// Of no account.
    pub const NONE: Self = Self([b'0'; NONCE_LEN]);

    /// A fresh one, whatever the seed: the ids of a reset account must not come back.
    pub fn random() -> Self {
        // The standard library's hasher is keyed by the operating system's randomness.
        let mut rng = SmallRng::seed_from_u64(RandomState::new().hash_one(SystemTime::now()));
        Self(std::array::from_fn(|_| ALPHABET[rng.random_range(0..ALPHABET.len())]))
    }

    /// The id of the `seq`-th object of a kind, counted from zero.
    pub fn id(&self, kind: Kind, seq: u64) -> Id {
        let mut id = Id { bytes: [0; 32], len: 0 };
        id.push(kind.prefix().as_bytes());
        id.push(&self.0);
        id.push(&base62(seq.wrapping_add(1).wrapping_mul(SPREAD)));
        id
    }

    /// The position of an object, when `id` is one of this account's ids of that kind.
    pub fn seq(&self, kind: Kind, id: &str) -> Option<u64> {
        let rest = id.strip_prefix(kind.prefix())?.as_bytes();
        if rest.len() != NONCE_LEN + SEQ_LEN || rest[..NONCE_LEN] != self.0 {
            return None;
        }
        let spread = rest[NONCE_LEN..].iter().try_fold(0u64, |sum, byte| {
            let digit = ALPHABET.iter().position(|letter| letter == byte)?;
            sum.checked_mul(62)?.checked_add(digit as u64)
        })?;
        spread.wrapping_mul(GATHER).checked_sub(1)
    }

    /// The secret half of a PaymentIntent's client secret.
    pub fn client_secret(&self, seq: u64) -> Id {
        let mut id = Id { bytes: [0; 32], len: 0 };
        id.push(&base62((seq ^ 0x5EC2_E75E_C2E7).wrapping_mul(GATHER)));
        id.push(&self.0);
        id
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.0.iter().map(|byte| char::from(*byte)).collect()
    }
}

impl TryFrom<String> for Nonce {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.as_bytes()
            .try_into()
            .map(Self)
            .map_err(|_| format!("a nonce has {NONCE_LEN} characters, not {}", text.len()))
    }
}

fn base62(mut number: u64) -> [u8; SEQ_LEN] {
    let mut out = [b'0'; SEQ_LEN];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    out
}

/// The id of a request, as in the `Request-Id` header.
pub fn request_id(instance: u64, count: u64) -> String {
    let digits = base62((instance ^ count).wrapping_mul(SPREAD));
    let mut text = String::with_capacity(4 + SEQ_LEN + 3);
    text.push_str("req_");
    text.extend(digits.iter().map(|byte| char::from(*byte)));
    text.push_str("psb");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_object_and_to_no_other_account() {
        let (ours, theirs) = (Nonce::random(), Nonce::random());
        for seq in [0, 1, 61, 62, 1_000_000, u64::from(u32::MAX)] {
            let id = ours.id(Kind::Intent, seq);
            assert_eq!(id.as_str().len(), 27);
            assert_eq!(ours.seq(Kind::Intent, id.as_str()), Some(seq));
            assert_eq!(ours.seq(Kind::Charge, id.as_str()), None);
            assert_eq!(theirs.seq(Kind::Intent, id.as_str()), None);
        }
        assert_eq!(ours.seq(Kind::Intent, "pi_nonsense"), None);
    }
}
