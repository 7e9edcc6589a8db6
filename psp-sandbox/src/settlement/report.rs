//! Writing the report, a stretch of lines at a time.

use std::sync::Arc;

use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Change, Discrepancy};
use crate::model::currency::Currency;
use crate::model::id::Kind;
use crate::model::{BalanceTransaction, Intent, Metadata, Payout, Source};
use crate::render::reporting_category;
use crate::world::World;

/// Balance transactions read under one lock.
const STRETCH: usize = 500;

const COLUMNS: [&str; 20] = [
    "automatic_payout_id",
    "automatic_payout_effective_at_utc",
    "automatic_payout_effective_at",
    "balance_transaction_id",
    "created_utc",
    "created",
    "available_on_utc",
    "available_on",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
    "charge_id",
    "payment_intent_id",
    "payment_method_type",
];

/// What the report should have beside its fixed columns.
#[derive(Clone, Debug)]
pub struct ReportRequest {
    /// A `payment_metadata[…]` column for each.
    pub payment_metadata: Vec<String>,
    /// A `refund_metadata[…]` column for each.
    pub refund_metadata: Vec<String>,
    /// Whether the payout's own movement is a line too. It is not in the real report, whose lines add up
    /// to the payout.
    pub include_payout: bool,
}

impl Default for ReportRequest {
    fn default() -> Self {
        Self {
            payment_metadata: vec!["payonce_operation".to_owned(), "order_id".to_owned()],
            refund_metadata: vec!["payonce_operation".to_owned()],
            include_payout: false,
        }
    }
}

/// One payout's part of the report.
pub struct Report {
    request: Arc<ReportRequest>,
    discrepancies: Arc<Vec<Discrepancy>>,
    struck: Vec<u32>,
    payout: Arc<Payout>,
    line: u64,
}

/// What a line says, before it is text.
#[derive(Clone)]
struct Row {
    transaction: String,
    created_ms: i64,
    available_ms: i64,
    currency: Currency,
    gross: i64,
    fee: i64,
    category: &'static str,
    source: String,
    charge: String,
    intent: String,
    description: String,
    payment_metadata: Arc<Metadata>,
    refund_metadata: Arc<Metadata>,
    /// How the buyer paid.
    method: &'static str,
    /// Amounts are written in this currency's digits even when the line names another.
    exponent: u32,
}

impl Report {
    /// The report of one payout.
    pub fn new(
        request: Arc<ReportRequest>,
        discrepancies: Arc<Vec<Discrepancy>>,
        payout: Arc<Payout>,
    ) -> Self {
        Self { request, struck: vec![0; discrepancies.len()], discrepancies, payout, line: 0 }
    }

    /// The header line.
    pub fn header(request: &ReportRequest) -> csv::Result<Vec<u8>> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let payment = request.payment_metadata.iter();
        let refund = request.refund_metadata.iter();
        let named = payment.map(|key| format!("payment_metadata[{key}]"));
        let named = named.chain(refund.map(|key| format!("refund_metadata[{key}]")));
        let fixed = COLUMNS.iter().map(|column| (*column).to_owned());
        out.write_record(fixed.chain(named))?;
        finish(out)
    }

    /// How many calls of [`Report::stretch`] cover the payout.
    pub fn stretches(&self) -> usize {
        self.payout.items.len().div_ceil(STRETCH).max(1)
    }

    /// The `number`-th stretch of lines, counted from zero and asked for in order.
    pub fn stretch(&mut self, world: &World, number: usize) -> csv::Result<Vec<u8>> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let payout = Arc::clone(&self.payout);
        let items = payout.items.chunks(STRETCH).nth(number);
        for seq in items.unwrap_or_default() {
            let Some(moved) = world.transaction_at(*seq) else {
                continue;
            };
            self.line += 1;
            for row in self.planted(world, Row::new(world, moved)) {
                out.write_record(self.fields(world, &row))?;
            }
        }
        if self.request.include_payout
            && number + 1 == self.stretches()
            && let Some(moved) = world.transaction_at(payout.balance_transaction)
        {
            out.write_record(self.fields(world, &Row::new(world, moved)))?;
        }
        finish(out)
    }

    /// The lines that stand for one true line.
    fn planted(&mut self, world: &World, row: Row) -> Vec<Row> {
        let mut rows = vec![row];
        let all = Arc::clone(&self.discrepancies);
        for (at, discrepancy) in all.iter().enumerate() {
            let Some(first) = rows.first() else {
                break;
            };
            if self.struck[at] >= discrepancy.times || !self.matches(world, discrepancy, first) {
                continue;
            }
            self.struck[at] += 1;
            match &discrepancy.change {
                Change::DropLine => rows.clear(),
                Change::DuplicateLine => rows.push(rows[0].clone()),
                Change::ChangeAmount { by_minor } => rows[0].gross += by_minor,
                Change::ChangeCurrency { currency } => rows[0].currency = *currency,
                Change::UnknownLine { gross_minor, fee_minor } => {
                    let unknown = rows[0].unknown(discrepancy.id, *gross_minor, *fee_minor);
                    rows.push(unknown);
                }
            }
        }
        rows
    }

    fn matches(&self, world: &World, discrepancy: &Discrepancy, row: &Row) -> bool {
        let wanted = &discrepancy.matches;
        let payout = world.nonce.id(Kind::Payout, self.payout.seq);
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&wanted.payout, payout.as_str())
            && is(&wanted.payment_intent, &row.intent)
            && is(&wanted.reporting_category, row.category)
            && wanted.line.is_none_or(|line| line == self.line)
            && wanted.metadata.iter().all(|(key, value)| row.payment_metadata.get(key) == Some(value))
    }

    fn fields(&self, world: &World, row: &Row) -> Vec<String> {
        let paid = when(self.payout.created_ms);
        let (created, available) = (when(row.created_ms), when(row.available_ms));
        let major = |minor: i64| Decimal::new(minor, row.exponent).to_string();
        let mut fields = vec![
            world.nonce.id(Kind::Payout, self.payout.seq).to_string(),
            paid.clone(),
            paid,
            row.transaction.clone(),
            created.clone(),
            created,
            available.clone(),
            available,
            row.currency.to_string(),
            major(row.gross),
            major(row.fee),
            major(row.gross - row.fee),
            row.category.to_owned(),
            row.source.clone(),
            row.description.clone(),
        ];
        let facing = !row.charge.is_empty();
        fields.push(if facing { major(row.gross) } else { String::new() });
        let currency = if facing { row.currency.as_str() } else { "" };
        fields.push(currency.to_owned());
        fields.push(row.charge.clone());
        fields.push(row.intent.clone());
        fields.push(row.method.to_owned());
        let value = |metadata: &Metadata, key: &String| metadata.get(key).unwrap_or_default().to_owned();
        let payment = self.request.payment_metadata.iter();
        fields.extend(payment.map(|key| value(&row.payment_metadata, key)));
        let refund = self.request.refund_metadata.iter();
        fields.extend(refund.map(|key| value(&row.refund_metadata, key)));
        fields
    }
}

