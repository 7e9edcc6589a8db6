//! The queue of deliveries and the loop that works it off.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Endpoint;
use crate::config::Delivery;

/// One delivery to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// Whose event.
    pub world: u32,
    /// Which event.
    pub event: u64,
    /// To which endpoint.
    pub endpoint: u32,
    /// Tries made before.
    pub attempt: u32,
    /// A second copy, of which nothing is expected.
    pub copy: bool,
}

/// How deliveries went.
#[derive(Debug, Default, Serialize)]
pub struct DeliveryCounts {
    /// Taken by the endpoint.
    pub delivered: AtomicU64,
    /// Tries that failed.
    pub failed_attempts: AtomicU64,
    /// Sent late on purpose.
    pub delayed: AtomicU64,
    /// Sent a second time on purpose.
    pub duplicates: AtomicU64,
    /// Held back on purpose.
    pub reordered: AtomicU64,
    /// Never sent on purpose.
    pub lost: AtomicU64,
    /// Given up after the last try.
    pub gave_up: AtomicU64,
}

/// An event that some endpoint has not taken: which, and whether the sandbox gave up on it.
type Outstanding = Vec<(u32, bool)>;

#[derive(Default)]
struct Queue {
    due: BinaryHeap<Reverse<(Instant, u64, Job)>>,
    order: u64,
    outstanding: BTreeMap<(u32, u64), Outstanding>,
    active: usize,
}

/// What a delivery came to.
pub enum Ended {
    /// It was taken, or given up: worth remembering.
    Settled,
    /// Another try is due, or it was a copy.
    Open,
}

/// What the loop does next.
pub enum Next {
    /// Deliver this.
    Deliver(Job),
    /// Nothing until then, or until woken.
    Wait(Option<Instant>),
}

/// All webhook endpoints and everything still to be delivered to them.
#[derive(Default)]
pub struct Dispatcher {
    endpoints: RwLock<Arc<Vec<Endpoint>>>,
    queue: Mutex<Queue>,
    wake: Notify,
    idle: Notify,
    seed: u64,
    /// How deliveries went.
    pub counts: DeliveryCounts,
}

impl Dispatcher {
    /// Nothing to deliver yet.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All endpoints.
    pub fn endpoints(&self) -> Arc<Vec<Endpoint>> {
        let endpoints = self.endpoints.read();
        Arc::clone(&endpoints.unwrap_or_else(PoisonError::into_inner))
    }

