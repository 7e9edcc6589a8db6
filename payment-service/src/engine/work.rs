//! The transactions of a payment, as work for batchers.

use money::MerchantId;
use sqlx::PgPool;

use super::batcher::Work;
use crate::operation::{self, Claim, Claimed, Follow, Followed, Recorded, Recording};
use crate::payout::{self, NewPayout};

/// How often a transaction is run that lost a deadlock or its connection. Both kinds may be run again whatever became
/// of the first commit: a claim finds its own row, a recording finds the operation ended.
const TRIES: u32 = 3;

pub(super) struct ClaimWork {
    pub pool: PgPool,
}

impl Work for ClaimWork {
    type Item = Claim;
    type Output = Claimed;
    type Error = operation::Error;

    async fn run(&self, merchant: MerchantId, items: &[Claim]) -> Result<Vec<Claimed>, operation::Error> {
        let mut tries = 1;
        loop {
            match operation::claim(&self.pool, merchant, items).await {
                Err(error) if error.is_transient() && tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    fn worth_splitting(error: &operation::Error) -> bool {
        !error.is_transient() || error.is_of_a_row()
    }
}

pub(super) struct FollowWork {
    pub pool: PgPool,
}

impl Work for FollowWork {
    type Item = Follow;
    type Output = Followed;
    type Error = operation::Error;

    async fn run(&self, merchant: MerchantId, items: &[Follow]) -> Result<Vec<Followed>, operation::Error> {
        let mut tries = 1;
        loop {
            match operation::follow(&self.pool, merchant, items).await {
                Err(error) if error.is_transient() && tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    fn worth_splitting(error: &operation::Error) -> bool {
        !error.is_transient() || error.is_of_a_row()
    }
}

pub(super) struct PayoutWork {
    pub pool: PgPool,
}

impl Work for PayoutWork {
    type Item = NewPayout;
    type Output = payout::Claimed;
    type Error = operation::Error;

    async fn run(
        &self,
        merchant: MerchantId,
        items: &[NewPayout],
    ) -> Result<Vec<payout::Claimed>, operation::Error> {
        let mut tries = 1;
        loop {
            match payout::claim(&self.pool, merchant, items).await {
                Err(error) if error.is_transient() && tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    fn worth_splitting(error: &operation::Error) -> bool {
        !error.is_transient() || error.is_of_a_row()
    }
}

pub(super) struct RecordWork {
    pub pool: PgPool,
}

impl Work for RecordWork {
    type Item = Recording;
    type Output = Recorded;
    type Error = operation::Error;

    async fn run(
        &self,
        merchant: MerchantId,
        items: &[Recording],
    ) -> Result<Vec<Recorded>, operation::Error> {
        let mut tries = 1;
        loop {
            match operation::record(&self.pool, merchant, items).await {
                Err(error) if error.is_transient() && tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    fn worth_splitting(error: &operation::Error) -> bool {
        !error.is_transient() || error.is_of_a_row()
    }
}
