//! What the hot path reads instead of the database.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::MerchantError;

/// How old a value may be before it is loaded again behind the back of those who read it.
const REFRESH_AFTER: Duration = Duration::from_secs(2);

/// How old a value may be that is used.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(5);

/// Values that are at most five seconds behind the database, and as many of them as fit.
///
/// A value in use is renewed in the background, so that its readers never wait; one that is too old or missing
/// is waited for. However many wait for a value, one loads it, and a failure is shared like a value.
pub(super) struct Cache<K, V> {
    slots: RwLock<HashMap<K, Arc<Slot<V>>>>,
    capacity: usize,
}

struct Slot<V> {
    state: RwLock<State<V>>,
    /// Held by the one who loads.
    loading: Arc<Mutex<()>>,
}

struct State<V> {
    /// The value, and when its loading began.
    value: Option<(Instant, V)>,
    /// The last failure, and when its loading ended.
    failure: Option<(Instant, Arc<MerchantError>)>,
}

impl<V: Clone> Slot<V> {
    fn empty() -> Self {
        Self { state: RwLock::new(State { value: None, failure: None }), loading: Arc::default() }
    }

    /// The value, with its age, if it may be used.
    fn usable(&self) -> Option<(Duration, V)> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (since, value) = state.value.as_ref()?;
        let age = since.elapsed();
        (age < STALE_AFTER).then(|| (age, value.clone()))
    }

    /// What a loading that ended after `began` came to.
    fn outcome_since(&self, began: Instant) -> Option<Result<V, Arc<MerchantError>>> {
        if let Some((age, value)) = self.usable()
            && age < REFRESH_AFTER
        {
            return Some(Ok(value));
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (_, failure) = state.failure.as_ref().filter(|(at, _)| *at >= began)?;
        Some(Err(Arc::clone(failure)))
    }

    async fn load(
        &self,
        load: impl Future<Output = Result<V, MerchantError>>,
    ) -> Result<V, Arc<MerchantError>> {
        let began = Instant::now();
        let loaded = load.await.map_err(Arc::new);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match &loaded {
            Ok(value) => *state = State { value: Some((began, value.clone())), failure: None },
            Err(error) => state.failure = Some((Instant::now(), Arc::clone(error))),
        }
        loaded
    }

    /// When it was last loaded, or a loading failed.
    fn touched_at(&self) -> Option<Instant> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let value = state.value.as_ref().map(|(since, _)| *since);
        let failure = state.failure.as_ref().map(|(at, _)| *at);
        value.max(failure)
    }

    /// Whether somebody waits for it.
    fn is_loading(&self) -> bool {
        self.loading.try_lock().is_err()
    }
}

impl<K: Clone + Eq + Hash, V: Clone + Send + Sync + 'static> Cache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: RwLock::default(), capacity }
    }

    /// The value, from memory where it can be. `load` may be called once; it runs on when the caller is cancelled.
    pub(super) async fn get<F>(&self, key: &K, load: impl FnOnce() -> F) -> Result<V, MerchantError>
    where
        F: Future<Output = Result<V, MerchantError>> + Send + 'static,
    {
        let slot = self.slot(key);
        if let Some((age, value)) = slot.usable() {
            if age >= REFRESH_AFTER {
                refresh(slot, load);
            }
            return Ok(value);
        }
        let began = Instant::now();
        let loading = Arc::clone(&slot.loading).lock_owned().await;
        if let Some(outcome) = slot.outcome_since(began) {
            return outcome.map_err(MerchantError::SharedLookup);
        }
        let load = load();
        let task = tokio::spawn(async move {
            let loaded = slot.load(load).await;
            drop(loading);
            loaded
        });
        let loaded =
            task.await.map_err(|error| MerchantError::Unreadable(format!("look-up ended: {error}")))?;
        loaded.map_err(MerchantError::SharedLookup)
    }

    /// Whether it is in here, or somebody has asked for it.
    pub(super) fn holds(&self, key: &K) -> bool {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Gives a value, as old as it is, to another cache to keep.
    pub(super) fn hand_over(&self, key: &K, to: &Self) {
        let slot = self.slots.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        if let Some(slot) = slot {
            to.insert(&mut to.slots.write().unwrap_or_else(PoisonError::into_inner), key, &slot);
        }
    }

    fn slot(&self, key: &K) -> Arc<Slot<V>> {
        if let Some(slot) = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Arc::clone(slot);
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::empty());
        self.insert(&mut slots, key, &slot);
        slot
    }

    fn insert(&self, slots: &mut HashMap<K, Arc<Slot<V>>>, key: &K, slot: &Arc<Slot<V>>) {
        if slots.len() >= self.capacity {
            make_room(slots, self.capacity);
        }
        // Full of values that are being loaded: this one is loaded for this caller alone.
        if slots.len() < self.capacity {
            slots.insert(key.clone(), Arc::clone(slot));
        }
    }
}

