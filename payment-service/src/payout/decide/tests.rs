use std::collections::BTreeMap;

use ledger::posting::Posting;
use money::{Currency, PayoutId, PspAccountId};
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::psp::{NotSentCode, Why};

const NOW: OffsetDateTime = datetime!(2026-03-01 10:00 UTC);

fn known(status: OperationStatus, stands: PayoutStatus, reference: Option<&str>) -> Known {
    let operation_id = OperationId::from_uuid(Uuid::nil());
    Known {
        operation_id,
        status,
        fence: 1,
        takeovers: 0,
        reason: None,
        key: "k-1".to_owned(),
        payout: PayoutView {
            payout_id: PayoutId::from_uuid(Uuid::nil()),
            operation_id,
            seller: "s-1".to_owned(),
            status: stands,
            amount: 900,
            currency: Currency::EUR,
            destination: "ba_1".to_owned(),
            psp_account_id: PspAccountId::from_uuid(Uuid::nil()),
            psp_reference: reference.map(str::to_owned),
            statement_descriptor: None,
            metadata: BTreeMap::new(),
            failure: None,
            created_at: NOW,
            updated_at: NOW,
        },
        seller: "s-1".parse().unwrap(),
        version: 3,
        now: NOW,
    }
}

fn po(name: &str) -> PspReference {
    PspReference::parse(name).unwrap()
}

fn done(name: &str, captured: bool) -> Finding {
    let amount = Money::new(900, Currency::EUR);
    Finding::Answer(Outcome::Succeeded(Success { reference: po(name), movement: None, amount, captured }))
}

fn failed(name: Option<&str>) -> Finding {
    let decline = Decline { code: "payout_failed", decline_code: None, message: String::new() };
    Finding::Answer(Outcome::Declined { reference: name.map(po), decline })
}

/// What a finding comes to, in words: the operation, the payout, its event, and the postings with who is debited.
fn told(known: &Known, by: By, finding: &Finding) -> String {
    let change = match decide(known, by, finding).unwrap() {
        Decision::Change(change) => *change,
        other => return format!("{other:?}"),
    };
    let posting = |posting: &Posting| posting.kind().to_owned();
    let back = change.give_back.map(|give_back| {
        let from: Vec<String> =
            give_back.posting.accounts().map(|(account, _)| account.to_string()).collect();
        assert_eq!(give_back.parts, [(0, known.seller.clone(), known.amount())]);
        format!("back from {}", from.join("+"))
    });
    let books: Vec<String> = change.postings.iter().map(posting).chain(back).collect();
    let stands = change.payout.as_ref().unwrap_or(&known.payout).status.as_str();
    let event = change.event.map_or("nothing", |event| event.kind);
    format!("{} {stands} {event} [{}]", change.status.as_str(), books.join(", "))
}

const OWNER: By = By::Owner { fence: 1 };

