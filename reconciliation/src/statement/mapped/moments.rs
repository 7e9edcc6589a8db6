use std::collections::HashMap;

use time::{Date, OffsetDateTime, UtcOffset};

use super::clock::{Clock, Told};
use super::columns::{Column, Columns, Fields};
use super::entries::{MapError, Section, Value};
use super::zone::{Zone, ZoneOf};
use crate::statement::refusal::{A_YEAR, Refusal};

/// What `[time]` says.
#[derive(Debug)]
pub(super) struct Moments {
    occurred_at: Written,
    zone: Option<ZoneOf>,
    value_date: Option<ValueDate>,
}

#[derive(Debug)]
struct ValueDate {
    written: Written,
    may_be_empty: bool,
}

/// Where a day or moment is written, and how.
#[derive(Debug)]
struct Written {
    /// With a space between them.
    columns: Vec<Column>,
    clock: Clock,
}

const A_MOMENT: &str = "a table with column, format and zone";
const A_FORMAT: &str = "how it is written, such as \"%d.%m.%Y %H:%M:%S\"";

impl Moments {
    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let section = value.section(&["occurred_at", "value_date"])?;
        let occurred = section.needed("occurred_at", A_MOMENT)?.section(&["column", "format", "zone"])?;
        let occurred_at = Written::of(&occurred, columns)?;
        let zone = match (occurred.get("zone"), occurred_at.clock.tells_offset()) {
            (None, true) => None,
            (Some(zone), false) => Some(ZoneOf::of(&zone, columns)?),
            (Some(zone), true) => return Err(zone.refuse_key("none, as the format has %z")),
            (None, false) => return Err(occurred.lacks("zone", ZoneOf::EXPECTED)),
        };
        let value_date = section.get("value_date").map(|value| ValueDate::of(&value, columns)).transpose()?;
        Ok(Self { occurred_at, zone, value_date })
    }

    /// When it happened, in UTC, and the day it counts.
    pub fn read(
        &self,
        fields: Fields<'_>,
        known: &mut HashMap<String, Zone>,
    ) -> Result<(OffsetDateTime, Date), Refusal> {
        let told = self.occurred_at.read(fields)?;
        let offset = match (&self.zone, told.offset) {
            (None, offset) => offset,
            (Some(zone), _) => {
                zone.read(fields, known)?.offset_at(told.clock, self.occurred_at.clock.is_of_day())
            }
        };
        let offset = offset.ok_or_else(|| {
            self.occurred_at
                .refuse(fields, "a time that the clocks of its zone showed: they were put forward past it")
        })?;
        let occurred_at = told.clock.assume_offset(offset).checked_to_offset(UtcOffset::UTC);
        let occurred_at = occurred_at.ok_or_else(|| self.occurred_at.refuse(fields, A_YEAR))?;
        let value_date = match &self.value_date {
            None => told.clock.date(),
            Some(ValueDate { written, may_be_empty: true }) if written.is_empty(fields) => told.clock.date(),
            Some(ValueDate { written, .. }) => written.read(fields)?.clock.date(),
        };
        Ok((occurred_at, value_date))
    }
}

impl ValueDate {
    fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let section = value.section(&["column", "format", "empty"])?;
        let empty =
            section.get("empty").map(|value| value.choice(&[("refuse", false), ("occurred_at", true)]));
        let may_be_empty = empty.transpose()?.unwrap_or(false);
        Ok(Self { written: Written::of(&section, columns)?, may_be_empty })
    }
}

impl Written {
    fn of(section: &Section<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let names = section.needed("column", "the name of a column, or an array of such names")?;
        let columns = columns.several_of(&names)?;
        Ok(Self { columns, clock: Clock::of(&section.needed("format", A_FORMAT)?)? })
    }

    fn is_empty(&self, fields: Fields<'_>) -> bool {
        self.columns.iter().all(|column| fields.text(*column).is_empty())
    }

    fn read(&self, fields: Fields<'_>) -> Result<Told, Refusal> {
        let told = match self.columns.as_slice() {
            [column] => self.clock.read(fields.text(*column)),
            several => {
                let texts: Vec<&str> = several.iter().map(|column| fields.text(*column)).collect();
                self.clock.read(&texts.join(" "))
            }
        };
        told.ok_or_else(|| {
            let what = if self.clock.is_of_day() { "a day" } else { "a moment" };
            let whole = if self.columns.len() > 1 { ", with the columns after it" } else { "" };
            self.refuse(fields, &format!("{what} such as {}{whole}", self.clock.example()))
        })
    }

    fn refuse(&self, fields: Fields<'_>, expected: &str) -> Refusal {
        fields.refuse_some(self.columns.first().copied(), expected)
    }
}