/// Loads a value again, unless somebody does.
fn refresh<V, F>(slot: Arc<Slot<V>>, load: impl FnOnce() -> F)
where
    V: Clone + Send + Sync + 'static,
    F: Future<Output = Result<V, MerchantError>> + Send + 'static,
{
    let Ok(loading) = Arc::clone(&slot.loading).try_lock_owned() else { return };
    let load = load();
    tokio::spawn(async move {
        if let Err(error) = slot.load(load).await {
            tracing::warn!(
                error = &*error as &dyn std::error::Error,
                "a look-up failed; the last value is used"
            );
        }
        drop(loading);
    });
}

/// Drops what is too old to be used, and where that is not enough the oldest quarter.
fn make_room<K: Clone + Eq + Hash, V: Clone>(slots: &mut HashMap<K, Arc<Slot<V>>>, capacity: usize) {
    let younger = |slot: &Slot<V>, than: Option<Instant>| slot.touched_at() > than || slot.is_loading();
    slots.retain(|_, slot| younger(slot, Instant::now().checked_sub(STALE_AFTER)));
    if slots.len() < capacity {
        return;
    }
    let mut ages: Vec<_> = slots.values().map(|slot| slot.touched_at()).collect();
    ages.sort_unstable();
    let oldest_kept = ages.get(capacity / 4).copied().flatten();
    slots.retain(|_, slot| younger(slot, oldest_kept));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts its loads and answers with the count.
    #[derive(Clone, Default)]
    struct Source(Arc<AtomicUsize>);

    impl Source {
        fn loads(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }

        fn load(
            &self,
        ) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<usize, MerchantError>> + Send>>
        {
            let count = Arc::clone(&self.0);
            move || {
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    Ok(count.fetch_add(1, Ordering::SeqCst) + 1)
                })
            }
        }
    }

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_loaded_once_for_all_who_wait() {
        let (cache, source) = (Cache::new(10), Source::default());
        let got = futures::future::join_all((0..50).map(|_| cache.get(&"k", source.load()))).await;
        assert!(got.into_iter().all(|value| value.unwrap() == 1));
        assert_eq!(source.loads(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_in_use_is_renewed_in_the_background() {
        let (cache, source) = (Cache::new(10), Source::default());
        assert_eq!(cache.get(&"k", source.load()).await.unwrap(), 1);
        tokio::time::advance(REFRESH_AFTER).await;
        assert_eq!(cache.get(&"k", source.load()).await.unwrap(), 1);
        settle().await;
        assert_eq!(cache.get(&"k", source.load()).await.unwrap(), 2);
        assert_eq!(source.loads(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_never_used_once_it_is_too_old() {
        let (cache, source) = (Cache::new(10), Source::default());
        assert_eq!(cache.get(&"k", source.load()).await.unwrap(), 1);
        tokio::time::advance(STALE_AFTER).await;
        assert_eq!(cache.get(&"k", source.load()).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_by_those_who_waited_and_tried_again_by_the_next() {
        let (cache, calls) = (Cache::<_, usize>::new(10), Arc::new(AtomicUsize::new(0)));
        let fail = || {
            let calls = Arc::clone(&calls);
            move || async move {
                calls.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Err(MerchantError::NoPspAccount)
            }
        };
        let got = futures::future::join_all((0..5).map(|_| cache.get(&"k", fail()))).await;
        assert!(got.iter().all(Result::is_err));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.get(&"k", Source::default().load()).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_no_more_than_fits_and_the_newest_of_it() {
        let (cache, source) = (Cache::new(8), Source::default());
        for key in 0..100 {
            cache.get(&key, source.load()).await.unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(cache.slots.read().unwrap().len() <= 8);
        }
        assert_eq!(cache.get(&99, source.load()).await.unwrap(), 100);
    }
}
