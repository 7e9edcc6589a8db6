use money::{Currency, DisputeId, PaymentId, PspAccountId};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{DisputeStatus, Funds};
use crate::payment::SplitView;

/// A dispute as its merchant sees it. Amounts are in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DisputeView {
    /// Its id.
    pub dispute_id: DisputeId,
    /// The payment that is disputed.
    pub payment_id: PaymentId,
    /// The account it is at.
    pub psp_account_id: PspAccountId,
    /// The PSP's name of it: answer it there.
    #[schema(example = "dp_1OaYbZ2eZvKYlo2C0xq")]
    pub psp_reference: String,
    /// Where it stands.
    pub status: DisputeStatus,
    /// The bank's reason, in the PSP's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "fraudulent")]
    pub reason: Option<String>,
    /// How much the bank asks back.
    pub amount: i64,
    /// ISO 4217 code of its amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Where that money is.
    pub funds: Funds,
    /// What the PSP charged for it.
    pub fee: i64,
    /// What of that it returned.
    pub returned_fee: i64,
    /// Until when it may be answered.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub evidence_due_at: Option<OffsetDateTime>,
    /// Whose money was taken, and what of each part the platform bears.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitView>,
    /// When we heard of it.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Which disputes to list.
#[derive(Debug, Clone, Copy)]
pub struct DisputeFilter {
    /// Only those of this payment.
    pub payment_id: Option<PaymentId>,
    /// Only those that stand so.
    pub status: Option<DisputeStatus>,
    /// Only those that we heard of before this one.
    pub after: Option<DisputeId>,
    /// At most so many.
    pub limit: u16,
}
