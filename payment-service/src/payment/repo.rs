use std::collections::BTreeMap;

use money::{MerchantId, OrderId, PaymentId, PspAccountId};
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;

use super::{Failure, NextAction, PaymentStatus, PaymentView, SplitView};
use crate::psp::CaptureMethod;

/// Which payments to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this order's.
    pub order_id: Option<OrderId>,
    /// Only those that stand so.
    pub status: Option<PaymentStatus>,
    /// Only those accepted at or after this moment.
    pub created_from: Option<OffsetDateTime>,
    /// Only those accepted before this moment.
    pub created_before: Option<OffsetDateTime>,
    /// Only those older than this one.
    pub after: Option<PaymentId>,
    /// At most so many.
    pub limit: u16,
}

/// A payment's row with its splits, as the queries below select it.
struct Row {
    payment_id: PaymentId,
    order_id: String,
    ordinal: i32,
    status: String,
    amount: i64,
    currency: String,
    capture_method: String,
    payment_method: Option<String>,
    return_url: Option<String>,
    psp_account_id: PspAccountId,
    authorized_amount: i64,
    captured_amount: i64,
    refund_reserved_amount: i64,
    refunded_amount: i64,
    disputed_amount: i64,
    metadata: Json<BTreeMap<String, String>>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    decline_code: Option<String>,
    next_action_url: Option<String>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    sellers: Vec<String>,
    amounts: Vec<i64>,
    fees: Vec<i64>,
}

impl Row {
    fn into_view(self) -> Result<PaymentView, sqlx::Error> {
        let unknown =
            |column: &str| sqlx::Error::Decode(format!("payment.{column} holds an unknown word").into());
        let splits = self.sellers.into_iter().zip(self.amounts).zip(self.fees);
        Ok(PaymentView {
            payment_id: self.payment_id,
            order_id: self.order_id,
            ordinal: self.ordinal,
            status: PaymentStatus::parse(&self.status).ok_or_else(|| unknown("status"))?,
            amount: self.amount,
            currency: self.currency.parse().map_err(|_| unknown("currency"))?,
            capture: self
                .capture_method
                .parse::<CaptureMethod>()
                .map_err(|_| unknown("capture_method"))?
                .as_str(),
            payment_method: self.payment_method,
            return_url: self.return_url,
            psp_account_id: self.psp_account_id,
            authorized_amount: self.authorized_amount,
            captured_amount: self.captured_amount,
            refund_reserved_amount: self.refund_reserved_amount,
            refunded_amount: self.refunded_amount,
            disputed_amount: self.disputed_amount,
            splits: splits
                .map(|((seller, amount), platform_fee)| SplitView { seller, amount, platform_fee })
                .collect(),
            metadata: self.metadata.0,
            failure: self.failure_code.map(|code| Failure {
                code,
                decline_code: self.decline_code,
                message: self.failure_message.unwrap_or_default(),
            }),
            next_action: self.next_action_url.map(|redirect_url| NextAction { redirect_url }),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

pub(super) async fn get(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Option<PaymentView>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select p.payment_id as "payment_id: PaymentId", p.order_id, p.ordinal, p.status, p.amount, p.currency,
                p.capture_method, p.payment_method, p.return_url, p.psp_account_id as "psp_account_id: PspAccountId",
                p.authorized_amount, p.captured_amount, p.refund_reserved_amount, p.refunded_amount, p.disputed_amount, p.metadata as "metadata: Json<BTreeMap<String, String>>",
                p.failure_code, p.failure_message, p.decline_code, p.next_action_url, p.created_at, p.updated_at,
                s.sellers as "sellers!", s.amounts as "amounts!", s.fees as "fees!"
         from payment p
         cross join lateral (
             select array_agg(seller_id order by split_no) as sellers, array_agg(amount order by split_no) as amounts,
                    array_agg(platform_fee order by split_no) as fees
             from payment_split where merchant_id = $1 and payment_id = p.payment_id
         ) s
         where p.merchant_id = $1 and p.payment_id = $2"#,
        merchant.as_uuid(),
        payment.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    row.map(Row::into_view).transpose()
}

pub(super) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &Filter,
) -> Result<Vec<PaymentView>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.payment_id as "payment_id: PaymentId", p.order_id, p.ordinal, p.status, p.amount, p.currency,
                p.capture_method, p.payment_method, p.return_url, p.psp_account_id as "psp_account_id: PspAccountId",
                p.authorized_amount, p.captured_amount, p.refund_reserved_amount, p.refunded_amount, p.disputed_amount, p.metadata as "metadata: Json<BTreeMap<String, String>>",
                p.failure_code, p.failure_message, p.decline_code, p.next_action_url, p.created_at, p.updated_at,
                s.sellers as "sellers!", s.amounts as "amounts!", s.fees as "fees!"
         from payment p
         cross join lateral (
             select array_agg(seller_id order by split_no) as sellers, array_agg(amount order by split_no) as amounts,
                    array_agg(platform_fee order by split_no) as fees
             from payment_split where merchant_id = $1 and payment_id = p.payment_id
         ) s
         where p.merchant_id = $1
           and ($2::text is null or p.order_id = $2)
           and ($3::text is null or p.status = $3)
           and ($4::timestamptz is null or p.created_at >= $4)
           and ($5::timestamptz is null or p.created_at < $5)
           and ($6::uuid is null or p.payment_id < $6)
         order by p.payment_id desc
         limit $7"#,
        merchant.as_uuid(),
        filter.order_id.as_ref().map(OrderId::as_str),
        filter.status.map(PaymentStatus::as_str),
        filter.created_from,
        filter.created_before,
        filter.after.map(PaymentId::as_uuid),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::into_view).collect()
}
