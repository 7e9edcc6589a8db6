use std::time::Duration;

use money::MerchantId;
use sqlx::PgPool;

pub(super) async fn reap(
    pool: &PgPool,
    merchant: MerchantId,
    age: Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let age_s = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    let reaped = sqlx::query!(
        "delete from idempotency_key where merchant_id = $1 and idempotency_key in (
             select idempotency_key from idempotency_key
             where merchant_id = $1 and created_at < now() - $2::bigint * interval '1 second'
               and response_status is not null and response_status <> 202
             order by created_at limit $3
             for update skip locked)",
        merchant.as_uuid(),
        age_s,
        limit,
    )
    .execute(pool)
    .await?;
    Ok(reaped.rows_affected())
}

pub(super) async fn accept(pool: &PgPool, merchant: MerchantId, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update idempotency_key set response_status = 202, response_body = ''
         where merchant_id = $1 and idempotency_key = $2 and response_status is null",
        merchant.as_uuid(),
        key,
    )
    .execute(pool)
    .await?;
    Ok(())
}
