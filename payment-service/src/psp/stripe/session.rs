//! One call: its requests, each repeated while that is safe and can be afforded, and the record of every try.

use std::time::Duration;

use money::AttemptId;
use reqwest::Request;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::answer::{Answer, PayoutPage, Reading};
use super::next::may_resend;
use crate::psp::backoff::Pauses;
use crate::psp::budget::Budget;
use crate::psp::transport::{NoResponse, Response, Transport};
use crate::psp::{
    Action, Attempt, AttemptOutcome, Idempotency, Judgement, Outcome, PspReference, Settings, Why,
};

/// A call in progress.
pub(super) struct Session<'a> {
    pub(super) transport: &'a Transport,
    pub(super) settings: &'a Settings,
    pub(super) budget: &'a Budget,
    pub(super) until: Instant,
    pub(super) idempotency: Idempotency,
    pub(super) pauses: Option<Pauses>,
    pub(super) attempts: Vec<Attempt>,
}

/// What a request came to.
pub(crate) struct Asked<T> {
    /// The last answer.
    pub(crate) answer: Answer<T>,
    /// Why an earlier try of the same request may have been executed, if one may have been.
    pub(crate) doubt: Option<Why>,
    /// Whether the last answer is the saved one of an earlier try.
    pub(crate) replayed: bool,
}

/// What a given answer shows, for the record of the try.
pub(crate) trait Shown {
    fn shown(&self) -> AttemptOutcome;
}

impl Session<'_> {
    /// Makes one request until it is answered for good, or repeating it is of no use, not affordable or too late. Each
    /// try sends the same bytes.
    pub(super) async fn ask<T: Shown>(
        &mut self,
        action: Action,
        request: &Request,
        read: impl Fn(Result<Response, NoResponse>) -> Reading<T>,
    ) -> Asked<T> {
        let mut doubt = None;
        loop {
            // a request whose body is in memory can always be cloned
            let Some(copy) = request.try_clone().filter(|_| Instant::now() < self.until) else {
                return Asked { answer: Answer::Overdue, doubt, replayed: false };
            };
            let reading = self.try_once(action, copy, &read).await;
            let (answer, pause, replayed) = (reading.answer, reading.pause, reading.replayed);
            let answer = match (answer, reading.should_resend) {
                (Answer::Doubtful(why), Some(false)) => Answer::Stuck(why),
                (answer, _) => answer,
            };
            let may_resend = may_resend(action, &answer, reading.should_resend, self.idempotency);
            if !may_resend || !self.pause(pause).await {
                return Asked { answer, doubt, replayed };
            }
            doubt = answer.doubt().or(doubt);
        }
    }

    async fn try_once<T: Shown>(
        &mut self,
        action: Action,
        request: Request,
        read: impl Fn(Result<Response, NoResponse>) -> Reading<T>,
    ) -> Reading<T> {
        let (started, sent_at) = (Instant::now(), OffsetDateTime::now_utc());
        let until =
            started.checked_add(self.settings.try_timeout).map_or(self.until, |end| end.min(self.until));
        let mut reading = read(self.transport.send(request, until).await);
        self.attempts.push(Attempt {
            attempt_id: AttemptId::new(),
            action,
            sent_at,
            // the wall clock may have been set back meanwhile
            answered_at: sent_at + started.elapsed(),
            outcome: reading.answer.shown(action),
            http_status: reading.http_status,
            psp_request_id: reading.request_id.take(),
            psp_reference: reading.reference.take(),
            detail: reading.detail.take(),
        });
        reading
    }

    /// Waits before a resend. Whether there is to be one: the deadline and the budget allow it.
    async fn pause(&mut self, asked_for: Option<Duration>) -> bool {
        let pause = self.pauses.get_or_insert_with(|| Pauses::new(self.settings)).next(asked_for);
        let now = Instant::now();
        let least = pause.saturating_add(self.settings.shortest_try);
        let in_time = now.checked_add(least).is_some_and(|then| then <= self.until);
        if !in_time || !self.budget.resend(now) {
            return false;
        }
        sleep(pause).await;
        true
    }
}

impl<T> Answer<T> {
    /// Why the try may have been executed, if it may.
    pub(crate) fn doubt(self) -> Option<Why> {
        match self {
            Self::Doubtful(why) | Self::Stuck(why) => Some(why),
            Self::InFlight => Some(Why::InFlight),
            Self::Given(_)
            | Self::Declined { .. }
            | Self::Rejected { .. }
            | Self::Missing(_)
            | Self::Unauthorised(_)
            | Self::KeyConflict
            | Self::Throttled(_)
            | Self::Unreached(_)
            | Self::Overdue => None,
        }
    }
}

impl<T: Shown> Answer<T> {
    pub(super) fn shown(&self, action: Action) -> AttemptOutcome {
        match self {
            Self::Given(given) => given.shown(),
            Self::Declined { object, .. } | Self::Rejected { object: object @ Some(_), .. } => match object {
                Some(object @ Judgement::Said(_)) => object.shown(),
                Some(Judgement::Open { .. }) | None => AttemptOutcome::Declined,
            },
            Self::Missing(_) if action == Action::Retrieve => AttemptOutcome::Absent,
            Self::Rejected { object: None, .. } | Self::Missing(_) if action.moves_money() => {
                AttemptOutcome::Declined
            }
            Self::Unauthorised(_) | Self::Throttled(_) | Self::Unreached(_) | Self::Overdue => {
                AttemptOutcome::NotSent
            }
            Self::Rejected { object: None, .. }
            | Self::Missing(_)
            | Self::KeyConflict
            | Self::InFlight
            | Self::Doubtful(_)
            | Self::Stuck(_) => AttemptOutcome::Unknown,
        }
    }
}

impl Shown for Judgement {
    fn shown(&self) -> AttemptOutcome {
        match self {
            Self::Said(Outcome::Succeeded(_)) => AttemptOutcome::Succeeded,
            Self::Said(Outcome::Declined { .. }) => AttemptOutcome::Declined,
            Self::Said(Outcome::RequiresAction { .. }) => AttemptOutcome::RequiresAction,
            Self::Said(Outcome::NotSent { .. }) => AttemptOutcome::NotSent,
            Self::Said(Outcome::Unknown { .. }) | Self::Open { .. } => AttemptOutcome::Unknown,
        }
    }
}

impl Shown for Vec<Judgement> {
    fn shown(&self) -> AttemptOutcome {
        match self.as_slice() {
            [] => AttemptOutcome::Absent,
            [one] => one.shown(),
            _ => AttemptOutcome::Unknown,
        }
    }
}

impl Shown for PayoutPage {
    /// Those that are not on it may be on the next.
    fn shown(&self) -> AttemptOutcome {
        match self.goes_on_after {
            Some(_) if self.found.is_empty() => AttemptOutcome::Unknown,
            _ => self.found.shown(),
        }
    }
}

impl Shown for Vec<PspReference> {
    /// A search names objects; what became of them is asked of each.
    fn shown(&self) -> AttemptOutcome {
        if self.is_empty() { AttemptOutcome::Absent } else { AttemptOutcome::Unknown }
    }
}
