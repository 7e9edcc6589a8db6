//! Secrets at rest: sealed with a key of the configuration, bound to the row and column that they were written to.
//!
//! A sealed secret is a version byte, a byte that tells keys apart, a nonce of 12 bytes, and the secret under
//! AES-256-GCM with its tag. Its associated data are merchant, PSP account and column, so that a sealed secret that is
//! moved to another row or column cannot be opened.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use money::{MerchantId, PspAccountId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::zeroize::Zeroizing;

/// The version byte.
const VERSION: u8 = 1;

/// How long a key is, in bytes.
const KEY_BYTES: usize = 32;

/// Before the ciphertext.
const HEADER_BYTES: usize = 2 + NONCE_LEN;

/// What can be wrong with a secret key or with a sealed secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The configuration names no key.
    #[error(
        "no secret key: set PAYONCE_SECRET_KEY or --secret-key-file to 32 random bytes in base64 (openssl rand -base64 32)"
    )]
    NoKey,
    /// The text is no key. It is not repeated here.
    #[error("secret key {position} is not 32 bytes in base64 (openssl rand -base64 32 makes one)")]
    MalformedKey {
        /// Which of the keys, from 1.
        position: usize,
    },
    /// Sealed with a key that the configuration does not have.
    #[error(
        "{what} was sealed with another secret key than the configured one; add the earlier key after the present one"
    )]
    UnknownKey {
        /// What was to be opened.
        what: String,
    },
    /// Neither written by us, nor by us for this row and column.
    #[error("{what} is damaged or was moved from another row")]
    Damaged {
        /// What was to be opened.
        what: String,
    },
    /// The system has no randomness to give.
    #[error("the system's random number generator failed")]
    NoRandomness,
}

/// The place that a secret is written to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// The row.
    pub psp_account_id: PspAccountId,
    /// The column.
    pub column: &'a str,
}

impl Place<'_> {
    fn associated_data(&self) -> Vec<u8> {
        let (merchant, account) = (self.merchant_id.as_uuid(), self.psp_account_id.as_uuid());
        [merchant.as_bytes().as_slice(), account.as_bytes(), self.column.as_bytes()].concat()
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of PSP account {}", self.column, self.psp_account_id)
    }
}

/// The configuration's keys: the first seals, all open, so that keys can be changed without a gap.
pub struct KeyRing(Vec<(u8, LessSafeKey)>);

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.0.len())
    }
}

impl KeyRing {
    /// Reads one or more keys, each 32 bytes in base64, separated by commas, spaces or line ends.
    ///
    /// # Errors
    /// [`SealError::NoKey`], [`SealError::MalformedKey`].
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let texts = text.split([',', ' ', '\t', '\r', '\n']).filter(|key| !key.is_empty());
        let keys = texts
            .enumerate()
            .map(|(index, text)| key(text).ok_or(SealError::MalformedKey { position: index + 1 }));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(SealError::NoKey) } else { Ok(Self(keys)) }
    }

    /// A fresh key, as [`KeyRing::parse`] reads it.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn generate() -> Result<Zeroizing<String>, SealError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_| SealError::NoRandomness)?;
        Ok(Zeroizing::new(STANDARD.encode(&bytes)))
    }

    /// Seals a secret for its place.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn seal(&self, secret: &[u8], place: Place<'_>) -> Result<Vec<u8>, SealError> {
        let (id, key) = self.0.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let mut ciphertext = Zeroizing::new(secret.to_vec());
        let aad = Aad::from(place.associated_data());
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, ciphertext.as_mut())
            .map_err(|_| SealError::NoRandomness)?;
        Ok([&[VERSION, *id], nonce.as_slice(), &ciphertext, tag.as_ref()].concat())
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], [`SealError::Damaged`].
    pub fn open(&self, sealed: &[u8], place: Place<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let damaged = || SealError::Damaged { what: place.to_string() };
        let (header, ciphertext) = sealed.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        let &[VERSION, id, ref nonce @ ..] = header else { return Err(damaged()) };
        let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| damaged())?;
        // One byte tells keys apart, so by chance two may have the same.
        let mut candidates = self.0.iter().filter(|(known, _)| *known == id).peekable();
        if candidates.peek().is_none() {
            return Err(SealError::UnknownKey { what: place.to_string() });
        }
        for (_, key) in candidates {
            let mut buffer = Zeroizing::new(ciphertext.to_vec());
            let aad = Aad::from(place.associated_data());
            if let Ok(secret) = key.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut buffer) {
                return Ok(Zeroizing::new(secret.to_vec()));
            }
        }
        Err(damaged())
    }

    /// Whether this was sealed with the key that seals now.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        matches!((self.0.first(), sealed), (Some((current, _)), [VERSION, id, ..]) if current == id)
    }
}

