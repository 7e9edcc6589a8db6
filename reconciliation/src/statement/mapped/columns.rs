use super::entries::{MapError, Value};
use crate::statement::refusal::Refusal;
use crate::statement::table::{Header, Record, Row};

/// What a value of a map that names a column has to be.
pub(super) const A_COLUMN: &str = "the name of a column, as the header has it";

/// A column that a map names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column(usize);

/// All columns that a map names, each once.
#[derive(Debug, Default)]
pub(super) struct Columns(Vec<String>);

impl Columns {
    /// The column that a value of the map names.
    pub fn of(&mut self, value: &Value<'_>) -> Result<Column, MapError> {
        let name = value.text(A_COLUMN)?.trim();
        if name.is_empty() {
            return Err(value.refuse(A_COLUMN));
        }
        Ok(self.named(name))
    }

    /// The column of this name.
    pub fn named(&mut self, name: &str) -> Column {
        let known = self.0.iter().position(|known| known == name);
        Column(known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        }))
    }

    /// The columns that it names: one, or an array of them.
    pub fn several_of(&mut self, value: &Value<'_>) -> Result<Vec<Column>, MapError> {
        let names = value.texts("the name of a column, or an array of such names")?;
        names.iter().map(|name| self.of(name)).collect()
    }

    pub fn name(&self, column: Column) -> &str {
        self.0.get(column.0).map_or("", String::as_str)
    }

    /// Where they are in a file.
    pub fn places(&self, row: &Row<'_>, header: &Header) -> Result<Places, Refusal> {
        let places = self.0.iter().map(|name| header.needed(row.file, &[name]));
        places.collect::<Result<_, _>>().map(Places)
    }
}

/// Where the columns of a map are in a file.
pub(super) struct Places(Vec<usize>);

impl Places {
    pub fn of(&self, column: Column) -> usize {
        // every column of the map has a place
        self.0.get(column.0).copied().unwrap_or(usize::MAX)
    }
}

/// A record, by the columns of a map. Space around what a field says does not count.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub record: Record<'a>,
    pub places: &'a Places,
}

impl<'a> Fields<'a> {
    pub fn text(self, column: Column) -> &'a str {
        self.record.text(self.places.of(column)).trim()
    }

    pub fn refuse(self, column: Column, expected: impl Into<String>) -> Refusal {
        let place = self.places.of(column);
        self.record.refuse(place, self.record.text(place), expected)
    }

    /// The same of a column that there may not be: then it is about the line.
    pub fn refuse_some(self, column: Option<Column>, expected: impl Into<String>) -> Refusal {
        match column {
            Some(column) => self.refuse(column, expected),
            None => self.record.refuse_whole("what it says", expected),
        }
    }

    /// A name of the PSP's or ours; none where the field is empty.
    pub fn name(self, column: Column) -> Result<Option<String>, Refusal> {
        self.record.name_in(self.places.of(column), self.text(column))
    }
}
