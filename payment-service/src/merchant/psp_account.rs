//! A merchant's accounts at PSPs: made and changed here, and opened for those who talk to the PSP.

use money::{MerchantId, PspAccountId};
use reqwest::Url;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use time::OffsetDateTime;

use super::entity::Mode;
use super::error::MerchantError;
use super::repo;
use super::seal::{KeyRing, Place, SealError};
use crate::psp::{self, Idempotency, Psp};

/// The column of the API's secret, and its name in the associated data: never to be changed.
const API_SECRET: &str = "api_secret";
/// The column of the webhooks' secrets, and its name in the associated data: never to be changed.
const WEBHOOK_SECRETS: &str = "webhook_secrets";

/// How many secrets webhooks may be signed with at one time.
const MOST_WEBHOOK_SECRETS: usize = 10;

/// An account with its secrets, ready to be used. `Debug` shows none of them.
#[derive(Debug, Clone)]
pub struct PspAccount {
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// Its id.
    pub psp_account_id: PspAccountId,
    /// Its merchant's mode.
    pub mode: Mode,
    /// What people call it.
    pub name: String,
    /// Whether new payments may use it. What was begun with it is finished with it either way.
    pub enabled: bool,
    /// How many days after its capture a payment may be missing in the settlement files.
    pub settlement_delay_days: i32,
    /// What the connector needs.
    pub account: psp::Account,
}

/// An account as it is listed: its secrets are known by their fingerprints.
#[derive(Debug, Clone, Serialize)]
pub struct PspAccountSummary {
    /// Its id.
    pub psp_account_id: PspAccountId,
    /// Its merchant's mode.
    pub mode: Mode,
    /// Where it is.
    pub psp: &'static str,
    /// What people call it.
    pub name: String,
    /// The API's address.
    pub base_url: String,
    /// The fingerprint of the API's secret.
    pub api_secret: String,
    /// The fingerprints of the webhooks' secrets.
    pub webhook_secrets: Vec<String>,
    /// How many days after its capture a payment may be missing in the settlement files.
    pub settlement_delay_days: i32,
    /// What it does about a request that comes twice: `native`, `lookup` or `none`.
    pub idempotency: &'static str,
    /// Since when it exists.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Since when new payments may not use it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub disabled_at: Option<OffsetDateTime>,
}

/// An account that is to be made.
#[derive(Debug)]
pub struct NewPspAccount<'a> {
    /// Whose it will be.
    pub merchant_id: MerchantId,
    /// Where it is.
    pub psp: Psp,
    /// What people call it, 1 to 100 characters.
    pub name: &'a str,
    /// The API's address; `None` is the PSP's own.
    pub base_url: Option<&'a str>,
    /// The key that requests are made with.
    pub api_secret: SecretString,
    /// The secrets that webhooks may be signed with.
    pub webhook_secrets: Vec<SecretString>,
    /// How many days after its capture a payment may be missing in the settlement files, 0 to 365.
    pub settlement_delay_days: i32,
    /// What the PSP does about a request that comes twice.
    pub idempotency: Idempotency,
}

/// One change of an account.
#[derive(Debug)]
pub enum Change {
    /// Another key for requests.
    ApiSecret(SecretString),
    /// One more secret that webhooks may be signed with.
    AddWebhookSecret(SecretString),
    /// One less, by its fingerprint.
    RemoveWebhookSecret(String),
    /// New payments may not use it any more.
    Disable,
    /// They may again.
    Enable,
}

/// A row of the database, its secrets still sealed.
pub(super) struct SealedAccount {
    pub(super) merchant_id: MerchantId,
    pub(super) psp_account_id: PspAccountId,
    pub(super) mode: Mode,
    pub(super) psp: Psp,
    pub(super) name: String,
    pub(super) base_url: String,
    pub(super) api_secret: Vec<u8>,
    pub(super) webhook_secrets: Vec<u8>,
    pub(super) settlement_delay_days: i32,
    pub(super) idempotency: Idempotency,
    pub(super) created_at: OffsetDateTime,
    pub(super) disabled_at: Option<OffsetDateTime>,
}

