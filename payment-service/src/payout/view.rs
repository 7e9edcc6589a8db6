use std::collections::BTreeMap;

use money::{Currency, OperationId, PayoutId, PspAccountId};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::PayoutStatus;
use crate::payment::Failure;

/// A payout as its merchant sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PayoutView {
    /// Its id.
    pub payout_id: PayoutId,
    /// The operation that sends it.
    pub operation_id: OperationId,
    /// Whose money it is.
    pub seller: String,
    /// Where it stands.
    pub status: PayoutStatus,
    /// How much, in minor units.
    pub amount: i64,
    /// ISO 4217 code of the amount.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// The PSP's name of the seller's bank account or card.
    #[schema(example = "ba_1OaYbZ2eZvKYlo2C0xq")]
    pub destination: String,
    /// The account it is sent from.
    pub psp_account_id: PspAccountId,
    /// The PSP's name of it, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "po_1OaYbZ2eZvKYlo2C0xq")]
    pub psp_reference: Option<String>,
    /// What the seller's statement shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_descriptor: Option<String>,
    /// The merchant's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Why it did not arrive, or came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Which payouts to list.
#[derive(Debug, Clone, Default)]
pub struct PayoutFilter {
    /// Only those to this seller.
    pub seller: Option<money::SellerId>,
    /// Only those that stand so.
    pub status: Option<PayoutStatus>,
    /// Only those older than this one.
    pub after: Option<PayoutId>,
    /// At most so many.
    pub limit: u16,
}
