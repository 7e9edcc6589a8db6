//! A client that never gives up: the same request has the same key, at whichever service, until there is a final answer.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bank::Bank;
use super::buyers::Buyers;
use crate::Error;
use crate::journal::Journal;
use crate::shop::{ShopClient, Told};

/// How long a client repeats a request before it leaves it to the end of the run.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it waits for one answer, in milliseconds: a service that is stopped does not even hang up.
const WAIT: std::ops::Range<u64> = 1500..2500;
/// How long it waits before it asks again, in milliseconds.
const PAUSE: std::ops::Range<u64> = 20..200;
/// Of so many clients that have a final answer, one asks for it again.
const ASKS_AGAIN: u32 = 15;

/// A line of a client's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Under which key it was asked.
    pub key: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a client does, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is about to ask for something for the first time.
    Asks(Request),
    /// It was answered.
    Told {
        /// By which service.
        service: usize,
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// It was not answered.
    Unanswered {
        /// By which service.
        service: usize,
    },
}

/// Something to ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The order it is about.
    pub order: String,
    /// What kind of operation it asks for.
    pub kind: Kind,
    /// Where to ask.
    pub path: String,
    /// What to say.
    pub body: Value,
}

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A payment.
    Authorize,
    /// A capture of what it holds.
    Capture,
    /// A void of it.
    Void,
    /// A refund.
    Refund,
    /// A payout to a seller.
    Payout,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Authorize, Self::Capture, Self::Void, Self::Refund, Self::Payout];

    /// As it is called everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Payout => "payout",
        }
    }
}

/// Whether an answer is the last word on its request: every repeat must then be answered the same.
pub fn is_final(status: u16, body: &str) -> bool {
    match status {
        201 | 400..=404 | 422 => true,
        409 => !body.contains(r#""code":"idempotency_key_in_flight""#),
        _ => false,
    }
}

/// A service as clients see it.
#[derive(Debug)]
pub struct Door {
    client: ShopClient,
    /// The keys of the requests that await an answer here and were made nowhere before.
    waiting: Mutex<HashSet<String>>,
}

impl Door {
    /// The keys of the requests that await an answer of this service: what is claimed under one of them is its own.
    pub fn waiting(&self) -> Vec<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

struct Waiting<'a> {
    door: &'a Door,
    key: &'a str,
}

impl<'a> Waiting<'a> {
    fn at(door: &'a Door, key: &'a str) -> Self {
        door.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        Self { door, key }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.door.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(self.key);
    }
}

/// What all clients share: the services, the banks, the buyers, and how often nobody could help them.
#[derive(Debug)]
pub struct Market {
    /// The services.
    pub doors: Vec<Door>,
    /// The banks of the clients' buyers and sellers.
    pub bank: Bank,
    /// The buyers who pay on the PSP's pages.
    pub buyers: Buyers,
    /// Answers that say that the service cannot now, and answers that did not come.
    pub refusals: AtomicUsize,
}

impl Market {
    /// One of these services, banks and buyers.
    pub fn new(clients: Vec<ShopClient>, bank: Bank, buyers: Buyers) -> Self {
        let doors = clients.into_iter().map(|client| Door { client, waiting: Mutex::default() }).collect();
        Self { doors, bank, buyers, refusals: AtomicUsize::new(0) }
    }
}

/// A client.
#[derive(Debug, Clone)]
pub struct Asker {
    market: Arc<Market>,
    journal: Arc<Mutex<Journal>>,
    rng: SmallRng,
}

impl Asker {
    /// One who keeps this journal.
    pub fn new(market: Arc<Market>, journal: Journal, seed: u64) -> Self {
        Self { market, journal: Arc::new(Mutex::new(journal)), rng: SmallRng::seed_from_u64(seed) }
    }

    /// Somebody who asks at the same time and writes into the same journal.
    pub fn fork(&mut self) -> Self {
        let rng = SmallRng::seed_from_u64(self.rng.random());
        Self { market: Arc::clone(&self.market), journal: Arc::clone(&self.journal), rng }
    }

    /// Asks for something under a new key until there is a final answer; none when there is none for a minute.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn ask(&mut self, request: Request) -> Result<Option<Told>, Error> {
        let key = format!("{:032x}", self.rng.random::<u128>());
        self.note(&key, Event::Asks(request.clone()))?;
        let until = Instant::now() + PATIENCE;
        let mut first = true;
        let mut answer = None;
        while Instant::now() < until {
            let told = self.send(&key, &request, first).await?;
            first = false;
            let is_final = told.as_ref().is_some_and(|told| is_final(told.status, &told.body));
            if is_final {
                answer = told;
                if !self.rng.random_ratio(1, ASKS_AGAIN) {
                    break;
                }
            }
            let pause = Duration::from_millis(self.rng.random_range(PAUSE));
            tokio::time::sleep(pause).await;
        }
        Ok(answer)
    }

    /// What it shares with the others.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// Reads something again and again, at any of the services, until it is so; none when it is not for a minute.
    pub async fn read_until(&mut self, path: &str, is_so: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let service = self.rng.random_range(0..self.market.doors.len());
            let read = self.market.doors[service].client.read::<Value>(path);
            let read = tokio::time::timeout(Duration::from_millis(WAIT.end), read).await;
            if let Some(read) = read.ok().and_then(Result::ok).filter(|read| is_so(read)) {
                return Some(read);
            }
            let pause = Duration::from_millis(self.rng.random_range(PAUSE));
            tokio::time::sleep(pause).await;
        }
        None
    }

    /// Sends it once, to any of the services.
    async fn send(&mut self, key: &str, request: &Request, first: bool) -> Result<Option<Told>, Error> {
        let service = self.rng.random_range(0..self.market.doors.len());
        let patience = Duration::from_millis(self.rng.random_range(WAIT));
        let market = Arc::clone(&self.market);
        let door = &market.doors[service];
        let waiting = first.then(|| Waiting::at(door, key));
        let sent = door.client.post(&request.path, key, &request.body);
        let told = tokio::time::timeout(patience, sent).await.ok().and_then(Result::ok);
        drop(waiting);
        if told.as_ref().is_none_or(|told| told.status >= 500) {
            market.refusals.fetch_add(1, Ordering::SeqCst);
        }
        self.note(
            key,
            match &told {
                Some(Told { status, body, .. }) => {
                    Event::Told { service, status: *status, body: body.clone() }
                }
                None => Event::Unanswered { service },
            },
        )?;
        Ok(told)
    }

    fn note(&self, key: &str, event: Event) -> Result<(), Error> {
        let line = Line { key: key.to_owned(), event };
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).note(&line)
    }
}

/// Asks each service in turn for what was asked for under this key before, until there is a final answer; none when there
/// is none for as long as this.
pub async fn replay(
    clients: &[ShopClient],
    key: &str,
    request: &Request,
    patience: Duration,
) -> Option<Told> {
    let until = Instant::now() + patience;
    for client in clients.iter().cycle() {
        match client.post(&request.path, key, &request.body).await {
            Ok(told) if is_final(told.status, &told.body) => return Some(told),
            _ if Instant::now() >= until => return None,
            _ => tokio::time::sleep(Duration::from_millis(PAUSE.end)).await,
        }
    }
    None
}
