//! Evidence: lines that say an operation succeeded which at ours has not, or not yet.
//!
//! A worker of `payment-service` takes what is [`pending`], ends each operation the way it ends all of them, and calls
//! [`crate::run::settle`], which then books the line. What it may not apply it [`refuse_in_tx`]s, and the line is booked
//! to suspense with a break. Until then the line books nothing and the verdict is incomplete.

use money::{Currency, FileId, MerchantId, Money, OperationId, PaymentId, PspAccountId};
use sqlx::{PgPool, PgTransaction};
use time::OffsetDateTime;

use crate::matching::Effect;
use crate::statement::LineKind;

/// A line that waits for its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The file it is in.
    pub file_id: FileId,
    /// Its line there.
    pub line_no: i32,
    /// The account whose file it is.
    pub psp_account_id: PspAccountId,
    /// The operation that it says succeeded.
    pub operation_id: OperationId,
    /// That operation's payment; none of a payout.
    pub payment_id: Option<PaymentId>,
    /// Whether the money was taken, given back or sent, or came back once it was.
    pub effect: Effect,
    /// How much, positive for a refund or payout too. It need not be what the operation asked for.
    pub amount: Money,
    /// The PSP's object: for a capture `pi_...`, for a refund `re_...`, for a chargeback `dp_...`, for a payout `po_...`.
    pub psp_reference: Option<String>,
    /// The movement: `ch_...`.
    pub psp_movement: Option<String>,
    /// When it happened at the PSP.
    pub occurred_at: OffsetDateTime,
}

/// Up to `limit` lines that wait for operations which have not succeeded, the oldest first. What is applied or refused is
/// not among them again.
///
/// # Errors
/// When Postgres fails.
pub async fn pending(pool: &PgPool, merchant: MerchantId, limit: u16) -> Result<Vec<Evidence>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select e.file_id as "file_id: FileId", e.line_no, l.psp_account_id as "psp_account_id: PspAccountId",
                e.operation_id as "operation_id: OperationId", o.payment_id as "payment_id: PaymentId", l.kind, l.gross,
                l.currency, l.psp_reference, l.psp_movement, l.psp_source, l.occurred_at
         from settlement_evidence e
         join settlement_line l on l.merchant_id = e.merchant_id and l.psp_account_id = e.psp_account_id
              and l.psp_line_id = e.psp_line_id
         join settleable_operation o on o.merchant_id = e.merchant_id and o.operation_id = e.operation_id
         where e.merchant_id = $1 and e.settled_at is null and e.refused is null
           and o.status <> 'reversed' and (o.status <> 'succeeded' or l.kind in ('refund_failure', 'chargeback_reversal', 'payout_reversal'))
         order by e.waiting_since, e.file_id, e.line_no limit $2"#,
        merchant.as_uuid(),
        i64::from(limit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency: Currency =
                row.currency.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let effect = LineKind::from_word(&row.kind).and_then(Effect::of);
            let effect = effect.ok_or_else(|| sqlx::Error::Decode(format!("a {} waits", row.kind).into()))?;
            let is_of_payment = effect == Effect::Capture;
            Ok(Evidence {
                file_id: row.file_id,
                line_no: row.line_no,
                psp_account_id: row.psp_account_id,
                operation_id: row.operation_id,
                payment_id: row.payment_id,
                effect,
                amount: Money::new(row.gross.saturating_mul(effect.sign()), currency),
                psp_reference: if is_of_payment { row.psp_reference } else { row.psp_source },
                psp_movement: row.psp_movement,
                occurred_at: row.occurred_at,
            })
        })
        .collect()
}

/// Lines of these files that still wait, whether or not they were refused.
///
/// # Errors
/// When Postgres fails.
pub async fn waiting(pool: &PgPool, merchant: MerchantId, files: &[FileId]) -> Result<u64, sqlx::Error> {
    let files: Vec<uuid::Uuid> = files.iter().map(|id| id.as_uuid()).collect();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from settlement_evidence
         where merchant_id = $1 and file_id = any($2) and settled_at is null"#,
        merchant.as_uuid(),
        &files,
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Notes that a line cannot be applied to its operation, and `why`. The next [`crate::run::settle`] books it to suspense
/// and opens a `status` break. Answers whether the line was waiting.
///
/// # Errors
/// When Postgres fails.
pub async fn refuse_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file_id: FileId,
    line_no: i32,
    why: &str,
) -> Result<bool, sqlx::Error> {
    let why: String = why.chars().take(500).collect();
    let noted = sqlx::query!(
        "update settlement_evidence set refused = $4
         where merchant_id = $1 and file_id = $2 and line_no = $3 and settled_at is null",
        merchant.as_uuid(),
        file_id.as_uuid(),
        line_no,
        why,
    )
    .execute(&mut **tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}
