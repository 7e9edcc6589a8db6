use money::{MerchantId, OperationId};
use sqlx::PgTransaction;
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
    let accounts: Vec<Uuid> = breaks.iter().map(|(_, new)| new.psp_account_id.as_uuid()).collect();
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
             detail, state, opened_at)
         select $1, b.break_id, b.psp_account_id, b.kind, b.subject, b.currency, b.expected, b.found,
             b.found_currency, b.file_id, b.line_no, b.psp_line_id, b.psp_reference, b.operation_id, b.payment_id,
             b.order_id, b.booking_id, b.detail, 'open', now()
         from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[],
             $10::uuid[], $11::int[], $12::text[], $13::text[], $14::uuid[], $15::uuid[], $16::text[], $17::uuid[],
             $18::text[])
             as b (break_id, psp_account_id, kind, subject, currency, expected, found, found_currency, file_id, line_no,
                   psp_line_id, psp_reference, operation_id, payment_id, order_id, booking_id, detail)
         on conflict (merchant_id, break_id) do nothing",
        merchant.as_uuid(),
        &ids,
        &accounts,
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
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected())
}

pub(super) async fn close_missing(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[OperationId],
) -> Result<u64, sqlx::Error> {
    let operations: Vec<Uuid> = operations.iter().map(|id| id.as_uuid()).collect();
    let closed = sqlx::query!(
        "update recon_break set state = 'closed', closed_at = now(), closed_because = 'it came in a later file'
         where merchant_id = $1 and operation_id = any($2) and kind = 'missing_at_psp' and state = 'open'",
        merchant.as_uuid(),
        &operations,
    )
    .execute(&mut **tx)
    .await?;
    Ok(closed.rows_affected())
}
