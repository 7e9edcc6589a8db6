use std::time::Duration;

use money::{EventId, MerchantId, PaymentId, PayoutId};
use sqlx::PgPool;
use sqlx::types::{Json, JsonRawValue};
use time::OffsetDateTime;
use uuid::Uuid;

use super::relay::Oldest;

/// An event that no broker has acknowledged yet, as far as the database knows.
pub(super) struct Unpublished {
    /// What its place is counted in, and whose events are published in order: the payment or the payout.
    pub subject_id: Uuid,
    pub payment_id: Option<PaymentId>,
    pub payout_id: Option<PayoutId>,
    pub version: i32,
    pub event_id: EventId,
    pub kind: String,
    /// As it is stored: never parsed on its way through.
    pub data: Json<Box<JsonRawValue>>,
    pub recorded_at: OffsetDateTime,
}

/// A place between two events in the order they are read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub subject_id: Uuid,
    pub version: i32,
}

/// What became of a page's marks.
pub(super) struct Marks {
    /// Whether the lease was still ours, and is free now.
    pub ours: bool,
    /// Events marked.
    pub marked: usize,
}

pub(super) async fn merchants_with_unpublished(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    // one index probe per merchant, however many events there are
    sqlx::query_scalar!(
        r#"select m.merchant_id as "merchant_id: MerchantId" from merchant m
         where exists (select 1 from payment_event e
                       where e.merchant_id = m.merchant_id and e.published_at is null)"#
    )
    .fetch_all(pool)
    .await
}

/// Takes the merchant's lease if nobody has it: answers the new owner's fence.
pub(super) async fn take_lease(
    pool: &PgPool,
    merchant: MerchantId,
    lease: Duration,
) -> Result<Option<i64>, sqlx::Error> {
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    sqlx::query_scalar!(
        "insert into relay_lease as l (merchant_id, fence, lease_until)
         values ($1, 1, now() + $2::bigint * interval '1 millisecond')
         on conflict (merchant_id) do update set fence = l.fence + 1, lease_until = excluded.lease_until
             where l.lease_until <= now()
         returning fence",
        merchant.as_uuid(),
        lease_ms,
    )
    .fetch_optional(pool)
    .await
}

/// A merchant's unpublished events after a position. A subject's versions grow under its row lock, so one snapshot
/// that shows a version shows all before it: what is read of a subject has no gaps.
pub(super) async fn unpublished(
    pool: &PgPool,
    merchant: MerchantId,
    after: Position,
    limit: i64,
) -> Result<Vec<Unpublished>, sqlx::Error> {
    sqlx::query_as!(
        Unpublished,
        r#"select subject_id, payment_id as "payment_id: PaymentId", payout_id as "payout_id: PayoutId", version, event_id as "event_id: EventId", type as kind,
                data as "data: Json<Box<JsonRawValue>>", recorded_at
         from payment_event
         where merchant_id = $1 and published_at is null and (subject_id, version) > ($2, $3)
         order by subject_id, version limit $4"#,
        merchant.as_uuid(),
        after.subject_id,
        after.version,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// Marks what was acknowledged and gives the lease back, in one statement: who no longer has the lease marks nothing.
pub(super) async fn mark_and_release(
    pool: &PgPool,
    merchant: MerchantId,
    fence: i64,
    acknowledged: &[Position],
) -> Result<Marks, sqlx::Error> {
    let subjects: Vec<_> = acknowledged.iter().map(|event| event.subject_id).collect();
    let versions: Vec<_> = acknowledged.iter().map(|event| event.version).collect();
    let row = sqlx::query!(
        r#"with mine as (
             update relay_lease set lease_until = now()
             where merchant_id = $1 and fence = $2
             returning fence
         ), marked as (
             update payment_event e set published_at = now()
             from mine, unnest($3::uuid[], $4::int[]) as a (subject_id, version)
             where e.merchant_id = $1 and e.subject_id = a.subject_id and e.version = a.version
               and e.published_at is null
             returning e.version
         )
         select exists (select from mine) as "ours!", (select count(*) from marked) as "marked!""#,
        merchant.as_uuid(),
        fence,
        &subjects,
        &versions,
    )
    .fetch_one(pool)
    .await?;
    Ok(Marks { ours: row.ours, marked: usize::try_from(row.marked).unwrap_or_default() })
}

pub(super) async fn oldest_unpublished(pool: &PgPool) -> Result<Option<Oldest>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select m.merchant_id as "merchant_id: MerchantId", e.subject_id,
                e.event_id as "event_id: EventId", e.recorded_at,
                (extract(epoch from clock_timestamp() - e.recorded_at) * 1000)::bigint as "age_ms!"
         from merchant m cross join lateral (
             select subject_id, event_id, recorded_at from payment_event
             where merchant_id = m.merchant_id and published_at is null
             order by recorded_at limit 1
         ) e
         order by e.recorded_at limit 1"#
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Oldest {
        merchant_id: row.merchant_id,
        subject_id: row.subject_id,
        event_id: row.event_id,
        recorded_at: row.recorded_at,
        age: Duration::from_millis(u64::try_from(row.age_ms).unwrap_or_default()),
    }))
}
