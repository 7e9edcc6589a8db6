//! Settlement files.

use money::Currency;
use reconciliation::statement::{Format, Line, Statement};
use rust_decimal::Decimal;
use time::macros::format_description;

/// A file is refused, or each of its lines adds up; one of Stripe's is read alike when it is written down once more.
pub(crate) fn run(data: &[u8]) {
    let Some((format, lines)) = read(data) else { return };
    let mut last = 1;
    for line in &lines {
        assert!(line.line_no > last, "lines are numbered in their order");
        last = line.line_no;
        assert_eq!(line.gross.checked_sub(line.fee), Some(line.net));
        assert!(!line.psp_line_id.is_empty());
    }
    if format != Format::StripePayoutReconciliation {
        return;
    }
    let (_, again) = read(&written(&lines)).expect("what was read can be written and read");
    assert_eq!(lines.len(), again.len());
    for (line, again) in lines.iter().zip(again) {
        let again = Line { line_no: line.line_no, ..again };
        assert_eq!(*line, again);
    }
}

fn read(data: &[u8]) -> Option<(Format, Vec<Line>)> {
    let mut statement = Statement::open("fuzz.csv", data).ok()?;
    let mut lines = Vec::new();
    while let Some(line) = statement.next_line().ok()? {
        lines.push(line);
    }
    Some((statement.format(), lines))
}

const HEADER: [&str; 17] = [
    "automatic_payout_id",
    "automatic_payout_effective_at",
    "balance_transaction_id",
    "created",
    "available_on",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "charge_id",
    "payment_intent_id",
    "payment_metadata[payonce_operation]",
    "payment_metadata[order_id]",
    "refund_metadata[payonce_operation]",
];

fn written(lines: &[Line]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER).unwrap();
    for line in lines {
        writer.write_record(row(line)).unwrap();
    }
    writer.into_inner().unwrap()
}

fn row(line: &Line) -> [String; 17] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let moment = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    [
        text(&line.payout_id),
        line.payout_on.map(|day| format!("{day} 00:00:00")).unwrap_or_default(),
        line.psp_line_id.clone(),
        line.occurred_at.format(&moment).unwrap(),
        format!("{} 00:00:00", line.value_date),
        line.currency.code().to_ascii_lowercase(),
        major(line.gross, line.currency),
        major(line.fee, line.currency),
        major(line.net, line.currency),
        line.category.clone(),
        text(&line.psp_source),
        ours(line),
        text(&line.psp_movement),
        text(&line.psp_reference),
        ours(line),
        text(&line.order_id),
        ours(line),
    ]
}

/// The name of ours that one of three columns has, as the kind of line is.
fn ours(line: &Line) -> String {
    line.operation_id.map(|id| id.to_string()).unwrap_or_default()
}

fn major(minor: i64, currency: Currency) -> String {
    Decimal::new(minor, currency.exponent()).to_string()
}
