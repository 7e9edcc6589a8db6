use std::collections::{HashMap, HashSet};

use super::columns::{A_COLUMN, Column, Columns, Fields};
use super::entries::{MapError, Value};
use crate::statement::LineKind;
use crate::statement::refusal::Refusal;

/// What `[kind]` says.
#[derive(Debug)]
pub(super) struct Kinds {
    /// None where every line is of the kind of `otherwise`.
    column: Option<Column>,
    words: HashMap<String, Chosen>,
    /// Of what no word is of; none where that is refused.
    otherwise: Option<Chosen>,
    ignored: HashSet<String>,
}

/// The kind of a line, by what its amount is.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    positive: Option<LineKind>,
    negative: Option<LineKind>,
    zero: Option<LineKind>,
}

const A_KIND: &str = "\"capture\", \"refund\", \"refund_failure\", \"chargeback\", \"chargeback_reversal\", \"fee\", \"payout\", \
                      \"payout_reversal\", \"adjustment\", or a table of these with positive, negative and zero";

impl Kinds {
    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let section = value.section(&["column", "words", "otherwise", "ignore", "constant"])?;
        if let Some(constant) = section.get("constant") {
            for key in ["column", "words", "otherwise", "ignore"] {
                section.get(key).map_or(Ok(()), |other| Err(other.refuse_key("none beside constant")))?;
            }
            let otherwise = Some(Chosen::of(&constant)?);
            return Ok(Self { column: None, words: HashMap::new(), otherwise, ignored: HashSet::new() });
        }
        let column = columns.of(&section.needed("column", A_COLUMN)?)?;
        let mut words = HashMap::new();
        if let Some(table) = section.get("words") {
            for (word, kind) in table.table()?.entries() {
                words.insert(word.trim().to_owned(), Chosen::of(&kind)?);
            }
        }
        let otherwise = match section.get("otherwise") {
            Some(value) if value.as_text() != Some("refuse") => Some(Chosen::of(&value)?),
            _ => None,
        };
        let mut ignored = HashSet::new();
        if let Some(value) = section.get("ignore") {
            for word in value.texts("a word, or an array of words")? {
                let text = word.as_text().unwrap_or_default().trim();
                if words.contains_key(text) {
                    return Err(word.refuse("a word that words does not have"));
                }
                ignored.insert(text.to_owned());
            }
        }
        if words.is_empty() && otherwise.is_none() {
            return Err(section.lacks("words", "a table of the column's words and the kinds that they mean"));
        }
        Ok(Self { column: Some(column), words, otherwise, ignored })
    }

    /// Whether the record is none of our lines.
    pub fn ignores(&self, fields: Fields<'_>) -> bool {
        self.column.is_some_and(|column| self.ignored.contains(fields.text(column)))
    }

    /// What the line of this amount is about, and the PSP's word for it. A kind that only ever brings or takes has to do so:
    /// else the map is wrong about signs.
    pub fn read(
        &self,
        fields: Fields<'_>,
        gross: i64,
        amount: Option<Column>,
    ) -> Result<(LineKind, String), Refusal> {
        let word = self.column.map(|column| fields.name(column)).transpose()?.flatten().unwrap_or_default();
        let chosen = self.words.get(&word).or(self.otherwise.as_ref());
        let chosen = chosen.ok_or_else(|| fields.refuse_some(self.column, self.known()))?;
        let kind = match gross {
            0 => chosen.zero,
            1.. => chosen.positive,
            _ => chosen.negative,
        };
        let kind = kind.ok_or_else(|| {
            let sign = match gross {
                0 => "0",
                1.. => "more than 0",
                _ => "less than 0",
            };
            fields.refuse_some(amount, format!("another amount: the map has no kind for {word:?} of {sign}"))
        })?;
        if gross.signum() * direction(kind) < 0 {
            let sign = if gross < 0 { "not less" } else { "not more" };
            return Err(fields
                .refuse_some(amount, format!("an amount that is {sign} than 0, as {} is", kind.as_str())));
        }
        Ok((kind, if word.is_empty() { kind.as_str().to_owned() } else { word }))
    }

    fn known(&self) -> String {
        let mut words: Vec<&String> = self.words.keys().chain(&self.ignored).collect();
        words.sort();
        let words: Vec<String> = words.into_iter().map(|word| format!("{word:?}")).collect();
        format!("a word of the map: {}", words.join(", "))
    }
}

/// Whether a kind brings (1), takes (-1) or may do either.
const fn direction(kind: LineKind) -> i64 {
    match kind {
        LineKind::Capture
        | LineKind::RefundFailure
        | LineKind::ChargebackReversal
        | LineKind::PayoutReversal => 1,
        LineKind::Refund | LineKind::Chargeback | LineKind::Payout => -1,
        LineKind::Fee | LineKind::Adjustment => 0,
    }
}

impl Chosen {
    fn of(value: &Value<'_>) -> Result<Self, MapError> {
        if !value.is_table() {
            let kind = Some(kind(value)?);
            return Ok(Self { positive: kind, negative: kind, zero: kind });
        }
        let section = value.section(&["positive", "negative", "zero"])?;
        let of = |key: &str| section.get(key).map(|value| kind(&value)).transpose();
        let chosen = Self { positive: of("positive")?, negative: of("negative")?, zero: of("zero")? };
        if chosen.positive.or(chosen.negative).or(chosen.zero).is_none() {
            return Err(value.refuse(A_KIND));
        }
        Ok(chosen)
    }
}

/// A kind that a map names.
pub(super) fn kind(value: &Value<'_>) -> Result<LineKind, MapError> {
    value.as_text().and_then(LineKind::from_word).ok_or_else(|| value.refuse(A_KIND))
}
