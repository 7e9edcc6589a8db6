//! One account of a group: its balances and summaries, its entries, its trailer.

use std::collections::VecDeque;

use money::{Currency, Money};
use time::Date;

use super::record::{Fields, Value};
use super::report::{count, total};
use crate::bank_statement::draft::{At, Said, Side, Totals, name};
use crate::bank_statement::part::{self, Balance, Closing, Entry, Head, Part};
use crate::statement::Refusal;

/// What an account has from its group.
pub(super) struct Context {
    pub on: Date,
    pub currency: Currency,
    /// How many records were before the account's.
    pub before: u64,
}

/// The account at hand.
pub(super) struct Account {
    on: Date,
    currency: Currency,
    before: u64,
    opening: Option<i64>,
    closing: Option<i64>,
    /// Totals of credits and debits, as the bank tells them.
    summaries: [Option<Summary>; 2],
    totals: Totals,
    /// Of all amounts, for the trailer.
    control: i128,
    not_booked: u64,
}

/// A total that the bank tells, and where.
#[derive(Debug, Clone, Copy)]
struct Summary {
    line: u64,
    minor: i64,
    count: Option<u64>,
}

/// Types of balances and totals that are checked.
const OPENING_LEDGER: &str = "010";
const CLOSING_LEDGER: &str = "015";
const TOTAL_CREDITS: &str = "100";
const TOTAL_DEBITS: &str = "400";
/// Text without money.
const NON_MONETARY: &str = "890";

impl Account {
    /// Reads 03, with its balances and summaries.
    pub fn begin(
        mut fields: Fields<'_>,
        line: u64,
        context: &Context,
        file_name: &str,
        parts: &mut VecDeque<Part>,
    ) -> Result<Self, Refusal> {
        let number = fields.or_empty("03 account number");
        let currency = fields.or_empty("03 currency");
        let mut account = Self {
            on: context.on,
            currency: if currency.text.is_empty() { context.currency } else { currency.currency()? },
            before: context.before,
            opening: None,
            closing: None,
            summaries: [None; 2],
            totals: Totals::default(),
            control: 0,
            not_booked: 0,
        };
        while let Some(kind) = fields.next("03 type code") {
            account.summary(kind, &mut fields)?;
        }
        parts.push_back(Part::Begin(Head {
            line_no: At { line, ..number.at }.line_no()?,
            account: part::Account::new(number.text).ok_or_else(|| number.refuse("an account"))?,
            currency: account.currency,
            statement_id: Some(file_name.to_owned()),
            sequence: None,
            opening: account.balance(account.opening),
        }));
        Ok(account)
    }

    fn balance(&self, minor: Option<i64>) -> Option<Balance> {
        minor.map(|minor| Balance { amount: Money::new(minor, self.currency), on: self.on })
    }

    /// A balance or summary: its type, amount, count of items, and when what of it is available.
    fn summary(&mut self, kind: Value<'_>, fields: &mut Fields<'_>) -> Result<(), Refusal> {
        let amount = fields.or_empty("03 amount");
        let items = fields.or_empty("03 item count");
        funds(fields, Columns::SUMMARY)?;
        if kind.text.is_empty() && amount.text.is_empty() {
            return Ok(());
        }
        let is_code = kind.text.len() == 3 && kind.text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_code {
            return Err(kind.refuse("a type code such as 010"));
        }
        let minor = if amount.text.is_empty() { None } else { Some(amount.amount()?) };
        let count = if items.text.is_empty() { None } else { Some(items.number()?) };
        self.control += i128::from(minor.unwrap_or_default());
        let Some(minor) = minor else { return Ok(()) };
        let line = kind.at.line;
        let [credits, debits] = &mut self.summaries;
        let is_second = match kind.text {
            OPENING_LEDGER => self.opening.replace(minor).is_some(),
            CLOSING_LEDGER => self.closing.replace(minor).is_some(),
            TOTAL_CREDITS => credits.replace(Summary { line, minor, count }).is_some(),
            TOTAL_DEBITS => debits.replace(Summary { line, minor, count }).is_some(),
            _ => false,
        };
        if is_second { Err(kind.refuse("it once")) } else { Ok(()) }
    }

    /// Reads 16.
    pub fn entry(
        &mut self,
        mut fields: Fields<'_>,
        line: u64,
        parts: &mut VecDeque<Part>,
    ) -> Result<(), Refusal> {
        let kind = fields.or_empty("16 type code");
        let amount = fields.or_empty("16 amount");
        if kind.text == NON_MONETARY && matches!(amount.text.trim_start_matches('0'), "") {
            self.not_booked += 1;
            return Ok(());
        }
        let is_credit = is_credit(kind)?;
        let minor = amount.amount()?;
        if amount.text.starts_with(['+', '-']) {
            return Err(amount.refuse("an amount without a sign, which is the type's"));
        }
        self.control += i128::from(minor);
        let signed = if is_credit { minor } else { -minor };
        let totals = self.totals.with(signed, is_credit);
        self.totals = totals.ok_or_else(|| amount.refuse("sums that fit 64 bits of minor units"))?;
        let value_on = funds(&mut fields, Columns::DETAIL)?;
        let [bank_reference, customer_reference] =
            ["16 bank reference", "16 customer reference"].map(|column| reference(fields.or_empty(column)));
        let mut said = Said::default();
        for words in fields.tail() {
            let at = At { column: "16 text", ..kind.at };
            said.words(words).map_err(|expected| at.value(words, expected))?;
        }
        let (references, text) = said.finish([None, None]);
        parts.push_back(Part::Entry(Entry {
            line_no: At { line, ..kind.at }.line_no()?,
            amount: Money::new(signed, self.currency),
            booked_on: self.on,
            value_on: value_on.unwrap_or(self.on),
            is_reversal: false,
            code: kind.text.to_owned(),
            bank_reference: bank_reference?,
            customer_reference: customer_reference?,
            references,
            counterparty: None,
            text,
        }));
        Ok(())
    }