/// Makes an account.
///
/// # Errors
/// [`MerchantError::SecretOfOtherMode`] for a live secret of a test merchant and the other way round,
/// [`MerchantError::Invalid`], [`MerchantError::PspAccountNameTaken`], [`MerchantError::MerchantNotFound`].
pub async fn create(
    pool: &PgPool,
    keys: &KeyRing,
    new: NewPspAccount<'_>,
) -> Result<PspAccount, MerchantError> {
    super::check_length("name", new.name, 100)?;
    if !(0..=365).contains(&new.settlement_delay_days) {
        return Err(invalid("settlement_delay_days", "0 to 365"));
    }
    let mode = repo::merchant_mode(pool, new.merchant_id).await?;
    let mode = mode.ok_or(MerchantError::MerchantNotFound(new.merchant_id))?;
    let base_url = base_url(new.base_url.unwrap_or(default_base_url(new.psp)), mode)?;
    check_api_secret(new.psp, mode, &new.api_secret)?;
    check_webhook_secrets(&new.webhook_secrets)?;
    let account = PspAccount {
        merchant_id: new.merchant_id,
        psp_account_id: PspAccountId::new(),
        mode,
        name: new.name.to_owned(),
        enabled: true,
        settlement_delay_days: new.settlement_delay_days,
        account: psp::Account {
            psp: new.psp,
            base_url,
            api_secret: new.api_secret,
            webhook_secrets: new.webhook_secrets,
            idempotency: new.idempotency,
        },
    };
    let sealed = seal(keys, &account)?;
    repo::insert_psp_account(pool, &account, &sealed).await?;
    Ok(account)
}

/// Every account of the merchant, oldest first, the disabled ones too.
///
/// # Errors
/// [`MerchantError::Seal`] when its secrets cannot be opened with these keys.
pub async fn list(
    pool: &PgPool,
    keys: &KeyRing,
    merchant_id: MerchantId,
) -> Result<Vec<PspAccountSummary>, MerchantError> {
    let rows = repo::psp_accounts_of(pool, merchant_id).await?;
    rows.into_iter().map(|row| summary(row, keys)).collect()
}

/// Changes an account. Running services know it within five seconds.
///
/// # Errors
/// [`MerchantError::PspAccountNotFound`], [`MerchantError::WebhookSecretNotFound`], and as of [`create`].
pub async fn change(
    pool: &PgPool,
    keys: &KeyRing,
    merchant_id: MerchantId,
    psp_account_id: PspAccountId,
    change: Change,
) -> Result<(), MerchantError> {
    let mut tx = pool.begin().await?;
    let row = repo::lock_psp_account(&mut tx, merchant_id, psp_account_id).await?;
    let row = row.ok_or(MerchantError::PspAccountNotFound { merchant_id, psp_account_id })?;
    let mut account = row.open(keys)?;
    apply(&mut account, change)?;
    repo::update_psp_account(&mut tx, &account, &seal(keys, &account)?).await?;
    Ok(tx.commit().await?)
}

/// Seals everything anew that was not sealed with the first key, after which the others are needed no more. Says how
/// many accounts that were.
///
/// # Errors
/// [`MerchantError::Seal`] when something cannot be opened with any of the keys; what was done before stays done.
pub async fn reseal(pool: &PgPool, keys: &KeyRing) -> Result<usize, MerchantError> {
    let mut resealed = 0;
    for merchant in repo::list_merchants(pool).await? {
        let mut tx = pool.begin().await?;
        for row in repo::lock_psp_accounts_of(&mut tx, merchant.merchant_id).await? {
            if keys.is_current(&row.api_secret) && keys.is_current(&row.webhook_secrets) {
                continue;
            }
            let account = row.open(keys)?;
            repo::update_psp_account(&mut tx, &account, &seal(keys, &account)?).await?;
            resealed += 1;
        }
        tx.commit().await?;
    }
    Ok(resealed)
}

