//! What a statement consists of, in whichever format it came.

use std::fmt;

use money::{Currency, Money};
use serde::{Deserialize, Serialize};
use time::Date;

/// The longest name of an account, in bytes.
const LONGEST_ACCOUNT: usize = 64;

/// An account as its bank names it: an IBAN, or whatever it has instead, without spaces and in capital letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Account(String);

impl Account {
    /// The account of this name, however it is spaced; none where that is no name.
    pub fn new(text: &str) -> Option<Self> {
        let name: String =
            text.chars().filter(|sign| *sign != ' ').map(|sign| sign.to_ascii_uppercase()).collect();
        let is_name =
            !name.is_empty() && name.len() <= LONGEST_ACCOUNT && !name.chars().any(char::is_control);
        is_name.then_some(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of a file; a file may hold many statements, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A statement begins.
    Begin(Head),
    /// Something was booked.
    Entry(Entry),
    /// The statement ends, and adds up.
    End(Closing),
}

/// What stands before the entries of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Where the statement begins in the file; the first line is 1.
    pub line_no: i32,
    /// The account that it is of.
    pub account: Account,
    /// The currency of the account, and of everything in the statement.
    pub currency: Currency,
    /// The bank's name for the statement: camt `Stmt/Id`, MT940 `:20:`; in BAI2 the file's sender, day and number.
    pub statement_id: Option<String>,
    /// Which of the account's statements it is: camt `LglSeqNb`, or else `ElctrncSeqNb`; MT940 `:28C:`, of the first page.
    pub sequence: Option<String>,
    /// What was booked before the first entry. BAI2 may not tell it.
    pub opening: Option<Balance>,
}

/// What an account has: below zero where it is overdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// How much.
    pub amount: Money,
    /// On which day.
    pub on: Date,
}

/// One booked entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it begins in the file; the first line is 1.
    pub line_no: i32,
    /// Signed as it changes the account: a credit is above zero, a debit below.
    pub amount: Money,
    /// The day on which the bank booked it. MT940 may leave it out: then the value day. In BAI2 the group's day.
    pub booked_on: Date,
    /// The day from which it bears interest. Where it is not told, the day of booking.
    pub value_on: Date,
    /// Whether it takes an earlier entry back. The sign is that of this entry all the same.
    pub is_reversal: bool,
    /// The bank's word for what it is: camt `PMNT/RCDT/ESCT` or the bank's own, MT940 `NTRF`, BAI2 `142`.
    pub code: String,
    /// The bank's own reference: camt `AcctSvcrRef`, MT940 what follows `//`, BAI2's bank reference.
    pub bank_reference: Option<String>,
    /// What the customers agreed on: camt `EndToEndId`, where the entry is one transaction; MT940 the reference for the owner, or
    /// where there is none the `EREF` of `:86:`; BAI2's customer reference.
    pub customer_reference: Option<String>,
    /// All other references that the bank gives, in the file's order, each once: of payments, instructions, batches, mandates and
    /// documents. Where an entry is of many transactions, those of all of them.
    pub references: Vec<String>,
    /// The other party's name, where the entry is of one transaction and tells it.
    pub counterparty: Option<String>,
    /// Everything that was said in words, a line for each piece. A bank may have broken what is one word, such as an id, into two
    /// lines.
    pub text: String,
}

/// What stands after the entries of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Where the closing balance stands in the file; in BAI2 the account's trailer.
    pub line_no: i32,
    /// As in [`Head`].
    pub opening: Option<Balance>,
    /// What is booked after the last entry. BAI2 may not tell it.
    pub closing: Option<Balance>,
    /// What the entries add up to, in minor units: the difference of the two balances, where both are told.
    pub total: i64,
    /// How many booked entries there were.
    pub entries: u64,
    /// How many were left out because they are not booked, but pending, or for information only.
    pub not_booked: u64,
    /// The first day that it covers, as the bank tells it; or else that of the opening balance.
    pub from: Date,
    /// The last one; or else that of the closing balance.
    pub to: Date,
}
