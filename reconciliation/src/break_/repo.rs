use money::{BreakId, MerchantId, OperationId, PspAccountId};
use sqlx::PgTransaction;
use time::Date;
use uuid::Uuid;

use super::NewBreak;

pub(super) async fn insert(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    breaks: &[NewBreak],
) -> Result<u64, sqlx::Error> {
    let mut breaks: Vec<(Uuid, &NewBreak)> =
        breaks.iter().map(|new| (new.id(merchant).as_uuid(), new)).collect();
    // rivals insert in one order
    breaks.sort_by_key(|(id, _)| *id);
    let column = |of: fn(&NewBreak) -> Option<&str>| -> Vec<Option<String>> {
        breaks.iter().map(|(_, new)| of(new).map(str::to_owned)).collect()
    };
    let ids: Vec<Uuid> = breaks.iter().map(|(id, _)| *id).collect();
    let accounts: Vec<Option<Uuid>> =
        breaks.iter().map(|(_, new)| new.at.psp_account_id().map(|id| id.as_uuid())).collect();
    let banks: Vec<Option<Uuid>> =
        breaks.iter().map(|(_, new)| new.at.bank_account_id().map(|id| id.as_uuid())).collect();
    let arose_on: Vec<Date> = breaks.iter().map(|(_, new)| new.arose_on).collect();
    let bank_entries: Vec<Option<Uuid>> =
        breaks.iter().map(|(_, new)| new.bank_entry_id.map(|id| id.as_uuid())).collect();
    let expected: Vec<Option<i64>> = breaks.iter().map(|(_, new)| new.expected).collect();
    let found: Vec<Option<i64>> = breaks.iter().map(|(_, new)| new.found.map(|money| money.minor)).collect();
    let files: Vec<Option<Uuid>> =
        breaks.iter().map(|(_, new)| new.line.map(|(file, _)| file.as_uuid())).collect();
    let lines: Vec<Option<i32>> = breaks.iter().map(|(_, new)| new.line.map(|(_, line)| line)).collect();
    let operations: Vec<Option<Uuid>> =
        breaks.iter().map(|(_, new)| new.operation_id.map(|id| id.as_uuid())).collect();
    let payments: Vec<Option<Uuid>> =
        breaks.iter().map(|(_, new)| new.payment_id.map(|id| id.as_uuid())).collect();
    let bookings: Vec<Option<Uuid>> =
        breaks.iter().map(|(_, new)| new.booking_id.map(|id| id.as_uuid())).collect();
    let inserted = sqlx::query!(
        "insert into recon_break (merchant_id, break_id, psp_account_id, kind, subject, currency, expected, found,
             found_currency, file_id, line_no, psp_line_id, psp_reference, operation_id, payment_id, order_id, booking_id,
             detail, bank_account_id, bank_entry_id, payout_id, arose_on, state, opened_at)
         select $1, b.break_id, b.psp_account_id, b.kind, b.subject, b.currency, b.expected, b.found,
             b.found_currency, b.file_id, b.line_no, b.psp_line_id, b.psp_reference, b.operation_id, b.payment_id,
             b.order_id, b.booking_id, b.detail, b.bank_account_id, b.bank_entry_id, b.payout_id,
             b.arose_on, 'open', now()
         from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[],
             $10::uuid[], $11::int[], $12::text[], $13::text[], $14::uuid[], $15::uuid[], $16::text[], $17::uuid[],
             $18::text[], $19::uuid[], $20::uuid[], $21::text[], $22::date[])
             as b (break_id, psp_account_id, kind, subject, currency, expected, found, found_currency, file_id, line_no,
                   psp_line_id, psp_reference, operation_id, payment_id, order_id, booking_id, detail, bank_account_id,
                   bank_entry_id, payout_id, arose_on)
         on conflict (merchant_id, break_id) do nothing",
        merchant.as_uuid(),
        &ids,
        &accounts as &[Option<Uuid>],
        &column(|new| Some(new.kind.as_str())) as &[Option<String>],
        &column(|new| Some(&new.subject)) as &[Option<String>],
        &column(|new| Some(new.currency.code())) as &[Option<String>],
        &expected as &[Option<i64>],
        &found as &[Option<i64>],
        &column(|new| new.found.map(|money| money.currency.code())) as &[Option<String>],
        &files as &[Option<Uuid>],
        &lines as &[Option<i32>],
        &column(|new| new.psp_line_id.as_deref()) as &[Option<String>],
        &column(|new| new.psp_reference.as_deref()) as &[Option<String>],
        &operations as &[Option<Uuid>],
        &payments as &[Option<Uuid>],
        &column(|new| new.order_id.as_deref()) as &[Option<String>],
        &bookings as &[Option<Uuid>],
        &column(|new| Some(&new.detail)) as &[Option<String>],
        &banks as &[Option<Uuid>],
        &bank_entries as &[Option<Uuid>],
        &column(|new| new.payout_id.as_deref()) as &[Option<String>],
        &arose_on,
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected())
}

