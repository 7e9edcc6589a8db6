//! The itemised payout reconciliation report, and what can be planted in it.

mod report;

pub use report::{Report, ReportRequest};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::currency::Currency;

/// Something in the report that is not so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discrepancy {
    /// Given by the sandbox.
    #[serde(default)]
    pub id: u32,
    /// What is wrong.
    pub change: Change,
    /// With which lines of a payout.
    #[serde(default, rename = "match")]
    pub matches: LineMatcher,
    /// With how many matching lines of each payout.
    #[serde(default = "one")]
    pub times: u32,
}

const fn one() -> u32 {
    1
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// It is missing.
    DropLine,
    /// It is there twice.
    DuplicateLine,
    /// Its gross, and with it its net, is off.
    ChangeAmount {
        /// Minor units added.
        by_minor: i64,
    },
    /// Its currency is another.
    ChangeCurrency {
        /// That one.
        currency: Currency,
    },
    /// It is followed by a line for a charge that nobody made.
    UnknownLine {
        /// Minor units.
        gross_minor: i64,
        /// Minor units.
        #[serde(default)]
        fee_minor: i64,
    },
}

/// Which lines; what is not given matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LineMatcher {
    /// Of this payout.
    pub payout: Option<String>,
    /// Of this PaymentIntent.
    pub payment_intent: Option<String>,
    /// As in `charge`.
    pub reporting_category: Option<String>,
    /// Of PaymentIntents with these pairs.
    pub metadata: BTreeMap<String, String>,
    /// The line of that number within its payout, counted from one.
    pub line: Option<u64>,
}
