//! Refunds, disputes, balance transactions, payouts and the account itself.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Empty, Renderer, nulls, seconds};
use crate::model::id::Kind;
use crate::model::{
    BalanceTransaction, Dispute, DisputeStatus, Manual, Payout, PayoutStatus, Refund, Source,
};

/// A refund.
pub struct RefundView<'a>(pub &'a Renderer<'a>, pub &'a Refund);

impl Serialize for RefundView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, refund) = self;
        let nonce = renderer.nonce;
        let transaction = |seq: u64| nonce.id(Kind::BalanceTransaction, seq);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &nonce.id(Kind::Refund, refund.seq))?;
        map.serialize_entry("object", "refund")?;
        map.serialize_entry("amount", &refund.amount)?;
        map.serialize_entry("balance_transaction", &refund.balance_transaction.map(transaction))?;
        map.serialize_entry("charge", &nonce.id(Kind::Charge, refund.charge))?;
        map.serialize_entry("created", &seconds(refund.created_ms))?;
        map.serialize_entry("currency", &refund.currency)?;
        if let Some(failed) = refund.failure_balance_transaction {
            map.serialize_entry("failure_balance_transaction", &transaction(failed))?;
            map.serialize_entry("failure_reason", "expired_or_canceled_card")?;
        }
        map.serialize_entry("metadata", &refund.metadata)?;
        map.serialize_entry("payment_intent", &nonce.id(Kind::Intent, refund.intent))?;
        map.serialize_entry("reason", &refund.reason)?;
        nulls(&mut map, &["receipt_number", "source_transfer_reversal"])?;
        map.serialize_entry("status", &refund.status)?;
        map.serialize_entry("transfer_reversal", &())?;
        map.end()
    }
}

/// A dispute.
pub struct DisputeView<'a>(pub &'a Renderer<'a>, pub &'a Dispute);

impl Serialize for DisputeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, dispute) = self;
        let nonce = renderer.nonce;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &nonce.id(Kind::Dispute, dispute.seq))?;
        map.serialize_entry("object", "dispute")?;
        map.serialize_entry("amount", &dispute.amount)?;
        let moved: Vec<_> =
            dispute.movements.iter().map(|moved| BalanceTransactionView(renderer, moved)).collect();
        map.serialize_entry("balance_transactions", &moved)?;
        map.serialize_entry("charge", &nonce.id(Kind::Charge, dispute.charge))?;
        map.serialize_entry("created", &seconds(dispute.created_ms))?;
        map.serialize_entry("currency", &dispute.currency)?;
        map.serialize_entry("enhanced_eligibility_types", &[(); 0])?;
        map.serialize_entry("evidence", &Empty)?;
        map.serialize_entry("evidence_details", &EvidenceDetails(dispute))?;
        map.serialize_entry("is_charge_refundable", &!dispute.is_withdrawn())?;
        map.serialize_entry("livemode", &renderer.livemode)?;
        map.serialize_entry("metadata", &dispute.metadata)?;
        map.serialize_entry("payment_intent", &nonce.id(Kind::Intent, dispute.intent))?;
        map.serialize_entry("reason", &dispute.reason)?;
        map.serialize_entry("status", &dispute.status)?;
        map.end()
    }
}

struct EvidenceDetails<'a>(&'a Dispute);

impl Serialize for EvidenceDetails<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dispute) = self;
        let waits =
            matches!(dispute.status, DisputeStatus::NeedsResponse | DisputeStatus::WarningNeedsResponse);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("due_by", &waits.then(|| seconds(dispute.due_ms)))?;
        map.serialize_entry("enhanced_eligibility", &Empty)?;
        map.serialize_entry("has_evidence", &(dispute.submissions > 0))?;
        map.serialize_entry("past_due", &false)?;
        map.serialize_entry("submission_count", &dispute.submissions)?;
        map.end()
    }
}

/// A balance transaction.
pub struct BalanceTransactionView<'a>(pub &'a Renderer<'a>, pub &'a BalanceTransaction);

impl Serialize for BalanceTransactionView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, transaction) = self;
        let nonce = renderer.nonce;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &nonce.id(Kind::BalanceTransaction, transaction.seq))?;
        map.serialize_entry("object", "balance_transaction")?;
        map.serialize_entry("amount", &transaction.amount)?;
        map.serialize_entry("available_on", &seconds(transaction.available_ms))?;
        map.serialize_entry("balance_type", "payments")?;
        map.serialize_entry("created", &seconds(transaction.created_ms))?;
        map.serialize_entry("currency", &transaction.currency)?;
        nulls(&mut map, &["description", "exchange_rate"])?;
        map.serialize_entry("fee", &transaction.fee)?;
        map.serialize_entry("fee_details", &FeeDetails(transaction))?;
        map.serialize_entry("net", &transaction.net())?;
        map.serialize_entry("reporting_category", reporting_category(transaction.source))?;
        let source = match transaction.source {
            Source::Charge(seq) => nonce.id(Kind::Charge, seq),
            Source::Refund(seq) | Source::RefundFailure(seq) => nonce.id(Kind::Refund, seq),
            Source::Dispute(seq) | Source::DisputeReversal(seq) => nonce.id(Kind::Dispute, seq),
            Source::Payout(seq) | Source::ManualPayout(seq) | Source::PayoutFailure(seq) => {
                nonce.id(Kind::Payout, seq)
            }
        };
        map.serialize_entry("source", &source)?;
        map.serialize_entry("status", "available")?;
        map.serialize_entry("type", kind(transaction.source))?;
        map.end()
    }
}