    fn change_endpoints<T>(&self, change: impl FnOnce(&mut Vec<Endpoint>) -> T) -> T {
        let endpoints = self.endpoints.write();
        let mut endpoints = endpoints.unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut endpoints))
    }

    /// Adds an endpoint, giving it an id unless it has one.
    pub fn add_endpoint(&self, mut endpoint: Endpoint) -> Endpoint {
        self.change_endpoints(|all| {
            if endpoint.id == 0 {
                endpoint.id = all.iter().map(|it| it.id).max().unwrap_or_default() + 1;
            }
            all.push(endpoint.clone());
        });
        endpoint
    }

    /// Removes an endpoint; what was still to go there is dropped.
    pub fn remove_endpoint(&self, id: u32) -> bool {
        let removed = self.change_endpoints(|all| {
            let before = all.len();
            all.retain(|endpoint| endpoint.id != id);
            all.len() != before
        });
        let mut queue = self.queue();
        queue.due.retain(|Reverse((_, _, job))| job.endpoint != id);
        queue.outstanding.retain(|_, endpoints| {
            endpoints.retain(|(endpoint, _)| *endpoint != id);
            !endpoints.is_empty()
        });
        let idle = queue.is_idle();
        drop(queue);
        if idle {
            self.idle.notify_waiters();
        }
        removed
    }

    /// Forgets who has not taken the events before this one, which are not kept any more.
    pub fn forget_before(&self, world: u32, event: u64) {
        let mut queue = self.queue();
        while let Some(old) = queue.outstanding.range((world, 0)..(world, event)).next().map(|(key, _)| *key)
        {
            queue.outstanding.remove(&old);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.change_endpoints(Vec::clear);
        let mut queue = self.queue();
        queue.due.clear();
        queue.outstanding.clear();
        drop(queue);
        self.idle.notify_waiters();
    }

    /// Notes an event as not yet taken, without sending it.
    pub fn note(&self, world: u32, event: u64, endpoints: &[u32]) {
        let outstanding = endpoints.iter().map(|endpoint| (*endpoint, false)).collect();
        let mut queue = self.queue();
        queue.outstanding.insert((world, event), outstanding);
    }

    /// Notes that a delivery ended, as the journal tells it.
    pub fn note_ended(&self, world: u32, event: u64, endpoint: u32, ok: bool) {
        self.queue().end((world, event), endpoint, ok);
    }

    /// Endpoints that have not taken an event.
    pub fn pending(&self, world: u32, event: u64) -> usize {
        let queue = self.queue();
        let outstanding = queue.outstanding.get(&(world, event));
        outstanding.map_or(0, Vec::len)
    }

    /// The endpoints an event is still to be sent to.
    pub fn to_send(&self, world: u32, event: u64) -> Vec<u32> {
        let queue = self.queue();
        let outstanding = queue.outstanding.get(&(world, event));
        let open = outstanding.into_iter().flatten().filter(|(_, gave_up)| !gave_up);
        open.map(|(endpoint, _)| *endpoint).collect()
    }

    /// Sends a noted event, misbehaving as configured. Gives the endpoints it will never reach.
    pub fn send(&self, world: u32, event: u64, endpoints: &[u32], how: &Delivery) -> Vec<u32> {
        let now = Instant::now();
        let mut lost = Vec::new();
        for endpoint in endpoints {
            let job = Job { world, event, endpoint: *endpoint, attempt: 0, copy: false };
            // Drawn from the event and not from a stream, so that threads cannot change it.
            let mut rng = SmallRng::seed_from_u64(mix(self.seed, event, u64::from(*endpoint)));
            if rng.random_bool(how.lose_rate.clamp(0.0, 1.0)) {
                bump(&self.counts.lost);
                lost.push(*endpoint);
                continue;
            }
            let mut delay = u64::from(how.delay_ms.draw(&mut rng));
            if rng.random_bool(how.reorder_rate.clamp(0.0, 1.0)) {
                bump(&self.counts.reordered);
                delay += u64::from(how.reorder_delay_ms.draw(&mut rng));
            }
            if delay > 0 {
                bump(&self.counts.delayed);
            }
            self.push(now + Duration::from_millis(delay), job);
            if rng.random_bool(how.duplicate_rate.clamp(0.0, 1.0)) {
                bump(&self.counts.duplicates);
                let later = delay + u64::from(how.reorder_delay_ms.draw(&mut rng));
                self.push(now + Duration::from_millis(later), Job { copy: true, ..job });
            }
        }
        self.wake.notify_one();
        lost
    }

    fn push(&self, due: Instant, job: Job) {
        let mut queue = self.queue();
        queue.order += 1;
        let order = queue.order;
        queue.due.push(Reverse((due, order, job)));
    }

    /// What to do now, with at most `concurrency` deliveries under way.
    pub fn next(&self, concurrency: usize) -> Next {
        let mut queue = self.queue();
        if queue.active >= concurrency.max(1) {
            return Next::Wait(None);
        }
        match queue.due.peek() {
            None => Next::Wait(None),
            Some(Reverse((due, ..))) if *due > Instant::now() => Next::Wait(Some(*due)),
            Some(_) => match queue.due.pop() {
                Some(Reverse((_, _, job))) => {
                    queue.active += 1;
                    Next::Deliver(job)
                }
                None => Next::Wait(None),
            },
        }
    }

    /// Sleeps until there may be something to do.
    pub async fn wait(&self, until: Option<Instant>) {
        match until {
            Some(due) => tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(due) => {}
            },
            None => self.wake.notified().await,
        }
    }

    /// Takes the result of a try and plans the next one. [`Dispatcher::done`] must follow.
    pub fn tried(&self, job: Job, taken: bool, how: &Delivery) -> Ended {
        let attempt = job.attempt + 1;
        if taken || (!job.copy && attempt >= how.max_attempts) {
            let event = (job.world, job.event);
            self.queue().end(event, job.endpoint, taken);
            return Ended::Settled;
        }
        if !job.copy {
            let factor = 1u64.checked_shl(job.attempt).unwrap_or(u64::MAX);
            let delay = u64::from(how.retry_initial_ms).saturating_mul(factor);
            let delay = Duration::from_millis(delay.min(u64::from(how.retry_max_ms)));
            self.push(Instant::now() + delay, Job { attempt, ..job });
        }
        Ended::Open
    }

    /// A try is over and what it came to was written down.
    pub fn done(&self, taken: bool, ended: &Ended) {
        bump(match taken {
            true => &self.counts.delivered,
            false => &self.counts.failed_attempts,
        });
        if !taken && matches!(ended, Ended::Settled) {
            bump(&self.counts.gave_up);
        }
        let mut queue = self.queue();
        queue.active = queue.active.saturating_sub(1);
        let idle = queue.is_idle();
        drop(queue);
        self.wake.notify_one();
        if idle {
            self.idle.notify_waiters();
        }
    }

    /// Deliveries that wait or are under way.
    pub fn backlog(&self) -> usize {
        let queue = self.queue();
        queue.due.len() + queue.active
    }

    /// Returns once nothing waits and nothing is under way.
    pub async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.queue().is_idle() {
                return;
            }
            notified.await;
        }
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.due.is_empty() && self.active == 0
    }

    fn end(&mut self, event: (u32, u64), endpoint: u32, ok: bool) {
        let Some(outstanding) = self.outstanding.get_mut(&event) else {
            return;
        };
        if ok {
            outstanding.retain(|(known, _)| *known != endpoint);
            if outstanding.is_empty() {
                self.outstanding.remove(&event);
            }
        } else {
            for (known, gave_up) in outstanding {
                *gave_up |= *known == endpoint;
            }
        }
    }
}

