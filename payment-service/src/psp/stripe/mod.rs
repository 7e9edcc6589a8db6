//! Stripe's `PaymentIntents`, created and confirmed in one request, and what follows them: captures, cancellations,
//! refunds; and payouts.
//!
//! Stripe remembers an idempotency key and its first answer for at least a day, so a doubtful request is resent as it
//! was. Two of its habits shape the rest: it also remembers a 500, which resending only repeats; and a decline leaves
//! behind an object that could still be paid, which is cancelled before the decline counts.

mod amount;
mod answer;
mod event;
mod next;
mod object;
mod request;
mod session;
mod signature;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Request, StatusCode};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use tokio::time::Instant;

use self::answer::{Answer, Reader, Reading};
use self::next::{Closing, Next, not_sent, unknown};
use self::request::Unsendable;
use self::session::{Asked, Session};
use super::budget::{Budget, Budgets};
use super::transport::{Response, Transport};
use super::{
    Account, Action, Aim, AnswerRead, ClientError, Decline, Errand, Exchange, Expected, Idempotency, Inquiry,
    Judgement, NotSentCode, Outcome, PspReference, Settings, Why,
};

pub(super) use amount::{payable, read_amount, validate_amount, validate_payout};
pub(super) use event::parse_event;
pub(super) use request::is_page;
pub(super) use signature::{SIGNATURE_HEADER, verify};

/// The connector's decisions, for the model of the engine.
#[cfg(test)]
pub(crate) mod steps {
    pub(crate) use super::answer::Answer;
    pub(crate) use super::next::{
        Closing, Next, after_cancelling, after_inquiry, after_look_up, after_sending, closed, may_resend,
    };
    pub(crate) use super::session::Asked;
}

/// At least 24 hours, less a margin for clocks and for requests under way.
pub(super) const KEY_WINDOW: Duration = Duration::from_secs(23 * 60 * 60);

/// How far from when it was asked for, by our clock, a payout is looked for: clocks differ.
const LISTED_AROUND: Duration = Duration::from_secs(2 * 60 * 60);

/// The connector.
#[derive(Debug)]
pub(super) struct Connector {
    transport: Transport,
    budgets: Budgets,
    settings: Settings,
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(&settings)?, budgets: Budgets::new(settings), settings })
    }

    pub(super) async fn send(
        &self,
        account: &Account,
        errand: &Errand,
        resent: bool,
        until: Instant,
    ) -> Exchange {
        let budget = self.budget(account);
        let mut talk = self.talk(account, &errand.expected, &budget, until);
        let outcome = match request::of(&self.transport.client, account, errand) {
            Ok(request) => match &errand.expected.aim {
                Aim::Void { of, .. } if request::is_page(of) => talk.close_page(&request, resent, of).await,
                _ => talk.send(&request, resent).await,
            },
            Err(_) if resent => Outcome::Unknown { reference: None, why: Why::Refused },
            Err(unsendable) => not_sent(unsendable.code(), unsendable.to_string()),
        };
        talk.end(outcome)
    }

    pub(super) async fn inquire(&self, account: &Account, call: &Inquiry<'_>, until: Instant) -> Exchange {
        let budget = self.budget(account);
        let mut talk = self.talk(account, call.expected, &budget, until);
        let found = talk.find(call.reference).await;
        let outcome = talk.go_on(next::after_inquiry(found)).await;
        talk.end(next::as_asked(outcome, call.reference))
    }

    pub(super) async fn cancel(&self, account: &Account, call: &Inquiry<'_>, until: Instant) -> Exchange {
        let budget = self.budget(account);
        let mut talk = self.talk(account, call.expected, &budget, until);
        let outcome = match talk.find(call.reference).await {
            Ok(Judgement::Said(Outcome::RequiresAction { reference, .. })) => {
                talk.close(reference, None).await
            }
            found => talk.go_on(next::after_inquiry(found)).await,
        };
        talk.end(next::as_asked(outcome, call.reference))
    }

    fn budget(&self, account: &Account) -> Arc<Budget> {
        let budget = self.budgets.of(&account.base_url);
        budget.call();
        budget
    }

    fn talk<'a>(
        &'a self,
        account: &'a Account,
        expected: &'a Expected,
        budget: &'a Budget,
        until: Instant,
    ) -> Talk<'a> {
        let session = Session {
            transport: &self.transport,
            settings: &self.settings,
            budget,
            until,
            pauses: None,
            idempotency: account.idempotency,
            attempts: Vec::with_capacity(1),
        };
        Talk { session, account, reader: Reader { expected, secret: account.api_secret.expose_secret() } }
    }
}

