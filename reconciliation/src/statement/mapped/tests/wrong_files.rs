//! Files that are not what their map says, and exactly what is said of them.

use super::*;

/// What is said of the file with these rows, by the map with this part replaced.
fn of_file(from: &str, to: &str, content: &str) -> String {
    match read(&map_with(from, to), content.as_bytes()) {
        Err(Error::Refused(refusal)) => refusal.to_string(),
        other => panic!("{content}: {other:?}"),
    }
}

#[test]
fn a_file_that_its_map_does_not_describe_is_refused_with_line_and_column() {
    let with = |from: &str, to: &str| {
        let second = SALE.replacen("t1", "t2", 1);
        assert!(second.contains(from), "{from}");
        format!("{HEADER}\n{SALE}\n{}\n", second.replacen(from, to, 1))
    };
    let header = |header: &str| format!("{header}\n{SALE}\n");
    for (content, expected) in [
        (String::new(), ": found nothing, expected a settlement file"),
        (
            header("id;type;gross;cost;currency;at"),
            ", line 1, column fee: found no such column, expected it in the header of a file of the map acme",
        ),
        (
            header(&format!("{HEADER};fee ")),
            ", line 1, column fee: found the column twice, expected each column once",
        ),
        (with("EUR;", "EUR;;"), ", line 3: found 7 fields, expected 6, as in the header"),
        (with("EUR;", ""), ", line 3: found 5 fields, expected 6, as in the header"),
        (
            with("EUR", "EURO"),
            ", line 3, column currency: found \"EURO\", expected an ISO 4217 currency code such as EUR, or a word of the map",
        ),
        (
            with("EUR", "XAU"),
            ", line 3, column currency: found \"XAU\", expected an ISO 4217 currency code such as EUR, or a word of the map",
        ),
        (
            with("1.234,50", ""),
            ", line 3, column gross: found \"\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "1.23.4"),
            ", line 3, column gross: found \"1.23.4\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "1234.567,00"),
            ", line 3, column gross: found \"1234.567,00\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", ".234,50"),
            ", line 3, column gross: found \".234,50\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "1,234.50"),
            ", line 3, column gross: found \"1,234.50\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "12,"),
            ", line 3, column gross: found \"12,\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "1e3"),
            ", line 3, column gross: found \"1e3\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "12,50 EUR"),
            ", line 3, column gross: found \"12,50 EUR\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "12,50-"),
            ", line 3, column gross: found \"12,50-\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "(12,50)"),
            ", line 3, column gross: found \"(12,50)\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "--1"),
            ", line 3, column gross: found \"--1\", expected an amount in EUR such as -1.234,05",
        ),
        (
            with("1.234,50", "12,505"),
            ", line 3, column gross: found \"12,505\", expected at most 2 decimal places, as EUR has",
        ),
        (
            with("1.234,50", "99999999999999999999"),
            ", line 3, column gross: found \"99999999999999999999\", expected an amount in EUR that fits 64 bits of minor units",
        ),
        (
            with("34,50;EUR", "34,50;JPY"),
            ", line 3, column gross: found \"1.234,50\", expected at most 0 decimal places, as JPY has",
        ),
        (
            with(";34,50", ";-92233720368547758,08"),
            ", line 3, column gross: found \"1.234,50\", expected amounts that fit 64 bits of minor units",
        ),
        (
            with("1.234,50", "-1,00"),
            ", line 3, column gross: found \"-1,00\", expected an amount that is not less than 0, as capture is",
        ),
        (
            with("sale", "refund"),
            ", line 3, column gross: found \"1.234,50\", expected an amount that is not more than 0, as refund is",
        ),
        (
            with("sale", "Sale"),
            ", line 3, column type: found \"Sale\", expected a word of the map: \"cost\", \"fix\", \"refund\", \"sale\"",
        ),
        (
            with("sale;1.234,50", "fix;0"),
            ", line 3, column gross: found \"0\", expected another amount: the map has no kind for \"fix\" of 0",
        ),
        (
            with("2026-01-02 ", ""),
            ", line 3, column at: found \"10:20:30\", expected a moment such as 2026-01-31 13:45:00",
        ),
        (
            with("2026-01-02", "2026-02-30"),
            ", line 3, column at: found \"2026-02-30 10:20:30\", expected a moment such as 2026-01-31 13:45:00",
        ),
        (
            with("2026-01-02 10", "2026-03-29 02"),
            ", line 3, column at: found \"2026-03-29 02:20:30\", expected a time that the clocks of its zone showed: they were put forward past it",
        ),
        (with("t2", ""), ", line 3, column id: found \"\", expected a name that is not empty"),
        (
            with("t2", &"t".repeat(256)),
            &format!(
                ", line 3, column id: found \"{}…\", expected at most 255 bytes, none of them a control character",
                "t".repeat(60)
            ),
        ),
        (
            with("t2", "t\u{1b}"),
            ", line 3, column id: found \"t\\u{1b}\", expected at most 255 bytes, none of them a control character",
        ),
        (
            with("2026-01-02", "\"2026-01-02"),
            ": found a quoted field without an end, expected as many closing quotes as opening ones; is the file cut off?",
        ),
    ] {
        assert_eq!(of_file("acme", "acme", &content), format!("f.csv{expected}"), "{content}");
    }
}

