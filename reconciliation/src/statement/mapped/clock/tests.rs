use time::macros::{datetime, offset};

use super::*;
use crate::statement::mapped::entries::{Section, Source};

fn clock(format: &str) -> Result<Clock, String> {
    let toml = format!("format = {format:?}");
    let source = Source::new("m.toml", &toml);
    let table = source.parse().unwrap();
    let section = Section::whole(source, &table, &["format"]).unwrap();
    Clock::of(&section.needed("format", "one").unwrap()).map_err(|error| error.expected)
}

#[test]
fn what_is_written_as_the_format_says_is_read() {
    for (format, text, clock_shows) in [
        ("%Y-%m-%d", "2026-01-31", datetime!(2026-01-31 0:00)),
        ("%d.%m.%Y %H:%M:%S", "31.01.2026 13:45:09", datetime!(2026-01-31 13:45:09)),
        ("%-d/%-m/%y %-H:%M", "1/2/26 9:05", datetime!(2026-02-01 9:05)),
        ("%-d/%-m/%y %-H:%M", "31/12/99 23:59", datetime!(2099-12-31 23:59)),
        ("%d-%b-%Y", "05-Mar-2026", datetime!(2026-03-05 0:00)),
        ("%B %-d, %Y %I:%M:%S %p", "march 5, 2026 12:00:00 am", datetime!(2026-03-05 0:00)),
        ("%B %-d, %Y %-I:%M %p", "May 5, 2026 1:00 PM", datetime!(2026-05-05 13:00)),
        ("%Y%m%d%H%M%S", "20260131134500", datetime!(2026-01-31 13:45)),
        ("%Y-%m-%dT%H:%M:%S.%f", "2026-01-31T13:45:00.12", datetime!(2026-01-31 13:45:00.12)),
        ("%Y-%m-%dT%H:%M:%S.%f", "2026-01-31T13:45:00.123456789", datetime!(2026-01-31 13:45:00.123456789)),
        ("%d %% %m %Y", "31 % 01 2026", datetime!(2026-01-31 0:00)),
    ] {
        let told = clock(format).unwrap().read(text);
        assert_eq!(told, Some(Told { clock: clock_shows, offset: None }), "{format} {text}");
    }
    for (text, offset) in
        [("Z", offset!(UTC)), ("+01:00", offset!(+1)), ("-0330", offset!(-3:30)), ("+05", offset!(+5))]
    {
        let told = clock("%Y-%m-%dT%H:%M%z").unwrap().read(&format!("2026-01-31T13:45{text}"));
        assert_eq!(told.unwrap().offset, Some(offset), "{text}");
    }
}

#[test]
fn what_is_not_is_not() {
    for (format, text) in [
        ("%Y-%m-%d", "2026-1-31"),
        ("%Y-%m-%d", "2026-02-30"),
        ("%Y-%m-%d", "2026-01-31 "),
        ("%Y-%m-%d", "+026-01-31"),
        ("%Y-%m-%d", "20260-01-31"),
        ("%Y-%m-%d", ""),
        ("%d.%m.%Y %H:%M", "31.01.2026 24:00"),
        ("%d.%m.%Y %H:%M:%S", "31.01.2026 23:59:60"),
        ("%d.%m.%Y %I:%M %p", "31.01.2026 13:00 PM"),
        ("%d.%m.%Y %I:%M %p", "31.01.2026 01:00 xm"),
        ("%d-%b-%Y", "05-Mär-2026"),
        ("%Y-%m-%dT%H:%M%z", "2026-01-31T13:45+25:00"),
        ("%Y-%m-%dT%H:%M%z", "2026-01-31T13:45+1:00"),
        ("%Y-%m-%dT%H:%M%z", "2026-01-31T13:45"),
        ("%Y-%m-%dT%H:%M:%S.%f", "2026-01-31T13:45:00.1234567890"),
        ("%Y-%m-%dT%H:%M:%S.%f", "2026-01-31T13:45:00."),
    ] {
        assert_eq!(clock(format).unwrap().read(text), None, "{format} {text}");
    }
}

#[test]
fn a_format_says_a_day_once_and_no_half_of_a_time() {
    for format in [
        "",
        "%Y-%m",
        "%d.%m",
        "%Y-%m-%d %Y",
        "%Y-%y-%m-%d",
        "%b %m %d %Y",
        "%Y-%m-%d %I:%M",
        "%Y-%m-%d %H:%M %p",
        "%Y-%m-%d %M",
        "%Y-%m-%d %H",
        "%Y-%m-%d %H:%S",
        "%Y-%m-%d %H:%M.%f",
        "%-d%-m%Y",
        "%Y-%m-%d %q",
        "%Y-%m-%d %",
        "%-Y-%m-%d",
        "%Y-%m-%d %H:%M%z1",
    ] {
        assert!(clock(format).is_err(), "{format}");
    }
}

#[test]
fn an_example_is_written_as_it_is_read() {
    for format in ["%d.%m.%Y %H:%M:%S", "%-d %B %y %-I:%M:%S.%f %p", "%Y-%m-%dT%H:%M%z", "%d%b%Y"] {
        let clock = clock(format).unwrap();
        let told = clock.read(&clock.example()).unwrap();
        assert_eq!(told.clock.date(), datetime!(2026-01-31 0:00).date(), "{format}");
    }
    assert_eq!(clock("%d.%m.%Y %H:%M").unwrap().example(), "31.01.2026 13:45");
}
