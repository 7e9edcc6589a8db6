//! One entry of a statement.

use money::{Currency, Money};
use time::Date;

use super::leaf::{Leaf, signed};
use crate::bank_statement::draft::{Said, name};
use crate::bank_statement::part::Entry;
use crate::statement::Refusal;

/// One `Ntry`, as it is read.
#[derive(Default)]
pub(super) struct Draft {
    amount: Option<Money>,
    is_credit: Option<bool>,
    is_reversal: Option<bool>,
    status: Option<Status>,
    booked_on: Option<Date>,
    value_on: Option<Date>,
    code: Code,
    bank_reference: Option<String>,
    said: Said,
    /// How many transactions it is of.
    details: u64,
    /// Of the first of them.
    end_to_end: Option<String>,
    bank_reference_of_detail: Option<String>,
    debtor: Option<String>,
    creditor: Option<String>,
}

/// An entry, and what else is to know of it.
pub(super) struct Finished {
    pub entry: Entry,
    pub is_credit: bool,
    pub is_booked: bool,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Booked,
    /// Pending, to come, or for information.
    Other,
}

/// The bank transaction code: the standard's three, or the bank's own.
#[derive(Default)]
struct Code {
    domain: Option<String>,
    family: Option<String>,
    sub_family: Option<String>,
    proprietary: Option<String>,
}

impl Code {
    fn word(self) -> Option<String> {
        let parts = [self.domain, self.family, self.sub_family];
        let standard: Vec<String> = parts.into_iter().flatten().collect();
        if standard.is_empty() { self.proprietary } else { Some(standard.join("/")) }
    }
}

impl Draft {
    /// Another of its transactions begins.
    pub fn detail(&mut self, leaf: &Leaf<'_>) -> Result<(), Refusal> {
        self.details += 1;
        // now it is one among many
        match self.end_to_end.take() {
            Some(end_to_end) => self.said.reference(&end_to_end).map_err(|expected| leaf.refuse(expected)),
            None => Ok(()),
        }
    }

    /// What is at `within` the entry.
    pub fn leaf(&mut self, leaf: &Leaf<'_>, within: &str) -> Result<(), Refusal> {
        let name = || name(leaf.text).map_err(|expected| leaf.refuse(expected));
        let code = &mut self.code;
        match within {
            "Amt" => leaf.once(&mut self.amount, leaf.money()?),
            "CdtDbtInd" => leaf.once(&mut self.is_credit, leaf.is_credit()?),
            "RvslInd" => leaf.once(&mut self.is_reversal, flag(leaf)?),
            "Sts" | "Sts/Cd" | "Sts/Prtry" => leaf.once(&mut self.status, status(leaf)?),
            "BookgDt/Dt" | "BookgDt/DtTm" => leaf.once(&mut self.booked_on, leaf.date()?),
            "ValDt/Dt" | "ValDt/DtTm" => leaf.once(&mut self.value_on, leaf.date()?),
            "AcctSvcrRef" => keep(leaf, &mut self.bank_reference, name()?),
            "BkTxCd/Domn/Cd" => keep(leaf, &mut code.domain, name()?),
            "BkTxCd/Domn/Fmly/Cd" => keep(leaf, &mut code.family, name()?),
            "BkTxCd/Domn/Fmly/SubFmlyCd" => keep(leaf, &mut code.sub_family, name()?),
            "BkTxCd/Prtry/Cd" => keep(leaf, &mut code.proprietary, name()?),
            "NtryRef" | "NtryDtls/Btch/MsgId" | "NtryDtls/Btch/PmtInfId" => self.reference(leaf),
            "AddtlNtryInf" => self.words(leaf),
            _ => match within.strip_prefix("NtryDtls/TxDtls/") {
                Some(within) => self.leaf_of_detail(leaf, within),
                None => Ok(()),
            },
        }
    }

