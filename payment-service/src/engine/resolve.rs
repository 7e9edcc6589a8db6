//! Finishing what was left unfinished: operations whose owner is gone, or whose outcome nobody knows.

use std::time::Duration;

use money::{MerchantId, OperationId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Engine, Settings};
use crate::failpoint::Failpoint;
use crate::merchant::{Directory, MerchantError};
use crate::operation::{self, By, Effect, Finding, OperationStatus, Recording, Taken};
use crate::psp::{Account, Aim, Exchange, Idempotency, Inquiry, Outcome as PspOutcome, Why};

/// What a look at a merchant's due operations came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Operations that were taken over.
    pub taken: usize,
    /// Of these, those that have ended.
    pub ended: usize,
}

/// Why the PSP was not asked again.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The operation could not be taken over.
    #[error("the operation could not be taken over")]
    Operation(#[from] operation::Error),
    /// Its PSP account cannot be used.
    #[error("its PSP account cannot be used")]
    Account(#[from] MerchantError),
}

/// How many operations are taken over at once: as many as are asked about at once.
const BATCH: i64 = 64;

/// How often an object that contradicts its operation is looked at again before a person is asked: the contradiction
/// may be the answer's alone.
const MISMATCH_LOOKS: i32 = 3;

/// What to do about an operation that was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the same request under the same key.
    Resend,
    /// Ask.
    Inquire,
    /// Cancel it at the PSP: its buyer has had long enough.
    Cancel,
    /// Wait for a webhook or a settlement line.
    Wait,
    /// It is done: see whether the PSP still holds the money, or whether its bank has it.
    LookAgain,
    /// It is long done, and nothing more is to come of it.
    Forget,
}

/// How long a PSP may take to decide that says that it has not: banks take two weeks over a debit, and holidays more.
const BANKS_PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often the PSP is asked about money that it should have let go, or a bank should have by now: what has not happened for weeks
/// will hardly happen within the hour.
fn pending_poll(taken: &Taken) -> Duration {
    let hours = if taken.now - taken.first_sent_at > BANKS_PATIENCE { 24 } else { 1 };
    Duration::from_secs(hours * 3600)
}

pub(super) fn next_step(
    taken: &Taken,
    idempotency: Idempotency,
    window: Duration,
    settings: &Settings,
) -> Step {
    let age = taken.now - taken.first_sent_at;
    if taken.status == OperationStatus::Succeeded {
        return if taken.is_pending { Step::LookAgain } else { Step::Forget };
    }
    // a webhook says that there is news
    if taken.status == OperationStatus::NeedsReview {
        return Step::Inquire;
    }
    if is_overdue(taken, settings.action_window) {
        return Step::Cancel;
    }
    if taken.psp_reference.is_some() {
        return Step::Inquire;
    }
    match (&taken.errand.expected.aim, idempotency) {
        // to let go what was let go changes nothing, whenever it is asked for
        (Aim::Void { .. }, _) => Step::Resend,
        // the deadline is part of the window: the last byte may leave only then. A key that the PSP knew before we did may
        // be forgotten any time.
        (_, Idempotency::Native) if age + settings.deadline < window && !is_conflicting(taken) => {
            Step::Resend
        }
        (_, Idempotency::Native | Idempotency::Lookup) => Step::Inquire,
        // it is seen by what it was to be done to
        (Aim::Capture { .. }, Idempotency::None) => Step::Inquire,
        (Aim::Authorize { .. } | Aim::Refund { .. } | Aim::Payout { .. }, Idempotency::None) => Step::Wait,
    }
}

fn is_conflicting(taken: &Taken) -> bool {
    taken.reason.as_deref() == Some(Why::KeyConflict.as_str())
}

/// Whether a buyer has had so long to act and has not.
fn is_overdue(taken: &Taken, window: Duration) -> bool {
    taken.status == OperationStatus::RequiresAction && taken.now - taken.standing_since > window
}

