//! What the PSP's files should have by now and do not.

use money::{Currency, MerchantId, OperationId, PaymentId, PspAccountId};
use sqlx::{PgPool, PgTransaction};
use time::{Duration, OffsetDateTime};

use super::Error;
use crate::bank;
use crate::break_::{self, At, BreakKind, NewBreak};
use crate::matching::Effect;

/// Breaks are written so many at a time: what is in memory at once.
const WRITTEN_AT_ONCE: i64 = 10_000;

/// Up to when a PSP's files tell all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// The latest moment that a file knows of.
    latest_at: OffsetDateTime,
    /// What was done before should be in one by now.
    until: OffsetDateTime,
}

impl Told {
    /// Of a file that knows of nothing later than `latest_at`, of an account that settles within `delay_days`.
    pub fn new(latest_at: OffsetDateTime, delay_days: i32) -> Self {
        Self { latest_at, until: latest_at - Duration::days(i64::from(delay_days)) }
    }
}

/// Opens a break for each capture, refund and payout that ended before the files tell all and that no line is about, and for
/// each that was sent before and has not ended; closes those of which a line has come, or that have ended, meanwhile.
/// Answers how many are new.
pub(super) async fn open(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
    told: Told,
) -> Result<u64, Error> {
    let mut opened = 0;
    loop {
        let mut tx = pool.begin().await?;
        let mut breaks = missing(&mut tx, merchant, account, told).await?;
        breaks.extend(stale(&mut tx, merchant, account, told).await?);
        if breaks.is_empty() {
            break;
        }
        opened += break_::open_all_in_tx(&mut tx, merchant, &breaks).await?;
        tx.commit().await?;
    }
    // a line may have been matched by another run between the look for its operation and the opening of its break
    let mut tx = pool.begin().await?;
    bank::lock_in_tx(&mut tx, merchant).await.map_err(Box::new)?;
    break_::close_matched_in_tx(&mut tx, merchant, account).await?;
    break_::close_ended_in_tx(&mut tx, merchant, account).await?;
    tx.commit().await?;
    Ok(opened)
}

/// Some of the operations that are missing and have no open break.
async fn missing(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    told: Told,
) -> Result<Vec<NewBreak>, Error> {
    let awaited: Vec<&str> = Effect::awaited().map(Effect::as_str).collect();
    let rows = sqlx::query!(
        r#"select o.operation_id as "operation_id!: OperationId", o.payment_id as "payment_id: PaymentId",
                o.order_id, o.effect as "effect!", o.amount as "amount!", o.currency as "currency!", o.psp_reference,
                o.ended_at as "ended_at!"
         from settleable_operation o
         where o.merchant_id = $1 and o.psp_account_id = $2 and o.effect = any($5)
           and o.status = 'succeeded'
           and o.ended_at < $3
           and not exists (select 1 from recon_match m
               where m.merchant_id = $1 and m.about_id = coalesce(o.payment_id, o.operation_id)
                 and m.operation_id = o.operation_id and m.effect = o.effect and m.revoked_at is null)
           and not exists (select 1 from settlement_evidence e
               where e.merchant_id = $1 and e.operation_id = o.operation_id and e.settled_at is null)
           and not exists (select 1 from recon_break b
               where b.merchant_id = $1 and b.operation_id = o.operation_id and b.kind = 'missing_at_psp')
         limit $4"#,
        merchant.as_uuid(),
        account.as_uuid(),
        told.until,
        WRITTEN_AT_ONCE,
        &awaited as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut breaks = Vec::with_capacity(rows.len());
    for row in rows {
        let currency: Currency = row.currency.parse().map_err(|_| Error::Corrupt(row.currency.clone()))?;
        let done = match row.effect.as_str() {
            "refund" => "refunded",
            "payout" => "paid out",
            _ => "captured",
        };
        let detail =
            format!("{done} on {} and in no file up to {}", row.ended_at.date(), told.latest_at.date());
        breaks.push(NewBreak {
            expected: Some(row.amount),
            psp_reference: row.psp_reference,
            operation_id: Some(row.operation_id),
            payment_id: row.payment_id,
            order_id: row.order_id,
            detail,
            ..NewBreak::new(
                BreakKind::MissingAtPsp,
                At::Psp(account),
                row.operation_id.to_string(),
                currency,
                row.ended_at.date(),
            )
        });
    }
    Ok(breaks)
}

/// Some of the operations that were sent, have not ended, and have no open break.
async fn stale(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    told: Told,
) -> Result<Vec<NewBreak>, Error> {
    let rows = sqlx::query!(
        r#"select u.operation_id as "operation_id!: OperationId", u.payment_id as "payment_id: PaymentId",
                u.order_id, u.effect as "effect!", u.status as "status!", u.amount as "amount!", u.currency as "currency!",
                u.psp_reference, u.created_at as "created_at!"
         from settleable_unknown u
         where u.merchant_id = $1 and u.psp_account_id = $2 and u.created_at < $3
           and not exists (select 1 from settlement_evidence e
               where e.merchant_id = $1 and e.operation_id = u.operation_id and e.settled_at is null)
           and not exists (select 1 from recon_break b
               where b.merchant_id = $1 and b.operation_id = u.operation_id and b.kind in ('stale_unknown', 'status'))
         limit $4"#,
        merchant.as_uuid(),
        account.as_uuid(),
        told.until,
        WRITTEN_AT_ONCE,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut breaks = Vec::with_capacity(rows.len());
    for row in rows {
        let currency: Currency = row.currency.parse().map_err(|_| Error::Corrupt(row.currency.clone()))?;
        let day = row.created_at.date();
        let detail = format!(
            "a {} of {day} that is still {}, and in no file up to {}",
            row.effect,
            row.status.replace('_', " "),
            told.latest_at.date()
        );
        breaks.push(NewBreak {
            expected: Some(row.amount),
            psp_reference: row.psp_reference,
            operation_id: Some(row.operation_id),
            payment_id: row.payment_id,
            order_id: row.order_id,
            detail,
            ..NewBreak::new(
                BreakKind::StaleUnknown,
                At::Psp(account),
                row.operation_id.to_string(),
                currency,
                day,
            )
        });
    }
    Ok(breaks)
}
