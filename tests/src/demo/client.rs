//! A client of the shop: impatient, forgetful, and bound by one rule: the same request has the same key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::journal::{Event, Line};
use crate::Error;
use crate::journal::Journal;
use crate::orders::Order;
use crate::shop::{ShopClient, Told};

/// How often a client sends a request before it leaves the rest to the shop.
const ATTEMPTS: u32 = 5;
/// How often a client tries to reach a service that is not there, with a pause after each.
const KNOCKS: u32 = 600;
const KNOCK_PAUSE: Duration = Duration::from_millis(100);
/// How long a patient client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many requests await an answer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

impl Gauge {
    /// So many.
    pub fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn hold(self: &Arc<Self>) -> Waiting {
        self.0.fetch_add(1, Ordering::SeqCst);
        Waiting(Arc::clone(self))
    }
}

struct Waiting(Arc<Gauge>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What all clients share.
#[derive(Debug, Clone)]
pub struct Market {
    /// Where they pay.
    pub shop: ShopClient,
    /// Counts who waits.
    pub waiting: Arc<Gauge>,
    /// Is sent a message for each order that a client is done with.
    pub done: UnboundedSender<()>,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    market: Market,
    journal: Journal,
    rng: SmallRng,
}

/// How a request ended.
enum Ending {
    /// With the final answer.
    Decided { declined: bool },
    /// Otherwise: the same request may be sent again.
    Open,
}

impl Client {
    /// The client of this number.
    pub fn new(market: Market, journal: Journal, seed: u64, number: usize) -> Self {
        let rng = SmallRng::seed_from_u64(seed.wrapping_add(1 + number as u64));
        Self { market, journal, rng }
    }

    /// Pays these orders, one after the other.
    ///
    /// # Errors
    /// When the journal cannot be written, or the service stays away.
    pub async fn shop(mut self, orders: Vec<Order>) -> Result<(), Error> {
        for order in orders {
            self.buy(&order).await?;
            // whoever counts may have left
            let _ = self.market.done.send(());
        }
        Ok(())
    }

    /// A card after the other until one is charged, or the client has lost track of one.
    async fn buy(&mut self, order: &Order) -> Result<(), Error> {
        for card in &order.cards {
            match self.pay(order, &order.request(card)).await? {
                Ending::Decided { declined: true } => {}
                Ending::Decided { declined: false } | Ending::Open => return Ok(()),
            }
        }
        Ok(())
    }

    /// The same request with the same key until it is answered, at random times.
    async fn pay(&mut self, order: &Order, request: &Value) -> Result<Ending, Error> {
        let key = format!("{:032x}", self.rng.random::<u128>());
        let mut ending = Ending::Open;
        for attempt in 1..=ATTEMPTS {
            let line = |event| Line { order: order.id.clone(), key: key.clone(), attempt, event };
            let (event, asked_to_wait) = self.send(&key, request, &line).await?;
            let decided = decision(&event);
            self.journal.note(&line(event))?;
            // some ask again though they were told: the answer has to be the same
            let asks_again = self.rng.random_ratio(1, 20);
            if let Some(declined) = decided {
                ending = Ending::Decided { declined };
                if !asks_again {
                    break;
                }
            }
            if attempt < ATTEMPTS {
                let pause = Duration::from_millis(self.rng.random_range(10..700));
                tokio::time::sleep(pause.max(asked_to_wait)).await;
            }
        }
        Ok(ending)
    }

    /// One request, some of them twice at once, some given up before the answer. Returns also how long the answer asked to
    /// wait.
    async fn send(
        &mut self,
        key: &str,
        request: &Value,
        line: &impl Fn(Event) -> Line,
    ) -> Result<(Event, Duration), Error> {
        let hangs_up = self.rng.random_ratio(1, 8);
        let patience = match hangs_up {
            true => Duration::from_millis(self.rng.random_range(0..150)),
            false => PATIENCE,
        };
        let clicks_twice = self.rng.random_ratio(1, 30);
        self.journal.note(&line(Event::Sent))?;
        for _ in 0..KNOCKS {
            let waiting = self.market.waiting.hold();
            let once = || tokio::time::timeout(patience, self.market.shop.pay(key, request));
            let answer = if clicks_twice {
                let (first, second) = tokio::join!(once(), once());
                if let Ok(Ok(told)) = second {
                    self.journal.note(&line(told_event(told)))?;
                }
                first
            } else {
                once().await
            };
            drop(waiting);
            return Ok(match answer {
                Ok(Ok(told)) => {
                    let wait = told.retry_after.unwrap_or_default();
                    (told_event(told), wait)
                }
                Ok(Err(error)) if error.is_connect() => {
                    self.journal.note(&line(Event::Unreachable))?;
                    tokio::time::sleep(KNOCK_PAUSE).await;
                    continue;
                }
                Ok(Err(_)) => (Event::Broken, Duration::ZERO),
                Err(_) => (Event::HungUp, Duration::ZERO),
            });
        }
        Err(Error::Unexpected("the service stayed away for a minute".to_owned()))
    }
}

fn told_event(told: Told) -> Event {
    Event::Told { status: told.status, replayed: told.replayed, body: told.body }
}

/// Whether the final answer was a decline; none for any other.
fn decision(event: &Event) -> Option<bool> {
    let Event::Told { status: 201, body, .. } = event else { return None };
    let payment: crate::shop::Payment = serde_json::from_str(body).ok()?;
    Some(payment.status == "failed")
}
