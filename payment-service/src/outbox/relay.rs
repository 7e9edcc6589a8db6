//! The relay: publishes the events of payments and payouts to Kafka, at least once, each one's in order.
//!
//! An event is sent when its predecessor is acknowledged, and marked when it is itself; so the first copies of a
//! payment's events have no gap, whatever fails, dies or is repeated in between. There is no cursor over a sequence:
//! what is unpublished is what is not marked. Any number of relays may run: a lease spares them double work, and one
//! that slept past its lease can only repeat events, which consumers know by their ids.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use money::{EventId, MerchantId};
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::patience::Patience;
use super::producer::{Producer, Producers};
use super::repo::{self, Position, Unpublished};
use crate::failpoint::Failpoint;

/// Where events go unless told otherwise.
pub const DEFAULT_TOPIC: &str = "payonce.payments";

/// Merchants whose events are published at the same time by one relay.
const MERCHANTS_AT_ONCE: usize = 4;

/// How long deliveries under way are waited for when the relay is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How often the age of the oldest unpublished event is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Where to publish, and within what bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// Events read at once for a merchant: with [`Config::message_timeout`] it bounds memory and the time of a run.
    pub batch: u16,
    /// How long one delivery may take, the producer's own retries included. A run takes at most twice as long, and
    /// the lease is three times as long.
    pub message_timeout: Duration,
    /// Pause between looks at an outbox that is empty.
    pub poll: Duration,
    /// From what age an unpublished event is worth a warning.
    pub alert_after: Duration,
}

impl Config {
    /// The usual bounds, for these brokers.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic: DEFAULT_TOPIC.to_owned(),
            batch: 1000,
            message_timeout: Duration::from_secs(5),
            poll: Duration::from_millis(200),
            alert_after: Duration::from_secs(60),
        }
    }
}

/// Why a run ended without knowing what it published. Whatever it did is done again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("relay: the database failed")]
    Database(#[from] sqlx::Error),
    /// No producer could be made: the configuration is wrong, or the machine is out of something.
    #[error("relay: no Kafka producer could be made")]
    Producer(#[from] KafkaError),
    /// Under our lease, somebody else marked events.
    #[error("relay: {marked} of {acknowledged} acknowledged events were marked")]
    MarksLost {
        /// Events that the brokers acknowledged.
        acknowledged: usize,
        /// Events that were then marked.
        marked: usize,
    },
}

/// Why an event was not delivered, as far as is known: the broker may have it all the same.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The producer or a broker refused it or gave it up.
    #[error("Kafka does not take it")]
    Kafka(#[from] KafkaError),
    /// The producer went away before it answered.
    #[error("the producer is gone")]
    Dropped,
    /// It cannot be written as JSON.
    #[error("it cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// An event before it is missing from what was read.
    #[error("its predecessor is missing")]
    Gap,
}

/// An event that could not be published; it and the later ones of its payment or payout wait.
#[derive(Debug)]
pub struct Undelivered {
    /// Its payment or payout.
    pub subject_id: Uuid,
    /// Its number among the payment's events.
    pub version: i32,
    /// Its id.
    pub event_id: EventId,
    /// Why.
    pub error: DeliveryError,
}

/// What a run did.
#[derive(Debug)]
pub enum Outcome {
    /// Another relay has the merchant's lease.
    Held,
    /// The lease ran out on the way and another relay took over: nothing was marked, and it will repeat everything.
    Superseded,
    /// A page of events was looked at.
    Page(Page),
}

/// A page of a merchant's events.
#[derive(Debug)]
pub struct Page {
    /// Unpublished events that were read.
    pub read: usize,
    /// Those that are published and marked now: of each payment the first ones, without a gap.
    pub published: usize,
    /// The payments that wait because an event of theirs could not be delivered.
    pub undelivered: Vec<Undelivered>,
    /// Whether the page was full: there may be more behind it, which the next run reads first.
    pub more: bool,
}

/// The oldest event that is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oldest {
    /// Whose.
    pub merchant_id: MerchantId,
    /// Its payment or payout.
    pub subject_id: Uuid,
    /// Its id.
    pub event_id: EventId,
    /// When it happened.
    pub recorded_at: OffsetDateTime,
    /// How long ago that is, by the database's clock.
    pub age: Duration,
}

