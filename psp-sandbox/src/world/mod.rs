//! One account and everything in it.
//!
//! A request is decided by reading the account (`Tx`), which gives a [`Commit`]; the commit is written to
//! the journal and then applied. Starting again applies the same commits, so there is one way to change
//! an account and not two.

mod disputes;
mod keys;
mod lists;
mod payments;
mod payouts;
mod refunds;
mod search;
mod sessions;
mod tx;

pub use disputes::{Decision, DisputeAnswer, NewDispute};
pub use keys::{Lookup, Saved, SavedBody, StoredBody, StoredKey};
pub use lists::{EventFilter, Page, PageRequest};
pub use payments::{Cancel, Capture, Confirm, NewIntent, Update, needs_return_url};
pub use payouts::NewPayout;
pub use refunds::{NewRefund, RefundTarget};
pub use search::Query;
pub use sessions::NewSession;
pub use tx::{Surroundings, Tx};

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::model::currency::Currency;
use crate::model::event::{Event, Snapshot, Stored, StoredEvent};
use crate::model::id::{Kind, Nonce};
use crate::model::{BalanceTransaction, Charge, Dispute, Intent, Payout, Refund, Session, Source};
use crate::render::Renderer;
use crate::store::{Commit, Line};
use keys::Keys;
use search::SearchIndex;

/// An account.
pub struct World {
    /// Its position among the accounts.
    pub index: u32,
    /// Its id.
    pub account: Box<str>,
    /// Of its ids.
    pub nonce: Nonce,
    /// Whether it is a live one.
    pub livemode: bool,
    intents: Vec<Arc<Intent>>,
    sessions: Vec<Arc<Session>>,
    charges: Vec<Arc<Charge>>,
    refunds: Vec<Arc<Refund>>,
    disputes: Vec<Arc<Dispute>>,
    transactions: Vec<Arc<BalanceTransaction>>,
    payouts: Vec<Arc<Payout>>,
    first_event: u64,
    events: VecDeque<Event>,
    keys: Keys,
    unsettled: BTreeMap<Currency, Vec<u64>>,
    balances: BTreeMap<Currency, i64>,
    search: SearchIndex,
    /// It was reset away; calls that still hold it must change nothing.
    pub retired: bool,
}

impl World {
    /// An empty account.
    pub fn new(index: u32, account: &str, nonce: Nonce, livemode: bool, first_event: u64) -> Self {
        Self {
            index,
            account: account.into(),
            nonce,
            livemode,
            intents: Vec::new(),
            sessions: Vec::new(),
            charges: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            transactions: Vec::new(),
            payouts: Vec::new(),
            first_event,
            events: VecDeque::new(),
            keys: Keys::default(),
            unsettled: BTreeMap::new(),
            balances: BTreeMap::new(),
            search: SearchIndex::default(),
            retired: false,
        }
    }

