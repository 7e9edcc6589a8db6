use std::collections::BTreeSet;

use ledger::posting::Posting;
use money::{OperationId, PaymentId};
use time::macros::{date, datetime};
use uuid::Uuid;

use wallet::wallet::Purse;

use super::*;
use crate::break_::BreakKind;
use crate::matching::{Effect, Operation, Rule, Standing, Tie, Unexplained};

const PSP: PspAccountId = PspAccountId::from_uuid(Uuid::from_u128(9));

fn key() -> Key {
    Key { chunk_no: 1, payout_id: Some("po_1".to_owned()), currency: Currency::EUR }
}

fn line(kind: LineKind, gross: i64, fee: i64) -> Line {
    Line {
        line_no: 2,
        psp_line_id: "txn_1".to_owned(),
        kind,
        category: kind.as_str().to_owned(),
        gross,
        fee,
        net: gross - fee,
        currency: Currency::EUR,
        occurred_at: datetime!(2026-01-02 10:20:30 UTC),
        value_date: date!(2026 - 01 - 04),
        payout_id: Some("po_1".to_owned()),
        payout_on: None,
        operation_id: None,
        order_id: None,
        psp_reference: None,
        psp_movement: None,
        presented: None,
        fee_parts: crate::statement::FeeParts::default(),
        method: None,
        psp_source: None,
    }
}

fn operation(effect: Effect) -> Operation {
    Operation {
        operation_id: OperationId::from_uuid(Uuid::from_u128(1)),
        named_id: OperationId::from_uuid(Uuid::from_u128(1)),
        payment_id: Some(PaymentId::from_uuid(Uuid::from_u128(1))),
        order_id: Some("o-1".to_owned()),
        effect,
        standing: Standing::Succeeded,
        is_open: false,
        psp_reference: None,
        amount: Money::new(100, Currency::EUR),
        fee: 0,
        returned_fee: 0,
        tied: Vec::new(),
    }
}

/// The posting's legs must be those of `expected`, debits positive.
fn check(booking: &Booking, purses: &mut Purses, expected: &[(Account, i64)]) {
    let source = Source { table: "settlement", id: booking.id.as_uuid() };
    let mut wanted = Posting::builder(source, "settle", date!(2026 - 01 - 04));
    for (account, minor) in expected {
        wanted = debit_signed(wanted, account.clone(), i128::from(*minor), Currency::EUR).unwrap();
    }
    let posting = booking.posting(PSP, purses).unwrap().unwrap();
    // what is locked before is what is moved
    let mut locked: BTreeSet<Account> = booking.accounts(PSP).map(|(account, _)| account).collect();
    for (seller, _) in booking.sellers() {
        locked.extend(
            [
                Account::SellerDebt as fn(SellerId) -> Account,
                Account::SellerPending,
                Account::SellerAvailable,
            ]
            .map(|account| account(seller.clone())),
        );
    }
    assert!(posting.accounts().all(|(account, _)| locked.contains(account)), "{posting:?} of {locked:?}");
    assert_eq!(posting, wanted.build().unwrap());
}

