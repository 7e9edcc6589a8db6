//! What all requests share: the accounts, the store, the clock, and what is configured.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, NoAccount, NotAdded, account_of, is_live};
use crate::config::{Behaviour, Outage, SandboxConfig};
use crate::fault::FaultBook;
use crate::model::id::Nonce;
use crate::settlement::Discrepancy;
use crate::stats::Stats;
use crate::store::{Commit, Line, Store, StoreError};
use crate::webhook::Dispatcher;
use crate::world::{Surroundings, World};

/// An account, to be locked for the moment of a decision.
pub type SharedWorld = Arc<Mutex<World>>;

/// Locks an account. A panic while it was locked leaves it as the last commit made it.
pub fn locked(world: &SharedWorld) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The whole sandbox but its sockets.
pub struct Core {
    accounts: RwLock<Accounts>,
    pub store: Store,
    behaviour: RwLock<Arc<Behaviour>>,
    initial: Behaviour,
    pub faults: FaultBook,
    pub dispatcher: Dispatcher,
    discrepancies: RwLock<Arc<Vec<Discrepancy>>>,
    outage: RwLock<Option<Outage>>,
    outage_set: AtomicBool,
    clock_offset_ms: AtomicI64,
    pub stats: Stats,
    base_url: OnceLock<String>,
    requests: AtomicU64,
    instance: u64,
    pub seed: u64,
    /// Calls that hang now.
    pub hanging: watch::Sender<usize>,
    /// Counts up each time hung calls are released.
    pub released: watch::Sender<u64>,
    pub shutdown: CancellationToken,
}

/// What the journal said, gathered while it is read.
#[derive(Default)]
struct Remembered {
    worlds: Vec<World>,
    keys: Vec<(String, Option<u32>)>,
    behaviour: Option<Behaviour>,
    discrepancies: Vec<Discrepancy>,
    outage: Option<Outage>,
    clock_offset_ms: i64,
}

impl Core {
    /// Starts from what the state directory remembers.
    pub fn open(config: &SandboxConfig, directory: &Path) -> Result<Self, StoreError> {
        let faults = FaultBook::new(config.seed);
        let dispatcher = Dispatcher::new(config.seed);
        let mut remembered = Remembered::default();
        let kept = config.behaviour.events_kept;
        let store = Store::open(directory, |line| remembered.take(line, &faults, &dispatcher, kept))?;
        let behaviour = remembered.behaviour.unwrap_or_else(|| config.behaviour.clone());
        let core = Self {
            accounts: RwLock::default(),
            store,
            behaviour: RwLock::new(Arc::new(behaviour)),
            initial: config.behaviour.clone(),
            faults,
            dispatcher,
            discrepancies: RwLock::new(Arc::new(remembered.discrepancies)),
            outage: RwLock::new(remembered.outage),
            outage_set: AtomicBool::new(remembered.outage.is_some()),
            clock_offset_ms: AtomicI64::new(remembered.clock_offset_ms),
            stats: Stats::default(),
            base_url: OnceLock::new(),
            requests: AtomicU64::new(0),
            instance: u64::try_from(system_ms()).unwrap_or_default() << 20,
            seed: config.seed,
            hanging: watch::Sender::new(0),
            released: watch::Sender::new(0),
            shutdown: CancellationToken::new(),
        };
        for world in remembered.worlds {
            core.dispatcher.forget_before(world.index, world.event_range().start);
            core.accounts_mut().insert(Arc::new(Mutex::new(world)));
        }
        for (digest, to) in remembered.keys {
            core.accounts_mut().change(&digest, to);
        }
        core.compact()?;
        core.resume_deliveries();
        Ok(core)
    }

