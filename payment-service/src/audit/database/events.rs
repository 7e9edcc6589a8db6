//! Webhooks that came (I9, I14) and events that go (I10).

use std::time::Duration;

use money::MerchantId;
use sqlx::PgConnection;

use super::{Counted, Figure, Found, in_ms};

/// That an event is applied at most once is its primary key; that it was applied rightly shows in its operation. A late
/// success is applied as a break.
pub(super) async fn webhook_agrees(
    db: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with applied as (
             select event_id, applied_to, applied_as from webhook_event
             where merchant_id = $1 and status = 'applied' and applied_to is not null
         ), offender as (
             select a.event_id as id
             from applied a
             left join operation o on o.merchant_id = $1 and o.operation_id = a.applied_to
             where case a.applied_as
                        -- it may have been taken back since
                        when 'succeeded' then o.status in ('succeeded', 'reversed')
                        when 'arrived' then exists (
                            select from payout y where y.merchant_id = $1 and y.payout_id = o.payout_id
                              and y.status in ('paid', 'returned'))
                        when 'late_success' then exists (
                            select from recon_break b where b.merchant_id = $1 and b.kind = 'late_success'
                              and b.operation_id = o.operation_id)
                        when 'twice' then exists (
                            select from recon_break b where b.merchant_id = $1
                              and b.kind in ('captured_twice', 'refunded_twice', 'paid_out_twice') and b.operation_id = o.operation_id)
                        else o.status = a.applied_as end is not true
         )
         select (select count(*) from applied) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// What comes after the event that ended an operation changes nothing and is stale; a late success says so.
pub(super) async fn webhook_once(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with ended as (
             select applied_to::text as id, count(*) as times
             from webhook_event where merchant_id = $1 and status = 'applied' and applied_to is not null and detail is null
             group by applied_to, applied_as
         ), offender as (select id from ended where times > 1)
         select (select count(*) from ended) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn left_open(
    db: &mut PgConnection,
    merchant: MerchantId,
    age: Duration,
) -> Result<Found, sqlx::Error> {
    let row = sqlx::query!(
        r#"with open as (
             select event_id, status, received_at < now() - $2::bigint * interval '1 millisecond' as old
             from webhook_event
             where merchant_id = $1 and status in ('pending', 'parked', 'quarantined')
         ), offender as (select status || ' ' || event_id as id from open where old)
         select (select count(*) from webhook_event where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!",
                (select count(*) from open where not old) as "younger!""#,
        merchant.as_uuid(),
        in_ms(age),
    )
    .fetch_one(db)
    .await?;
    let found =
        Found { looked: row.looked, offending: row.offending, offenders: row.offenders, ..Found::default() };
    Ok(found.with("open_and_younger", Figure::Sum(row.younger)))
}

pub(super) async fn published_in_order(
    db: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with step as (
             select subject_id, version, published_at, lag(published_at) over one as before,
                    row_number() over one as place
             from payment_event where merchant_id = $1
             window one as (partition by subject_id order by version)
         ), offender as (
             select distinct subject_id::text as id from step
             where published_at is not null and place > 1 and (before is null or before > published_at)
         )
         select (select count(*) from step where published_at is not null) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn event_id_once(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with offender as (
             select event_id::text as id from payment_event where merchant_id = $1
             group by event_id having count(*) > 1
         )
         select (select count(*) from payment_event where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// Without brokers nothing is published and all waits; whether there are any shows in a relay having had its lease.
pub(super) async fn outbox_age(
    db: &mut PgConnection,
    merchant: MerchantId,
    age: Duration,
) -> Result<Found, sqlx::Error> {
    let row = sqlx::query!(
        r#"with waiting as (
             select subject_id, version, recorded_at from payment_event
             where merchant_id = $1 and published_at is null
         ), offender as (
             select subject_id || '/' || version as id, recorded_at from waiting
             where recorded_at < now() - $2::bigint * interval '1 millisecond'
               and exists (select from relay_lease where merchant_id = $1)
         )
         select (select count(*) from waiting) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by recorded_at limit 5) as "offenders!",
                coalesce((select extract(epoch from now() - min(recorded_at)) from waiting), 0)::bigint as "oldest_s!",
                exists (select from relay_lease where merchant_id = $1) as "relayed!""#,
        merchant.as_uuid(),
        in_ms(age),
    )
    .fetch_one(db)
    .await?;
    let note = (!row.relayed && row.looked > 0).then(|| "no relay has ever published".to_owned());
    let found = Found {
        looked: row.looked,
        offending: row.offending,
        offenders: row.offenders,
        note,
        ..Found::default()
    };
    Ok(found.with("oldest_s", Figure::Max(row.oldest_s)))
}
