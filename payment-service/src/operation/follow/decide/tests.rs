use money::{ClaimId, PaymentId};
use time::macros::datetime;

use super::*;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::psp::PspReference;

const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const NAMES: &[&str; 1] = &["endpoint"];

/// A payment of 100.00 that is held: 60.00 of anna with 6.01 for the platform, 40.00 of bert without.
fn held() -> State {
    let split = |split_no, seller: &str, amount, platform_fee| SplitState {
        split_no,
        seller: seller.parse().unwrap(),
        amount,
        platform_fee,
        captured: 0,
        refunded: 0,
        reserved: 0,
        refunded_fee: 0,
        disputed: 0,
        disputed_fee: 0,
    };
    State {
        merchant: money::MerchantId::from_uuid(uuid::Uuid::nil()),
        payment: PaymentView {
            payment_id: PaymentId::new(),
            order_id: "o-1".to_owned(),
            ordinal: 1,
            status: PaymentStatus::Authorized,
            amount: 10_000,
            currency: Currency::EUR,
            capture: "manual",
            payment_method: Some("pm_1".to_owned()),
            return_url: None,
            psp_account_id: money::PspAccountId::new(),
            authorized_amount: 10_000,
            captured_amount: 0,
            refund_reserved_amount: 0,
            refunded_amount: 0,
            disputed_amount: 0,
            splits: Vec::new(),
            metadata: std::collections::BTreeMap::new(),
            failure: None,
            next_action: None,
            created_at: NOW,
            updated_at: NOW,
        },
        order_id: "o-1".parse().unwrap(),
        method: Method::Token { token: "pm_1".to_owned(), return_url: None },
        version: 2,
        psp: Psp::Stripe,
        psp_reference: Some(PspReference::parse("pi_1").unwrap()),
        splits: vec![split(0, "anna", 6000, 601), split(1, "bert", 4000, 0)],
        open: None,
        known: None,
        now: NOW,
    }
}

/// The same, captured.
fn captured() -> State {
    let mut state = held();
    state.payment.status = PaymentStatus::Captured;
    state.payment.captured_amount = 10_000;
    for split in &mut state.splits {
        split.captured = split.amount;
    }
    state
}

fn follow(want: Want) -> Follow {
    Follow {
        key: IdempotencyKey::try_from("k-1".to_owned()).unwrap(),
        fingerprint: Fingerprint::of(NAMES, [b"x"]),
        claim_id: ClaimId::new(),
        payment_id: PaymentId::new(),
        want,
        lease: std::time::Duration::from_secs(1),
        request_id: None,
    }
}

fn to_capture(amount: Option<i64>, last: bool) -> Want {
    Want::Capture { amount, last, parts: None }
}

fn to_refund(amount: Option<i64>, returns_fee: bool) -> Want {
    Want::Refund { amount, parts: None, returns_fee }
}

#[track_caller]
fn accepted(state: &State, want: Want) -> Accepted {
    match decide(state, &follow(want)) {
        Verdict::Accepted(accepted) => *accepted,
        Verdict::Refused(problem) => panic!("{}", problem.render(None)),
        _ => panic!("neither accepted nor refused"),
    }
}

#[track_caller]
fn refused(state: &State, want: Want) -> Code {
    match decide(state, &follow(want)) {
        Verdict::Refused(problem) => problem.code(),
        _ => panic!("not refused"),
    }
}

/// Amount and platform's part for each split.
fn parts(accepted: &Accepted) -> Vec<(i64, i64)> {
    accepted.parts.iter().map(|part| (part.amount, part.platform_fee)).collect()
}

#[test]
fn a_capture_takes_what_is_held_and_falls_on_the_splits_in_proportion() {
    let all = accepted(&held(), to_capture(None, true));
    assert_eq!(all.begun.errand.expected.amount.minor, 10_000);
    assert_eq!(parts(&all), [(6000, 601), (4000, 0)]);
    let some = accepted(&held(), to_capture(Some(3333), false));
    assert_eq!(parts(&some), [(2000, 200), (1333, 0)]);
    let aim = Aim::Capture { of: PspReference::parse("pi_1").unwrap(), captured_before: 0, last: false };
    assert_eq!(some.begun.errand.expected.aim, aim);

    // the next takes the rest, also of the fee
    let mut after = held();
    after.payment.status = PaymentStatus::PartiallyCaptured;
    after.payment.captured_amount = 3333;
    (after.splits[0].captured, after.splits[1].captured) = (2000, 1333);
    let rest = accepted(&after, to_capture(None, false));
    assert_eq!(parts(&rest), [(4000, 401), (2667, 0)]);
    let aim = Aim::Capture { of: PspReference::parse("pi_1").unwrap(), captured_before: 3333, last: true };
    assert_eq!(rest.begun.errand.expected.aim, aim, "what leaves nothing is the last");
    assert_eq!(refused(&after, to_capture(Some(6668), true)), Code::CaptureExceedsHold);
}

#[test]
fn what_is_not_held_is_neither_captured_nor_let_go() {
    use PaymentStatus::{
        Authorized, Captured, Expired, Failed, PartiallyCaptured, Processing, RequiresAction, Voided,
    };
    for status in PaymentStatus::ALL {
        let mut state = held();
        state.payment.status = status;
        let captures = matches!(decide(&state, &follow(to_capture(Some(1), true))), Verdict::Accepted(_));
        let voids = matches!(decide(&state, &follow(Want::Void)), Verdict::Accepted(_));
        let (may_capture, may_void) = match status {
            Authorized | PartiallyCaptured => (true, true),
            RequiresAction => (false, true),
            Processing | Captured | Voided | Failed | Expired => (false, false),
        };
        assert_eq!((captures, voids), (may_capture, may_void), "{status:?}");
    }
}

