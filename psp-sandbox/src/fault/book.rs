//! The faults in force, and the decision which of them strikes a call.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::{Fault, Matcher, Rule};
use crate::webhook::mix;

/// What a matcher may ask about a call.
pub trait CallFacts {
    /// `GET` or `POST`.
    fn method(&self) -> &str;
    /// The path.
    fn path(&self) -> &str;
    /// As in `payment_intents.create`.
    fn operation(&self) -> &str;
    /// The idempotency key.
    fn idempotency_key(&self) -> Option<&str>;
    /// Whether the call carries, or is about a PaymentIntent that carries, this pair.
    fn has_metadata(&self, key: &str, value: &str) -> bool;
}

impl Matcher {
    fn matches(&self, call: &impl CallFacts) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| {
                wanted.strip_suffix('*').map_or_else(|| wanted == value, |start| value.starts_with(start))
            })
        };
        let key = self.idempotency_key.as_deref();
        is(&self.method, call.method())
            && is(&self.path, call.path())
            && is(&self.operation, call.operation())
            && key.is_none_or(|key| call.idempotency_key() == Some(key))
            && self.metadata.iter().all(|(key, value)| call.has_metadata(key, value))
    }
}

struct LiveRule {
    rule: Rule,
    matched: AtomicU64,
    fired: AtomicU64,
}

/// A rule and what it did so far.
#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// Calls it matched.
    pub matched: u64,
    /// Calls it struck.
    pub fired: u64,
}

/// What strikes a call.
#[derive(Debug, Default)]
pub struct Picked {
    /// Latency rules that struck, and the one other fault: each with its rule and the number of the
    /// matching call it struck.
    pub faults: Vec<(u32, u64, Fault)>,
}

/// All rules in force.
pub struct FaultBook {
    rules: RwLock<Arc<Vec<Arc<LiveRule>>>>,
    any: AtomicBool,
    seed: u64,
}

impl FaultBook {
    /// No faults yet.
    pub fn new(seed: u64) -> Self {
        Self { rules: RwLock::default(), any: AtomicBool::new(false), seed }
    }

    fn rules(&self) -> Arc<Vec<Arc<LiveRule>>> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<LiveRule>>) -> T) -> T {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(Arc::make_mut(&mut rules));
        self.any.store(!rules.is_empty(), Ordering::Release);
        result
    }

    /// Adds a rule, giving it an id unless it has one. Rules are tried in the order they were added.
    pub fn add(&self, mut rule: Rule) -> Rule {
        self.change(|rules| {
            if rule.id == 0 {
                rule.id = rules.iter().map(|it| it.rule.id).max().unwrap_or_default() + 1;
            }
            rules.push(Arc::new(LiveRule {
                rule: rule.clone(),
                matched: AtomicU64::new(0),
                fired: AtomicU64::new(0),
            }));
        });
        rule
    }

    /// Lifts a rule.
    pub fn remove(&self, id: u32) -> bool {
        self.change(|rules| {
            let before = rules.len();
            rules.retain(|it| it.rule.id != id);
            rules.len() != before
        })
    }

    /// Lifts all rules and gives their ids.
    pub fn clear(&self) -> Vec<u32> {
        self.change(|rules| rules.drain(..).map(|it| it.rule.id).collect())
    }

    /// Notes that a rule struck its `number`-th matching call, as the journal tells it.
    pub fn note_fired(&self, id: u32, number: u64) {
        for live in self.rules().iter().filter(|it| it.rule.id == id) {
            live.fired.fetch_add(1, Ordering::Relaxed);
            live.matched.fetch_max(number, Ordering::Relaxed);
        }
    }

    /// Every rule and what it did.
    pub fn report(&self) -> Vec<RuleReport> {
        let rules = self.rules();
        let report = |it: &Arc<LiveRule>| RuleReport {
            rule: it.rule.clone(),
            matched: it.matched.load(Ordering::Relaxed),
            fired: it.fired.load(Ordering::Relaxed),
        };
        rules.iter().map(report).collect()
    }

    /// Decides what strikes a call: any latency, and the first other rule that strikes.
    pub fn pick(&self, call: &impl CallFacts) -> Picked {
        let mut picked = Picked::default();
        if !self.any.load(Ordering::Acquire) {
            return picked;
        }
        for live in self.rules().iter() {
            if !live.rule.matches.matches(call) {
                continue;
            }
            let Some(number) = live.strikes(self.seed) else {
                continue;
            };
            let fault = live.rule.fault.clone();
            picked.faults.push((live.rule.id, number, fault));
            if !matches!(live.rule.fault, Fault::Latency { .. }) {
                break;
            }
        }
        picked
    }
}

