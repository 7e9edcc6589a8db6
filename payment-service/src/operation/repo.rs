use std::collections::HashMap;
use std::time::Duration;

use money::{MerchantId, Money, OperationId, OrderId, PaymentId, PspAccountId};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Error, OperationStatus, Taken};
use crate::psp::{CaptureMethod, Expected, PspReference};

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

pub(super) async fn take_due(
    pool: &PgPool,
    merchant: MerchantId,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Taken>, Error> {
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        r#"with due as (
             select ctid from operation
             where merchant_id = $1 and due_at is not null and due_at <= now()
             order by due_at limit $3
             for update skip locked
         ), taken as (
             update operation o
             set fence = o.fence + 1, takeovers = o.takeovers + 1, updated_at = now(),
                 lease_until = now() + $2::bigint * interval '1 millisecond', due_at = now() + $2::bigint * interval '1 millisecond'
             from due where o.ctid = due.ctid
             returning o.*
         )
         select t.operation_id as "operation_id: OperationId", t.fence, t.payment_id as "payment_id: PaymentId",
                t.psp_account_id as "psp_account_id: PspAccountId", t.amount, t.currency, t.status, t.takeovers,
                t.first_sent_at, p.updated_at as standing_since, t.psp_reference, p.order_id, p.payment_method, p.capture_method, now() as "now!"
         from taken t
         cross join lateral (
             select * from payment where merchant_id = $1 and payment_id = t.payment_id offset 0
         ) p"#,
        merchant.as_uuid(),
        lease_ms,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = row.currency.parse().map_err(|_| Error::UnknownWord("operation.currency"))?;
            Ok(Taken {
                operation_id: row.operation_id,
                fence: row.fence,
                payment_id: row.payment_id,
                order_id: OrderId::try_from(row.order_id)
                    .map_err(|_| Error::UnknownWord("payment.order_id"))?,
                psp_account_id: row.psp_account_id,
                amount: Money::new(row.amount, currency),
                payment_method: row.payment_method,
                capture_method: row
                    .capture_method
                    .parse::<CaptureMethod>()
                    .map_err(|_| Error::UnknownWord("payment.capture_method"))?,
                psp_reference: row
                    .psp_reference
                    .map(|text| PspReference::parse(&text))
                    .transpose()
                    .map_err(|_| Error::UnknownWord("operation.psp_reference"))?,
                status: OperationStatus::parse(&row.status).ok_or(Error::UnknownWord("operation.status"))?,
                takeovers: row.takeovers,
                first_sent_at: row.first_sent_at,
                standing_since: row.standing_since,
                now: row.now,
            })
        })
        .collect()
}

pub(super) async fn nudge(
    pool: &PgPool,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<(), sqlx::Error> {
    // a sender at work is left to finish: its lease says until when
    sqlx::query!(
        "update operation set due_at = now()
         where merchant_id = $1 and operation_id = $2 and status in ('unknown', 'requires_action')
           and lease_until <= now() and due_at > now()",
        merchant.as_uuid(),
        operation.as_uuid(),
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn find_by_reference(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
    reference: &str,
) -> Result<Option<OperationId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select operation_id as "operation_id: OperationId" from operation
         where merchant_id = $1 and psp_account_id = $2 and psp_reference = $3 and kind = 'authorize'"#,
        merchant.as_uuid(),
        account.as_uuid(),
        reference,
    )
    .fetch_optional(pool)
    .await
}

pub(super) async fn expected(
    pool: &PgPool,
    merchant: MerchantId,
    wanted: &[(PspAccountId, OperationId)],
) -> Result<HashMap<(PspAccountId, OperationId), Result<Expected, Error>>, sqlx::Error> {
    let (accounts, operations): (Vec<Uuid>, Vec<Uuid>) =
        wanted.iter().map(|(account, operation)| (account.as_uuid(), operation.as_uuid())).unzip();
    // each by its primary key, whatever the planner believes of a new table
    let rows = sqlx::query!(
        r#"select w.psp_account_id as "psp_account_id!: PspAccountId", w.operation_id as "operation_id!: OperationId",
                o.amount, o.currency, p.capture_method
         from unnest($2::uuid[], $3::uuid[]) as w (psp_account_id, operation_id)
         cross join lateral (
             select payment_id, psp_account_id, amount, currency from operation
             where merchant_id = $1 and operation_id = w.operation_id offset 0
         ) o
         cross join lateral (
             select capture_method from payment where merchant_id = $1 and payment_id = o.payment_id offset 0
         ) p
         where o.psp_account_id = w.psp_account_id"#,
        merchant.as_uuid(),
        &accounts,
        &operations,
    )
    .fetch_all(pool)
    .await?;
    let expected = rows.into_iter().map(|row| {
        let operation_id = row.operation_id;
        let currency = row.currency.parse().map_err(|_| Error::UnknownWord("operation.currency"));
        let capture = row.capture_method.parse().map_err(|_| Error::UnknownWord("payment.capture_method"));
        let expected = currency.and_then(|currency| {
            Ok(Expected { operation_id, amount: Money::new(row.amount, currency), capture: capture? })
        });
        ((row.psp_account_id, operation_id), expected)
    });
    Ok(expected.collect())
}

/// Objects of operations that have ended can be looked at without touching them.
pub(super) async fn last_ended(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<Option<(Expected, PspReference)>, Error> {
    let row = sqlx::query!(
        r#"select o.operation_id as "operation_id: OperationId", o.amount, o.currency, o.psp_reference as "psp_reference!",
                p.capture_method
         from operation o join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
         where o.merchant_id = $1 and o.psp_account_id = $2 and o.psp_reference is not null and o.kind = 'authorize'
           and o.status in ('succeeded', 'declined', 'expired')
         order by p.payment_id desc limit 1"#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let currency = row.currency.parse().map_err(|_| Error::UnknownWord("operation.currency"))?;
        let capture = row.capture_method.parse().map_err(|_| Error::UnknownWord("payment.capture_method"))?;
        let reference = PspReference::parse(&row.psp_reference)
            .map_err(|_| Error::UnknownWord("operation.psp_reference"))?;
        let amount = Money::new(row.amount, currency);
        Ok((Expected { operation_id: row.operation_id, amount, capture }, reference))
    })
    .transpose()
}

pub(super) async fn has_unfinished(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
             select 1 from operation
             where merchant_id = $1 and psp_account_id = $2 and (due_at is not null or status = 'needs_review')
         ) as "any!""#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_one(pool)
    .await
}