impl Engine {
    /// Takes over a merchant's due operations and finds out what became of each.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn resolve(
        &self,
        directory: &Directory,
        merchant: MerchantId,
    ) -> Result<Outcome, operation::Error> {
        // before the take-over: by any clock the lease lasts longer than the deadline
        let until = Instant::now() + self.0.settings.deadline;
        let taken = operation::take_due(&self.0.pool, merchant, self.0.settings.lease, BATCH).await?;
        let mut outcome = Outcome { taken: taken.len(), ended: 0 };
        let mut looks = JoinSet::new();
        for taken in taken {
            let account = match directory.any_psp_account(merchant, taken.psp_account_id).await {
                Ok(account) => account,
                Err(error) => {
                    let operation_id = taken.errand.expected.operation_id;
                    tracing::error!(%operation_id, error = &error as &dyn std::error::Error, "its PSP account cannot be used");
                    self.look_again(merchant, &taken, Some(operation::next_look(taken.takeovers))).await;
                    continue;
                }
            };
            let engine = self.clone();
            let look = async move { engine.look_into(merchant, &account.account, &taken, until).await };
            looks.spawn(self.0.tasks.track_future(look));
        }
        while let Some(ended) = looks.join_next().await {
            outcome.ended += usize::from(ended.unwrap_or(false));
        }
        Ok(outcome)
    }

    /// Asks the PSP once more about an operation that needs review. Answers whether it was asked: not while somebody else is
    /// asking, nor where the operation does not need review.
    ///
    /// # Errors
    /// When Postgres fails, or the PSP account cannot be used.
    pub async fn ask_again(
        &self,
        directory: &Directory,
        merchant: MerchantId,
        operation: OperationId,
    ) -> Result<bool, AskError> {
        let until = Instant::now() + self.0.settings.deadline;
        let lease = self.0.settings.lease;
        let Some(taken) = operation::take_for_review(&self.0.pool, merchant, operation, lease).await? else {
            return Ok(false);
        };
        let account = match directory.any_psp_account(merchant, taken.psp_account_id).await {
            Ok(account) => account,
            Err(error) => {
                self.leave(merchant, &taken).await;
                return Err(error.into());
            }
        };
        let engine = self.clone();
        let look = async move {
            let exchange = engine.ask(&account.account, &taken, Step::Inquire, until).await;
            let is_heard = is_heard(&exchange.outcome);
            let recording = Recording {
                operation_id: operation,
                by: By::Owner { fence: taken.fence },
                finding: Finding::Answer(exchange.outcome),
                attempts: exchange.attempts,
                attempt_fence: taken.fence,
            };
            let recorded = engine.record_surely(merchant, recording, until, Finding::Answer).await;
            let effect = recorded.as_ref().map(|recorded| recorded.effect);
            engine.give_back(merchant, &taken, effect, is_heard).await;
            recorded.is_some()
        };
        // a client that hangs up changes nothing
        let looked = tokio::spawn(self.0.tasks.track_future(look)).await;
        Ok(looked.unwrap_or(false))
    }

    /// Answers whether the operation has ended.
    async fn look_into(
        &self,
        merchant: MerchantId,
        account: &Account,
        taken: &Taken,
        until: Instant,
    ) -> bool {
        let operation_id = taken.errand.expected.operation_id;
        let kind = taken.errand.expected.aim.word();
        if Failpoint::TakenOver.pass_for(kind).await.is_err() {
            return false;
        }
        let step = next_step(taken, account.idempotency, account.psp.key_window(), &self.0.settings);
        let (outcome, attempts) = match step {
            Step::Forget => {
                self.look_again(merchant, taken, None).await;
                return false;
            }
            Step::Wait => (PspOutcome::Unknown { reference: None, why: Why::NoAnswer }, Vec::new()),
            Step::Resend | Step::Inquire | Step::Cancel | Step::LookAgain => {
                let exchange = self.ask(account, taken, step, until).await;
                (exchange.outcome, exchange.attempts)
            }
        };
        if Failpoint::Asked.pass_for(kind).await.is_err() {
            return false;
        }
        let is_heard = is_heard(&outcome);
        let finding = |outcome| finding_of(outcome, taken, &self.0.settings);
        let recording = Recording {
            operation_id,
            by: By::Owner { fence: taken.fence },
            finding: finding(outcome),
            attempts,
            attempt_fence: taken.fence,
        };
        let recorded = self.record_surely(merchant, recording, until, finding).await;
        let effect = recorded.map(|recorded| recorded.effect);
        self.give_back(merchant, taken, effect, is_heard).await;
        if effect == Some(Effect::Now(OperationStatus::NeedsReview)) {
            let subject_id = taken.subject.as_uuid();
            tracing::error!(%operation_id, %subject_id, "needs a person: nobody can tell what became of it");
        } else {
            tracing::info!(%operation_id, ?step, ?effect, "looked into an operation");
        }
        effect == Some(Effect::Arrived) || matches!(effect, Some(Effect::Now(status)) if !status.is_open())
    }

    /// When it is looked at next that a look has left as it was.
    async fn give_back(&self, merchant: MerchantId, taken: &Taken, effect: Option<Effect>, is_heard: bool) {
        let after = match (taken.status, effect) {
            // due as was written with it
            (_, Some(Effect::Now(_) | Effect::Arrived)) => return,
            // people's, but for news of it that nobody has looked at yet
            (OperationStatus::NeedsReview, Some(_)) if is_heard => None,
            (OperationStatus::Succeeded, _) => Some(pending_poll(taken)),
            (_, Some(Effect::Stale)) => Some(operation::next_look(taken.takeovers)),
            // taken over again once its lease has ended
            _ => return,
        };
        self.look_again(merchant, taken, after).await;
    }

    async fn look_again(&self, merchant: MerchantId, taken: &Taken, after: Option<Duration>) {
        let operation_id = taken.errand.expected.operation_id;
        let noted = operation::look_again(&self.0.pool, merchant, taken, after).await;
        if let Err(error) = noted {
            tracing::warn!(%operation_id, error = &error as &dyn std::error::Error, "it is looked at again sooner than it need be");
        }
    }

    /// Gives back what was taken over and not looked into.
    async fn leave(&self, merchant: MerchantId, taken: &Taken) {
        let operation_id = taken.errand.expected.operation_id;
        if let Err(error) = operation::leave(&self.0.pool, merchant, taken).await {
            tracing::warn!(%operation_id, error = &error as &dyn std::error::Error, "nobody else can ask before its lease ends");
        }
    }

    async fn ask(&self, account: &Account, taken: &Taken, step: Step, until: Instant) -> Exchange {
        if step == Step::Resend {
            return self.0.connectors.send(account, &taken.errand, true, until).await;
        }
        let call = Inquiry { expected: &taken.errand.expected, reference: taken.psp_reference.as_ref() };
        match step {
            Step::Cancel => self.0.connectors.cancel(account, &call, until).await,
            _ => self.0.connectors.inquire(account, &call, until).await,
        }
    }
}

