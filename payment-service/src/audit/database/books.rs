//! I3 to I5: the ledger by itself.

use money::MerchantId;
use sqlx::PgConnection;

use super::{Counted, Figure, Found};

pub(super) async fn zero_sum(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with per_currency as (
             select transaction_id, sum(amount) as sum from ledger_entry
             where merchant_id = $1 group by transaction_id, currency
         ), per_transaction as (
             select transaction_id, bool_and(sum = 0) as balanced from per_currency group by transaction_id
         ), offender as (select transaction_id::text as id from per_transaction where not balanced)
         select (select count(*) from per_transaction) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn legs(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with head as (
             select transaction_id from ledger_transaction where merchant_id = $1
         ), body as (
             select transaction_id, count(*) as entries from ledger_entry
             where merchant_id = $1 group by transaction_id
         ), whole as (
             select coalesce(head.transaction_id, body.transaction_id) as transaction_id,
                    head.transaction_id is not null as headed, coalesce(body.entries, 0) as entries
             from head full join body on body.transaction_id = head.transaction_id
         ), offender as (select transaction_id::text as id from whole where not headed or entries < 2)
         select (select count(*) from whole) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn entry_currency(
    db: &mut PgConnection,
    merchant: MerchantId,
) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with offender as (
             select e.transaction_id || '/' || e.entry_no as id
             from ledger_entry e
             left join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             where e.merchant_id = $1 and a.currency is distinct from e.currency
         )
         select (select count(*) from ledger_entry where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// An account that moved and has no balance offends too: its movements have nowhere to go.
pub(super) async fn balances(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with part as (
             select account_id, balance as kept, 0 as booked, 1 as balances from ledger_balance where merchant_id = $1
             union all
             select account_id, amount, 0, 0 from ledger_balance_delta where merchant_id = $1
             union all
             select account_id, 0, amount, 0 from ledger_entry where merchant_id = $1
             union all
             select account_id, 0, 0, 0 from ledger_account where merchant_id = $1
         ), account as (
             select account_id, sum(kept) as kept, sum(booked) as booked, sum(balances) as balances
             from part group by account_id
         ), offender as (
             select coalesce(a.code || ' ' || a.currency, o.account_id::text) as id
             from account o
             left join ledger_account a on a.merchant_id = $1 and a.account_id = o.account_id
             where o.kept <> o.booked or o.balances = 0
         )
         select (select count(*) from account) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn trial_balance(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with part as (
             select account_id, balance as amount from ledger_balance where merchant_id = $1
             union all
             select account_id, amount from ledger_balance_delta where merchant_id = $1
         )
         select coalesce(a.currency, 'no account') as "currency!", sum(part.amount)::text as "sum!"
         from part left join ledger_account a on a.merchant_id = $1 and a.account_id = part.account_id
         group by 1 order by 1"#,
        merchant.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    let mut found = Found::default();
    for row in rows {
        found.judge(row.sum == "0", || format!("{} {}", row.sum, row.currency));
        let sum = row.sum.parse().unwrap_or(i64::MAX);
        found = found.with(&format!("sum_{}", row.currency.to_lowercase()), Figure::Sum(sum));
    }
    Ok(found)
}

pub(super) async fn floors(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with delta as (
             select account_id, sum(amount) as amount from ledger_balance_delta
             where merchant_id = $1 group by account_id
         ), wallet as (
             select a.code || ' ' || a.currency as id, b.floored and b.normal_side = a.normal_side as guarded,
                    (b.balance + coalesce(d.amount, 0)) * a.normal_side as balance
             from ledger_account a
             left join ledger_balance b on b.merchant_id = $1 and b.account_id = a.account_id
             left join delta d on d.account_id = a.account_id
             where a.merchant_id = $1 and a.code like 'seller\_%'
         ), offender as (select id from wallet where guarded is false or balance < 0)
         select (select count(*) from wallet) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}
