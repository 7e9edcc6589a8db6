//! Who calls, and with which PSP account: read by every request, from memory.

use std::sync::Arc;

use axum::http::HeaderValue;
use money::{ApiKeyId, MerchantId, PspAccountId};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::api_key::{Credential, Token};
use super::cache::Cache;
use super::entity::Mode;
use super::error::MerchantError;
use super::psp_account::PspAccount;
use super::repo;
use super::scope::Scopes;
use super::seal::{KeyRing, SealError};

/// How many of each kind are kept in memory.
const CAPACITY: usize = 10_000;

/// How many look-ups may be at the database at one time: callers with made-up keys must not take every connection.
const LOOKUPS: usize = 4;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub merchant_id: MerchantId,
    /// The key it showed.
    pub api_key_id: ApiKeyId,
    /// The tenant's mode.
    pub mode: Mode,
    /// What the key may do.
    pub scopes: Scopes,
}

/// Why nobody was recognised.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No key, or one that is unknown, wrong, expired or revoked: which of them is not told.
    #[error("a valid API key is required")]
    Unauthenticated,
    /// It could not be found out.
    #[error("the API key could not be looked up")]
    Lookup(#[source] MerchantError),
}

/// What requests read of the control plane. A change is seen within five seconds.
pub struct Directory {
    source: Source,
    /// `None`: there is no such key, which is remembered too.
    credentials: Cache<(MerchantId, ApiKeyId), Option<Arc<Credential>>>,
    accounts: Cache<MerchantId, Arc<[Account]>>,
    owners: Cache<PspAccountId, Option<MerchantId>>,
}

/// An account, or why its secrets cannot be opened: that must not keep the merchant's others from being used.
type Account = Result<Arc<PspAccount>, (PspAccountId, SealError)>;

#[derive(Clone)]
struct Source {
    pool: PgPool,
    keys: Arc<KeyRing>,
    lookups: Arc<Semaphore>,
}

impl Directory {
    /// An empty directory over this database.
    pub fn new(pool: PgPool, keys: KeyRing) -> Self {
        let source = Source { pool, keys: Arc::new(keys), lookups: Arc::new(Semaphore::new(LOOKUPS)) };
        Self {
            source,
            credentials: Cache::new(CAPACITY),
            accounts: Cache::new(CAPACITY),
            owners: Cache::new(CAPACITY),
        }
    }

