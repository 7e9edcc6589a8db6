//! What follows from an answer: the connector's decisions, without IO.

use super::answer::Answer;
use super::session::Asked;
use crate::psp::{Action, Aim, Decline, Idempotency, Judgement, NotSentCode, Outcome, PspReference, Why};

/// What is to be done next about an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Next {
    /// Nothing: this is what it came to.
    End(Outcome),
    /// Its object could still be paid: close it, for this reason or else for the object's own.
    Close(PspReference, Option<Decline>),
    /// Ask what became of it; if that cannot be had, this is why it is unknown.
    LookUp(Why),
}

/// What the answer to a cancellation says of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It is so now.
    Shown(Judgement),
    /// Nothing: the object itself has to be asked for.
    Retrieve,
    /// Nothing, and asking is of no use now.
    Doubtful,
}

/// Whether the same request is sent once more. `asked` is what Stripe itself says.
pub(crate) fn may_resend<T>(
    action: Action,
    answer: &Answer<T>,
    asked: Option<bool>,
    idempotency: Idempotency,
) -> bool {
    resendable(answer, asked) && !may_do_it_twice(action, answer, idempotency)
}

/// Whether a try that may have been executed would be executed again: the PSP does not remember it.
fn may_do_it_twice<T>(action: Action, answer: &Answer<T>, idempotency: Idempotency) -> bool {
    let is_doubtful = matches!(answer, Answer::Doubtful(_) | Answer::InFlight);
    action.moves_money() && is_doubtful && idempotency != Idempotency::Native
}

/// Whether the same request, sent again, could be answered better.
fn resendable<T>(answer: &Answer<T>, asked: Option<bool>) -> bool {
    match answer {
        Answer::Doubtful(_) | Answer::InFlight | Answer::Throttled(_) => asked != Some(false),
        Answer::Unreached(_) => true,
        Answer::Rejected { object: None, .. } | Answer::Missing(_) | Answer::Unauthorised(_) => {
            asked == Some(true)
        }
        Answer::Given(_)
        | Answer::Declined { .. }
        | Answer::Rejected { object: Some(_), .. }
        | Answer::KeyConflict
        | Answer::Stuck(_)
        | Answer::Overdue => false,
    }
}

/// What follows from the last answer to a request that was to do what `aim` says. Where it is `resent`, an earlier call may
/// have done it.
pub(crate) fn after_sending(asked: Asked<Judgement>, resent: bool, aim: &Aim) -> Next {
    let Asked { answer, doubt, replayed } = asked;
    let in_doubt = resent || doubt.is_some();
    // what a try that did nothing says of the operation: nothing, if an earlier one may have done it
    let idle = |code, message: String, why| match (doubt, resent) {
        (Some(doubt), _) => Next::End(unknown(doubt)),
        (None, true) => Next::End(unknown(why)),
        (None, false) => Next::End(not_sent(code, message)),
    };
    match answer {
        Answer::Given(judgement) => settled(judgement),
        // An answer without an object that is not the saved one of an earlier try tells of this try alone: Stripe
        // checks account and parameters before it looks at the key.
        Answer::Declined { object: None, .. }
        | Answer::Rejected { object: None, .. }
        | Answer::Missing(_)
            if in_doubt && !replayed =>
        {
            Next::LookUp(Why::Refused)
        }
        // refused, once and for sure: that it is shown as not done is no more than that
        Answer::Declined { decline, object } | Answer::Rejected { decline, object }
            if !in_doubt && is_not_done(object.as_ref()) =>
        {
            Next::End(Outcome::Declined { reference: None, decline })
        }
        Answer::Declined { decline, object } | Answer::Rejected { decline, object } => {
            declined(decline, object, aim)
        }
        Answer::Missing(decline) => declined(decline, None, aim),
        Answer::Unauthorised(message) => idle(NotSentCode::RefusedCredentials, message, Why::Refused),
        Answer::Throttled(message) => idle(NotSentCode::Busy, message, Why::Busy),
        Answer::Unreached(message) => idle(NotSentCode::Unreachable, message, Why::NoAnswer),
        Answer::Overdue => idle(NotSentCode::DeadlinePassed, "no time was left".to_owned(), Why::NoAnswer),
        Answer::InFlight => Next::End(unknown(Why::InFlight)),
        Answer::Doubtful(why) => Next::End(unknown(why)),
        // asking for it again is of no use: ask what became of it
        Answer::KeyConflict => Next::LookUp(Why::KeyConflict),
        Answer::Stuck(why) => Next::LookUp(why),
    }
}

/// What follows from a look at what became of an operation that is unknown because of `why`.
pub(crate) fn after_look_up(found: Result<Judgement, Outcome>, why: Why) -> Next {
    match found {
        Ok(found) => settled(found),
        Err(Outcome::Unknown { reference: None, why: Why::Absent })
            if !matches!(why, Why::KeyConflict | Why::Refused) =>
        {
            Next::End(unknown(Why::Absent))
        }
        Err(Outcome::Unknown { reference: None, .. }) => Next::End(unknown(why)),
        Err(outcome) => Next::End(outcome),
    }
}

