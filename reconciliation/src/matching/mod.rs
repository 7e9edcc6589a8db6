//! Which operation a settlement line is about. Pure: the same line and operations always come to the same decision, and
//! a tie or a contradiction is never guessed.

use std::collections::HashMap;

use money::{Currency, Money, OperationId, PaymentId};

use crate::break_::BreakKind;
use crate::statement::{Line, LineKind};

/// What an operation does to a buyer's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Takes it.
    Capture,
    /// Gives it back.
    Refund,
}

impl Effect {
    const fn of(kind: LineKind) -> Option<Self> {
        match kind {
            LineKind::Capture => Some(Self::Capture),
            LineKind::Refund => Some(Self::Refund),
            LineKind::Chargeback | LineKind::Fee | LineKind::Payout | LineKind::Adjustment => None,
        }
    }

    /// 1 where it adds to our balance at the PSP.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Capture => 1,
            Self::Refund => -1,
        }
    }
}

/// How an operation stands at ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It succeeded, and is in the ledger.
    Succeeded,
    /// It did not, or not yet. A line about it is evidence that it did.
    NotSucceeded,
}

/// An operation, as far as a line can be about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub operation_id: OperationId,
    /// The payment that it is part of.
    pub payment_id: PaymentId,
    /// The payment's order.
    pub order_id: String,
    /// What it does.
    pub effect: Effect,
    /// How it stands.
    pub standing: Standing,
    /// The PSP's name of its object, where we were told.
    pub psp_reference: Option<String>,
    /// How much it moves.
    pub amount: Money,
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
    /// What tied them.
    pub rule: Rule,
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It explains itself: a fee or a payout.
    Plain,
    /// It says what we say.
    Match(Tie<'a>),
    /// It says that an operation succeeded that has not at ours: evidence, to be applied first.
    Wait(&'a Operation),
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
            if let Some(reference) = &operation.psp_reference {
                self.by_reference.entry(reference.clone()).or_default().push(index);
            }
            self.operations.push(operation);
        }
    }

    /// The operation with this id.
    pub fn by_id(&self, id: OperationId) -> Option<&Operation> {
        self.by_id.get(&id).and_then(|&index| self.operations.get(index))
    }

    fn by_reference<'a>(&'a self, reference: &str, effect: Effect) -> impl Iterator<Item = &'a Operation> {
        self.by_reference
            .get(reference)
            .into_iter()
            .flatten()
            .filter_map(|&index| self.operations.get(index))
            .filter(move |operation| operation.effect == effect)
    }
}

/// The PSP's name of the operation that a line is about.
pub fn reference_of(line: &Line) -> Option<&str> {
    match line.kind {
        LineKind::Refund => line.psp_source.as_deref(),
        LineKind::Capture
        | LineKind::Chargeback
        | LineKind::Fee
        | LineKind::Payout
        | LineKind::Adjustment => line.psp_reference.as_deref(),
    }
}

/// What becomes of `line`, given the operations that its names find. `refused` is why `payment-service` would not apply
/// it as evidence, if it was asked.
pub fn decide<'a>(line: &Line, candidates: &'a Candidates, refused: Option<&str>) -> Decision<'a> {
    let effect = match line.kind {
        LineKind::Fee | LineKind::Payout => return Decision::Plain,
        LineKind::Capture | LineKind::Refund | LineKind::Chargeback | LineKind::Adjustment => {
            Effect::of(line.kind)
        }
    };
    let Some(effect) = effect else {
        let about = line
            .psp_reference
            .as_deref()
            .and_then(|reference| candidates.by_reference(reference, Effect::Capture).next());
        let because = format!("no operation of ours is a {}", line.category);
        return Decision::Unexplained(Unexplained { kind: BreakKind::UnknownToUs, about, because });
    };
    match tie(line, candidates, effect) {
        Err(unexplained) => Decision::Unexplained(unexplained),
        Ok(tie) => compare(line, tie, refused),
    }
}

fn compare<'a>(line: &Line, tie: Tie<'a>, refused: Option<&str>) -> Decision<'a> {
    let operation = tie.operation;
    match (operation.standing, refused) {
        (Standing::NotSucceeded, None) => Decision::Wait(operation),
        (Standing::NotSucceeded, Some(why)) => Decision::Unexplained(Unexplained {
            kind: BreakKind::Status,
            about: Some(operation),
            because: format!("it did not succeed at ours and was not changed: {why}"),
        }),
        (Standing::Succeeded, _) if line.currency != operation.amount.currency => {
            Decision::Differs(tie, Difference::Currency)
        }
        (Standing::Succeeded, _) if line.gross != operation.amount.minor * operation.effect.sign() => {
            Decision::Differs(tie, Difference::Amount)
        }
        (Standing::Succeeded, _) => Decision::Match(tie),
    }
}

/// The one operation that the line names, by the PSP's reference, else by ours.
fn tie<'a>(line: &Line, candidates: &'a Candidates, effect: Effect) -> Result<Tie<'a>, Unexplained<'a>> {
    let unknown = |about, because| Unexplained { kind: BreakKind::UnknownToUs, about, because };
    let reference = reference_of(line);
    let ours = line.operation_id.and_then(|id| candidates.by_id(id));
    let mut theirs = reference.into_iter().flat_map(|name| candidates.by_reference(name, effect));
    match (theirs.next(), theirs.next(), ours) {
        (Some(one), Some(other), _) => Err(unknown(
            None,
            format!("the PSP's reference is of operations {} and {}", one.operation_id, other.operation_id),
        )),
        (Some(one), None, _) => match line.operation_id {
            Some(named) if named != one.operation_id => Err(unknown(
                Some(one),
                format!("the PSP's reference is of operation {}, ours names {named}", one.operation_id),
            )),
            _ => Ok(Tie { operation: one, rule: Rule::PspReference }),
        },
        (None, _, Some(operation)) => by_our_reference(operation, reference, effect),
        (None, _, None) => Err(unknown(
            None,
            match (line.operation_id, reference) {
                (Some(named), _) => format!("operation {named} is none of ours"),
                (None, Some(reference)) => format!("{reference} is of no operation of ours"),
                (None, None) => "it names nothing of ours".to_owned(),
            },
        )),
    }
}

/// The PSP's reference finds nothing, ours finds `operation`.
fn by_our_reference<'a>(
    operation: &'a Operation,
    reference: Option<&str>,
    effect: Effect,
) -> Result<Tie<'a>, Unexplained<'a>> {
    if operation.effect != effect {
        return Err(Unexplained {
            kind: BreakKind::UnknownToUs,
            about: Some(operation),
            because: format!("operation {} is of another kind", operation.operation_id),
        });
    }
    match (operation.psp_reference.as_deref(), reference, operation.standing) {
        (Some(known), Some(named), Standing::Succeeded) if known != named => Err(Unexplained {
            kind: twice(effect),
            about: Some(operation),
            because: format!("the operation is {known} at the PSP, this is {named}"),
        }),
        _ => Ok(Tie { operation, rule: Rule::OurReference }),
    }
}

/// The break that a second line about one operation is.
pub const fn twice(effect: Effect) -> BreakKind {
    match effect {
        Effect::Capture => BreakKind::CapturedTwice,
        Effect::Refund => BreakKind::RefundedTwice,
    }
}

/// What the line says was moved, as the operation counts: positive for a refund too.
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