    fn leaf_of_detail(&mut self, leaf: &Leaf<'_>, within: &str) -> Result<(), Refusal> {
        let is_first = self.details == 1;
        let name = || name(leaf.text).map_err(|expected| leaf.refuse(expected));
        match within {
            "Refs/EndToEndId" if is_first => keep(leaf, &mut self.end_to_end, name()?),
            "Refs/AcctSvcrRef" if is_first => {
                keep(leaf, &mut self.bank_reference_of_detail, name()?)?;
                self.reference(leaf)
            }
            "RltdPties/Dbtr/Nm" | "RltdPties/Dbtr/Pty/Nm" => {
                self.debtor = name()?;
                Ok(())
            }
            "RltdPties/Cdtr/Nm" | "RltdPties/Cdtr/Pty/Nm" => {
                self.creditor = name()?;
                Ok(())
            }
            "RmtInf/Strd/CdtrRefInf/Ref" | "RmtInf/Strd/RfrdDocInf/Nb" | "RltdRmtInf/RmtId" => {
                self.reference(leaf)
            }
            "RmtInf/Ustrd" | "RmtInf/Strd/AddtlRmtInf" | "RtrInf/AddtlInf" | "AddtlTxInf" => self.words(leaf),
            "Refs/Prtry/Tp" => Ok(()),
            _ if within.starts_with("Refs/") => self.reference(leaf),
            _ => Ok(()),
        }
    }

    fn reference(&mut self, leaf: &Leaf<'_>) -> Result<(), Refusal> {
        self.said.reference(leaf.text).map_err(|expected| leaf.refuse(expected))
    }

    fn words(&mut self, leaf: &Leaf<'_>) -> Result<(), Refusal> {
        self.said.words(leaf.text).map_err(|expected| leaf.refuse(expected))
    }

    /// The entry at `leaf`, complete; in another currency than the account's it is refused.
    pub fn finish(mut self, leaf: &Leaf<'_>, currency: Currency) -> Result<Finished, Refusal> {
        let amount = self.amount.ok_or_else(|| leaf.lacks("Amt", "an amount"))?;
        if amount.currency != currency {
            let leaf = Leaf { path: &format!("{}/Amt", leaf.path), ..*leaf };
            return Err(leaf
                .at()
                .refuse(amount.to_string(), format!("an amount in {currency}, as the account is")));
        }
        let is_credit = self.is_credit.ok_or_else(|| leaf.lacks("CdtDbtInd", "CRDT or DBIT"))?;
        let status = self.status.ok_or_else(|| leaf.lacks("Sts", STATUSES))?;
        let is_booked = status == Status::Booked;
        let booked_on = match (self.booked_on, is_booked) {
            (Some(on), _) => on,
            // it counts for nothing
            (None, false) => Date::MIN,
            (None, true) => return Err(leaf.lacks("BookgDt", "the date of booking")),
        };
        let counterparty = self.counterparty(is_credit);
        let code = std::mem::take(&mut self.code).word();
        let code = code.ok_or_else(|| leaf.lacks("BkTxCd", "a code, in Domn or in Prtry"))?;
        let of_detail = self.bank_reference_of_detail.filter(|_| self.details == 1);
        let bank_reference = self.bank_reference.or(of_detail);
        let customer_reference = self.end_to_end;
        let (references, text) = self.said.finish([bank_reference.as_deref(), customer_reference.as_deref()]);
        let entry = Entry {
            line_no: leaf.at().line_no()?,
            amount: signed(amount, is_credit),
            booked_on,
            value_on: self.value_on.unwrap_or(booked_on),
            is_reversal: self.is_reversal.unwrap_or(false),
            code,
            bank_reference,
            customer_reference,
            references,
            counterparty,
            text,
        };
        Ok(Finished { entry, is_credit, is_booked })
    }

    /// The party on the other side; a reversal names those of what it takes back.
    fn counterparty(&mut self, is_credit: bool) -> Option<String> {
        let (debtor, creditor) = (self.debtor.take(), self.creditor.take());
        if self.details != 1 {
            return None;
        }
        let is_reversal = self.is_reversal.unwrap_or(false);
        if is_credit != is_reversal { debtor.or(creditor) } else { creditor.or(debtor) }
    }
}

const STATUSES: &str = "BOOK, or PDNG, FUTR or INFO, which are left out";

fn status(leaf: &Leaf<'_>) -> Result<Status, Refusal> {
    match leaf.text {
        "BOOK" => Ok(Status::Booked),
        "PDNG" | "FUTR" | "INFO" => Ok(Status::Other),
        _ => Err(leaf.refuse(STATUSES)),
    }
}

fn flag(leaf: &Leaf<'_>) -> Result<bool, Refusal> {
    match leaf.text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(leaf.refuse("true or false")),
    }
}

/// Keeps a name that may be told once; an empty one tells nothing.
fn keep(leaf: &Leaf<'_>, place: &mut Option<String>, name: Option<String>) -> Result<(), Refusal> {
    match name {
        Some(name) => leaf.once(place, name),
        None => Ok(()),
    }
}
