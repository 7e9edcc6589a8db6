//! Counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::http::Operation;

/// What happened since the sandbox started.
#[derive(Default)]
pub struct Stats {
    calls: [AtomicU64; Operation::ALL.len()],
    open: AtomicU64,
    replays: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

/// A call that is not answered yet.
pub struct OpenCall<'a>(&'a Stats);

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stats {
    /// A call is open for as long as what is returned.
    pub fn open(&self) -> OpenCall<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenCall(self)
    }

    /// Calls that are open now.
    pub fn open_calls(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// A call came.
    pub fn called(&self, operation: Operation) {
        self.calls[operation as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A saved answer was given again.
    pub fn replayed(&self) {
        self.replays.fetch_add(1, Ordering::Relaxed);
    }

    /// A fault struck.
    pub fn fault(&self, name: &'static str) {
        *self.faults_locked().entry(name).or_default() += 1;
    }

    fn faults_locked(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls by operation, of those that came at all.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        let all = Operation::ALL.iter().zip(&self.calls);
        all.map(|(operation, count)| (operation.name(), count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Faults by name.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults_locked().clone()
    }

    /// Answers given again.
    pub fn replays(&self) -> u64 {
        self.replays.load(Ordering::Relaxed)
    }

    /// Starts over.
    pub fn clear(&self) {
        self.faults_locked().clear();
        self.replays.store(0, Ordering::Relaxed);
        for count in &self.calls {
            count.store(0, Ordering::Relaxed);
        }
    }
}
