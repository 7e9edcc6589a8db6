//! The SQL of taking operations over, to find out what became of them.

use std::time::Duration;

use money::{MerchantId, OperationId, OrderId, PaymentId, PayoutId, PspAccountId};
use sqlx::{PgPool, PgTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::repo::Purpose;
use super::{Begun, Error, OperationStatus, Subject, Taken};
use crate::payment::PaymentStatus;
use crate::payout::PayoutStatus;
use crate::psp::{Errand, Method, PspReference};

pub(super) async fn merchants_with_due(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    // one index probe per merchant, however many operations there are
    sqlx::query_scalar!(
        r#"select m.merchant_id as "merchant_id: MerchantId" from merchant m
         cross join lateral (
             select 1 from operation o
             where o.merchant_id = m.merchant_id and o.due_at is not null and o.due_at <= now()
             order by o.due_at limit 1
         ) due"#
    )
    .fetch_all(pool)
    .await
}

/// A row that was taken over, with what is known of its payment or payout.
struct TakenRow {
    operation_id: OperationId,
    fence: i64,
    payment_id: Option<PaymentId>,
    payout_id: Option<PayoutId>,
    kind: String,
    psp_account_id: PspAccountId,
    amount: i64,
    currency: String,
    status: String,
    reason: Option<String>,
    takeovers: i32,
    psp_target: Option<String>,
    captured_before: Option<i64>,
    last_capture: Option<bool>,
    first_sent_at: OffsetDateTime,
    psp_reference: Option<String>,
    standing_since: OffsetDateTime,
    payment_status: Option<String>,
    payout_status: Option<String>,
    order_id: String,
    payment_method: Option<String>,
    return_url: Option<String>,
    capture_method: Option<String>,
    destination: Option<String>,
    statement_descriptor: Option<String>,
    created_at: OffsetDateTime,
    now: OffsetDateTime,
}

impl TakenRow {
    /// Whether it is not over, once it has succeeded.
    fn is_pending(&self) -> Result<bool, Error> {
        let payment = self.payment_status.as_deref().map(PaymentStatus::parse);
        let payout = self.payout_status.as_deref().map(PayoutStatus::parse);
        match (payment, payout) {
            (Some(Some(status)), _) => {
                Ok(matches!(status, PaymentStatus::Authorized | PaymentStatus::PartiallyCaptured))
            }
            (_, Some(Some(status))) => Ok(status == PayoutStatus::InTransit),
            _ => Err(Error::UnknownWord("payment.status")),
        }
    }
}

impl TryFrom<TakenRow> for Taken {
    type Error = Error;

    fn try_from(row: TakenRow) -> Result<Self, Error> {
        let is_pending = row.is_pending()?;
        let purpose = Purpose {
            place: 0,
            operation_id: row.operation_id,
            kind: row.kind,
            amount: row.amount,
            currency: row.currency,
            capture_method: row.capture_method,
            psp_target: row.psp_target,
            captured_before: row.captured_before,
            last_capture: row.last_capture,
            destination: row.destination,
            statement_descriptor: row.statement_descriptor,
            created_at: row.created_at,
        };
        Ok(Taken {
            errand: Errand {
                expected: purpose.expected()?,
                order_id: OrderId::try_from(row.order_id)
                    .map_err(|_| Error::UnknownWord("payment.order_id"))?,
                method: Method::of(row.payment_method, row.return_url),
            },
            fence: row.fence,
            subject: Subject::of(row.payment_id, row.payout_id)
                .ok_or(Error::UnknownWord("operation.payment_id"))?,
            is_pending,
            psp_account_id: row.psp_account_id,
            psp_reference: row
                .psp_reference
                .map(|text| PspReference::parse(&text))
                .transpose()
                .map_err(|_| Error::UnknownWord("operation.psp_reference"))?,
            status: OperationStatus::parse(&row.status).ok_or(Error::UnknownWord("operation.status"))?,
            reason: row.reason,
            takeovers: row.takeovers,
            first_sent_at: row.first_sent_at,
            standing_since: row.standing_since,
            now: row.now,
        })
    }
}

/// Those whose time has come, at most `limit`.
pub(super) async fn take_due(
    pool: &PgPool,
    merchant: MerchantId,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Taken>, Error> {
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let mut tx = pool.begin().await?;
    let taken = sqlx::query_scalar!(
        "with due as (
             select ctid from operation
             where merchant_id = $1 and due_at is not null and due_at <= now()
             order by due_at limit $3
             for update skip locked
         )
         update operation o
         set fence = o.fence + 1, takeovers = o.takeovers + 1,
             -- what needs review keeps the moment since when
             updated_at = case when o.status = 'needs_review' then o.updated_at else now() end,
             lease_until = now() + $2::bigint * interval '1 millisecond', due_at = now() + $2::bigint * interval '1 millisecond'
         from due where o.ctid = due.ctid
         returning o.operation_id",
        merchant.as_uuid(),
        lease_ms,
        limit,
    )
    .fetch_all(&mut *tx)
    .await?;
    let taken = read(&mut tx, merchant, &taken).await?;
    tx.commit().await?;
    // one that this version cannot read takes nothing from the others, and is tried again when its lease has ended
    let readable = taken.into_iter().filter_map(|row| {
        let operation_id = row.operation_id;
        let unreadable = |error: &Error| {
            tracing::error!(%operation_id, error = error as &dyn std::error::Error, "an operation cannot be read");
        };
        Taken::try_from(row).inspect_err(unreadable).ok()
    });
    Ok(readable.collect())
}

pub(super) async fn take_for_review(
    pool: &PgPool,
    merchant: MerchantId,
    operation: OperationId,
    lease: Duration,
) -> Result<Option<Taken>, Error> {
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let mut tx = pool.begin().await?;
    // it keeps the moment since when it needs review
    let taken = sqlx::query!(
        "update operation
         set fence = fence + 1, takeovers = takeovers + 1, lease_until = now() + $3::bigint * interval '1 millisecond'
         where merchant_id = $1 and operation_id = $2 and status = 'needs_review' and lease_until <= now()",
        merchant.as_uuid(),
        operation.as_uuid(),
        lease_ms,
    )
    .execute(&mut *tx)
    .await?;
    let taken = match taken.rows_affected() {
        0 => None,
        _ => read(&mut tx, merchant, &[operation.as_uuid()]).await?.pop(),
    };
    tx.commit().await?;
    taken.map(Taken::try_from).transpose()
}

/// What a claim made, while it is still its first sender's.
pub(super) async fn begun(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<Begun>, Error> {
    let taken = read(tx, merchant, &[operation.as_uuid()]).await?.pop().map(Taken::try_from).transpose()?;
    let taken = taken.filter(|taken| taken.fence == 1 && taken.status == OperationStatus::Sending);
    Ok(taken.map(|Taken { errand, fence, psp_account_id, .. }| Begun { errand, fence, psp_account_id }))
}

async fn read(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[Uuid],
) -> Result<Vec<TakenRow>, sqlx::Error> {
    if operations.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        TakenRow,
        r#"select t.operation_id as "operation_id: OperationId", t.fence, t.payment_id as "payment_id: PaymentId",
                t.payout_id as "payout_id: PayoutId", t.kind, t.psp_account_id as "psp_account_id: PspAccountId", t.amount,
                t.currency, t.status, t.reason, t.takeovers, t.psp_target, t.captured_before, t.last_capture, t.first_sent_at,
                t.psp_reference, coalesce(e.recorded_at, p.updated_at, y.updated_at) as "standing_since!",
                p.status as "payment_status?", y.status as "payout_status?",
                coalesce(p.order_id, y.payout_id::text) as "order_id!", p.payment_method, p.return_url,
                p.capture_method as "capture_method?", y.destination as "destination?", y.statement_descriptor,
                t.created_at, now() as "now!"
         from unnest($2::uuid[]) as w (operation_id)
         cross join lateral (
             select * from operation where merchant_id = $1 and operation_id = w.operation_id offset 0
         ) t
         left join lateral (
             select * from payment where merchant_id = $1 and payment_id = t.payment_id offset 0
         ) p on true
         left join lateral (
             select * from payout where merchant_id = $1 and payout_id = t.payout_id offset 0
         ) y on true
         left join lateral (
             select recorded_at from payment_event
             where t.status = 'requires_action' and merchant_id = $1 and subject_id = t.payment_id
               and type = 'payment.requires_action' order by version limit 1
         ) e on true"#,
        merchant.as_uuid(),
        operations,
    )
    .fetch_all(&mut **tx)
    .await
}

pub(super) async fn look_again(
    pool: &PgPool,
    merchant: MerchantId,
    taken: &Taken,
    after: Option<Duration>,
) -> Result<(), sqlx::Error> {
    let after_ms = after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
    sqlx::query!(
        "update operation
         set due_at = case when due_at < lease_until then now() else now() + $4::bigint * interval '1 millisecond' end,
             lease_until = now()
         where merchant_id = $1 and operation_id = $2 and fence = $3 and status = $5",
        merchant.as_uuid(),
        taken.errand.expected.operation_id.as_uuid(),
        taken.fence,
        after_ms,
        taken.status.as_str(),
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn leave(pool: &PgPool, merchant: MerchantId, taken: &Taken) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update operation set lease_until = now()
         where merchant_id = $1 and operation_id = $2 and fence = $3 and status = $4",
        merchant.as_uuid(),
        taken.errand.expected.operation_id.as_uuid(),
        taken.fence,
        taken.status.as_str(),
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn nudge(
    pool: &PgPool,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<(), sqlx::Error> {
    // before its lease ends, by which whoever has it sees that there was news since: they may have asked before. A sender at work
    // is left to finish
    sqlx::query!(
        "update operation set due_at = lease_until - interval '1 millisecond'
         where merchant_id = $1 and operation_id = $2 and status in ('unknown', 'requires_action', 'needs_review')
           and (due_at is null or due_at >= lease_until)",
        merchant.as_uuid(),
        operation.as_uuid(),
    )
    .execute(pool)
    .await?;
    Ok(())
}