    fn accounts(&self) -> RwLockReadGuard<'_, Accounts> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts_mut(&self) -> RwLockWriteGuard<'_, Accounts> {
        self.accounts.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every account.
    pub fn worlds(&self) -> Vec<SharedWorld> {
        self.accounts().all().to_vec()
    }

    /// The account at a position.
    pub fn world_at(&self, index: u32) -> Option<SharedWorld> {
        self.accounts().at(index).cloned()
    }

    /// The account of an API key; a key never seen before opens one.
    pub fn world_of_key(&self, key: &str) -> Result<SharedWorld, NoAccount> {
        if let Some(world) = self.accounts().remembered(key) {
            return Ok(Arc::clone(world));
        }
        let most = self.behaviour().most_accounts;
        let mut accounts = self.accounts_mut();
        if let Some(world) = accounts.find(key)? {
            return Ok(world);
        }
        let index = accounts.next_index();
        if accounts.all().len() >= most {
            return Err(NoAccount::Full);
        }
        let (account, live) = (account_of(key), is_live(key));
        let world = World::new(index, &account, Nonce::random(), live, 0);
        let line = Line::World {
            index,
            account: account.as_str().into(),
            nonce: world.nonce,
            livemode: live,
            first_event: 0,
        };
        self.store.append(&line).map_err(|_| NoAccount::Unwritten)?;
        let world = Arc::new(Mutex::new(world));
        accounts.insert(Arc::clone(&world));
        Ok(world)
    }

    /// Adds a key to an account that exists, beside those it has.
    pub fn add_key(&self, key: &str, account: &str) -> Result<(), NotAdded> {
        let most = self.behaviour().most_accounts;
        let mut accounts = self.accounts_mut();
        let index = accounts.may_add(key, account, most)?;
        self.change_key(&mut accounts, key, Some(index)).map_err(NotAdded::Unwritten)
    }

    /// Revokes a key. Answers whether it led anywhere.
    pub fn revoke_key(&self, key: &str) -> io::Result<bool> {
        let mut accounts = self.accounts_mut();
        if !accounts.may_revoke(key) {
            return Ok(false);
        }
        self.change_key(&mut accounts, key, None).map(|()| true)
    }

    fn change_key(&self, accounts: &mut Accounts, key: &str, to: Option<u32>) -> io::Result<()> {
        let digest = account_of(key);
        self.store.append(&Line::Key { digest: digest.as_str().into(), to })?;
        accounts.change(&digest, to);
        Ok(())
    }

    /// What is configured now.
    pub fn behaviour(&self) -> Arc<Behaviour> {
        let behaviour = self.behaviour.read();
        Arc::clone(&behaviour.unwrap_or_else(PoisonError::into_inner))
    }

    /// Configures something else.
    pub fn set_behaviour(&self, behaviour: Behaviour) -> io::Result<()> {
        let line = Line::Behaviour(std::borrow::Cow::Borrowed(&behaviour));
        self.store.append(&line)?;
        let mut current = self.behaviour.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(behaviour);
        Ok(())
    }

    /// What is planted in the settlement reports.
    pub fn discrepancies(&self) -> Arc<Vec<Discrepancy>> {
        let planted = self.discrepancies.read();
        Arc::clone(&planted.unwrap_or_else(PoisonError::into_inner))
    }

    /// Plants another.
    pub fn plant(&self, mut discrepancy: Discrepancy) -> io::Result<Discrepancy> {
        let planted = self.discrepancies.write();
        let mut planted = planted.unwrap_or_else(PoisonError::into_inner);
        discrepancy.id = planted.iter().map(|it| it.id).max().unwrap_or_default() + 1;
        let line = Line::Discrepancy(std::borrow::Cow::Borrowed(&discrepancy));
        self.store.append(&line)?;
        Arc::make_mut(&mut planted).push(discrepancy.clone());
        Ok(discrepancy)
    }

    /// Takes all of them back.
    pub fn unplant_all(&self) -> io::Result<()> {
        self.store.append(&Line::DiscrepanciesCleared)?;
        let planted = self.discrepancies.write();
        *planted.unwrap_or_else(PoisonError::into_inner) = Arc::default();
        Ok(())
    }

    /// The outage in force.
    pub fn outage(&self) -> Option<Outage> {
        if !self.outage_set.load(Ordering::Acquire) {
            return None;
        }
        let outage = *self.outage.read().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.now_ms();
        outage.filter(|it| it.until_ms.is_none_or(|until| now_ms < until))
    }

    /// Begins an outage or ends it.
    pub fn set_outage(&self, outage: Option<Outage>) -> io::Result<()> {
        self.store.append(&Line::Outage(outage))?;
        let mut current = self.outage.write().unwrap_or_else(PoisonError::into_inner);
        *current = outage;
        self.outage_set.store(outage.is_some(), Ordering::Release);
        Ok(())
    }

    /// Milliseconds since 1970, on the sandbox's clock.
    pub fn now_ms(&self) -> i64 {
        system_ms() + self.clock_offset_ms.load(Ordering::Relaxed)
    }

    /// Moves the clock forward.
    pub fn advance_clock(&self, by_ms: i64) -> io::Result<i64> {
        let offset = self.clock_offset_ms.fetch_add(by_ms, Ordering::Relaxed) + by_ms;
        self.store.append(&Line::Clock(offset))?;
        Ok(self.now_ms())
    }

    /// A number no other request has.
    pub fn request_id(&self) -> Arc<str> {
        let count = self.requests.fetch_add(1, Ordering::Relaxed);
        crate::model::id::request_id(self.instance, count).into()
    }

    /// The number of the call, for what is drawn per call.
    pub fn calls_so_far(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Where the sandbox is reached.
    pub fn base_url(&self) -> &str {
        self.base_url.get().map_or("", String::as_str)
    }

    /// Says where the sandbox is reached, once that is known.
    pub fn set_base_url(&self, url: String) {
        // Set once, by the start; a second value would be the same.
        let _ = self.base_url.set(url);
    }

    /// What a request needs to know beside its account. `behaviour` and `endpoints` are held by the caller.
    pub fn surroundings<'a>(
        &self,
        behaviour: &'a Behaviour,
        endpoints: &'a [crate::webhook::Endpoint],
    ) -> Surroundings<'a> {
        Surroundings {
            now_ms: self.now_ms(),
            fees: &behaviour.fees,
            disputes: &behaviour.disputes,
            settlement_ms: i64::from(behaviour.settlement_days) * 86_400_000,
            payouts_wait: behaviour.payouts_wait,
            endpoints,
            request: None,
            idempotency_key: None,
        }
    }

