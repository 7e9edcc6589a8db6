use time::macros::{date, datetime};

use super::*;

fn id(number: u128) -> OperationId {
    OperationId::from_uuid(uuid::Uuid::from_u128(number))
}

fn operation(number: u128, reference: Option<&str>) -> Operation {
    Operation {
        operation_id: id(number),
        named_id: id(number),
        payment_id: Some(PaymentId::from_uuid(uuid::Uuid::from_u128(number))),
        order_id: Some(format!("o-{number}")),
        effect: Effect::Capture,
        standing: Standing::Succeeded,
        is_open: false,
        psp_reference: reference.map(str::to_owned),
        amount: Money::new(10_000, Currency::EUR),
        fee: 0,
        returned_fee: 0,
        tied: Vec::new(),
    }
}

fn line(kind: LineKind, gross: i64, reference: Option<&str>, ours: Option<u128>) -> Line {
    let name = reference.map(str::to_owned);
    Line {
        line_no: 2,
        psp_line_id: "txn_1".to_owned(),
        kind,
        category: kind.as_str().to_owned(),
        gross,
        fee: 300,
        net: gross - 300,
        currency: Currency::EUR,
        occurred_at: datetime!(2026-01-02 10:20:30 UTC),
        value_date: date!(2026 - 01 - 04),
        payout_id: None,
        payout_on: None,
        operation_id: ours.map(id),
        order_id: None,
        psp_reference: name.clone(),
        psp_movement: None,
        presented: None,
        fee_parts: crate::statement::FeeParts::default(),
        method: None,
        psp_source: name,
    }
}

/// What was decided, in a word.
fn word(decision: &Decision<'_>) -> String {
    let order = |operation: &Operation| operation.order_id.clone().unwrap_or_else(|| "no order".to_owned());
    match decision {
        Decision::Plain => "plain".to_owned(),
        Decision::Match(tie) => format!("match {} by {}", order(tie.operation), tie.rule.as_str()),
        Decision::Wait(tie) => format!("wait {}", order(tie.operation)),
        Decision::Differs(tie, difference) => format!("{difference:?} of {}", order(tie.operation)),
        Decision::Unexplained(unexplained) => match unexplained.about {
            Some(about) => format!("{} near {}", unexplained.kind.as_str(), order(about)),
            None => unexplained.kind.as_str().to_owned(),
        },
    }
}

fn check(operations: Vec<Operation>, line: &Line, refused: Option<&str>, expected: &str) {
    let mut candidates = Candidates::default();
    candidates.add(operations.clone());
    assert_eq!(word(&decide(line, &candidates, &Ties::new(), refused)), expected, "{operations:?} {line:?}");
}

#[test]
fn a_line_is_of_the_one_operation_that_it_names() {
    let capture = |reference, ours| line(LineKind::Capture, 10_000, reference, ours);
    let known = || vec![operation(1, Some("pi_1"))];
    let unnamed = || vec![operation(1, None)];
    for (operations, line, expected) in [
        (known(), capture(Some("pi_1"), Some(1)), "match o-1 by psp_reference"),
        (known(), capture(Some("pi_1"), None), "match o-1 by psp_reference"),
        (known(), capture(None, Some(1)), "match o-1 by our_reference"),
        (unnamed(), capture(Some("pi_1"), Some(1)), "match o-1 by our_reference"),
        // neither name finds anything, or there is none
        (known(), capture(Some("pi_2"), None), "unknown_to_us"),
        (known(), capture(None, None), "unknown_to_us"),
        (known(), capture(Some("pi_2"), Some(2)), "unknown_to_us"),
        // the names contradict each other
        (known(), capture(Some("pi_1"), Some(2)), "unknown_to_us near o-1"),
        (
            vec![operation(1, Some("pi_1")), operation(2, Some("pi_2"))],
            capture(Some("pi_1"), Some(2)),
            "unknown_to_us near o-1",
        ),
        // a tie
        (
            vec![operation(1, Some("pi_1")), operation(2, Some("pi_1"))],
            capture(Some("pi_1"), Some(1)),
            "unknown_to_us",
        ),
        // ours, but it is another object at the PSP: the buyer paid twice
        (known(), capture(Some("pi_2"), Some(1)), "captured_twice near o-1"),
    ] {
        check(operations, &line, None, expected);
    }
}

#[test]
fn a_line_says_what_we_say_or_differs() {
    let capture = |gross| line(LineKind::Capture, gross, Some("pi_1"), Some(1));
    let known = || vec![operation(1, Some("pi_1"))];
    check(known(), &capture(10_000), None, "match o-1 by psp_reference");
    check(known(), &capture(9_999), None, "Amount of o-1");
    check(known(), &capture(-10_000), None, "Amount of o-1");
    check(known(), &capture(0), None, "Amount of o-1");
    let dollars = Line { currency: Currency::USD, ..capture(10_000) };
    check(known(), &dollars, None, "Currency of o-1");
}

