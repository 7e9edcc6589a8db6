//! The PSP: what it does, what it shows, and what it remembers.

use money::{Currency, Money};

use super::books::{Ledger, operation_id, reference};
use crate::operation::OperationKind;
use crate::psp::steps::Answer;
use crate::psp::{
    Decline, Evidence, Idempotency, Judgement, PspReference, RefundEvidence, RefundState, State, Why, decline,
};
use crate::webhook::{Word, word_of};

/// How far an object of the PSP's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Shape {
    /// The money is held; what has been captured of it is what the PSP has done.
    Held,
    /// Done.
    Done,
    /// Declined, and could still be paid.
    Open,
    /// Not done, and it will not be.
    Closed,
    /// The PSP has not decided.
    Pending,
}

/// What the PSP does with a request that it executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reaction {
    /// What was asked for.
    Does,
    /// It declines.
    Declines,
    /// It decides later.
    Waits,
    /// It does what was asked for, and answers that it failed.
    BreaksAfter,
    /// It fails before it has done anything.
    BreaksBefore,
}

/// What an object showed at some moment: in a webhook, moments later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sight {
    object: usize,
    shape: Shape,
    taken: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Unused,
    /// Used, with this answer about this object.
    Saved(Reaction, usize),
    Forgotten,
}

/// The PSP, so far as one operation sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Psp {
    pub(super) objects: Vec<Shape>,
    /// How often it moved money.
    pub(super) done: u8,
    key: Key,
    /// Webhooks that it has sent and that did not come yet.
    pub(super) webhooks: Vec<Sight>,
}

impl Psp {
    pub(super) fn new(kind: OperationKind) -> Self {
        let objects = if kind == OperationKind::Capture { vec![Shape::Held] } else { Vec::new() };
        Self { objects, done: 0, key: Key::Unused, webhooks: Vec::new() }
    }

