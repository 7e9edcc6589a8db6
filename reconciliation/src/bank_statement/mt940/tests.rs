use money::{Currency, Money};
use time::macros::date;

use crate::bank_statement::tests::{entries, read};
use crate::bank_statement::{Account, Balance, Closing, Entry, Head, Part};

/// Two pages of a statement in SWIFT's blocks, around a new year.
const SAMPLE: &str = "{1:F01BANKDEFFAXXX0000000000}{2:O9400000000000BANKDEFFAXXX00000000000000000000N}{4:\r\n\
:20:STARTUMSE\r\n\
:25:37040044/0532013000\r\n\
:28C:00006/001\r\n\
:60F:D251230EUR100,\r\n\
:61:2601021231CR9675,00NTRFNONREF//B1\r\n\
supplementary\r\n\
:86:166?00SEPA GUTSCHRIFT?109310?20EREF+po_1QX-0123456789abcde\r\n\
?21fghijk?22KREF+K1?23SVWZ+payout po_1QX?30DEUTDEFF?31DE8937040044\r\n\
0532013000?32Stripe Payments Eur?33ope Ltd\r\n\
:61:260102D5,NCHG12345//\r\n\
:62M:C251231EUR9570,\r\n\
-}{5:{CHK:123456789ABC}}{1:F01BANKDEFFAXXX0000000000}{2:I940BANKDEFFXXXXN}{4:\r\n\
:20:STARTUMSE\r\n\
:25:37040044/0532013000\r\n\
:28C:00006/002\r\n\
:60M:C251231EUR9570,\r\n\
:61:251231RDR25,00N022REF1//B2\r\n\
:86:/EREF/E-2/PREF/P-2/NAME/Sel/ler/REMI/came back /or/ not/\r\n\
:61:260102RC10,00FMSCREF2\r\n\
:86:plain text with an id that is bro\r\n\
ken: po_2\r\n\
:62F:C260102EUR9585,00\r\n\
:64:C260102EUR9585,00\r\n\
:86:about the whole\r\n\
-}{5:}\r\n";

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn expected() -> Vec<Part> {
    let opening = Balance { amount: eur(-10_000), on: date!(2025 - 12 - 30) };
    let closing = Balance { amount: eur(958_500), on: date!(2026 - 01 - 02) };
    let (new_year, old_year) = (date!(2026 - 01 - 02), date!(2025 - 12 - 31));
    let entry = |line_no, minor, code: &str, booked_on| Entry {
        line_no,
        amount: eur(minor),
        booked_on,
        value_on: booked_on,
        is_reversal: false,
        code: code.to_owned(),
        bank_reference: None,
        customer_reference: None,
        references: Vec::new(),
        counterparty: None,
        text: String::new(),
    };
    vec![
        Part::Begin(Head {
            line_no: 2,
            account: Account::new("37040044/0532013000").unwrap(),
            currency: Currency::EUR,
            statement_id: text("STARTUMSE"),
            sequence: text("00006/001"),
            opening: Some(opening),
        }),
        Part::Entry(Entry {
            value_on: new_year,
            bank_reference: text("B1"),
            customer_reference: text("po_1QX-0123456789abcdefghijk"),
            references: vec!["K1".to_owned()],
            counterparty: text("Stripe Payments Europe Ltd"),
            text: "supplementary\n166\nSEPA GUTSCHRIFT\n9310\nEREF+po_1QX-0123456789abcde\nfghijk\nKREF+K1\nSVWZ+payout po_1QX\n\
                   DEUTDEFF\nDE89370400440532013000\nStripe Payments Eur\nope Ltd"
                .to_owned(),
            ..entry(6, 967_500, "NTRF", old_year)
        }),
        Part::Entry(Entry { customer_reference: text("12345"), ..entry(11, -500, "NCHG", new_year) }),
        Part::Entry(Entry {
            is_reversal: true,
            bank_reference: text("B2"),
            customer_reference: text("REF1"),
            references: vec!["E-2".to_owned(), "P-2".to_owned()],
            counterparty: text("Sel/ler"),
            text: "/EREF/E-2/PREF/P-2/NAME/Sel/ler/REMI/came back /or/ not/".to_owned(),
            ..entry(18, 2_500, "N022", old_year)
        }),
        Part::Entry(Entry {
            is_reversal: true,
            customer_reference: text("REF2"),
            text: "plain text with an id that is bro\nken: po_2".to_owned(),
            ..entry(20, -1_000, "FMSC", new_year)
        }),
        Part::End(Closing {
            line_no: 23,
            opening: Some(opening),
            closing: Some(closing),
            total: 968_500,
            entries: 4,
            not_booked: 0,
            from: date!(2025 - 12 - 30),
            to: new_year,
        }),
    ]
}