/// A break that a later file explains.
pub(super) struct Found {
    pub break_id: BreakId,
    /// A person has moved its money.
    pub is_adjusted: bool,
}

/// The breaks of these operations that were missing, or of which nobody knew how they ended, unless they were closed for
/// good.
pub(super) async fn missing_of(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[OperationId],
) -> Result<Vec<Found>, sqlx::Error> {
    let operations: Vec<Uuid> = operations.iter().map(|id| id.as_uuid()).collect();
    sqlx::query_as!(
        Found,
        r#"select break_id as "break_id: BreakId", state = 'closed' as "is_adjusted!" from recon_break
         where merchant_id = $1 and operation_id = any($2) and kind in ('missing_at_psp', 'stale_unknown')
           and (state = 'open' or closed_how = 'adjusted')
         order by break_id for no key update"#,
        merchant.as_uuid(),
        &operations,
    )
    .fetch_all(&mut **tx)
    .await
}

/// The breaks of an account's operations that were missing and are matched, unless they were closed for good.
pub(super) async fn missing_and_matched(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<Vec<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        r#"select break_id as "break_id: BreakId", state = 'closed' as "is_adjusted!" from recon_break b
         where b.merchant_id = $1 and b.psp_account_id = $2 and b.kind = 'missing_at_psp'
           and (b.state = 'open' or b.closed_how = 'adjusted')
           and exists (select 1 from recon_match m
               join settleable_operation o on o.merchant_id = $1 and o.operation_id = m.operation_id and o.effect = m.effect
               where m.merchant_id = $1 and m.about_id = coalesce(b.payment_id, b.operation_id)
                 and m.operation_id = b.operation_id and m.revoked_at is null)
         order by b.break_id for no key update"#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await
}

/// The open breaks of an account's operations of which nobody knew how they ended, and which have.
pub(super) async fn stale_and_ended(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<Vec<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        r#"select break_id as "break_id: BreakId", false as "is_adjusted!" from recon_break b
         where b.merchant_id = $1 and b.psp_account_id = $2 and b.kind = 'stale_unknown' and b.state = 'open'
           and not exists (select 1 from settleable_unknown u
               where u.merchant_id = $1 and u.operation_id = b.operation_id)
         order by b.break_id for no key update"#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await
}

/// The open breaks of bank entries and payouts that are matched, whole.
pub(super) async fn banked(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
) -> Result<Vec<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        r#"select break_id as "break_id: BreakId", false as "is_adjusted!" from recon_break b
         where b.merchant_id = $1 and b.state = 'open'
           and (exists (select 1 from bank_entry e
                    where e.merchant_id = $1 and e.entry_id = b.bank_entry_id and e.open = 0)
                or exists (select 1 from settlement_payout p
                    where p.merchant_id = $1 and p.psp_account_id = b.psp_account_id and p.payout_id = b.payout_id
                      and p.currency = b.currency and p.open = 0))
         order by b.break_id for no key update"#,
        merchant.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await
}

/// Closes open breaks, and notes that nobody did.
pub(super) async fn close(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    breaks: &[BreakId],
    because: &str,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = breaks.iter().map(|id| id.as_uuid()).collect();
    sqlx::query!(
        "with closed as (
             update recon_break set state = 'closed', closed_how = 'itself', closed_because = $3, closed_at = now()
             where merchant_id = $1 and break_id = any($2) and state = 'open' returning break_id
         )
         insert into recon_break_act (merchant_id, break_id, act_no, kind, note, actor)
         select $1, c.break_id, 1 + coalesce((select max(a.act_no) from recon_break_act a
             where a.merchant_id = $1 and a.break_id = c.break_id), 0), 'closed', $3, 'system'
         from closed c",
        merchant.as_uuid(),
        &ids,
        because,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
