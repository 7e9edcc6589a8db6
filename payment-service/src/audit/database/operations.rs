//! Operations: whether they and their payments agree (I7), their fences (I13), and what is left open (I14).

use std::time::Duration;

use money::MerchantId;
use sqlx::PgConnection;

use super::{Counted, Figure, Found, in_ms};

pub(super) async fn agrees(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with pair as (
             select o.operation_id, o.kind, o.status as operation, p.status as payment
             from operation o join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
             where o.merchant_id = $1
         ), sent as (
             select y.payout_id, o.status as operation, y.status as payout,
                    o.amount = y.amount and o.currency = y.currency and o.psp_account_id = y.psp_account_id as same
             from payout y left join operation o on o.merchant_id = $1 and o.payout_id = y.payout_id
             where y.merchant_id = $1
         ), offender as (
             select operation_id::text as id from pair
             where not case
                 when kind = 'authorize' then case operation
                     when 'succeeded' then payment in ('authorized', 'partially_captured', 'captured', 'voided')
                     -- what was held and not captured in time
                     when 'reversed' then payment in ('captured', 'expired')
                     when 'declined' then payment = 'failed'
                     when 'expired' then payment in ('expired', 'voided')
                     when 'requires_action' then payment = 'requires_action'
                     when 'needs_review' then payment in ('processing', 'requires_action')
                     else payment = 'processing' end
                 when kind = 'capture' and operation = 'succeeded' then payment in ('partially_captured', 'captured')
                 when kind = 'void' and operation = 'succeeded' then payment in ('voided', 'captured')
                 when kind = 'refund' then payment in ('partially_captured', 'captured')
                 else true end
             union all
             select payout_id::text from sent
             where same is not true or not case operation
                 when 'succeeded' then payout in ('in_transit', 'paid')
                 when 'reversed' then payout in ('failed', 'returned')
                 when 'declined' then payout = 'failed'
                 else payout = 'processing' end
         )
         select (select count(*) from pair) + (select count(*) from sent) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// Whether a write was refused for its fence leaves no row. What does: each take-over grew the fence, and no try was
/// made under one that had not been given.
pub(super) async fn fences(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with used as (
             select operation_id, max(fence) as fence from attempt where merchant_id = $1 group by operation_id
         ), offender as (
             select o.operation_id::text as id
             from operation o left join used u on u.operation_id = o.operation_id
             where o.merchant_id = $1 and (o.fence < 1 + o.takeovers or u.fence > o.fence)
         )
         select (select count(*) from operation where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// A try is written in the commit that applies its outcome, if its fence still holds.
pub(super) async fn owners_word(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with seen as (
             select distinct o.operation_id, o.status
             from attempt a join operation o on o.merchant_id = $1 and o.operation_id = a.operation_id
             where a.merchant_id = $1 and a.fence = o.fence and a.outcome = 'succeeded'
         ), offender as (
             select operation_id::text as id from seen where status not in ('succeeded', 'reversed')
         )
         select (select count(*) from seen) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// A buyer's time to act is the engine's to end, and what it cannot end needs review: here they are a figure only.
pub(super) async fn left_open(
    db: &mut PgConnection,
    merchant: MerchantId,
    age: Duration,
) -> Result<Found, sqlx::Error> {
    let row = sqlx::query!(
        r#"with open as (
             select operation_id, status, created_at < now() - $2::bigint * interval '1 millisecond' as old
             from operation
             where merchant_id = $1 and status in ('created', 'sending', 'unknown', 'needs_review')
         ), offender as (
             select status || ' ' || operation_id as id from open where old
             union all
             -- on its way, and nobody asks whether it is there
             select p.status || ' ' || o.operation_id
             from payout p join operation o on o.merchant_id = $1 and o.payout_id = p.payout_id
             where p.merchant_id = $1 and p.status = 'in_transit' and o.due_at is null
         )
         select (select count(*) from operation where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!",
                (select count(*) from open where not old) as "younger!",
                (select count(*) from operation where merchant_id = $1 and status = 'requires_action') as "buyers!",
                (select count(*) from payout where merchant_id = $1 and status = 'in_transit') as "banks!""#,
        merchant.as_uuid(),
        in_ms(age),
    )
    .fetch_one(db)
    .await?;
    let found =
        Found { looked: row.looked, offending: row.offending, offenders: row.offenders, ..Found::default() };
    Ok(found
        .with("open_and_younger", Figure::Sum(row.younger))
        .with("wait_for_buyers", Figure::Sum(row.buyers))
        .with("wait_for_banks", Figure::Sum(row.banks)))
}
