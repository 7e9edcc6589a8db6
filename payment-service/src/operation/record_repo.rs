//! The SQL of recording: one statement locks and reads, another writes, because waiting for a lock does not refresh the
//! snapshot of the statement that waits.
//!
//! Each looks its rows up one by one: `offset 0` keeps the planner from any other way than the primary key. It may plan
//! while the tables are empty, when reading all of a merchant's rows seems to cost no more than finding one.

use std::collections::{BTreeMap, HashMap};

use money::{MerchantId, OperationId, PaymentId, PspAccountId, SellerId};
use sqlx::PgTransaction;
use sqlx::types::Json;
use uuid::Uuid;
use wallet::wallet::Split;

use super::decide::{Known, Share, SplitSums};
use super::{Error, OperationKind, OperationStatus};
use crate::payment::{Failure, NextAction, PaymentStatus, PaymentView, SplitView};
use crate::psp::CaptureMethod;

type Stored = Option<(u16, String)>;

/// Locks payments, operations and keys, in one order, and reads them. What is read of a row is read as the row is locked,
/// whatever the statement had to wait for; of rows without a lock, only columns that never change.
pub(super) async fn lock_and_read(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[OperationId],
) -> Result<HashMap<OperationId, (Known, Stored)>, Error> {
    let ids: Vec<Uuid> = operations.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"with target as materialized (
             select o.payment_id, o.operation_id from unnest($2::uuid[]) as k (operation_id)
             cross join lateral (
                 select payment_id, operation_id from operation
                 where merchant_id = $1 and operation_id = k.operation_id offset 0
             ) o
             order by o.payment_id, o.operation_id
         )
         select t.operation_id as "operation_id: OperationId", o.kind, o.idempotency_key, o.status as operation_status, o.fence,
                o.amount as operation_amount, o.last_capture, o.created_at as operation_created_at,
                o.takeovers, o.reason, o.psp_reference, p.payment_id as "payment_id: PaymentId", p.order_id, p.ordinal, p.status, p.amount,
                p.currency, p.capture_method, p.payment_method, p.return_url, p.psp_account_id as "psp_account_id: PspAccountId",
                p.authorized_amount, p.captured_amount, p.refund_reserved_amount, p.refunded_amount, p.disputed_amount,
                p.metadata as "metadata: Json<BTreeMap<String, String>>",
                p.failure_code, p.failure_message, p.decline_code, p.next_action_url, p.version,
                p.created_at, p.updated_at, k.response_status as "response_status?", k.response_body as "response_body?",
                s.sellers as "sellers!", s.amounts as "amounts!", s.fees as "fees!", now() as "now!"
         from target t
         cross join lateral (
             select * from payment where merchant_id = $1 and payment_id = t.payment_id for no key update
         ) p
         -- each names the one before, so that they are locked in this order
         cross join lateral (
             select kind, status, fence, amount, last_capture, takeovers, reason, psp_reference, idempotency_key, created_at
             from operation
             where merchant_id = $1 and operation_id = t.operation_id and payment_id = p.payment_id
             for no key update
         ) o
         left join lateral (
             select response_status, response_body from idempotency_key
             where merchant_id = $1 and idempotency_key = o.idempotency_key and payment_id = t.payment_id
             for no key update
         ) k on true
         cross join lateral (
             select array_agg(seller_id order by split_no) as sellers, array_agg(amount order by split_no) as amounts,
                    array_agg(platform_fee order by split_no) as fees
             from payment_split where merchant_id = $1 and payment_id = t.payment_id
         ) s"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let splits = splits(row.sellers, &row.amounts, &row.fees)?;
        let payment = PaymentView {
            payment_id: row.payment_id,
            order_id: row.order_id,
            ordinal: row.ordinal,
            status: PaymentStatus::parse(&row.status).ok_or(Error::UnknownWord("payment.status"))?,
            amount: row.amount,
            currency: row.currency.parse().map_err(|_| Error::UnknownWord("payment.currency"))?,
            capture: row
                .capture_method
                .parse::<CaptureMethod>()
                .map_err(|_| Error::UnknownWord("payment.capture_method"))?
                .as_str(),
            payment_method: row.payment_method,
            return_url: row.return_url,
            psp_account_id: row.psp_account_id,
            authorized_amount: row.authorized_amount,
            captured_amount: row.captured_amount,
            refund_reserved_amount: row.refund_reserved_amount,
            refunded_amount: row.refunded_amount,
            disputed_amount: row.disputed_amount,
            splits: splits.iter().map(SplitView::from).collect(),
            metadata: row.metadata.0,
            failure: row.failure_code.map(|code| Failure {
                code,
                decline_code: row.decline_code,
                message: row.failure_message.unwrap_or_default(),
            }),
            next_action: row.next_action_url.map(|redirect_url| NextAction { redirect_url }),
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        let known = Known {
            operation_id: row.operation_id,
            kind: OperationKind::parse(&row.kind).ok_or(Error::UnknownWord("operation.kind"))?,
            amount: row.operation_amount,
            last_capture: row.last_capture,
            created_at: row.operation_created_at,
            has_open_change: false,
            status: OperationStatus::parse(&row.operation_status)
                .ok_or(Error::UnknownWord("operation.status"))?,
            fence: row.fence,
            takeovers: row.takeovers,
            reason: row.reason,
            payment,
            version: row.version,
            psp_reference: row.psp_reference,
            key: row.idempotency_key,
            splits,
            shares: Vec::new(),
            now: row.now,
        };
        let stored =
            row.response_status.map(|status| (status.cast_unsigned(), row.response_body.unwrap_or_default()));
        found.insert(row.operation_id, (known, stored));
    }
    Ok(found)
}