    /// What it may do with a request that comes now; that it only repeats itself is one of them.
    pub(super) fn reactions(&self, idempotency: Idempotency) -> &'static [Reaction] {
        match self.key {
            Key::Saved(..) if idempotency == Idempotency::Native => &[Reaction::Does],
            Key::Saved(..) | Key::Unused | Key::Forgotten => &[
                Reaction::Does,
                Reaction::Declines,
                Reaction::Waits,
                Reaction::BreaksAfter,
                Reaction::BreaksBefore,
            ],
        }
    }

    pub(super) const fn is_known_key(&self) -> bool {
        matches!(self.key, Key::Saved(..))
    }

    /// What may be forgotten, is.
    pub(super) fn forget(&mut self) {
        self.key = Key::Forgotten;
    }

    /// Gets the request, and answers; whether the answer is the saved one of an earlier request, too.
    pub(super) fn get(
        &mut self,
        ledger: &Ledger,
        idempotency: Idempotency,
        reaction: Reaction,
    ) -> (Answer<Judgement>, bool) {
        match self.key {
            Key::Saved(reaction, object) if idempotency == Idempotency::Native => {
                (self.answer(ledger, reaction, object, true), true)
            }
            Key::Saved(..) | Key::Unused | Key::Forgotten => {
                let object = self.execute(ledger, reaction);
                self.key = Key::Saved(reaction, object);
                (self.answer(ledger, reaction, object, false), false)
            }
        }
    }

    fn execute(&mut self, ledger: &Ledger, reaction: Reaction) -> usize {
        let kind = ledger.kind;
        let is_capture = kind == OperationKind::Capture;
        let shape = match reaction {
            Reaction::Does | Reaction::BreaksAfter => {
                self.done += 1;
                Some(Shape::Done)
            }
            Reaction::Waits => Some(Shape::Pending),
            // a refund that cannot be made leaves nothing behind
            Reaction::Declines => (kind == OperationKind::Authorize).then_some(Shape::Open),
            Reaction::BreaksBefore => None,
        };
        match shape {
            Some(shape) if !is_capture => self.objects.push(shape),
            Some(shape @ Shape::Pending) => self.objects[0] = shape,
            _ => {}
        }
        let object = self.objects.len().saturating_sub(1);
        if shape.is_some() {
            self.tell(ledger, object);
        }
        object
    }

    fn answer(
        &self,
        ledger: &Ledger,
        reaction: Reaction,
        object: usize,
        is_saved: bool,
    ) -> Answer<Judgement> {
        let now = |shape| self.judge(ledger, Sight { object, shape, taken: self.done });
        match (reaction, ledger.kind) {
            (Reaction::Does, OperationKind::Capture) => Answer::Given(now(Shape::Held)),
            (Reaction::Does, _) => Answer::Given(now(Shape::Done)),
            (Reaction::Waits, _) => Answer::Given(now(Shape::Pending)),
            (Reaction::Declines, OperationKind::Authorize) => {
                Answer::Declined { decline: declined(), object: Some(now(Shape::Open)) }
            }
            (Reaction::Declines, OperationKind::Capture) => {
                let shown = self.judge(ledger, Sight { object, shape: Shape::Held, taken: 0 });
                Answer::Rejected { decline: declined(), object: Some(shown) }
            }
            (Reaction::Declines, _) => Answer::Rejected { decline: declined(), object: None },
            (Reaction::BreaksAfter | Reaction::BreaksBefore, _) if is_saved => {
                Answer::Stuck(Why::ServerError)
            }
            (Reaction::BreaksAfter | Reaction::BreaksBefore, _) => Answer::Doubtful(Why::ServerError),
        }
    }

    /// Sends a webhook. One that decides nothing is as good as none.
    fn tell(&mut self, ledger: &Ledger, object: usize) {
        let sight = self.sight(object);
        if matches!(word_of(self.judge(ledger, sight)), Word::Ends(_)) {
            self.webhooks.push(sight);
            self.webhooks.sort_unstable();
        }
    }

    fn sight(&self, object: usize) -> Sight {
        Sight { object, shape: self.objects[object], taken: self.done }
    }

    /// What was put off is decided.
    pub(super) fn settle(&mut self, ledger: &Ledger, object: usize, is_done: bool) {
        self.done += u8::from(is_done);
        self.objects[object] = match (ledger.kind, is_done) {
            (OperationKind::Capture, _) => Shape::Held,
            (_, true) => Shape::Done,
            (OperationKind::Authorize, false) => Shape::Open,
            (_, false) => Shape::Closed,
        };
        self.tell(ledger, object);
    }

    /// Closes an object that could still be paid, and shows what it is then.
    pub(super) fn cancel(&mut self, ledger: &Ledger, reference: &PspReference) -> Answer<Judgement> {
        let Some(object) = self.named(ledger, reference) else { return Answer::Missing(declined()) };
        if self.objects[object] == Shape::Open {
            self.objects[object] = Shape::Closed;
            self.tell(ledger, object);
            return Answer::Given(self.judge(ledger, self.sight(object)));
        }
        Answer::Rejected { decline: declined(), object: Some(self.judge(ledger, self.sight(object))) }
    }

    /// The objects of the operation.
    pub(super) fn found(&self, ledger: &Ledger) -> Vec<(PspReference, Judgement)> {
        let all = 0..self.objects.len();
        all.map(|object| (reference(ledger.kind, object), self.judge(ledger, self.sight(object)))).collect()
    }

    /// What the object of that name shows.
    pub(super) fn shown(&self, ledger: &Ledger, reference: &PspReference) -> Option<Judgement> {
        self.named(ledger, reference).map(|object| self.judge(ledger, self.sight(object)))
    }

    fn named(&self, ledger: &Ledger, name: &PspReference) -> Option<usize> {
        (0..self.objects.len()).find(|object| reference(ledger.kind, *object) == *name)
    }

    /// A webhook is under way no longer.
    pub(super) fn came(&mut self, sight: Sight) {
        if let Some(place) = self.webhooks.iter().position(|webhook| *webhook == sight) {
            self.webhooks.remove(place);
        }
    }

    /// What the product makes of what an object shows.
    pub(super) fn judge(&self, ledger: &Ledger, sight: Sight) -> Judgement {
        let expected = &ledger.expected;
        let reference = reference(ledger.kind, sight.object);
        if ledger.kind == OperationKind::Refund {
            let state = match sight.shape {
                Shape::Done | Shape::Held => RefundState::Succeeded,
                Shape::Closed | Shape::Open => RefundState::Failed(None),
                Shape::Pending => RefundState::Pending,
            };
            let (operation_id, amount) = (Some(operation_id()), Ok(expected.amount));
            return RefundEvidence { reference, operation_id, payment: None, amount, state }.judge(expected);
        }
        let is_capture = ledger.kind == OperationKind::Capture;
        let taken = Money::new(i64::from(sight.taken), Currency::EUR);
        let received = if is_capture { Some(Ok(taken)) } else { None };
        let state = match sight.shape {
            Shape::Held => State::AwaitingCapture,
            Shape::Done => State::Succeeded,
            Shape::Open => State::Failed(declined()),
            Shape::Closed => State::Canceled(None),
            Shape::Pending => State::Processing,
        };
        let (operation_id, amount) = (Some(operation_id()), Ok(expected.amount));
        Evidence { reference, page: None, operation_id, amount, received, movement: None, state }
            .judge(expected)
    }
}

pub(super) fn declined() -> Decline {
    Decline { code: decline::CARD_DECLINED, decline_code: None, message: String::new() }
}
