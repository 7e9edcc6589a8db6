use money::{Currency, OperationId};
use time::macros::{date, datetime};

use crate::statement::{Error, FeeParts, Line, LineKind, Statement};

const COLUMNS: &str = r#""CH","Transaction ID","Invoice ID","PayPal Reference ID","PayPal Reference ID Type","Transaction Event Code","Transaction Initiation Date","Transaction Completion Date","Transaction Debit or Credit","Gross Transaction Amount","Gross Transaction Currency","Fee Debit or Credit","Fee Amount","Fee Currency","Custom Field""#;
const PAYMENT: &str = r#""SB","5AB","order-1","","","T0006","2026/01/02 10:20:30 +0100","2026/01/02 10:20:31 +0100","CR","10000","EUR","DR","300","EUR","5ea98b1d-4fd1-846a-9e24-c99a5744a0ae""#;
const REFUND: &str = r#""SB","5AC","order-1","5AB","TXN","T1107","2026/01/03 10:20:30 +0100","2026/01/03 10:20:31 +0100","DR","4000","EUR","CR","10","EUR","""#;

/// A report of `records`, with these footers of the section and the report: gross credits and debits, fee credits and debits,
/// count.
fn report(records: &[&str], [credits, debits, fee_credits, fee_debits, count]: [i64; 5]) -> String {
    let sums = format!(r#""EUR","{credits}","{debits}","{fee_credits}","{fee_debits}","CR","0","DR","0""#);
    format!(
        "\"RH\",\"2026/01/05 00:00:00 +0100\",\"A\",\"SHOPID\",\"009\"\n\"FH\",1\n\"SH\",\"2026/01/02 00:00:00 +0100\",\"2026/01/02 23:59:59 +0100\",\"SHOPID\",\"\"\n\
         {COLUMNS}\n{}\n\"SF\",{sums}\n\"SC\",{count}\n\"RF\",{sums}\n\"RC\",{count}\n\"FF\",1\n",
        records.join("\n")
    )
}

fn read(content: &str) -> Result<Vec<Line>, Error> {
    let mut statement = Statement::open("f.csv", content.as_bytes())?;
    let mut lines = Vec::new();
    while let Some(line) = statement.next_line()? {
        lines.push(line);
    }
    assert_eq!(statement.identity().as_deref(), Some("SHOPID/2026/01/05 00:00:00 +0100"));
    Ok(lines)
}

#[test]
fn a_payment_and_its_refund_are_read_exactly() {
    let lines = read(&report(&[PAYMENT, REFUND], [10_000, 4_000, 10, 300, 2])).unwrap();
    let payment = Line {
        line_no: 5,
        psp_line_id: "5AB/T0006/CR".to_owned(),
        kind: LineKind::Capture,
        category: "T0006".to_owned(),
        gross: 10_000,
        fee: 300,
        net: 9_700,
        currency: Currency::EUR,
        presented: None,
        fee_parts: FeeParts::default(),
        method: None,
        occurred_at: datetime!(2026-01-02 09:20:31 UTC),
        value_date: date!(2026 - 01 - 02),
        payout_id: None,
        payout_on: None,
        operation_id: "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae".parse::<OperationId>().ok(),
        order_id: Some("order-1".to_owned()),
        psp_reference: Some("5AB".to_owned()),
        psp_movement: None,
        psp_source: Some("5AB".to_owned()),
    };
    let refund = Line {
        line_no: 6,
        psp_line_id: "5AC/T1107/DR".to_owned(),
        kind: LineKind::Refund,
        category: "T1107".to_owned(),
        gross: -4_000,
        fee: -10,
        net: -3_990,
        occurred_at: datetime!(2026-01-03 09:20:31 UTC),
        value_date: date!(2026 - 01 - 03),
        operation_id: None,
        psp_source: Some("5AC".to_owned()),
        ..payment.clone()
    };
    assert_eq!(lines, [payment, refund]);
}

#[test]
fn sums_and_counts_have_to_be_those_of_the_records() {
    for (totals, expected) in [
        (
            [9_999, 0, 0, 300, 1],
            r#"f.csv, line 6: found "9999" EUR, expected 10000, the gross credits of the records before"#,
        ),
        (
            [10_000, 1, 0, 300, 1],
            r#"f.csv, line 6: found "1" EUR, expected 0, the gross debits of the records before"#,
        ),
        (
            [10_000, 0, 5, 300, 1],
            r#"f.csv, line 6: found "5" EUR, expected 0, the fee credits of the records before"#,
        ),
        (
            [10_000, 0, 0, 0, 1],
            r#"f.csv, line 6: found "0" EUR, expected 300, the fee debits of the records before"#,
        ),
        ([10_000, 0, 0, 300, 2], r#"f.csv, line 7: found "2", expected 1, the number of records before"#),
    ] {
        let error = read(&report(&[PAYMENT], totals)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn records_come_in_their_order() {
    let whole = report(&[PAYMENT], [10_000, 0, 0, 300, 1]);
    let without = |start: &str| -> String {
        let lines: Vec<&str> = whole.lines().filter(|line| !line.starts_with(start)).collect();
        lines.join("\n")
    };
    for (start, expected) in [
        ("\"FH\"", r#"f.csv, line 2: found "SH", expected "FH", the file's header"#),
        ("\"CH\"", r#"f.csv, line 4: found "SB", expected "CH", the names of columns"#),
        ("\"FF\"", r#"f.csv: found the end of the file, expected "FF", the file's footer"#),
    ] {
        assert_eq!(read(&without(start)).unwrap_err().to_string(), expected);
    }
    let twice = format!("{whole}{}", whole.lines().last().unwrap());
    assert_eq!(
        read(&twice).unwrap_err().to_string(),
        r#"f.csv, line 11: found "FF", expected nothing after "FF", the file's footer"#
    );
}

#[test]
fn a_refusal_names_line_column_found_and_expected() {
    for (from, to, expected) in [
        (
            "\"10000\"",
            "\"100.00\"",
            r#"column Gross Transaction Amount: found "100.00", expected digits alone, in the currency's smallest unit"#,
        ),
        ("\"CR\"", "\"XX\"", r#"column Transaction Debit or Credit: found "XX", expected CR or DR"#),
        (
            "\"300\",\"EUR\"",
            "\"300\",\"USD\"",
            r#"column Fee Currency: found "USD", expected EUR, as the amount is in"#,
        ),
        (
            "10:20:31 +0100",
            "10:20:31",
            r#"column Transaction Completion Date: found "2026/01/02 10:20:31", expected a moment such as 2026/01/31 13:45:00 +0100"#,
        ),
        ("\"5AB\"", "\"\"", r#"column Transaction ID: found "", expected the transaction's id"#),
        (
            "\"T0006\"",
            "\"\"",
            r#"column Transaction Event Code: found "", expected an event code such as T0006"#,
        ),
    ] {
        let record = PAYMENT.replacen(from, to, 1);
        let error = read(&report(&[&record], [10_000, 0, 0, 300, 1])).unwrap_err();
        assert_eq!(error.to_string(), format!("f.csv, line 5, {expected}"));
    }
}

#[test]
fn codes_become_kinds() {
    for (code, side, kind) in [
        ("T0000", "CR", LineKind::Capture),
        ("T0006", "DR", LineKind::Adjustment),
        ("T0001", "DR", LineKind::Payout),
        ("T0100", "DR", LineKind::Fee),
        ("T0400", "DR", LineKind::Payout),
        ("T1106", "DR", LineKind::Chargeback),
        ("T1107", "DR", LineKind::Refund),
        ("T1201", "DR", LineKind::Chargeback),
        ("T1202", "CR", LineKind::ChargebackReversal),
        ("T9999", "CR", LineKind::Adjustment),
    ] {
        let record = PAYMENT.replace("T0006", code).replacen("\"CR\"", &format!("\"{side}\""), 1);
        let totals = if side == "CR" { [10_000, 0, 0, 300, 1] } else { [0, 10_000, 0, 300, 1] };
        assert_eq!(read(&report(&[&record], totals)).unwrap().remove(0).kind, kind, "{code} {side}");
    }
}