/// Reads the answer to the one request of a call.
pub(super) fn read_answer(
    account: &Account,
    expected: &Expected,
    resent: bool,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
) -> AnswerRead {
    let reader = Reader { expected, secret: account.api_secret.expose_secret() };
    let Reading { answer, detail, replayed, .. } =
        reader.expected_object(Ok(Response { status, headers, body: Ok(body) }));
    let shown = answer.shown(action_of(&expected.aim));
    let asked = Asked { answer, doubt: None, replayed };
    let outcome = match next::after_sending(asked, resent, &expected.aim) {
        Next::End(outcome) => Some(outcome),
        Next::Close(..) | Next::LookUp(_) => None,
    };
    AnswerRead { shown, outcome, detail }
}

/// What is asked for, for a request that is to do what `aim` says.
const fn action_of(aim: &Aim) -> Action {
    match aim {
        Aim::Authorize { .. } => Action::Authorize,
        Aim::Capture { .. } => Action::Capture,
        Aim::Void { .. } => Action::Cancel,
        Aim::Refund { .. } => Action::Refund,
        Aim::Payout { .. } => Action::Payout,
    }
}

/// One call about one operation.
struct Talk<'a> {
    session: Session<'a>,
    account: &'a Account,
    reader: Reader<'a>,
}

impl Talk<'_> {
    fn end(self, outcome: Outcome) -> Exchange {
        Exchange { outcome, attempts: self.session.attempts }
    }

    /// Has it done, and sees what came of it through to an end.
    async fn send(&mut self, request: &Request, resent: bool) -> Outcome {
        let action = action_of(&self.reader.expected.aim);
        let asked = self.ask_object(action, request).await;
        self.go_on(next::after_sending(asked, resent, &self.reader.expected.aim)).await
    }

    /// Closes a page that waits for its buyer. Where the buyer was quicker, what was paid on it is let go, if it can be.
    async fn close_page(&mut self, request: &Request, resent: bool, page: &PspReference) -> Outcome {
        let asked = self.ask_object(Action::Cancel, request).await;
        if !matches!(asked.answer, Answer::Rejected { .. } | Answer::Missing(_)) {
            return self.go_on(next::after_sending(asked, resent, &self.reader.expected.aim)).await;
        }
        match self.retrieve(page).await {
            Ok(Judgement::Said(Outcome::Unknown { reference: Some(paid), why: Why::NotDone }))
                if paid != *page =>
            {
                // whatever is answered: how it stands is asked next
                if let Ok(request) = request::cancel(&self.session.transport.client, self.account, &paid) {
                    self.ask_object(Action::Cancel, &request).await;
                }
                let found = self.retrieve(page).await;
                self.go_on(next::after_inquiry(found)).await
            }
            found => self.go_on(next::after_inquiry(found)).await,
        }
    }

    /// Sees it through to an end.
    async fn go_on(&mut self, mut next: Next) -> Outcome {
        loop {
            next = match next {
                Next::End(outcome) => return outcome,
                Next::Close(reference, decline) => return self.close(reference, decline).await,
                Next::LookUp(why) => next::after_look_up(self.find(None).await, why),
            };
        }
    }

    /// The operation's object as it is now; or the outcome, if it cannot be had.
    async fn find(&mut self, reference: Option<&PspReference>) -> Result<Judgement, Outcome> {
        match (&self.reader.expected.aim, reference) {
            (Aim::Authorize { .. } | Aim::Refund { .. } | Aim::Payout { .. }, Some(reference)) => {
                self.retrieve(reference).await
            }
            (Aim::Authorize { .. }, None) => {
                let reference = self.search().await?;
                self.retrieve(&reference).await
            }
            (Aim::Capture { of, .. } | Aim::Void { of, .. }, _) => self.retrieve(of).await,
            (Aim::Refund { of }, None) => self.search_refunds(of).await,
            (Aim::Payout { asked_at, .. }, None) => {
                // where keys are kept it may have been made by a claim that was lost since, or sent again
                let is_kept = self.account.idempotency == Idempotency::Native;
                let around = if is_kept { KEY_WINDOW + LISTED_AROUND } else { LISTED_AROUND };
                self.search_payouts((*asked_at - around)..=(*asked_at + around)).await
            }
        }
    }

    /// The operation's payout among those that were made in a time, page by page.
    async fn search_payouts(&mut self, made: RangeInclusive<OffsetDateTime>) -> Result<Judgement, Outcome> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let client = &self.session.transport.client;
            let request = request::payouts(client, self.account, &made, after.as_ref())
                .map_err(|_| unknown(Why::Refused))?;
            let reader = self.reader;
            let asked = self.session.ask(Action::Search, &request, |result| reader.payouts(result)).await;
            let page = match asked.answer {
                Answer::Given(page) => page,
                other => return Err(unknown(no_look(other))),
            };
            found.extend(page.found);
            after = page.goes_on_after;
            if after.is_none() {
                return one_of(found, "payouts");
            }
        }
    }

    /// The operation's refund among those of a payment.
    async fn search_refunds(&mut self, of: &PspReference) -> Result<Judgement, Outcome> {
        let request = request::refunds_of(&self.session.transport.client, self.account, of)
            .map_err(|_| unknown(Why::Refused))?;
        let reader = self.reader;
        let asked = self.session.ask(Action::Search, &request, |result| reader.refunds(result)).await;
        match asked.answer {
            Answer::Given(found) => one_of(found, "refunds"),
            other => Err(unknown(no_look(other))),
        }
    }

    async fn search(&mut self) -> Result<PspReference, Outcome> {
        let operation_id = self.reader.expected.operation_id;
        let request = request::search(&self.session.transport.client, self.account, operation_id)
            .map_err(|_| unknown(Why::Refused))?;
        let reader = self.reader;
        let asked = self.session.ask(Action::Search, &request, |result| reader.list(result)).await;
        match asked.answer {
            Answer::Given(found) => match found.as_slice() {
                [reference] => Ok(reference.clone()),
                [] => Err(unknown(Why::Absent)),
                several => {
                    let names: Vec<&str> = several.iter().map(PspReference::as_str).collect();
                    Err(unknown(Why::Mismatch(format!("several objects: {}", names.join(", ")))))
                }
            },
            other => Err(unknown(no_look(other))),
        }
    }

    async fn retrieve(&mut self, reference: &PspReference) -> Result<Judgement, Outcome> {
        let known = |why| Outcome::Unknown { reference: Some(reference.clone()), why };
        let client = &self.session.transport.client;
        let request = match self.reader.expected.aim {
            Aim::Refund { .. } => request::retrieve_refund(client, self.account, reference),
            Aim::Payout { .. } => request::retrieve_payout(client, self.account, reference),
            _ => request::retrieve(client, self.account, reference),
        };
        let request = request.map_err(|_| known(Why::Refused))?;
        match self.ask_object(Action::Retrieve, &request).await.answer {
            Answer::Given(judgement) => Ok(judgement),
            Answer::Missing(_) => Err(known(Why::Absent)),
            other => Err(known(no_look(other))),
        }
    }

    /// Cancels an object, so that it cannot be paid behind our back. Declined once Stripe confirms that it is
    /// cancelled, for the reason given or else for the object's own.
    async fn close(&mut self, reference: PspReference, decline: Option<Decline>) -> Outcome {
        let answer = match request::cancel(&self.session.transport.client, self.account, &reference) {
            Ok(request) => self.ask_object(Action::Cancel, &request).await.answer,
            Err(_) => Answer::Overdue,
        };
        let shown = match next::after_cancelling(answer) {
            Closing::Shown(judgement) => Some(judgement),
            Closing::Retrieve => self.retrieve(&reference).await.ok(),
            Closing::Doubtful => None,
        };
        next::closed(reference, shown, decline)
    }

    async fn ask_object(&mut self, action: Action, request: &Request) -> Asked<Judgement> {
        let reader = self.reader;
        self.session.ask(action, request, |result| reader.expected_object(result)).await
    }
}