impl Row {
    fn new(world: &World, moved: &BalanceTransaction) -> Self {
        let nonce = world.nonce;
        let (source, charge, intent, refund) = match moved.source {
            Source::Charge(seq) => {
                let charge = world.charge_at(seq);
                let intent = charge.and_then(|charge| world.intent_at(charge.intent));
                (nonce.id(Kind::Charge, seq), Some(seq), intent, None)
            }
            Source::Refund(seq) | Source::RefundFailure(seq) => {
                let refund = world.refund_at(seq);
                let intent = refund.and_then(|refund| world.intent_at(refund.intent));
                let charge = refund.map(|refund| refund.charge);
                (nonce.id(Kind::Refund, seq), charge, intent, refund)
            }
            Source::Dispute(seq) | Source::DisputeReversal(seq) => {
                let dispute = world.dispute_at(seq);
                let intent = dispute.and_then(|dispute| world.intent_at(dispute.intent));
                (nonce.id(Kind::Dispute, seq), dispute.map(|dispute| dispute.charge), intent, None)
            }
            Source::Payout(seq) | Source::ManualPayout(seq) | Source::PayoutFailure(seq) => {
                (nonce.id(Kind::Payout, seq), None, None, None)
            }
        };
        let description = match moved.source {
            Source::ManualPayout(seq) | Source::PayoutFailure(seq) => {
                let manual = world.payout_at(seq).and_then(|payout| payout.manual.as_ref());
                manual.and_then(|manual| manual.description.as_deref()).unwrap_or("STRIPE PAYOUT").to_owned()
            }
            _ => String::new(),
        };
        let intent_id = |intent: &Arc<Intent>| nonce.id(Kind::Intent, intent.seq).to_string();
        Self {
            transaction: nonce.id(Kind::BalanceTransaction, moved.seq).to_string(),
            created_ms: moved.created_ms,
            available_ms: moved.available_ms,
            currency: moved.currency,
            gross: moved.amount,
            fee: moved.fee,
            category: reporting_category(moved.source),
            source: source.to_string(),
            description,
            charge: charge.map_or_else(String::new, |seq| nonce.id(Kind::Charge, seq).to_string()),
            intent: intent.map(intent_id).unwrap_or_default(),
            payment_metadata: intent.map(|it| Arc::clone(&it.metadata)).unwrap_or_default(),
            refund_metadata: refund.map(|it| Arc::clone(&it.metadata)).unwrap_or_default(),
            method: charge.and_then(|seq| world.charge_at(seq)).map_or("", |charge| charge.card.kind()),
            exponent: moved.currency.exponent(),
        }
    }

    /// A charge nobody made, beside this one.
    fn unknown(&self, number: u32, gross: i64, fee: i64) -> Self {
        Self {
            transaction: format!("txn_unknown{number}"),
            source: format!("ch_unknown{number}"),
            charge: format!("ch_unknown{number}"),
            intent: format!("pi_unknown{number}"),
            category: "charge",
            description: String::new(),
            gross,
            fee,
            payment_metadata: Arc::default(),
            refund_metadata: Arc::default(),
            ..self.clone()
        }
    }
}

fn finish(out: csv::Writer<Vec<u8>>) -> csv::Result<Vec<u8>> {
    out.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// `YYYY-MM-DD HH:MM:SS` in UTC.
fn when(milliseconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000))
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_default()
}
