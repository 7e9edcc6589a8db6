//! The engine's protocol, checked exhaustively: one operation, workers that die or stand still past their lease, a network that
//! loses, delays and doubles, and a PSP with or without idempotency whose webhooks come before the answer, after it, twice
//! or never.
//!
//! Nothing is decided here that the product decides: the model moves by its functions. What a finding means for the rows is
//! `operation::decide`, what a resolver does next is `resolve::next_step` and what it makes of the outcome
//! `resolve::finding_of`, whether a try may be sent again and what follows from an answer is `psp::stripe::next`, what an
//! object of the PSP's comes to is `Evidence::judge`, and what a webhook says `webhook::word_of`. Only SQL and the world
//! outside are written down once more, in `books.rs` and in `psp.rs`; what can happen when is in `rules.rs`.
//!
//! Assumed, beside what `rules.rs` says of time: a deadline is shorter than a lease, no request is on the network for as long
//! as the margin of the PSP's window, and a network doubles only
//! what the PSP has executed, and only where that keeps keys.

mod books;
mod psp;
mod rules;
mod world;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use self::psp::{Psp, Shape};
use self::rules::Rules;
use self::world::{Clock, Left, Stage, Step, Worker, World};
use crate::operation::{Finding, OperationKind, OperationStatus};
use crate::psp::{Idempotency, Outcome};

/// How often workers die.
const CRASHES: u8 = 2;
/// How often the operation is taken over before the clock moves on.
const TAKEOVERS: u8 = 1;
/// How often it has to be taken over to be given up: once to find it unknown, and once more.
const GIVING_UP: u8 = 2;
/// How often it is taken over at last, where also one who dies or stands still has a successor.
const LAST_TAKEOVERS: u8 = GIVING_UP + CRASHES + 1;

