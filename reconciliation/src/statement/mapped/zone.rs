use std::collections::HashMap;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use time::{PrimitiveDateTime, UtcOffset};

use super::columns::{Column, Columns, Fields};
use super::entries::{MapError, Value};
use crate::statement::refusal::Refusal;

/// A clock's relation to UTC.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    Fixed(UtcOffset),
    Of(TimeZone),
}

impl Zone {
    /// The zone of that name or offset.
    pub fn named(name: &str) -> Option<Self> {
        match offset(name).or((name == "UTC").then_some(UtcOffset::UTC)) {
            Some(offset) => Some(Self::Fixed(offset)),
            // the data is in the program: what the machine has does not matter
            None => TimeZone::get(name).ok().filter(|zone| !zone.is_unknown()).map(Self::Of),
        }
    }

    /// How far from UTC a clock there is when it shows `clock`. Of two times that it does, the earlier is meant; none
    /// where it never does, but for a day without its midnight, which begins as much later.
    pub fn offset_at(&self, clock: PrimitiveDateTime, is_day: bool) -> Option<UtcOffset> {
        let zone = match self {
            Self::Fixed(offset) => return Some(*offset),
            Self::Of(zone) => zone,
        };
        let (year, month, day) = clock.to_calendar_date();
        let (hour, minute, second) = clock.as_hms();
        let number = |part: u8| i8::try_from(part).ok();
        let civil = DateTime::new(
            i16::try_from(year).ok()?,
            number(u8::from(month))?,
            number(day)?,
            number(hour)?,
            number(minute)?,
            number(second)?,
            0,
        );
        let offset = match zone.to_ambiguous_timestamp(civil.ok()?).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
            AmbiguousOffset::Gap { before, .. } if is_day => before,
            AmbiguousOffset::Gap { .. } => return None,
        };
        UtcOffset::from_whole_seconds(offset.seconds()).ok()
    }
}

/// `Z`, `+01:00`, `+0100` or `+01`.
pub(super) fn offset(text: &str) -> Option<UtcOffset> {
    if text == "Z" {
        return Some(UtcOffset::UTC);
    }
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        5 => rest.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    if !are_digits(hours) || !are_digits(minutes) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i8>().ok()?, minutes.parse::<i8>().ok()?);
    (hours <= 23 && minutes <= 59).then(|| UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok())?
}

/// Where the zone of a moment is told.
#[derive(Debug)]
pub(super) enum ZoneOf {
    Every(Zone),
    Column { column: Column, words: HashMap<String, Zone> },
}

const A_ZONE: &str = "UTC, an offset such as \"+01:00\" or the name of a time zone such as \"Europe/Berlin\"";

impl ZoneOf {
    pub const EXPECTED: &str = "UTC, an offset such as \"+01:00\", the name of a time zone such as \"Europe/Berlin\", or \
                                { column = \"...\" }: the format has no %z";

    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        if !value.is_table() {
            return zone(value).map(Self::Every);
        }
        let section = value.section(&["column", "words"])?;
        let column = columns.of(&section.needed("column", super::columns::A_COLUMN)?)?;
        let mut words = HashMap::new();
        if let Some(table) = section.get("words") {
            for (word, name) in table.table()?.entries() {
                words.insert(word.to_owned(), zone(&name)?);
            }
        }
        Ok(Self::Column { column, words })
    }

    /// The zone of this line. `known` holds those that other lines named.
    pub fn read<'z>(
        &'z self,
        fields: Fields<'_>,
        known: &'z mut HashMap<String, Zone>,
    ) -> Result<&'z Zone, Refusal> {
        let (column, words) = match self {
            Self::Every(zone) => return Ok(zone),
            Self::Column { column, words } => (*column, words),
        };
        let text = fields.text(column);
        if let Some(zone) = words.get(text) {
            return Ok(zone);
        }
        if !known.contains_key(text) {
            let zone = Zone::named(text).ok_or_else(|| fields.refuse(column, A_ZONE))?;
            known.insert(text.to_owned(), zone);
        }
        known.get(text).ok_or_else(|| fields.refuse(column, A_ZONE))
    }
}

fn zone(value: &Value<'_>) -> Result<Zone, MapError> {
    value.as_text().and_then(Zone::named).ok_or_else(|| value.refuse(A_ZONE))
}
