use std::time::Duration;

use money::{MerchantId, PaymentId, PayoutId};
use sqlx::{PgPool, PgTransaction};

use crate::operation::Subject;

/// A key as it is kept.
pub(super) struct Kept {
    pub fingerprint: Vec<u8>,
    pub response_status: Option<i16>,
    pub response_body: Option<String>,
}

/// Answers whether the key was new.
pub(super) async fn insert(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &str,
    fingerprint: &[u8],
    subject: Subject,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payment_id, payout_id, created_at)
         values ($1, $2, $3, $4, $5, now())
         on conflict (merchant_id, idempotency_key) do nothing",
        merchant.as_uuid(),
        key,
        fingerprint,
        subject.payment().map(PaymentId::as_uuid),
        subject.payout().map(PayoutId::as_uuid),
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Answers whether the key was new.
pub(super) async fn insert_answered(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &str,
    fingerprint: &[u8],
    (status, body): (i16, &str),
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into idempotency_key (merchant_id, idempotency_key, fingerprint, response_status, response_body, created_at)
         values ($1, $2, $3, $4, $5, now())
         on conflict (merchant_id, idempotency_key) do nothing",
        merchant.as_uuid(),
        key,
        fingerprint,
        status,
        body,
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn read(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &str,
) -> Result<Option<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        "select fingerprint, response_status, response_body from idempotency_key
         where merchant_id = $1 and idempotency_key = $2",
        merchant.as_uuid(),
        key,
    )
    .fetch_optional(&mut **tx)
    .await
}

pub(super) async fn answer(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &str,
    status: i16,
    body: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update idempotency_key set response_status = $3, response_body = $4
         where merchant_id = $1 and idempotency_key = $2",
        merchant.as_uuid(),
        key,
        status,
        body,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn answer_about(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &str,
    about: Option<Subject>,
    status: i16,
    body: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update idempotency_key set payment_id = $3, payout_id = $4, response_status = $5, response_body = $6
         where merchant_id = $1 and idempotency_key = $2",
        merchant.as_uuid(),
        key,
        about.and_then(Subject::payment).map(PaymentId::as_uuid),
        about.and_then(Subject::payout).map(PayoutId::as_uuid),
        status,
        body,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn release(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    key: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from idempotency_key where merchant_id = $1 and idempotency_key = $2",
        merchant.as_uuid(),
        key,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

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
