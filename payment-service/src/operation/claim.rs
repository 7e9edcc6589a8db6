//! Claiming: idempotency key, payment, first operation and event in one transaction, before anything is sent.

use std::sync::Arc;
use std::time::Duration;

use money::{MerchantId, OperationId, PaymentId};
use sqlx::PgTransaction;

use super::{Error, authorize_id, claim_repo as repo};
use crate::http::request_id::RequestId;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::payment::NewPayment;

/// A request to be claimed.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The client's key.
    pub key: IdempotencyKey,
    /// What the request was.
    pub fingerprint: Fingerprint,
    /// What it asks for.
    pub payment: Arc<NewPayment>,
    /// How long the claimer may send.
    pub lease: Duration,
    /// The request's own id, for the answer that a taken order is given.
    pub request_id: Option<RequestId>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours to send.
    Fresh {
        /// What is sent.
        operation_id: OperationId,
        /// Our fence.
        fence: i64,
    },
    /// It was answered before; the answer, byte for byte.
    Replay {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// It was accepted before (202) and is still being worked on.
    Accepted {
        /// The payment that it made.
        payment_id: PaymentId,
    },
    /// Somebody is working on it now, and nobody has been answered.
    InFlight,
    /// The key belongs to another request.
    OtherRequest {
        /// The first field that differs.
        field: &'static str,
    },
    /// The order has a live payment. The key is used up with this answer.
    OrderTaken {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// The order's state changed under the claim, which left nothing behind: claim again.
    Again,
}

/// Claims all of `claims`, which are one merchant's, and answers in their order. Round trips: two when all are new;
/// one more when some are not.
///
/// # Errors
/// When Postgres fails.
pub async fn claim_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    claims: &[Claim],
) -> Result<Vec<Claimed>, Error> {
    let inserted = repo::insert_keys_and_payments(tx, merchant, claims).await?;
    let made: Vec<(&Claim, i32)> = claims
        .iter()
        .filter_map(|claim| inserted.ordinal_of(claim.payment.payment_id).map(|ordinal| (claim, ordinal)))
        .collect();
    repo::insert_operations(tx, merchant, &made).await?;
    let mut results: Vec<Option<Claimed>> = claims
        .iter()
        .map(|claim| {
            let ordinal = inserted.ordinal_of(claim.payment.payment_id)?;
            Some(Claimed::Fresh {
                operation_id: authorize_id(merchant, &claim.payment.order_id, ordinal),
                fence: 1,
            })
        })
        .collect();
    for (claim, result) in claims.iter().zip(&mut results).filter(|(_, result)| result.is_none()) {
        *result = Some(if inserted.has_key(claim.payment.payment_id) {
            repo::refuse_taken_order(tx, merchant, claim).await?
        } else {
            repo::read_earlier(tx, merchant, claim).await?
        });
    }
    Ok(results.into_iter().flatten().collect())
}
