//! I8: what disputes should have in the ledger and on their payments, and what they have.

use money::MerchantId;
use sqlx::PgConnection;

use super::{Counted, Found};

/// The legs that do not depend on what sellers had then, compared one by one; and the sums on payments and splits.
pub(super) async fn posted(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with dispute as (
             select * from dispute where merchant_id = $1 and funds <> 'left'
         ), share as (
             select d.*, s.seller_id, x.split_no, x.amount as part, x.amount - x.platform_fee as net, x.platform_fee as bears
             from dispute d
             join dispute_split x on x.merchant_id = $1 and x.dispute_id = d.dispute_id
             join payment_split s on s.merchant_id = $1 and s.payment_id = d.payment_id and s.split_no = x.split_no
         ), leg as (
             select dispute_id, 'disputes' as code, currency, amount from dispute
             union all
             select dispute_id, 'psp_fees', currency, fee - returned_fee from dispute
             union all
             select dispute_id, 'psp_receivable/' || psp_account_id, currency, -amount - fee from dispute
             union all
             select dispute_id, 'seller_held/' || seller_id, currency, -net from share
             union all
             -- how it ended
             select d.dispute_id, 'disputes', d.currency, -d.amount from dispute d where d.funds <> 'taken'
             union all
             select dispute_id, 'seller_held/' || seller_id, currency, net from share where funds <> 'taken'
             union all
             select dispute_id, 'psp_receivable/' || psp_account_id, currency, amount + returned_fee
             from dispute where funds = 'returned'
             union all
             -- lost in between, it is given back as well
             select dispute_id, 'platform_fees', currency, bears from share where funds = 'lost'
         ), expected as (
             select dispute_id, code, currency, sum(amount) as amount
             from leg group by dispute_id, code, currency having sum(amount) <> 0
         ), booked as (
             select t.source_id as dispute_id, a.code, e.currency, sum(e.amount) as amount
             from ledger_transaction t
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = t.transaction_id
             join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             where t.merchant_id = $1 and t.source_type = 'dispute'
               and (a.code in ('disputes', 'psp_fees', 'platform_fees') or a.code like 'psp\_receivable/%'
                    or a.code like 'seller\_held/%')
             group by t.source_id, a.code, e.currency having sum(e.amount) <> 0
         ), counted as (
             select payment_id, sum(amount) filter (where funds <> 'returned') as amount from dispute group by payment_id
         ), part as (
             select dispute_id, sum(part) as amount from share group by dispute_id
         ), offender as (
             select coalesce(x.dispute_id, b.dispute_id)::text as id
             from expected x
             full join booked b on b.dispute_id = x.dispute_id and b.code = x.code and b.currency = x.currency
             where x.amount is distinct from b.amount
             union
             select p.payment_id::text
             from payment p left join counted c on c.payment_id = p.payment_id
             where p.merchant_id = $1 and p.disputed_amount <> coalesce(c.amount, 0)
             union
             select d.dispute_id::text from dispute d left join part x on x.dispute_id = d.dispute_id
             where x.amount is distinct from d.amount
         )
         select (select count(*) from dispute) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}
