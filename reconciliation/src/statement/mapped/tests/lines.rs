//! What a line is about, when it was, and its names.

use super::*;

#[test]
fn kinds_follow_from_words_and_signs() {
    let toml = MAP.replace("[amount]", "[amount]\n").replace(
        "column = \"type\"\n",
        "column = \"type\"\notherwise = \"adjustment\"\nignore = [\"balance\", \"\"]\n",
    );
    let map = map(&toml);
    let rows = ["sale;1,00", "refund;-1,00", "fix;1,00", "fix;-1,00", "new;-1,00", "balance;what ever", ";"];
    let rows = rows.map(|row| format!("t1;{row};0;EUR;2026-01-02 10:20:30"));
    let lines = read(&map, format!("{HEADER}\n{}\n", rows.join("\n")).as_bytes()).unwrap();
    let kinds: Vec<_> = lines.iter().map(|line| (line.kind, line.category.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (LineKind::Capture, "sale"),
            (LineKind::Refund, "refund"),
            (LineKind::Adjustment, "fix"),
            (LineKind::Fee, "fix"),
            (LineKind::Adjustment, "new"),
        ]
    );
}

#[test]
fn all_lines_may_be_of_one_kind() {
    let start = MAP.find("[kind]").unwrap();
    let end = MAP.find("[amount]").unwrap();
    let toml = MAP.replace(&MAP[start..end], "[kind]\nconstant = \"capture\"\n");
    let line = one(&map(&toml), HEADER, SALE);
    assert_eq!((line.kind, line.category.as_str()), (LineKind::Capture, "capture"));
}

#[test]
fn clocks_are_read_as_their_zone_has_them() {
    let at = |zone: &str, text: &str| {
        let map = map_with("zone = \"Europe/Berlin\"", &format!("zone = {zone}"));
        let header = format!("{HEADER};zone");
        one(&map, &header, &SALE.replace("2026-01-02 10:20:30", text)).occurred_at
    };
    let berlin = "\"Europe/Berlin\"";
    assert_eq!(at(berlin, "2026-07-01 12:00:00;"), datetime!(2026-07-01 10:00:00 UTC));
    assert_eq!(at(berlin, "2026-10-25 02:30:00;"), datetime!(2026-10-25 00:30:00 UTC), "the earlier of two");
    assert_eq!(at(berlin, "2026-10-25 03:00:00;"), datetime!(2026-10-25 02:00:00 UTC));
    assert_eq!(at(berlin, "2026-03-29 03:00:00;"), datetime!(2026-03-29 01:00:00 UTC));
    assert_eq!(at("\"-03:30\"", "2026-07-01 12:00:00;"), datetime!(2026-07-01 15:30:00 UTC));
    assert_eq!(at("\"UTC\"", "2026-07-01 12:00:00;"), datetime!(2026-07-01 12:00:00 UTC));
    let column = "{ column = \"zone\", words = { MEZ = \"+01:00\" } }";
    for (zone, hour) in [("MEZ", 11), ("Asia/Tokyo", 3), ("+0530", 6), ("Z", 12)] {
        let text = format!("2026-07-01 12:00:00;{zone}");
        assert_eq!(at(column, &text).hour(), hour, "{zone}");
    }
}

#[test]
fn a_day_begins_with_its_midnight_or_where_that_is_missing_with_its_first_hour() {
    let toml = MAP.replace("%Y-%m-%d %H:%M:%S", "%d/%m/%Y");
    let at = |zone: &str, day: &str| {
        let map = map(&toml.replace("Europe/Berlin", zone));
        let line = one(&map, HEADER, &SALE.replace("2026-01-02 10:20:30", day));
        (line.occurred_at, line.value_date.to_string())
    };
    assert_eq!(
        at("Europe/Berlin", "01/07/2026"),
        (datetime!(2026-06-30 22:00:00 UTC), "2026-07-01".to_owned())
    );
    assert_eq!(
        at("America/Sao_Paulo", "04/11/2018"),
        (datetime!(2018-11-04 03:00:00 UTC), "2018-11-04".to_owned())
    );
}

#[test]
fn the_day_that_counts_is_told_or_that_of_the_moment_as_written() {
    let toml = MAP.replace("zone = \"Europe/Berlin\" }", "zone = \"Europe/Berlin\" }\nvalue_date = { column = \"day\", format = \"%-d.%-m.%y\", empty = \"occurred_at\" }");
    let day = |text: &str| {
        let row = SALE.replace("10:20:30", "00:10:00");
        one(&map(&toml), &format!("{HEADER};day"), &format!("{row};{text}")).value_date.to_string()
    };
    assert_eq!(day("5.1.26"), "2026-01-05");
    assert_eq!(day(""), "2026-01-02", "not the day before, which it is in UTC");
}

#[test]
fn a_moment_that_is_none_in_utc_is_refused() {
    let map = map_with("Europe/Berlin", "-05:00");
    let content = format!("{HEADER}\n{}\n", SALE.replace("2026-01-02 10", "9999-12-31 23"));
    let expected = "f.csv, line 2, column at: found \"9999-12-31 23:20:30\", expected a moment of the years 0 to 9999, in UTC";
    assert_eq!(read(&map, content.as_bytes()).unwrap_err().to_string(), expected);
}

#[test]
fn several_columns_make_one_moment() {
    let map = map_with(
        "column = \"at\", format = \"%Y-%m-%d %H:%M:%S\"",
        "column = [\"at\", \"time\"], format = \"%d %b %Y %I:%M %p\"",
    );
    let row = SALE.replace("2026-01-02 10:20:30", "02 jan 2026;01:05 PM");
    assert_eq!(one(&map, &format!("{HEADER};time"), &row).occurred_at, datetime!(2026-01-02 12:05:00 UTC));
}

