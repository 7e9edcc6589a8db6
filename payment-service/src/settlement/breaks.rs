//! What people do about breaks over the API, once for each key.

use money::{ApiKeyId, BreakId, MerchantId};
use reconciliation::break_::{self, Act, Actor, Refused};
use sqlx::PgPool;

use crate::idempotency::{self, Begun, Fingerprint, IdempotencyKey};

/// Why an act was not written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The break could not be worked on.
    #[error("the break could not be worked on")]
    Break(#[from] break_::Error),
}

/// Does something about a break. Answers with the break as it then is, as JSON, and whether an earlier request had that
/// answer.
///
/// # Errors
/// When Postgres fails. Nothing was changed then.
pub async fn act(
    pool: &PgPool,
    merchant: MerchantId,
    (key, fingerprint): (&IdempotencyKey, &Fingerprint),
    break_id: BreakId,
    act: &Act,
    by: ApiKeyId,
) -> Result<Result<Begun, Refused>, Error> {
    let mut tx = pool.begin().await?;
    let known = idempotency::look_in_tx(&mut tx, merchant, key, fingerprint).await?;
    if known != Begun::Fresh {
        return Ok(Ok(known));
    }
    let name = sqlx::query_scalar!(
        "select name from api_key where merchant_id = $1 and api_key_id = $2",
        merchant.as_uuid(),
        by.as_uuid(),
    )
    .fetch_one(&mut *tx)
    .await?;
    if let Err(refused) = break_::act_in_tx(&mut tx, merchant, break_id, act, &Actor::Key(name)).await? {
        return Ok(Err(refused));
    }
    let Some(now) = break_::get_in_tx(&mut tx, merchant, break_id).await? else {
        return Ok(Err(Refused::NotFound));
    };
    // strings and numbers cannot fail to serialise
    let body = serde_json::to_string(&now).unwrap_or_default();
    if !idempotency::keep_in_tx(&mut tx, merchant, key, fingerprint, 201, &body).await? {
        return Ok(Ok(Begun::InFlight));
    }
    tx.commit().await?;
    Ok(Ok(Begun::Answered { status: 201, body, replayed: false }))
}
