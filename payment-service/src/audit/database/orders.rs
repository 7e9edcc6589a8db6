//! I1: at most one charge per order, by our own rows.

use money::MerchantId;
use sqlx::PgConnection;

use super::{Counted, Found};

pub(super) async fn one_live_payment(
    db: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with per_order as (
             select order_id, count(*) filter (where live) as live from payment
             where merchant_id = $1 group by order_id
         ), offender as (select order_id as id from per_order where live > 1)
         select (select count(*) from per_order) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn charged_once(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with charge as (
             select p.order_id
             from operation o join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
             where o.merchant_id = $1 and o.kind = 'authorize' and o.status in ('succeeded', 'reversed')
               and p.status not in ('voided', 'expired')
             union all
             -- what the PSP took beside, until somebody has seen to it
             select b.order_id
             from recon_break b left join operation o on o.merchant_id = $1 and o.operation_id = b.operation_id
             where b.merchant_id = $1 and b.state = 'open' and b.kind in ('late_success', 'captured_twice')
               and b.order_id is not null and coalesce(o.kind, 'authorize') = 'authorize'
         ), per_order as (
             select order_id, count(*) as charges from charge group by order_id
         ), offender as (select order_id as id from per_order where charges > 1)
         select (select count(*) from per_order) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn asked_once(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with asked as (
             select p.payment_id, count(o.operation_id) as times,
                    bool_and(o.amount = p.amount and o.currency = p.currency) as same
             from payment p
             left join operation o on o.merchant_id = $1 and o.payment_id = p.payment_id and o.kind = 'authorize'
             where p.merchant_id = $1
             group by p.payment_id
         ), offender as (select payment_id::text as id from asked where times <> 1 or not same)
         select (select count(*) from asked) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn psp_object_once(
    db: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with object as (
             select psp_reference, count(*) as operations from operation
             where merchant_id = $1 and psp_reference is not null
             group by psp_account_id, psp_reference, kind
         ), offender as (select psp_reference as id from object where operations > 1)
         select (select count(*) from object) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}
