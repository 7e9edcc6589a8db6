use std::collections::HashSet;

use money::{BookingId, Currency, FileId, MerchantId, PspAccountId, TransactionId};
use sqlx::PgTransaction;
use time::Date;

use super::{Implied, Sum};
use crate::run::{Error, currency};

/// Those of the named payouts that are booked as what their lines come to.
pub(crate) async fn implied_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    names: &[&str],
) -> Result<HashSet<String>, sqlx::Error> {
    if names.is_empty() {
        return Ok(HashSet::new());
    }
    let implied = sqlx::query_scalar!(
        "select payout_id from settlement_payout
         where merchant_id = $1 and psp_account_id = $2 and payout_id = any($3) and implied <> 0",
        merchant.as_uuid(),
        account.as_uuid(),
        names as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(implied.into_iter().collect())
}

/// Adds what lines say of a payout. False when it is implied and they say that it was sent.
pub(super) async fn tell(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    (payout_id, currency): (&str, Currency),
    sum: &Sum,
) -> Result<bool, sqlx::Error> {
    let told = sqlx::query!(
        "insert into settlement_payout as p (merchant_id, psp_account_id, payout_id, currency, told, implied, has_line,
             reference, arrives_on, created_at)
         values ($1, $2, $3, $4, $5, 0, $6, $7, $8, now())
         on conflict (merchant_id, psp_account_id, payout_id, currency) do update set
             told = p.told + excluded.told, has_line = p.has_line or excluded.has_line,
             reference = coalesce(p.reference, excluded.reference),
             arrives_on = case when excluded.has_line then excluded.arrives_on else p.arrives_on end
         where p.implied = 0 or not excluded.has_line",
        merchant.as_uuid(),
        account.as_uuid(),
        payout_id,
        currency.code(),
        sum.minor,
        sum.has_line,
        sum.reference,
        sum.arrives_on,
    )
    .execute(&mut **tx)
    .await?;
    Ok(told.rows_affected() == 1)
}

/// The payouts that lines of this file are part of and that have no line of their own, where their lines come to more or
/// less than is booked as paid out. Of lines that wait it is known what they come to.
pub(super) async fn open_by_lines(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    file: FileId,
) -> Result<Vec<Implied>, Error> {
    let rows = sqlx::query!(
        r#"with named as (
             select distinct payout_id from settlement_booking
             where merchant_id = $1 and file_id = $3 and psp_account_id = $2 and payout_id is not null
             union
             select l.payout_id from settlement_evidence e
             join settlement_line l on l.merchant_id = e.merchant_id and l.psp_account_id = e.psp_account_id
                  and l.psp_line_id = e.psp_line_id
             where e.merchant_id = $1 and e.file_id = $3 and e.settled_at is null and l.payout_id is not null
         ), part as (
             select b.payout_id, b.currency, b.balance_change as minor, b.payout_on as arrives_on
             from named n
             join settlement_booking b on b.merchant_id = $1 and b.psp_account_id = $2 and b.payout_id = n.payout_id
             union all
             select l.payout_id, l.currency, l.net, l.value_date
             from settlement_evidence e
             join settlement_line l on l.merchant_id = e.merchant_id and l.psp_account_id = e.psp_account_id
                  and l.psp_line_id = e.psp_line_id
             where e.merchant_id = $1 and e.psp_account_id = $2 and e.settled_at is null
               and l.payout_id in (select payout_id from named)
         )
         select payout_id as "payout_id!", currency as "currency!", sum(minor)::bigint as "minor!",
                max(arrives_on) as "arrives_on!: Date"
         from part p
         where not exists (select 1 from settlement_payout s
             where s.merchant_id = $1 and s.psp_account_id = $2 and s.payout_id = p.payout_id and s.has_line)
         group by payout_id, currency having sum(minor) <> 0 and max(arrives_on) is not null
         order by payout_id, currency"#,
        merchant.as_uuid(),
        account.as_uuid(),
        file.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let implied = rows.into_iter().map(|row| {
        let currency = currency(&row.currency)?;
        Ok(Implied { payout_id: row.payout_id, currency, minor: row.minor, arrives_on: row.arrives_on })
    });
    implied.collect()
}

/// Adds what the lines of a payout come to. False when a line says meanwhile that it was sent.
pub(super) async fn imply(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    payout: &Implied,
) -> Result<bool, sqlx::Error> {
    let implied = sqlx::query!(
        "insert into settlement_payout as p (merchant_id, psp_account_id, payout_id, currency, told, implied, has_line,
             reference, arrives_on, created_at)
         values ($1, $2, $3, $4, 0, $5, false, null, $6, now())
         on conflict (merchant_id, psp_account_id, payout_id, currency) do update set
             implied = p.implied + excluded.implied, arrives_on = excluded.arrives_on
         where not p.has_line",
        merchant.as_uuid(),
        account.as_uuid(),
        payout.payout_id,
        payout.currency.code(),
        payout.minor,
        payout.arrives_on,
    )
    .execute(&mut **tx)
    .await?;
    Ok(implied.rows_affected() == 1)
}

/// The booking of a payout, beside those of the file's lines.
pub(super) async fn insert_booking(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    file: FileId,
    (id, transaction): (BookingId, TransactionId),
    payout: &Implied,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into settlement_booking (merchant_id, booking_id, file_id, chunk_no, psp_account_id, payout_id, currency,
             late, implied, transaction_id, lines, matched, captures, refunds, chargebacks, adjustments, fee_lines, payouts,
             seller_payouts, fees, suspense, payout_on, booked_at)
         values ($1, $2, $3, 1, $4, $5, $6, false, true, $7, 0, 0, 0, 0, 0, 0, 0, $8, 0, 0, 0, $9, now())",
        merchant.as_uuid(),
        id.as_uuid(),
        file.as_uuid(),
        account.as_uuid(),
        payout.payout_id,
        payout.currency.code(),
        transaction.as_uuid(),
        -payout.minor,
        payout.arrives_on,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