#[test]
fn a_line_about_what_did_not_succeed_is_evidence_until_it_is_refused() {
    let waiting = || Operation { standing: Standing::NotSucceeded, ..operation(1, Some("pi_1")) };
    let capture = |reference| line(LineKind::Capture, 10_000, reference, Some(1));
    check(vec![waiting()], &capture(Some("pi_1")), None, "wait o-1");
    check(vec![Operation { psp_reference: None, ..waiting() }], &capture(Some("pi_1")), None, "wait o-1");
    // another object than the one that failed: it is for the service to judge
    check(vec![waiting()], &capture(Some("pi_2")), None, "wait o-1");
    check(vec![waiting()], &capture(Some("pi_1")), Some("it was cancelled"), "status near o-1");
    // what was refused and succeeded all the same is matched
    check(
        vec![operation(1, Some("pi_1"))],
        &capture(Some("pi_1")),
        Some("it was cancelled"),
        "match o-1 by psp_reference",
    );
}

#[test]
fn a_refund_is_matched_to_a_refund_and_never_to_its_payment() {
    let refund = Operation { effect: Effect::Refund, ..operation(2, Some("re_1")) };
    let capture = operation(1, Some("pi_1"));
    let both = || vec![capture.clone(), refund.clone()];
    let of = |gross, source: &str| Line {
        psp_reference: Some("pi_1".to_owned()),
        ..line(LineKind::Refund, gross, Some(source), None)
    };
    check(both(), &of(-10_000, "re_1"), None, "match o-2 by psp_reference");
    check(both(), &of(-9_000, "re_1"), None, "Amount of o-2");
    check(both(), &of(10_000, "re_1"), None, "Amount of o-2");
    check(both(), &of(-10_000, "re_2"), None, "unknown_to_us");
    let second = Line { operation_id: Some(id(2)), ..of(-10_000, "re_2") };
    check(both(), &second, None, "refunded_twice near o-2");
    let by_payment = Line { operation_id: Some(id(1)), ..of(-10_000, "re_2") };
    check(both(), &by_payment, None, "refund_without_refund near o-1");
}

/// A capture of its own, of payment 1, which was authorised by operation 1.
fn part(number: u128, minor: i64) -> Operation {
    Operation {
        named_id: id(1),
        payment_id: Some(PaymentId::from_uuid(uuid::Uuid::from_u128(1))),
        amount: Money::new(minor, Currency::EUR),
        ..operation(number, Some("pi_1"))
    }
}

#[test]
fn a_line_is_of_the_capture_of_its_amount_that_no_other_line_has() {
    let of = |gross| line(LineKind::Capture, gross, Some("pi_1"), Some(1));
    let parts = || vec![part(2, 4000), part(3, 6000), part(4, 4000)];
    check(parts(), &of(6000), None, "match o-3 by psp_reference");
    check(parts(), &of(4000), None, "match o-2 by psp_reference");
    let first_is_tied =
        || vec![Operation { tied: vec![Effect::Capture], ..part(2, 4000) }, part(3, 6000), part(4, 4000)];
    check(first_is_tied(), &of(4000), None, "match o-4 by psp_reference");
    // of another amount it could be of any
    check(parts(), &of(5000), None, "unknown_to_us");
    // but not where only one is left
    let one_is_left = |effect| vec![Operation { tied: vec![effect], ..part(2, 4000) }, part(3, 6000)];
    check(one_is_left(Effect::Capture), &of(5000), None, "Amount of o-3");
    check(one_is_left(Effect::Refund), &of(5000), None, "unknown_to_us");
    // one that failed is passed over, one that is in doubt only for one that is not
    let stands = |number, standing, is_open| Operation { standing, is_open, ..part(number, 4000) };
    let failed = || stands(5, Standing::NotSucceeded, false);
    check(vec![failed(), part(2, 4000)], &of(4000), None, "match o-2 by psp_reference");
    check(vec![failed()], &of(4000), None, "wait o-5");
    let in_doubt = || stands(6, Standing::NotSucceeded, true);
    check(vec![failed(), in_doubt()], &of(4000), None, "wait o-6");
    check(vec![failed(), in_doubt(), part(2, 4000)], &of(4000), None, "match o-2 by psp_reference");
    // the PSP's reference is not known yet
    let unnamed = || parts().into_iter().map(|part| Operation { psp_reference: None, ..part }).collect();
    check(unnamed(), &of(6000), None, "match o-3 by our_reference");
}

#[test]
fn lines_of_one_batch_take_different_captures() {
    let mut candidates = Candidates::default();
    candidates.add([part(2, 4000), part(3, 4000)]);
    let of = line(LineKind::Capture, 4000, Some("pi_1"), Some(1));
    let mut ties = Ties::new();
    let mut words = Vec::new();
    for _ in 0..3 {
        let decision = decide(&of, &candidates, &ties, None);
        if let Decision::Match(tie) = decision {
            ties.insert(tie.key());
        }
        words.push(word(&decision));
    }
    // the third finds its place taken when it is tied
    assert_eq!(words, ["o-2", "o-3", "o-2"].map(|order| format!("match {order} by psp_reference")));
}

