use std::collections::HashMap;

use money::Currency;

use super::columns::{Column, Columns, Fields};
use super::entries::{MapError, Value};
use crate::statement::refusal::Refusal;

/// Where a currency is told.
#[derive(Debug)]
pub(super) enum CurrencyOf {
    Every(Currency),
    Column { column: Column, words: HashMap<String, Currency> },
}

impl CurrencyOf {
    pub const EXPECTED: &str =
        "the name of a column, { column = \"...\", words = { ... } } or { constant = \"EUR\" }";

    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        if !value.is_table() {
            value.text(Self::EXPECTED)?;
            return Ok(Self::Column { column: columns.of(value)?, words: HashMap::new() });
        }
        let section = value.section(&["column", "words", "constant"])?;
        if let Some(constant) = section.get("constant") {
            for key in ["column", "words"] {
                section.get(key).map_or(Ok(()), |other| Err(other.refuse_key("none beside constant")))?;
            }
            return currency(&constant).map(Self::Every);
        }
        let column = columns.of(&section.needed("column", Self::EXPECTED)?)?;
        let mut words = HashMap::new();
        if let Some(table) = section.get("words") {
            for (word, code) in table.table()?.entries() {
                words.insert(word.to_owned(), currency(&code)?);
            }
        }
        Ok(Self::Column { column, words })
    }

    pub fn read(&self, fields: Fields<'_>) -> Result<Currency, Refusal> {
        match self {
            Self::Every(currency) => Ok(*currency),
            Self::Column { column, words } => {
                let text = fields.text(*column);
                let iso = || (text.len() == 3).then(|| text.to_ascii_uppercase().parse().ok()).flatten();
                words.get(text).copied().or_else(iso).ok_or_else(|| {
                    fields.refuse(*column, "an ISO 4217 currency code such as EUR, or a word of the map")
                })
            }
        }
    }
}

/// A currency that a map names.
pub(super) fn currency(value: &Value<'_>) -> Result<Currency, MapError> {
    let currency = value.as_text().and_then(|code| code.parse().ok());
    currency.ok_or_else(|| value.refuse("an ISO 4217 currency code such as \"EUR\""))
}