#[test]
fn one_at_a_time_changes_what_is_held() {
    let mut state = held();
    state.open = Some((OperationId::from_uuid(uuid::Uuid::nil()), OperationKind::Void));
    assert_eq!(refused(&state, to_capture(None, true)), Code::OperationUnderWay);
    assert_eq!(refused(&state, Want::Void), Code::OperationUnderWay);
    let mut state = captured();
    state.open = Some((OperationId::from_uuid(uuid::Uuid::nil()), OperationKind::Capture));
    accepted(&state, to_refund(Some(1), true));
}

#[test]
fn refunds_never_exceed_what_was_captured_and_what_is_under_way_counts() {
    let mut state = captured();
    state.payment.refunded_amount = 3000;
    state.payment.refund_reserved_amount = 2000;
    (state.splits[0].refunded, state.splits[0].reserved) = (1800, 1200);
    (state.splits[1].refunded, state.splits[1].reserved) = (1200, 800);
    state.splits[0].refunded_fee = 300;
    assert_eq!(refused(&state, to_refund(Some(5001), true)), Code::RefundExceedsCaptured);
    let rest = accepted(&state, to_refund(None, true));
    assert_eq!(parts(&rest), [(3000, 301), (2000, 0)], "all of the fee in the end");
    assert_eq!(parts(&accepted(&state, to_refund(None, false))), [(3000, 0), (2000, 0)]);
    state.payment.refund_reserved_amount = 7000;
    (state.splits[0].reserved, state.splits[1].reserved) = (4200, 2800);
    assert_eq!(refused(&state, to_refund(None, true)), Code::RefundExceedsCaptured);
    assert_eq!(refused(&state, to_refund(Some(1), true)), Code::RefundExceedsCaptured);
}

#[test]
fn nothing_is_given_back_of_what_was_not_captured() {
    for status in PaymentStatus::ALL {
        let mut state = held();
        state.payment.status = status;
        assert_eq!(refused(&state, to_refund(None, true)), Code::PaymentStateConflict, "{status:?}");
    }
}

#[test]
fn a_fee_is_never_given_back_more_than_once() {
    let mut state = captured();
    // one failed after the next had been divided: what it had counts as given back for good
    (state.splits[0].refunded, state.splits[0].refunded_fee) = (1000, 101);
    (state.splits[1].refunded, state.payment.refunded_amount) = (666, 1666);
    let rest = accepted(&state, to_refund(None, true));
    assert_eq!(parts(&rest), [(5000, 500), (3334, 0)]);
}

#[test]
fn a_merchant_may_say_whose_money_it_is() {
    let part = |seller: &str, amount| WantedPart { seller: seller.parse().unwrap(), amount };
    let refund = |parts| Want::Refund { amount: None, parts: Some(parts), returns_fee: true };
    let of_bert = accepted(&captured(), refund(vec![part("bert", 4000)]));
    assert_eq!((of_bert.begun.errand.expected.amount.minor, parts(&of_bert)), (4000, vec![(4000, 0)]));
    assert_eq!(refused(&captured(), refund(vec![part("bert", 4001)])), Code::SplitExceedsSeller);
    assert_eq!(refused(&captured(), refund(vec![part("carl", 1)])), Code::SplitExceedsSeller);
}

#[test]
fn the_same_intent_is_the_same_operation_and_another_key_another() {
    let id = |key: &str| {
        let follow = Follow { key: IdempotencyKey::try_from(key.to_owned()).unwrap(), ..follow(Want::Void) };
        match decide(&held(), &follow) {
            Verdict::Accepted(accepted) => accepted.begun.errand.expected.operation_id,
            _ => panic!("not accepted"),
        }
    };
    assert_eq!(id("k-1"), id("k-1"));
    assert_ne!(id("k-1"), id("k-2"));
}

#[test]
fn what_was_done_under_a_key_that_is_forgotten_is_not_done_again() {
    let mut state = captured();
    let operation_id = OperationId::from_uuid(uuid::Uuid::nil());
    let view = OperationView {
        operation_id,
        payment_id: Some(state.payment.payment_id),
        payout_id: None,
        kind: OperationKind::Refund,
        status: Standing::Succeeded,
        amount: 40,
        currency: Currency::EUR,
        last: None,
        splits: vec![SplitView { seller: "anna".to_owned(), amount: 40, platform_fee: 4 }],
        failure: None,
        created_at: NOW,
        updated_at: NOW,
    };
    state.known = Some(KnownOperation { view, has_ended: true });
    let part = |amount| Some(vec![WantedPart { seller: "anna".parse().unwrap(), amount }]);
    for (amount, parts, other) in [
        (None, None, None),
        (Some(40), part(40), None),
        (Some(60), None, Some("amount")),
        (None, part(39), Some("splits")),
    ] {
        match decide(&state, &follow(Want::Refund { amount, parts, returns_fee: true })) {
            Verdict::Known { operation_id: id, answer } => {
                assert_eq!((id, answer.is_some(), other), (operation_id, true, None));
            }
            Verdict::OtherRequest(field) => assert_eq!(Some(field), other),
            _ => panic!("it is known"),
        }
    }
}

#[test]
fn an_amount_that_the_psp_cannot_do_exactly_uses_no_key_up() {
    let mut state = captured();
    state.payment.currency = "KWD".parse().unwrap();
    let verdict = decide(&state, &follow(to_refund(Some(1234), true)));
    assert!(matches!(verdict, Verdict::AmountRefused(AmountRefused::TooFine { .. })));
}