#[test]
fn names_that_are_joined_stay_apart() {
    let map = map_with("id = \"id\"", "id = [\"id\", \"ref\"]");
    let id = |parts: &str| {
        let row = SALE.replacen("t1", parts.split(';').next().unwrap(), 1);
        one(&map, &format!("{HEADER};ref"), &format!("{row};{}", parts.split(';').nth(1).unwrap()))
            .psp_line_id
    };
    assert_eq!(id("a;b"), "a/b");
    assert_eq!(id("a/b;c"), "a%2Fb/c");
    assert_eq!(id("a;b/c"), "a/b%2Fc");
    assert_eq!(id("a%2Fb;c"), "a%252Fb/c");
    assert_eq!(id(";c"), "/c");
}

#[test]
fn without_an_id_a_line_is_its_content_and_its_number() {
    let map = map_with("id = \"id\"", "id = { content = [\"id\", \"gross\"] }");
    let ids = |rows: &[&str]| {
        let lines = read(&map, format!("{HEADER}\n{}\n", rows.join("\n")).as_bytes()).unwrap();
        lines.into_iter().map(|line| line.psp_line_id).collect::<Vec<_>>()
    };
    let other = SALE.replace(";34,50;", ";0,50;");
    let first = ids(&[SALE, &SALE.replace("t1", "t2"), SALE, &other]);
    assert_eq!(first[0].trim_end_matches("-1"), first[2].trim_end_matches("-2"));
    assert_eq!(
        first[3].trim_end_matches("-3"),
        first[0].trim_end_matches("-1"),
        "what is not named does not count"
    );
    assert_ne!(first[0], first[1]);
    assert_eq!(ids(&[&SALE.replace("t1", "t9"), SALE])[1], first[0], "wherever it stands");
    let moved = ids(&[&SALE.replace("t1", "t11").replace("1.234,50", "234,50")]);
    assert_ne!(
        moved[0],
        ids(&[&SALE.replace("1.234,50", "1234,50")])[0],
        "what one column has is not another's"
    );
}

#[test]
fn references_are_of_the_kinds_that_the_map_says() {
    let id = "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae";
    let toml = MAP.replace(
        "id = \"id\"\n",
        "id = \"id\"\npsp_reference = \"r\"\npayout_id = { column = \"p\" }\norder_id = { column = \"r\", kinds = \"refund\" }\n\
         operation_id = { column = \"text\", prefix = \"ours:\", kinds = [\"capture\", \"fee\"] }\n",
    );
    let line =
        |row: &str, text: &str| one(&map(&toml), &format!("{HEADER};r;p;text"), &format!("{row};R1;;{text}"));
    let sale = line(SALE, &format!("Thanks ours:{id}, bye"));
    assert_eq!((sale.psp_reference.as_deref(), sale.payout_id, sale.order_id), (Some("R1"), None, None));
    assert_eq!(sale.operation_id, Some(id.parse().unwrap()));
    assert_eq!(line(SALE, id).operation_id, None, "without what stands before it");
    assert_eq!(line(SALE, "ours:5ea98b1d").operation_id, None);
    let refund = line(&SALE.replace("sale;", "refund;-"), &format!("ours:{id}"));
    assert_eq!((refund.order_id.as_deref(), refund.operation_id), (Some("R1"), None));
}

#[test]
fn a_trailer_counts_and_adds_up_what_was_before() {
    let toml = format!("{MAP}[trailer]\nword = \"END\"\ncount = 2\nsums = {{ gross = 3, fee = \"fee\" }}\n");
    let ignoring = toml.replace("column = \"type\"", "column = \"type\"\nignore = \"balance\"");
    let refund = SALE.replace("sale;", "refund;-").replace(";34,50;", ";0,50;");
    let content = format!("{HEADER}\n{SALE}\n{refund}\nt3;balance;;;;\nEND;3;0,00;35,00\n");
    assert_eq!(read(&map(&ignoring), content.as_bytes()).unwrap().len(), 2);
    let lines_only = ignoring.replace("count = 2", "count = 2\ncount_of = \"lines\"");
    assert!(read(&map(&lines_only), content.as_bytes()).is_err());
    assert_eq!(read(&map(&lines_only), content.replace("END;3", "END;2").as_bytes()).unwrap().len(), 2);
    let nothing = format!("{HEADER}\nEND;0;0;0,00\n");
    assert_eq!(read(&map(&toml), nothing.as_bytes()).unwrap(), []);
    let named =
        toml.replace("word = \"END\"", "word = \"END\"\nat = \"at\"").replace("count = 2", "count = \"id\"");
    let content = format!("{HEADER}\n{SALE}\n1;;1.234,50;34,50;;END\n");
    assert_eq!(read(&map(&named), content.as_bytes()).unwrap().len(), 1);
}

#[test]
fn a_file_is_a_version_of_what_its_lines_say() {
    let map = map(&format!("{MAP}[document]\ncolumns = [\"account\", \"no\"]\nconstant = \"acme\"\n"));
    let content = format!("{HEADER};account;no\n{SALE};4711;1\n{};4711;1\n", SALE.replacen("t1", "t2", 1));
    let mut statement = Statement::open_mapped("f.csv", content.as_bytes(), &map).unwrap();
    while statement.next_line().unwrap().is_some() {}
    assert_eq!(statement.identity().as_deref(), Some("acme/4711/1"));
}
