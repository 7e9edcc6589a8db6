use std::collections::HashMap;
use std::sync::Arc;

use super::Rules;
use super::columns::{Fields, Places};
use super::names::joined;
use super::trailer::Totals;
use super::zone::Zone;
use crate::statement::Line;
use crate::statement::refusal::Refusal;
use crate::statement::table::{Header, LONGEST_NAME, Row};

/// A file under its map, and what has to be remembered of its lines.
pub(in crate::statement) struct Layout {
    rules: Arc<Rules>,
    header: Header,
    places: Places,
    zones: HashMap<String, Zone>,
    /// How often a content was there, where it is all that tells lines apart.
    seen: HashMap<[u8; 16], u32>,
    totals: Totals,
    /// The line of the trailer.
    trailer_at: Option<u64>,
    /// What every line is of.
    document: Option<String>,
}

impl Layout {
    /// The layout of a file with this header.
    pub fn of(rules: Arc<Rules>, row: &Row<'_>) -> Result<Self, Refusal> {
        let header = Header::of(row, format!("a file of the map {}", rules.name));
        Ok(Self {
            places: rules.columns.places(row, &header)?,
            rules,
            header,
            zones: HashMap::new(),
            seen: HashMap::new(),
            totals: Totals::default(),
            trailer_at: None,
            document: None,
        })
    }

    /// The line that the record is; none where it is ignored, or the trailer.
    pub fn line(&mut self, row: Row<'_>) -> Result<Option<Line>, Refusal> {
        let rules = self.rules.clone();
        if let Some(at) = self.trailer_at {
            return Err(row.refuse("a record", format!("nothing after the trailer in line {at}")));
        }
        if let Some(trailer) = &rules.trailer
            && trailer.is(&row, &self.places)
        {
            let writing = (rules.amounts.writing(), rules.amounts.only_currency());
            self.totals.check(trailer, &row, &self.places, &rules.columns, writing)?;
            self.trailer_at = Some(row.at);
            return Ok(None);
        }
        let record = row.under(&self.header)?;
        let fields = Fields { record, places: &self.places };
        if rules.kinds.ignores(fields) {
            self.totals.ignored();
            return Ok(None);
        }
        let document = rules.document.as_ref().map(|document| document.read(fields)).transpose()?;
        if let (Some(document), Some(first)) = (&document, &self.document)
            && document != first
            && let Some(column) = rules.document.as_ref().and_then(|document| document.columns.first())
        {
            return Err(fields.refuse(*column, format!("what makes {first:?}, as in the lines before")));
        }
        let line = read(&rules, fields, &mut self.zones, &mut self.seen)?;
        if let Some(trailer) = &rules.trailer {
            self.totals.add(trailer, fields, rules.amounts.writing(), line.currency)?;
        }
        self.document = self.document.take().or(document);
        Ok(Some(line))
    }

    /// Whether the file has ended where it may.
    pub fn end(&self, file: &str) -> Result<(), Refusal> {
        match &self.rules.trailer {
            Some(trailer) if self.trailer_at.is_none() => Err(trailer.missing(file)),
            _ => Ok(()),
        }
    }

    pub fn identity(&self) -> Option<String> {
        self.document.clone()
    }
}

fn read(
    rules: &Rules,
    fields: Fields<'_>,
    zones: &mut HashMap<String, Zone>,
    seen: &mut HashMap<[u8; 16], u32>,
) -> Result<Line, Refusal> {
    let figures = rules.amounts.read(fields)?;
    let (kind, category) = rules.kinds.read(fields, figures.gross, rules.amounts.telling())?;
    let (occurred_at, value_date) = rules.moments.read(fields, zones)?;
    let names = &rules.names;
    Ok(Line {
        line_no: fields.record.line_no()?,
        psp_line_id: names.id(fields, seen)?,
        kind,
        category,
        gross: figures.gross,
        fee: figures.fee,
        net: figures.net,
        currency: figures.currency,
        presented: figures.presented,
        fee_parts: figures.parts,
        method: names.method.read(fields, kind)?,
        occurred_at,
        value_date,
        payout_id: names.payout_id.read(fields, kind)?,
        payout_on: None,
        operation_id: names.operation(fields, kind),
        order_id: names.order_id.read(fields, kind)?,
        psp_reference: names.psp_reference.read(fields, kind)?,
        psp_movement: names.psp_movement.read(fields, kind)?,
        psp_source: names.psp_source.read(fields, kind)?,
    })
}

/// What `[document]` says: what a corrected file has in common with the one that it corrects.
#[derive(Debug)]
pub(super) struct Document {
    pub constant: Option<String>,
    pub columns: Vec<super::columns::Column>,
}

impl Document {
    fn read(&self, fields: Fields<'_>) -> Result<String, Refusal> {
        let told = joined(fields, &self.columns)?;
        let Some(constant) = &self.constant else { return Ok(told) };
        let whole = format!("{constant}/{told}");
        match self.columns.first() {
            Some(column) if whole.chars().count() > LONGEST_NAME => {
                Err(fields.refuse(*column, format!("a name of at most {LONGEST_NAME} characters together")))
            }
            _ => Ok(whole),
        }
    }
}
