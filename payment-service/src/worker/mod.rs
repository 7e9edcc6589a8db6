//! The work that no request waits for: each worker is a round that says whether there was anything to do, and a dull
//! loop around it.

mod loops;

use std::sync::Arc;
use std::time::Duration;

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
}

/// What the workers share.
#[derive(Clone)]
pub struct Workers {
    /// The database.
    pub pool: PgPool,
    /// What finishes operations.
    pub engine: Engine,
    /// Where PSP accounts are found.
    pub directory: Arc<Directory>,
    /// Rung when a webhook was committed, so that it is applied at once.
    pub inbox_bell: Arc<Notify>,
    /// How old a completed idempotency key may get.
    pub key_age: Duration,
}

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
        let mut taken = 0;
        for merchant in operation::merchants_with_due(&self.pool).await? {
            taken += self.engine.resolve(&self.directory, merchant).await?.taken;
        }
        Ok(if taken > 0 { Outcome::Busy } else { Outcome::Idle })
    }

    /// Applies the webhooks that wait in the inbox.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn apply_webhooks(self) -> Result<Outcome, Error> {
        let mut applied = 0;
        for merchant in webhook::merchants_with_due(&self.pool).await? {
            applied += webhook::apply_due(&self.pool, &self.engine, merchant).await?;
        }
        Ok(if applied > 0 { Outcome::Busy } else { Outcome::Idle })
    }

    /// Applies what settlement lines prove, and settles them.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn settle(self) -> Result<Outcome, Error> {
        let mut outcome = Outcome::Idle;
        for merchant in settlement::merchants_with_due(&self.pool).await? {
            if settlement::run_once(&self.pool, &self.engine, merchant).await? {
                outcome = Outcome::Busy;
            }
        }
        Ok(outcome)
    }

    /// Rolls the movements of hot accounts up into their balances.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn roll_up(self) -> Result<Outcome, Error> {
        let mut outcome = Outcome::Idle;
        for merchant in ledger::balance::merchants_to_roll_up(&self.pool).await? {
            let rolled = ledger::balance::roll_up(&self.pool, merchant).await?;
            if rolled == ledger::balance::ROLL_UP_BATCH.cast_unsigned() {
                outcome = Outcome::Busy;
            }
        }
        Ok(outcome)
    }

    /// Deletes idempotency keys that nobody will repeat any more.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn reap(self) -> Result<Outcome, Error> {
        let mut outcome = Outcome::Idle;
        for merchant in crate::merchant::list(&self.pool).await? {
            let reaped =
                idempotency::reap(&self.pool, merchant.merchant_id, self.key_age, REAP_BATCH).await?;
            if reaped == REAP_BATCH.cast_unsigned() {
                outcome = Outcome::Busy;
            }
        }
        Ok(outcome)
    }
}
