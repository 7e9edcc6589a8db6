use money::{Currency, Money};
use time::macros::date;

use crate::bank_statement::tests::{entries, read};
use crate::bank_statement::{Account, Balance, Closing, Entry, Head, Part};

/// Two groups: an account with all kinds of funds and continuations, and one in yen that tells no balances.
const SAMPLE: &str = "01,BANK,US,260107,0600,7,80,,2/
02,US,BANK,1,260106,2359,,2/
03,0123 456,,010,-10000,,,015,+958500,,Z,040,958500,,S,900000,58500,0/
88,100,970000,2,V,260107,,400,1500/
88,2,D,1,0,1500/
16,142,967500,V,260108,0930,B1,po_1QX,STRIPE PAYOUT, po_1QX/of January/
88,second line, with 1,000.00 in it/
16,698,500,,/
16,275,2500,S,1000,1000,500,B2,/
88,C2,/
88,REPO SWEEP
16,961,1000,D,2,0,600,1,400,,C3/
16,890,,,,,no money in this/
49,3850000,12/
98,3850000,1,14/
02,US,BANK,1,260106,,JPY,/
03,9,JPY,,,,/
16,399,5,0,,,/
49,5,3/
98,5,1,5/
99,3850005,2,21/
";

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn bare(line_no: i32, minor: i64, code: &str) -> Entry {
    Entry {
        line_no,
        amount: Money::new(minor, Currency::USD),
        booked_on: date!(2026 - 01 - 06),
        value_on: date!(2026 - 01 - 06),
        is_reversal: false,
        code: code.to_owned(),
        bank_reference: None,
        customer_reference: None,
        references: Vec::new(),
        counterparty: None,
        text: String::new(),
    }
}

fn expected() -> Vec<Part> {
    let on = date!(2026 - 01 - 06);
    let balance = |minor| Some(Balance { amount: Money::new(minor, Currency::USD), on });
    let head = |line_no, account: &str, currency, opening| Head {
        line_no,
        account: Account::new(account).unwrap(),
        currency,
        statement_id: text("BANK/260107/7"),
        sequence: None,
        opening,
    };
    let closing = |line_no, opening, closing, total, entries, not_booked| Closing {
        line_no,
        opening,
        closing,
        total,
        entries,
        not_booked,
        from: on,
        to: on,
    };
    vec![
        Part::Begin(head(3, "0123456", Currency::USD, balance(-10_000))),
        Part::Entry(Entry {
            value_on: date!(2026 - 01 - 08),
            bank_reference: text("B1"),
            customer_reference: text("po_1QX"),
            text: "STRIPE PAYOUT, po_1QX/of January\nsecond line, with 1,000.00 in it".to_owned(),
            ..bare(6, 967_500, "142")
        }),
        Part::Entry(bare(8, -500, "698")),
        Part::Entry(Entry {
            bank_reference: text("B2"),
            text: "C2,\nREPO SWEEP".to_owned(),
            ..bare(9, 2_500, "275")
        }),
        Part::Entry(Entry { customer_reference: text("C3"), ..bare(12, -1_000, "961") }),
        Part::End(closing(14, balance(-10_000), balance(958_500), 968_500, 4, 1)),
        Part::Begin(head(17, "9", Currency::JPY, None)),
        Part::Entry(Entry { amount: Money::new(5, Currency::JPY), ..bare(18, 5, "399") }),
        Part::End(closing(19, None, None, 5, 1, 0)),
    ]
}

#[test]
fn accounts_of_all_groups_are_read_exactly() {
    assert_eq!(read(SAMPLE.as_bytes()).unwrap(), expected());
}

#[test]
fn a_continued_record_goes_on_with_its_next_field() {
    // the bank's reference, then the customer's, then text
    let content = SAMPLE.replace("S,1000,1000,500,B2,/", "S,1000,1000,500/").replace("88,C2,/", "88,B2,C2/");
    let entry = entries(&read(content.as_bytes()).unwrap()).remove(2);
    assert_eq!(
        (entry.bank_reference, entry.customer_reference, entry.text),
        (text("B2"), text("C2"), "REPO SWEEP".to_owned())
    );
}

#[test]
fn lines_may_be_padded_and_end_in_either_way() {
    let padded: String = SAMPLE.lines().map(|line| format!("{line:<80}\r\n")).collect();
    assert_eq!(read(padded.as_bytes()).unwrap(), expected());
    assert_eq!(read(SAMPLE.trim_end().as_bytes()).unwrap(), expected());
}

#[test]
fn what_mock_bank_writes_is_read() {
    let parts = read(include_bytes!("mock_bank.bai")).unwrap();
    let entry = entries(&parts).remove(0);
    assert_eq!(entry.amount, Money::new(97_000, Currency::USD));
    assert_eq!(
        (entry.bank_reference, entry.customer_reference, entry.text),
        (text("po_1QY"), text("RF18539007547034"), "Stripe, Inc/US".to_owned())
    );
}