impl LiveRule {
    /// Counts a matching call and gives its number when the rule strikes it.
    fn strikes(&self, seed: u64) -> Option<u64> {
        let rule = &self.rule;
        let number = self.matched.fetch_add(1, Ordering::Relaxed) + 1;
        if number <= rule.skip || !(rule.nth.is_empty() || rule.nth.contains(&number)) {
            return None;
        }
        if let Some(rate) = rule.rate {
            // The number of the call decides, so that the same calls meet the same luck.
            let mut rng = SmallRng::seed_from_u64(mix(seed, u64::from(rule.id), number));
            if !rng.random_bool(rate.clamp(0.0, 1.0)) {
                return None;
            }
        }
        let limit = rule.times.unwrap_or(u64::MAX);
        let within = |fired| (fired < limit).then_some(fired + 1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.fired.fetch_update(set, get, within).ok()?;
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Call;

    impl CallFacts for Call {
        fn method(&self) -> &str {
            "POST"
        }
        fn path(&self) -> &str {
            "/v1/payment_intents"
        }
        fn operation(&self) -> &str {
            "payment_intents.create"
        }
        fn idempotency_key(&self) -> Option<&str> {
            Some("k")
        }
        fn has_metadata(&self, key: &str, value: &str) -> bool {
            (key, value) == ("order_id", "o-1")
        }
    }

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).expect("a rule")
    }

    fn pattern(book: &FaultBook, calls: usize) -> String {
        let struck = |_| {
            if book.pick(&Call).faults.is_empty() { '.' } else { 'x' }
        };
        (0..calls).map(struck).collect()
    }

    #[test]
    fn rules_strike_the_calls_they_name() {
        for (json, expected) in [
            (r#"{"fault":{"kind":"garbage_body"}}"#, "xxxx"),
            (r#"{"fault":{"kind":"garbage_body"},"times":1}"#, "x..."),
            (r#"{"fault":{"kind":"garbage_body"},"skip":2,"times":1}"#, "..x."),
            (r#"{"fault":{"kind":"garbage_body"},"nth":[2,4]}"#, ".x.x"),
            (r#"{"fault":{"kind":"garbage_body"},"match":{"method":"GET"}}"#, "...."),
            (r#"{"fault":{"kind":"garbage_body"},"match":{"path":"/v1/pay*"}}"#, "xxxx"),
            (r#"{"fault":{"kind":"garbage_body"},"match":{"metadata":{"order_id":"o-1"}}}"#, "xxxx"),
            (r#"{"fault":{"kind":"garbage_body"},"match":{"metadata":{"order_id":"o-2"}}}"#, "...."),
        ] {
            let book = FaultBook::new(1);
            book.add(rule(json));
            assert_eq!(pattern(&book, 4), expected, "{json}");
        }
    }

    #[test]
    fn the_same_seed_and_calls_give_the_same_faults() {
        let json = r#"{"fault":{"kind":"garbage_body"},"rate":0.3}"#;
        let run = |seed| {
            let book = FaultBook::new(seed);
            book.add(rule(json));
            pattern(&book, 200)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let struck = run(7).matches('x').count();
        assert!((30..=90).contains(&struck), "{struck} of 200 at 0.3");
    }
}
