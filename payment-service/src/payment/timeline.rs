//! A payment's history, gathered from what each part of the service has written down of it.

use money::{MerchantId, OperationId, PaymentId};
use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// Everything that is known to have happened to a payment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Timeline {
    /// The payment.
    pub payment_id: PaymentId,
    /// Oldest first.
    pub entries: Vec<TimelineEntry>,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// When, by the clock of whoever wrote it down.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `event` (the payment changed), `attempt` (a request to the PSP), `webhook` (the PSP's word) or `ledger`.
    pub source: String,
    /// What: the event's type, the attempt's action, the webhook's type, the posting's kind.
    pub kind: String,
    /// The operation it belongs to, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// What came of it, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// More, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The most entries of a timeline; a payment has about ten.
const LONGEST: i64 = 1000;

pub(super) async fn read(
    pool: &PgPool,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Option<Timeline>, sqlx::Error> {
    let entries = sqlx::query_as!(
        TimelineEntry,
        r#"select at as "at!", source as "source!", kind as "kind!", operation_id as "operation_id: OperationId",
                outcome, detail
         from (
             select e.recorded_at as at, 'event' as source, e.type as kind, (e.data ->> 'operation_id')::uuid as operation_id,
                    e.data ->> 'status' as outcome, e.data ->> 'reason' as detail, e.version::bigint as rank
             from payment_event e where e.merchant_id = $1 and e.subject_id = $2 and e.payment_id is not null
             union all
             select a.sent_at, 'attempt', a.action, a.operation_id, a.outcome,
                    concat_ws(', ', 'HTTP ' || a.http_status, a.psp_reference, a.detail), 0
             from operation o join attempt a on a.merchant_id = $1 and a.operation_id = o.operation_id
             where o.merchant_id = $1 and o.payment_id = $2
             union all
             select w.received_at, 'webhook', w.type, w.operation_id, w.status, w.detail, 0
             from operation o join webhook_event w on w.merchant_id = $1 and w.operation_id = o.operation_id
             where o.merchant_id = $1 and o.payment_id = $2
             union all
             select t.recorded_at, 'ledger', t.kind, o.operation_id, 'posted', t.effective_date::text, 1000
             from operation o
             join ledger_transaction t on t.merchant_id = $1 and t.source_type = 'operation' and t.source_id = o.operation_id
             where o.merchant_id = $1 and o.payment_id = $2
         ) entries
         order by at, rank
         limit $3"#,
        merchant.as_uuid(),
        payment.as_uuid(),
        LONGEST,
    )
    .fetch_all(pool)
    .await?;
    // a payment has its first event from its first commit on
    Ok((!entries.is_empty()).then_some(Timeline { payment_id: payment, entries }))
}
