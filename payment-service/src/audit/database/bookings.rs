//! I8 and I15: what payments and settlements should have in the ledger, and what they have.

use money::MerchantId;
use sqlx::PgConnection;

use super::{Counted, Found};

/// Legs compared one by one: what should be booked by a capture and how it falls on the splits, and what is.
pub(super) async fn capture_posted(
    db: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with captured as (
             select o.operation_id, o.psp_account_id, o.currency, o.amount
             from operation o join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
             where o.merchant_id = $1 and o.status = 'succeeded'
               and (o.kind = 'capture' or o.kind = 'authorize' and p.capture_method = 'automatic')
         ), leg as (
             select operation_id, 'psp_receivable/' || psp_account_id as code, currency, amount from captured
             union all
             select c.operation_id, 'seller_pending/' || s.seller_id, c.currency, s.platform_fee - s.amount
             from captured c join settleable_split s on s.merchant_id = $1 and s.operation_id = c.operation_id
             union all
             select c.operation_id, 'platform_fees', c.currency, -s.platform_fee
             from captured c join settleable_split s on s.merchant_id = $1 and s.operation_id = c.operation_id
         ), expected as (
             select operation_id, code, currency, sum(amount) as amount
             from leg group by operation_id, code, currency having sum(amount) <> 0
         ), booked as (
             select t.source_id as operation_id, a.code, e.currency, sum(e.amount) as amount
             from ledger_transaction t
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = t.transaction_id
             join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             where t.merchant_id = $1 and t.source_type = 'operation' and t.kind = 'capture'
             group by t.source_id, a.code, e.currency
         ), offender as (
             select distinct coalesce(x.operation_id, b.operation_id)::text as id
             from expected x
             full join booked b on b.operation_id = x.operation_id and b.code = x.code and b.currency = x.currency
             where x.amount is distinct from b.amount
         )
         select (select count(*) from captured) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// What a refund holds of its sellers from its claim on, and what its end does. Where the held money came from and goes
/// back to depends on what was settled then: that it adds up is the ledger's own law.
pub(super) async fn refund_posted(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with refund as (
             select operation_id, payment_id, psp_account_id, currency, amount, status
             from operation where merchant_id = $1 and kind = 'refund'
         ), share as (
             select r.*, s.seller_id, x.amount - x.platform_fee as net, x.platform_fee as fee
             from refund r
             join operation_split x on x.merchant_id = $1 and x.operation_id = r.operation_id
             join payment_split s on s.merchant_id = $1 and s.payment_id = r.payment_id and s.split_no = x.split_no
         ), leg as (
             select operation_id, 'refund_reserve' as kind, 'seller_held/' || seller_id as code, currency, -net as amount
             from share
             union all
             select operation_id, 'refund', 'seller_held/' || seller_id, currency, net
             from share where status in ('succeeded', 'reversed')
             union all
             select operation_id, 'refund', 'platform_fees', currency, fee
             from share where status in ('succeeded', 'reversed')
             union all
             select operation_id, 'refund', 'psp_receivable/' || psp_account_id, currency, -amount
             from refund where status in ('succeeded', 'reversed')
             union all
             select operation_id, 'refund_return', 'seller_held/' || seller_id, currency, net
             from share where status = 'declined'
             union all
             select operation_id, 'refund_reversal', 'platform_fees', currency, -fee
             from share where status = 'reversed'
             union all
             select operation_id, 'refund_reversal', 'psp_receivable/' || psp_account_id, currency, amount
             from refund where status = 'reversed'
         ), expected as (
             select operation_id, kind, code, currency, sum(amount) as amount
             from leg group by operation_id, kind, code, currency having sum(amount) <> 0
         ), booked as (
             select t.source_id as operation_id, t.kind, a.code, e.currency, sum(e.amount) as amount
             from ledger_transaction t
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = t.transaction_id
             join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             where t.merchant_id = $1 and t.source_type = 'operation'
               and t.kind in ('refund_reserve', 'refund', 'refund_return', 'refund_reversal')
               and (a.code like 'seller\_held/%' or a.code = 'platform_fees' or a.code like 'psp\_receivable/%')
             group by t.source_id, t.kind, a.code, e.currency
         ), offender as (
             select distinct coalesce(x.operation_id, b.operation_id)::text as id
             from expected x
             full join booked b on b.operation_id = x.operation_id and b.kind = x.kind and b.code = x.code
                  and b.currency = x.currency
             where x.amount is distinct from b.amount
         )
         select (select count(*) from refund) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn posted_once(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with posting as (
             select source_type || ' ' || source_id || ' ' || kind as id, count(*) as times
             from ledger_transaction where merchant_id = $1
             group by source_type, source_id, kind
         ), offender as (select id from posting where times > 1)
         select (select count(*) from posting) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// Only a line that says exactly what we captured releases its sellers' parts; what leaves their pending money arrives
/// in the rest of their wallets.
pub(super) async fn settlement_moved(
    db: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with part as (
             select m.booking_id, 'seller_pending/' || s.seller_id as code, s.amount - s.platform_fee as amount
             from recon_match m
             join settleable_split s on s.merchant_id = $1 and s.operation_id = m.operation_id
             where m.merchant_id = $1 and m.revoked_at is null and m.released
             union all
             -- less what refunds and disputes had taken by then, and had not given back
             select m.booking_id, 'seller_pending/' || s.seller_id, -d.amount
             from recon_match m
             join capture_draw d on d.merchant_id = $1 and d.capture_id = m.operation_id
                  and d.returned_to is distinct from 'pending'
             join operation c on c.merchant_id = $1 and c.operation_id = d.capture_id
             join payment_split s on s.merchant_id = $1 and s.payment_id = c.payment_id and s.split_no = d.split_no
             where m.merchant_id = $1 and m.revoked_at is null and m.released
         ), expected as (
             select booking_id, code, sum(amount) as amount from part group by booking_id, code having sum(amount) <> 0
         ), moved as (
             select b.booking_id, a.code, sum(e.amount) as amount
             from settlement_booking b
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = b.transaction_id
             join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             where b.merchant_id = $1 and a.code like 'seller\_%'
             group by b.booking_id, a.code
         ), offender as (
             select distinct coalesce(x.booking_id, m.booking_id)::text as id
             from expected x
             full join (select * from moved where code like 'seller\_pending/%') m
                 on m.booking_id = x.booking_id and m.code = x.code
             where x.amount is distinct from m.amount
             union
             select booking_id::text from moved
             group by booking_id, split_part(code, '/', 2) having sum(amount) <> 0
         )
         select (select count(*) from settlement_booking where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn clearing(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with part as (
             select 'psp_receivable/' || o.psp_account_id as code, o.currency, o.amount as expected, 0::bigint as booked
             from operation o join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
             where o.merchant_id = $1 and o.status = 'succeeded'
               and (o.kind = 'capture' or o.kind = 'authorize' and p.capture_method = 'automatic')
             union all
             -- one that was taken back has come to nothing
             select 'psp_receivable/' || psp_account_id, currency, -amount, 0
             from operation where merchant_id = $1 and kind = 'refund' and status = 'succeeded'
             union all
             select 'psp_receivable/' || psp_account_id, currency, -amount, 0
             from payout where merchant_id = $1 and status = 'paid'
             union all
             select 'payout_clearing', currency, -amount, 0 from payout where merchant_id = $1 and status = 'in_transit'
             union all
             select 'psp_receivable/' || o.psp_account_id, o.currency,
                    case when m.effect in ('refund', 'payout') then m.allocated else -m.allocated end, 0
             from recon_match m join operation o on o.merchant_id = $1 and o.operation_id = m.operation_id
             where m.merchant_id = $1 and m.revoked_at is null
             union all
             -- what banks took with the PSP's fee, and what came back
             select 'psp_receivable/' || psp_account_id, currency,
                    case funds when 'returned' then returned_fee - fee else -amount - fee end, 0
             from dispute where merchant_id = $1 and funds <> 'left'
             union all
             select 'psp_receivable/' || d.psp_account_id, d.currency,
                    case m.effect when 'chargeback' then m.allocated + d.fee else -m.allocated - d.returned_fee end, 0
             from recon_match m join dispute d on d.merchant_id = $1 and d.dispute_id = m.operation_id
             where m.merchant_id = $1 and m.revoked_at is null and m.allocated > 0
             union all
             select 'suspense', currency, -suspense, 0 from settlement_booking where merchant_id = $1
             union all
             -- what came to a bank, until it is known to be a payout
             select moved.code, a.currency, moved.amount, 0
             from bank_booking b
             join bank_statement s on s.merchant_id = $1 and s.statement_id = b.statement_id
             join bank_account a on a.merchant_id = $1 and a.bank_account_id = s.bank_account_id
             cross join lateral (values ('bank_cash', b.amount), ('suspense', -b.amount)) as moved (code, amount)
             where b.merchant_id = $1
             union all
             select 'payout_in_transit/' || psp_account_id, currency, amount, 0
             from settlement_payout where merchant_id = $1
             union all
             select moved.code, m.currency, moved.amount, 0
             from bank_match m
             cross join lateral (values ('suspense', m.allocated),
                 ('payout_in_transit/' || m.psp_account_id, -m.allocated)) as moved (code, amount)
             where m.merchant_id = $1 and m.revoked_at is null
             union all
             -- what people moved to where it belongs
             select moved.code, a.currency, moved.amount, 0
             from recon_adjustment a
             cross join lateral (values (a.from_account, -a.amount), (a.to_account, a.amount)) as moved (code, amount)
             where a.merchant_id = $1 and a.reversed_by is null
               and (moved.code in ('suspense', 'payout_clearing') or moved.code like 'psp\_receivable/%'
                    or moved.code like 'payout\_in\_transit/%')
             union all
             select a.code, e.currency, 0, e.amount
             from ledger_account a join ledger_entry e on e.merchant_id = $1 and e.account_id = a.account_id
             where a.merchant_id = $1 and (a.code in ('suspense', 'payout_clearing', 'bank_cash') or a.code like 'psp\_receivable/%'
                    or a.code like 'payout\_in\_transit/%')
         ), account as (
             select code, currency, sum(expected) as expected, sum(booked) as booked from part group by code, currency
         ), offender as (
             select code || ' ' || currency || ': ' || booked || ' instead of ' || expected as id
             from account where expected <> booked
         )
         select (select count(*) from account) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}