/// Reads whether a capture or void is under way of payments that these authorise, once they are locked: whoever claims one
/// holds that lock.
pub(super) async fn read_open_changes<'a>(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    known: impl Iterator<Item = &'a mut Known>,
) -> Result<(), sqlx::Error> {
    use PaymentStatus::{Authorized, PartiallyCaptured, Processing, RequiresAction};
    let holds = |known: &Known| match known.payment.status {
        RequiresAction | Authorized | PartiallyCaptured => true,
        // its buyer may have acted while it was voided
        Processing => known.status != OperationStatus::Sending,
        _ => false,
    };
    let mut known: HashMap<PaymentId, &mut Known> = known
        .filter(|known| known.kind == OperationKind::Authorize && holds(known))
        .map(|known| (known.payment.payment_id, known))
        .collect();
    if known.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = known.keys().map(|id| id.as_uuid()).collect();
    let changing = sqlx::query_scalar!(
        r#"select k.payment_id as "payment_id!: PaymentId" from unnest($2::uuid[]) as k (payment_id)
         cross join lateral (
             select 1 from operation
             where merchant_id = $1 and payment_id = k.payment_id and kind in ('capture', 'void')
               and status in ('created', 'sending', 'unknown', 'needs_review') offset 0
         ) o"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    for payment in changing {
        if let Some(known) = known.get_mut(&payment) {
            known.has_open_change = true;
        }
    }
    Ok(())
}

/// Reads how captures and refunds fall on their payments' splits, which are locked with the payments.
pub(super) async fn read_shares<'a>(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    known: impl Iterator<Item = &'a mut Known>,
) -> Result<(), Error> {
    let mut known: HashMap<OperationId, &mut Known> = known
        .filter(|known| matches!(known.kind, OperationKind::Capture | OperationKind::Refund))
        .map(|known| (known.operation_id, known))
        .collect();
    if known.is_empty() {
        return Ok(());
    }
    let (ids, payments): (Vec<Uuid>, Vec<Uuid>) = known
        .values()
        .map(|known| (known.operation_id.as_uuid(), known.payment.payment_id.as_uuid()))
        .unzip();
    let rows = sqlx::query!(
        r#"select k.operation_id as "operation_id!: OperationId", x.split_no, x.amount, x.platform_fee, s.seller_id,
                s.captured_amount, s.refunded_amount, s.refund_reserved_amount, s.refunded_fee
         from unnest($2::uuid[], $3::uuid[]) as k (operation_id, payment_id)
         cross join lateral (
             select * from operation_split where merchant_id = $1 and operation_id = k.operation_id offset 0
         ) x
         cross join lateral (
             select * from payment_split
             where merchant_id = $1 and payment_id = k.payment_id and split_no = x.split_no offset 0
         ) s
         order by x.split_no"#,
        merchant.as_uuid(),
        &ids,
        &payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let Some(known) = known.get_mut(&row.operation_id) else { continue };
        known.shares.push(Share {
            split_no: row.split_no,
            seller: SellerId::try_from(row.seller_id)
                .map_err(|_| Error::UnknownWord("payment_split.seller_id"))?,
            amount: row.amount,
            platform_fee: row.platform_fee,
            sums: SplitSums {
                captured: row.captured_amount,
                refunded: row.refunded_amount,
                reserved: row.refund_reserved_amount,
                refunded_fee: row.refunded_fee,
            },
        });
    }
    Ok(())
}

fn splits(sellers: Vec<String>, amounts: &[i64], fees: &[i64]) -> Result<Vec<Split>, Error> {
    sellers
        .into_iter()
        .zip(amounts)
        .zip(fees)
        .map(|((seller, &amount), &platform_fee)| {
            let seller =
                SellerId::try_from(seller).map_err(|_| Error::UnknownWord("payment_split.seller_id"))?;
            Ok(Split { seller, amount, platform_fee })
        })
        .collect()
}