    /// Sends the events of a commit that was written and applied.
    pub fn send_events(&self, world: u32, commit: &Commit, behaviour: &Behaviour) {
        if let Some(last) = commit.events.last() {
            let kept = u64::try_from(behaviour.events_kept).unwrap_or(u64::MAX).max(1);
            self.dispatcher.forget_before(world, (last.seq + 1).saturating_sub(kept));
        }
        for event in commit.events.iter().filter(|it| !it.endpoints.is_empty()) {
            self.dispatcher.note(world, event.seq, &event.endpoints);
            self.send_event(world, event.seq, &event.endpoints, behaviour);
        }
    }

    fn send_event(&self, world: u32, event: u64, endpoints: &[u32], behaviour: &Behaviour) {
        let how = &behaviour.webhooks;
        for lost in self.dispatcher.send(world, event, endpoints, how) {
            self.dispatcher.note_ended(world, event, lost, false);
            self.delivery_ended(world, event, lost, false);
        }
    }

    /// Remembers that a delivery ended. Forgetting it would only deliver the event once more.
    pub fn delivery_ended(&self, world: u32, event: u64, endpoint: u32, ok: bool) {
        let line = Line::Delivered { world, event, endpoint, ok };
        // The store has noted the failure and refuses calls from now on.
        let _ = self.store.append(&line);
    }

    fn resume_deliveries(&self) {
        let behaviour = self.behaviour();
        for world in self.worlds() {
            let (index, events) = {
                let world = locked(&world);
                (world.index, world.event_range())
            };
            for event in events {
                let endpoints = self.dispatcher.to_send(index, event);
                if !endpoints.is_empty() {
                    self.dispatcher.send(index, event, &endpoints, &behaviour.webhooks);
                }
            }
        }
    }

