//! Stripe's `PaymentIntents`, created and confirmed in one request, and what follows them: captures, cancellations,
//! refunds.
//!
//! Stripe remembers an idempotency key and its first answer for at least a day, so a doubtful request is resent as it
//! was. Two of its habits shape the rest: it also remembers a 500, which resending only repeats; and a decline leaves
//! behind an object that could still be paid, which is cancelled before the decline counts.

mod amount;
mod answer;
mod event;
mod object;
mod request;
mod session;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Request;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use self::answer::{Answer, Reader};
use self::request::Unsendable;
use self::session::{Asked, Session};
use super::budget::{Budget, Budgets};
use super::transport::Transport;
use super::{
    Account, Action, Aim, ClientError, Decline, Errand, Exchange, Expected, Inquiry, Judgement, NotSentCode,
    Outcome, PspReference, Settings, Why,
};

pub(super) use amount::{read_amount, validate_amount};
pub(super) use event::parse_event;
pub(super) use signature::{SIGNATURE_HEADER, verify};

/// At least 24 hours, less a margin for clocks and for requests under way.
pub(super) const KEY_WINDOW: Duration = Duration::from_secs(23 * 60 * 60);

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
            Ok(request) => talk.send(&request, resent).await,
            Err(_) if resent => Outcome::Unknown { reference: None, why: Why::Refused },
            Err(unsendable) => not_sent(unsendable.code(), unsendable.to_string()),
        };
        talk.end(outcome)
    }

    pub(super) async fn inquire(&self, account: &Account, call: &Inquiry<'_>, until: Instant) -> Exchange {
        let budget = self.budget(account);
        let mut talk = self.talk(account, call.expected, &budget, until);
        let outcome = match talk.find(call.reference).await {
            Ok(found) => talk.settle(found).await,
            Err(outcome) => outcome,
        };
        talk.end(outcome)
    }

    pub(super) async fn cancel(&self, account: &Account, call: &Inquiry<'_>, until: Instant) -> Exchange {
        let budget = self.budget(account);
        let mut talk = self.talk(account, call.expected, &budget, until);
        let outcome = match talk.find(call.reference).await {
            Ok(Judgement::Said(Outcome::RequiresAction { reference, .. })) => {
                talk.close(reference, None).await
            }
            Ok(found) => talk.settle(found).await,
            Err(outcome) => outcome,
        };
        talk.end(outcome)
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
        let action = match self.reader.expected.aim {
            Aim::Authorize { .. } => Action::Authorize,
            Aim::Capture { .. } => Action::Capture,
            Aim::Void { .. } => Action::Cancel,
            Aim::Refund { .. } => Action::Refund,
        };
        let Asked { answer, doubt, replayed } = self.ask_object(action, request).await;
        let in_doubt = resent || doubt.is_some();
        // what a try that did nothing says of the operation: nothing, if an earlier one may have done it
        let idle = |code, message: String, why| match (doubt, resent) {
            (Some(doubt), _) => unknown(doubt),
            (None, true) => unknown(why),
            (None, false) => not_sent(code, message),
        };
        match answer {
            Answer::Given(judgement) => self.settle(judgement).await,
            // An answer without an object that is not the saved one of an earlier try tells of this try alone: Stripe
            // checks account and parameters before it looks at the key.
            Answer::Declined { object: None, .. }
            | Answer::Rejected { object: None, .. }
            | Answer::Missing(_)
                if in_doubt && !replayed =>
            {
                self.look_up(Why::Refused).await
            }
            // refused, once and for sure: that it is shown as not done is no more than that
            Answer::Declined { decline, object } | Answer::Rejected { decline, object }
                if !in_doubt && is_not_done(object.as_ref()) =>
            {
                Outcome::Declined { reference: None, decline }
            }
            Answer::Declined { decline, object } | Answer::Rejected { decline, object } => {
                self.declined(decline, object).await
            }
            Answer::Missing(decline) => self.declined(decline, None).await,
            Answer::Unauthorised(message) => idle(NotSentCode::RefusedCredentials, message, Why::Refused),
            Answer::Throttled(message) => idle(NotSentCode::Busy, message, Why::Busy),
            Answer::Unreached(message) => idle(NotSentCode::Unreachable, message, Why::NoAnswer),
            Answer::Overdue => {
                idle(NotSentCode::DeadlinePassed, "no time was left".to_owned(), Why::NoAnswer)
            }
            Answer::InFlight => unknown(Why::InFlight),
            Answer::Doubtful(why) => unknown(why),
            // asking for it again is of no use: ask what became of it
            Answer::KeyConflict => self.look_up(Why::KeyConflict).await,
            Answer::Stuck(why) => self.look_up(why).await,
        }
    }

    /// What became of an operation whose answer cannot be had; `why` not.
    async fn look_up(&mut self, why: Why) -> Outcome {
        match self.find(None).await {
            Ok(found) => self.settle(found).await,
            Err(Outcome::Unknown { reference: None, why: Why::Absent })
                if !matches!(why, Why::KeyConflict | Why::Refused) =>
            {
                unknown(Why::Absent)
            }
            Err(Outcome::Unknown { reference: None, .. }) => unknown(why),
            Err(outcome) => outcome,
        }
    }

    /// The operation's object as it is now; or the outcome, if it cannot be had.
    async fn find(&mut self, reference: Option<&PspReference>) -> Result<Judgement, Outcome> {
        match (&self.reader.expected.aim, reference) {
            (Aim::Authorize { .. } | Aim::Refund { .. }, Some(reference)) => self.retrieve(reference).await,
            (Aim::Authorize { .. }, None) => {
                let reference = self.search().await?;
                self.retrieve(&reference).await
            }
            (Aim::Capture { of, .. } | Aim::Void { of, .. }, _) => self.retrieve(of).await,
            (Aim::Refund { of }, None) => self.search_refunds(of).await,
        }
    }

    /// The operation's refund among those of a payment.
    async fn search_refunds(&mut self, of: &PspReference) -> Result<Judgement, Outcome> {
        let request = request::refunds_of(&self.session.transport.client, self.account, of)
            .map_err(|_| unknown(Why::Refused))?;
        let reader = self.reader;
        let asked = self.session.ask(Action::Search, &request, |result| reader.refunds(result)).await;
        match asked.answer {
            Answer::Given(mut found) => match (found.pop(), found.len()) {
                (Some(judgement), 0) => Ok(judgement),
                (None, _) => Err(unknown(Why::Absent)),
                (Some(_), more) => Err(unknown(Why::Mismatch(format!("{} refunds", more + 1)))),
            },
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
            _ => request::retrieve(client, self.account, reference),
        };
        let request = request.map_err(|_| known(Why::Refused))?;
        match self.ask_object(Action::Retrieve, &request).await.answer {
            Answer::Given(judgement) => Ok(judgement),
            Answer::Missing(_) => Err(known(Why::Absent)),
            other => Err(known(no_look(other))),
        }
    }

    /// Ends with what was judged; what is still open is closed first.
    async fn settle(&mut self, judgement: Judgement) -> Outcome {
        match judgement {
            Judgement::Said(outcome) => outcome,
            Judgement::Open { reference, decline } => self.close(reference, Some(decline)).await,
        }
    }

    /// Ends with a decline, unless its object says better or is still open.
    async fn declined(&mut self, decline: Decline, object: Option<Judgement>) -> Outcome {
        match object {
            None => Outcome::Declined { reference: None, decline },
            Some(Judgement::Open { reference, .. }) => self.close(reference, Some(decline)).await,
            // why a charge was declined is in the answer; why a hold cannot be changed, in what became of it
            Some(Judgement::Said(Outcome::Declined { reference, .. }))
                if matches!(self.reader.expected.aim, Aim::Authorize { .. }) =>
            {
                Outcome::Declined { reference, decline }
            }
            Some(Judgement::Said(outcome)) => outcome,
        }
    }

    /// Cancels an object, so that it cannot be paid behind our back. Declined once Stripe confirms that it is
    /// cancelled, for the reason given or else for the object's own.
    async fn close(&mut self, reference: PspReference, decline: Option<Decline>) -> Outcome {
        let shown = match request::cancel(&self.session.transport.client, self.account, &reference) {
            Ok(request) => self.ask_object(Action::Cancel, &request).await.answer,
            Err(_) => Answer::Overdue,
        };
        let judgement = match shown {
            Answer::Given(judgement)
            | Answer::Declined { object: Some(judgement), .. }
            | Answer::Rejected { object: Some(judgement), .. } => judgement,
            // nothing that tells how the object is now
            Answer::Declined { object: None, .. }
            | Answer::Rejected { object: None, .. }
            | Answer::Missing(_)
            | Answer::KeyConflict
            | Answer::InFlight
            | Answer::Stuck(_) => match self.retrieve(&reference).await {
                Ok(judgement) => judgement,
                Err(_) => return still_open(reference),
            },
            Answer::Unauthorised(_)
            | Answer::Throttled(_)
            | Answer::Unreached(_)
            | Answer::Doubtful(_)
            | Answer::Overdue => return still_open(reference),
        };
        match (judgement, decline) {
            (Judgement::Open { .. }, _) => still_open(reference),
            (Judgement::Said(Outcome::Declined { reference, .. }), Some(decline)) => {
                Outcome::Declined { reference, decline }
            }
            (Judgement::Said(outcome), _) => outcome,
        }
    }

    async fn ask_object(&mut self, action: Action, request: &Request) -> Asked<Judgement> {
        let reader = self.reader;
        let is_refund = matches!(reader.expected.aim, Aim::Refund { .. });
        let read = |result| if is_refund { reader.refund(result) } else { reader.object(result) };
        self.session.ask(action, request, read).await
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

const fn is_not_done(object: Option<&Judgement>) -> bool {
    matches!(object, Some(Judgement::Said(Outcome::Unknown { why: Why::NotDone, .. })))
}

const fn unknown(why: Why) -> Outcome {
    Outcome::Unknown { reference: None, why }
}

const fn still_open(reference: PspReference) -> Outcome {
    Outcome::Unknown { reference: Some(reference), why: Why::StillOpen }
}

const fn not_sent(code: NotSentCode, message: String) -> Outcome {
    Outcome::NotSent { code, message }
}
