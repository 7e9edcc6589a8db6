//! Claiming: idempotency key, payment, first operation and event in one commit, before anything is sent.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use money::{MerchantId, OperationId, PaymentId};
use sqlx::{PgPool, PgTransaction};

use super::{Error, authorize_id, claim_repo as repo};
use crate::failpoint::Failpoint;
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

/// Claims all of `claims`, which are one merchant's, and answers in their order. Costs one round trip where each is an
/// order's first; the rest take the longer way of [`claim_in_tx`].
///
/// # Errors
/// When Postgres fails. What was committed before is found by whoever claims again.
pub async fn claim(pool: &PgPool, merchant: MerchantId, claims: &[Claim]) -> Result<Vec<Claimed>, Error> {
    let made = match repo::insert_first_payments(pool, merchant, claims).await {
        Err(error) if repo::is_used_key(&error) => HashSet::new(),
        made => made?,
    };
    let is_made = |claim: &Claim| made.contains(&claim.payment.payment_id.as_uuid());
    let rest: Vec<Claim> = claims.iter().filter(|claim| !is_made(claim)).cloned().collect();
    let mut others = Vec::new();
    if !rest.is_empty() {
        let mut tx = pool.begin().await?;
        others = claim_in_tx(&mut tx, merchant, &rest).await?;
        Failpoint::Claiming.pass_for("authorize").await?;
        tx.commit().await?;
    }
    let mut others = others.into_iter();
    let answer = |claim: &Claim| if is_made(claim) { Some(fresh(merchant, claim, 1)) } else { others.next() };
    Ok(claims.iter().map_while(answer).collect())
}

/// What a request with this key was answered, or whether it is another one's; none where the key is new. Changes nothing.
///
/// # Errors
/// When Postgres fails.
pub async fn earlier(
    pool: &PgPool,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
) -> Result<Option<Claimed>, Error> {
    repo::read_earlier(pool, merchant, key, fingerprint, None).await
}

fn fresh(merchant: MerchantId, claim: &Claim, ordinal: i32) -> Claimed {
    Claimed::Fresh { operation_id: authorize_id(merchant, &claim.payment.order_id, ordinal), fence: 1 }
}

/// Claims all of `claims`, whatever their keys and orders went through before. Round trips: two when all are new; one
/// more for each that is not.
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
            inserted.ordinal_of(claim.payment.payment_id).map(|ordinal| fresh(merchant, claim, ordinal))
        })
        .collect();
    for (claim, result) in claims.iter().zip(&mut results).filter(|(_, result)| result.is_none()) {
        *result = Some(if inserted.has_key(claim.payment.payment_id) {
            repo::refuse_taken_order(tx, merchant, claim).await?
        } else {
            let own = Some(&*claim.payment);
            let earlier =
                repo::read_earlier(&mut **tx, merchant, &claim.key, &claim.fingerprint, own).await?;
            earlier.unwrap_or(Claimed::Again)
        });
    }
    Ok(results.into_iter().flatten().collect())
}