#[test]
fn a_refund_that_came_back_is_matched_beside_the_refund() {
    let refund = |standing| Operation { effect: Effect::Refund, standing, ..operation(2, Some("re_1")) };
    let came_back = Line {
        category: "refund_failure".to_owned(),
        ..line(LineKind::RefundFailure, 10_000, Some("re_1"), None)
    };
    let given = line(LineKind::Refund, -10_000, Some("re_1"), None);
    check(vec![refund(Standing::Reversed)], &came_back, None, "match o-2 by psp_reference");
    check(vec![refund(Standing::Reversed)], &given, None, "match o-2 by psp_reference");
    check(vec![refund(Standing::Succeeded)], &came_back, None, "wait o-2");
    check(vec![refund(Standing::Succeeded)], &came_back, Some("no"), "status near o-2");
    let less = Line { gross: 9_000, ..came_back };
    check(vec![refund(Standing::Reversed)], &less, None, "Amount of o-2");
}

#[test]
fn a_chargeback_is_matched_by_its_own_name_and_what_came_back_beside_it() {
    let dispute = |standing| Operation { effect: Effect::Chargeback, standing, ..operation(2, Some("dp_1")) };
    let taken = line(LineKind::Chargeback, -10_000, Some("dp_1"), None);
    let returned = line(LineKind::ChargebackReversal, 10_000, Some("dp_1"), None);
    check(vec![dispute(Standing::Succeeded)], &taken, None, "match o-2 by psp_reference");
    check(vec![dispute(Standing::Reversed)], &taken, None, "match o-2 by psp_reference");
    check(vec![dispute(Standing::Reversed)], &returned, None, "match o-2 by psp_reference");
    check(vec![dispute(Standing::Succeeded)], &returned, None, "wait o-2");
    check(vec![dispute(Standing::NotSucceeded)], &taken, None, "wait o-2");
    let less = Line { gross: -9_000, ..taken };
    check(vec![dispute(Standing::Succeeded)], &less, None, "Amount of o-2");
}

#[test]
fn a_payout_of_ours_is_matched_and_the_psps_own_explains_itself() {
    let payout = |standing| Operation {
        payment_id: None,
        order_id: None,
        effect: Effect::Payout,
        standing,
        ..operation(2, Some("po_2"))
    };
    let sent = |gross, source: &str, ours| line(LineKind::Payout, gross, Some(source), ours);
    let back = line(LineKind::PayoutReversal, 10_000, Some("po_2"), None);
    let matched = "match no order by psp_reference";
    check(vec![payout(Standing::Succeeded)], &sent(-10_000, "po_2", None), None, matched);
    check(vec![payout(Standing::Reversed)], &sent(-10_000, "po_2", None), None, matched);
    check(vec![payout(Standing::Reversed)], &back, None, matched);
    check(vec![payout(Standing::Succeeded)], &back, None, "wait no order");
    check(vec![payout(Standing::NotSucceeded)], &sent(-10_000, "po_2", None), None, "wait no order");
    check(vec![payout(Standing::Succeeded)], &sent(-9_000, "po_2", None), None, "Amount of no order");
    let unnamed = || vec![Operation { psp_reference: None, ..payout(Standing::NotSucceeded) }];
    check(unnamed(), &sent(-10_000, "po_2", Some(2)), None, "wait no order");
    let second = sent(-10_000, "po_3", Some(2));
    check(vec![payout(Standing::Succeeded)], &second, None, "paid_out_twice near no order");
    // the PSP's own, whatever it is called
    for own in [sent(-10_000, "po_1", None), sent(-10_000, "po_1", Some(7))] {
        check(vec![payout(Standing::Succeeded)], &own, None, "plain");
    }
    let returned = line(LineKind::PayoutReversal, 10_000, Some("po_1"), None);
    check(vec![payout(Standing::Succeeded)], &returned, None, "plain");
}

#[test]
fn fees_and_payouts_explain_themselves_and_the_rest_does_not() {
    let known = || vec![operation(1, Some("pi_1"))];
    check(known(), &line(LineKind::Fee, -100, Some("pi_1"), Some(1)), None, "plain");
    check(known(), &line(LineKind::Payout, -100, None, None), None, "plain");
    check(known(), &line(LineKind::Chargeback, -100, Some("pi_1"), None), None, "unknown_to_us");
    check(known(), &line(LineKind::Adjustment, -100, None, None), None, "unknown_to_us");
}

#[test]
fn who_wonders_about_a_line_of_nothing_is_shown_the_payment_that_it_names() {
    let mut captures = Candidates::default();
    captures.add([operation(1, Some("pi_1"))]);
    for (kind, reference, shown) in [
        (LineKind::Chargeback, Some("pi_1"), Some("o-1")),
        (LineKind::ChargebackReversal, Some("pi_1"), Some("o-1")),
        (LineKind::Adjustment, Some("pi_1"), Some("o-1")),
        (LineKind::Adjustment, Some("pi_2"), None),
        (LineKind::Adjustment, None, None),
        (LineKind::Refund, Some("pi_1"), Some("o-1")),
        (LineKind::Payout, Some("pi_1"), None),
    ] {
        let paid = paid(&line(kind, -100, reference, None), &captures);
        assert_eq!(paid.and_then(|operation| operation.order_id.as_deref()), shown, "{kind:?} {reference:?}");
    }
}
