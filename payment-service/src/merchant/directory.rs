//! Who calls, and with which PSP account: read by every request, from memory.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use money::{ApiKeyId, MerchantId, PspAccountId};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, SemaphorePermit};

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

/// How many names that nobody has are remembered.
const STRANGERS: usize = 1_000;

/// How many look-ups of what is known may be at the database at one time.
const LOOKUPS: usize = 4;

/// How many of what is not known, which anybody can make up: they have places of their own, so that they take neither
/// the others' nor the database's connections.
const LOOKUPS_OF_STRANGERS: usize = 2;

/// How long what is not known waits for such a place: as long as the first requests after a start need, and no longer.
const STRANGERS_PATIENCE: Duration = Duration::from_millis(100);

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
    credentials: Named<(MerchantId, ApiKeyId), Arc<Credential>>,
    accounts: Cache<MerchantId, Arc<[Account]>>,
    owners: Named<PspAccountId, MerchantId>,
}

/// What callers name before anybody knows who they are. What exists is kept apart from what was asked for and does not:
/// however many names are made up, they push out nothing but each other.
struct Named<K, V> {
    known: Cache<K, Option<V>>,
    strangers: Cache<K, Option<V>>,
}

/// Whether what is looked up was found before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Known,
    Stranger,
}

impl<K: Clone + Eq + Hash, V: Clone + Send + Sync + 'static> Named<K, V> {
    fn new(known: usize, strangers: usize) -> Self {
        Self { known: Cache::new(known), strangers: Cache::new(strangers) }
    }

    async fn get<F>(&self, key: &K, load: impl FnOnce(Asked) -> F) -> Result<Option<V>, MerchantError>
    where
        F: Future<Output = Result<Option<V>, MerchantError>> + Send + 'static,
    {
        if self.known.holds(key) {
            return self.known.get(key, || load(Asked::Known)).await;
        }
        let found = self.strangers.get(key, || load(Asked::Stranger)).await?;
        if found.is_some() {
            self.strangers.hand_over(key, &self.known);
        }
        Ok(found)
    }
}

/// An account, or why its secrets cannot be opened: that must not keep the merchant's others from being used.
type Account = Result<Arc<PspAccount>, (PspAccountId, SealError)>;

#[derive(Clone)]
struct Source {
    pool: PgPool,
    keys: Arc<KeyRing>,
    lookups: Arc<Semaphore>,
    lookups_of_strangers: Arc<Semaphore>,
}

impl Directory {
    /// An empty directory over this database.
    pub fn new(pool: PgPool, keys: KeyRing) -> Self {
        let source = Source {
            pool,
            keys: Arc::new(keys),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            lookups_of_strangers: Arc::new(Semaphore::new(LOOKUPS_OF_STRANGERS)),
        };
        Self {
            source,
            credentials: Named::new(CAPACITY, STRANGERS),
            accounts: Cache::new(CAPACITY),
            owners: Named::new(CAPACITY, STRANGERS),
        }
    }

    /// Who sends this `Authorization` header.
    ///
    /// # Errors
    /// [`AuthError`].
    pub async fn authenticate(&self, header: Option<&HeaderValue>) -> Result<Caller, AuthError> {
        let token = header.and_then(bearer).and_then(Token::parse).ok_or(AuthError::Unauthenticated)?;
        let key = (token.merchant_id, token.api_key_id);
        let found = self.credentials.get(&key, |asked| self.source.clone().credential(key, asked)).await;
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
        let load = |asked| self.source.clone().owner(psp_account_id, asked);
        let owner = self.owners.get(&psp_account_id, load).await?;
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
    /// A place at the database.
    async fn place(&self, asked: Asked) -> Result<SemaphorePermit<'_>, MerchantError> {
        // The semaphores are never closed.
        let place = match asked {
            Asked::Known => self.lookups.acquire().await.ok(),
            Asked::Stranger => {
                let place = tokio::time::timeout(STRANGERS_PATIENCE, self.lookups_of_strangers.acquire());
                place.await.ok().and_then(Result::ok)
            }
        };
        place.ok_or(MerchantError::Busy)
    }

