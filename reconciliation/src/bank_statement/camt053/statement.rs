//! One statement of a message.

use std::collections::VecDeque;

use money::Currency;
use time::Date;

use super::balance::{self, Balances};
use super::entry;
use super::leaf::Leaf;
use super::summary::Summary;
use crate::bank_statement::draft::{At, Totals, name};
use crate::bank_statement::part::{Account, Balance, Closing, Head, Part};
use crate::statement::Refusal;

/// One `Stmt`, as it is read.
pub(super) struct Statement {
    line: u64,
    id: Option<String>,
    legal: Option<String>,
    electronic: Option<String>,
    account: Option<Account>,
    currency: Option<Currency>,
    from: Option<Date>,
    to: Option<Date>,
    balances: Balances,
    summary: Summary,
    balance: Option<balance::Draft>,
    entry: Option<entry::Draft>,
    /// What its head says, once that was told: with the first entry.
    begun: Option<(Currency, Balance)>,
    booked: Totals,
    all: Totals,
}

impl Statement {
    pub fn new(line: u64) -> Self {
        Self {
            line,
            id: None,
            legal: None,
            electronic: None,
            account: None,
            currency: None,
            from: None,
            to: None,
            balances: Balances::default(),
            summary: Summary::default(),
            balance: None,
            entry: None,
            begun: None,
            booked: Totals::default(),
            all: Totals::default(),
        }
    }