#[test]
fn what_stands_in_several_columns_is_refused_where_it_is() {
    let check = |from: &str, to: &str, header: &str, row: &str, expected: &str| {
        let content = format!("{HEADER};{header}\n{SALE};{row}\n");
        assert_eq!(of_file(from, to, &content), format!("f.csv, line 2, {expected}"), "{row}");
    };
    let sides = r#"gross = { debit = "D", credit = "C" }"#;
    let side = |row, expected| check("gross = \"gross\"", sides, "D;C", row, expected);
    side("1,00;2,00", "column C: found \"2,00\", expected nothing, as there is a debit");
    side(";", "column C: found \"\", expected an amount here or in the column of debits");
    side("-1,00;", "column D: found \"-1,00\", expected an amount in EUR without a sign, such as 1.234,05");
    let word = r#"gross = { column = "A", direction = "W", debit = "S", credit = ["H"] }"#;
    let word = |row, expected| check("gross = \"gross\"", word, "A;W", row, expected);
    word("1,00;X", "column W: found \"X\", expected one of \"H\", \"S\"");
    word("-1,00;S", "column A: found \"-1,00\", expected an amount in EUR without a sign, such as 1.234,05");
    let net = "fee_sign = \"positive_is_charged\"\nnet = \"net\"";
    let net = |row, expected| check("fee_sign = \"positive_is_charged\"", net, "net", row, expected);
    net("1.200,01", "column net: found \"1.200,01\", expected gross 1234.50 EUR less a fee of 34.50 EUR");
    let affixes = "thousands = \".\"\naffixes = { \"$\" = \"USD\" }";
    let content = format!("{HEADER}\n{}\n", SALE.replace("1.234,50", "$1.234,50"));
    assert_eq!(
        of_file("thousands = \".\"", affixes, &content),
        "f.csv, line 2, column gross: found \"$1.234,50\", expected an amount in EUR, where \"$\" says USD"
    );
    let presented = "[amount.presented]\namount = \"paid\"\ncurrency = \"in\"\n[time]";
    let presented = |row, expected| check("[time]", presented, "paid;in", row, expected);
    presented(
        "1,00;EUR",
        "column paid: found \"1,00\", expected the gross of 1234.50 EUR, as it is in the same currency",
    );
    presented(
        "1,00;",
        "column in: found \"\", expected an ISO 4217 currency code such as EUR, or a word of the map",
    );
    let zone = "zone = { column = \"zone\", words = { MEZ = \"+01:00\" } }";
    check(
        "zone = \"Europe/Berlin\"",
        zone,
        "zone",
        "MESZ",
        &format!("column zone: found \"MESZ\", expected {A_ZONE}"),
    );
    let joined = format!("{0};{0}", "x".repeat(200));
    let expected = "column a: found \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\", expected columns that make a name of at most 255 bytes \
                    together";
    check("id = \"id\"", "id = [\"a\", \"b\"]", "a;b", &joined, expected);
}