    /// Writes the journal anew, without what was replaced.
    fn compact(&self) -> Result<(), StoreError> {
        let worlds = self.worlds();
        self.store.compact(|write| {
            write(&Line::Clock(self.clock_offset_ms.load(Ordering::Relaxed)))?;
            let behaviour = self.behaviour();
            if *behaviour != self.initial {
                write(&Line::Behaviour(std::borrow::Cow::Borrowed(&behaviour)))?;
            }
            write(&Line::Outage(self.outage()))?;
            for endpoint in self.dispatcher.endpoints().iter() {
                write(&Line::Endpoint(std::borrow::Cow::Borrowed(endpoint)))?;
            }
            for report in self.faults.report() {
                let (rule, number) = (report.rule.id, report.matched);
                write(&Line::Fault(std::borrow::Cow::Owned(report.rule)))?;
                for _ in 0..report.fired {
                    write(&Line::Fired { rule, number })?;
                }
            }
            for discrepancy in self.discrepancies().iter() {
                write(&Line::Discrepancy(std::borrow::Cow::Borrowed(discrepancy)))?;
            }
            for world in &worlds {
                let world = locked(world);
                let index = world.index;
                world.dump(write, |event| self.dispatcher.to_send(index, event))?;
            }
            for (digest, to) in self.accounts().changed() {
                write(&Line::Key { digest: digest.into(), to })?;
            }
            Ok(())
        })
    }

    /// Forgets everything but how the sandbox was started.
    pub fn reset(&self) -> Result<(), StoreError> {
        let mut accounts = self.accounts_mut();
        let worlds = accounts.all().to_vec();
        let mut guards: Vec<_> = worlds.iter().map(locked).collect();
        for world in &mut guards {
            world.retired = true;
        }
        self.faults.clear();
        self.dispatcher.clear();
        self.stats.clear();
        self.clock_offset_ms.store(0, Ordering::Relaxed);
        self.outage_set.store(false, Ordering::Release);
        let discrepancies = self.discrepancies.write();
        *discrepancies.unwrap_or_else(PoisonError::into_inner) = Arc::default();
        let mut behaviour = self.behaviour.write().unwrap_or_else(PoisonError::into_inner);
        *behaviour = Arc::new(self.initial.clone());
        drop(behaviour);
        let cleared = self.store.clear();
        drop(guards);
        *accounts = Accounts::default();
        cleared
    }
}

impl Remembered {
    fn take(
        &mut self,
        line: Line<'static>,
        faults: &FaultBook,
        dispatcher: &Dispatcher,
        events_kept: usize,
    ) -> Result<(), String> {
        match line {
            Line::World { index, account, nonce, livemode, first_event } => {
                let world = World::new(index, &account, nonce, livemode, first_event);
                self.worlds.push(world);
            }
            Line::Key { digest, to } => self.keys.push((digest.into_owned(), to)),
            Line::Commit { world, commit } => {
                for event in commit.events.iter().filter(|it| !it.endpoints.is_empty()) {
                    dispatcher.note(world, event.seq, &event.endpoints);
                }
                let kept = self.behaviour.as_ref().map_or(events_kept, |it| it.events_kept);
                let found = self.worlds.get_mut(usize::try_from(world).unwrap_or(usize::MAX));
                let found = found.ok_or_else(|| format!("account {world} is not known"))?;
                found.apply(&commit, kept)?;
            }
            Line::Delivered { world, event, endpoint, ok } => {
                dispatcher.note_ended(world, event, endpoint, ok)
            }
            Line::Endpoint(endpoint) => drop(dispatcher.add_endpoint(endpoint.into_owned())),
            Line::EndpointRemoved(id) => drop(dispatcher.remove_endpoint(id)),
            Line::Behaviour(behaviour) => self.behaviour = Some(behaviour.into_owned()),
            Line::Fault(rule) => drop(faults.add(rule.into_owned())),
            Line::FaultRemoved(id) => drop(faults.remove(id)),
            Line::Fired { rule, number } => faults.note_fired(rule, number),
            Line::Outage(outage) => self.outage = outage,
            Line::Discrepancy(planted) => self.discrepancies.push(planted.into_owned()),
            Line::DiscrepanciesCleared => self.discrepancies.clear(),
            Line::Clock(offset) => self.clock_offset_ms = offset,
        }
        Ok(())
    }
}

/// Milliseconds since 1970, by the system.
pub fn system_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}