/// What follows from what was found by asking.
pub(crate) fn after_inquiry(found: Result<Judgement, Outcome>) -> Next {
    found.map_or_else(Next::End, settled)
}

/// What came of an object that was asked about: that what was paid on a page is closed, says that the page is.
pub(super) fn as_asked(outcome: Outcome, asked: Option<&PspReference>) -> Outcome {
    match (outcome, asked) {
        (Outcome::Declined { reference: Some(_), decline }, Some(asked)) => {
            Outcome::Declined { reference: Some(asked.clone()), decline }
        }
        (Outcome::Unknown { why: why @ Why::PartlyCaptured(_), .. }, Some(asked)) => {
            Outcome::Unknown { reference: Some(asked.clone()), why }
        }
        (outcome, _) => outcome,
    }
}

/// It ends with what was judged; what is still open is closed first.
fn settled(judgement: Judgement) -> Next {
    match judgement {
        Judgement::Said(outcome) => Next::End(outcome),
        Judgement::Open { reference, decline } => Next::Close(reference, Some(decline)),
    }
}

/// It ends with a decline, unless its object says better or is still open.
fn declined(decline: Decline, object: Option<Judgement>, aim: &Aim) -> Next {
    match object {
        None => Next::End(Outcome::Declined { reference: None, decline }),
        Some(Judgement::Open { reference, .. }) => Next::Close(reference, Some(decline)),
        // why a charge was declined is in the answer; why a hold cannot be changed, in what became of it
        Some(Judgement::Said(Outcome::Declined { reference, .. }))
            if matches!(aim, Aim::Authorize { .. }) =>
        {
            Next::End(Outcome::Declined { reference, decline })
        }
        Some(Judgement::Said(outcome)) => Next::End(outcome),
    }
}

/// What the answer to a cancellation tells.
pub(crate) fn after_cancelling(answer: Answer<Judgement>) -> Closing {
    match answer {
        Answer::Given(judgement)
        | Answer::Declined { object: Some(judgement), .. }
        | Answer::Rejected { object: Some(judgement), .. } => Closing::Shown(judgement),
        // nothing that tells how the object is now
        Answer::Declined { object: None, .. }
        | Answer::Rejected { object: None, .. }
        | Answer::Missing(_)
        | Answer::KeyConflict
        | Answer::InFlight
        | Answer::Stuck(_) => Closing::Retrieve,
        Answer::Unauthorised(_)
        | Answer::Throttled(_)
        | Answer::Unreached(_)
        | Answer::Doubtful(_)
        | Answer::Overdue => Closing::Doubtful,
    }
}

/// What an object that was to be closed has come to: declined once it is shown as closed, for the reason given or else for the
/// object's own. None where it cannot be had.
pub(crate) fn closed(reference: PspReference, shown: Option<Judgement>, decline: Option<Decline>) -> Outcome {
    match (shown, decline) {
        // it waits for its buyer, who may have acted
        (None, None) => Outcome::Unknown { reference: Some(reference), why: Why::NoAnswer },
        (None, Some(_)) | (Some(Judgement::Open { .. }), _) => {
            Outcome::Unknown { reference: Some(reference), why: Why::StillOpen }
        }
        (Some(Judgement::Said(Outcome::Declined { reference, .. })), Some(decline)) => {
            Outcome::Declined { reference, decline }
        }
        (Some(Judgement::Said(outcome)), _) => outcome,
    }
}

const fn is_not_done(object: Option<&Judgement>) -> bool {
    matches!(object, Some(Judgement::Said(Outcome::Unknown { why: Why::NotDone, .. })))
}

pub(super) const fn unknown(why: Why) -> Outcome {
    Outcome::Unknown { reference: None, why }
}

pub(super) const fn not_sent(code: NotSentCode, message: String) -> Outcome {
    Outcome::NotSent { code, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::psp::decline;

    /// A resend that replays a saved decline, of an object that somebody has taken a part of meanwhile.
    #[test]
    fn that_others_took_a_part_is_not_lost_behind_why_it_was_declined_first() {
        let decline = Decline { code: decline::CARD_DECLINED, decline_code: None, message: String::new() };
        let reference = PspReference::parse("pi_1").unwrap();
        let taken = Outcome::Unknown { reference: Some(reference.clone()), why: Why::PartlyCaptured(300) };
        let shown = Judgement::Said(taken.clone());
        assert_eq!(closed(reference, Some(shown.clone()), Some(decline.clone())), taken);
        let aim = Aim::Authorize { capture: crate::psp::CaptureMethod::Manual };
        assert_eq!(declined(decline, Some(shown), &aim), Next::End(taken));
    }

    #[test]
    fn a_cancel_that_nobody_answered_tells_what_was_seen_before_it() {
        let declined = Decline { code: decline::CANCELED, decline_code: None, message: String::new() };
        for (before, why) in [(Some(declined), Why::StillOpen), (None, Why::NoAnswer)] {
            let reference = PspReference::parse("pi_1").unwrap();
            let expected = Outcome::Unknown { reference: Some(reference.clone()), why };
            assert_eq!(closed(reference, None, before), expected);
        }
    }
}
