//! Which operation a settlement line is about. Pure: the same line and operations always come to the same decision, and
//! a tie or a contradiction is never guessed.

use std::collections::{HashMap, HashSet};

use money::{Currency, Money, OperationId, PaymentId};
use uuid::Uuid;

use crate::break_::BreakKind;
use crate::statement::{Line, LineKind};

/// What a line says was done to a buyer's money, or to a seller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It was taken.
    Capture,
    /// It was given back.
    Refund,
    /// It was given back and did not reach the buyer.
    RefundFailure,
    /// The buyer's bank took it.
    Chargeback,
    /// The bank returned it.
    ChargebackReversal,
    /// It was sent to a seller.
    Payout,
    /// It did not arrive there, or came back.
    PayoutReversal,
}

impl Effect {
    const ALL: [Self; 7] = [
        Self::Capture,
        Self::Refund,
        Self::RefundFailure,
        Self::Chargeback,
        Self::ChargebackReversal,
        Self::Payout,
        Self::PayoutReversal,
    ];

    /// Whether it is missed where no file has it: what we had the PSP do, which is then settled.
    pub const fn is_awaited(self) -> bool {
        match self {
            Self::Capture | Self::Refund | Self::Payout => true,
            Self::RefundFailure | Self::Chargeback | Self::ChargebackReversal | Self::PayoutReversal => false,
        }
    }

    /// Those that are missed where no file has them.
    pub fn awaited() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|effect| effect.is_awaited())
    }

    /// The effect that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == word)
    }

    /// The effect of lines of this kind; none where no operation has it.
    pub const fn of(kind: LineKind) -> Option<Self> {
        match kind {
            LineKind::Capture => Some(Self::Capture),
            LineKind::Refund => Some(Self::Refund),
            LineKind::RefundFailure => Some(Self::RefundFailure),
            LineKind::Chargeback => Some(Self::Chargeback),
            LineKind::ChargebackReversal => Some(Self::ChargebackReversal),
            LineKind::Payout => Some(Self::Payout),
            LineKind::PayoutReversal => Some(Self::PayoutReversal),
            LineKind::Fee | LineKind::Adjustment => None,
        }
    }

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::RefundFailure => "refund_failure",
            Self::Chargeback => "chargeback",
            Self::ChargebackReversal => "chargeback_reversal",
            Self::Payout => "payout",
            Self::PayoutReversal => "payout_reversal",
        }
    }

    /// 1 where it adds to our balance at the PSP.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Capture | Self::RefundFailure | Self::ChargebackReversal | Self::PayoutReversal => 1,
            Self::Refund | Self::Chargeback | Self::Payout => -1,
        }
    }

    /// Whether it undoes what an operation has done.
    pub const fn takes_back(self) -> bool {
        match self {
            Self::RefundFailure | Self::ChargebackReversal | Self::PayoutReversal => true,
            Self::Capture | Self::Refund | Self::Chargeback | Self::Payout => false,
        }
    }

    /// Which operations it is an effect of.
    pub const fn of_operation(self) -> Self {
        match self {
            Self::Capture => Self::Capture,
            Self::Refund | Self::RefundFailure => Self::Refund,
            Self::Chargeback | Self::ChargebackReversal => Self::Chargeback,
            Self::Payout | Self::PayoutReversal => Self::Payout,
        }
    }
}

/// How an operation stands at ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It did not succeed, or not yet. A line about it is evidence that it did.
    NotSucceeded,
    /// It succeeded, and is in the ledger.
    Succeeded,
    /// It succeeded, and the PSP took it back: both are in the ledger. Or we heard of it only when it had come back: then
    /// neither is, and the two lines cancel each other.
    Reversed,
}

impl Standing {
    /// Whether what a line says of the operation is in the ledger.
    const fn has(self, effect: Effect) -> bool {
        match self {
            Self::NotSucceeded => false,
            Self::Succeeded => !effect.takes_back(),
            Self::Reversed => true,
        }
    }
}

/// An operation, as far as a line can be about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub operation_id: OperationId,
    /// The operation that the PSP was told of with its object: of a capture on its own, the authorisation.
    pub named_id: OperationId,
    /// The payment that it is part of; none of a payout.
    pub payment_id: Option<PaymentId>,
    /// The payment's order.
    pub order_id: Option<String>,
    /// What it does: a capture, a refund, a chargeback or a payout.
    pub effect: Effect,
    /// How it stands.
    pub standing: Standing,
    /// Whether it may still succeed.
    pub is_open: bool,
    /// The PSP's name of its object, where we were told.
    pub psp_reference: Option<String>,
    /// How much it moves.
    pub amount: Money,
    /// What of the PSP's fee on it is booked already, in minor units; of what is settled with a line, nothing.
    pub fee: i64,
    /// What of that it returned.
    pub returned_fee: i64,
    /// Effects of which a line is tied to it already.
    pub tied: Vec<Effect>,
}