fn apply(account: &mut PspAccount, change: Change) -> Result<(), MerchantError> {
    let secrets = &mut account.account.webhook_secrets;
    match change {
        Change::ApiSecret(secret) => {
            check_api_secret(account.account.psp, account.mode, &secret)?;
            account.account.api_secret = secret;
        }
        Change::AddWebhookSecret(secret) => {
            if !secrets.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
                secrets.push(secret);
            }
            check_webhook_secrets(secrets)?;
        }
        Change::RemoveWebhookSecret(wanted) => {
            let index = secrets.iter().position(|secret| fingerprint(secret) == wanted);
            secrets.remove(index.ok_or(MerchantError::WebhookSecretNotFound(wanted))?);
        }
        Change::Disable => account.enabled = false,
        Change::Enable => account.enabled = true,
    }
    Ok(())
}

/// What tells one secret from another in a list: the first eight hex digits of its SHA-256.
pub fn fingerprint(secret: &SecretString) -> String {
    let hash: [u8; 32] = Sha256::digest(secret.expose_secret()).into();
    hex::encode(&hash[..4])
}

/// The two sealed columns.
pub(super) struct Sealed {
    pub(super) api_secret: Vec<u8>,
    pub(super) webhook_secrets: Vec<u8>,
}

fn seal(keys: &KeyRing, account: &PspAccount) -> Result<Sealed, SealError> {
    let place =
        |column| Place { merchant_id: account.merchant_id, psp_account_id: account.psp_account_id, column };
    let psp::Account { api_secret, webhook_secrets, .. } = &account.account;
    // No secret has a line end in it, which is checked when it comes in.
    let texts: Vec<&str> = webhook_secrets.iter().map(|secret| secret.expose_secret()).collect();
    let joined = Zeroizing::new(texts.join("\n"));
    Ok(Sealed {
        api_secret: keys.seal(api_secret.expose_secret().as_bytes(), place(API_SECRET))?,
        webhook_secrets: keys.seal(joined.as_bytes(), place(WEBHOOK_SECRETS))?,
    })
}

impl SealedAccount {
    /// Opens its secrets.
    pub(super) fn open(self, keys: &KeyRing) -> Result<PspAccount, SealError> {
        let api_secret = self.open_column(keys, API_SECRET, &self.api_secret)?;
        let webhook_secrets = self.open_column(keys, WEBHOOK_SECRETS, &self.webhook_secrets)?;
        Ok(PspAccount {
            merchant_id: self.merchant_id,
            psp_account_id: self.psp_account_id,
            mode: self.mode,
            name: self.name,
            enabled: self.disabled_at.is_none(),
            settlement_delay_days: self.settlement_delay_days,
            account: psp::Account {
                psp: self.psp,
                base_url: self.base_url,
                api_secret: api_secret.as_str().into(),
                webhook_secrets: webhook_secrets.lines().map(SecretString::from).collect(),
                idempotency: self.idempotency,
            },
        })
    }