impl Unsendable {
    fn code(&self) -> NotSentCode {
        match self {
            Self::Address | Self::Request => NotSentCode::Misconfigured,
            Self::Amount(_) => NotSentCode::AmountNotSupported,
        }
    }
}

/// The only object that names the operation. That there is none proves nothing; several contradict it.
fn one_of(mut found: Vec<Judgement>, what: &str) -> Result<Judgement, Outcome> {
    match (found.pop(), found.len()) {
        (Some(judgement), 0) => Ok(judgement),
        (None, _) => Err(unknown(Why::Absent)),
        (Some(_), more) => Err(unknown(Why::Mismatch(format!("{} {what}", more + 1)))),
    }
}

/// Why a look-up that did not give anything leaves the operation unknown.
fn no_look<T>(answer: Answer<T>) -> Why {
    match answer {
        Answer::Doubtful(why) | Answer::Stuck(why) => why,
        Answer::Unreached(_) | Answer::Overdue => Why::NoAnswer,
        Answer::Throttled(_) | Answer::InFlight => Why::Busy,
        Answer::Given(_)
        | Answer::Declined { .. }
        | Answer::Rejected { .. }
        | Answer::Missing(_)
        | Answer::Unauthorised(_)
        | Answer::KeyConflict => Why::Refused,
    }
}
