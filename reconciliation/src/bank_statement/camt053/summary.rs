//! What the bank says that the entries add up to.

use money::{Currency, Money};

use super::leaf::{Leaf, signed};
use crate::bank_statement::draft::{Side, Totals};
use crate::statement::Refusal;

/// `TxsSummry`, as it is read: each value with its line.
#[derive(Default)]
pub(super) struct Summary {
    told: Vec<(u64, &'static str, String)>,
}

const TOTALS: &str = "Document/BkToCstmrStmt/Stmt/TxsSummry/";
const COUNT: &str = "TtlNtries/NbOfNtries";
const SUM: &str = "TtlNtries/Sum";
/// From version 04 on, and before it.
const NETS: [(&str, &str); 2] = [
    ("TtlNtries/TtlNetNtry/Amt", "TtlNtries/TtlNetNtry/CdtDbtInd"),
    ("TtlNtries/TtlNetNtryAmt", "TtlNtries/CdtDbtInd"),
];
const CREDITS: [&str; 2] = ["TtlCdtNtries/NbOfNtries", "TtlCdtNtries/Sum"];
const DEBITS: [&str; 2] = ["TtlDbtNtries/NbOfNtries", "TtlDbtNtries/Sum"];
const KNOWN: [&str; 10] = [
    COUNT,
    SUM,
    "TtlNtries/TtlNetNtry/Amt",
    "TtlNtries/TtlNetNtry/CdtDbtInd",
    "TtlNtries/TtlNetNtryAmt",
    "TtlNtries/CdtDbtInd",
    "TtlCdtNtries/NbOfNtries",
    "TtlCdtNtries/Sum",
    "TtlDbtNtries/NbOfNtries",
    "TtlDbtNtries/Sum",
];

impl Summary {
    /// What is at `within` the summary.
    pub fn leaf(&mut self, leaf: &Leaf<'_>, within: &str) -> Result<(), Refusal> {
        let Some(name) = KNOWN.into_iter().find(|name| *name == within) else { return Ok(()) };
        if self.told.iter().any(|(_, told, _)| *told == name) {
            return Err(leaf.refuse("it once"));
        }
        self.told.push((leaf.line, name, leaf.text.to_owned()));
        Ok(())
    }

    /// Holds it to the entries. Banks count those that are not booked, or do not: either way all that they count has to be there.
    pub fn check(
        &self,
        file: &str,
        currency: Currency,
        booked: &Totals,
        all: &Totals,
    ) -> Result<(), Refusal> {
        match self.check_one(file, currency, booked) {
            Err(_) if booked != all && self.check_one(file, currency, all).is_ok() => Ok(()),
            other => other,
        }
    }

    fn check_one(&self, file: &str, currency: Currency, totals: &Totals) -> Result<(), Refusal> {
        let Totals { credits, debits } = totals;
        let sum = i128::from(credits.sum) + i128::from(debits.sum);
        self.count(file, COUNT, totals.count())?;
        self.sum(file, SUM, currency, sum)?;
        for ([count, sum], Side { count: counted, sum: summed }) in [(CREDITS, credits), (DEBITS, debits)] {
            self.count(file, count, *counted)?;
            self.sum(file, sum, currency, i128::from(*summed))?;
        }
        for (amount, indicator) in NETS {
            self.net(file, [amount, indicator], Money::new(totals.net(), currency))?;
        }
        Ok(())
    }

    fn with<T>(
        &self,
        file: &str,
        name: &str,
        check: impl FnOnce(&Leaf<'_>) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        let told = self.told.iter().find(|(_, told, _)| *told == name);
        let path = format!("{TOTALS}{name}");
        let leaf = |(line, _, text): &(u64, _, String)| {
            check(&Leaf { file, line: *line, path: &path, text, currency: None })
        };
        told.map(leaf).transpose()
    }

    fn count(&self, file: &str, name: &str, counted: u64) -> Result<(), Refusal> {
        let check = |leaf: &Leaf<'_>| match leaf.number()? == counted {
            true => Ok(()),
            false => Err(leaf.refuse(format!("{counted}, as there are entries"))),
        };
        self.with(file, name, check).map(drop)
    }

    fn sum(&self, file: &str, name: &str, currency: Currency, summed: i128) -> Result<(), Refusal> {
        let check = |leaf: &Leaf<'_>| match i128::from(leaf.amount(currency)?) == summed {
            true => Ok(()),
            false => Err(leaf.refuse(match i64::try_from(summed) {
                Ok(minor) => format!("the entries' sum, {}", Money::new(minor, currency)),
                Err(_) => "the entries' sum, which does not fit 64 bits of minor units".to_owned(),
            })),
        };
        self.with(file, name, check).map(drop)
    }

    fn net(&self, file: &str, [amount, indicator]: [&str; 2], net: Money) -> Result<(), Refusal> {
        let is_credit = self.with(file, indicator, |leaf| leaf.is_credit())?.unwrap_or(true);
        let check = |leaf: &Leaf<'_>| {
            let told = signed(Money::new(leaf.amount(net.currency)?, net.currency), is_credit);
            let is_right = told == net;
            is_right.then_some(()).ok_or_else(|| leaf.refuse(format!("credits less debits, {net}")))
        };
        self.with(file, amount, check).map(drop)
    }
}
