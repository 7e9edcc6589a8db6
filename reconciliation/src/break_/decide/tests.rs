use money::Currency;
use time::macros::date;

use super::*;

const TODAY: Date = date!(2026 - 03 - 01);

/// An open break that holds 50 EUR in suspense, of a merchant whose people may each close 100 EUR.
fn open() -> Standing {
    Standing {
        closed: None,
        proposed: None,
        adjusted_to: None,
        held: Some(("suspense".to_owned(), Money::new(-5_000, Currency::EUR))),
        weight: Money::new(-5_000, Currency::EUR),
        limit: 100,
        today: TODAY,
    }
}

/// One of 100.01 EUR.
fn large() -> Standing {
    Standing { weight: Money::new(10_001, Currency::EUR), ..open() }
}

fn closed(how: How) -> Standing {
    Standing {
        closed: Some(how),
        adjusted_to: (how == How::Adjusted).then(|| "psp_fees".to_owned()),
        ..open()
    }
}

fn reason() -> String {
    "a reason".to_owned()
}

fn adjust() -> Act {
    Act::Adjust { to: Target::PspFees, reason: reason() }
}

fn accept() -> Act {
    Act::Accept { reason: reason() }
}

fn reverse() -> Act {
    Act::Reverse { reason: reason() }
}

fn snooze(until: Date) -> Act {
    Act::Snooze { until, note: None }
}

#[test]
fn what_one_person_may_do_is_done() {
    for (standing, act, outcome) in [
        (open(), adjust(), Outcome::Closed(How::Adjusted)),
        (open(), accept(), Outcome::Closed(How::Accepted)),
        (closed(How::Adjusted), reverse(), Outcome::Reopened),
        (closed(How::Accepted), reverse(), Outcome::Reopened),
        (open(), snooze(date!(2026 - 03 - 02)), Outcome::Noted),
        (open(), snooze(date!(2027 - 03 - 02)), Outcome::Noted),
        (open(), Act::Comment(reason()), Outcome::Noted),
        (closed(How::Itself), Act::Comment(reason()), Outcome::Noted),
        (closed(How::Itself), Act::Assign(None), Outcome::Noted),
        // the same again
        (closed(How::Adjusted), adjust(), Outcome::Already),
        (closed(How::Accepted), accept(), Outcome::Already),
    ] {
        assert_eq!(decide(&standing, &act, "cli:ann"), Ok(outcome), "{act:?} {standing:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let nothing = Standing { held: None, ..open() };
    let to_suspense = Standing { held: Some(("psp_fees".to_owned(), open().weight)), ..open() };
    for (standing, act, refused) in [
        (nothing, adjust(), Refused::HoldsNothing),
        (to_suspense, adjust(), Refused::SameAccount),
        (closed(How::Accepted), adjust(), Refused::Closed("accepted")),
        (closed(How::Itself), accept(), Refused::Closed("itself")),
        (
            closed(How::Adjusted),
            Act::Adjust { to: Target::Disputes, reason: reason() },
            Refused::Closed("adjusted"),
        ),
        (closed(How::Itself), reverse(), Refused::ClosedItself),
        (open(), reverse(), Refused::Open),
        (open(), snooze(TODAY), Refused::NoSuchDay),
        (open(), snooze(date!(2027 - 03 - 03)), Refused::NoSuchDay),
        (closed(How::Adjusted), snooze(date!(2026 - 03 - 02)), Refused::Closed("adjusted")),
    ] {
        assert_eq!(decide(&standing, &act, "cli:ann"), Err(refused), "{act:?} {standing:?}");
    }
}

#[test]
fn above_the_limit_two_people_have_to_say_the_same() {
    let proposed = |by: &str, proposal, account: Option<&str>| Standing {
        proposed: Some((by.to_owned(), proposal, account.map(str::to_owned))),
        ..large()
    };
    for (standing, act, outcome) in [
        (large(), adjust(), Outcome::Proposed),
        (large(), accept(), Outcome::Proposed),
        (Standing { weight: Money::new(-10_001, Currency::EUR), ..open() }, accept(), Outcome::Proposed),
        (
            Standing { weight: Money::new(10_000, Currency::EUR), ..open() },
            accept(),
            Outcome::Closed(How::Accepted),
        ),
        (
            Standing { weight: Money::new(100, Currency::JPY), ..open() },
            accept(),
            Outcome::Closed(How::Accepted),
        ),
        (Standing { weight: Money::new(101, Currency::JPY), ..open() }, accept(), Outcome::Proposed),
        (Standing { closed: Some(How::Accepted), ..large() }, reverse(), Outcome::Proposed),
        (proposed("cli:ann", Proposal::Accept, None), accept(), Outcome::Already),
        (proposed("key:ann", Proposal::Accept, None), accept(), Outcome::Already),
        (proposed("cli:bob", Proposal::Accept, None), accept(), Outcome::Closed(How::Accepted)),
        (proposed("cli:bob", Proposal::Adjust, Some("psp_fees")), adjust(), Outcome::Closed(How::Adjusted)),
        // something else is a proposal of its own
        (proposed("cli:bob", Proposal::Adjust, Some("disputes")), adjust(), Outcome::Proposed),
        (proposed("cli:bob", Proposal::Adjust, Some("psp_fees")), accept(), Outcome::Proposed),
        // what is only said needs nobody else
        (large(), Act::Comment(reason()), Outcome::Noted),
    ] {
        assert_eq!(decide(&standing, &act, "cli:ann"), Ok(outcome), "{act:?} {standing:?}");
    }
}