/// Merchants that have events to publish.
///
/// # Errors
/// When Postgres fails.
pub async fn merchants_with_unpublished(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    repo::merchants_with_unpublished(pool).await
}

/// The oldest event that waits to be published, if any does: its age is what tells that Kafka is down.
///
/// # Errors
/// When Postgres fails.
pub async fn oldest_unpublished(pool: &PgPool) -> Result<Option<Oldest>, sqlx::Error> {
    repo::oldest_unpublished(pool).await
}

/// Publishes events; see the module.
pub struct Relay {
    pool: PgPool,
    producers: Producers,
    config: Config,
    /// Where the next run goes on for merchants whose last page was full, so that payments which cannot be published
    /// do not keep the others waiting behind them.
    positions: Mutex<HashMap<MerchantId, Position>>,
}

impl Relay {
    /// A relay of its own producer. Brokers need not be reachable.
    ///
    /// # Errors
    /// When the configuration is none that a producer can be made of.
    pub fn new(pool: PgPool, config: Config) -> Result<Self, Error> {
        Ok(Self { pool, producers: Producers::new(&config)?, config, positions: Mutex::default() })
    }

    /// Publishes one page of a merchant's events under its lease, and marks what the brokers acknowledged. What fails
    /// at Kafka is no error here: it is read again by a later run.
    ///
    /// # Errors
    /// When Postgres fails or no producer can be made.
    pub async fn run_once(&self, merchant: MerchantId) -> Result<Outcome, Error> {
        self.publish(merchant, &CancellationToken::new()).await
    }

    /// Publishes until it is told to stop, then gives what is under way a moment and its leases back.
    pub async fn run(self, cancel: CancellationToken) {
        let mut patience = Patience::new(self.config.poll);
        let mut look_at = Instant::now() + LOOK_EVERY;
        while !cancel.is_cancelled() {
            let at_once = self.sweep(&mut patience, &cancel).await;
            if Instant::now() >= look_at {
                self.look_at_age().await;
                look_at = Instant::now() + LOOK_EVERY;
            }
            if !at_once {
                // the answer of neither matters: the loop looks for itself
                let _ = tokio::time::timeout(self.config.poll, cancel.cancelled()).await;
            }
        }
        // the producer's end waits for its threads; a panic in there has nobody left to tell
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// One page for each merchant that has events. Answers whether there is more to do at once.
    async fn sweep(&self, patience: &mut Patience, cancel: &CancellationToken) -> bool {
        let merchants = match merchants_with_unpublished(&self.pool).await {
            Ok(merchants) => merchants,
            Err(error) => {
                patience.cannot_list(&error);
                return false;
            }
        };
        let due = patience.due(&merchants, Instant::now());
        let mut pages = stream::iter(due)
            .map(async |merchant| (merchant, self.publish(merchant, cancel).await))
            .buffer_unordered(MERCHANTS_AT_ONCE);
        let mut at_once = false;
        while let Some((merchant, outcome)) = pages.next().await {
            at_once |= patience.learn(merchant, &outcome, Instant::now());
        }
        at_once
    }

    async fn look_at_age(&self) {
        match oldest_unpublished(&self.pool).await {
            Ok(Some(oldest)) if oldest.age >= self.config.alert_after => tracing::warn!(
                age_s = oldest.age.as_secs(),
                merchant_id = %oldest.merchant_id,
                subject_id = %oldest.subject_id,
                event_id = %oldest.event_id,
                "events wait to be published"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the age of unpublished events is unknown"
                )
            }
        }
    }