    /// The element at `within` the statement begins.
    pub fn opened(
        &mut self,
        leaf: &Leaf<'_>,
        within: &str,
        parts: &mut VecDeque<Part>,
    ) -> Result<(), Refusal> {
        match within {
            "Bal" => self.balance = Some(balance::Draft::default()),
            "Ntry" => {
                self.begin(leaf.file, parts)?;
                self.entry = Some(entry::Draft::default());
            }
            "Ntry/NtryDtls/TxDtls" => {
                if let Some(entry) = &mut self.entry {
                    entry.detail(leaf)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The text of the element at `within` the statement.
    pub fn leaf(&mut self, leaf: &Leaf<'_>, within: &str) -> Result<(), Refusal> {
        let name = || name(leaf.text).map_err(|expected| leaf.refuse(expected));
        let told = |place: &mut Option<String>| match name()? {
            Some(name) => leaf.once(place, name),
            None => Err(leaf.refuse("a name or number")),
        };
        match within {
            "Id" => told(&mut self.id),
            "LglSeqNb" => told(&mut self.legal),
            "ElctrncSeqNb" => told(&mut self.electronic),
            "FrToDt/FrDtTm" => leaf.once(&mut self.from, leaf.date()?),
            "FrToDt/ToDtTm" => leaf.once(&mut self.to, leaf.date()?),
            "Acct/Id/IBAN" | "Acct/Id/Othr/Id" => {
                let account = Account::new(leaf.text);
                leaf.once(&mut self.account, account.ok_or_else(|| leaf.refuse("an account"))?)
            }
            "Acct/Ccy" => leaf.once(&mut self.currency, leaf.at().currency(leaf.text)?),
            _ => self.leaf_of_part(leaf, within),
        }
    }

    fn leaf_of_part(&mut self, leaf: &Leaf<'_>, within: &str) -> Result<(), Refusal> {
        let parts = (within.split_once('/'), &mut self.balance, &mut self.entry);
        match parts {
            (Some(("Bal", within)), Some(balance), _) => balance.leaf(leaf, within),
            (Some(("Ntry", within)), _, Some(entry)) => entry.leaf(leaf, within),
            (Some(("TxsSummry", within)), ..) => self.summary.leaf(leaf, within),
            _ => Ok(()),
        }
    }

    /// The element at `within` the statement ends.
    pub fn closed(
        &mut self,
        leaf: &Leaf<'_>,
        within: &str,
        parts: &mut VecDeque<Part>,
    ) -> Result<(), Refusal> {
        match within {
            "Bal" => match self.balance.take() {
                Some(draft) => self.balances.add(leaf, draft),
                None => Ok(()),
            },
            "Ntry" => match (self.entry.take(), self.begun) {
                (Some(draft), Some((currency, _))) => self.enter(leaf, draft, currency, parts),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn enter(
        &mut self,
        leaf: &Leaf<'_>,
        draft: entry::Draft,
        currency: Currency,
        parts: &mut VecDeque<Part>,
    ) -> Result<(), Refusal> {
        let entry::Finished { entry, is_credit, is_booked } = draft.finish(leaf, currency)?;
        let with = |totals: Totals| {
            let overflow =
                || leaf.at().refuse(entry.amount.to_string(), "sums that fit 64 bits of minor units");
            totals.with(entry.amount.minor, is_credit).ok_or_else(overflow)
        };
        self.all = with(self.all)?;
        if is_booked {
            self.booked = with(self.booked)?;
            parts.push_back(Part::Entry(entry));
        }
        Ok(())
    }

    /// Tells the head, which stands before the entries, unless it was told.
    fn begin(&mut self, file: &str, parts: &mut VecDeque<Part>) -> Result<(), Refusal> {
        if self.begun.is_some() {
            return Ok(());
        }
        let path = "Document/BkToCstmrStmt/Stmt";
        let leaf = Leaf { file, line: self.line, path, text: "", currency: None };
        let account = self.account.clone();
        let account = account.ok_or_else(|| leaf.lacks("Acct/Id", "the account, before the entries"))?;
        let id =
            self.id.clone().ok_or_else(|| leaf.lacks("Id", "the statement's name, before the entries"))?;
        let opening = self.balances.opening();
        let opening =
            opening.ok_or_else(|| leaf.lacks("Bal", "a balance OPBD or PRCD, before the entries"))?;
        let currency = self.currency.unwrap_or(opening.amount.currency);
        self.in_currency(&leaf, opening, currency)?;
        parts.push_back(Part::Begin(Head {
            line_no: leaf.at().line_no()?,
            account,
            currency,
            statement_id: Some(id),
            sequence: self.legal.clone().or(self.electronic.clone()),
            opening: Some(opening),
        }));
        self.begun = Some((currency, opening));
        Ok(())
    }

    fn in_currency(&self, leaf: &Leaf<'_>, balance: Balance, currency: Currency) -> Result<(), Refusal> {
        if balance.amount.currency == currency {
            return Ok(());
        }
        let at = At { column: "Stmt/Bal/Amt", ..leaf.at() };
        Err(at.refuse(balance.amount.to_string(), format!("an amount in {currency}, as the account is")))
    }

    /// The statement has ended: it has to add up.
    pub fn finish(mut self, leaf: &Leaf<'_>, parts: &mut VecDeque<Part>) -> Result<(), Refusal> {
        self.begin(leaf.file, parts)?;
        let Some((currency, opening)) = self.begun else { return Ok(()) };
        let closing = self.balances.closing.ok_or_else(|| leaf.lacks("Bal", "a balance CLBD"))?;
        self.in_currency(leaf, closing, currency)?;
        let line = self.balances.closing_at.unwrap_or(leaf.line);
        let at = At { line, column: "Stmt/Bal/Amt", ..leaf.at() };
        at.closes(opening.amount, &self.booked, closing.amount)?;
        self.summary.check(leaf.file, currency, &self.booked, &self.all)?;
        let (from, to) = (self.from.unwrap_or(opening.on), self.to.unwrap_or(closing.on));
        parts.push_back(Part::End(Closing {
            line_no: at.line_no()?,
            opening: Some(opening),
            closing: Some(closing),
            total: self.booked.net(),
            entries: self.booked.count(),
            not_booked: self.all.count() - self.booked.count(),
            from,
            to,
        }));
        Ok(())
    }
}