/// Whether the PSP said how it is. What it did not show, or did not close, it may later.
fn is_heard(outcome: &PspOutcome) -> bool {
    match outcome {
        PspOutcome::NotSent { .. } => false,
        PspOutcome::Unknown { why, .. } => matches!(
            why,
            Why::Mismatch(_) | Why::PartlyCaptured(_) | Why::Processing | Why::NotDone | Why::Elsewhere
        ),
        PspOutcome::Succeeded(_) | PspOutcome::Declined { .. } | PspOutcome::RequiresAction { .. } => true,
    }
}

/// What is still unknown after it was asked for once more is for a person when it has been so for too long, or when the
/// PSP's object keeps contradicting its operation.
pub(super) fn finding_of(outcome: PspOutcome, taken: &Taken, settings: &Settings) -> Finding {
    let was_unknown = taken.status == OperationStatus::Unknown;
    let is_with_the_psp = taken.reason.as_deref() == Some(Why::Processing.as_str());
    let patience =
        if is_with_the_psp { settings.review_after.max(BANKS_PATIENCE) } else { settings.review_after };
    let is_old = taken.now - taken.first_sent_at > patience;
    match outcome {
        PspOutcome::Unknown { why: Why::Mismatch(what), .. }
            if was_unknown && (is_old || taken.takeovers >= MISMATCH_LOOKS) =>
        {
            Finding::GiveUp { reason: format!("mismatch: {what}") }
        }
        // it is known to be with the PSP, which will decide, or to be for people
        PspOutcome::Unknown { why: Why::Processing | Why::PartlyCaptured(_), .. } => Finding::Answer(outcome),
        PspOutcome::Unknown { .. } | PspOutcome::NotSent { .. } if was_unknown && is_old => {
            Finding::GiveUp { reason: "no_evidence".to_owned() }
        }
        // it cannot be cancelled, and nothing is heard of it: its order is not free and its buyer gone
        PspOutcome::Unknown { .. } | PspOutcome::RequiresAction { .. }
            if is_overdue(taken, settings.action_window.saturating_add(settings.review_after)) =>
        {
            Finding::GiveUp { reason: "not_cancelled".to_owned() }
        }
        outcome => Finding::Answer(outcome),
    }
}

