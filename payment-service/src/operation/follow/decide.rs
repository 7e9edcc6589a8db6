//! Whether what is wanted of a payment can be done as it now is, and how it falls on the sellers: pure.

use ledger::posting::Source;
use money::{Currency, Money, OperationId, OrderId, PaymentId, SellerId, divide};
use serde_json::Value;
use time::{Date, OffsetDateTime};

use super::{Begun, Follow, Want, WantedPart, operation_id};
use crate::http::error::{Code, Problem};
use crate::http::stored;
use crate::operation::{OperationKind, OperationView, Standing};
use crate::outbox::{self, NewEvent};
use crate::payment::{PaymentStatus, PaymentView, SplitView};
use crate::psp::{Aim, AmountRefused, Errand, Expected, Method, Psp, PspReference};

/// A payment as it is under the lock.
pub(super) struct State {
    pub merchant: money::MerchantId,
    pub payment: PaymentView,
    pub order_id: OrderId,
    /// How the payment's buyer pays.
    pub method: Method,
    pub version: i32,
    pub psp: Psp,
    /// The PSP's object of the payment, once we were told.
    pub psp_reference: Option<PspReference>,
    pub splits: Vec<SplitState>,
    /// A capture or void that is under way.
    pub open: Option<(OperationId, OperationKind)>,
    /// The operation that this very request has made before, its key since forgotten.
    pub known: Option<KnownOperation>,
    pub now: OffsetDateTime,
}

/// An operation that is there already.
pub(super) struct KnownOperation {
    pub view: OperationView,
    /// Whether it is worked on no longer.
    pub has_ended: bool,
}

/// A split as it is under the lock.
pub(super) struct SplitState {
    pub split_no: i16,
    pub seller: SellerId,
    pub amount: i64,
    pub platform_fee: i64,
    pub captured: i64,
    pub refunded: i64,
    pub reserved: i64,
    pub refunded_fee: i64,
    pub disputed: i64,
    pub disputed_fee: i64,
}

