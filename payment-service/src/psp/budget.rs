//! How many resends a PSP is spared: they may add a part to the load of an outage, never multiply it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::time::Instant;

use super::Settings;

/// A resend costs this many units; a call brings `resends_per_hundred_calls` of them.
const RESEND: u64 = 100;

/// The budget of each address that is called.
#[derive(Debug)]
pub(super) struct Budgets {
    settings: Settings,
    by_address: RwLock<HashMap<Box<str>, Arc<Budget>>>,
}

/// A bucket that calls and time fill, and resends empty.
#[derive(Debug)]
pub(super) struct Budget {
    per_call: u64,
    per_second: u64,
    most: u64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    units: u64,
    filled_at: Instant,
}

impl Budgets {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, by_address: RwLock::default() }
    }

    pub(super) fn of(&self, address: &str) -> Arc<Budget> {
        if let Some(budget) = self.by_address.read().unwrap_or_else(PoisonError::into_inner).get(address) {
            return Arc::clone(budget);
        }
        let mut by_address = self.by_address.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Budget::new(&self.settings, Instant::now()));
        Arc::clone(by_address.entry(address.into()).or_insert_with(fresh))
    }
}

impl Budget {
    fn new(settings: &Settings, now: Instant) -> Self {
        let most = u64::from(settings.resend_burst) * RESEND;
        Self {
            per_call: u64::from(settings.resends_per_hundred_calls),
            per_second: u64::from(settings.resends_per_second) * RESEND,
            most,
            bucket: Mutex::new(Bucket { units: most, filled_at: now }),
        }
    }

    /// A call is made.
    pub(super) fn call(&self) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.units = bucket.units.saturating_add(self.per_call).min(self.most);
    }

    /// Whether one more resend may be made; if so, it is paid for.
    pub(super) fn resend(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.filled_at).as_micros();
        let fill = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(self.per_second) / 1_000_000;
        if fill > 0 {
            bucket.units = bucket.units.saturating_add(fill).min(self.most);
            bucket.filled_at = now;
        }
        let Some(left) = bucket.units.checked_sub(RESEND) else { return false };
        bucket.units = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn resends(budget: &Budget, now: Instant) -> usize {
        std::iter::from_fn(|| budget.resend(now).then_some(())).count()
    }

    #[test]
    fn an_outage_is_met_with_a_fifth_more_calls_and_a_small_floor() {
        let now = Instant::now();
        let budget = Budget::new(&Settings { resend_burst: 50, ..Settings::default() }, now);
        assert_eq!(resends(&budget, now), 50, "what was saved up");
        for _ in 0..100 {
            budget.call();
        }
        assert_eq!(resends(&budget, now), 20, "twenty for a hundred calls");
        assert_eq!(resends(&budget, now + Duration::from_millis(1500)), 15, "ten a second");
        assert_eq!(resends(&budget, now + Duration::from_secs(3600)), 50, "never more than the burst");
    }

    #[test]
    fn one_psp_that_fails_does_not_use_up_anothers_budget() {
        let budgets = Budgets::new(Settings { resend_burst: 1, ..Settings::default() });
        let now = Instant::now();
        assert!(budgets.of("https://a").resend(now));
        assert!(!budgets.of("https://a").resend(now));
        assert!(budgets.of("https://b").resend(now));
    }
}
