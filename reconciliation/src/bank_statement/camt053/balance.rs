//! A statement's balances, of which the booked ones count.

use money::Money;
use time::Date;

use super::leaf::{Leaf, signed};
use crate::bank_statement::part::Balance;
use crate::statement::Refusal;

/// One `Bal`, as it is read.
#[derive(Default)]
pub(super) struct Draft {
    kind: Option<String>,
    amount: Option<Money>,
    is_credit: Option<bool>,
    on: Option<Date>,
}

impl Draft {
    /// What is at `within` the balance.
    pub fn leaf(&mut self, leaf: &Leaf<'_>, within: &str) -> Result<(), Refusal> {
        match within {
            "Tp/CdOrPrtry/Cd" | "Tp/CdOrPrtry/Prtry" => leaf.once(&mut self.kind, leaf.text.to_owned()),
            "Amt" => leaf.once(&mut self.amount, leaf.money()?),
            "CdtDbtInd" => leaf.once(&mut self.is_credit, leaf.is_credit()?),
            "Dt/Dt" | "Dt/DtTm" => leaf.once(&mut self.on, leaf.date()?),
            _ => Ok(()),
        }
    }
}

/// Those that were read.
#[derive(Default)]
pub(super) struct Balances {
    opening: Option<Balance>,
    /// How the statement before closed, which is how this one opens.
    previous: Option<Balance>,
    pub closing: Option<Balance>,
    /// Where that stands, for refusals.
    pub closing_at: Option<u64>,
}

impl Balances {
    /// The balance at `leaf` is complete. Those that are available, expected or at another moment do not count.
    pub fn add(&mut self, leaf: &Leaf<'_>, draft: Draft) -> Result<(), Refusal> {
        let Some(kind) = draft.kind else { return Err(leaf.lacks("Tp", "the balance's type, such as OPBD")) };
        let place = match kind.as_str() {
            "OPBD" => &mut self.opening,
            "PRCD" => &mut self.previous,
            "CLBD" => &mut self.closing,
            _ => return Ok(()),
        };
        let amount = draft.amount.ok_or_else(|| leaf.lacks("Amt", "an amount"))?;
        let is_credit = draft.is_credit.ok_or_else(|| leaf.lacks("CdtDbtInd", "CRDT or DBIT"))?;
        let on = draft.on.ok_or_else(|| leaf.lacks("Dt", "a date"))?;
        if place.replace(Balance { amount: signed(amount, is_credit), on }).is_some() {
            return Err(leaf.at().refuse(format!("a second balance {kind}"), "one in a statement"));
        }
        if kind == "CLBD" {
            self.closing_at = Some(leaf.line);
        }
        Ok(())
    }

    pub fn opening(&self) -> Option<Balance> {
        self.opening.or(self.previous)
    }
}