/// How a line named its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// By the PSP's reference.
    PspReference,
    /// By ours, which the PSP gave back.
    OurReference,
}

impl Rule {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PspReference => "psp_reference",
            Self::OurReference => "our_reference",
        }
    }
}

/// A line and the operation that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tie<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// What the line says of it.
    pub effect: Effect,
    /// What tied them.
    pub rule: Rule,
}

impl Tie<'_> {
    /// What tells it from others: an operation has one for each effect.
    pub const fn key(&self) -> (OperationId, Effect) {
        (self.operation.operation_id, self.effect)
    }

    /// What the match is about: a payment, or the payout that the operation is.
    pub fn about(&self) -> Uuid {
        self.operation.payment_id.map_or(self.operation.operation_id.as_uuid(), |id| id.as_uuid())
    }

    /// What we say that the line should, signed as it changes our balance at the PSP; none where that does not fit.
    pub const fn expected(&self) -> Option<i64> {
        self.operation.amount.minor.checked_mul(self.effect.sign())
    }

    /// What of the line's fee is booked already, signed as the line's fee is.
    pub const fn booked_fee(&self) -> i64 {
        match self.effect {
            Effect::Chargeback => self.operation.fee,
            Effect::ChargebackReversal => self.operation.returned_fee.saturating_neg(),
            Effect::Capture
            | Effect::Refund
            | Effect::RefundFailure
            | Effect::Payout
            | Effect::PayoutReversal => 0,
        }
    }
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It explains itself: a fee, or a payout of the PSP's own to our bank.
    Plain,
    /// It says what we say.
    Match(Tie<'a>),
    /// It says of an operation what has not happened at ours: evidence, to be applied first.
    Wait(Tie<'a>),
    /// It is about this operation, and says something else.
    Differs(Tie<'a>, Difference),
    /// It is about nothing that we could tie it to.
    Unexplained(Unexplained<'a>),
}

/// How a line and its operation differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// In the amount, of one currency.
    Amount,
    /// In the currency.
    Currency,
}

/// A line tied to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexplained<'a> {
    /// What break it is.
    pub kind: BreakKind,
    /// The operation that comes nearest, for the person who looks.
    pub about: Option<&'a Operation>,
    /// Why, in a sentence.
    pub because: String,
}

/// Operations, found by the names that lines call them.
#[derive(Debug, Default)]
pub struct Candidates {
    operations: Vec<Operation>,
    by_id: HashMap<OperationId, usize>,
    by_name: HashMap<OperationId, Vec<usize>>,
    by_reference: HashMap<String, Vec<usize>>,
}

impl Candidates {
    /// Adds operations; one that is there already is not added twice.
    pub fn add(&mut self, operations: impl IntoIterator<Item = Operation>) {
        for operation in operations {
            if self.by_id.contains_key(&operation.operation_id) {
                continue;
            }
            let index = self.operations.len();
            self.by_id.insert(operation.operation_id, index);
            self.by_name.entry(operation.named_id).or_default().push(index);
            if let Some(reference) = &operation.psp_reference {
                self.by_reference.entry(reference.clone()).or_default().push(index);
            }
            self.operations.push(operation);
        }
    }

    /// Whether an operation is known by this name.
    pub fn knows(&self, name: OperationId) -> bool {
        self.by_name.contains_key(&name)
    }

    /// Whether a line names a payout of ours, by either name.
    fn pays_out(&self, line: &Line) -> bool {
        let theirs = reference_of(line).into_iter().flat_map(|name| self.by_reference(name, Effect::Payout));
        let ours = line.operation_id.into_iter().flat_map(|name| self.by_name(name));
        theirs.chain(ours).any(|operation| operation.effect == Effect::Payout)
    }

    fn by_name(&self, name: OperationId) -> impl Iterator<Item = &Operation> {
        self.by_name.get(&name).into_iter().flatten().filter_map(|&index| self.operations.get(index))
    }

    fn by_reference<'a>(&'a self, reference: &str, effect: Effect) -> impl Iterator<Item = &'a Operation> {
        self.by_reference
            .get(reference)
            .into_iter()
            .flatten()
            .filter_map(|&index| self.operations.get(index))
            .filter(move |operation| operation.effect == effect.of_operation())
    }
}