/// One number from several, so that each event has luck of its own.
pub fn mix(seed: u64, first: u64, second: u64) -> u64 {
    [first, second].into_iter().fold(seed, |sum, part| {
        let sum = (sum ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let sum = (sum ^ (sum >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let sum = (sum ^ (sum >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        sum ^ (sum >> 31)
    })
}

fn bump(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(event: u64, endpoint: u32) -> Job {
        Job { world: 0, event, endpoint, attempt: 0, copy: false }
    }

    #[test]
    fn what_was_given_up_is_forgotten_with_its_event() {
        let dispatcher = Dispatcher::new(1);
        let how = Delivery { max_attempts: 1, ..Delivery::default() };
        for event in 0..10 {
            dispatcher.note(0, event, &[1]);
            dispatcher.tried(job(event, 1), false, &how);
        }
        dispatcher.note(1, 3, &[1]);
        assert_eq!(
            dispatcher.pending(0, 3),
            1,
            "it was not taken, and that is shown as long as the event is"
        );
        dispatcher.forget_before(0, 8);
        let left: Vec<_> = dispatcher.queue().outstanding.keys().copied().collect();
        assert_eq!(left, [(0, 8), (0, 9), (1, 3)]);
    }

    #[test]
    fn what_was_for_a_removed_endpoint_goes_with_it() {
        let dispatcher = Dispatcher::new(1);
        let endpoint = |url: &str| Endpoint {
            id: 0,
            url: url.to_owned(),
            secrets: Vec::new(),
            enabled_events: Vec::new(),
            account: None,
        };
        let (gone, stays) =
            (dispatcher.add_endpoint(endpoint("a")).id, dispatcher.add_endpoint(endpoint("b")).id);
        for (event, endpoints) in [(0, vec![gone]), (1, vec![gone, stays])] {
            dispatcher.note(0, event, &endpoints);
            dispatcher.send(0, event, &endpoints, &Delivery::default());
        }
        assert!(dispatcher.remove_endpoint(gone));
        assert_eq!((dispatcher.pending(0, 0), dispatcher.pending(0, 1), dispatcher.backlog()), (0, 1, 1));
        assert_eq!(dispatcher.queue().outstanding.len(), 1);
    }
}
