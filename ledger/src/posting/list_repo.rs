//! Transactions as they are read: a page costs what is on it, however many others there are.

use money::{MerchantId, TransactionId};
use sqlx::PgPool;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::Error;

/// A transaction as it is in the books.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Its id; time-ordered.
    pub transaction_id: TransactionId,
    /// The sort of row it is about.
    pub source_type: String,
    /// Which one.
    pub source_id: Uuid,
    /// Which posting of that row it is.
    pub kind: String,
    /// The day it counts.
    pub effective_date: Date,
    /// When we learned of it.
    pub recorded_at: OffsetDateTime,
    /// Its entries; they sum to zero per currency.
    pub entries: Vec<Entry>,
}

/// One entry of a transaction.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The account's code.
    pub account: String,
    /// The account's currency.
    pub currency: String,
    /// Signed minor units: a debit is positive.
    pub amount: i64,
}

/// Which transactions to list.
#[derive(Debug, Clone, Default)]
pub struct TransactionFilter {
    /// Only those about this row.
    pub source_id: Option<Uuid>,
    /// Only those that move the account with this code.
    pub account: Option<String>,
    /// Only those older than this one.
    pub before: Option<TransactionId>,
    /// At most so many.
    pub limit: u16,
}

pub(super) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &TransactionFilter,
) -> Result<Vec<Transaction>, Error> {
    let ids = match (filter.source_id, &filter.account) {
        (Some(source), _) => ids_of_source(pool, merchant, source, filter).await?,
        (None, Some(account)) => ids_of_account(pool, merchant, account, filter).await?,
        (None, None) => newest_ids(pool, merchant, filter).await?,
    };
    Ok(read(pool, merchant, &ids).await?)
}

impl TransactionFilter {
    /// The id below which the page begins.
    fn below(&self) -> Uuid {
        self.before.map_or(Uuid::max(), TransactionId::as_uuid)
    }
}

async fn newest_ids(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &TransactionFilter,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select transaction_id from ledger_transaction
         where merchant_id = $1 and transaction_id < $2
         order by transaction_id desc limit $3",
        merchant.as_uuid(),
        filter.below(),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await
}

/// By the account's own entries: most transactions are another's.
async fn ids_of_account(
    pool: &PgPool,
    merchant: MerchantId,
    account: &str,
    filter: &TransactionFilter,
) -> Result<Vec<Uuid>, sqlx::Error> {
    // a code is an account in each currency
    sqlx::query_scalar!(
        r#"select distinct moved.transaction_id as "transaction_id!"
         from ledger_account a
         cross join lateral (
             select distinct e.transaction_id from ledger_entry e
             where e.merchant_id = $1 and e.account_id = a.account_id and e.transaction_id < $3
             order by e.transaction_id desc limit $4
         ) moved
         where a.merchant_id = $1 and a.code = $2
         order by 1 desc limit $4"#,
        merchant.as_uuid(),
        account,
        filter.below(),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await
}

/// A source has few transactions. The index on them begins with the source's type, of which there are few as well: it is
/// asked for each.
async fn ids_of_source(
    pool: &PgPool,
    merchant: MerchantId,
    source: Uuid,
    filter: &TransactionFilter,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with recursive known (source_type) as (
             (select source_type from ledger_transaction where merchant_id = $1 order by source_type limit 1)
             union all
             select (select t.source_type from ledger_transaction t
                     where t.merchant_id = $1 and t.source_type > known.source_type
                     order by t.source_type limit 1)
             from known where known.source_type is not null
         )
         select t.transaction_id as "transaction_id!"
         from known
         cross join lateral (
             select transaction_id from ledger_transaction
             where merchant_id = $1 and source_type = known.source_type and source_id = $2 offset 0
         ) t
         where t.transaction_id < $3
           and ($4::text is null or exists (
               select 1 from ledger_entry e
               join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
               where e.merchant_id = $1 and e.transaction_id = t.transaction_id and a.code = $4))
         order by 1 desc limit $5"#,
        merchant.as_uuid(),
        source,
        filter.below(),
        filter.account.as_deref(),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await
}

/// These transactions with their entries, newest first.
async fn read(pool: &PgPool, merchant: MerchantId, ids: &[Uuid]) -> Result<Vec<Transaction>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select t.transaction_id as "transaction_id: TransactionId", t.source_type, t.source_id, t.kind,
                t.effective_date, t.recorded_at, a.code, e.currency, e.amount
         from unnest($2::uuid[]) as page (transaction_id)
         cross join lateral (
             select * from ledger_transaction
             where merchant_id = $1 and transaction_id = page.transaction_id offset 0
         ) t
         cross join lateral (
             select * from ledger_entry where merchant_id = $1 and transaction_id = page.transaction_id offset 0
         ) e
         cross join lateral (
             select code from ledger_account where merchant_id = $1 and account_id = e.account_id offset 0
         ) a
         order by t.transaction_id desc, e.entry_no"#,
        merchant.as_uuid(),
        ids,
    )
    .fetch_all(pool)
    .await?;
    let mut transactions: Vec<Transaction> = Vec::new();
    for row in rows {
        let entry = Entry { account: row.code, currency: row.currency, amount: row.amount };
        match transactions.last_mut() {
            Some(last) if last.transaction_id == row.transaction_id => last.entries.push(entry),
            _ => transactions.push(Transaction {
                transaction_id: row.transaction_id,
                source_type: row.source_type,
                source_id: row.source_id,
                kind: row.kind,
                effective_date: row.effective_date,
                recorded_at: row.recorded_at,
                entries: vec![entry],
            }),
        }
    }
    Ok(transactions)
}