struct Protocol {
    rules: Rules,
    /// How often the network or the PSP does something that it should not.
    faults: u8,
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let first = Worker { fence: 1, taken: None, is_overdue: false, stage: Stage::Ready(None) };
        vec![World {
            books: self.rules.ledger.claimed(),
            workers: vec![first],
            strays: 0,
            psp: Psp::new(self.rules.ledger.kind),
            clock: Clock::Young,
            left: Left { crashes: CRASHES, faults: self.faults, takeovers: TAKEOVERS },
            doubtful: 0,
            broken: None,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.rules.steps(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        Some(self.rules.after(world, step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = rules_of_money();
        properties.extend(rules_of_the_protocol());
        properties.extend(sights(self.rules.idempotency));
        properties
    }
}

fn rules_of_money() -> Vec<Property<Protocol>> {
    use OperationStatus::{Declined, Succeeded};
    vec![
        Property::always("the PSP does it at most once", |_, world: &World| world.psp.done <= 1),
        Property::always("what succeeded was done", |_, world: &World| {
            world.books.status != Succeeded || world.psp.done > 0
        }),
        Property::always("what was declined was not done, nor can it be any more", |_, world: &World| {
            let is_open = world.psp.objects.iter().any(|shape| matches!(shape, Shape::Open | Shape::Pending));
            world.books.status != Declined || (world.psp.done == 0 && !is_open)
        }),
        Property::always("it is posted exactly when it succeeded, and once", |model, world: &World| {
            let is_refund = model.rules.ledger.kind == OperationKind::Refund;
            let is_posted = world.books.status == Succeeded || (is_refund && world.books.status == Declined);
            world.books.postings == u8::from(is_posted)
        }),
        Property::always("there is no break", |_, world: &World| !world.books.has_break),
    ]
}

fn rules_of_the_protocol() -> Vec<Property<Protocol>> {
    vec![
        Property::always("no rule of a step is broken", |_, world: &World| world.broken.is_none()),
        Property::always("where the PSP keeps no keys, nothing is sent that may have been executed", {
            |model: &Protocol, world: &World| {
                model.rules.idempotency == Idempotency::Native || world.doubtful <= 1
            }
        }),
        Property::always("the answer is final exactly when the operation has ended", |_, world: &World| {
            let ended = matches!(world.books.status, OperationStatus::Succeeded | OperationStatus::Declined);
            world.books.answer.is_some() == ended
        }),
        // take-overs and the clock are counted down, so what can always go on comes to an end
        Property::always("what has not ended can go on by itself", |model: &Protocol, world: &World| {
            !world.books.status.is_open() || model.rules.can_go_on(world)
        }),
    ]
}

/// What has to be seen, or the model shows little.
fn sights(idempotency: Idempotency) -> Vec<Property<Protocol>> {
    use OperationStatus::{Declined, NeedsReview, Succeeded, Unknown};
    let mut sights = vec![
        Property::sometimes("it succeeds", |_, world: &World| world.books.status == Succeeded),
        Property::sometimes("it is declined", |_, world: &World| world.books.status == Declined),
        Property::sometimes("it is unknown", |_, world: &World| world.books.status == Unknown),
        Property::sometimes("a person is asked", |_, world: &World| world.books.status == NeedsReview),
        Property::sometimes("a sender died, and its request is done after its successor took over", {
            |_, world: &World| {
                let successor = world.workers.iter().any(|worker| worker.fence > 1);
                world.left.crashes < CRASHES && world.strays > 0 && successor
            }
        }),
        Property::sometimes("somebody who was superseded knows better than the books", |_, world: &World| {
            let knows = |worker: &Worker| {
                let is_superseded = worker.fence < world.books.fence;
                is_superseded
                    && matches!(worker.stage, Stage::Answered(Finding::Answer(Outcome::Succeeded(_))))
            };
            world.books.status.is_open() && world.workers.iter().any(knows)
        }),
        Property::sometimes("a webhook comes before the answer", |_, world: &World| {
            let waits = |worker: &Worker| worker.fence == 1 && matches!(worker.stage, Stage::Answered(_));
            world.books.status == Succeeded && world.workers.iter().any(waits)
        }),
        Property::sometimes("a webhook comes after the answer", |_, world: &World| {
            world.books.status == Succeeded && world.books.fence == 1 && !world.psp.webhooks.is_empty()
        }),
    ];
    if idempotency == Idempotency::Native {
        sights
            .push(Property::sometimes("a request is sent again that may be executed", |_, world: &World| {
                world.doubtful > 1
            }));
    }
    sights
}

/// Goes through every world there is, and shows the way to one that breaks a rule.
fn check(kind: OperationKind, idempotency: Idempotency, faults: u8, least: usize) {
    let begun = std::time::Instant::now();
    let protocol = Protocol { rules: Rules::new(kind, idempotency), faults };
    let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!(
        "{kind:?} {idempotency}: {states} states, {} steps deep, in {:?}",
        checker.max_depth(),
        begun.elapsed()
    );
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            Expectation::Sometimes => {
                assert!(found.is_some(), "{kind:?} {idempotency}: never seen: {}", property.name);
            }
            Expectation::Always | Expectation::Eventually => {
                let way = found.map(|path| (path.last_state().clone(), path.into_actions()));
                assert!(way.is_none(), "{kind:?} {idempotency}: not so: {}\n{way:#?}", property.name);
            }
        }
    }
    assert!(checker.is_done(), "not every world was seen");
    assert!(states >= least, "only {states} states");
}

#[test]
fn a_charge_is_made_at_most_once_where_the_psp_keeps_keys() {
    check(OperationKind::Authorize, Idempotency::Native, 2, 150_000);
}

#[test]
fn a_charge_is_made_at_most_once_where_the_psp_finds_by_reference() {
    check(OperationKind::Authorize, Idempotency::Lookup, 2, 55_000);
}

#[test]
fn a_charge_is_sent_at_most_once_where_the_psp_can_do_neither() {
    check(OperationKind::Authorize, Idempotency::None, 2, 20_000);
}

#[test]
fn a_capture_is_made_at_most_once_whatever_the_psp_keeps() {
    check(OperationKind::Capture, Idempotency::Native, 1, 32_000);
    check(OperationKind::Capture, Idempotency::Lookup, 1, 10_000);
    check(OperationKind::Capture, Idempotency::None, 1, 10_000);
}

#[test]
fn a_refund_is_made_at_most_once_whatever_the_psp_keeps() {
    check(OperationKind::Refund, Idempotency::Native, 1, 45_000);
    check(OperationKind::Refund, Idempotency::Lookup, 1, 17_000);
    check(OperationKind::Refund, Idempotency::None, 1, 8_000);
}