/// Ties that lines of the same batch have made already.
pub type Ties = HashSet<(OperationId, Effect)>;

/// The PSP's name of the operation that a line is about.
pub fn reference_of(line: &Line) -> Option<&str> {
    match line.kind {
        LineKind::Refund
        | LineKind::RefundFailure
        | LineKind::Chargeback
        | LineKind::ChargebackReversal
        | LineKind::Payout
        | LineKind::PayoutReversal => line.psp_source.as_deref(),
        LineKind::Capture | LineKind::Fee | LineKind::Adjustment => line.psp_reference.as_deref(),
    }
}

/// What becomes of `line`, given the operations that its names find and the ties that lines before it have made. `refused`
/// is why `payment-service` would not apply it as evidence, if it was asked.
pub fn decide<'a>(
    line: &Line,
    candidates: &'a Candidates,
    ties: &Ties,
    refused: Option<&str>,
) -> Decision<'a> {
    let explains_itself = match line.kind {
        LineKind::Fee => true,
        // what is none of ours is the PSP's own
        LineKind::Payout | LineKind::PayoutReversal => !candidates.pays_out(line),
        _ => false,
    };
    if explains_itself {
        return Decision::Plain;
    }
    let Some(effect) = Effect::of(line.kind) else {
        let because = format!("no operation of ours is a {}", line.category);
        return Decision::Unexplained(Unexplained { kind: BreakKind::UnknownToUs, about: None, because });
    };
    match tie(line, candidates, ties, effect) {
        Err(unexplained) => Decision::Unexplained(unexplained),
        Ok(tie) => compare(line, tie, refused),
    }
}

/// What a person looks at who wonders about a line that is tied to nothing: a capture of the payment that it is part of.
pub fn paid<'a>(line: &Line, captures: &'a Candidates) -> Option<&'a Operation> {
    let looked_at = match Effect::of(line.kind) {
        None => true,
        Some(effect) => matches!(effect.of_operation(), Effect::Chargeback | Effect::Refund),
    };
    let reference = line.psp_reference.as_deref().filter(|_| looked_at)?;
    captures.by_reference(reference, Effect::Capture).next()
}

/// What break a line is that is tied to nothing, where the payment that it is part of is ours.
pub const fn unseen(kind: LineKind) -> BreakKind {
    match kind {
        LineKind::Refund => BreakKind::RefundWithoutRefund,
        LineKind::Chargeback => BreakKind::ChargebackUnseen,
        LineKind::Capture
        | LineKind::RefundFailure
        | LineKind::ChargebackReversal
        | LineKind::Fee
        | LineKind::Payout
        | LineKind::PayoutReversal
        | LineKind::Adjustment => BreakKind::UnknownToUs,
    }
}

fn compare<'a>(line: &Line, tie: Tie<'a>, refused: Option<&str>) -> Decision<'a> {
    let operation = tie.operation;
    match (operation.standing.has(tie.effect), refused) {
        (false, None) => Decision::Wait(tie),
        (false, Some(why)) => Decision::Unexplained(Unexplained {
            kind: BreakKind::Status,
            about: Some(operation),
            because: format!("it did not succeed at ours and was not changed: {why}"),
        }),
        (true, _) if line.currency != operation.amount.currency => {
            Decision::Differs(tie, Difference::Currency)
        }
        (true, _) if tie.expected() != Some(line.gross) => Decision::Differs(tie, Difference::Amount),
        (true, _) => Decision::Match(tie),
    }
}

/// The one operation that the line names, by the PSP's reference, else by ours.
fn tie<'a>(
    line: &Line,
    candidates: &'a Candidates,
    ties: &Ties,
    effect: Effect,
) -> Result<Tie<'a>, Unexplained<'a>> {
    let unknown = |about, because| Unexplained { kind: BreakKind::UnknownToUs, about, because };
    let reference = reference_of(line);
    let theirs: Vec<&Operation> =
        reference.into_iter().flat_map(|name| candidates.by_reference(name, effect)).collect();
    let ours: Vec<&Operation> = line.operation_id.into_iter().flat_map(|id| candidates.by_name(id)).collect();
    match (theirs.as_slice(), ours.as_slice()) {
        ([one, ..], _) => {
            if let Some(named) = line.operation_id.filter(|named| *named != one.named_id) {
                return Err(unknown(
                    Some(one),
                    format!("the PSP's reference is of operation {}, ours names {named}", one.named_id),
                ));
            }
            let operation = one_of(line, &theirs, ties, effect)
                .map_err(|other| unknown(None, several(one.operation_id, other)))?;
            Ok(Tie { operation, effect, rule: Rule::PspReference })
        }
        ([], [_, ..]) => {
            let operation = one_of(line, &ours, ties, effect)
                .map_err(|other| unknown(None, several(ours[0].operation_id, other)))?;
            by_our_reference(line.kind, operation, reference, effect)
        }
        ([], []) => Err(unknown(
            None,
            match (line.operation_id, reference) {
                (Some(named), _) => format!("operation {named} is none of ours"),
                (None, Some(reference)) => format!("{reference} is of no operation of ours"),
                (None, None) => "it names nothing of ours".to_owned(),
            },
        )),
    }
}