#[test]
fn what_is_wrong_with_a_file_is_refused_by_its_place() {
    for (from, to, expected) in [
        (
            ",80,,2/",
            ",80,,3/",
            r#"line 1, column 01 version number: found "3", expected 2, as this is how BAI2 is read"#,
        ),
        (
            "260107,0600",
            "260132,0600",
            r#"line 1, column 01 creation date: found "260132", expected a date such as 260131"#,
        ),
        (
            "260107,0600",
            "260107,0660",
            r#"line 1, column 01 creation time: found "0660", expected a time such as 2359"#,
        ),
        (
            "02,US,BANK,1,",
            "02,US,BANK,2,",
            r#"line 2, column 02 group status: found "2", expected 1: 2 is a deletion, 3 a correction and 4 a test"#,
        ),
        (
            "2359,,2/",
            "2359,,3/",
            r#"line 2, column 02 as-of date modifier: found "3", expected 2 or 4, which are final: 1 and 3 are interim reports"#,
        ),
        (
            "2359,,2/",
            "2359,,2,x/",
            r#"line 2, column the last field: found "x", expected nothing more in the record"#,
        ),
        (
            "2359,,2/",
            "2359,usd,2/",
            r#"line 2, column 02 currency: found "usd", expected an ISO 4217 currency code such as EUR"#,
        ),
        ("03,0123 456", "03,", r#"line 3, column 03 account number: found "", expected an account"#),
        (
            "010,-10000",
            "0l0,-10000",
            r#"line 3, column 03 type code: found "0l0", expected a type code such as 010"#,
        ),
        (
            "010,-10000",
            "010,-100.00",
            r#"line 3, column 03 amount: found "-100.00", expected an amount in minor units such as 1205"#,
        ),
        ("040,958500", "015,958500", r#"line 3, column 03 type code: found "015", expected it once"#),
        (
            "V,260107,",
            "Q,260107,",
            r#"line 4, column 03 funds type: found "Q", expected 0, 1, 2, S, V, D, Z or nothing"#,
        ),
        ("D,1,0,1500", "D,x,0,1500", r#"line 5, column 03 distributions: found "x", expected a number"#),
        (
            "100,970000,2",
            "100,970000,3",
            "line 4, column 03 100: found 3 items, expected 2, as there are entries",
        ),
        (
            "V,260108",
            "V,260140",
            r#"line 6, column 16 value date: found "260140", expected a date such as 260131"#,
        ),
        (
            "16,142,967500",
            "16,142,+967500",
            r#"line 6, column 16 amount: found "+967500", expected an amount without a sign, which is the type's"#,
        ),
        (
            "16,142,",
            "16,100,",
            r#"line 6, column 16 type code: found "100", expected the type of one entry, not of their total"#,
        ),
        (
            "16,142,",
            "16,721,",
            r#"line 6, column 16 type code: found "721", expected no loan, as its types tell no direction"#,
        ),
        (
            "16,142,",
            "16,905,",
            r#"line 6, column 16 type code: found "905", expected a type of credits (101-399, 920-959) or of debits (401-699, 960-999)"#,
        ),
        (
            "16,698,500",
            "16,698,501",
            r#"line 14, column 49 account control total: found "3850000", expected 3850001, the sum of the account's amounts"#,
        ),
        (
            "49,3850000,12/",
            "49,3850000,11/",
            r#"line 14, column 49 number of records: found "11", expected 12, as there are records of the account"#,
        ),
        (
            "98,3850000,1,14/",
            "98,3850001,1,14/",
            r#"line 15, column 98 group control total: found "3850001", expected 3850000, the sum of the accounts' totals"#,
        ),
        (
            "98,3850000,1,14/",
            "98,3850000,2,14/",
            r#"line 15, column 98 number of accounts: found "2", expected 1, as there are accounts"#,
        ),
        (
            "98,3850000,1,14/",
            "98,3850000,1,13/",
            r#"line 15, column 98 number of records: found "13", expected 14, as there are records in the group"#,
        ),
        (
            "99,3850005,2,21/",
            "99,3850005,1,21/",
            r#"line 21, column 99 number of groups: found "1", expected 2, as there are groups"#,
        ),
        (
            "99,3850005,2,21/",
            "99,3850005,2/",
            r#"line 21, column 99 number of records: found "", expected a number"#,
        ),
        ("99,3850005,2,21/\n", "", "line 20: found the file's end, expected 02 or 99; is the file cut off?"),
        ("49,5,3/\n", "", "line 19: found a record 98, expected 16, 88 or 49"),
        (
            "16,399,5,0,,,/",
            "17,399,5,0,,,/",
            r#"line 18: found "17,399,5,0,,,/", expected a record 01, 02, 03, 16, 49, 98 or 99"#,
        ),
    ] {
        assert!(SAMPLE.contains(from), "{from}");
        let error = read(SAMPLE.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("f, {expected}"));
    }
}

#[test]
fn what_does_not_add_up_is_refused_though_its_control_totals_do() {
    // the sum of both is as before
    let content = SAMPLE.replace("015,+958500", "015,+958501").replace("040,958500", "040,958499");
    assert_eq!(
        read(content.as_bytes()).unwrap_err().to_string(),
        "f, line 14, column 03 015: found 9585.01 USD, expected 9585.00 USD: -100.00 USD and 4 entries of 9685.00 USD"
    );
    let content = SAMPLE.replace("100,970000", "100,970001").replace("040,958500", "040,958499");
    assert_eq!(
        read(content.as_bytes()).unwrap_err().to_string(),
        "f, line 4, column 03 100: found 9700.01 USD, expected the entries' sum, 9700.00 USD"
    );
}

#[test]
fn nothing_may_follow_the_file() {
    let error = read(format!("{SAMPLE}{SAMPLE}").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "f, line 22: found a record 01, expected the file's end");
}
