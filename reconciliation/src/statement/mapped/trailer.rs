use std::collections::BTreeSet;

use money::{Currency, Money};

use super::columns::{A_COLUMN, Column, Columns, Fields, Places};
use super::entries::{MapError, Value};
use super::writing::Writing;
use crate::statement::refusal::Refusal;
use crate::statement::table::Row;

/// What `[trailer]` says: how the last record is known, and what it has to say of those before.
#[derive(Debug)]
pub(super) struct Trailer {
    word: String,
    at: Place,
    count: Option<Place>,
    /// Whether records that are ignored count.
    counts_rows: bool,
    sums: Vec<(Column, Place)>,
}

/// Where in the trailer something is: a trailer need not have the header's columns.
#[derive(Debug, Clone, Copy)]
enum Place {
    Field(usize),
    Column(Column),
}

const A_PLACE: &str = "the number of a field, from 1, or the name of a column";
const MOST_FIELDS: u64 = 10_000;

impl Place {
    fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        if let Some(number) = value.number(1, MOST_FIELDS)? {
            let at = usize::try_from(number - 1).map_err(|_| value.refuse(A_PLACE))?;
            return Ok(Self::Field(at));
        }
        value.text(A_PLACE)?;
        columns.of(value).map(Self::Column)
    }

    fn position(self, places: &Places) -> usize {
        match self {
            Self::Field(at) => at,
            Self::Column(column) => places.of(column),
        }
    }
}

impl Trailer {
    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let section = value.section(&["word", "at", "count", "count_of", "sums"])?;
        let word = section.needed("word", "what the field says that tells the trailer")?;
        let word = word.text("what the field says that tells the trailer")?.trim().to_owned();
        let at = section.get("at").map(|value| Place::of(&value, columns)).transpose()?;
        let count = section.get("count").map(|value| Place::of(&value, columns)).transpose()?;
        let count_of = section.get("count_of").map(|value| value.choice(&[("rows", true), ("lines", false)]));
        let mut sums = Vec::new();
        if let Some(table) = section.get("sums") {
            for (name, place) in table.table()?.entries() {
                if name.trim().is_empty() {
                    return Err(place.refuse_key(A_COLUMN));
                }
                sums.push((columns.named(name.trim()), Place::of(&place, columns)?));
            }
        }
        let counts_rows = count_of.transpose()?.unwrap_or(true);
        Ok(Self { word, at: at.unwrap_or(Place::Field(0)), count, counts_rows, sums })
    }

    pub fn is(&self, row: &Row<'_>, places: &Places) -> bool {
        row.field(self.at.position(places)).trim() == self.word
    }

    pub fn missing(&self, file: &str) -> Refusal {
        let expected = format!("a last record with {:?}; is the file cut off?", self.word);
        Refusal::of_file(file, "the end of the file", expected)
    }
}

/// What the records before a trailer came to.
#[derive(Debug, Default)]
pub(super) struct Totals {
    rows: u64,
    lines: u64,
    currencies: BTreeSet<Currency>,
    /// In minor units, as they are written: in the order of the trailer's sums.
    sums: Vec<i128>,
}

impl Totals {
    pub const fn ignored(&mut self) {
        self.rows += 1;
    }

    /// Counts a line in.
    pub fn add(
        &mut self,
        trailer: &Trailer,
        fields: Fields<'_>,
        writing: &Writing,
        currency: Currency,
    ) -> Result<(), Refusal> {
        self.rows += 1;
        self.lines += 1;
        self.currencies.insert(currency);
        self.sums.resize(trailer.sums.len(), 0);
        for ((column, _), sum) in trailer.sums.iter().zip(&mut self.sums) {
            let text = fields.text(*column);
            if !text.is_empty() {
                let amount = writing.signed(text, currency);
                *sum += i128::from(amount.map_err(|expected| fields.refuse(*column, expected))?);
            }
        }
        Ok(())
    }

    /// Whether the trailer says the same.
    pub fn check(
        &self,
        trailer: &Trailer,
        row: &Row<'_>,
        places: &Places,
        columns: &Columns,
        (writing, currency): (&Writing, Option<Currency>),
    ) -> Result<(), Refusal> {
        if let Some(count) = trailer.count {
            let (records, what) =
                if trailer.counts_rows { (self.rows, "records") } else { (self.lines, "lines") };
            let found = row.field(count.position(places)).trim();
            if found.parse() != Ok(records) || !found.bytes().all(|byte| byte.is_ascii_digit()) {
                let expected = format!("{records}, the number of {what} before");
                return Err(row.refuse(format!("{found:?}"), expected));
            }
        }
        if trailer.sums.is_empty() {
            return Ok(());
        }
        if self.currencies.len() > 1 {
            let codes: Vec<&str> = self.currencies.iter().map(|currency| currency.code()).collect();
            let found = format!("lines in {}", codes.join(", "));
            return Err(row.refuse(found, "one currency, as sums are of one"));
        }
        // without lines there is nothing in whichever
        let currency = self.currencies.first().copied().or(currency).unwrap_or(Currency::EUR);
        let sums = self.sums.iter().copied().chain(std::iter::repeat(0));
        for ((column, place), sum) in trailer.sums.iter().zip(sums) {
            let found = row.field(place.position(places)).trim();
            let name = columns.name(*column);
            let told = writing.signed(found, currency);
            let told = told.map_err(|expected| {
                row.refuse(format!("{found:?}"), format!("{expected}, the sum of column {name}"))
            })?;
            if i128::from(told) != sum {
                let sum = i64::try_from(sum)
                    .map_or_else(|_| sum.to_string(), |sum| Money::new(sum, currency).to_string());
                let expected = format!("{sum}, the sum of column {name} in the lines before");
                return Err(row.refuse(format!("{found:?}"), expected));
            }
        }
        Ok(())
    }
}