    /// How its objects are rendered.
    pub fn renderer<'a>(&self, base_url: &'a str) -> Renderer<'a> {
        Renderer { nonce: self.nonce, livemode: self.livemode, base_url }
    }

    /// Its idempotency keys.
    pub fn keys(&mut self) -> &mut Keys {
        &mut self.keys
    }

    /// A PaymentIntent by its id.
    pub fn intent(&self, id: &str) -> Option<&Arc<Intent>> {
        at(&self.intents, self.nonce.seq(Kind::Intent, id)?)
    }

    /// A charge by its position.
    pub fn charge_at(&self, seq: u64) -> Option<&Arc<Charge>> {
        at(&self.charges, seq)
    }

    /// A PaymentIntent by its position.
    pub fn intent_at(&self, seq: u64) -> Option<&Arc<Intent>> {
        at(&self.intents, seq)
    }

    /// A Checkout Session by its id.
    pub fn session(&self, id: &str) -> Option<&Arc<Session>> {
        self.session_at(self.nonce.seq(Kind::Session, id)?)
    }

    /// A Checkout Session by its position.
    pub fn session_at(&self, seq: u64) -> Option<&Arc<Session>> {
        at(&self.sessions, seq)
    }

    /// Every Checkout Session, oldest first.
    pub fn sessions(&self) -> &[Arc<Session>] {
        &self.sessions
    }

    /// A refund by its position.
    pub fn refund_at(&self, seq: u64) -> Option<&Arc<Refund>> {
        at(&self.refunds, seq)
    }

    /// A dispute by its position.
    pub fn dispute_at(&self, seq: u64) -> Option<&Arc<Dispute>> {
        at(&self.disputes, seq)
    }

    /// A balance transaction by its position.
    pub fn transaction_at(&self, seq: u64) -> Option<&Arc<BalanceTransaction>> {
        at(&self.transactions, seq)
    }

    /// Every payout, oldest first.
    pub fn payouts(&self) -> &[Arc<Payout>] {
        &self.payouts
    }

    /// A payout by its position.
    pub fn payout_at(&self, seq: u64) -> Option<&Arc<Payout>> {
        at(&self.payouts, seq)
    }

    /// What is not paid out, in minor units.
    pub fn balance(&self, currency: Currency) -> i64 {
        self.balances.get(&currency).copied().unwrap_or_default()
    }

    /// An event by its position, when it is still kept.
    pub fn event_at(&self, seq: u64) -> Option<&Event> {
        let offset = seq.checked_sub(self.first_event)?;
        self.events.get(usize::try_from(offset).ok()?)
    }

    /// The positions of the events that are still kept.
    pub fn event_range(&self) -> std::ops::Range<u64> {
        self.first_event..self.next_event()
    }

    fn next_event(&self) -> u64 {
        self.first_event + self.events.len() as u64
    }

    /// Makes a commit part of the account. `events_kept` bounds the events.
    pub fn apply(&mut self, commit: &Commit, events_kept: usize) -> Result<(), String> {
        for intent in &commit.intents {
            put(&mut self.intents, intent.seq, intent)?;
        }
        for session in &commit.sessions {
            put(&mut self.sessions, session.seq, session)?;
        }
        for charge in &commit.charges {
            put(&mut self.charges, charge.seq, charge)?;
        }
        for refund in &commit.refunds {
            put(&mut self.refunds, refund.seq, refund)?;
        }
        for dispute in &commit.disputes {
            put(&mut self.disputes, dispute.seq, dispute)?;
        }
        for transaction in &commit.transactions {
            if !matches!(transaction.source, Source::Payout(_)) {
                let unsettled = self.unsettled.entry(transaction.currency).or_default();
                unsettled.push(transaction.seq);
            }
            *self.balances.entry(transaction.currency).or_default() += transaction.net();
            put(&mut self.transactions, transaction.seq, transaction)?;
        }
        for payout in &commit.payouts {
            if let Some(unsettled) = self.unsettled.get_mut(&payout.currency) {
                unsettled.retain(|seq| payout.items.binary_search(seq).is_err());
            }
            put(&mut self.payouts, payout.seq, payout)?;
        }
        for event in &commit.events {
            self.apply_event(commit, event)?;
        }
        while self.events.len() > events_kept.max(1) {
            self.events.pop_front();
            self.first_event += 1;
        }
        commit.key.as_ref().map_or(Ok(()), |key| self.apply_key(key))
    }

    fn apply_event(&mut self, commit: &Commit, stored: &StoredEvent) -> Result<(), String> {
        let expected = self.next_event();
        if stored.seq != expected {
            return Err(format!("event {} came before {expected}", stored.seq));
        }
        let object = self.resolve(&stored.object)?;
        self.events.push_back(Event {
            seq: stored.seq,
            kind: stored.kind,
            created_ms: stored.created_ms,
            request: commit.request.clone(),
            idempotency_key: commit.idempotency_key.clone(),
            object,
        });
        Ok(())
    }

    /// Saves an answer under its key.
    pub fn apply_key(&mut self, stored: &StoredKey) -> Result<(), String> {
        let body = match &stored.body {
            StoredBody::Object(object) => SavedBody::Object(self.resolve(object)?),
            StoredBody::Text(text) => SavedBody::Text(Arc::clone(text)),
        };
        let saved = Saved {
            fingerprint: stored.fingerprint,
            created_ms: stored.created_ms,
            status: stored.status,
            request: Arc::clone(&stored.request),
            body,
        };
        self.keys.complete(&stored.key, saved);
        Ok(())
    }

    /// The version a stored reference means, as the account is now.
    pub fn resolve(&self, stored: &Stored) -> Result<Snapshot, String> {
        let found = match stored {
            Stored::Intent(seq) => self.intent_at(*seq).cloned().map(Snapshot::Intent),
            Stored::IntentAsCreated(seq) => self.intent_at(*seq).cloned().map(Snapshot::IntentAsCreated),
            Stored::Session(seq) => self.session_at(*seq).cloned().map(Snapshot::Session),
            Stored::Charge(seq) => self.charge_at(*seq).cloned().map(Snapshot::Charge),
            Stored::Refund(seq) => self.refund_at(*seq).cloned().map(Snapshot::Refund),
            Stored::Dispute(seq) => self.dispute_at(*seq).cloned().map(Snapshot::Dispute),
            Stored::Payout(seq) => self.payout_at(*seq).cloned().map(Snapshot::Payout),
            Stored::Version(snapshot) => Some(Snapshot::clone(snapshot)),
        };
        found.ok_or_else(|| "a reference names no object".to_owned())
    }

    /// The reverse of [`World::resolve`]: versions that were replaced are written out.
    fn store(&self, snapshot: &Snapshot) -> Stored {
        fn current<T>(now: Option<&Arc<T>>, then: &Arc<T>) -> bool {
            now.is_some_and(|now| Arc::ptr_eq(now, then))
        }
        match snapshot {
            Snapshot::Intent(it) if current(self.intent_at(it.seq), it) => Stored::Intent(it.seq),
            Snapshot::IntentAsCreated(it) if current(self.intent_at(it.seq), it) => {
                Stored::IntentAsCreated(it.seq)
            }
            Snapshot::Session(it) if current(self.session_at(it.seq), it) => Stored::Session(it.seq),
            Snapshot::Charge(it) if current(self.charge_at(it.seq), it) => Stored::Charge(it.seq),
            Snapshot::Refund(it) if current(self.refund_at(it.seq), it) => Stored::Refund(it.seq),
            Snapshot::Dispute(it) if current(self.dispute_at(it.seq), it) => Stored::Dispute(it.seq),
            Snapshot::Payout(it) if current(self.payout_at(it.seq), it) => Stored::Payout(it.seq),
            replaced => Stored::Version(Box::new(replaced.clone())),
        }
    }

    /// Writes the whole account as journal lines. `endpoints` says where an event is still to go.
    pub fn dump(
        &self,
        write: &mut dyn FnMut(&Line<'_>) -> io::Result<()>,
        endpoints: impl Fn(u64) -> Vec<u32>,
    ) -> io::Result<()> {
        write(&Line::World {
            index: self.index,
            account: self.account.as_ref().into(),
            nonce: self.nonce,
            livemode: self.livemode,
            first_event: self.first_event,
        })?;
        let mut commit = |fill: &mut dyn FnMut(&mut Commit)| {
            let mut commit = Commit::default();
            fill(&mut commit);
            write(&Line::Commit { world: self.index, commit: std::borrow::Cow::Owned(commit) })
        };
        for intent in &self.intents {
            commit(&mut |it| it.intents.push(Arc::clone(intent)))?;
        }
        for session in &self.sessions {
            commit(&mut |it| it.sessions.push(Arc::clone(session)))?;
        }
        for charge in &self.charges {
            commit(&mut |it| it.charges.push(Arc::clone(charge)))?;
        }
        for refund in &self.refunds {
            commit(&mut |it| it.refunds.push(Arc::clone(refund)))?;
        }
        for dispute in &self.disputes {
            commit(&mut |it| it.disputes.push(Arc::clone(dispute)))?;
        }
        for transaction in &self.transactions {
            commit(&mut |it| it.transactions.push(Arc::clone(transaction)))?;
        }
        for payout in &self.payouts {
            commit(&mut |it| it.payouts.push(Arc::clone(payout)))?;
        }
        for event in &self.events {
            let stored = self.stored_event(event, endpoints(event.seq));
            commit(&mut |it| {
                it.request.clone_from(&event.request);
                it.idempotency_key.clone_from(&event.idempotency_key);
                it.events.push(stored.clone());
            })?;
        }
        for (key, saved) in self.keys.saved() {
            let stored = self.stored_key(key, saved);
            commit(&mut |it| it.key = Some(stored.clone()))?;
        }
        Ok(())
    }

    fn stored_event(&self, event: &Event, endpoints: Vec<u32>) -> StoredEvent {
        StoredEvent {
            seq: event.seq,
            kind: event.kind,
            created_ms: event.created_ms,
            object: self.store(&event.object),
            endpoints,
        }
    }

    fn stored_key(&self, key: &Arc<str>, saved: &Saved) -> StoredKey {
        StoredKey {
            key: Arc::clone(key),
            fingerprint: saved.fingerprint,
            created_ms: saved.created_ms,
            status: saved.status,
            request: Arc::clone(&saved.request),
            body: match &saved.body {
                SavedBody::Object(snapshot) => StoredBody::Object(self.store(snapshot)),
                SavedBody::Text(text) => StoredBody::Text(Arc::clone(text)),
            },
        }
    }
}

fn at<T>(objects: &[Arc<T>], seq: u64) -> Option<&Arc<T>> {
    objects.get(usize::try_from(seq).ok()?)
}

/// Puts an object in its place: the next one, or one already taken.
fn put<T>(objects: &mut Vec<Arc<T>>, seq: u64, object: &Arc<T>) -> Result<(), String> {
    let index = usize::try_from(seq).map_err(|error| error.to_string())?;
    match index.cmp(&objects.len()) {
        std::cmp::Ordering::Less => objects[index] = Arc::clone(object),
        std::cmp::Ordering::Equal => objects.push(Arc::clone(object)),
        std::cmp::Ordering::Greater => {
            return Err(format!("object {seq} came before {}", objects.len()));
        }
    }
    Ok(())
}
