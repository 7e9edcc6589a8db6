mod amounts;
mod document;
mod lines;
mod round_trip;
mod wrong_files;
mod wrong_maps;

use money::{Currency, Money};
use time::macros::datetime;

use super::*;
use crate::statement::{Error, Format, Line, LineKind, Statement};

/// A map of a column for everything that has to be there.
const MAP: &str = r#"name = "acme"
[file]
delimiter = ";"
[line]
id = "id"
[kind]
column = "type"
[kind.words]
sale = "capture"
refund = "refund"
cost = "fee"
fix = { positive = "adjustment", negative = "fee" }
[amount]
unit = "major"
decimal = ","
thousands = "."
currency = "currency"
gross = "gross"
fee = "fee"
fee_sign = "positive_is_charged"
[time]
occurred_at = { column = "at", format = "%Y-%m-%d %H:%M:%S", zone = "Europe/Berlin" }
"#;
const HEADER: &str = "id;type;gross;fee;currency;at";
const SALE: &str = "t1;sale;1.234,50;34,50;EUR;2026-01-02 10:20:30";

const A_ZONE: &str = "UTC, an offset such as \"+01:00\" or the name of a time zone such as \"Europe/Berlin\"";

fn map(toml: &str) -> Map {
    Map::read("acme.toml", toml.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// The map with a part of it replaced.
fn map_with(from: &str, to: &str) -> Map {
    assert!(MAP.contains(from), "{from}");
    map(&MAP.replacen(from, to, 1))
}

fn read(map: &Map, content: &[u8]) -> Result<Vec<Line>, Error> {
    let mut statement = Statement::open_mapped("f.csv", content, map)?;
    assert_eq!(statement.format(), Format::Mapped);
    let mut lines = Vec::new();
    while let Some(line) = statement.next_line()? {
        lines.push(line);
    }
    Ok(lines)
}

/// What the fuzzer begins with: a map, a NUL, and a file.
fn seed(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/mapped_csv");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn one(map: &Map, header: &str, row: &str) -> Line {
    read(map, format!("{header}\n{row}\n").as_bytes()).unwrap().remove(0)
}

#[test]
fn a_line_is_read_exactly() {
    let line = one(&map(MAP), HEADER, SALE);
    let expected = Line {
        line_no: 2,
        psp_line_id: "t1".to_owned(),
        kind: LineKind::Capture,
        category: "sale".to_owned(),
        gross: 123_450,
        fee: 3_450,
        net: 120_000,
        currency: Currency::EUR,
        presented: None,
        fee_parts: crate::statement::FeeParts::default(),
        method: None,
        occurred_at: datetime!(2026-01-02 09:20:30 UTC),
        value_date: datetime!(2026-01-02 09:20:30 UTC).date(),
        payout_id: None,
        payout_on: None,
        operation_id: None,
        order_id: None,
        psp_reference: None,
        psp_movement: None,
        psp_source: None,
    };
    assert_eq!(line, expected);
}

#[test]
fn the_order_of_columns_and_the_dress_of_the_file_do_not_matter() {
    let expected = one(&map(MAP), HEADER, SALE);
    let turned = |row: &str| row.split(';').rev().collect::<Vec<_>>().join(";");
    for content in [
        format!("{}\n{}\n", turned(HEADER), turned(SALE)),
        format!("\u{feff}{HEADER}\r\n{SALE}\r\n"),
        format!("{HEADER}\n{SALE}"),
        format!("other;{HEADER};more\n\"a\nb\";{SALE};\"c \"\"d\"\"; e\"\n"),
        format!(" {} \n {} \n", HEADER.replace(';', " ; "), SALE.replace(';', " ; ")),
    ] {
        assert_eq!(
            read(&map(MAP), content.as_bytes()).unwrap(),
            std::slice::from_ref(&expected),
            "{content}"
        );
    }
}

#[test]
fn text_in_other_encodings_is_read() {
    let expected = Line { category: "Erlös".to_owned(), ..one(&map(MAP), HEADER, SALE) };
    let content = format!("{HEADER}\n{}\n", SALE.replace("sale", "Erlös"));
    let utf16 = |bytes: fn(u16) -> [u8; 2]| content.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let bom = |bom: [u8; 2], text: Vec<u8>| [bom.to_vec(), text].concat();
    let encoded = |encoding: &'static Encoding| encoding.encode(&content).0.into_owned();
    for (label, bytes) in [
        ("utf-8", content.clone().into_bytes()),
        ("iso-8859-1", encoded(encoding_rs::WINDOWS_1252)),
        ("windows-1252", encoded(encoding_rs::WINDOWS_1252)),
        ("gb18030", encoded(encoding_rs::GB18030)),
        ("utf-16le", utf16(u16::to_le_bytes)),
        ("utf-16be", utf16(u16::to_be_bytes)),
        ("utf-8", bom([0xff, 0xfe], utf16(u16::to_le_bytes))),
        ("windows-1252", bom([0xfe, 0xff], utf16(u16::to_be_bytes))),
    ] {
        let toml =
            MAP.replace("[line]", &format!("encoding = \"{label}\"\n[line]")).replace("sale", "\"Erlös\"");
        assert_eq!(read(&map(&toml), &bytes).unwrap(), std::slice::from_ref(&expected), "{label}");
    }
    let toml = MAP.replace("[line]", "encoding = \"shift_jis\"\n[line]").replace("sale", "\"売上\"");
    let (bytes, ..) = encoding_rs::SHIFT_JIS.encode(&content);
    let bytes = String::from_utf8_lossy(&bytes).replace("Erl&#246;s", "sale");
    assert!(read(&map(&toml), bytes.as_bytes()).is_err());
    let (bytes, ..) = encoding_rs::SHIFT_JIS
        .encode("id;type;gross;fee;currency;at\nt1;売上;1,00;0,00;EUR;2026-01-02 10:20:30\n");
    assert_eq!(read(&map(&toml), &bytes).unwrap()[0].category, "売上");
}

#[test]
fn lines_are_counted_from_the_beginning_of_the_file() {
    let skipping = map_with("[line]", "skip_lines = 3\n[line]");
    let content = format!("a \" quote; and\n\n;;\n{HEADER}\n{SALE}\n\n{}\n", SALE.replacen("t1", "t2", 1));
    let lines = read(&skipping, content.as_bytes()).unwrap();
    assert_eq!(lines.iter().map(|line| line.line_no).collect::<Vec<_>>(), [5, 7]);
}

#[test]
fn a_file_that_is_larger_than_what_is_read_at_once_is_read_whole() {
    for (label, encoding) in [("windows-1252", encoding_rs::WINDOWS_1252), ("utf-8", UTF_8)] {
        let map = map_with("[line]", &format!("encoding = \"{label}\"\nskip_lines = 9000\n[line]"));
        let rows: Vec<String> =
            (0..5_000).map(|no| format!("ä{no}{}", SALE.trim_start_matches("t1"))).collect();
        let content = format!("{}{HEADER}\n{}\n", "öäü öäü öäü\n".repeat(9_000), rows.join("\n"));
        let lines = read(&map, &encoding.encode(&content).0).unwrap();
        assert_eq!(lines.len(), 5_000);
        assert_eq!((lines[4_999].line_no, lines[4_999].psp_line_id.as_str()), (14_001, "ä4999"));
    }
}

#[test]
fn the_hash_is_of_the_bytes_as_they_came() {
    use sha2::{Digest as _, Sha256};
    let map = map_with("[line]", "encoding = \"windows-1252\"\nskip_lines = 1\n[line]");
    let content = [b"\xdcberschrift\n".as_slice(), HEADER.as_bytes(), b"\n", SALE.as_bytes()].concat();
    let mut statement = Statement::open_mapped("f.csv", content.as_slice(), &map).unwrap();
    while statement.next_line().unwrap().is_some() {}
    assert_eq!(statement.sha256(), <[u8; 32]>::from(Sha256::digest(&content)));
}

#[test]
fn quotes_are_those_of_the_map() {
    let single = map_with("delimiter = \";\"", "delimiter = \"tab\"\nquote = \"'\"");
    let content =
        format!("{HEADER}\nnote\n").replace("at\nnote", "at;note") + &format!("{SALE};'it''s \" odd; '\n");
    let content = content.replace(';', "\t");
    assert_eq!(read(&single, content.as_bytes()).unwrap().len(), 1);
    let none = map_with("delimiter = \";\"", "delimiter = \";\"\nquote = \"none\"");
    let content = format!("{HEADER};note\n{SALE};5\" disk\n");
    assert_eq!(read(&none, content.as_bytes()).unwrap().len(), 1);
}

#[test]
fn what_the_fuzzer_begins_with_is_read_to_its_end() {
    for (name, lines) in [("bank", 4), ("minor", 6), ("utf16", 2)] {
        let seed = seed(name);
        let mut parts = seed.splitn(2, |byte| *byte == 0);
        let map = map(std::str::from_utf8(parts.next().unwrap()).unwrap());
        assert_eq!(read(&map, parts.next().unwrap()).unwrap().len(), lines, "{name}");
    }
}
