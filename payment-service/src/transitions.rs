//! Every transition of every state machine, read from the functions that the product moves by.

use std::fmt::Write as _;

use serde::Serialize;

use crate::dispute::{DisputeEvent, DisputeStatus, Funds, FundsEvent};
use crate::operation::{OperationEvent, OperationStatus};
use crate::payment::{PaymentEvent, PaymentStatus};
use crate::payout::{PayoutEvent, PayoutStatus};

/// A state machine, written down.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Of what.
    pub name: &'static str,
    /// Where it begins.
    pub initial: &'static str,
    /// Every state.
    pub states: Vec<&'static str>,
    /// Every transition, by the state it leaves.
    pub transitions: Vec<Transition>,
}

/// One way from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The state it leaves.
    pub from: &'static str,
    /// What happens.
    pub event: &'static str,
    /// The state it leads to; the same one where the event only confirms it.
    pub to: &'static str,
}

/// All of them.
pub fn machines() -> [Machine; 5] {
    [payment(), operation(), dispute(), disputed_money(), payout()]
}

fn payment() -> Machine {
    Machine {
        name: "payment",
        initial: PaymentStatus::Processing.as_str(),
        states: PaymentStatus::ALL.map(PaymentStatus::as_str).to_vec(),
        transitions: ways(
            PaymentStatus::ALL.map(|status| (status, status.as_str())),
            PaymentEvent::ALL.map(|event| (event, event.as_str())),
            |from, event| from.apply(event).ok().map(PaymentStatus::as_str),
        ),
    }
}

fn operation() -> Machine {
    Machine {
        name: "operation",
        initial: OperationStatus::Created.as_str(),
        states: OperationStatus::ALL.map(OperationStatus::as_str).to_vec(),
        transitions: ways(
            OperationStatus::ALL.map(|status| (status, status.as_str())),
            OperationEvent::ALL.map(|event| (event, event.as_str())),
            |from, event| from.apply(event).ok().map(OperationStatus::as_str),
        ),
    }
}

fn dispute() -> Machine {
    Machine {
        name: "dispute",
        initial: DisputeStatus::New.as_str(),
        states: DisputeStatus::ALL.map(DisputeStatus::as_str).to_vec(),
        transitions: ways(
            DisputeStatus::ALL.map(|status| (status, status.as_str())),
            DisputeEvent::ALL.map(|event| (event, event.as_str())),
            |from, event| from.apply(event).ok().map(DisputeStatus::as_str),
        ),
    }
}

fn disputed_money() -> Machine {
    Machine {
        name: "disputed_money",
        initial: Funds::Left.as_str(),
        states: Funds::ALL.map(Funds::as_str).to_vec(),
        transitions: ways(
            Funds::ALL.map(|funds| (funds, funds.as_str())),
            FundsEvent::ALL.map(|event| (event, event.as_str())),
            |from, event| from.apply(event).map(Funds::as_str),
        ),
    }
}

fn payout() -> Machine {
    Machine {
        name: "payout",
        initial: PayoutStatus::Processing.as_str(),
        states: PayoutStatus::ALL.map(PayoutStatus::as_str).to_vec(),
        transitions: ways(
            PayoutStatus::ALL.map(|status| (status, status.as_str())),
            PayoutEvent::ALL.map(|event| (event, event.as_str())),
            |from, event| from.apply(event).ok().map(PayoutStatus::as_str),
        ),
    }
}

/// Tries every event on every state.
fn ways<S: Copy, E: Copy, const STATES: usize, const EVENTS: usize>(
    states: [(S, &'static str); STATES],
    events: [(E, &'static str); EVENTS],
    apply: impl Fn(S, E) -> Option<&'static str>,
) -> Vec<Transition> {
    let pairs = states.into_iter().flat_map(|state| events.map(|event| (state, event)));
    pairs
        .filter_map(|((state, from), (happens, event))| {
            Some(Transition { from, event, to: apply(state, happens)? })
        })
        .collect()
}

impl Machine {
    /// The states that something leads to. The others wait for what is not built yet.
    fn reached(&self) -> impl Iterator<Item = &'static str> {
        self.states
            .iter()
            .copied()
            .filter(|state| self.initial == *state || self.transitions.iter().any(|way| way.to == *state))
    }

    /// The states that nothing leads from.
    fn finals(&self) -> impl Iterator<Item = &'static str> {
        self.reached().filter(|state| self.transitions.iter().all(|way| way.from != *state))
    }

    /// As a Mermaid state diagram, events of one way on one line.
    pub fn mermaid(&self) -> String {
        let mut out = "stateDiagram-v2\n".to_owned();
        // writing to a String cannot fail
        let _ = writeln!(out, "    [*] --> {}", self.initial);
        let mut drawn: Vec<(&str, &str)> = Vec::new();
        for way in &self.transitions {
            if drawn.contains(&(way.from, way.to)) {
                continue;
            }
            drawn.push((way.from, way.to));
            let same = self.transitions.iter().filter(|other| other.from == way.from && other.to == way.to);
            let events: Vec<&str> = same.map(|way| way.event).collect();
            let _ = writeln!(out, "    {} --> {}: {}", way.from, way.to, events.join(", "));
        }
        for state in self.finals() {
            let _ = writeln!(out, "    {state} --> [*]");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentations_pictures_are_these() {
        let told = include_str!("../../ARCHITECTURE.md");
        for machine in machines() {
            let picture = format!("```mermaid\n{}```\n", machine.mermaid());
            assert!(
                told.contains(&picture),
                "ARCHITECTURE.md does not show the {}:\n{picture}",
                machine.name
            );
        }
    }

    #[test]
    fn a_picture_has_each_way_once_with_all_its_events() {
        let way = |from, event, to| Transition { from, event, to };
        let machine = Machine {
            name: "door",
            initial: "open",
            states: vec!["open", "shut", "bricked_up", "unheard_of"],
            transitions: vec![
                way("open", "push", "shut"),
                way("open", "wind", "shut"),
                way("open", "look", "open"),
                way("shut", "mason", "bricked_up"),
            ],
        };
        assert_eq!(
            machine.mermaid(),
            "stateDiagram-v2\n    [*] --> open\n    open --> shut: push, wind\n    open --> open: look\n    \
             shut --> bricked_up: mason\n    bricked_up --> [*]\n"
        );
    }
}