    /// Who sends this `Authorization` header.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn authenticate(&self, header: Option<&HeaderValue>) -> Result<Caller, AuthError> {
        let token = header.and_then(bearer).and_then(Token::parse).ok_or(AuthError::Unauthenticated)?;
        let key = (token.merchant_id, token.api_key_id);
        let found = self.credentials.get(&key, || self.source.clone().credential(key)).await;
        let credential = found.map_err(AuthError::Lookup)?.ok_or(AuthError::Unauthenticated)?;
        if !credential.accepts(&token, OffsetDateTime::now_utc()) {
            return Err(AuthError::Unauthenticated);
        }
        Ok(Caller {
            merchant_id: token.merchant_id,
            api_key_id: token.api_key_id,
            mode: credential.mode,
            scopes: credential.scopes,
        })
    }

    /// The account for a new payment: the one that is named, else the merchant's only enabled one.
    ///
    /// # Errors
    /// [`MerchantError::PspAccountNotFound`], [`MerchantError::PspAccountDisabled`], without a name
    /// [`MerchantError::NoPspAccount`] and [`MerchantError::PspAccountAmbiguous`]; [`MerchantError::Seal`].
    pub async fn psp_account(
        &self,
        merchant_id: MerchantId,
        named: Option<PspAccountId>,
    ) -> Result<Arc<PspAccount>, MerchantError> {
        if let Some(psp_account_id) = named {
            let account = self.any_psp_account(merchant_id, psp_account_id).await?;
            return if account.enabled {
                Ok(account)
            } else {
                Err(MerchantError::PspAccountDisabled(psp_account_id))
            };
        }
        let accounts = self.accounts_of(merchant_id).await?;
        let mut enabled = Vec::new();
        for account in accounts.iter() {
            // One that cannot be opened may be the one that is meant.
            let account = account.as_ref().map_err(|(_, error)| error.clone())?;
            if account.enabled {
                enabled.push(account);
            }
        }
        match enabled[..] {
            [only] => Ok(Arc::clone(only)),
            [] => Err(MerchantError::NoPspAccount),
            _ => Err(MerchantError::PspAccountAmbiguous(
                enabled.iter().map(|open| open.psp_account_id).collect(),
            )),
        }
    }

    /// The account with this id, enabled or not: for finishing what was begun with it.
    ///
    /// # Errors
    /// [`MerchantError::PspAccountNotFound`], [`MerchantError::Seal`].
    pub async fn any_psp_account(
        &self,
        merchant_id: MerchantId,
        psp_account_id: PspAccountId,
    ) -> Result<Arc<PspAccount>, MerchantError> {
        let accounts = self.accounts_of(merchant_id).await?;
        let found = accounts.iter().find_map(|account| match account {
            Ok(open) if open.psp_account_id == psp_account_id => Some(Ok(Arc::clone(open))),
            Err((id, error)) if *id == psp_account_id => Some(Err(error.clone().into())),
            Ok(_) | Err(_) => None,
        });
        found.unwrap_or(Err(MerchantError::PspAccountNotFound { merchant_id, psp_account_id }))
    }

    /// The account that a webhook's path names, enabled or not, whoever owns it; `None` when nobody does. The only
    /// read across merchants on behalf of a request: it is made to learn whose the webhook is.
    ///
    /// # Errors
    /// [`MerchantError::Seal`], and when the database cannot be asked.
    pub async fn webhook_account(
        &self,
        psp_account_id: PspAccountId,
    ) -> Result<Option<Arc<PspAccount>>, MerchantError> {
        let owner = self.owners.get(&psp_account_id, || self.source.clone().owner(psp_account_id)).await?;
        let Some(merchant_id) = owner else { return Ok(None) };
        self.any_psp_account(merchant_id, psp_account_id).await.map(Some)
    }

    /// Opens every merchant's secrets once, so that a wrong secret key is told at the start and not by the first
    /// payment.
    ///
    /// # Errors
    /// [`MerchantError::Seal`] for the first that cannot be opened.
    pub async fn check_secrets(&self) -> Result<(), MerchantError> {
        for merchant in repo::list_merchants(&self.source.pool).await? {
            for account in self.source.clone().accounts(merchant.merchant_id).await?.iter() {
                if let Err((_, error)) = account {
                    return Err(error.clone().into());
                }
            }
        }
        Ok(())
    }

    async fn accounts_of(&self, merchant_id: MerchantId) -> Result<Arc<[Account]>, MerchantError> {
        self.accounts.get(&merchant_id, || self.source.clone().accounts(merchant_id)).await
    }
}

impl Source {
    async fn credential(self, key: (MerchantId, ApiKeyId)) -> Result<Option<Arc<Credential>>, MerchantError> {
        // The semaphore is never closed.
        let _permit = self.lookups.acquire().await;
        Ok(repo::credential(&self.pool, key.0, key.1).await?.map(Arc::new))
    }

    async fn accounts(self, merchant_id: MerchantId) -> Result<Arc<[Account]>, MerchantError> {
        let _permit = self.lookups.acquire().await;
        let rows = repo::psp_accounts_of(&self.pool, merchant_id).await?;
        let open = rows.into_iter().map(|row| {
            let id = row.psp_account_id;
            row.open(&self.keys).map(Arc::new).map_err(|error| (id, error))
        });
        Ok(open.collect())
    }

    async fn owner(self, psp_account_id: PspAccountId) -> Result<Option<MerchantId>, MerchantError> {
        let _permit = self.lookups.acquire().await;
        repo::owner_of_psp_account(&self.pool, psp_account_id).await
    }
}

/// The token in `Bearer TOKEN`; the scheme's case does not matter.
fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}
