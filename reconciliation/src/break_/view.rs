use money::{BankAccountId, BankEntryId, BreakId, Currency, OperationId, PaymentId, PspAccountId};
use serde::Serialize;
use time::{Date, OffsetDateTime};
use utoipa::ToSchema;

use super::BreakKind;

time::serde::format_description!(iso_date, Date, "[year]-[month]-[day]");

/// A difference, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Break {
    /// Its id: the same difference has the same.
    pub break_id: BreakId,
    /// What is different.
    pub kind: BreakKind,
    /// `open` or `closed`.
    pub state: String,
    /// How it was closed: `itself`, by a later file; `adjusted`, its money was moved; `accepted`, as it stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_how: Option<String>,
    /// Why it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_because: Option<String>,
    /// Whether somebody has proposed what a second person has to say too.
    pub awaits_second_person: bool,
    /// The account at the PSP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psp_account_id: Option<PspAccountId>,
    /// The account at the bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bank_account_id: Option<BankAccountId>,
    /// ISO 4217 code.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// What should be, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<i64>,
    /// What is, in minor units of `found_currency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<i64>,
    /// The currency of what is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_currency: Option<String>,
    /// The account of the ledger where its money stands, if it stands anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// How much stands there, in minor units: debits less credits.
    pub held: i64,
    /// The currency of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_currency: Option<String>,
    /// The file of its line or entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<i32>,
    /// The line's identity at the PSP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psp_line_id: Option<String>,
    /// The PSP's object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psp_reference: Option<String>,
    /// The PSP's payout to the bank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout_id: Option<String>,
    /// The bank's entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bank_entry_id: Option<BankEntryId>,
    /// The operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// Its payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// The merchant's order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// A sentence.
    pub detail: String,
    /// Who looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Nobody needs to look before this day.
    #[schema(value_type = Option<String>, format = Date)]
    #[serde(with = "iso_date::option", skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<Date>,
    /// The day it is about.
    #[schema(value_type = String, format = Date)]
    #[serde(with = "iso_date")]
    pub arose_on: Date,
    /// Days since then, until today or the day it was closed.
    pub age_days: i32,
    /// When it was found.
    #[serde(with = "time::serde::rfc3339")]
    pub opened_at: OffsetDateTime,
    /// When it was closed.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<OffsetDateTime>,
}

/// A break with everything that was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BreakWithActs {
    /// The break.
    #[serde(flatten)]
    pub difference: Break,
    /// What was done, oldest first.
    pub acts: Vec<ActView>,
}

/// Something that was done about a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActView {
    /// `assigned`, `commented`, `snoozed`, `proposed`, `adjusted`, `accepted`, `reversed`, or `closed` by a later file.
    pub kind: String,
    /// What was proposed: `adjust`, `accept` or `reverse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
    /// To whom it was assigned; nobody, where an `assigned` has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// To when it was put off.
    #[schema(value_type = Option<String>, format = Date)]
    #[serde(with = "iso_date::option", skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<Date>,
    /// The account that its money was moved to, or is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// `key:` and the name of an API key, `cli:` and the name of whoever ran the command, or `system`.
    pub actor: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Which breaks to list, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that are open, or only those that are closed.
    pub state: Option<State>,
    /// Only of this kind.
    pub kind: Option<BreakKind>,
    /// Only in this currency.
    pub currency: Option<Currency>,
    /// Only at this account at a PSP.
    pub psp_account_id: Option<PspAccountId>,
    /// Only at this account at a bank.
    pub bank_account_id: Option<BankAccountId>,
    /// Only this person's.
    pub assignee: Option<String>,
    /// Only those that are about this day or one before it.
    pub arose_until: Option<Date>,
    /// Also those that are put off.
    pub snoozed: bool,
    /// Those after this one.
    pub after: Option<(Date, BreakId)>,
    /// So many at most.
    pub limit: i64,
}

/// Whether a break needs somebody or a later file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Open,
    /// It did.
    Closed,
}

impl State {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// What this word says.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Closed].into_iter().find(|state| state.as_str() == word)
    }
}