#[cfg(test)]
mod tests {
    use money::{Currency, Money, OperationId, PaymentId, PspAccountId};
    use time::OffsetDateTime;
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;
    use crate::psp::{CaptureMethod, Errand, Expected, Method, PspReference};

    const SENT: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
    const WINDOW: Duration = Duration::from_secs(23 * 3600);

    fn taken(status: OperationStatus, age: Duration, reference: Option<&str>) -> Taken {
        Taken {
            errand: Errand {
                expected: Expected {
                    operation_id: OperationId::from_uuid(Uuid::nil()),
                    amount: Money::new(1, Currency::EUR),
                    aim: Aim::Authorize { capture: CaptureMethod::Automatic },
                },
                order_id: "o-1".parse().unwrap(),
                method: Method::of(Some("pm_1".to_owned()), None),
            },
            fence: 2,
            subject: operation::Subject::Payment(PaymentId::new()),
            is_pending: false,
            psp_account_id: PspAccountId::new(),
            psp_reference: reference.map(|text| PspReference::parse(text).unwrap()),
            status,
            reason: None,
            takeovers: 1,
            first_sent_at: SENT,
            standing_since: SENT,
            now: SENT + age,
        }
    }

    #[test]
    fn a_request_is_resent_only_while_the_psp_surely_remembers_its_key() {
        let settings = Settings::default();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let check = |status, age, reference, idempotency, expected| {
            assert_eq!(next_step(&taken(status, age, reference), idempotency, WINDOW, &settings), expected);
        };
        use OperationStatus::{RequiresAction, Sending, Unknown};
        check(Sending, hours(0), None, Idempotency::Native, Step::Resend);
        check(Unknown, hours(22), None, Idempotency::Native, Step::Resend);
        check(Unknown, hours(23) - Duration::from_secs(19), None, Idempotency::Native, Step::Inquire);
        check(Unknown, hours(71), None, Idempotency::Native, Step::Inquire);
        check(Unknown, hours(73), None, Idempotency::Native, Step::Inquire);
        check(Sending, hours(73), None, Idempotency::Native, Step::Inquire);
        check(RequiresAction, hours(23), Some("pi_1"), Idempotency::Native, Step::Inquire);
        check(RequiresAction, hours(25), Some("pi_1"), Idempotency::Native, Step::Cancel);
        check(Unknown, hours(25), Some("pi_1"), Idempotency::Native, Step::Inquire);
        check(Unknown, hours(0), Some("pi_1"), Idempotency::Native, Step::Inquire);
        check(Sending, hours(0), None, Idempotency::Lookup, Step::Inquire);
        check(Sending, hours(0), None, Idempotency::None, Step::Wait);
    }

    #[test]
    fn a_payout_of_a_psp_that_remembers_nothing_waits_and_one_on_its_way_is_asked_about() {
        let settings = Settings::default();
        let aim = Aim::Payout {
            to: PspReference::parse("ba_1").unwrap(),
            statement_descriptor: None,
            asked_at: SENT,
        };
        let payout = |status, reference, is_pending| {
            let mut taken = taken(status, Duration::ZERO, reference);
            taken.errand.expected.aim = aim.clone();
            Taken { is_pending, ..taken }
        };
        use OperationStatus::{Succeeded, Unknown};
        for (taken, idempotency, expected) in [
            (payout(Unknown, None, false), Idempotency::Native, Step::Resend),
            (payout(Unknown, None, false), Idempotency::Lookup, Step::Inquire),
            (payout(Unknown, None, false), Idempotency::None, Step::Wait),
            (payout(Unknown, Some("po_1"), false), Idempotency::None, Step::Inquire),
            (payout(Succeeded, Some("po_1"), true), Idempotency::None, Step::LookAgain),
            (payout(Succeeded, Some("po_1"), false), Idempotency::Native, Step::Forget),
        ] {
            assert_eq!(next_step(&taken, idempotency, WINDOW, &settings), expected, "{taken:?}");
        }
    }