#[test]
fn pages_are_read_as_one_statement_exactly() {
    assert_eq!(read(SAMPLE.as_bytes()).unwrap(), expected());
}

/// The same, without SWIFT's blocks.
fn bare() -> String {
    let lines = SAMPLE.lines().filter(|line| !line.starts_with("{1:"));
    lines.map(|line| if line.starts_with('-') { "-\n".to_owned() } else { format!("{line}\n") }).collect()
}

#[test]
fn blocks_and_ends_of_messages_may_be_missing() {
    let count = |content: String| entries(&read(content.as_bytes()).unwrap()).len();
    assert_eq!(count(bare()), 4);
    assert_eq!(count(bare().replace("-\n", "")), 4, "the next message ends the one before");
    assert_eq!(count(format!("\u{1}\r\n{}\u{3}", bare())), 4);
    assert_eq!(count(format!("\n  \n{}", bare().replace("-\n", "-\u{3}\n"))), 4);
    assert_eq!(count(format!("ABNANL2A\n940\nABNANL2A\n{}", bare())), 4);
    assert_eq!(count(format!("\u{feff}{}", bare())), 4);
    assert_eq!(count(format!("-\n{}", bare())), 4);
    assert_eq!(count(format!(":940:\n{}", bare().replace("-\n", ""))), 4);
    assert_eq!(count(bare().replace("-\n", "-XXX\n")), 4);
}

fn page(currency: &str, amount: &str, entry: &str) -> String {
    format!(
        ":20:A\n:25:1\n:28C:1\n:60F:C260105{currency}0,\n:61:{entry}\n:62F:C260105{currency}{amount}\n-\n"
    )
}

#[test]
fn currencies_keep_their_own_decimal_places() {
    for (code, written, minor) in [("JPY", "1000,", 1_000), ("BHD", "1,234", 1_234), ("EUR", "0,5", 50)] {
        let content = page(code, written, &format!("260105C{written}NTRFX"));
        let entry = entries(&read(content.as_bytes()).unwrap()).remove(0);
        assert_eq!(entry.amount, Money::new(minor, code.parse().unwrap()), "{written} {code}");
    }
}

#[test]
fn a_reference_may_stand_in_the_details_only() {
    let entry = |customer: &str, details: &str| {
        let content = page("EUR", "1,", &format!("260105C1,NTRF{customer}\n:86:{details}"));
        entries(&read(content.as_bytes()).unwrap()).remove(0).customer_reference
    };
    assert_eq!(entry("EREF", "/EREF/po_1/BENM//NAME/A"), text("po_1"));
    assert_eq!(entry("KREF+", "166?20EREF+po_?211"), text("po_1"));
    assert_eq!(entry("NONREF", "payout po_1"), None);
}

#[test]
fn letters_that_are_no_utf_8_are_windows_1252() {
    let mut content = bare().replace("supplementary", "M?ller").into_bytes();
    let at = content.windows(4).position(|window| window == b"M?ll").unwrap() + 1;
    content[at] = 0xfc;
    let entry = entries(&read(&content).unwrap()).remove(0);
    assert!(entry.text.starts_with("Müller\n"));
}

