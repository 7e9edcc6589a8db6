//! The ledger's writes. Lock and write are separate statements, because waiting for a lock does not refresh the
//! snapshot of the statement that waits.

use money::{AccountId, Currency, MerchantId, TransactionId};
use sqlx::PgTransaction;
use time::Date;
use uuid::Uuid;

use super::{Posted, Posting};
use crate::Error;
use crate::account::Account;

/// Locks the floored balances among `ids`, unless some of `ids` do not exist: whoever makes those holds no lock yet, or
/// the locks that it would take after them would break the order. Answers how many of `ids` exist.
pub(super) async fn lock(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    ids: &[AccountId],
) -> Result<usize, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    // The order by may not go: it is what keeps two batches from waiting for each other.
    let found = sqlx::query!(
        r#"with present as materialized (
             select count(*) as n from unnest($2::uuid[]) as k (account_id)
             cross join lateral (
                 select 1 from ledger_balance where merchant_id = $1 and account_id = k.account_id offset 0
             ) b
         ), sorted as materialized (
             select k.account_id from unnest($2::uuid[]) as k (account_id)
             where (select n from present) = cardinality($2)
             order by k.account_id
         ), locked as (
             select b.account_id from sorted k
             cross join lateral (
                 select account_id from ledger_balance
                 where merchant_id = $1 and account_id = k.account_id and floored
                 for no key update
             ) b
         )
         select n as "n!", (select count(*) from locked) as "locked!" from present"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(usize::try_from(found.n).unwrap_or_default())
}

/// The accounts that are appended to.
pub(super) fn hot_ids(merchant: MerchantId, accounts: &[(Account, Currency)]) -> Vec<Uuid> {
    accounts
        .iter()
        .filter(|(account, _)| !account.is_floored())
        .map(|(account, currency)| account.id(merchant, *currency).as_uuid())
        .collect()
}

/// Rows of a batch, column by column, as `unnest` takes them.
#[derive(Default)]
struct Columns<'a> {
    transaction_ids: Vec<Uuid>,
    source_types: Vec<&'a str>,
    source_ids: Vec<Uuid>,
    kinds: Vec<&'a str>,
    effective_dates: Vec<Date>,
    entry_transactions: Vec<Uuid>,
    entry_numbers: Vec<i16>,
    entry_accounts: Vec<Uuid>,
    entry_currencies: Vec<&'a str>,
    entry_amounts: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(merchant: MerchantId, postings: &'a [Posting]) -> Self {
        let mut columns = Self::default();
        for posting in postings {
            let transaction_id = TransactionId::new().as_uuid();
            columns.transaction_ids.push(transaction_id);
            columns.source_types.push(posting.source().table);
            columns.source_ids.push(posting.source().id);
            columns.kinds.push(posting.kind());
            columns.effective_dates.push(posting.effective());
            for (number, leg) in (0..).zip(posting.legs()) {
                columns.entry_transactions.push(transaction_id);
                columns.entry_numbers.push(number);
                columns.entry_accounts.push(leg.account.id(merchant, leg.currency).as_uuid());
                columns.entry_currencies.push(leg.currency.code());
                columns.entry_amounts.push(leg.minor);
            }
        }
        columns
    }
}

/// Writes transactions, entries and balances in one statement. The balances come from the entries that were really
/// written, grouped: one row per account, so that no movement can be dropped by a row that had to be waited for.
pub(super) async fn write(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    postings: &[Posting],
    hot: &[Uuid],
) -> Result<Vec<Posted>, Error> {
    let columns = Columns::of(merchant, postings);
    let written = sqlx::query!(
        r#"with fresh as (
             insert into ledger_transaction
                 (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
             select $1, t.transaction_id, t.source_type, t.source_id, t.kind, t.effective_date
             from unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::date[])
                 as t (transaction_id, source_type, source_id, kind, effective_date)
             order by t.source_type, t.source_id, t.kind
             on conflict (merchant_id, source_type, source_id, kind) do nothing
             returning transaction_id
         ), entry as (
             insert into ledger_entry (merchant_id, transaction_id, entry_no, account_id, currency, amount)
             select $1, e.transaction_id, e.entry_no, e.account_id, e.currency, e.amount
             from unnest($7::uuid[], $8::smallint[], $9::uuid[], $10::text[], $11::bigint[])
                 as e (transaction_id, entry_no, account_id, currency, amount)
             join fresh on fresh.transaction_id = e.transaction_id
             returning account_id, amount
         ), movement as materialized (
             select account_id, sum(amount)::bigint as amount from entry group by account_id
         ), moved as (
             update ledger_balance b set balance = b.balance + m.amount
             from movement m
             cross join lateral (
                 select ctid from ledger_balance
                 where merchant_id = $1 and account_id = m.account_id and floored offset 0
             ) locked
             where b.ctid = locked.ctid
             returning 1
         ), appended as (
             insert into ledger_balance_delta (merchant_id, account_id, delta_id, amount)
             select $1, m.account_id, $13, m.amount from movement m where m.account_id = any($12)
             returning 1
         )
         select array(select transaction_id from fresh) as "fresh!",
                (select count(*) from movement) as "expected!",
                (select count(*) from moved) + (select count(*) from appended) as "moved!""#,
        merchant.as_uuid(),
        &columns.transaction_ids,
        &columns.source_types as &[&str],
        &columns.source_ids,
        &columns.kinds as &[&str],
        &columns.effective_dates,
        &columns.entry_transactions,
        &columns.entry_numbers,
        &columns.entry_accounts,
        &columns.entry_currencies as &[&str],
        &columns.entry_amounts,
        hot,
        Uuid::now_v7(),
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(Error::from_sqlx(merchant))?;
    if written.moved != written.expected {
        return Err(Error::BalanceLost { expected: written.expected, moved: written.moved });
    }
    let fresh: std::collections::HashSet<Uuid> = written.fresh.into_iter().collect();
    Ok(columns
        .transaction_ids
        .into_iter()
        .map(
            |id| if fresh.contains(&id) { Posted::Now(TransactionId::from_uuid(id)) } else { Posted::Before },
        )
        .collect())
}
