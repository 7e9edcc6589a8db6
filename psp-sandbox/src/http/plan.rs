//! What will go wrong with a call, decided before anything is done.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::answer::Answer;
use super::api::Call;
use super::refusal::{lock_timeout, too_many, unavailable};
use super::server::Peer;
use crate::core::Core;
use crate::fault::{Executes, Fault, When};
use crate::render::Renderer;
use crate::webhook::mix;
use crate::wire::ApiError;

/// What will go wrong with a call.
#[derive(Clone)]
pub struct Plan {
    /// Before it is executed.
    pub delay_ms: u64,
    /// The fault that strikes it.
    pub fault: Option<Fault>,
    /// What is done of a call that answers a saved 500.
    pub executes: Option<Executes>,
}

impl Plan {
    /// Decides it, and counts it.
    pub fn of(core: &Core, call: &Call) -> Self {
        let mut plan = Self { delay_ms: 0, fault: None, executes: None };
        let mut delays = Vec::new();
        let behaviour = core.behaviour();
        if !behaviour.latency_ms.is_zero() {
            delays.push(behaviour.latency_ms);
        }
        for (rule, number, fault) in core.faults.pick(call).faults {
            core.stats.fault(fault.name());
            // The store has noted a failure and refuses calls from now on.
            let _ = core.store.append(&crate::store::Line::Fired { rule, number });
            match fault {
                Fault::Latency { ms } => delays.push(ms),
                fault => plan.fault = Some(fault),
            }
        }
        if let Some(Fault::ServerError { saved: true, executes, .. }) = &plan.fault {
            plan.executes = Some(*executes);
        }
        if !delays.is_empty() {
            let mut rng = SmallRng::seed_from_u64(mix(core.seed, core.calls_so_far(), 0));
            let drawn = delays.iter().map(|span| u64::from(span.draw(&mut rng)));
            plan.delay_ms = drawn.sum();
        }
        plan
    }

    /// Whether the call takes longer than its execution.
    pub fn waits(&self) -> bool {
        let hangs = matches!(self.fault, Some(Fault::Hang { when: When::Before }));
        hangs || self.delay_ms > 0
    }

    /// The answer to a call that is not even looked at.
    pub fn refusal(&self, peer: &Peer, renderer: &Renderer<'_>) -> Option<Answer> {
        let answer = |error: &ApiError| Some(Answer::error(error, renderer));
        match self.fault.as_ref()? {
            Fault::DropRequest { close } => {
                peer.cut(*close);
                answer(&unavailable())
            }
            Fault::RateLimited { retry_after_seconds, reason } => Some(Answer {
                retry_after: Some(*retry_after_seconds),
                rate_limited: Some(reason.clone()),
                ..Answer::error(&too_many(), renderer)
            }),
            Fault::LockTimeout => answer(&lock_timeout()),
            Fault::Unavailable { retry_after_seconds } => {
                Some(Answer { retry_after: *retry_after_seconds, ..Answer::error(&unavailable(), renderer) })
            }
            Fault::ServerError { saved: false, should_retry, .. } => {
                Some(Answer { should_retry: *should_retry, ..Answer::error(&ApiError::internal(), renderer) })
            }
            _ => None,
        }
    }
}
