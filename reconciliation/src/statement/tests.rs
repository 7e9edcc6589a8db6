use time::macros::{date, datetime};

use super::*;

const HEADER: &str = "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,available_on,currency,\
                      gross,fee,net,reporting_category,source_id,description,customer_facing_amount,\
                      customer_facing_currency,charge_id,payment_intent_id,payment_metadata[payonce_operation],\
                      payment_metadata[order_id]";
const CHARGE: &str = "po_1,2026-01-05 00:00:00,txn_1,2026-01-02 10:20:30,2026-01-04 00:00:00,eur,100.00,3.00,97.00,charge,\
                      ch_1,Order 1,100.00,eur,ch_1,pi_1,5ea98b1d-4fd1-846a-9e24-c99a5744a0ae,o-1";

fn read(content: &[u8]) -> Result<Vec<Line>, Error> {
    let mut statement = Statement::open("f.csv", content)?;
    let mut lines = Vec::new();
    while let Some(line) = statement.next_line()? {
        lines.push(line);
    }
    Ok(lines)
}

fn charge() -> Line {
    Line {
        line_no: 2,
        psp_line_id: "txn_1".to_owned(),
        kind: LineKind::Capture,
        category: "charge".to_owned(),
        gross: 10_000,
        fee: 300,
        net: 9_700,
        currency: Currency::EUR,
        presented: None,
        fee_parts: FeeParts::default(),
        method: None,
        occurred_at: datetime!(2026-01-02 10:20:30 UTC),
        value_date: date!(2026 - 01 - 04),
        payout_id: Some("po_1".to_owned()),
        payout_on: Some(date!(2026 - 01 - 05)),
        operation_id: Some("5ea98b1d-4fd1-846a-9e24-c99a5744a0ae".parse().unwrap()),
        order_id: Some("o-1".to_owned()),
        psp_reference: Some("pi_1".to_owned()),
        psp_movement: Some("ch_1".to_owned()),
        psp_source: Some("ch_1".to_owned()),
    }
}

#[test]
fn a_line_is_read_exactly() {
    assert_eq!(read(format!("{HEADER}\n{CHARGE}\n").as_bytes()).unwrap(), [charge()]);
}

#[test]
fn the_order_of_columns_and_the_dress_of_the_file_do_not_matter() {
    let turned = |row: &str| row.split(',').rev().collect::<Vec<_>>().join(",");
    let quoted_newline = CHARGE.replace("Order 1", "\"Order\n1, \"\"fast\"\"\"");
    for content in [
        format!("{}\n{}\n", turned(HEADER), turned(CHARGE)),
        format!("\u{feff}{HEADER}\r\n{CHARGE}\r\n"),
        format!("{HEADER}\n{CHARGE}"),
        format!("{HEADER}\n{quoted_newline}\n"),
        format!("\"{}\"\n{CHARGE}\n", HEADER.replace(',', "\",\"")),
    ] {
        assert_eq!(read(content.as_bytes()).unwrap(), [charge()], "{content}");
    }
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    let first = CHARGE.replace("Order 1", "\"a\n\n\nb\"");
    let second = CHARGE.replace("txn_1", "txn_2");
    let third = CHARGE.replace("txn_1", "txn_3");
    let content = format!("{HEADER}\n{first}\n\n{second}\n\n\n{third}\n{third},\n");
    for content in [content.clone(), content.replace('\n', "\r\n")] {
        let mut statement = Statement::open("f.csv", content.as_bytes()).unwrap();
        let mut next = || statement.next_line().map(|line| line.map(|line| line.line_no));
        assert_eq!([next().unwrap(), next().unwrap(), next().unwrap()], [Some(2), Some(7), Some(10)]);
        let refused = next().unwrap_err().to_string();
        assert_eq!(refused, "f.csv, line 11: found 19 fields, expected 18, as in the header");
    }
}

#[test]
fn a_file_without_lines_is_a_file() {
    assert_eq!(read(format!("{HEADER}\n").as_bytes()).unwrap(), []);
}

#[test]
fn the_hash_is_of_the_whole_content() {
    use sha2::{Digest as _, Sha256};
    let content = format!("\u{feff}{HEADER}\r\n{CHARGE}\r\n");
    let mut statement = Statement::open("f.csv", content.as_bytes()).unwrap();
    while statement.next_line().unwrap().is_some() {}
    assert_eq!(statement.sha256(), <[u8; 32]>::from(Sha256::digest(content.as_bytes())));
}

#[test]
fn categories_become_kinds() {
    for (category, kind) in [
        ("charge", LineKind::Capture),
        ("refund", LineKind::Refund),
        ("dispute", LineKind::Chargeback),
        ("dispute_reversal", LineKind::ChargebackReversal),
        ("fee", LineKind::Fee),
        ("network_cost", LineKind::Fee),
        ("payout", LineKind::Payout),
        ("payout_reversal", LineKind::PayoutReversal),
        ("other_adjustment", LineKind::Adjustment),
        ("partial_capture_reversal", LineKind::Adjustment),
        ("invented_tomorrow", LineKind::Adjustment),
    ] {
        let row = CHARGE.replace(",charge,", &format!(",{category},"));
        let line = read(format!("{HEADER}\n{row}\n").as_bytes()).unwrap().remove(0);
        assert_eq!((line.kind, line.category.as_str()), (kind, category));
        assert_eq!(LineKind::from_word(kind.as_str()), Some(kind));
    }
}