/// What is to be done about a request.
pub(super) enum Verdict {
    /// It is claimed.
    Accepted(Box<Accepted>),
    /// The payment does not allow it as it is.
    Refused(Box<Problem>),
    /// It was claimed before, and its key forgotten since.
    Known { operation_id: OperationId, answer: Option<(u16, String)> },
    /// It was claimed before with another amount or other parts: the first such field.
    OtherRequest(&'static str),
    /// The PSP cannot do it exactly.
    AmountRefused(AmountRefused),
}

/// A claim.
pub(super) struct Accepted {
    pub begun: Begun,
    pub kind: OperationKind,
    pub payment_id: PaymentId,
    pub currency: Currency,
    pub day: Date,
    pub parts: Vec<Part>,
    /// What is taken of captures that are not settled: split, capture, minor units.
    pub draws: Vec<(i16, OperationId, i64)>,
    pub event: NewEvent,
}

/// What falls on a split.
pub(super) struct Part {
    pub split_no: i16,
    pub seller: SellerId,
    pub amount: i64,
    pub platform_fee: i64,
}

impl SplitState {
    /// What refunds and disputes have taken or will.
    const fn gone(&self) -> i64 {
        self.refunded + self.reserved + self.disputed
    }
}

impl Accepted {
    pub fn source(&self) -> Source {
        Source { table: "operation", id: self.begun.errand.expected.operation_id.as_uuid() }
    }
}

pub(super) fn decide(state: &State, follow: &Follow) -> Verdict {
    if let Some(known) = &state.known {
        return again(known, &follow.want);
    }
    let claimed = match &follow.want {
        Want::Capture { amount, last, parts } => capture(state, *amount, *last, parts.as_deref()),
        Want::Void => void(state),
        Want::Refund { amount, parts, returns_fee } => refund(state, *amount, parts.as_deref(), *returns_fee),
    };
    match claimed {
        Ok(claimed) => match state.psp.validate_amount(claimed.amount) {
            Ok(()) => Verdict::Accepted(Box::new(accept(state, follow, claimed))),
            Err(why) => Verdict::AmountRefused(why),
        },
        Err(problem) => Verdict::Refused(Box::new(problem)),
    }
}

/// A request under a key that was forgotten: the same is answered from what it made, another is told what differs.
fn again(known: &KnownOperation, want: &Want) -> Verdict {
    let view = &known.view;
    let (amount, parts) = match want {
        Want::Capture { amount, parts, .. } | Want::Refund { amount, parts, .. } => {
            (*amount, parts.as_deref())
        }
        Want::Void => (None, None),
    };
    if amount.is_some_and(|amount| amount != view.amount) {
        return Verdict::OtherRequest("amount");
    }
    let is_part = |part: &WantedPart| {
        view.splits.iter().any(|split| split.seller == part.seller.as_str() && split.amount == part.amount)
    };
    if parts.is_some_and(|parts| parts.len() != view.splits.len() || !parts.iter().all(is_part)) {
        return Verdict::OtherRequest("splits");
    }
    let answer = known.has_ended.then(|| stored::operation(view));
    Verdict::Known { operation_id: view.operation_id, answer }
}

/// What is to be claimed.
struct Claimed {
    amount: Money,
    aim: Aim,
    parts: Vec<Part>,
}

fn capture(
    state: &State,
    amount: Option<i64>,
    last: bool,
    wanted: Option<&[WantedPart]>,
) -> Result<Claimed, Problem> {
    let of = held(state, &[PaymentStatus::Authorized, PaymentStatus::PartiallyCaptured], "captured")?;
    let payment = &state.payment;
    let left = payment.authorized_amount - payment.captured_amount;
    let amount = within(amount.or(sum(wanted)), left, Code::CaptureExceedsHold, "capturable_amount")?;
    let rooms: Vec<Room> =
        state.splits.iter().map(|split| Room { whole: split.amount, done: split.captured }).collect();
    let shares = divided(state, &rooms, amount, wanted)?;
    let fee = |split: &SplitState, share: i64| {
        fee_at(split, split.captured + share) - fee_at(split, split.captured)
    };
    Ok(Claimed {
        amount: Money::new(amount, payment.currency),
        aim: Aim::Capture { of, captured_before: payment.captured_amount, last: last || amount == left },
        parts: parts(state, &shares, fee),
    })
}

fn void(state: &State) -> Result<Claimed, Problem> {
    use PaymentStatus::{Authorized, PartiallyCaptured, RequiresAction};
    let of = held(state, &[RequiresAction, Authorized, PartiallyCaptured], "voided")?;
    let payment = &state.payment;
    Ok(Claimed {
        amount: Money::new(payment.amount - payment.captured_amount, payment.currency),
        aim: Aim::Void { of, captured_before: payment.captured_amount },
        parts: Vec::new(),
    })
}

fn refund(
    state: &State,
    amount: Option<i64>,
    wanted: Option<&[WantedPart]>,
    returns_fee: bool,
) -> Result<Claimed, Problem> {
    let payment = &state.payment;
    if payment.captured_amount == 0 {
        return Err(not_possible(state, "refunded", "nothing of it was captured"));
    }
    let Some(of) = state.psp_reference.clone() else {
        return Err(not_possible(state, "refunded", "the PSP has not told us of it"));
    };
    let given = payment.refunded_amount + payment.refund_reserved_amount;
    // what a bank took may be more than was left
    let left = (payment.captured_amount - given - payment.disputed_amount).max(0);
    let amount = within(amount.or(sum(wanted)), left, Code::RefundExceedsCaptured, "refundable_amount")
        .map_err(|problem| {
            problem
                .extension("refund_reserved_amount", payment.refund_reserved_amount)
                .extension("refunded_amount", payment.refunded_amount)
                .extension("disputed_amount", payment.disputed_amount)
        })?;
    let rooms: Vec<Room> = state
        .splits
        .iter()
        .map(|split| Room { whole: split.captured, done: split.gone().min(split.captured) })
        .collect();
    let shares = divided(state, &rooms, amount, wanted)?;
    let fee = |split: &SplitState, share: i64| {
        let before = split.gone();
        let next = fee_at(split, before + share) - fee_at(split, before);
        let left = fee_at(split, split.captured) - split.refunded_fee - split.disputed_fee;
        if returns_fee { next.min(left) } else { 0 }
    };
    Ok(Claimed {
        amount: Money::new(amount, payment.currency),
        aim: Aim::Refund { of },
        parts: parts(state, &shares, fee),
    })
}

/// The PSP's object of what is held, if the payment stands so and nothing else is changing it.
fn held(state: &State, standing: &[PaymentStatus], done: &str) -> Result<PspReference, Problem> {
    if !standing.contains(&state.payment.status) {
        return Err(not_possible(state, done, &format!("it is {}", state.payment.status.as_str())));
    }
    if let Some((operation, kind)) = state.open {
        return Err(Problem::new(Code::OperationUnderWay)
            .detail(format!("a {} of the payment is under way: wait for it to end", kind.as_str()))
            .extension("operation_id", operation.to_string()));
    }
    state.psp_reference.clone().ok_or_else(|| not_possible(state, done, "the PSP has not told us of it"))
}

fn not_possible(state: &State, done: &str, because: &str) -> Problem {
    Problem::new(Code::PaymentStateConflict)
        .detail(format!("the payment cannot be {done}: {because}"))
        .extension("payment_status", Value::from(state.payment.status.as_str()))
}

fn sum(wanted: Option<&[WantedPart]>) -> Option<i64> {
    wanted.map(|wanted| wanted.iter().fold(0_i64, |sum, part| sum.saturating_add(part.amount)))
}

/// The amount that is asked for, or all that is left; refused where that is less.
fn within(amount: Option<i64>, left: i64, code: Code, name: &'static str) -> Result<i64, Problem> {
    match amount {
        None if left > 0 => Ok(left),
        Some(amount) if amount <= left => Ok(amount),
        amount => Err(Problem::new(code)
            .detail(match amount {
                Some(amount) => format!("{amount} is more than the {left} that are left"),
                None => "nothing is left".to_owned(),
            })
            .extension(name, left)),
    }
}

/// What a split may take in all, and what it has.
#[derive(Clone, Copy)]
struct Room {
    whole: i64,
    done: i64,
}

/// How `amount` falls on the splits: as it is wanted, or in proportion.
fn divided(
    state: &State,
    rooms: &[Room],
    amount: i64,
    wanted: Option<&[WantedPart]>,
) -> Result<Vec<i64>, Problem> {
    let Some(wanted) = wanted else {
        let parts: Vec<money::Part> =
            rooms.iter().map(|room| money::Part { whole: room.whole, done: room.done }).collect();
        return divide(amount, &parts)
            .ok_or_else(|| Problem::internal("the splits have no room for what the payment has"));
    };
    let mut shares = vec![0; rooms.len()];
    for (index, part) in wanted.iter().enumerate() {
        let field = |name: &str| format!("splits[{index}].{name}");
        let at = state.splits.iter().position(|split| split.seller == part.seller);
        let Some(at) = at else {
            return Err(Problem::new(Code::SplitExceedsSeller)
                .field(field("seller"), format!("{} has no part in the payment", part.seller)));
        };
        let left = rooms[at].whole - rooms[at].done;
        if part.amount > left {
            return Err(Problem::new(Code::SplitExceedsSeller).field(
                field("amount"),
                format!("{} is more than the {left} that are left of it", part.amount),
            ));
        }
        shares[at] = part.amount;
    }
    Ok(shares)
}

/// The platform's part of the first `amount` of a split: rounded down, and all of it in the end.
fn fee_at(split: &SplitState, amount: i64) -> i64 {
    let fee = i128::from(split.platform_fee) * i128::from(amount) / i128::from(split.amount.max(1));
    i64::try_from(fee).unwrap_or(split.platform_fee)
}

fn parts(state: &State, shares: &[i64], fee: impl Fn(&SplitState, i64) -> i64) -> Vec<Part> {
    let shares = state.splits.iter().zip(shares).filter(|(_, share)| **share > 0);
    shares
        .map(|(split, &share)| Part {
            split_no: split.split_no,
            seller: split.seller.clone(),
            amount: share,
            platform_fee: fee(split, share).clamp(0, share),
        })
        .collect()
}

fn accept(state: &State, follow: &Follow, claimed: Claimed) -> Accepted {
    let Claimed { amount, aim, parts } = claimed;
    let (payment, kind) = (&state.payment, follow.want.kind());
    let (order, key) = (state.order_id.as_str(), follow.key.as_str());
    let id = operation_id(state.merchant, order, payment.ordinal, kind.as_str(), key);
    let split = |part: &Part| SplitView {
        seller: part.seller.to_string(),
        amount: part.amount,
        platform_fee: part.platform_fee,
    };
    let view = OperationView {
        operation_id: id,
        payment_id: Some(payment.payment_id),
        payout_id: None,
        kind,
        status: Standing::Processing,
        amount: amount.minor,
        currency: amount.currency,
        last: match aim {
            Aim::Capture { last, .. } => Some(last),
            Aim::Authorize { .. } | Aim::Void { .. } | Aim::Refund { .. } | Aim::Payout { .. } => None,
        },
        splits: parts.iter().map(split).collect(),
        failure: None,
        created_at: state.now,
        updated_at: state.now,
    };
    let (requested, mut told) = (requested(kind), payment.clone());
    if kind == OperationKind::Refund {
        told.refund_reserved_amount += amount.minor;
    }
    Accepted {
        begun: Begun {
            errand: Errand {
                expected: Expected { operation_id: id, amount, aim },
                order_id: state.order_id.clone(),
                method: Some(state.method.clone()),
            },
            fence: 1,
            psp_account_id: payment.psp_account_id,
        },
        kind,
        payment_id: payment.payment_id,
        currency: amount.currency,
        day: state.now.date(),
        parts,
        draws: Vec::new(),
        event: outbox::of_operation(requested, &told, &view, None),
    }
}

const fn requested(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Authorize => outbox::CREATED,
        OperationKind::Capture => "payment.capture_requested",
        OperationKind::Void => "payment.void_requested",
        OperationKind::Refund => "payment.refund_requested",
        OperationKind::Payout => outbox::PAYOUT_CREATED,
    }
}

#[cfg(test)]
mod tests;