fn several(one: OperationId, other: OperationId) -> String {
    format!("the PSP's reference is of operations {one} and {other}")
}

/// Which of several operations of one name the line is about: the captures of one payment, of which those of the line's
/// amount that no line is tied to yet are all alike, and the oldest is as good as any. Where that finds none, there must
/// have been only one; else another of them is named, for the person who looks.
fn one_of<'a>(
    line: &Line,
    named: &[&'a Operation],
    ties: &Ties,
    effect: Effect,
) -> Result<&'a Operation, OperationId> {
    let [first, second, ..] = named else {
        return named.first().copied().ok_or(OperationId::from_uuid(uuid::Uuid::nil()));
    };
    if named.iter().any(|operation| operation.payment_id != first.payment_id) {
        return Err(second.operation_id);
    }
    let is_free = |operation: &Operation| {
        !operation.tied.contains(&effect) && !ties.contains(&(operation.operation_id, effect))
    };
    let says = Money::new(line.gross.saturating_mul(effect.sign()), line.currency);
    let of_amount = |operation: &&Operation| operation.amount == says;
    // one that ended without having been done is what a line is about only where there is no other
    let has_happened = |operation: &&Operation| operation.standing.has(effect);
    let is_possible = |operation: &&Operation| has_happened(operation) || operation.is_open;
    let named: Vec<&Operation> = match named.iter().any(&is_possible) {
        true => named.iter().copied().filter(&is_possible).collect(),
        false => named.to_vec(),
    };
    let mut free = named.iter().copied().filter(|operation| is_free(operation));
    let fits = free.clone().find(|operation| of_amount(operation) && has_happened(operation));
    match (fits.or(free.clone().find(of_amount)), free.next(), free.next()) {
        (Some(operation), ..) | (None, Some(operation), None) => Ok(operation),
        (None, Some(_), Some(_)) => Err(second.operation_id),
        // one line too many: it finds its place taken
        (None, None, _) => {
            let one = named.iter().copied().find(of_amount).or(named.first().copied());
            Ok(one.unwrap_or(first))
        }
    }
}

/// The PSP's reference finds nothing, ours finds `operation`.
fn by_our_reference<'a>(
    kind: LineKind,
    operation: &'a Operation,
    reference: Option<&str>,
    effect: Effect,
) -> Result<Tie<'a>, Unexplained<'a>> {
    if operation.effect != effect.of_operation() {
        return Err(Unexplained {
            kind: if operation.effect == Effect::Capture { unseen(kind) } else { BreakKind::UnknownToUs },
            about: Some(operation),
            because: format!("operation {} is of another kind", operation.operation_id),
        });
    }
    match (operation.psp_reference.as_deref(), reference) {
        (Some(known), Some(named)) if known != named && operation.standing != Standing::NotSucceeded => {
            Err(Unexplained {
                kind: twice(effect),
                about: Some(operation),
                because: format!("the operation is {known} at the PSP, this is {named}"),
            })
        }
        _ => Ok(Tie { operation, effect, rule: Rule::OurReference }),
    }
}

/// The break that a second line about one operation is.
pub const fn twice(effect: Effect) -> BreakKind {
    match effect {
        Effect::Capture => BreakKind::CapturedTwice,
        Effect::Refund => BreakKind::RefundedTwice,
        Effect::Payout => BreakKind::PaidOutTwice,
        Effect::RefundFailure | Effect::Chargeback | Effect::ChargebackReversal | Effect::PayoutReversal => {
            BreakKind::Duplicate
        }
    }
}

/// What the line says was moved, as the operation counts: positive for a refund or payout too.
pub fn found(line: &Line) -> Money {
    let sign = Effect::of(line.kind).map_or(1, Effect::sign);
    Money::new(line.gross.saturating_mul(sign), line.currency)
}

/// The currency a break about this line is in: the operation's, where there is one.
pub fn break_currency(line: &Line, operation: Option<&Operation>) -> Currency {
    operation.map_or(line.currency, |operation| operation.amount.currency)
}

#[cfg(test)]
mod tests;
