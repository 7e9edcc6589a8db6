//! Any other PSP's file: CSV, and a map in TOML that says what its columns are. `docs/mapped-csv.md` describes its keys.

mod amount;
mod amounts;
mod clock;
mod columns;
mod currency;
mod entries;
mod kind;
mod layout;
mod moments;
mod names;
mod trailer;
mod writing;
mod zone;

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use sha2::{Digest, Sha256};

use super::table::Dialect;
use amounts::Amounts;
use columns::{A_COLUMN, Columns};
pub use entries::MapError;
use entries::{Section, Source, Value};
use kind::Kinds;
use layout::Document;
pub(super) use layout::Layout;
use moments::Moments;
use names::Names;
use trailer::Trailer;

/// What the columns of a PSP's files are: a map that was read and is right.
#[derive(Debug, Clone)]
pub struct Map(Arc<Rules>);

#[derive(Debug)]
pub(super) struct Rules {
    name: String,
    sha256: [u8; 32],
    dialect: Dialect,
    columns: Columns,
    names: Names,
    kinds: Kinds,
    amounts: Amounts,
    moments: Moments,
    trailer: Option<Trailer>,
    document: Option<Document>,
}

const A_NAME: &str = "a name of 1 to 100 characters, none of them a control character";
/// Lines before the header, at most.
const MOST_SKIPPED: u64 = 10_000;

impl Map {
    /// Reads a map of the file `file`, whose content is `toml`.
    ///
    /// # Errors
    /// When it is no TOML, a key is missing, unknown or in the way of another, or a value is not what it may be.
    pub fn read(file: &str, toml: &[u8]) -> Result<Self, MapError> {
        let text = std::str::from_utf8(toml).map_err(|error| MapError {
            file: file.to_owned(),
            line: toml.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() as u64 + 1,
            key: None,
            found: "bytes that are no UTF-8".to_owned(),
            expected: "TOML".to_owned(),
        })?;
        let source = Source::new(file, text);
        let table = source.parse()?;
        let keys = ["name", "file", "line", "kind", "amount", "time", "trailer", "document"];
        let whole = Section::whole(source, &table, &keys)?;
        let mut columns = Columns::default();
        let rules = Rules {
            name: name(&whole.needed("name", A_NAME)?)?,
            sha256: Sha256::digest(toml).into(),
            dialect: dialect(whole.get("file").as_ref())?,
            names: Names::of(&whole.needed("line", "a table with the line's id")?, &mut columns)?,
            kinds: Kinds::of(
                &whole.needed("kind", "a table with column and words, or constant")?,
                &mut columns,
            )?,
            amounts: Amounts::of(
                &whole.needed("amount", "a table with the columns of amounts")?,
                &mut columns,
            )?,
            moments: Moments::of(&whole.needed("time", "a table with occurred_at")?, &mut columns)?,
            trailer: whole.get("trailer").map(|value| Trailer::of(&value, &mut columns)).transpose()?,
            document: whole.get("document").map(|value| document(&value, &mut columns)).transpose()?,
            columns,
        };
        Ok(Self(Arc::new(rules)))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The SHA-256 of what it was read from.
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.0.clone()
    }
}

fn name(value: &Value<'_>) -> Result<String, MapError> {
    let name = value.text(A_NAME)?;
    if name.chars().count() > 100 || name.chars().any(char::is_control) || name.trim().is_empty() {
        return Err(value.refuse(A_NAME));
    }
    Ok(name.to_owned())
}

fn dialect(value: Option<&Value<'_>>) -> Result<Dialect, MapError> {
    let mut dialect = Dialect { encoding: Some(UTF_8), ..Dialect::USUAL };
    let Some(value) = value else { return Ok(dialect) };
    let section = value.section(&["delimiter", "quote", "encoding", "skip_lines"])?;
    if let Some(quote) = section.get("quote") {
        dialect.quote = match quote.as_text() {
            Some("none") => None,
            _ => Some(sign(&quote, "one ASCII character, or \"none\"")?),
        };
    }
    if let Some(delimiter) = section.get("delimiter") {
        let expected = "one ASCII character, or \"tab\"";
        dialect.delimiter = match delimiter.as_text() {
            Some("tab" | "\t") => b'\t',
            _ => sign(&delimiter, expected)?,
        };
        if dialect.quote == Some(dialect.delimiter) {
            return Err(delimiter.refuse("another character than quote has"));
        }
    }
    if let Some(encoding) = section.get("encoding") {
        let known = encoding.as_text().and_then(|label| Encoding::for_label_no_replacement(label.as_bytes()));
        dialect.encoding =
            Some(known.ok_or_else(|| encoding.refuse("the label of an encoding, such as \"windows-1252\""))?);
    }
    if let Some(skip) = section.get("skip_lines") {
        let expected = format!("a whole number from 0 to {MOST_SKIPPED}");
        dialect.skip_lines = skip.number(0, MOST_SKIPPED)?.ok_or_else(|| skip.refuse(expected))?;
    }
    Ok(dialect)
}

/// A character that is neither part of what fields say nor the end of a line.
fn sign(value: &Value<'_>, expected: &str) -> Result<u8, MapError> {
    let character = value.character(expected)?;
    let is_sign = character.is_ascii_punctuation() || character == ' ';
    u8::try_from(character).ok().filter(|_| is_sign).ok_or_else(|| value.refuse(expected))
}

fn document(value: &Value<'_>, columns: &mut Columns) -> Result<Document, MapError> {
    let section = value.section(&["columns", "constant"])?;
    let names = section.needed("columns", A_COLUMN)?;
    let columns = columns.several_of(&names)?;
    let constant = section.get("constant").map(|value| name(&value)).transpose()?;
    Ok(Document { constant, columns })
}

#[cfg(test)]
mod tests;