    async fn publish(&self, merchant: MerchantId, stop: &CancellationToken) -> Result<Outcome, Error> {
        let producer = self.producers.healthy()?;
        let lease = self.config.message_timeout * 3;
        let Some(fence) = repo::take_lease(&self.pool, merchant, lease).await? else {
            return Ok(Outcome::Held);
        };
        let limit = usize::from(self.config.batch.max(1));
        let after = self.position(merchant);
        let events = repo::unpublished(&self.pool, merchant, after, limit as i64).await?;
        if !events.is_empty() {
            Failpoint::RelayRead.pass().await?;
        }
        let chains: Vec<&[Unpublished]> =
            events.chunk_by(|one, next| one.subject_id == next.subject_id).collect();
        let delivered = self.deliver(&producer, merchant, &chains, stop).await;

        let acknowledged: Vec<Position> = chains
            .iter()
            .zip(&delivered)
            .flat_map(|(chain, delivered)| &chain[..delivered.acknowledged])
            .map(position_of)
            .collect();
        if !acknowledged.is_empty() {
            Failpoint::RelayDelivered.pass().await?;
        }
        let marks = repo::mark_and_release(&self.pool, merchant, fence, &acknowledged).await?;
        if !acknowledged.is_empty() {
            Failpoint::RelayMarked.pass().await?;
        }
        if !marks.ours {
            return Ok(Outcome::Superseded);
        }
        if marks.marked != acknowledged.len() {
            return Err(Error::MarksLost { acknowledged: acknowledged.len(), marked: marks.marked });
        }
        let more = events.len() == limit;
        self.go_on_after(merchant, chains.last().copied().filter(|_| more), delivered.last());
        Ok(Outcome::Page(Page {
            read: events.len(),
            published: marks.marked,
            undelivered: delivered.into_iter().filter_map(|delivered| delivered.problem).collect(),
            more,
        }))
    }

    /// Sends all chains at once, each event by event.
    async fn deliver(
        &self,
        producer: &Producer,
        merchant: MerchantId,
        chains: &[&[Unpublished]],
        stop: &CancellationToken,
    ) -> Vec<Delivered> {
        let until = Until { stop, deadline: Instant::now() + self.config.message_timeout };
        let all = join_all(chains.iter().map(|chain| deliver_chain(producer, merchant, chain, until)));
        tokio::pin!(all);
        tokio::select! {
            delivered = &mut all => return delivered,
            () = async { stop.cancelled().await; tokio::time::sleep(STOP_GRACE).await } => producer.give_up(),
        }
        all.await
    }

    fn position(&self, merchant: MerchantId) -> Position {
        let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Position { subject_id: Uuid::nil(), version: 0 };
        positions.get(&merchant).copied().unwrap_or(start)
    }

    /// Remembers where a full page ended: inside its last payment if that may go on, else behind it.
    fn go_on_after(
        &self,
        merchant: MerchantId,
        last_chain: Option<&[Unpublished]>,
        delivered: Option<&Delivered>,
    ) {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some([.., last]), Some(delivered), Some(chain)) = (last_chain, delivered, last_chain) else {
            positions.remove(&merchant);
            return;
        };
        let version = if delivered.acknowledged == chain.len() { last.version } else { i32::MAX };
        positions.insert(merchant, Position { subject_id: last.subject_id, version });
    }
}

/// Until when events may be started to be sent.
#[derive(Clone, Copy)]
struct Until<'a> {
    stop: &'a CancellationToken,
    deadline: Instant,
}

/// What became of a payment's events.
struct Delivered {
    /// How many of the first ones the brokers have.
    acknowledged: usize,
    /// What stopped the next one, if something did.
    problem: Option<Undelivered>,
}

/// Sends a payment's events in order, each when the one before is acknowledged: a producer that gives one up sends
/// the next all the same.
async fn deliver_chain(
    producer: &Producer,
    merchant: MerchantId,
    chain: &[Unpublished],
    until: Until<'_>,
) -> Delivered {
    let mut previous: Option<&Unpublished> = None;
    for (acknowledged, event) in chain.iter().enumerate() {
        if until.stop.is_cancelled() || Instant::now() >= until.deadline {
            return Delivered { acknowledged, problem: None };
        }
        let sent = match previous {
            Some(previous) if event.version != previous.version + 1 => Err(DeliveryError::Gap),
            _ => producer.send(merchant, event).await,
        };
        if let Err(error) = sent {
            let Unpublished { subject_id, version, event_id, .. } = *event;
            let problem = Some(Undelivered { subject_id, version, event_id, error });
            return Delivered { acknowledged, problem };
        }
        previous = Some(event);
    }
    Delivered { acknowledged: chain.len(), problem: None }
}

fn position_of(event: &Unpublished) -> Position {
    Position { subject_id: event.subject_id, version: event.version }
}
