//! Stripe's itemised payout reconciliation (`payout_reconciliation.itemized`), as CSV.

use super::refusal::Refusal;
use super::table::{Header, Row};
use super::{FeeParts, Line, LineKind};

/// Where the columns are. The names with `_utc` are those of reports that were asked for in UTC beside another time
/// zone, and go before.
pub(super) struct Layout {
    header: Header,
    psp_line_id: usize,
    created: usize,
    available_on: Option<usize>,
    currency: usize,
    gross: usize,
    fee: usize,
    net: usize,
    category: usize,
    source_id: usize,
    charge_id: usize,
    payment_intent_id: usize,
    payout_id: usize,
    payout_on: Option<usize>,
    operation: usize,
    order: Option<usize>,
    refund_operation: Option<usize>,
    description: usize,
}

/// The column that no other PSP's file has.
pub(super) const TELLING: &str = "balance_transaction_id";

impl Layout {
    pub fn of(row: &Row<'_>) -> Result<Self, Refusal> {
        let header = Header::of(row, "an itemised payout reconciliation");
        let position = |names: &[&str]| header.position(row.file, names);
        let needed = |names: &[&str]| header.needed(row.file, names);
        Ok(Self {
            psp_line_id: needed(&[TELLING])?,
            created: needed(&["created_utc", "created"])?,
            available_on: position(&["available_on_utc", "available_on"])?,
            currency: needed(&["currency"])?,
            gross: needed(&["gross"])?,
            fee: needed(&["fee"])?,
            net: needed(&["net"])?,
            category: needed(&["reporting_category"])?,
            source_id: needed(&["source_id"])?,
            charge_id: needed(&["charge_id"])?,
            payment_intent_id: needed(&["payment_intent_id"])?,
            payout_id: needed(&["automatic_payout_id"])?,
            payout_on: position(&["automatic_payout_effective_at_utc", "automatic_payout_effective_at"])?,
            operation: needed(&["payment_metadata[payonce_operation]"])?,
            order: position(&["payment_metadata[order_id]"])?,
            refund_operation: position(&["refund_metadata[payonce_operation]"])?,
            // a payout of ours has no other name of ours
            description: needed(&["description"])?,
            header,
        })
    }

    pub fn line(&self, row: Row<'_>) -> Result<Line, Refusal> {
        let record = row.under(&self.header)?;
        let currency = record.currency(self.currency)?;
        let gross = record.amount(self.gross, currency)?;
        let fee = record.amount(self.fee, currency)?;
        let net = record.amount(self.net, currency)?;
        if gross.checked_sub(fee) != Some(net) {
            let expected = format!("gross {} less fee {}", record.text(self.gross), record.text(self.fee));
            return Err(record.refuse(self.net, record.text(self.net), expected));
        }
        let category = record.name(self.category)?;
        let category = category.ok_or_else(|| record.refuse(self.category, "", "a reporting category"))?;
        let kind = kind_of(&category);
        let occurred_at = record.moment(self.created)?;
        let value_date = match self.available_on {
            Some(column) if !record.text(column).is_empty() => record.moment(column)?.date(),
            _ => occurred_at.date(),
        };
        let payout_on = match self.payout_on {
            Some(column) if !record.text(column).is_empty() => Some(record.moment(column)?.date()),
            _ => None,
        };
        let psp_line_id = record.name(self.psp_line_id)?;
        Ok(Line {
            line_no: record.line_no()?,
            psp_line_id: psp_line_id
                .ok_or_else(|| record.refuse(self.psp_line_id, "", "the line's id, such as txn_1"))?,
            kind,
            category,
            gross,
            fee,
            net,
            currency,
            presented: None,
            fee_parts: FeeParts::default(),
            method: None,
            occurred_at,
            value_date,
            payout_id: record.name(self.payout_id)?,
            payout_on,
            operation_id: record.operation(self.names_operation(kind)),
            order_id: record.name_of(self.order)?,
            psp_reference: record.name(self.payment_intent_id)?,
            psp_movement: record.name(self.charge_id)?,
            psp_source: record.name(self.source_id)?,
        })
    }

    /// The column that names our operation, if any does.
    const fn names_operation(&self, kind: LineKind) -> Option<usize> {
        match kind {
            // the metadata of a payment names its capture, not this refund
            LineKind::Refund | LineKind::RefundFailure => self.refund_operation,
            // nor a dispute, which has no name of ours
            LineKind::Chargeback | LineKind::ChargebackReversal => None,
            // there is no column for the metadata of a payout: one of ours is described by its operation
            LineKind::Payout | LineKind::PayoutReversal => Some(self.description),
            LineKind::Capture | LineKind::Fee | LineKind::Adjustment => Some(self.operation),
        }
    }
}

fn kind_of(category: &str) -> LineKind {
    match category {
        "charge" => LineKind::Capture,
        "refund" => LineKind::Refund,
        "refund_failure" => LineKind::RefundFailure,
        "dispute" => LineKind::Chargeback,
        "dispute_reversal" => LineKind::ChargebackReversal,
        "fee" | "network_cost" => LineKind::Fee,
        "payout" => LineKind::Payout,
        "payout_reversal" => LineKind::PayoutReversal,
        // what is new to us moves our balance all the same, and a person looks at it
        _ => LineKind::Adjustment,
    }
}
