use std::fmt;

use money::Money;

use super::PspReference;

/// What a call came to. Decided once, here; no caller adds a guess.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The PSP did exactly what was asked.
    Succeeded(Success),
    /// It did not, and what was asked for will not be charged any more.
    Declined {
        /// The PSP's object, if it made one. It is closed.
        reference: Option<PspReference>,
        /// Why.
        decline: Decline,
    },
    /// The buyer has to act before the PSP decides.
    RequiresAction {
        /// The PSP's object.
        reference: PspReference,
        /// Where the buyer is to be sent, when the PSP has a page for it.
        redirect_url: Option<String>,
    },
    /// Provably nothing was executed, by this call or, as far as the caller said, by an earlier one.
    NotSent {
        /// Why.
        code: NotSentCode,
        /// For people.
        message: String,
    },
    /// Nobody can tell. Never to be taken for a failure.
    Unknown {
        /// The PSP's object, if one is known.
        reference: Option<PspReference>,
        /// Why.
        why: Why,
    },
}

/// What the PSP did: charged, held, captured, let go, gave back, or sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Success {
    /// The PSP's object: of a refund or payout its own, otherwise the payment's.
    pub reference: PspReference,
    /// The PSP's name of the movement of money, which settlement files name (`ch_…`).
    pub movement: Option<String>,
    /// How much.
    pub amount: Money,
    /// Whether the buyer's money is taken, rather than held, let go or given back; of a payout, whether the seller's is
    /// there, rather than on its way.
    pub captured: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decline {
    /// Our code, one of those in [`decline`].
    pub code: &'static str,
    /// The PSP's or the issuer's finer code, such as `insufficient_funds`.
    pub decline_code: Option<String>,
    /// For people. Without card numbers and secrets.
    pub message: String,
}

/// The codes of [`Decline`].
pub mod decline {
    /// The issuer or the PSP declined the means of payment.
    pub const CARD_DECLINED: &str = "card_declined";
    /// The PSP refused the request itself and executed nothing.
    pub const REJECTED: &str = "rejected";
    /// The PSP's object was cancelled before anything was charged.
    pub const CANCELED: &str = "canceled";
    /// The PSP failed before it charged, and what it had begun is cancelled.
    pub const PSP_ERROR: &str = "psp_error";
    /// What was to be let go has been captured.
    pub const ALREADY_CAPTURED: &str = "already_captured";
    /// What was to be captured has been let go, by us or because its time was over.
    pub const RELEASED: &str = "released";
    /// A person found that it was not done.
    pub const BY_REVIEW: &str = "closed_by_review";
    /// The refund did not reach the buyer.
    pub const REFUND_FAILED: &str = "refund_failed";
    /// The payout did not reach the seller, or came back.
    pub const PAYOUT_FAILED: &str = "payout_failed";
}

/// Why provably nothing was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotSentCode {
    /// No connection came about.
    Unreachable,
    /// The PSP throttled us until the deadline.
    Busy,
    /// The PSP refused the account's credentials.
    RefusedCredentials,
    /// The account's address or key cannot be used in a request.
    Misconfigured,
    /// The amount has no exact form on the PSP's wire.
    AmountNotSupported,
    /// The deadline had come before the first try.
    DeadlinePassed,
}

impl NotSentCode {
    /// The code in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "psp_unreachable",
            Self::Busy => "psp_busy",
            Self::RefusedCredentials => "psp_refused_credentials",
            Self::Misconfigured => "psp_misconfigured",
            Self::AmountNotSupported => "amount_not_supported",
            Self::DeadlinePassed => "deadline_passed",
        }
    }
}

impl fmt::Display for NotSentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Why {
    /// Sent, and no answer came: timeout, reset, or an answer that broke off.
    NoAnswer,
    /// The PSP failed while it may have been executing.
    ServerError,
    /// The answer is not what this PSP's answers look like.
    Unreadable,
    /// The answer speaks of another amount, currency, reference or state than can be; says which.
    Mismatch(String),
    /// What was held is let go, after so many minor units of it were captured: of an authorisation all that ever were, of a
    /// void those that nobody here asked for.
    PartlyCaptured(i64),
    /// Our key was used with other parameters before.
    KeyConflict,
    /// Another request with our key was executing until the deadline.
    InFlight,
    /// The PSP throttled a resend or a look-up.
    Busy,
    /// The PSP refused a resend or a look-up, or it could not be made.
    Refused,
    /// The PSP has not decided yet.
    Processing,
    /// The PSP shows it as not done, which is no proof that it will not be.
    NotDone,
    /// The PSP shows nothing under our reference, which proves nothing.
    Absent,
    /// The PSP's object is another one, which names an operation of ours.
    Elsewhere,
    /// Not charged, but the PSP's object could still be paid and is not confirmed cancelled.
    StillOpen,
}

impl Why {
    /// The code of [`Why::PartlyCaptured`].
    pub const PARTLY_CAPTURED: &str = "partly_captured";

    /// The code in the database.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::ServerError => "server_error",
            Self::Unreadable => "unreadable",
            Self::Mismatch(_) => "mismatch",
            Self::PartlyCaptured(_) => Self::PARTLY_CAPTURED,
            Self::KeyConflict => "key_conflict",
            Self::InFlight => "in_flight",
            Self::Busy => "psp_busy",
            Self::Refused => "psp_refused",
            Self::Processing => "processing",
            Self::NotDone => "not_done",
            Self::Absent => "absent",
            Self::Elsewhere => "elsewhere",
            Self::StillOpen => "still_open",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch(what) => write!(f, "mismatch: {what}"),
            _ => f.write_str(self.as_str()),
        }
    }
}