fn key(text: &str) -> Option<(u8, LessSafeKey)> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let bytes: &[u8; KEY_BYTES] = bytes.as_slice().try_into().ok()?;
    let mut hash = Context::new(&SHA256);
    hash.update(b"payonce secret key id");
    hash.update(bytes);
    let id = *hash.finish().as_ref().first()?;
    let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
    Some((id, LessSafeKey::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(column: &str) -> Place<'_> {
        Place {
            merchant_id: MerchantId::from_uuid(uuid::Uuid::from_u128(1)),
            psp_account_id: PspAccountId::from_uuid(uuid::Uuid::from_u128(2)),
            column,
        }
    }

    /// Keys with the same id byte do not tell a wrong key from a damaged secret.
    fn two_keys() -> (String, String) {
        let texts = [[1; KEY_BYTES], [2; KEY_BYTES]].map(|bytes| STANDARD.encode(bytes));
        let [first, second] = texts;
        assert_ne!(key(&first).unwrap().0, key(&second).unwrap().0);
        (first, second)
    }

    #[test]
    fn a_secret_is_opened_where_it_was_sealed_for_and_nowhere_else() {
        let keys = KeyRing::parse(&KeyRing::generate().unwrap()).unwrap();
        let sealed = keys.seal(b"sk_test_x", place("api_secret")).unwrap();
        assert_eq!(keys.open(&sealed, place("api_secret")).unwrap().as_slice(), b"sk_test_x");
        assert!(!sealed.windows(4).any(|window| window == b"test"));
        let other_row = Place { psp_account_id: PspAccountId::new(), ..place("api_secret") };
        let other_merchant = Place { merchant_id: MerchantId::new(), ..place("api_secret") };
        for elsewhere in [place("webhook_secrets"), other_row, other_merchant] {
            assert!(matches!(keys.open(&sealed, elsewhere), Err(SealError::Damaged { .. })));
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let keys = KeyRing::parse(&KeyRing::generate().unwrap()).unwrap();
        let sealed = keys.seal(b"s", place("api_secret")).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(&changed, place("api_secret")).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(keys.open(&sealed[..length], place("api_secret")).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = two_keys();
        let before = KeyRing::parse(&old).unwrap();
        let sealed = before.seal(b"s", place("api_secret")).unwrap();
        let both = KeyRing::parse(&format!("{new}\n{old}\n")).unwrap();
        assert_eq!(both.open(&sealed, place("api_secret")).unwrap().as_slice(), b"s");
        assert!(before.is_current(&sealed) && !both.is_current(&sealed));
        let resealed = both.seal(b"s", place("api_secret")).unwrap();
        let after = KeyRing::parse(&new).unwrap();
        assert_eq!(after.open(&resealed, place("api_secret")).unwrap().as_slice(), b"s");
        let error = after.open(&sealed, place("api_secret")).unwrap_err();
        assert!(matches!(error, SealError::UnknownKey { .. }));
        assert!(error.to_string().starts_with("api_secret of PSP account 0000"));
    }

    #[test]
    fn a_missing_or_malformed_key_is_told_without_repeating_it() {
        assert_eq!(KeyRing::parse(" \n").unwrap_err(), SealError::NoKey);
        let (sound, _) = two_keys();
        let error = KeyRing::parse(&format!("{sound},c2hvcnQ=")).unwrap_err();
        assert_eq!(error, SealError::MalformedKey { position: 2 });
        assert!(!error.to_string().contains("c2hvcnQ"));
    }

    #[test]
    fn keys_are_not_shown() {
        let (one, other) = two_keys();
        assert_eq!(format!("{:?}", KeyRing::parse(&format!("{one} {other}")).unwrap()), "KeyRing(2 keys)");
    }
}
