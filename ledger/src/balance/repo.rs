use money::{AccountId, MerchantId, TransactionId};
use sqlx::{PgExecutor, PgPool, PgTransaction};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::ROLL_UP_BATCH;
use crate::Error;

/// An account with its balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountBalance {
    /// Its id.
    pub account_id: AccountId,
    /// Its code, such as `seller_pending/s-1`.
    pub code: String,
    /// Its currency.
    pub currency: String,
    /// asset, liability, income, cost or clearing.
    pub kind: String,
    /// 1 where a debit adds, -1 where a credit adds.
    pub normal_side: i16,
    /// Signed minor units: debits less credits.
    pub balance: i64,
}

/// Which accounts to list.
#[derive(Debug, Clone, Default)]
pub struct AccountFilter {
    /// Only in this currency.
    pub currency: Option<String>,
    /// Only those with one of these codes.
    pub codes: Option<Vec<String>>,
    /// Only those after this code and currency.
    pub after: Option<(String, String)>,
    /// At most so many; none: all.
    pub limit: Option<u16>,
}

/// A movement of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountMovement {
    /// The transaction it is part of.
    pub transaction_id: TransactionId,
    /// Which of its entries it is.
    pub entry_no: i16,
    /// The account's code.
    pub code: String,
    /// Its currency.
    pub currency: String,
    /// What the transaction is about.
    pub source_type: String,
    /// Which row of that sort.
    pub source_id: Uuid,
    /// Which posting of it.
    pub kind: String,
    /// The day it counts.
    pub effective_date: Date,
    /// When we learned of it.
    pub recorded_at: OffsetDateTime,
    /// Signed minor units: a debit is positive.
    pub amount: i64,
}

/// The balances of the accounts of a group, such as all `seller_pending/...`, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTotal {
    /// The first part of the accounts' codes.
    pub group: String,
    /// Their currency.
    pub currency: String,
    /// asset, liability, income, cost or clearing.
    pub kind: String,
    /// The sum of the debit balances, in minor units.
    pub debits: i64,
    /// The sum of the credit balances, in minor units.
    pub credits: i64,
}

