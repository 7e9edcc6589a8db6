//! Idempotency keys of one account.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::event::{Snapshot, Stored};

/// A finished request as the journal writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKey {
    /// The key.
    #[serde(rename = "k")]
    pub key: Arc<str>,
    /// What was asked.
    #[serde(rename = "f")]
    pub fingerprint: u128,
    /// Milliseconds since 1970.
    #[serde(rename = "t")]
    pub created_ms: i64,
    /// HTTP status of the answer.
    #[serde(rename = "s")]
    pub status: u16,
    /// The request that was executed.
    #[serde(rename = "q")]
    pub request: Arc<str>,
    /// Body of the answer.
    #[serde(rename = "b")]
    pub body: StoredBody,
}

/// A saved body as the journal writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum StoredBody {
    /// An object without expansions.
    #[serde(rename = "o")]
    Object(Stored),
    /// Anything else.
    #[serde(rename = "t")]
    Text(Arc<str>),
}

/// A saved body.
#[derive(Clone, Debug)]
pub enum SavedBody {
    /// An object, kept as the version it was; rendering it again gives the same bytes.
    Object(Snapshot),
    /// The bytes themselves.
    Text(Arc<str>),
}

/// A saved answer.
#[derive(Clone, Debug)]
pub struct Saved {
    /// What was asked.
    pub fingerprint: u128,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// HTTP status.
    pub status: u16,
    /// The request that was executed.
    pub request: Arc<str>,
    /// The body.
    pub body: SavedBody,
}

enum Entry {
    InFlight,
    Done(Saved),
}

/// What is known about a key.
pub enum Lookup {
    /// Nothing: the request may execute.
    Fresh,
    /// It is executing.
    InFlight,
    /// It was used for something else.
    Mismatch,
    /// It was executed, with this answer.
    Replay(Saved),
}

/// All keys of an account, the oldest first to go.
#[derive(Default)]
pub struct Keys {
    entries: HashMap<Arc<str>, Entry>,
    ages: VecDeque<(i64, Arc<str>)>,
}

impl Keys {
    /// Looks a key up, dropping all that are older than `ttl_ms`.
    pub fn look_up(&mut self, key: &str, fingerprint: u128, now_ms: i64, ttl_ms: i64) -> Lookup {
        self.prune(now_ms - ttl_ms);
        match self.entries.get(key) {
            None => Lookup::Fresh,
            Some(Entry::InFlight) => Lookup::InFlight,
            Some(Entry::Done(saved)) if saved.fingerprint != fingerprint => Lookup::Mismatch,
            Some(Entry::Done(saved)) => Lookup::Replay(saved.clone()),
        }
    }

    /// Marks a key as executing.
    pub fn claim(&mut self, key: &Arc<str>) {
        self.entries.insert(Arc::clone(key), Entry::InFlight);
    }

    /// Frees a key whose request ended without a saved answer.
    pub fn release(&mut self, key: &str) {
        if matches!(self.entries.get(key), Some(Entry::InFlight)) {
            self.entries.remove(key);
        }
    }

    /// Keeps an answer.
    pub fn complete(&mut self, key: &Arc<str>, saved: Saved) {
        self.ages.push_back((saved.created_ms, Arc::clone(key)));
        self.entries.insert(Arc::clone(key), Entry::Done(saved));
    }

    /// Every saved answer, oldest first.
    pub fn saved(&self) -> impl Iterator<Item = (&Arc<str>, &Saved)> {
        self.ages.iter().filter_map(|(created_ms, key)| match self.entries.get(key) {
            Some(Entry::Done(saved)) if saved.created_ms == *created_ms => Some((key, saved)),
            _ => None,
        })
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn prune(&mut self, before_ms: i64) {
        while let Some((created_ms, key)) = self.ages.front() {
            if *created_ms > before_ms {
                break;
            }
            // A key used again after it was pruned has a younger entry, which stays.
            if let Some(Entry::Done(saved)) = self.entries.get(key)
                && saved.created_ms == *created_ms
            {
                self.entries.remove(key);
            }
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(fingerprint: u128, created_ms: i64) -> Saved {
        Saved {
            fingerprint,
            created_ms,
            status: 200,
            request: "req_1".into(),
            body: SavedBody::Text("{}".into()),
        }
    }

    #[test]
    fn a_key_is_fresh_then_in_flight_then_replayed_then_forgotten() {
        let mut keys = Keys::default();
        let key: Arc<str> = "k".into();
        assert!(matches!(keys.look_up("k", 1, 0, 100), Lookup::Fresh));
        keys.claim(&key);
        assert!(matches!(keys.look_up("k", 1, 0, 100), Lookup::InFlight));
        keys.complete(&key, saved(1, 10));
        assert!(matches!(keys.look_up("k", 1, 50, 100), Lookup::Replay(_)));
        assert!(matches!(keys.look_up("k", 2, 50, 100), Lookup::Mismatch));
        assert!(matches!(keys.look_up("k", 2, 110, 100), Lookup::Fresh));
        assert_eq!(keys.len(), 0);
    }

    #[test]
    fn a_released_key_is_fresh_and_a_finished_one_is_not_released() {
        let mut keys = Keys::default();
        let key: Arc<str> = "k".into();
        keys.claim(&key);
        keys.release("k");
        assert!(matches!(keys.look_up("k", 1, 0, 100), Lookup::Fresh));
        keys.complete(&key, saved(1, 10));
        keys.release("k");
        assert!(matches!(keys.look_up("k", 1, 20, 100), Lookup::Replay(_)));
    }
}
