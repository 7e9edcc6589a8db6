use std::collections::BTreeMap;

use money::{Currency, PaymentId, PspAccountId};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use wallet::wallet::Split;

use super::PaymentStatus;

/// A payment as its merchant sees it. Amounts are in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PaymentView {
    /// Its id.
    pub payment_id: PaymentId,
    /// The merchant's order.
    pub order_id: String,
    /// 1 for the order's first payment, 2 for the one after that failed, and so on.
    pub ordinal: i32,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What the buyer owes.
    pub amount: i64,
    /// ISO 4217 code of all its amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Whether the PSP captures at once.
    #[schema(value_type = Capture)]
    pub capture: &'static str,
    /// The PSP's token of the buyer's means of payment; none where the buyer chooses on a page of the PSP's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    /// Where the buyer comes back to from a page of the PSP's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// Where it is charged.
    pub psp_account_id: PspAccountId,
    /// What the PSP holds or has charged.
    pub authorized_amount: i64,
    /// What the PSP has charged.
    pub captured_amount: i64,
    /// What refunds under way will give back.
    pub refund_reserved_amount: i64,
    /// What has been given back.
    pub refunded_amount: i64,
    /// What the buyer's bank has taken back, and not returned.
    pub disputed_amount: i64,
    /// Whose money it is.
    pub splits: Vec<SplitView>,
    /// The merchant's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What the buyer has to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action: Option<NextAction>,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// When the money is taken.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "it describes the words of CaptureMethod")]
enum Capture {
    /// At once.
    Automatic,
    /// When the merchant says so.
    Manual,
}

/// A seller's part of a payment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SplitView {
    /// Whose part it is.
    pub seller: String,
    /// The part.
    pub amount: i64,
    /// What of it the platform keeps.
    pub platform_fee: i64,
}

impl From<&Split> for SplitView {
    fn from(split: &Split) -> Self {
        Self { seller: split.seller.to_string(), amount: split.amount, platform_fee: split.platform_fee }
    }
}

/// Why a payment failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Failure {
    /// A stable code.
    #[schema(example = "card_declined")]
    pub code: String,
    /// The issuer's reason, where the PSP tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "insufficient_funds")]
    pub decline_code: Option<String>,
    /// The same for people.
    pub message: String,
}

/// What the buyer has to do.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NextAction {
    /// Where to send the buyer.
    pub redirect_url: String,
}