/// What reports file a balance transaction under.
pub const fn reporting_category(source: Source) -> &'static str {
    match source {
        Source::Charge(_) => "charge",
        Source::Refund(_) => "refund",
        Source::RefundFailure(_) => "refund_failure",
        Source::Dispute(_) => "dispute",
        Source::DisputeReversal(_) => "dispute_reversal",
        Source::Payout(_) | Source::ManualPayout(_) => "payout",
        Source::PayoutFailure(_) => "payout_reversal",
    }
}

/// Its `type`: the same word but for disputes and for payouts that came back.
const fn kind(source: Source) -> &'static str {
    match source {
        Source::Dispute(_) | Source::DisputeReversal(_) => "adjustment",
        Source::PayoutFailure(_) => "payout_failure",
        Source::Charge(_)
        | Source::Refund(_)
        | Source::RefundFailure(_)
        | Source::Payout(_)
        | Source::ManualPayout(_) => reporting_category(source),
    }
}

struct FeeDetails<'a>(&'a BalanceTransaction);

impl Serialize for FeeDetails<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fee = (self.0.fee != 0).then_some(Fee(self.0));
        serializer.collect_seq(fee)
    }
}

struct Fee<'a>(&'a BalanceTransaction);

impl Serialize for Fee<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("amount", &self.0.fee)?;
        map.serialize_entry("application", &())?;
        map.serialize_entry("currency", &self.0.currency)?;
        map.serialize_entry("description", "Stripe processing fees")?;
        map.serialize_entry("type", "stripe_fee")?;
        map.end()
    }
}

/// A payout.
pub struct PayoutView<'a>(pub &'a Renderer<'a>, pub &'a Payout);

impl Serialize for PayoutView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, payout) = self;
        let nonce = renderer.nonce;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &nonce.id(Kind::Payout, payout.seq))?;
        map.serialize_entry("object", "payout")?;
        map.serialize_entry("amount", &payout.amount)?;
        nulls(&mut map, &["application_fee", "application_fee_amount"])?;
        map.serialize_entry("arrival_date", &seconds(payout.created_ms))?;
        let manual = payout.manual.as_deref();
        let text = |of: fn(&Manual) -> &Option<Box<str>>| manual.and_then(|manual| of(manual).as_deref());
        let transaction = |seq| nonce.id(Kind::BalanceTransaction, seq);
        let failed = payout.status == PayoutStatus::Failed;
        map.serialize_entry("automatic", &manual.is_none())?;
        map.serialize_entry("balance_transaction", &transaction(payout.balance_transaction))?;
        map.serialize_entry("created", &seconds(payout.created_ms))?;
        map.serialize_entry("currency", &payout.currency)?;
        map.serialize_entry("description", text(|it| &it.description).unwrap_or("STRIPE PAYOUT"))?;
        map.serialize_entry("destination", &text(|it| &it.destination))?;
        map.serialize_entry(
            "failure_balance_transaction",
            &payout.failure_balance_transaction.map(transaction),
        )?;
        map.serialize_entry("failure_code", &failed.then_some("account_closed"))?;
        map.serialize_entry("failure_message", &failed.then_some("The bank account has been closed."))?;
        map.serialize_entry("livemode", &renderer.livemode)?;
        match manual {
            Some(manual) => map.serialize_entry("metadata", &manual.metadata)?,
            None => map.serialize_entry("metadata", &Empty)?,
        }
        map.serialize_entry("method", "standard")?;
        nulls(&mut map, &["original_payout", "payout_method"])?;
        let reconciled = if manual.is_some() { "not_applicable" } else { "completed" };
        map.serialize_entry("reconciliation_status", reconciled)?;
        map.serialize_entry("reversed_by", &())?;
        map.serialize_entry("source_type", "card")?;
        map.serialize_entry("statement_descriptor", &text(|it| &it.statement_descriptor))?;
        map.serialize_entry("status", payout.status.as_str())?;
        map.serialize_entry("trace_id", &())?;
        map.serialize_entry("type", "bank_account")?;
        map.end()
    }
}

/// The account an API key belongs to.
pub struct AccountView<'a>(pub &'a str);

impl Serialize for AccountView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", self.0)?;
        map.serialize_entry("object", "account")?;
        nulls(&mut map, &["business_profile", "business_type"])?;
        map.serialize_entry("charges_enabled", &true)?;
        map.serialize_entry("country", "DE")?;
        map.serialize_entry("default_currency", "eur")?;
        map.serialize_entry("details_submitted", &true)?;
        map.serialize_entry("email", &())?;
        map.serialize_entry("metadata", &Empty)?;
        map.serialize_entry("payouts_enabled", &true)?;
        map.serialize_entry("type", "standard")?;
        map.end()
    }
}