pub(super) async fn totals_now(pool: &PgPool, merchant: MerchantId) -> Result<Vec<GroupTotal>, sqlx::Error> {
    sqlx::query_as!(
        GroupTotal,
        r#"select split_part(a.code, '/', 1) as "group!", a.currency as "currency!", a.kind as "kind!",
                coalesce(sum(greatest(s.balance, 0)), 0)::bigint as "debits!",
                coalesce(sum(greatest(-s.balance, 0)), 0)::bigint as "credits!"
         from ledger_account a
         join (
             select account_id, sum(amount) as balance
             from (select account_id, balance as amount from ledger_balance where merchant_id = $1
                   union all
                   select account_id, amount from ledger_balance_delta where merchant_id = $1) parts
             group by account_id
         ) s on s.account_id = a.account_id
         where a.merchant_id = $1
         group by 1, 2, 3 order by 2, 1"#,
        merchant.as_uuid(),
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn totals_as_of(
    pool: &PgPool,
    merchant: MerchantId,
    day: Date,
) -> Result<Vec<GroupTotal>, sqlx::Error> {
    sqlx::query_as!(
        GroupTotal,
        r#"select split_part(a.code, '/', 1) as "group!", a.currency as "currency!", a.kind as "kind!",
                coalesce(sum(greatest(s.balance, 0)), 0)::bigint as "debits!",
                coalesce(sum(greatest(-s.balance, 0)), 0)::bigint as "credits!"
         from ledger_account a
         join (
             select e.account_id, sum(e.amount) as balance
             from ledger_entry e
             join ledger_transaction t on t.merchant_id = $1 and t.transaction_id = e.transaction_id
             where e.merchant_id = $1 and t.effective_date <= $2
             group by e.account_id
         ) s on s.account_id = a.account_id
         where a.merchant_id = $1
         group by 1, 2, 3 order by 2, 1"#,
        merchant.as_uuid(),
        day,
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn read(
    executor: impl PgExecutor<'_>,
    merchant: MerchantId,
    ids: &[AccountId],
) -> Result<Vec<(AccountId, i64)>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select b.account_id as "account_id: AccountId",
                (b.balance + coalesce((select sum(d.amount) from ledger_balance_delta d
                    where d.merchant_id = $1 and d.account_id = b.account_id), 0))::bigint as "balance!"
         from ledger_balance b where b.merchant_id = $1 and b.account_id = any($2)"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account_id, row.balance)).collect())
}

pub(super) async fn list_now(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &super::AccountFilter,
) -> Result<Vec<AccountBalance>, sqlx::Error> {
    let (after_code, after_currency) = filter.after.clone().unzip();
    sqlx::query_as!(
        AccountBalance,
        r#"select a.account_id as "account_id: AccountId", a.code, a.currency, a.kind, a.normal_side,
                (b.balance + coalesce((select sum(d.amount) from ledger_balance_delta d
                    where d.merchant_id = $1 and d.account_id = a.account_id), 0))::bigint as "balance!"
         from ledger_account a
         join ledger_balance b on b.merchant_id = $1 and b.account_id = a.account_id
         where a.merchant_id = $1
           and ($2::text is null or a.currency = $2)
           and ($3::text[] is null or a.code = any($3))
           and ($4::text is null or (a.code, a.currency) > ($4, $5))
         order by a.code, a.currency
         limit $6"#,
        merchant.as_uuid(),
        filter.currency,
        filter.codes.as_deref(),
        after_code,
        after_currency,
        filter.limit.map(i64::from),
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn list_as_of(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &super::AccountFilter,
    day: Date,
) -> Result<Vec<AccountBalance>, sqlx::Error> {
    let (after_code, after_currency) = filter.after.clone().unzip();
    sqlx::query_as!(
        AccountBalance,
        r#"select a.account_id as "account_id: AccountId", a.code, a.currency, a.kind, a.normal_side,
                coalesce((select sum(e.amount) from ledger_entry e
                    join ledger_transaction t on t.merchant_id = $1 and t.transaction_id = e.transaction_id
                    where e.merchant_id = $1 and e.account_id = a.account_id and t.effective_date <= $7),
                    0)::bigint as "balance!"
         from ledger_account a
         where a.merchant_id = $1
           and ($2::text is null or a.currency = $2)
           and ($3::text[] is null or a.code = any($3))
           and ($4::text is null or (a.code, a.currency) > ($4, $5))
         order by a.code, a.currency
         limit $6"#,
        merchant.as_uuid(),
        filter.currency,
        filter.codes.as_deref(),
        after_code,
        after_currency,
        filter.limit.map(i64::from),
        day,
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn movements(
    pool: &PgPool,
    merchant: MerchantId,
    accounts: &[AccountId],
    before: Option<(TransactionId, i16)>,
    limit: u16,
) -> Result<Vec<AccountMovement>, sqlx::Error> {
    let (before_transaction, before_entry) =
        before.map_or((Uuid::max(), i16::MAX), |(transaction, entry)| (transaction.as_uuid(), entry));
    let accounts: Vec<Uuid> = accounts.iter().map(|id| id.as_uuid()).collect();
    sqlx::query_as!(
        AccountMovement,
        r#"select t.transaction_id as "transaction_id: TransactionId", e.entry_no, a.code, a.currency, t.source_type, t.source_id,
                t.kind, t.effective_date, t.recorded_at, e.amount
         from unnest($2::uuid[]) as moved (account_id)
         cross join lateral (
             select transaction_id, entry_no, amount from ledger_entry
             where merchant_id = $1 and account_id = moved.account_id and (transaction_id, entry_no) < ($3, $4)
             -- in the index's order, which knows no entry numbers
             order by transaction_id desc fetch first $5 rows with ties
         ) e
         join ledger_transaction t on t.merchant_id = $1 and t.transaction_id = e.transaction_id
         join ledger_account a on a.merchant_id = $1 and a.account_id = moved.account_id
         order by e.transaction_id desc, e.entry_no desc
         limit $5"#,
        merchant.as_uuid(),
        &accounts,
        before_transaction,
        before_entry,
        i64::from(limit),
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn merchants_with_deltas(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    // one index probe per merchant, however many deltas there are
    sqlx::query_scalar!(
        r#"select m.merchant_id as "merchant_id: MerchantId" from merchant m
         cross join lateral (select 1 from ledger_balance_delta d where d.merchant_id = m.merchant_id limit 1) due"#
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn roll_up(tx: &mut PgTransaction<'_>, merchant: MerchantId) -> Result<u64, Error> {
    // Rivals skip each other's deltas, and lock the balances in one order (that of the map) before they add to them.
    let taken = sqlx::query!(
        r#"select account_id as "account_id: AccountId", delta_id, amount from ledger_balance_delta
         where merchant_id = $1 order by account_id, delta_id limit $2
         for update skip locked"#,
        merchant.as_uuid(),
        ROLL_UP_BATCH,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut sums: std::collections::BTreeMap<Uuid, i64> = std::collections::BTreeMap::new();
    for delta in &taken {
        *sums.entry(delta.account_id.as_uuid()).or_default() += delta.amount;
    }
    let accounts: Vec<Uuid> = sums.keys().copied().collect();
    let amounts: Vec<i64> = sums.into_values().collect();
    sqlx::query!(
        "select b.account_id from unnest($2::uuid[]) as k (account_id)
         cross join lateral (
             select account_id from ledger_balance
             where merchant_id = $1 and account_id = k.account_id for no key update
         ) b",
        merchant.as_uuid(),
        &accounts,
    )
    .fetch_all(&mut **tx)
    .await?;
    let moved = sqlx::query!(
        "update ledger_balance b set balance = b.balance + s.amount
         from unnest($2::uuid[], $3::bigint[]) as s (account_id, amount)
         cross join lateral (
             select ctid from ledger_balance where merchant_id = $1 and account_id = s.account_id offset 0
         ) locked
         where b.ctid = locked.ctid",
        merchant.as_uuid(),
        &accounts,
        &amounts,
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    let delta_accounts: Vec<Uuid> = taken.iter().map(|delta| delta.account_id.as_uuid()).collect();
    let delta_ids: Vec<Uuid> = taken.iter().map(|delta| delta.delta_id).collect();
    let deleted = sqlx::query!(
        "delete from ledger_balance_delta d
         using unnest($2::uuid[], $3::uuid[]) as g (account_id, delta_id)
         cross join lateral (
             select ctid from ledger_balance_delta
             where merchant_id = $1 and account_id = g.account_id and delta_id = g.delta_id offset 0
         ) locked
         where d.ctid = locked.ctid",
        merchant.as_uuid(),
        &delta_accounts,
        &delta_ids,
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if moved != accounts.len() as u64 || deleted != taken.len() as u64 {
        return Err(Error::BalanceLost { expected: accounts.len() as i64, moved: moved as i64 });
    }
    Ok(deleted)
}