#[test]
fn what_is_wrong_with_a_statement_is_refused_by_its_place() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(SAMPLE.contains(from), "{from}");
        let error = read(SAMPLE.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("f, {expected}"));
    };
    for (from, to, expected) in [
        ("{2:O940", "{2:O942", "line 1: found a message MT942, expected MT940"),
        (":25:", ":26:", "line 3, column :26:: found it, expected :25:"),
        (":25:37040044/0532013000\r\n", ":25:\r\n", r#"line 3, column :25:: found "", expected an account"#),
        (
            "00006/001",
            "six/1",
            r#"line 4, column :28C:: found "six/1", expected a statement's number and its page's, such as 12/1"#,
        ),
        (
            ":60F:D",
            ":60F:X",
            r#"line 5, column :60F:: found "X251230EUR100,", expected C or D, for credit or debit"#,
        ),
        (
            ":60F:D251230EUR",
            ":60F:D251230XAU",
            r#"line 5, column :60F:: found "XAU", expected an ISO 4217 currency code such as EUR"#,
        ),
        (
            ":60F:",
            ":60M:",
            "line 5, column :60M:: found a further page, expected :60F:, or the page before it in the same file",
        ),
        (
            ":60M:C251231EUR9570,",
            ":60M:C251231EUR9571,",
            "line 17, column :60M:: found 9571.00 EUR, expected 9570.00 EUR, as on the page before",
        ),
        (
            ":60M:",
            ":60F:",
            "line 17, column :60F:: found a first page, expected the page that opens with 9570.00 EUR",
        ),
        (
            "00006/002",
            "00006/003",
            r#"line 14, column :28C:: found "00006/003", expected 6/2, after the page before"#,
        ),
        (
            ":61:2601021231CR",
            ":61:2601321231CR",
            r#"line 6, column :61:: found "2601321231CR9675,00NTRFNONREF//B1", expected a date such as 260131"#,
        ),
        (
            ":61:2601021231CR",
            ":61:2601021331CR",
            r#"line 6, column :61:: found "1331CR9675,00NTRFNONREF//B1", expected a day of booking such as 0131"#,
        ),
        (
            ":61:2601021231CR",
            ":61:2601021231EC",
            r#"line 6, column :61:: found "EC9675,00NTRFNONREF//B1", expected C, D, RC or RD, for credit, debit or the reversal of one"#,
        ),
        (
            "1231CR9675",
            "1231CX9675",
            r#"line 6, column :61:: found "X9675,00NTRFNONREF//B1", expected an amount, or R before it, which is the third letter of EUR"#,
        ),
        (
            "9675,00NTRF",
            "9675.00NTRF",
            r#"line 6, column :61:: found "9675.00NTRFNONREF//B1", expected an amount with a decimal comma, such as 12,05"#,
        ),
        (
            "9675,00NTRF",
            "9675,001NTRF",
            r#"line 6, column :61:: found "9675,001", expected at most 2 decimal places, as EUR has"#,
        ),
        (
            "9675,00NTRF",
            "9675,00XTRF",
            r#"line 6, column :61:: found "XTRFNONREF//B1", expected a type such as NTRF"#,
        ),
        (
            "D5,NCHG",
            "D6,NCHG",
            "line 12, column :62M:: found 9570.00 EUR, expected 9569.00 EUR: -100.00 EUR and 2 entries of 9669.00 EUR",
        ),
        (
            ":62F:C260102EUR9585,00",
            ":62F:C260102USD9585,00",
            "line 23, column :62F:: found 9585.00 USD, expected 9585.00 EUR: 9570.00 EUR and 2 entries of 15.00 EUR",
        ),
        (
            ":62F:C260102EUR9585,00",
            ":62F:C260102EUR9585,00x",
            r#"line 23, column :62F:: found "x", expected nothing after the amount"#,
        ),
        (
            ":64:C260102EUR9585,00",
            "hello",
            r#"line 23, column :62F:: found "hello", expected the next field, or the message's end"#,
        ),
        (":62F:", ":90D:", "line 23, column :90D:: found it, expected :61:, :62F: or :62M:"),
        (
            ":62F:C260102EUR9585,00\r\n:64:C260102EUR9585,00\r\n:86:about the whole\r\n",
            "",
            "line 23: found the message's end, expected :61:, :62F: or :62M:",
        ),
        (
            "-}{5:}\r\n",
            "",
            "line 25: found the file's end, expected -} at the message's end; is the file cut off?",
        ),
        (
            "-}{5:}\r\n",
            "-}{5:}\r\nhello",
            r#"line 27: found "hello", expected a message, which begins with :20:"#,
        ),
        ("supplementary", "supp\u{7}", r"line 7: found the control character '\u{7}', expected text"),
    ] {
        check(from, to, expected);
    }
    check(
        "B1\r\n",
        &format!("{}\r\n", "B".repeat(256)),
        &format!(r#"line 6, column :61:: found "{}…", expected at most 255 bytes"#, "B".repeat(60)),
    );
    check(
        "supplementary",
        &"x".repeat(1 << 15),
        "line 7: found a longer line, expected at most 16384 bytes in a line",
    );
}

#[test]
fn what_is_cut_off_is_refused() {
    let bare = bare();
    for announced in ["ABNANL2A", "{1:F01BANKDEFFAXXX0000000000}"] {
        let error = read(format!("{bare}{announced}\n").as_bytes()).unwrap_err();
        let expected =
            format!("f, line 26: found {announced:?}, expected a message after it; is the file cut off?");
        assert_eq!(error.to_string(), expected);
    }
    let end = bare.find(":62F:").unwrap();
    let cut = |content: &str| read(content.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        cut(&bare[..end]),
        "f, line 21: found the file's end, expected :61:, :62F: or :62M:; is the file cut off?"
    );
    let end = bare.find("-\n").unwrap();
    assert_eq!(
        cut(&bare[..end]),
        "f, line 11: found the file's end, expected the statement's next page; is the file cut off?"
    );
}
