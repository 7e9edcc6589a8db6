//! API keys: a token that names its merchant, and a row that holds the hash of its secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use money::{ApiKeyId, MerchantId};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;
use uuid::Uuid;

use super::entity::Mode;
use super::error::MerchantError;
use super::repo;
use super::scope::Scopes;
use super::seal::SealError;

/// How long the random part of a key is: 192 bits.
const SECRET_BYTES: usize = 24;

/// How many keys of one name may be live at once: one in use, and the one that replaces it.
const LIVE_PER_NAME: usize = 2;

/// An API key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// Its id, which also stands in the token.
    pub api_key_id: ApiKeyId,
    /// Its merchant's mode.
    pub mode: Mode,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Since when it exists.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// From when on it is refused.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Since when it is refused.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

/// A key that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewApiKey<'a> {
    /// Whose it will be.
    pub merchant_id: MerchantId,
    /// What it is for, 1 to 100 characters.
    pub name: &'a str,
    /// What it may do, at least one thing.
    pub scopes: Scopes,
    /// From when on it is refused; never when `None`.
    pub expires_at: Option<OffsetDateTime>,
}

/// A new key with its secret, which is shown now and never again.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub key: ApiKey,
    /// What the caller sends: `Authorization: Bearer TOKEN`.
    pub token: SecretString,
}

/// Makes a key.
///
/// # Errors
/// [`MerchantError::TwoKeysLive`] for a third live key of a name, [`MerchantError::MerchantNotFound`],
/// [`MerchantError::Invalid`].
pub async fn issue(pool: &PgPool, new: NewApiKey<'_>) -> Result<Issued, MerchantError> {
    check(&new)?;
    let mut tx = pool.begin().await?;
    let mode = repo::lock_merchant(&mut tx, new.merchant_id).await?;
    let mode = mode.ok_or(MerchantError::MerchantNotFound(new.merchant_id))?;
    let live = repo::live_api_keys_named(&mut tx, new.merchant_id, new.name).await?;
    if let [first, second, ..] = live[..] {
        debug_assert_eq!(live.len(), LIVE_PER_NAME);
        return Err(MerchantError::TwoKeysLive { name: new.name.to_owned(), live: [first, second] });
    }
    let token = Token::generate(mode, new.merchant_id)?;
    let created_at = repo::insert_api_key(&mut tx, &new, &token).await?;
    tx.commit().await?;
    let key = ApiKey {
        merchant_id: new.merchant_id,
        api_key_id: token.api_key_id,
        mode,
        name: new.name.to_owned(),
        scopes: new.scopes,
        created_at,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    Ok(Issued { key, token: token.render() })
}

fn check(new: &NewApiKey<'_>) -> Result<(), MerchantError> {
    super::check_length("name", new.name, 100)?;
    if new.scopes.is_empty() {
        return Err(MerchantError::Invalid { field: "scopes", expected: "at least one scope".to_owned() });
    }
    Ok(())
}

/// Every key of the merchant, oldest first, the dead ones too.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(pool: &PgPool, merchant_id: MerchantId) -> Result<Vec<ApiKey>, MerchantError> {
    repo::list_api_keys(pool, merchant_id).await
}

/// Ends a key. Running services refuse it within five seconds. A second time changes nothing.
///
/// # Errors
/// [`MerchantError::ApiKeyNotFound`].
pub async fn revoke(
    pool: &PgPool,
    merchant_id: MerchantId,
    api_key_id: ApiKeyId,
) -> Result<(), MerchantError> {
    match repo::revoke_api_key(pool, merchant_id, api_key_id).await? {
        true => Ok(()),
        false => Err(MerchantError::ApiKeyNotFound { merchant_id, api_key_id }),
    }
}

/// What is sent in the `Authorization` header: `sk_`, the mode, `_`, and in base64url the merchant's id, the key's id
/// and the secret. The ids are in it so that the look-up names its merchant, as every statement does.
pub(super) struct Token {
    pub(super) mode: Mode,
    pub(super) merchant_id: MerchantId,
    pub(super) api_key_id: ApiKeyId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl Token {
    fn generate(mode: Mode, merchant_id: MerchantId) -> Result<Self, SealError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        SystemRandom::new().fill(secret.as_mut()).map_err(|_| SealError::NoRandomness)?;
        Ok(Self { mode, merchant_id, api_key_id: ApiKeyId::new(), secret })
    }