    async fn credential(
        self,
        key: (MerchantId, ApiKeyId),
        asked: Asked,
    ) -> Result<Option<Arc<Credential>>, MerchantError> {
        let _place = self.place(asked).await?;
        Ok(repo::credential(&self.pool, key.0, key.1).await?.map(Arc::new))
    }

    async fn accounts(self, merchant_id: MerchantId) -> Result<Arc<[Account]>, MerchantError> {
        let _place = self.place(Asked::Known).await?;
        let rows = repo::psp_accounts_of(&self.pool, merchant_id).await?;
        let open = rows.into_iter().map(|row| {
            let id = row.psp_account_id;
            row.open(&self.keys).map(Arc::new).map_err(|error| (id, error))
        });
        Ok(open.collect())
    }

    async fn owner(
        self,
        psp_account_id: PspAccountId,
        asked: Asked,
    ) -> Result<Option<MerchantId>, MerchantError> {
        let _place = self.place(asked).await?;
        repo::owner_of_psp_account(&self.pool, psp_account_id).await
    }
}

/// The token in `Bearer TOKEN`; the scheme's case does not matter.
fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::join_all;

    use super::*;

    /// Knows the even numbers, and how each was asked for.
    #[derive(Clone, Default)]
    struct Numbers(Arc<Mutex<Vec<(u32, Asked)>>>);

    impl Numbers {
        async fn get(&self, named: &Named<u32, u32>, number: u32) -> Option<u32> {
            let asked_before = Arc::clone(&self.0);
            let load = move |asked| {
                asked_before.lock().unwrap().push((number, asked));
                async move { Ok(number.is_multiple_of(2).then_some(number)) }
            };
            named.get(&number, load).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_has_pushes_nothing_out_that_somebody_has() {
        let (named, numbers) = (Named::new(4, 4), Numbers::default());
        assert_eq!(numbers.get(&named, 2).await, Some(2));
        for stranger in 0..100 {
            assert_eq!(numbers.get(&named, 2 * stranger + 1).await, None);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        numbers.0.lock().unwrap().clear();
        assert_eq!(numbers.get(&named, 2).await, Some(2));
        assert_eq!(numbers.0.lock().unwrap()[..], [], "it was still there");
        tokio::time::advance(super::super::cache::STALE_AFTER).await;
        assert_eq!(numbers.get(&named, 2).await, Some(2));
        assert_eq!(numbers.0.lock().unwrap()[..], [(2, Asked::Known)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_exist_is_remembered_for_a_while() {
        let (named, numbers) = (Named::new(4, 4), Numbers::default());
        for _ in 0..10 {
            assert_eq!(numbers.get(&named, 1).await, None);
        }
        assert_eq!(numbers.0.lock().unwrap()[..], [(1, Asked::Stranger)]);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_strangers_ask_the_places_of_the_known_stay_free() {
        // a server that takes connections and never says a word
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://{}/none", listener.local_addr().unwrap());
        let patient = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_secs(3600));
        let keys = KeyRing::parse(&KeyRing::generate().unwrap()).unwrap();
        let directory = Directory::new(patient.connect_lazy(&url).unwrap(), keys);
        let ask = async || {
            let account = PspAccountId::new();
            tokio::time::timeout(Duration::from_secs(60), directory.webhook_account(account)).await
        };
        let answers = join_all((0..50).map(|_| ask())).await;
        let busy = |error: &MerchantError| matches!(error, MerchantError::SharedLookup(error) if matches!(**error, MerchantError::Busy));
        let refused = answers.iter().filter(|answer| matches!(answer, Ok(Err(error)) if busy(error))).count();
        assert_eq!(refused, 50 - LOOKUPS_OF_STRANGERS, "the others wait for the database");
        assert_eq!(directory.source.lookups.available_permits(), LOOKUPS);
    }
}