#[test]
fn a_trailer_that_is_missing_wrong_or_not_the_last_refuses_the_file() {
    let trailer = "[trailer]\nword = \"END\"\ncount = 2\nsums = { gross = 3 }\n[time]";
    let check = |rest: &str, expected: &str| {
        assert_eq!(
            of_file("[time]", trailer, &format!("{HEADER}\n{SALE}\n{rest}")),
            format!("f.csv{expected}"),
            "{rest}"
        );
    };
    check("", ": found the end of the file, expected a last record with \"END\"; is the file cut off?");
    check("END;2;1.234,50\n", ", line 3: found \"2\", expected 1, the number of records before");
    check("END;+1;1.234,50\n", ", line 3: found \"+1\", expected 1, the number of records before");
    check("END\n", ", line 3: found \"\", expected 1, the number of records before");
    check(
        "END;1;1.234,51\n",
        ", line 3: found \"1.234,51\", expected 1234.50 EUR, the sum of column gross in the lines before",
    );
    check(
        "END;1;x\n",
        ", line 3: found \"x\", expected an amount in EUR such as -1.234,05, the sum of column gross",
    );
    check(
        &format!("END;1;1.234,50\n{SALE}\n"),
        ", line 4: found a record, expected nothing after the trailer in line 3",
    );
    let yen = "t2;sale;1;0;JPY;2026-01-02 10:20:30";
    check(
        &format!("{yen}\nEND;2;1,00\n"),
        ", line 4: found lines in EUR, JPY, expected one currency, as sums are of one",
    );
}

#[test]
fn a_file_of_two_documents_is_refused() {
    let document = "[document]\ncolumns = [\"account\"]\n[time]";
    let content = format!("{HEADER};account\n{SALE};4711\n{SALE};4712\n");
    let expected =
        "f.csv, line 3, column account: found \"4712\", expected what makes \"4711\", as in the lines before";
    assert_eq!(of_file("[time]", document, &content), expected);
}

#[test]
fn bytes_that_mean_nothing_are_refused_and_never_replaced() {
    let check = |encoding: &str, skipped: &str, bytes: &[u8], expected: &str| {
        let map = map_with("[line]", &format!("encoding = \"{encoding}\"\n{skipped}[line]"));
        assert_eq!(read(&map, bytes).unwrap_err().to_string(), format!("f.csv{expected}"));
    };
    let row = SALE.as_bytes();
    let with = |bad: &[u8]| [HEADER.as_bytes(), b"\n", row, b"\n", bad, row, b"\n"].concat();
    check("utf-8", "", &with(b"\xff"), ", line 3: found bytes that are no UTF-8, expected text in UTF-8");
    check(
        "shift_jis",
        "",
        &with(b"\x81\x00"),
        ", line 3: found bytes that are no Shift_JIS, expected text in Shift_JIS",
    );
    let skipped = [b"\xff\n".as_slice(), &with(b"")].concat();
    check(
        "utf-8",
        "skip_lines = 1\n",
        &skipped,
        ", line 1: found bytes that are no UTF-8, expected text in UTF-8",
    );
    let utf16: Vec<u8> =
        format!("{HEADER}\n").encode_utf16().flat_map(u16::to_le_bytes).chain([b'x']).collect();
    check("utf-16le", "", &utf16, ", line 2: found bytes that are no UTF-16LE, expected text in UTF-16LE");
    // what is wrong before them is told first
    let both = [HEADER.as_bytes(), b"\n", &SALE.replace("EUR", "?").into_bytes(), b"\n\xff\n"].concat();
    let expected = ", line 2, column currency: found \"?\", expected an ISO 4217 currency code such as EUR, or a word of the map";
    check("utf-8", "", &both, expected);
}
