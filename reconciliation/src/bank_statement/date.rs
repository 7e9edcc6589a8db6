//! Days, as the formats write them.

use time::{Date, Month};

/// The number that digits are; none where anything else is among them.
fn number(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn date(year: u16, month: &str, day: &str) -> Option<Date> {
    let month = Month::try_from(u8::try_from(number(month)?).ok()?).ok()?;
    Date::from_calendar_date(i32::from(year), month, u8::try_from(number(day)?).ok()?).ok()
}

/// `260131`: all of them are of this century, as no bank reports older money in a file of today's.
pub(super) fn short(text: &str) -> Option<Date> {
    if text.len() != 6 {
        return None;
    }
    date(2000 + number(text.get(..2)?)?, text.get(2..4)?, text.get(4..)?)
}

/// `0131`: a day without its year, which is the one that brings it nearest to `near`.
pub(super) fn yearless(text: &str, near: Date) -> Option<Date> {
    if text.len() != 4 {
        return None;
    }
    let (month, day) = (text.get(..2)?, text.get(2..)?);
    let years = [near.year() - 1, near.year(), near.year() + 1];
    let dates = years.into_iter().filter_map(|year| date(u16::try_from(year).ok()?, month, day));
    dates.min_by_key(|date| (*date - near).abs())
}

/// `2026-01-31`, or a moment of that day such as `2026-01-31T23:45:00.5+01:00`: it is the day in its own offset, whatever
/// day it is in UTC by then. A day may have an offset, too.
pub(super) fn iso(text: &str) -> Option<Date> {
    let (day, rest) = text.split_at_checked(10)?;
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, of_month] = parts.as_slice() else { return None };
    let widths = [year.len(), month.len(), of_month.len()];
    let day = date(number(year)?, month, of_month)?;
    let rest = match rest.strip_prefix('T') {
        Some(time) => after_time(time)?,
        None => rest,
    };
    (widths == [4, 2, 2] && is_offset(rest)).then_some(day)
}

/// What follows the time `23:45:00` or `23:45:00.123`.
fn after_time(text: &str) -> Option<&str> {
    let (time, rest) = text.split_at_checked(8)?;
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts.as_slice() else { return None };
    let is_time = [hour, minute, second].iter().all(|part| part.len() == 2)
        && number(hour)? < 24
        && number(minute)? < 60
        && number(second)? < 60;
    let rest = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let after = fraction.trim_start_matches(|sign: char| sign.is_ascii_digit());
            (after.len() < fraction.len()).then_some(after)?
        }
    };
    is_time.then_some(rest)
}

/// Nothing, `Z`, or `+01:00`.
fn is_offset(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else { return matches!(text, "" | "Z") };
    offset.split_once(':').is_some_and(|(hours, minutes)| {
        let within = |part: &str, most: u16| part.len() == 2 && number(part).is_some_and(|part| part <= most);
        within(hours, 14) && within(minutes, 59)
    })
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn a_moment_is_of_the_day_in_its_own_offset() {
        for text in [
            "2026-01-31",
            "2026-01-31Z",
            "2026-01-31+01:00",
            "2026-01-31T00:00:00",
            "2026-01-31T23:59:59.999-12:00",
            "2026-01-31T00:30:00+14:00",
        ] {
            assert_eq!(iso(text), Some(date!(2026 - 01 - 31)), "{text}");
        }
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in [
            "",
            "2026-02-29",
            "2026-1-031",
            "20260131",
            "31.01.2026",
            "2026-01-31 10:00:00",
            "2026-01-31T24:00:00",
            "2026-01-31T10:00",
            "2026-01-31T10:00:00.",
            "2026-01-31+1:00",
            "2026-01-31é",
            "+026-01-31",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
        for text in ["", "26013", "2601311", "260229", "26é31", "+60131"] {
            assert_eq!(short(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_without_its_year_is_the_nearest() {
        for (text, near, expected) in [
            ("1231", date!(2026 - 01 - 02), date!(2025 - 12 - 31)),
            ("0102", date!(2025 - 12 - 31), date!(2026 - 01 - 02)),
            ("0615", date!(2026 - 06 - 14), date!(2026 - 06 - 15)),
            ("0229", date!(2024 - 03 - 01), date!(2024 - 02 - 29)),
        ] {
            assert_eq!(yearless(text, near), Some(expected), "{text} near {near}");
        }
        assert_eq!(yearless("0229", date!(2026 - 03 - 01)), None);
        assert_eq!(yearless("1301", date!(2026 - 03 - 01)), None);
    }
}
