//! A file of groups of accounts, and the totals that hold it together.

use std::collections::VecDeque;

use money::Currency;
use time::Date;

use super::account::{self, Account};
use super::record::{Fields, Record, Value};
use crate::bank_statement::part::Part;
use crate::statement::Refusal;

/// What was read so far.
pub(super) struct Report {
    place: Place,
    /// The sender, the day and the number of the file.
    name: String,
    group: Option<Group>,
    account: Option<Account>,
    total: i128,
    groups: u64,
    /// Lines, which are what banks count as records.
    records: u64,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    File,
    Group,
    Account,
    End,
}

impl Place {
    const fn expected(self) -> &'static str {
        match self {
            Self::Start => "01",
            Self::File => "02 or 99",
            Self::Group => "03 or 98",
            Self::Account => "16, 88 or 49",
            Self::End => "the file's end",
        }
    }
}

/// The group at hand.
struct Group {
    on: Date,
    currency: Currency,
    total: i128,
    accounts: u64,
    /// How many records were before it.
    before: u64,
}

impl Report {
    pub const fn new() -> Self {
        let name = String::new();
        Self { place: Place::Start, name, group: None, account: None, total: 0, groups: 0, records: 0 }
    }

    /// One more record.
    pub fn record(&mut self, file: &str, record: &Record, parts: &mut VecDeque<Part>) -> Result<(), Refusal> {
        let before = self.records;
        self.records += record.pieces.len() as u64;
        let fields = Fields::of(file, record);
        match (self.place, record.code.as_str(), self.group.as_mut(), self.account.as_mut()) {
            (Place::Start, "01", ..) => self.begin(fields)?,
            (Place::File, "02", ..) => self.begin_group(fields, before)?,
            (Place::Group, "03", Some(group), _) => {
                let context = account::Context { on: group.on, currency: group.currency, before };
                self.account = Some(Account::begin(fields, record.at, &context, &self.name, parts)?);
                self.place = Place::Account;
            }
            (Place::Account, "16", _, Some(account)) => account.entry(fields, record.at, parts)?,
            (Place::Account, "49", Some(group), Some(account)) => {
                group.total += account.end(fields, record.at, self.records, parts)?;
                group.accounts += 1;
                self.place = Place::Group;
            }
            (Place::Group, "98", Some(_), _) => self.end_group(fields)?,
            (Place::File, "99", ..) => self.end(fields)?,
            (place, found, ..) => {
                return Err(Refusal::of_line(file, record.at, format!("a record {found}"), place.expected()));
            }
        }
        Ok(())
    }

    fn begin(&mut self, mut fields: Fields<'_>) -> Result<(), Refusal> {
        let sender = fields.or_empty("01 sender").text;
        fields.or_empty("01 receiver");
        let day = fields.or_empty("01 creation date");
        day.date()?;
        fields.or_empty("01 creation time").time()?;
        let number = fields.or_empty("01 file identification number").text;
        fields.or_empty("01 physical record length");
        fields.or_empty("01 block size");
        let version = fields.or_empty("01 version number");
        if version.text != "2" {
            return Err(version.refuse("2, as this is how BAI2 is read"));
        }
        self.name = format!("{sender}/{}/{number}", day.text);
        self.place = Place::File;
        fields.end()
    }

    fn begin_group(&mut self, mut fields: Fields<'_>, before: u64) -> Result<(), Refusal> {
        fields.or_empty("02 receiver");
        fields.or_empty("02 originator");
        let status = fields.or_empty("02 group status");
        if status.text != "1" {
            return Err(status.refuse("1: 2 is a deletion, 3 a correction and 4 a test"));
        }
        let on = fields.or_empty("02 as-of date").date()?;
        fields.or_empty("02 as-of time").time()?;
        let currency = fields.or_empty("02 currency");
        // the standard's default
        let currency = if currency.text.is_empty() { Currency::USD } else { currency.currency()? };
        let modifier = fields.or_empty("02 as-of date modifier");
        if !matches!(modifier.text, "" | "2" | "4") {
            return Err(modifier.refuse("2 or 4, which are final: 1 and 3 are interim reports"));
        }
        self.group = Some(Group { on, currency, total: 0, accounts: 0, before });
        self.place = Place::Group;
        fields.end()
    }

    fn end_group(&mut self, mut fields: Fields<'_>) -> Result<(), Refusal> {
        let Some(group) = self.group.take() else { return fields.end() };
        total(fields.or_empty("98 group control total"), group.total, "accounts' totals")?;
        count(fields.or_empty("98 number of accounts"), group.accounts, "accounts")?;
        count(fields.or_empty("98 number of records"), self.records - group.before, "records in the group")?;
        self.total += group.total;
        self.groups += 1;
        self.place = Place::File;
        fields.end()
    }

    fn end(&mut self, mut fields: Fields<'_>) -> Result<(), Refusal> {
        total(fields.or_empty("99 file control total"), self.total, "groups' totals")?;
        count(fields.or_empty("99 number of groups"), self.groups, "groups")?;
        count(fields.or_empty("99 number of records"), self.records, "records in the file")?;
        self.place = Place::End;
        fields.end()
    }

    /// The file has ended.
    pub fn eof(&self, file: &str, line: u64) -> Result<(), Refusal> {
        if self.place == Place::End {
            return Ok(());
        }
        let expected = format!("{}; is the file cut off?", self.place.expected());
        Err(Refusal::of_line(file, line, "the file's end", expected))
    }
}

/// Holds a control total to what it is of.
pub(super) fn total(told: Value<'_>, summed: i128, of: &str) -> Result<(), Refusal> {
    if i128::from(told.amount()?) == summed {
        return Ok(());
    }
    Err(told.refuse(format!("{summed}, the sum of the {of}")))
}

/// Holds a count to what it is of.
pub(super) fn count(told: Value<'_>, counted: u64, of: &str) -> Result<(), Refusal> {
    if told.number()? == counted { Ok(()) } else { Err(told.refuse(format!("{counted}, as there are {of}"))) }
}
