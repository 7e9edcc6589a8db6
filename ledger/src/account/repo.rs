use money::{AccountId, Currency, MerchantId};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::Account;

pub(super) struct Row {
    pub account_id: AccountId,
    code: String,
    currency: Currency,
    kind: &'static str,
    normal_side: i16,
    floored: bool,
}

impl Row {
    pub fn of(merchant: MerchantId, account: &Account, currency: Currency) -> Self {
        Self {
            account_id: account.id(merchant, currency),
            code: account.to_string(),
            currency,
            kind: account.kind().as_str(),
            normal_side: account.kind().normal_side(),
            floored: account.is_floored(),
        }
    }
}

/// `rows` are sorted by id.
pub(super) async fn insert_missing(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.account_id.as_uuid()).collect();
    let codes: Vec<&str> = rows.iter().map(|row| row.code.as_str()).collect();
    let currencies: Vec<&str> = rows.iter().map(|row| row.currency.code()).collect();
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind).collect();
    let sides: Vec<i16> = rows.iter().map(|row| row.normal_side).collect();
    let floored: Vec<bool> = rows.iter().map(|row| row.floored).collect();
    sqlx::query!(
        "insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
         select $1, a.account_id, a.code, a.currency, a.kind, a.normal_side
         from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[])
             with ordinality as a (account_id, code, currency, kind, normal_side, position)
         order by a.position
         on conflict do nothing",
        merchant.as_uuid(),
        &ids,
        &codes as &[&str],
        &currencies as &[&str],
        &kinds as &[&str],
        &sides,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into ledger_balance (merchant_id, account_id, normal_side, floored)
         select $1, b.account_id, b.normal_side, b.floored
         from unnest($2::uuid[], $3::smallint[], $4::bool[])
             with ordinality as b (account_id, normal_side, floored, position)
         order by b.position
         on conflict (merchant_id, account_id) do nothing",
        merchant.as_uuid(),
        &ids,
        &sides,
        &floored,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn exists(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: AccountId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from ledger_account where merchant_id = $1 and account_id = $2) as "exists!""#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_one(&mut **tx)
    .await
}