#[test]
fn a_refund_is_named_by_its_own_metadata_not_by_its_payments() {
    let row = CHARGE.replace(",charge,", ",refund,");
    let line = read(format!("{HEADER}\n{row}\n").as_bytes()).unwrap().remove(0);
    assert_eq!(line.operation_id, None);
    let id = "6ea98b1d-4fd1-846a-9e24-c99a5744a0ae";
    let content = format!("{HEADER},refund_metadata[payonce_operation]\n{row},{id}\n");
    assert_eq!(read(content.as_bytes()).unwrap().remove(0).operation_id, Some(id.parse().unwrap()));
}

#[test]
fn a_payout_is_named_by_its_description_alone() {
    let id = "6ea98b1d-4fd1-846a-9e24-c99a5744a0ae";
    for category in ["payout", "payout_reversal"] {
        for (description, named) in [("STRIPE PAYOUT", None), ("", None), (id, Some(id.parse().unwrap()))] {
            let row = CHARGE.replace(",charge,", &format!(",{category},")).replace("Order 1", description);
            let line = read(format!("{HEADER}\n{row}\n").as_bytes()).unwrap().remove(0);
            assert_eq!(line.operation_id, named, "{category} {description}");
        }
    }
}

#[test]
fn metadata_that_is_no_id_of_ours_names_nothing() {
    let row = CHARGE.replace("5ea98b1d-4fd1-846a-9e24-c99a5744a0ae", "somebody else's");
    assert_eq!(read(format!("{HEADER}\n{row}\n").as_bytes()).unwrap().remove(0).operation_id, None);
}

#[test]
fn a_refusal_names_file_line_column_found_and_expected() {
    let check = |content: String, expected: &str| {
        let error = read(content.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert_eq!(error.to_string(), expected);
    };
    let with = |from: &str, to: &str| format!("{HEADER}\n{CHARGE}\n{}\n", CHARGE.replacen(from, to, 1));
    let without = |column: &str| format!("{}\n", HEADER.replace(column, "other"));
    let in_header = "it in the header of an itemised payout reconciliation";
    for column in ["reporting_category", "payment_metadata[payonce_operation]", "net", "description"] {
        let expected = format!("f.csv, line 1, column {column}: found no such column, expected {in_header}");
        check(without(column), &expected);
    }
    check(String::new(), "f.csv: found nothing, expected a settlement file");
    check(
        "Id,Amount\n1,2\n".to_owned(),
        "f.csv, line 1: found \"Id,Amount\", expected the header of an itemised payout reconciliation (Stripe), a settlement \
         detail report (Adyen) or a settlement report (PayPal)",
    );
    check(
        format!("{HEADER},net\n"),
        "f.csv, line 1, column net: found the column twice, expected each column once",
    );
    check(
        with("eur", "xau"),
        r#"f.csv, line 3, column currency: found "xau", expected an ISO 4217 currency code such as EUR"#,
    );
    check(
        with("100.00", "1oo.00"),
        r#"f.csv, line 3, column gross: found "1oo.00", expected an amount in EUR such as -12.05"#,
    );
    check(
        with("3.00", "3.001"),
        r#"f.csv, line 3, column fee: found "3.001", expected at most 2 decimal places, as EUR has"#,
    );
    check(
        with("97.00", "97.01"),
        r#"f.csv, line 3, column net: found "97.01", expected gross 100.00 less fee 3.00"#,
    );
    check(
        with("2026-01-02 10:20:30", "02.01.2026"),
        r#"f.csv, line 3, column created: found "02.01.2026", expected a date or moment such as 2026-01-31 13:45:00"#,
    );
    check(
        with("2026-01-04 00:00:00", "2026-02-30"),
        r#"f.csv, line 3, column available_on: found "2026-02-30", expected a date or moment such as 2026-01-31 13:45:00"#,
    );
    check(
        with("txn_1", ""),
        r#"f.csv, line 3, column balance_transaction_id: found "", expected the line's id, such as txn_1"#,
    );
    check(
        with(",charge,", ",,"),
        r#"f.csv, line 3, column reporting_category: found "", expected a reporting category"#,
    );
    check(
        with("pi_1", &"p".repeat(256)),
        &format!(
            "f.csv, line 3, column payment_intent_id: found \"{}…\", expected at most 255 bytes, none of them a control \
             character",
            "p".repeat(60)
        ),
    );
    check(
        with("pi_1", "pi\u{0}"),
        r#"f.csv, line 3, column payment_intent_id: found "pi\0", expected at most 255 bytes, none of them a control character"#,
    );
    check(with(",o-1", ""), "f.csv, line 3: found 17 fields, expected 18, as in the header");
    check(
        format!("{HEADER}\n{CHARGE}\n{}", CHARGE.replace("o-1", "\"o-1\n")),
        "f.csv, line 3, column payment_metadata[order_id]: found \"o-1\\n\", expected at most 255 bytes, none of them a \
         control character",
    );
    check(
        format!("{HEADER},description_2\n{CHARGE},\"cut o"),
        "f.csv: found a quoted field without an end, expected as many closing quotes as opening ones; is the file cut off?",
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut content = format!("{HEADER}\n{CHARGE}\n").into_bytes();
    let at = content.windows(4).position(|window| window == b"pi_1").unwrap();
    content[at] = 0xff;
    assert_eq!(
        read(&content).unwrap_err().to_string(),
        "f.csv, line 2: found bytes that are no UTF-8 in field 16, expected UTF-8"
    );
}

#[test]
fn zero_decimal_currencies_keep_their_units() {
    let row = CHARGE.replace("eur,100.00,3.00,97.00", "jpy,100,3,97.00");
    let line = read(format!("{HEADER}\n{row}\n").as_bytes()).unwrap().remove(0);
    assert_eq!((line.gross, line.fee, line.net, line.currency), (100, 3, 97, Currency::JPY));
}
