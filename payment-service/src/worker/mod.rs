//! The work that no request waits for: each worker is a round that says whether there was anything to do, and a dull
//! loop around it.

mod loops;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use money::MerchantId;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;
use crate::merchant::{Directory, MerchantError};
use crate::{idempotency, operation, settlement, webhook};

/// What one round of a worker came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was something to do; there may be more.
    Busy,
    /// There was nothing to do, or nothing more.
    Idle,
}

impl Outcome {
    fn busy_if(busy: bool) -> Self {
        if busy { Self::Busy } else { Self::Idle }
    }
}

/// Why a round failed. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The ledger failed.
    #[error("the ledger failed")]
    Ledger(#[from] ledger::Error),
    /// The merchants could not be listed.
    #[error("the merchants could not be listed")]
    Merchants(#[from] MerchantError),
    /// Settlement lines could not be applied.
    #[error("settlement lines could not be applied")]
    Settlement(#[from] settlement::Error),
    /// Operations could not be taken over.
    #[error("operations could not be taken over")]
    Operation(#[from] operation::Error),
    /// A defect of ours, which the panic's own message tells.
    #[error("the work panicked")]
    Panicked,
}

/// What the workers share.
#[derive(Clone)]
pub struct Workers {
    /// The database.
    pub pool: PgPool,
    /// The same, for the statements of every payment.
    pub hot: PgPool,
    /// What finishes operations.
    pub engine: Engine,
    /// Where PSP accounts are found.
    pub directory: Arc<Directory>,
    /// Rung when a webhook was committed, so that it is applied at once.
    pub inbox_bell: Arc<Notify>,
    /// How old a completed idempotency key may get.
    pub key_age: Duration,
}

/// Merchants that a worker is busy with at once: more than are likely to have a PSP that hangs.
const MERCHANTS_AT_ONCE: usize = 32;

/// How many keys one round deletes of a merchant.
const REAP_BATCH: i64 = 1000;

impl Workers {
    /// Starts all of them; they end, between two rounds, when `stop` is cancelled.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        let every = Duration::from_millis;
        let this = self.clone();
        loops::start(tasks, stop, "resolver", every(250), None, move || this.clone().resolve());
        let (this, bell) = (self.clone(), Arc::clone(&self.inbox_bell));
        loops::start(tasks, stop, "inbox", every(500), Some(bell), move || this.clone().apply_webhooks());
        let this = self.clone();
        loops::start(tasks, stop, "settlement", every(1000), None, move || this.clone().settle());
        let this = self.clone();
        loops::start(tasks, stop, "roll-up", every(1000), None, move || this.clone().roll_up());
        let this = self.clone();
        loops::start(tasks, stop, "reaper", every(60_000), None, move || this.clone().reap());
    }

    /// Finds out what became of operations that were left unfinished.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn resolve(self) -> Result<Outcome, Error> {
        let this = &self;
        let due = operation::merchants_with_due(&this.hot).await?;
        each(due, |merchant| async move {
            let resolved = this.engine.resolve(&this.directory, merchant).await?;
            Ok(Outcome::busy_if(resolved.taken > 0))
        })
        .await
    }

    /// Applies the webhooks that wait in the inbox.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn apply_webhooks(self) -> Result<Outcome, Error> {
        let this = &self;
        let due = webhook::merchants_with_due(&this.hot).await?;
        each(due, |merchant| async move {
            let applied = webhook::apply_due(&this.hot, &this.engine, merchant).await?;
            Ok(Outcome::busy_if(applied > 0))
        })
        .await
    }

    /// Applies what settlement lines prove, and settles them.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn settle(self) -> Result<Outcome, Error> {
        let this = &self;
        let due = settlement::merchants_with_due(&this.pool).await?;
        each(due, |merchant| async move {
            Ok(Outcome::busy_if(settlement::run_once(&this.pool, &this.engine, merchant).await?))
        })
        .await
    }

    /// Rolls the movements of hot accounts up into their balances.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn roll_up(self) -> Result<Outcome, Error> {
        let this = &self;
        let due = ledger::balance::merchants_to_roll_up(&this.hot).await?;
        each(due, |merchant| async move {
            let rolled = ledger::balance::roll_up(&this.hot, merchant).await?;
            Ok(Outcome::busy_if(rolled == ledger::balance::ROLL_UP_BATCH.cast_unsigned()))
        })
        .await
    }

    /// Deletes idempotency keys that nobody will repeat any more.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn reap(self) -> Result<Outcome, Error> {
        let this = &self;
        let all = crate::merchant::list(&this.pool).await?;
        each(all.into_iter().map(|merchant| merchant.merchant_id), |merchant| async move {
            let reaped = idempotency::reap(&this.pool, merchant, this.key_age, REAP_BATCH).await?;
            Ok(Outcome::busy_if(reaped == REAP_BATCH.cast_unsigned()))
        })
        .await
    }
}

/// Does a round's work for each merchant, many side by side, so that few wait for another's PSP; none fails with another.
async fn each<F>(
    merchants: impl IntoIterator<Item = MerchantId, IntoIter: Send>,
    work: impl Fn(MerchantId) -> F,
) -> Result<Outcome, Error>
where
    F: Future<Output = Result<Outcome, Error>>,
{
    // caught: a panic would drop what is under way for the others, in the middle of whatever they do
    let caught = |merchant| {
        AssertUnwindSafe(work(merchant)).catch_unwind().map(|ended| ended.unwrap_or(Err(Error::Panicked)))
    };
    let mut under_way = stream::iter(merchants).map(caught).buffer_unordered(MERCHANTS_AT_ONCE);
    let (mut busy, mut failed) = (false, None);
    while let Some(outcome) = under_way.next().await {
        match outcome {
            Ok(outcome) => busy |= outcome == Outcome::Busy,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a round failed for a merchant");
                failed = Some(error);
            }
        }
    }
    match failed {
        // nobody waits out another's failure
        Some(error) if !busy => Err(error),
        _ => Ok(Outcome::busy_if(busy)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_merchant_that_fails_takes_nothing_from_the_others() {
        let merchants: Vec<MerchantId> = (0..10).map(|_| MerchantId::new()).collect();
        let seen = Mutex::new(Vec::new());
        let round = each(merchants.clone(), |merchant| {
            seen.lock().unwrap().push(merchant);
            let fails = merchant == merchants[1];
            let panics = merchant == merchants[2];
            async move {
                assert!(!panics, "as it should");
                if fails { Err(Error::Database(sqlx::Error::PoolClosed)) } else { Ok(Outcome::Busy) }
            }
        })
        .await;
        assert_eq!(round.ok(), Some(Outcome::Busy), "there is more to do for the others");
        assert_eq!(*seen.lock().unwrap(), merchants);
        let round = each(merchants, |_| async { Err(Error::Database(sqlx::Error::PoolClosed)) }).await;
        assert!(round.is_err(), "it is waited out");
    }
}