#[test]
fn each_step_of_a_payout_is_booked_once_whatever_is_told_first() {
    use OperationStatus::{Declined, NeedsReview, Reversed, Sending, Succeeded, Unknown};
    use PayoutStatus::{Failed, InTransit, Paid, Processing, Returned};
    let held = "back from seller_held/s-1";
    for (status, stands, reference, by, finding, expected) in [
        (
            Sending,
            Processing,
            None,
            OWNER,
            done("po_1", false),
            "succeeded in_transit payout.in_transit [payout_sent]".to_owned(),
        ),
        (
            Sending,
            Processing,
            None,
            OWNER,
            done("po_1", true),
            "succeeded paid payout.paid [payout_sent, payout_paid]".to_owned(),
        ),
        (
            Unknown,
            Processing,
            None,
            By::Evidence,
            done("po_1", true),
            "succeeded paid payout.paid [payout_sent, payout_paid]".to_owned(),
        ),
        (
            Succeeded,
            InTransit,
            Some("po_1"),
            By::Evidence,
            done("po_1", true),
            "succeeded paid payout.paid [payout_paid]".to_owned(),
        ),
        (Succeeded, InTransit, Some("po_1"), By::Evidence, done("po_1", false), "Stale".to_owned()),
        (Succeeded, Paid, Some("po_1"), By::Evidence, done("po_1", true), "Stale".to_owned()),
        (Sending, Processing, None, OWNER, failed(None), format!("declined failed payout.failed [{held}]")),
        (
            NeedsReview,
            Processing,
            None,
            By::Review,
            failed(None),
            format!("declined failed payout.failed [{held}]"),
        ),
        (
            Succeeded,
            InTransit,
            Some("po_1"),
            By::Evidence,
            failed(Some("po_1")),
            "reversed failed payout.failed [back from payout_clearing]".to_owned(),
        ),
        (
            Succeeded,
            Paid,
            Some("po_1"),
            By::Evidence,
            failed(Some("po_1")),
            "reversed returned payout.returned [payout_returned, back from payout_clearing]".to_owned(),
        ),
        (Succeeded, Paid, Some("po_1"), By::Evidence, failed(Some("po_2")), "Stale".to_owned()),
        (Reversed, Returned, Some("po_1"), By::Evidence, failed(Some("po_1")), "Stale".to_owned()),
        // it was on its way before it failed
        (Declined, Failed, Some("po_1"), By::Evidence, done("po_1", true), "Stale".to_owned()),
        (Reversed, Failed, Some("po_1"), By::Evidence, done("po_1", true), "Stale".to_owned()),
        // money that cannot have moved
        (Declined, Failed, None, By::Evidence, done("po_1", false), "LateSuccess".to_owned()),
        (Succeeded, Paid, Some("po_1"), By::Evidence, done("po_2", false), "Twice".to_owned()),
        (Sending, Processing, None, By::Owner { fence: 2 }, done("po_1", true), "Superseded".to_owned()),
        (Unknown, Processing, None, By::Review, done("po_1", true), "Stale".to_owned()),
    ] {
        let known = known(status, stands, reference);
        assert_eq!(told(&known, by, &finding), expected, "{status:?} {stands:?} {by:?} {finding:?}");
    }
}

#[test]
fn doubt_moves_nothing_and_what_was_surely_not_sent_is_the_sellers_again() {
    let sending = known(OperationStatus::Sending, PayoutStatus::Processing, None);
    let doubt = Finding::Answer(Outcome::Unknown { reference: Some(po("po_1")), why: Why::NoAnswer });
    assert_eq!(told(&sending, OWNER, &doubt), "unknown processing payout.outcome_unknown []");
    let unknown = known(OperationStatus::Unknown, PayoutStatus::Processing, None);
    assert_eq!(told(&unknown, OWNER, &doubt), "unknown processing nothing []");
    let give_up = Finding::GiveUp { reason: "no_evidence".to_owned() };
    assert_eq!(told(&unknown, OWNER, &give_up), "needs_review processing payout.needs_review []");
    let not_sent =
        Finding::Answer(Outcome::NotSent { code: NotSentCode::Unreachable, message: String::new() });
    assert_eq!(told(&sending, OWNER, &not_sent), "declined failed payout.failed [back from seller_held/s-1]");
    // whoever takes it over cannot know what was sent before
    let second = Known { fence: 2, ..unknown.clone() };
    assert_eq!(told(&second, By::Owner { fence: 2 }, &not_sent), "unknown processing nothing []");
    // one that is on its way is not in doubt, whatever cannot be asked now
    let on_its_way = known(OperationStatus::Succeeded, PayoutStatus::InTransit, Some("po_1"));
    assert_eq!(told(&on_its_way, OWNER, &doubt), "Stale");
}

#[test]
fn a_payout_on_its_way_is_looked_at_again_and_one_that_is_there_is_not() {
    let sending = known(OperationStatus::Sending, PayoutStatus::Processing, None);
    for (captured, expected) in [(false, Some(TRANSIT_POLL)), (true, None)] {
        let Decision::Change(change) = decide(&sending, OWNER, &done("po_1", captured)).unwrap() else {
            panic!("it changes");
        };
        assert_eq!(change.due_in, expected);
        let (status, body) = change.response.unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["psp_reference"]), (201, &serde_json::json!("po_1")));
    }
}

#[test]
fn what_people_said_was_not_sent_and_was_all_the_same_is_never_dropped() {
    let declined = known(OperationStatus::Declined, PayoutStatus::Failed, Some("po_1"));
    assert_eq!(told(&declined, By::Evidence, &done("po_1", true)), "Stale", "it came back since");
    let said = Known { reason: Some("closed_by_review".to_owned()), ..declined };
    assert_eq!(told(&said, By::Evidence, &done("po_1", true)), "LateSuccess");
}