    /// Reads 49, with `records` in the file up to and with it, and tells the control total.
    pub fn end(
        &mut self,
        mut fields: Fields<'_>,
        line: u64,
        records: u64,
        parts: &mut VecDeque<Part>,
    ) -> Result<i128, Refusal> {
        let told = fields.or_empty("49 account control total");
        total(told, self.control, "account's amounts")?;
        count(fields.or_empty("49 number of records"), records - self.before, "records of the account")?;
        fields.end()?;
        let Totals { credits, debits } = self.totals;
        let [of_credits, of_debits] = self.summaries;
        for (summary, side, name) in [(of_credits, credits, TOTAL_CREDITS), (of_debits, debits, TOTAL_DEBITS)]
        {
            if let Some(summary) = summary {
                self.check(told.at, summary, side, name)?;
            }
        }
        let at = At { line, column: "03 015", ..told.at };
        let (opening, closing) = (self.balance(self.opening), self.balance(self.closing));
        if let (Some(opening), Some(closing)) = (opening, closing) {
            at.closes(opening.amount, &self.totals, closing.amount)?;
        }
        parts.push_back(Part::End(Closing {
            line_no: at.line_no()?,
            opening,
            closing,
            total: self.totals.net(),
            entries: self.totals.count(),
            not_booked: self.not_booked,
            from: self.on,
            to: self.on,
        }));
        Ok(self.control)
    }

    fn check(&self, at: At<'_>, told: Summary, side: Side, name: &str) -> Result<(), Refusal> {
        let column = format!("03 {name}");
        let at = At { line: told.line, column: &column, ..at };
        if told.minor != side.sum {
            let expected = format!("the entries' sum, {}", Money::new(side.sum, self.currency));
            return Err(at.refuse(Money::new(told.minor, self.currency).to_string(), expected));
        }
        match told.count {
            Some(count) if count != side.count => {
                Err(at.refuse(format!("{count} items"), format!("{}, as there are entries", side.count)))
            }
            _ => Ok(()),
        }
    }
}

/// What a type does to an account.
fn is_credit(kind: Value<'_>) -> Result<bool, Refusal> {
    match kind.text.parse().ok().filter(|_| kind.text.len() == 3) {
        Some(101..=399 | 920..=959_u16) => Ok(true),
        Some(401..=699 | 960..=999) => Ok(false),
        Some(100 | 400) => Err(kind.refuse("the type of one entry, not of their total")),
        Some(700..=799) => Err(kind.refuse("no loan, as its types tell no direction")),
        _ => Err(kind.refuse("a type of credits (101-399, 920-959) or of debits (401-699, 960-999)")),
    }
}

fn reference(value: Value<'_>) -> Result<Option<String>, Refusal> {
    name(value.text).map_err(|expected| value.refuse(expected))
}

/// What the fields of a funds type are called.
#[derive(Clone, Copy)]
struct Columns {
    kind: &'static str,
    date: &'static str,
    amount: &'static str,
    count: &'static str,
}

impl Columns {
    const SUMMARY: Self = Self {
        kind: "03 funds type",
        date: "03 value date",
        amount: "03 available amount",
        count: "03 distributions",
    };
    const DETAIL: Self = Self {
        kind: "16 funds type",
        date: "16 value date",
        amount: "16 available amount",
        count: "16 distributions",
    };
}

/// Reads when an amount is available: the value date, where it tells one.
fn funds(fields: &mut Fields<'_>, columns: Columns) -> Result<Option<Date>, Refusal> {
    let kind = fields.or_empty(columns.kind);
    let amounts = |fields: &mut Fields<'_>, count: u64| {
        for _ in 0..count {
            let value = fields.or_empty(columns.amount);
            if !value.text.is_empty() {
                value.amount()?;
            }
        }
        Ok(())
    };
    match kind.text {
        "" | "0" | "1" | "2" | "Z" => Ok(None),
        // at once, in one day, in more
        "S" => amounts(fields, 3).map(|()| None),
        "V" => {
            let date = fields.or_empty(columns.date);
            let on = if date.text.is_empty() { None } else { Some(date.date()?) };
            fields.or_empty(columns.date).time()?;
            Ok(on)
        }
        "D" => {
            let distributions = fields.or_empty(columns.count);
            let count = distributions.number()?;
            if count > 999 {
                return Err(distributions.refuse("at most 999"));
            }
            // days and amounts
            amounts(fields, 2 * count).map(|()| None)
        }
        _ => Err(kind.refuse("0, 1, 2, S, V, D, Z or nothing")),
    }
}
