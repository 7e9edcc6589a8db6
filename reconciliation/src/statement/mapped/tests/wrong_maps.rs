//! Maps that are wrong, and exactly what is said of them.

use super::*;

/// What is said of the map with this part replaced.
fn of_map(from: &str, to: &str) -> String {
    assert!(MAP.contains(from), "{from}");
    let toml = MAP.replacen(from, to, 1);
    Map::read("acme.toml", toml.as_bytes()).expect_err(&toml).to_string()
}

const KINDS: &str = "\"capture\", \"refund\", \"refund_failure\", \"chargeback\", \"chargeback_reversal\", \"fee\", \"payout\", \
                     \"payout_reversal\", \"adjustment\", or a table of these with positive, negative and zero";
const AN_AMOUNT: &str = "the name of a column, or a table with column, with debit and credit, with column, direction, debit and \
                         credit, or with sum";

#[test]
fn a_map_that_is_wrong_is_refused_with_line_and_key() {
    for (from, to, expected) in [
        (
            "name = \"acme\"\n",
            "",
            "line 1, key name: found no such key, expected a name of 1 to 100 characters, none of them a control character",
        ),
        (
            "\"acme\"",
            "\"\"",
            "line 1, key name: found \"\", expected a name of 1 to 100 characters, none of them a control character",
        ),
        (
            "\"acme\"",
            "7",
            "line 1, key name: found an integer, expected a name of 1 to 100 characters, none of them a control character",
        ),
        (
            "name = \"acme\"",
            "name = \"acme\"\nnmae = 1",
            "line 2, key nmae: found a key that means nothing, expected one of the keys name, file, line, kind, amount, time, trailer, document",
        ),
        (
            "\";\"",
            "\";;\"",
            "line 3, key file.delimiter: found \";;\", expected one ASCII character, or \"tab\"",
        ),
        (
            "\";\"",
            "\"a\"",
            "line 3, key file.delimiter: found \"a\", expected one ASCII character, or \"tab\"",
        ),
        (
            "\";\"",
            "\"§\"",
            "line 3, key file.delimiter: found \"§\", expected one ASCII character, or \"tab\"",
        ),
        (
            "\";\"",
            "'\"'",
            "line 3, key file.delimiter: found \"\\\"\", expected another character than quote has",
        ),
        (
            "\";\"",
            "\";\"\nquote = \"no\"",
            "line 4, key file.quote: found \"no\", expected one ASCII character, or \"none\"",
        ),
        (
            "\";\"",
            "\";\"\nencoding = \"latin\"",
            "line 4, key file.encoding: found \"latin\", expected the label of an encoding, such as \"windows-1252\"",
        ),
        (
            "\";\"",
            "\";\"\nencoding = \"iso-2022-kr\"",
            "line 4, key file.encoding: found \"iso-2022-kr\", expected the label of an encoding, such as \"windows-1252\"",
        ),
        (
            "\";\"",
            "\";\"\nskip_lines = -1",
            "line 4, key file.skip_lines: found an integer, expected a whole number from 0 to 10000",
        ),
        (
            "\";\"",
            "\";\"\nskip_lines = 1.0",
            "line 4, key file.skip_lines: found a float, expected a whole number from 0 to 10000",
        ),
        (
            "id = \"id\"\n",
            "",
            "line 4, key line.id: found no such key, expected the name of a column, an array of such names, or { content = [...] }",
        ),
        (
            "id = \"id\"",
            "id = []",
            "line 5, key line.id: found an empty array, expected the name of a column, an array of such names, or { content = [...] }",
        ),
        (
            "id = \"id\"",
            "id = { content = [1] }",
            "line 5, key line.id.content: found an integer, expected the name of a column, or an array of such names",
        ),
        (
            "id = \"id\"",
            "id = \" \"",
            "line 5, key line.id: found \" \", expected the name of a column, as the header has it",
        ),
        (
            "id = \"id\"",
            "id = \"id\"\norder_id = { column = \"o\", prefix = \"x\" }",
            "line 6, key line.order_id: found the key, expected no prefix: only operation_id has one",
        ),
        (
            "id = \"id\"",
            "id = \"id\"\nmethod = { column = \"o\", kinds = [\"sale\"] }",
            &format!("line 6, key line.method.kinds: found \"sale\", expected {KINDS}"),
        ),
        (
            "sale = \"capture\"",
            "sale = \"sale\"",
            &format!("line 9, key kind.words.sale: found \"sale\", expected {KINDS}"),
        ),
        (
            "{ positive = \"adjustment\", negative = \"fee\" }",
            "{}",
            &format!("line 12, key kind.words.fix: found a table, expected {KINDS}"),
        ),
        (
            "column = \"type\"",
            "column = \"type\"\nconstant = \"fee\"",
            "line 7, key kind.column: found the key, expected none beside constant",
        ),
        (
            "column = \"type\"",
            "column = \"type\"\nignore = \"sale\"",
            "line 8, key kind.ignore: found \"sale\", expected a word that words does not have",
        ),
        (
            "unit = \"major\"",
            "unit = \"cents\"",
            "line 14, key amount.unit: found \"cents\", expected \"major\" or \"minor\"",
        ),
        (
            "unit = \"major\"",
            "unit = \"minor\"",
            "line 15, key amount.decimal: found the key, expected none, as minor units are whole numbers",
        ),
        ("decimal = \",\"\n", "", "line 13, key amount.decimal: found no such key, expected \",\" or \".\""),
        (
            "decimal = \",\"",
            "decimal = \";\"",
            "line 15, key amount.decimal: found \";\", expected \",\" or \".\"",
        ),
        (
            "thousands = \".\"",
            "thousands = \",\"",
            "line 16, key amount.thousands: found \",\", expected another character than decimal has",
        ),
        (
            "thousands = \".\"",
            "thousands = \"_\"",
            "line 16, key amount.thousands: found \"_\", expected one of \".\", \",\", \" \", \"'\", \"’\", \"\\u00a0\" and \"\\u202f\"",
        ),
        (
            "thousands = \".\"",
            "negative = \"before\"",
            "line 16, key amount.negative: found \"before\", expected \"leading\", \"trailing\" or \"parentheses\"",
        ),
        (
            "thousands = \".\"",
            "affixes = { \"1€\" = \"EUR\" }",
            "line 16, key amount.affixes.1€: found the key, expected a symbol or code without digits, signs and spaces around it",
        ),
        (
            "thousands = \".\"",
            "affixes = { \"€\" = \"Euro\" }",
            "line 16, key amount.affixes.€: found \"Euro\", expected an ISO 4217 currency code such as \"EUR\"",
        ),
        (
            "currency = \"currency\"",
            "currency = { constant = \"XAU\" }",
            "line 17, key amount.currency.constant: found \"XAU\", expected an ISO 4217 currency code such as \"EUR\"",
        ),
        (
            "gross = \"gross\"",
            "gross = { debit = \"a\" }",
            &format!("line 18, key amount.gross: found a table, expected {AN_AMOUNT}"),
        ),
        (
            "gross = \"gross\"",
            "gross = { debit = \"a\", credit = \"a\" }",
            "line 18, key amount.gross.credit: found \"a\", expected another column than debit names",
        ),
        (
            "gross = \"gross\"",
            "gross = { column = \"a\", direction = \"b\", debit = \"x\", credit = [\"x\"] }",
            "line 18, key amount.gross.credit: found the key, expected words that debit does not have",
        ),
        (
            "gross = \"gross\"",
            "gross = 1",
            "line 18, key amount.gross: found an integer, expected a whole number from 0 to 0",
        ),
        (
            "gross = \"gross\"\n",
            "",
            "line 13, key amount.gross: found no such key, expected two of gross, fee and net: the third follows from them",
        ),
        (
            "gross = \"gross\"",
            "gross = 0",
            "line 13, key amount.gross: found no such key, expected a column: of gross, fee and net only the fee may be 0 in all lines",
        ),
        (
            "fee_sign = \"positive_is_charged\"\n",
            "",
            "line 13, key amount.fee_sign: found no such key, expected \"positive_is_charged\" or \"negative_is_charged\"",
        ),
        (
            "fee = \"fee\"",
            "fee = 0",
            "line 20, key amount.fee_sign: found the key, expected none, as no column has a fee",
        ),
        (
            "%H:%M:%S",
            "%H:%X",
            "line 22, key time.occurred_at.format: found \"%Y-%m-%d %H:%X\", expected directives among %Y %y %m %-m %b %B %d %-d %H %-H %I %-I %M %S %f %p %z %%",
        ),
        (
            "%Y-%m-%d ",
            "",
            "line 22, key time.occurred_at.format: found \"%H:%M:%S\", expected a text with %Y-%m-%d, or other directives of a year, a month and a day, such as \"%d.%m.%Y %H:%M:%S\"",
        ),
        (
            "Europe/Berlin",
            "Europe/Bonn",
            &format!("line 22, key time.occurred_at.zone: found \"Europe/Bonn\", expected {A_ZONE}"),
        ),
        (
            "Europe/Berlin",
            "Etc/Unknown",
            &format!("line 22, key time.occurred_at.zone: found \"Etc/Unknown\", expected {A_ZONE}"),
        ),
        (
            "Europe/Berlin",
            "+25:00",
            &format!("line 22, key time.occurred_at.zone: found \"+25:00\", expected {A_ZONE}"),
        ),
        (
            ", zone = \"Europe/Berlin\"",
            "",
            "line 22, key time.occurred_at.zone: found no such key, expected UTC, an offset such as \"+01:00\", the name of a time zone such as \"Europe/Berlin\", or { column = \"...\" }: the format has no %z",
        ),
        (
            "%S\"",
            "%S%z\"",
            "line 22, key time.occurred_at.zone: found the key, expected none, as the format has %z",
        ),
        (
            "[time]",
            "[trailer]\nword = \"T\"\ncount = 0\n[time]",
            "line 23, key trailer.count: found an integer, expected a whole number from 1 to 10000",
        ),
        (
            "[time]",
            "[trailer]\ncount = 1\n[time]",
            "line 21, key trailer.word: found no such key, expected what the field says that tells the trailer",
        ),
        (
            "[time]",
            "[document]\nconstant = \"a\"\n[time]",
            "line 21, key document.columns: found no such key, expected the name of a column, as the header has it",
        ),
        ("[time]", "[time", "line 21: found what is no TOML: unclosed table, expected `]`, expected TOML"),
    ] {
        assert_eq!(of_map(from, to), format!("acme.toml, {expected}"));
    }
    let error = Map::read("acme.toml", b"name = \"a\"\nfile = \xff").unwrap_err();
    assert_eq!(error.to_string(), "acme.toml, line 2: found bytes that are no UTF-8, expected TOML");
}