fn booked(lines: &[(Line, Decision<'_>)]) -> Booking {
    let mut booking = Booking::new(BookingId::from_uuid(Uuid::from_u128(5)), key());
    for (line, decision) in lines {
        booking.add(line, decision).unwrap();
    }
    booking
}

fn unexplained() -> Decision<'static> {
    Decision::Unexplained(Unexplained { kind: BreakKind::UnknownToUs, about: None, because: String::new() })
}

#[test]
fn every_line_moves_the_balance_by_its_net_and_the_rest_balances_it() {
    use Account::{PayoutInTransit, PspBalance, PspFees, PspReceivable, Suspense};
    let capture = operation(Effect::Capture);
    let refund = operation(Effect::Refund);
    const fn tie(operation: &Operation) -> Tie<'_> {
        Tie { operation, effect: operation.effect, rule: Rule::PspReference }
    }
    let check = |line: Line, decision: Decision<'_>, expected: &[(Account, i64)]| {
        check(&booked(&[(line, decision)]), &mut Purses::new(), expected);
    };
    check(
        line(LineKind::Capture, 100, 3),
        Decision::Match(tie(&capture)),
        &[(PspBalance(PSP), 97), (PspFees, 3), (PspReceivable(PSP), -100)],
    );
    check(
        line(LineKind::Capture, 2, 3),
        unexplained(),
        &[(PspBalance(PSP), -1), (PspFees, 3), (Suspense, -2)],
    );
    check(
        line(LineKind::Refund, -100, -1),
        Decision::Match(tie(&refund)),
        &[(PspBalance(PSP), -99), (PspFees, -1), (PspReceivable(PSP), 100)],
    );
    check(
        line(LineKind::Capture, 90, 3),
        Decision::Differs(tie(&capture), Difference::Amount),
        &[(PspBalance(PSP), 87), (PspFees, 3), (PspReceivable(PSP), -100), (Suspense, 10)],
    );
    check(
        line(LineKind::Refund, -110, 0),
        Decision::Differs(tie(&refund), Difference::Amount),
        &[(PspBalance(PSP), -110), (PspReceivable(PSP), 100), (Suspense, 10)],
    );
    check(
        line(LineKind::Capture, 110, 3),
        Decision::Differs(tie(&capture), Difference::Currency),
        &[(PspBalance(PSP), 107), (PspFees, 3), (Suspense, -110)],
    );
    check(line(LineKind::Fee, -5, 0), Decision::Plain, &[(PspBalance(PSP), -5), (PspFees, 5)]);
    check(line(LineKind::Fee, 0, 5), Decision::Plain, &[(PspBalance(PSP), -5), (PspFees, 5)]);
    check(
        line(LineKind::Payout, -50, 0),
        Decision::Plain,
        &[(PspBalance(PSP), -50), (PayoutInTransit(PSP), 50)],
    );
    check(
        line(LineKind::Payout, -50, 1),
        Decision::Plain,
        &[(PspBalance(PSP), -51), (PspFees, 1), (PayoutInTransit(PSP), 50)],
    );
    check(
        line(LineKind::Payout, 50, 0),
        Decision::Plain,
        &[(PspBalance(PSP), 50), (PayoutInTransit(PSP), -50)],
    );
    // to a seller: it leaves our balance, and our bank never sees it
    let payout = operation(Effect::Payout);
    let came_back = Tie { effect: Effect::PayoutReversal, ..tie(&payout) };
    check(
        line(LineKind::Payout, -100, 1),
        Decision::Match(tie(&payout)),
        &[(PspBalance(PSP), -101), (PspFees, 1), (PspReceivable(PSP), 100)],
    );
    check(
        line(LineKind::PayoutReversal, 100, 0),
        Decision::Match(came_back),
        &[(PspBalance(PSP), 100), (PspReceivable(PSP), -100)],
    );
    check(
        line(LineKind::PayoutReversal, 50, 0),
        Decision::Plain,
        &[(PspBalance(PSP), 50), (PayoutInTransit(PSP), -50)],
    );
    check(line(LineKind::Payout, -20, 0), unexplained(), &[(PspBalance(PSP), -20), (Suspense, 20)]);
    check(line(LineKind::Chargeback, -20, 0), unexplained(), &[(PspBalance(PSP), -20), (Suspense, 20)]);
    // what was booked of its fee when it was taken is not booked again
    let dispute = Operation { fee: 20, returned_fee: 15, ..operation(Effect::Chargeback) };
    let returned = Tie { effect: Effect::ChargebackReversal, ..tie(&dispute) };
    check(
        line(LineKind::Chargeback, -100, 20),
        Decision::Match(tie(&dispute)),
        &[(PspBalance(PSP), -120), (PspReceivable(PSP), 120)],
    );
    check(
        line(LineKind::Chargeback, -100, 22),
        Decision::Match(tie(&dispute)),
        &[(PspBalance(PSP), -122), (PspReceivable(PSP), 120), (PspFees, 2)],
    );
    check(
        line(LineKind::ChargebackReversal, 100, -15),
        Decision::Match(returned),
        &[(PspBalance(PSP), 115), (PspReceivable(PSP), -115)],
    );
}

#[test]
fn sellers_repay_what_they_owe_once_across_the_bookings_of_a_commit() {
    let capture = operation(Effect::Capture);
    let decision =
        || Decision::Match(Tie { operation: &capture, effect: Effect::Capture, rule: Rule::PspReference });
    let seller: SellerId = "s-1".parse().unwrap();
    let parts = [Split { seller: seller.clone(), amount: 100, platform_fee: 5 }];
    let mut purses = Purses::from([((seller.clone(), Currency::EUR), Purse { available: 0, debt: 120 })]);
    let with = |mut booking: Booking| {
        booking.release(&parts).unwrap();
        booking
    };
    let psp = [(Account::PspBalance(PSP), 100), (Account::PspReceivable(PSP), -100)];
    let first = with(booked(&[(line(LineKind::Capture, 100, 0), decision())]));
    let repays = [(Account::SellerPending(seller.clone()), 95), (Account::SellerDebt(seller.clone()), -95)];
    check(&first, &mut purses, &[psp.as_slice(), &repays].concat());
    let second = with(booked(&[(line(LineKind::Capture, 100, 0), decision())]));
    let repays_rest = [
        (Account::SellerPending(seller.clone()), 95),
        (Account::SellerDebt(seller.clone()), -25),
        (Account::SellerAvailable(seller), -70),
    ];
    check(&second, &mut purses, &[psp.as_slice(), &repays_rest].concat());
}

#[test]
fn what_comes_to_nothing_posts_nothing() {
    let booking = booked(&[(line(LineKind::Fee, 0, 0), Decision::Plain)]);
    assert_eq!(booking.posting(PSP, &mut Purses::new()), Ok(None));
}

#[test]
fn sums_never_wrap() {
    let mut booking = booked(&[(line(LineKind::Capture, i64::MAX, 0), unexplained())]);
    assert_eq!(booking.add(&line(LineKind::Capture, 1, 0), &unexplained()), None);
}