    fn render(&self) -> SecretString {
        let (merchant, key) = (self.merchant_id.as_uuid(), self.api_key_id.as_uuid());
        let bytes =
            Zeroizing::new([merchant.as_bytes().as_slice(), key.as_bytes(), self.secret.as_slice()].concat());
        format!("sk_{}_{}", self.mode, URL_SAFE_NO_PAD.encode(&bytes)).into()
    }

    /// `None` for whatever was not made by [`Token::render`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mode, encoded) = text.strip_prefix("sk_")?.split_once('_')?;
        let mut bytes = Zeroizing::new([0; 16 + 16 + SECRET_BYTES]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut()).ok()?;
        if length != bytes.len() {
            return None;
        }
        let (merchant, rest) = bytes.split_at(16);
        let (key, secret) = rest.split_at(16);
        Some(Self {
            mode: mode.parse().ok()?,
            merchant_id: MerchantId::from_uuid(Uuid::from_slice(merchant).ok()?),
            api_key_id: ApiKeyId::from_uuid(Uuid::from_slice(key).ok()?),
            secret: Zeroizing::new(secret.try_into().ok()?),
        })
    }

    pub(super) fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_slice()).into()
    }
}

/// What is kept of a key in memory to judge a token by.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) mode: Mode,
    pub(super) scopes: Scopes,
    pub(super) secret_hash: Vec<u8>,
    pub(super) expires_at: Option<OffsetDateTime>,
    pub(super) revoked_at: Option<OffsetDateTime>,
}

impl Credential {
    /// Whether the token is this key's, and the key is good at this time.
    pub(super) fn accepts(&self, token: &Token, now: OffsetDateTime) -> bool {
        let same = token.secret_hash().as_slice().ct_eq(&self.secret_hash);
        let live = self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end);
        bool::from(same) && live && self.mode == token.mode
    }
}

/// The text of a token, for the one time that it is shown.
impl Issued {
    /// The token in the clear.
    pub fn reveal(&self) -> &str {
        self.token.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    fn credential(token: &Token) -> Credential {
        Credential {
            mode: token.mode,
            scopes: Scopes::from_iter([]),
            secret_hash: token.secret_hash().to_vec(),
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_token_names_its_merchant_and_key_and_survives_its_text() {
        let token = Token::generate(Mode::Test, MerchantId::new()).unwrap();
        let text = token.render();
        assert!(text.expose_secret().starts_with("sk_test_"));
        let read = Token::parse(text.expose_secret()).unwrap();
        assert_eq!(
            (read.mode, read.merchant_id, read.api_key_id),
            (token.mode, token.merchant_id, token.api_key_id)
        );
        assert_eq!(read.secret_hash(), token.secret_hash());
    }

    #[test]
    fn anything_else_is_no_token() {
        let token = Token::generate(Mode::Test, MerchantId::new()).unwrap().render();
        let text = token.expose_secret();
        let (short, long) = (&text[..text.len() - 1], format!("{text}A"));
        let (other_mode, other_prefix) = (text.replace("_test_", "_demo_"), text.replace("sk_", "pk_"));
        for wrong in ["", "sk_", "sk_test_", short, &long, &other_mode, &other_prefix, "sk_test_\u{e4}"] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_accepted_until_it_expires_or_is_revoked() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let token = Token::generate(Mode::Live, MerchantId::new()).unwrap();
        assert!(credential(&token).accepts(&token, now));
        let expiring = Credential { expires_at: Some(now + Duration::SECOND), ..credential(&token) };
        assert!(expiring.accepts(&token, now));
        assert!(!expiring.accepts(&token, now + Duration::SECOND));
        assert!(!Credential { revoked_at: Some(now), ..credential(&token) }.accepts(&token, now));
    }

    #[test]
    fn a_wrong_secret_or_prefix_is_refused() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let token = Token::generate(Mode::Live, MerchantId::new()).unwrap();
        let guess = Token::generate(Mode::Live, token.merchant_id).unwrap();
        assert!(!credential(&token).accepts(&guess, now));
        let relabelled = Token { mode: Mode::Test, ..token };
        assert!(!Credential { mode: Mode::Live, ..credential(&relabelled) }.accepts(&relabelled, now));
    }
}
