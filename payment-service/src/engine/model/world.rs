//! What there is at a moment: rows, workers, the network, the PSP; and what can happen next.

use std::time::Duration;

use super::books::Books;
use super::psp::{Psp, Reaction, Sight};
use crate::operation::{Finding, OperationStatus};
use crate::payment::PaymentStatus;
use crate::psp::{Decline, PspReference, Why};

/// How long ago the operation was sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Clock {
    /// The PSP surely remembers the key.
    Young,
    /// It may have forgotten it.
    Late,
    /// A person is to be asked.
    Old,
}

impl Clock {
    pub(super) const fn age(self) -> Duration {
        Duration::from_secs(match self {
            Self::Young => 60,
            Self::Late => 30 * 3600,
            Self::Old => 100 * 3600,
        })
    }
}

/// What a worker saw of the operation when it took it over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Glance {
    pub(super) status: OperationStatus,
    pub(super) payment: PaymentStatus,
    pub(super) takeovers: i32,
    pub(super) reference: Option<PspReference>,
    pub(super) clock: Clock,
}

/// How far a worker is with the operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// It is about to send the request; an earlier try of its own may have been executed for this reason.
    Ready(Option<Why>),
    /// Its request is under way.
    Sent(Option<Why>),
    /// It is about to ask what became of it, which is unknown for this reason otherwise.
    Asking(Option<Why>),
    /// It is about to close an object.
    Closing(PspReference, Option<Decline>),
    /// It knows what came of it, and is about to record that.
    Answered(Finding),
}

/// A worker at work, or one that stands still and does not know that it is no longer the owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    pub(super) fence: i64,
    /// What it took over; none of the first sender, nor where it matters no longer.
    pub(super) taken: Option<Glance>,
    /// Its deadline has passed: it sends nothing any more.
    pub(super) is_overdue: bool,
    pub(super) stage: Stage,
}

/// What may still go wrong, so that there is an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) crashes: u8,
    /// Of the network and the PSP.
    pub(super) faults: u8,
    /// Take-overs before the clock moves on.
    pub(super) takeovers: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) books: Books,
    /// By their fences.
    pub(super) workers: Vec<Worker>,
    /// Requests to do it that are under way, and whose answers nobody waits for.
    pub(super) strays: u8,
    pub(super) psp: Psp,
    pub(super) clock: Clock,
    pub(super) left: Left,
    /// Requests that may have been executed, so far as their senders can know.
    pub(super) doubtful: u8,
    /// A rule about a step, rather than a state, that was broken.
    pub(super) broken: Option<Broken>,
}

impl World {
    /// The same world with the least fences that are ordered alike, so that what was gone through before does not tell worlds
    /// apart. The first fence stays the first.
    pub(super) fn with_least_fences(mut self) -> Self {
        let mut fences: Vec<i64> = self.workers.iter().map(|worker| worker.fence).collect();
        fences.push(self.books.fence);
        fences.push(1);
        fences.sort_unstable();
        fences.dedup();
        let rank = |fence| (1..).zip(&fences).find(|(_, at)| **at == fence).map_or(fence, |(rank, _)| rank);
        self.books.fence = rank(self.books.fence);
        for worker in &mut self.workers {
            worker.fence = rank(worker.fence);
        }
        self
    }
}

/// A rule about steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Broken {
    /// A superseded owner changed something.
    SupersededChanged,
    /// A final answer would have changed.
    AnswerChanged,
}

/// What becomes of a request to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// It is executed and answered.
    Answered(Reaction),
    /// It is executed, and its answer lost.
    AnswerLost(Reaction),
    /// It is executed and answered, and comes once more later.
    Doubled(Reaction),
    /// It never comes to the PSP.
    Lost,
    /// Its sender waits for it no longer; it may come later.
    Delayed,
    /// The PSP turns it away.
    TurnedAway,
    /// The PSP refuses it before it looks at the key.
    Refused,
    /// The PSP is at work on another request with the key.
    InFlight,
    /// No connection comes about.
    Unreached,
    /// There is no time left to send it.
    Overdue,
}

/// What becomes of a question, or of a request to close an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reply {
    /// It is answered truthfully.
    Given,
    /// The PSP does not find yet what there is.
    Lagging,
    /// It never comes to the PSP.
    Lost,
    /// It is done, and the answer lost.
    AnswerLost,
}

/// What can happen. Workers are named by their places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A worker's request leaves.
    Send(usize),
    /// A worker's request came to something; where it may be sent again, whether it will be.
    Try(usize, Fate, bool),
    /// A worker asks what became of the operation.
    Ask(usize, Reply),
    /// A worker closes an object.
    Close(usize, Reply),
    /// A worker records what it knows.
    Record(usize),
    /// A worker records what it knows, and is not told that it was recorded.
    RecordUnheard(usize),
    /// A worker dies.
    Crash(usize),
    /// A worker takes the operation over.
    TakeOver,
    /// The owner has stood still for longer than its lease.
    LeaseEnds,
    /// Time goes by.
    Tick,
    /// A request that nobody waits for comes to the PSP after all.
    StrayArrives(Reaction),
    /// The PSP decides about an object what it had put off: it is done, or not.
    Settle(usize, bool),
    /// An object that was left open is paid after all.
    PaidLate(usize),
    /// A webhook comes.
    Webhook(Sight),
    /// A webhook comes, and will come again.
    WebhookTwice(Sight),
}
