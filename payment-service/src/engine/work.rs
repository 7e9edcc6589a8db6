//! The transactions of a payment, as work for batchers.

use money::MerchantId;
use sqlx::PgPool;

use super::batcher::Work;
use crate::operation::{self, Claim, Claimed, Error, Follow, Followed, Recorded, Recording};
use crate::payout::{self, NewPayout};

/// How often a transaction is run that lost a deadlock or its connection. Each kind may be run again whatever became
/// of the first commit: a claim finds its own row, a recording finds the operation ended.
const TRIES: u32 = 3;

/// Runs a transaction until it did not fail by chance, a few times at most.
async fn surely<T, F>(run: impl Fn() -> F + Send) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>> + Send,
{
    let mut tries = 1;
    loop {
        match run().await {
            Err(error) if error.is_transient() && tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Whether a batch that failed so may contain members that do not fail by themselves.
fn is_of_a_member(error: &Error) -> bool {
    !error.is_transient() || error.is_of_a_row()
}

pub(super) struct ClaimWork {
    pub pool: PgPool,
}

impl Work for ClaimWork {
    type Item = Claim;
    type Output = Claimed;
    type Error = Error;

    async fn run(&self, merchant: MerchantId, items: &[Claim]) -> Result<Vec<Claimed>, Error> {
        surely(|| operation::claim(&self.pool, merchant, items)).await
    }

    fn worth_splitting(error: &Error) -> bool {
        is_of_a_member(error)
    }
}

pub(super) struct FollowWork {
    pub pool: PgPool,
}

impl Work for FollowWork {
    type Item = Follow;
    type Output = Followed;
    type Error = Error;

    async fn run(&self, merchant: MerchantId, items: &[Follow]) -> Result<Vec<Followed>, Error> {
        surely(|| operation::follow(&self.pool, merchant, items)).await
    }

    fn worth_splitting(error: &Error) -> bool {
        is_of_a_member(error)
    }
}

pub(super) struct PayoutWork {
    pub pool: PgPool,
}

impl Work for PayoutWork {
    type Item = NewPayout;
    type Output = payout::Claimed;
    type Error = Error;

    async fn run(&self, merchant: MerchantId, items: &[NewPayout]) -> Result<Vec<payout::Claimed>, Error> {
        surely(|| payout::claim(&self.pool, merchant, items)).await
    }

    fn worth_splitting(error: &Error) -> bool {
        is_of_a_member(error)
    }
}

pub(super) struct RecordWork {
    pub pool: PgPool,
}

impl Work for RecordWork {
    type Item = Recording;
    type Output = Recorded;
    type Error = Error;

    async fn run(&self, merchant: MerchantId, items: &[Recording]) -> Result<Vec<Recorded>, Error> {
        surely(|| operation::record(&self.pool, merchant, items)).await
    }

    fn worth_splitting(error: &Error) -> bool {
        is_of_a_member(error)
    }
}
