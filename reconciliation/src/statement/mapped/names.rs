use std::collections::HashMap;

use money::OperationId;
use sha2::{Digest, Sha256};

use super::columns::{Column, Columns, Fields};
use super::entries::{MapError, Section, Value};
use super::kind::kind;
use crate::statement::LineKind;
use crate::statement::refusal::Refusal;
use crate::statement::table::LONGEST_NAME;

/// What `[line]` says: the names of a line, and of what it is about.
#[derive(Debug)]
pub(super) struct Names {
    id: Identity,
    pub psp_reference: Reference,
    pub psp_movement: Reference,
    pub psp_source: Reference,
    pub payout_id: Reference,
    pub order_id: Reference,
    pub method: Reference,
    operation_id: Reference,
    operation_prefix: Option<String>,
}

const AN_ID: &str = "the name of a column, an array of such names, or { content = [...] }";
const A_REFERENCE: &str = "the name of a column, or a table with column and kinds";
const A_LENGTH: usize = 36;

impl Names {
    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let section = value.section(&[
            "id",
            "psp_reference",
            "psp_movement",
            "psp_source",
            "payout_id",
            "order_id",
            "operation_id",
            "method",
        ])?;
        let id = Identity::of(&section.needed("id", AN_ID)?, columns)?;
        let mut reference = |key: &str| Reference::of(&section, key, columns);
        let (operation_id, operation_prefix) = reference("operation_id")?;
        let [psp_reference, psp_movement, psp_source, payout_id, order_id, method] =
            ["psp_reference", "psp_movement", "psp_source", "payout_id", "order_id", "method"].map(|key| {
                let (found, prefix) = reference(key)?;
                match (prefix, section.get(key)) {
                    (Some(_), Some(value)) => Err(value.refuse_key("no prefix: only operation_id has one")),
                    _ => Ok(found),
                }
            });
        Ok(Self {
            id,
            psp_reference: psp_reference?,
            psp_movement: psp_movement?,
            psp_source: psp_source?,
            payout_id: payout_id?,
            order_id: order_id?,
            method: method?,
            operation_id,
            operation_prefix,
        })
    }

    /// The line's identity at the PSP. `seen` counts lines by their content, where that is all they have.
    pub fn id(&self, fields: Fields<'_>, seen: &mut HashMap<[u8; 16], u32>) -> Result<String, Refusal> {
        match &self.id {
            Identity::Columns(columns) => joined(fields, columns),
            Identity::Content(columns) => {
                let mut sha256 = Sha256::new();
                for column in columns {
                    let text = fields.text(*column);
                    // with its length, so that no two contents are one
                    sha256.update((text.len() as u64).to_be_bytes());
                    sha256.update(text);
                }
                let [content, _] = halves(sha256.finalize().into());
                let count = seen.entry(content).or_default();
                *count += 1;
                Ok(format!("content-{:032x}-{count}", u128::from_be_bytes(content)))
            }
        }
    }

    /// Our operation, where the field has the id of one.
    pub fn operation(&self, fields: Fields<'_>, kind: LineKind) -> Option<OperationId> {
        let text = fields.text(self.operation_id.column_for(kind)?);
        let Some(prefix) = &self.operation_prefix else { return text.parse().ok() };
        let (_, rest) = text.split_once(prefix)?;
        rest.get(..A_LENGTH)?.parse().ok()
    }
}

fn halves(hash: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (half, bytes) in halves.iter_mut().zip(hash.chunks_exact(16)) {
        half.copy_from_slice(bytes);
    }
    halves
}

/// What tells one line from another, whatever file it comes in.
#[derive(Debug)]
enum Identity {
    Columns(Vec<Column>),
    Content(Vec<Column>),
}

impl Identity {
    fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        if value.is_table() {
            let content = value.section(&["content"])?.needed("content", "an array of names of columns")?;
            return columns.several_of(&content).map(Self::Content);
        }
        value.texts(AN_ID)?;
        columns.several_of(value).map(Self::Columns)
    }
}

/// The texts of the columns with a slash between them, and those inside of them told apart from it.
pub(super) fn joined(fields: Fields<'_>, columns: &[Column]) -> Result<String, Refusal> {
    let mut name = String::new();
    let mut is_told = false;
    for (at, column) in columns.iter().enumerate() {
        let part = fields.name(*column)?.unwrap_or_default();
        is_told |= !part.is_empty();
        if columns.len() == 1 {
            name = part;
            continue;
        }
        if at > 0 {
            name.push('/');
        }
        name.push_str(&part.replace('%', "%25").replace('/', "%2F"));
    }
    let refuse = |expected: &str| fields.refuse_some(columns.first().copied(), expected);
    if !is_told {
        return Err(refuse("a name that is not empty"));
    }
    if name.len() > LONGEST_NAME {
        return Err(refuse(&format!("columns that make a name of at most {LONGEST_NAME} bytes together")));
    }
    Ok(name)
}

/// Where a name is told, if it is, and for which lines.
#[derive(Debug, Default)]
pub(super) struct Reference {
    column: Option<Column>,
    kinds: Option<Vec<LineKind>>,
}

impl Reference {
    /// With the prefix of what it is in the field, if it is in another text.
    fn of(
        section: &Section<'_>,
        key: &str,
        columns: &mut Columns,
    ) -> Result<(Self, Option<String>), MapError> {
        let Some(value) = section.get(key) else { return Ok((Self::default(), None)) };
        if !value.is_table() {
            value.text(A_REFERENCE)?;
            return Ok((Self { column: Some(columns.of(&value)?), kinds: None }, None));
        }
        let section = value.section(&["column", "kinds", "prefix"])?;
        let column = Some(columns.of(&section.needed("column", A_REFERENCE)?)?);
        let kinds = section
            .get("kinds")
            .map(|value| value.texts("a kind of line, or an array of kinds")?.iter().map(kind).collect());
        let prefix =
            section.get("prefix").map(|value| value.text("what stands before the id").map(str::to_owned));
        Ok((Self { column, kinds: kinds.transpose()? }, prefix.transpose()?))
    }

    fn column_for(&self, kind: LineKind) -> Option<Column> {
        self.column.filter(|_| self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind)))
    }

    pub fn read(&self, fields: Fields<'_>, kind: LineKind) -> Result<Option<String>, Refusal> {
        Ok(self.column_for(kind).map(|column| fields.name(column)).transpose()?.flatten())
    }
}
