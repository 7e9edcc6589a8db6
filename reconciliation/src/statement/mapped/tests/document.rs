//! `docs/mapped-csv.md`, held to the code.

use std::fmt::Write as _;
use std::path::Path;

use time::macros::format_description;

use super::*;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mapped-csv.md");
    std::fs::read_to_string(path).unwrap()
}

/// Every fenced block in that language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn told(line: &Line) -> String {
    let money = |minor| Money::new(minor, line.currency);
    let mut text = format!(
        "line {}: {} {} {:?} gross {} fee {} net {} at {} {} UTC, of {}",
        line.line_no,
        line.psp_line_id,
        line.kind.as_str(),
        line.category,
        money(line.gross),
        money(line.fee),
        money(line.net),
        line.occurred_at.date(),
        line.occurred_at.time().format(format_description!("[hour]:[minute]:[second]")).unwrap(),
        line.value_date,
    );
    if let Some(operation) = line.operation_id {
        write!(text, ", operation {operation}").unwrap();
    }
    if let Some(presented) = line.presented {
        write!(text, ", paid {presented}").unwrap();
    }
    text
}

#[test]
fn the_examples_are_read_as_the_page_says() {
    let page = page();
    let (maps, files, results) = (blocks(&page, "toml"), blocks(&page, "csv"), blocks(&page, "text"));
    assert_eq!((maps.len(), files.len(), results.len()), (2, 2, 2));
    for ((toml, file), result) in maps.iter().zip(&files).zip(&results) {
        let map = map(toml);
        let (bytes, _, lost) = map.dialect().encoding.unwrap().encode(file);
        assert!(!lost);
        let mut statement = Statement::open_mapped("f.csv", &*bytes, &map).unwrap();
        let mut lines = String::new();
        while let Some(line) = statement.next_line().unwrap_or_else(|error| panic!("{error}")) {
            writeln!(lines, "{}", told(&line)).unwrap();
        }
        let document = statement.identity().map(|of| format!("document {of}\n")).unwrap_or_default();
        assert_eq!(format!("{document}{lines}"), *result);
    }
}

/// Each table of a map, with a key in it that means nothing, and the heading under which its keys are.
const TABLES: [(&str, &str, &str); 17] = [
    ("", "The map", "zzz = 1"),
    ("", "file", "file = { zzz = 1 }"),
    ("", "line", "line = { zzz = 1 }"),
    ("line = { id = \"a\"", "line", "psp_reference = { zzz = 1 } }"),
    ("", "kind", "kind = { zzz = 1 }"),
    ("kind = { column = \"a\"", "kind", "words = { a = { zzz = 1 } } }"),
    ("", "amount", "amount = { zzz = 1 }"),
    ("", "amount", "amount = { gross = { zzz = 1 } }"),
    ("", "amount", "amount = { gross = \"a\", net = \"b\", fee_parts = { zzz = 1 } }"),
    ("amount = { gross = \"a\", net = \"b\", unit = \"minor\"", "amount", "currency = { zzz = 1 } }"),
    (
        "amount = { gross = \"a\", net = \"b\", unit = \"minor\", currency = \"c\"",
        "amount",
        "presented = { zzz = 1 } }",
    ),
    ("", "time", "time = { zzz = 1 }"),
    ("", "time", "time = { occurred_at = { column = \"a\", format = \"%Y%m%d\", zone = { zzz = 1 } } }"),
    ("", "time", "time = { occurred_at = { zzz = 1 } }"),
    (
        "time = { occurred_at = { column = \"a\", format = \"%Y%m%d%z\" }",
        "time",
        "value_date = { zzz = 1 } }",
    ),
    ("", "trailer", "trailer = { zzz = 1 }"),
    ("", "document", "document = { zzz = 1 }"),
];

#[test]
fn every_key_is_described_and_no_other() {
    let page = page();
    let mut keys = std::collections::BTreeSet::new();
    for (before, heading, after) in TABLES {
        let tables = [
            "line = { id = \"a\" }",
            "kind = { constant = \"fee\" }",
            "amount = { gross = \"a\", fee = 0, unit = \"minor\", currency = \"c\" }",
            "time = { occurred_at = { column = \"a\", format = \"%Y%m%d%z\" } }",
        ];
        let own = if before.is_empty() { after.to_owned() } else { format!("{before}, {after}") };
        let key = own.split(' ').next().unwrap().to_owned();
        let others = tables.iter().filter(|table| !table.starts_with(&key)).copied();
        let toml = format!("name = \"a\"\n{}\n{own}\n", others.collect::<Vec<_>>().join("\n"));
        let error = Map::read("m.toml", toml.as_bytes()).unwrap_err();
        let known =
            error.expected.strip_prefix("one of the keys ").unwrap_or_else(|| panic!("{toml}\n{error}"));
        let section =
            page.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n"))).unwrap();
        for key in known.split(", ") {
            assert!(section.contains(&format!("| `{key}`")), "{heading}: {key}");
            keys.insert(key.to_owned());
        }
    }
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for key in rows.filter(|key| !key.contains('%')) {
        assert!(keys.contains(key), "{key} is described and means nothing");
    }
}
