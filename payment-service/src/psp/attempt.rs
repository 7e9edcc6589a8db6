use money::AttemptId;
use time::OffsetDateTime;

use super::{Outcome, PspReference};

/// The result of a call: what it came to, and each try on the way there.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What it came to.
    pub outcome: Outcome,
    /// One for each request that was made or tried, in order. Empty when none was.
    pub attempts: Vec<Attempt>,
}

/// One HTTP try, as evidence. Says what that try showed, which may differ from what the whole call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its own id, so that it is kept once however often it is recorded.
    pub attempt_id: AttemptId,
    /// What was asked.
    pub action: Action,
    /// Just before the first byte could leave.
    pub sent_at: OffsetDateTime,
    /// When the answer was read or given up on. Never before `sent_at`, whatever the clock did meanwhile.
    pub answered_at: OffsetDateTime,
    /// What this try showed.
    pub outcome: AttemptOutcome,
    /// The status code, if one came.
    pub http_status: Option<u16>,
    /// The PSP's own name of the request, for its support.
    pub psp_request_id: Option<String>,
    /// The PSP's object that the answer is about.
    pub psp_reference: Option<PspReference>,
    /// Error codes and message, or what went wrong on the wire. At most 2,000 characters, without secrets and card
    /// numbers.
    pub detail: Option<String>,
}

/// What was asked of the PSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Charge, or hold.
    Authorize,
    /// Take what is held.
    Capture,
    /// Give back.
    Refund,
    /// Send to a seller.
    Payout,
    /// Close an object that could still be paid, or let go what is held.
    Cancel,
    /// Show one object.
    Retrieve,
    /// Find objects by our reference.
    Search,
}

impl Action {
    /// Whether it moves money, or holds it.
    pub const fn moves_money(self) -> bool {
        match self {
            Self::Authorize | Self::Capture | Self::Refund | Self::Payout => true,
            Self::Cancel | Self::Retrieve | Self::Search => false,
        }
    }

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::Payout => "payout",
            Self::Cancel => "cancel",
            Self::Retrieve => "retrieve",
            Self::Search => "search",
        }
    }
}

/// What one try showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It is done.
    Succeeded,
    /// It is not, and this object will not be.
    Declined,
    /// The buyer has to act.
    RequiresAction,
    /// This try provably did nothing.
    NotSent,
    /// Nobody can tell.
    Unknown,
    /// The PSP shows no such object, which is no evidence that there is none.
    Absent,
}

impl AttemptOutcome {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Declined => "declined",
            Self::RequiresAction => "requires_action",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
        }
    }
}