    fn open_column(
        &self,
        keys: &KeyRing,
        column: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, SealError> {
        let place = Place { merchant_id: self.merchant_id, psp_account_id: self.psp_account_id, column };
        let bytes = keys.open(sealed, place)?;
        let text = str::from_utf8(&bytes).map_err(|_| SealError::Damaged { what: place.to_string() })?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

fn summary(row: SealedAccount, keys: &KeyRing) -> Result<PspAccountSummary, MerchantError> {
    let (created_at, disabled_at) = (row.created_at, row.disabled_at);
    let PspAccount { psp_account_id, mode, name, settlement_delay_days, account, .. } = row.open(keys)?;
    Ok(PspAccountSummary {
        psp_account_id,
        mode,
        psp: account.psp.as_str(),
        name,
        base_url: account.base_url,
        api_secret: fingerprint(&account.api_secret),
        webhook_secrets: account.webhook_secrets.iter().map(fingerprint).collect(),
        idempotency: account.idempotency.as_str(),
        settlement_delay_days,
        created_at,
        disabled_at,
    })
}

const fn default_base_url(psp: Psp) -> &'static str {
    match psp {
        Psp::Stripe => "https://api.stripe.com",
    }
}

/// The address without a path, after checking that it is one that a secret may be sent to.
fn base_url(text: &str, mode: Mode) -> Result<String, MerchantError> {
    let expected = match mode {
        Mode::Live => {
            "an address such as https://api.stripe.com, over https because the merchant is live, without a path"
        }
        Mode::Test => "an address such as https://api.stripe.com or http://127.0.0.1:12111, without a path",
    };
    let refused = || invalid("base_url", expected);
    let url = Url::parse(text).map_err(|_| refused())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && mode == Mode::Test);
    if bare && anonymous && scheme_fits && url.has_host() {
        Ok(url.origin().ascii_serialization())
    } else {
        Err(refused())
    }
}

/// Stripe's secrets say what they are for; another PSP's may not.
fn check_api_secret(psp: Psp, mode: Mode, secret: &SecretString) -> Result<(), MerchantError> {
    check_secret("api secret", secret)?;
    let Psp::Stripe = psp;
    let begins =
        |prefixes: [&str; 2]| prefixes.iter().any(|prefix| secret.expose_secret().starts_with(prefix));
    match mode {
        Mode::Test if begins(["sk_live_", "rk_live_"]) => {
            Err(MerchantError::SecretOfOtherMode { of: Mode::Live, merchant: mode })
        }
        Mode::Live if begins(["sk_test_", "rk_test_"]) => {
            Err(MerchantError::SecretOfOtherMode { of: Mode::Test, merchant: mode })
        }
        Mode::Live if !begins(["sk_live_", "rk_live_"]) => {
            Err(invalid("api secret", "a secret that begins with sk_live_ or rk_live_"))
        }
        Mode::Test | Mode::Live => Ok(()),
    }
}

fn check_webhook_secrets(secrets: &[SecretString]) -> Result<(), MerchantError> {
    if secrets.len() > MOST_WEBHOOK_SECRETS {
        return Err(invalid("webhook secrets", format!("{MOST_WEBHOOK_SECRETS} at most")));
    }
    secrets.iter().try_for_each(|secret| check_secret("webhook secret", secret))
}

fn check_secret(field: &'static str, secret: &SecretString) -> Result<(), MerchantError> {
    let text = secret.expose_secret();
    match (1..=500).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(invalid(field, "1 to 500 printable ASCII characters without spaces")),
    }
}

fn invalid(field: &'static str, expected: impl Into<String>) -> MerchantError {
    MerchantError::Invalid { field, expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_account_is_reached_over_tls_and_every_account_without_a_path() {
        assert_eq!(base_url("https://api.stripe.com/", Mode::Live).unwrap(), "https://api.stripe.com");
        assert_eq!(base_url("http://127.0.0.1:12111", Mode::Test).unwrap(), "http://127.0.0.1:12111");
        for (text, mode) in [
            ("http://127.0.0.1:12111", Mode::Live),
            ("https://api.stripe.com/v1", Mode::Test),
            ("https://api.stripe.com?x", Mode::Test),
            ("https://user@api.stripe.com", Mode::Test),
            ("ftp://api.stripe.com", Mode::Test),
            ("api.stripe.com", Mode::Test),
            ("", Mode::Test),
        ] {
            let error = base_url(text, mode).unwrap_err();
            assert!(matches!(error, MerchantError::Invalid { field: "base_url", .. }), "{text}");
        }
    }

    #[test]
    fn a_secret_of_the_other_mode_is_refused() {
        for (mode, secret, accepted) in [
            (Mode::Test, "sk_test_1", true),
            (Mode::Test, "sk_12345", true),
            (Mode::Test, "sk_live_1", false),
            (Mode::Test, "rk_live_1", false),
            (Mode::Live, "sk_live_1", true),
            (Mode::Live, "rk_live_1", true),
            (Mode::Live, "sk_test_1", false),
            (Mode::Live, "rk_test_1", false),
            (Mode::Live, "sk_12345", false),
            (Mode::Test, "", false),
            (Mode::Test, "sk test", false),
            (Mode::Test, "sk_test_1\n", false),
        ] {
            assert_eq!(
                check_api_secret(Psp::Stripe, mode, &secret.into()).is_ok(),
                accepted,
                "{mode} {secret:?}"
            );
        }
    }
}
