//! The Kafka producer: how it is set up, and how it is replaced when it has died.

use std::sync::{Mutex, PoisonError};

use money::{MerchantId, PaymentId, PayoutId};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use serde::Serialize;
use sqlx::types::JsonRawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::relay::{Config, DeliveryError};
use super::repo::Unpublished;

/// Bytes that may wait in the producer; more is refused and read again later.
const QUEUE_KBYTES: u32 = 64 * 1024;

/// librdkafka's own talk. What matters comes back with each delivery, so this is for a person who is looking for it.
#[derive(Clone)]
struct Talk;

impl ClientContext for Talk {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

/// Makes producers, and another one after a fatal error.
pub(super) struct Producers {
    settings: ClientConfig,
    topic: String,
    current: Mutex<FutureProducer<Talk>>,
}

/// A producer that was alive when it was handed out.
#[derive(Clone)]
pub(super) struct Producer {
    inner: FutureProducer<Talk>,
    topic: String,
}

/// What consumers read.
#[derive(Serialize)]
struct Envelope<'a> {
    event_id: Uuid,
    #[serde(rename = "type")]
    kind: &'a str,
    merchant_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payout_id: Option<Uuid>,
    version: i32,
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
    data: &'a JsonRawValue,
}

impl Producers {
    pub(super) fn new(config: &Config) -> Result<Self, KafkaError> {
        let settings = settings(config);
        let current = Mutex::new(settings.create_with_context(Talk)?);
        Ok(Self { settings, topic: config.topic.clone(), current })
    }

    /// The producer, or a new one if an idempotent producer's fatal error has ended it: it would refuse everything
    /// for ever, and what it still held is read from the outbox again.
    pub(super) fn healthy(&self) -> Result<Producer, KafkaError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = current.client().fatal_error() {
            tracing::error!(%code, reason, "the Kafka producer has died and is replaced");
            let dead = std::mem::replace(&mut *current, self.settings.create_with_context(Talk)?);
            // its end waits for its threads
            tokio::task::spawn_blocking(move || drop(dead));
        }
        Ok(Producer { inner: current.clone(), topic: self.topic.clone() })
    }
}

impl Producer {
    /// Sends one event and waits until the broker has it, or it is given up.
    pub(super) async fn send(&self, merchant: MerchantId, event: &Unpublished) -> Result<(), DeliveryError> {
        let envelope = Envelope {
            event_id: event.event_id.as_uuid(),
            kind: &event.kind,
            merchant_id: merchant.as_uuid(),
            payment_id: event.payment_id.map(PaymentId::as_uuid),
            payout_id: event.payout_id.map(PayoutId::as_uuid),
            version: event.version,
            recorded_at: event.recorded_at,
            data: &event.data,
        };
        let (key, value) = (event.subject_id.to_string(), serde_json::to_vec(&envelope)?);
        let event_id = event.event_id.to_string();
        let headers = OwnedHeaders::new()
            .insert(Header { key: "event_id", value: Some(&event_id) })
            .insert(Header { key: "type", value: Some(&event.kind) });
        let record = FutureRecord::to(&self.topic).key(&key).payload(&value).headers(headers);
        let delivery = self.inner.send_result(record).map_err(|(error, _)| error)?;
        match delivery.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(error.into()),
            Err(_) => Err(DeliveryError::Dropped),
        }
    }

    /// Gives up everything that waits or is under way; each delivery says so at once.
    pub(super) fn give_up(&self) {
        self.inner.purge(PurgeConfig::default().queue().inflight());
    }
}

fn settings(config: &Config) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "payonce-relay")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // the one bound of a delivery, retries included; the lease is longer
        .set("message.timeout.ms", config.message_timeout.as_millis().to_string())
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        // the partition that a Java producer would choose for the key
        .set("partitioner", "murmur2")
        // a broker that is back is found within a third of a second
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "300")
        .set("socket.keepalive.enable", "true")
        .set("queue.buffering.max.kbytes", QUEUE_KBYTES.to_string())
        .set("statistics.interval.ms", "0")
        .set_log_level(RDKafkaLogLevel::Info);
    settings
}
