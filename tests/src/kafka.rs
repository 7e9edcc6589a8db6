//! Kafka as librdkafka mocks it, and what arrives there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;

use crate::Error;

/// As `serve` has it unless told otherwise.
const TOPIC: &str = "payonce.payments";
const PARTITIONS: i32 = 3;
/// How long the reader waits for the next event before it looks whether it is to end.
const POLL: Duration = Duration::from_millis(100);

/// An event of a payment or payout, as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Arrived {
    /// The payment or payout that it is about.
    #[serde(rename = "payment_id", alias = "payout_id")]
    pub subject_id: String,
    /// Its number among that one's events.
    pub version: i32,
    /// What consumers know it by.
    pub event_id: String,
}

/// A broker, and a consumer that reads whatever comes as it comes: the broker keeps only the last few megabytes.
pub struct Kafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Kafka {
    /// Starts both.
    ///
    /// # Errors
    /// When librdkafka cannot.
    pub fn start() -> Result<Self, Error> {
        let cluster = MockCluster::new(1).map_err(failed)?;
        cluster.create_topic(TOPIC, PARTITIONS, 1).map_err(failed)?;
        let consumer = consumer(&cluster.bootstrap_servers()).map_err(failed)?;
        let (arrived, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (theirs, told) = (Arc::clone(&arrived), Arc::clone(&stop));
        let reader = std::thread::Builder::new()
            .name("consumer".to_owned())
            .spawn(move || read(&consumer, &theirs, &told))
            .map_err(Error::io("start a thread"))?;
        Ok(Self { cluster, arrived, stop, reader: Some(reader) })
    }

    /// Its address.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// What has come so far, each one's events in the order in which they came.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(reader) = self.reader.take() {
            // a panic in there has been printed
            let _ = reader.join();
        }
    }
}

fn failed(error: KafkaError) -> Error {
    Error::Unexpected(format!("Kafka: {error}"))
}

fn consumer(brokers: &str) -> Result<BaseConsumer, KafkaError> {
    let settings = [("bootstrap.servers", brokers), ("group.id", "reader"), ("enable.auto.commit", "false")];
    let mut config = ClientConfig::new();
    config.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        from.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    Ok(consumer)
}

fn read(consumer: &BaseConsumer, arrived: &Mutex<Vec<Arrived>>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        // an error is the broker's, and what did not come is missing at the end
        let Some(Ok(message)) = consumer.poll(POLL) else { continue };
        if let Some(event) = message.payload().and_then(|payload| serde_json::from_slice(payload).ok()) {
            arrived.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        }
    }
}
