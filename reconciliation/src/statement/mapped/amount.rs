use money::Currency;

use super::columns::{Column, Columns, Fields};
use super::entries::{MapError, Section, Value};
use super::writing::Writing;
use crate::statement::refusal::Refusal;

/// Where an amount is told.
#[derive(Debug)]
pub(super) struct Amount {
    pub source: Source,
    empty_is_zero: bool,
}

#[derive(Debug)]
pub(super) enum Source {
    /// It is 0 in every line.
    Nothing,
    Signed(Column),
    /// In one of two columns.
    Sides {
        debit: Column,
        credit: Column,
    },
    /// With a word for its sign in another column.
    Directed {
        column: Column,
        direction: Column,
        debit: Vec<String>,
        credit: Vec<String>,
    },
    Sum(Vec<Column>),
}

impl Amount {
    pub const EXPECTED: &str = "the name of a column, or a table with column, with debit and credit, with column, direction, \
                                debit and credit, or with sum";

    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        if !value.is_table() {
            let source = match value.number(0, 0)? {
                Some(_) => Source::Nothing,
                None => {
                    value.text(Self::EXPECTED)?;
                    Source::Signed(columns.of(value)?)
                }
            };
            return Ok(Self { source, empty_is_zero: false });
        }
        let section = value.section(&["column", "direction", "debit", "credit", "sum", "empty"])?;
        let empty = section.get("empty").map(|value| value.choice(&[("refuse", false), ("zero", true)]));
        Ok(Self {
            source: Source::of(value, &section, columns)?,
            empty_is_zero: empty.transpose()?.unwrap_or(false),
        })
    }

    /// One that a refusal can name.
    pub fn column(&self) -> Option<Column> {
        match &self.source {
            Source::Nothing => None,
            Source::Signed(column)
            | Source::Sides { credit: column, .. }
            | Source::Directed { column, .. } => Some(*column),
            Source::Sum(columns) => columns.first().copied(),
        }
    }

    /// Whether the line says anything of it.
    pub fn is_told(&self, fields: Fields<'_>) -> bool {
        let says = |column: &Column| !fields.text(*column).is_empty();
        match &self.source {
            Source::Nothing => false,
            Source::Signed(column) | Source::Directed { column, .. } => says(column),
            Source::Sides { debit, credit } => says(debit) || says(credit),
            Source::Sum(columns) => columns.iter().any(says),
        }
    }

    pub fn read(&self, fields: Fields<'_>, writing: &Writing, currency: Currency) -> Result<i64, Refusal> {
        let signed = |column: Column| {
            let text = fields.text(column);
            if text.is_empty() && self.empty_is_zero {
                return Ok(0);
            }
            writing.signed(text, currency).map_err(|expected| fields.refuse(column, expected))
        };
        match &self.source {
            Source::Nothing => Ok(0),
            Source::Signed(column) => signed(*column),
            Source::Sides { debit, credit } => self.side(fields, writing, currency, [*debit, *credit]),
            Source::Directed { column, direction, debit, credit } => {
                if fields.text(*column).is_empty() && self.empty_is_zero {
                    return Ok(0);
                }
                let amount = writing.unsigned(fields.text(*column), currency);
                let amount = amount.map_err(|expected| fields.refuse(*column, expected))?;
                let says = |words: &[String]| words.iter().any(|word| word == fields.text(*direction));
                match (says(debit), says(credit)) {
                    (true, false) => Ok(-amount),
                    (false, true) => Ok(amount),
                    _ => Err(fields.refuse(*direction, one_of(credit.iter().chain(debit)))),
                }
            }
            Source::Sum(columns) => {
                let mut sum = 0_i64;
                for column in columns {
                    sum = sum
                        .checked_add(signed(*column)?)
                        .ok_or_else(|| fields.refuse(*column, "a sum that fits 64 bits of minor units"))?;
                }
                Ok(sum)
            }
        }
    }

    fn side(
        &self,
        fields: Fields<'_>,
        writing: &Writing,
        currency: Currency,
        [debit, credit]: [Column; 2],
    ) -> Result<i64, Refusal> {
        let read = |column: Column| match fields.text(column) {
            "" => Ok(0),
            text => writing.unsigned(text, currency).map_err(|expected| fields.refuse(column, expected)),
        };
        if !self.is_told(fields) && !self.empty_is_zero {
            return Err(fields.refuse(credit, "an amount here or in the column of debits"));
        }
        let (took, gave) = (read(debit)?, read(credit)?);
        if took != 0 && gave != 0 {
            return Err(fields.refuse(credit, "nothing, as there is a debit"));
        }
        Ok(gave - took)
    }
}

fn one_of<'w>(words: impl Iterator<Item = &'w String>) -> String {
    let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    format!("one of {}", words.join(", "))
}

impl Source {
    fn of(value: &Value<'_>, section: &Section<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let [column, direction, debit, credit, sum] =
            ["column", "direction", "debit", "credit", "sum"].map(|key| section.get(key));
        Ok(match (column, direction, debit, credit, sum) {
            (Some(column), None, None, None, None) => Self::Signed(columns.of(&column)?),
            (None, None, Some(debit), Some(credit), None) => {
                let (debit_column, credit_column) = (columns.of(&debit)?, columns.of(&credit)?);
                if debit_column == credit_column {
                    return Err(credit.refuse("another column than debit names"));
                }
                Self::Sides { debit: debit_column, credit: credit_column }
            }
            (Some(column), Some(direction), Some(debit), Some(credit), None) => {
                let debit = words(&debit)?;
                let expected = "words that debit does not have";
                let again = words(&credit)?.into_iter().find(|word| debit.contains(word));
                again.map_or(Ok(()), |_| Err(credit.refuse_key(expected)))?;
                Self::Directed {
                    column: columns.of(&column)?,
                    direction: columns.of(&direction)?,
                    debit,
                    credit: words(&credit)?,
                }
            }
            (None, None, None, None, Some(sum)) => Self::Sum(columns.several_of(&sum)?),
            _ => return Err(value.refuse(Amount::EXPECTED)),
        })
    }
}

fn words(value: &Value<'_>) -> Result<Vec<String>, MapError> {
    let words = value.texts("a word, or an array of words")?;
    Ok(words.iter().filter_map(Value::as_text).map(|word| word.trim().to_owned()).collect())
}