    #[test]
    fn a_person_is_asked_only_when_asking_the_psp_has_not_helped() {
        let settings = Settings::default();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let gives_up = |why: Why, status, age| {
            let outcome = PspOutcome::Unknown { reference: None, why };
            matches!(finding_of(outcome, &taken(status, age, None), &settings), Finding::GiveUp { .. })
        };
        use OperationStatus::{RequiresAction, Sending, Unknown};
        assert!(gives_up(Why::Absent, Unknown, hours(73)));
        assert!(!gives_up(Why::Absent, Unknown, hours(71)));
        assert!(!gives_up(Why::Absent, Sending, hours(73)), "it has not been asked about as unknown yet");
        assert!(!gives_up(Why::NoAnswer, RequiresAction, hours(24 + 71)));
        let contradiction = || Why::Mismatch("1 instead of 2".to_owned());
        assert!(!gives_up(contradiction(), Unknown, hours(1)), "its third look is to come");
        let third = Taken { takeovers: 3, ..taken(Unknown, hours(1), None) };
        let outcome = PspOutcome::Unknown { reference: None, why: contradiction() };
        assert!(matches!(finding_of(outcome, &third, &settings), Finding::GiveUp { .. }));
        let decline = crate::psp::Decline { code: "rejected", decline_code: None, message: String::new() };
        let ended = PspOutcome::Declined { reference: None, decline };
        assert!(matches!(finding_of(ended, &taken(Unknown, hours(99), None), &settings), Finding::Answer(_)));
        assert!(gives_up(Why::StillOpen, RequiresAction, hours(24 + 73)), "it cannot be cancelled");
    }

    #[test]
    fn what_the_psp_did_not_show_or_close_is_not_heard() {
        let unknown = |why| PspOutcome::Unknown { reference: None, why };
        for why in [
            Why::NoAnswer,
            Why::ServerError,
            Why::Unreadable,
            Why::InFlight,
            Why::Busy,
            Why::Refused,
            Why::Absent,
            Why::StillOpen,
        ] {
            assert!(!is_heard(&unknown(why.clone())), "{why}");
        }
        for why in [
            Why::Mismatch(String::new()),
            Why::PartlyCaptured(1),
            Why::Processing,
            Why::NotDone,
            Why::Elsewhere,
        ] {
            assert!(is_heard(&unknown(why.clone())), "{why}");
        }
    }

    #[test]
    fn what_should_long_have_been_let_go_is_asked_about_daily() {
        let after = |days: u64| {
            let age = Duration::from_secs(days * 24 * 3600);
            pending_poll(&taken(OperationStatus::Succeeded, age, Some("pi_1"))).as_secs() / 3600
        };
        assert_eq!([after(7), after(29), after(31), after(400)], [1, 1, 24, 24]);
    }

    #[test]
    fn what_is_with_a_bank_is_given_weeks_and_not_given_up_for_one_look_that_failed() {
        let settings = Settings::default();
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        let gives_up = |reason: &str, age| {
            let taken =
                Taken { reason: Some(reason.to_owned()), ..taken(OperationStatus::Unknown, age, None) };
            let outcome = PspOutcome::Unknown { reference: None, why: Why::NoAnswer };
            matches!(finding_of(outcome, &taken, &settings), Finding::GiveUp { .. })
        };
        assert!(gives_up("no_answer", days(4)));
        assert!(!gives_up("processing", days(29)));
        assert!(gives_up("processing", days(31)));
    }

    #[test]
    fn a_key_that_the_psp_knew_of_another_request_is_never_sent_again() {
        let settings = Settings::default();
        let reason = Some(Why::KeyConflict.as_str().to_owned());
        let taken = Taken { reason, ..taken(OperationStatus::Unknown, Duration::ZERO, None) };
        assert_eq!(next_step(&taken, Idempotency::Native, WINDOW, &settings), Step::Inquire);
    }
}
