//! Amounts, currencies and fees.

use super::*;

#[test]
fn an_amount_is_written_as_the_map_says() {
    let amount = |settings: &str, text: &str, currency: &str| {
        let map = map(&MAP.replace("decimal = \",\"\nthousands = \".\"\n", settings));
        let row = format!("t1;fix;{text};0;{currency};2026-01-02 10:20:30");
        one(&map, HEADER, &row).gross
    };
    let point = "decimal = \".\"\n";
    assert_eq!(amount(point, "1234.5", "EUR"), 123_450);
    assert_eq!(amount(point, "-0.05", "EUR"), -5);
    assert_eq!(amount(point, "+1.50", "EUR"), 150);
    assert_eq!(amount(point, "\u{2212}1.50", "EUR"), -150);
    assert_eq!(amount(point, "1.234", "KWD"), 1_234);
    assert_eq!(amount(point, "500.00", "JPY"), 500);
    assert_eq!(amount(point, "-92233720368547758.08", "EUR"), i64::MIN);
    for separator in ["'", "’", " ", ",", "\u{a0}", "\u{202f}"] {
        let settings = format!("decimal = \".\"\nthousands = \"{separator}\"\n");
        assert_eq!(amount(&settings, &format!("1{separator}234{separator}567.89"), "EUR"), 123_456_789);
        assert_eq!(amount(&settings, "1234567.89", "EUR"), 123_456_789, "grouped or not");
    }
    assert_eq!(amount("decimal = \",\"\nnegative = \"trailing\"\n", "12,50-", "EUR"), -1_250);
    assert_eq!(amount("decimal = \",\"\nnegative = \"trailing\"\n", "12,50 -", "EUR"), -1_250);
    assert_eq!(amount("decimal = \",\"\nnegative = \"parentheses\"\n", "(12,50)", "EUR"), -1_250);
    let affixed = "decimal = \".\"\naffixes = { \"$\" = \"USD\", \"US$\" = \"USD\", \"EUR\" = \"EUR\" }\n";
    for text in ["-US$12.50", "US$-12.50", "-12.50 $", "-$12.50"] {
        assert_eq!(amount(affixed, text, "USD"), -1_250, "{text}");
    }
    assert_eq!(amount(affixed, "12.50 EUR", "EUR"), 1_250);
}

#[test]
fn minor_units_are_whole_numbers_of_any_currency() {
    let toml = MAP.replace("unit = \"major\"\ndecimal = \",\"\n", "unit = \"minor\"\n");
    for (text, currency, gross) in
        [("1.250", "EUR", 1_250), ("1250", "JPY", 1_250), ("-9223372036854775808", "KWD", i64::MIN)]
    {
        let row = format!("t1;fix;{text};0;{currency};2026-01-02 10:20:30");
        assert_eq!(one(&map(&toml), HEADER, &row).gross, gross);
    }
}

#[test]
fn the_sign_is_in_the_column_in_which_of_two_or_in_a_word() {
    let signed = |gross: &str, header: &str, row: &str| {
        let map = map_with("gross = \"gross\"", &format!("gross = {gross}"));
        let (header, row) =
            (format!("{HEADER};{header}"), format!("t1;fix;;0;EUR;2026-01-02 10:20:30;{row}"));
        one(&map, &header, &row).gross
    };
    let sides = r#"{ debit = "D", credit = "C" }"#;
    assert_eq!(signed(sides, "D;C", ";1,50"), 150);
    assert_eq!(signed(sides, "D;C", "1,50;"), -150);
    assert_eq!(signed(sides, "D;C", "1,50;0,00"), -150);
    let empty = r#"{ debit = "D", credit = "C", empty = "zero" }"#;
    let zero = map_with("gross = \"gross\"", &format!("gross = {empty}"));
    let zero = Map::clone(&zero);
    assert!(read(&zero, format!("{HEADER};D;C\nt1;cost;;0;EUR;2026-01-02 10:20:30;;\n").as_bytes()).is_ok());
    let word = r#"{ column = "A", direction = "W", debit = ["S", "Soll"], credit = "H" }"#;
    assert_eq!(signed(word, "A;W", "1,50;H"), 150);
    assert_eq!(signed(word, "A;W", "1,50;Soll"), -150);
    assert_eq!(signed(r#"{ sum = ["A", "B"] }"#, "A;B", "1,50;-0,20"), 130);
}

#[test]
fn two_of_gross_fee_and_net_give_the_third() {
    for (columns, row) in [
        (["gross = \"A\"", "fee = \"B\""], "1,00;0,25"),
        (["gross = \"A\"", "net = \"B\""], "1,00;0,75"),
        (["fee = \"A\"", "net = \"B\""], "0,25;0,75"),
    ] {
        let toml =
            MAP.replace("gross = \"gross\"\nfee = \"fee\"\n", &format!("{}\n{}\n", columns[0], columns[1]));
        let toml = if toml.contains("fee = ") {
            toml
        } else {
            toml.replace("fee_sign = \"positive_is_charged\"\n", "")
        };
        let line =
            one(&map(&toml), &format!("{HEADER};A;B"), &format!("t1;sale;;;EUR;2026-01-02 10:20:30;{row}"));
        assert_eq!((line.gross, line.fee, line.net), (100, 25, 75), "{columns:?}");
    }
    let none = map_with("fee = \"fee\"\nfee_sign = \"positive_is_charged\"", "fee = 0");
    let line = one(&none, HEADER, SALE);
    assert_eq!((line.gross, line.fee, line.net), (123_450, 0, 123_450));
}

#[test]
fn the_sign_of_fees_is_the_maps() {
    let toml = MAP.replace("positive_is_charged", "negative_is_charged").replace(
        "[time]",
        "fee_parts = { interchange = \"I\", scheme = { column = \"S\", empty = \"zero\" }, markup = \"M\" }\n[time]",
    );
    let row = "t1;sale;10,00;-0,30;EUR;2026-01-02 10:20:30;-0,20;;0,05";
    let line = one(&map(&toml), &format!("{HEADER};I;S;M"), row);
    assert_eq!((line.fee, line.net), (30, 970));
    let parts = line.fee_parts;
    assert_eq!((parts.interchange, parts.scheme, parts.markup), (Some(20), None, Some(-5)));
}

#[test]
fn what_the_buyer_paid_is_kept_where_it_is_in_another_currency() {
    let map = map_with("[time]", "[amount.presented]\namount = \"paid\"\ncurrency = \"in\"\n[time]");
    let presented = |row: &str| one(&map, &format!("{HEADER};paid;in"), &format!("{SALE};{row}")).presented;
    assert_eq!(presented("1.300;JPY"), Some(Money::new(1_300, Currency::JPY)));
    assert_eq!(presented("1.234,50;EUR"), None);
    assert_eq!(presented(";EUR"), None);
    assert_eq!(presented(";"), None);
}

#[test]
fn a_currency_is_a_code_a_word_or_the_same_in_all_lines() {
    let worded = map_with(
        "currency = \"currency\"",
        "currency = { column = \"currency\", words = { \"392\" = \"JPY\" } }",
    );
    let row = |currency: &str| format!("t1;fix;5;0;{currency};2026-01-02 10:20:30");
    assert_eq!(one(&worded, HEADER, &row("392")).currency, Currency::JPY);
    assert_eq!(one(&worded, HEADER, &row("eur")).currency, Currency::EUR);
    let constant = map_with("currency = \"currency\"", "currency = { constant = \"KWD\" }");
    assert_eq!(one(&constant, HEADER, &row("?")).gross, 5_000);
}
