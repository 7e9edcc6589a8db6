//! A Kafka of librdkafka's own making, and what a consumer reads from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use money::{EventId, PaymentId};
use payment_service::outbox::relay::{Config, Relay};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use sqlx::PgPool;

use super::DEADLINE;

const TOPIC: &str = "payments.test";
const PARTITIONS: i32 = 4;

pub struct Kafka(pub MockCluster<'static, DefaultProducerContext>);

/// A message as a consumer sees it.
pub struct Received {
    pub partition: i32,
    pub key: String,
    pub value: Value,
    pub headers: HashMap<String, String>,
}

impl Kafka {
    pub fn start(brokers: i32) -> Self {
        let cluster = MockCluster::new(brokers).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, brokers).unwrap();
        Self(cluster)
    }

    pub fn config(&self) -> Config {
        Config {
            topic: TOPIC.to_owned(),
            // and so a lease that a slow machine does not sleep past
            message_timeout: Duration::from_secs(20),
            poll: Duration::from_millis(20),
            ..Config::new(self.0.bootstrap_servers())
        }
    }

    pub fn relay(&self, pool: &PgPool) -> Relay {
        Relay::new(pool.clone(), self.config()).unwrap()
    }

    /// Everything in the topic, in the order of its partitions.
    pub async fn read_all(&self) -> Vec<Received> {
        let brokers = self.0.bootstrap_servers();
        tokio::task::spawn_blocking(move || read_all(&brokers)).await.unwrap()
    }

    /// What a consumer that knows events by their ids keeps: each once, each payment's in order.
    pub async fn first_copies(&self) -> BTreeMap<(PaymentId, i32), EventId> {
        let (mut partitions, mut seen) = (HashMap::new(), BTreeMap::new());
        let mut latest: HashMap<PaymentId, i32> = HashMap::new();
        for message in self.read_all().await {
            let payment: PaymentId = message.key.parse().unwrap();
            let version = i32::try_from(message.value["version"].as_i64().unwrap()).unwrap();
            let event: EventId = message.value["event_id"].as_str().unwrap().parse().unwrap();
            assert_eq!(*partitions.entry(payment).or_insert(message.partition), message.partition);
            match seen.get(&(payment, version)) {
                Some(first) => assert_eq!(*first, event, "a copy is the same event"),
                None => {
                    let latest = latest.entry(payment).or_default();
                    assert_eq!(version, *latest + 1, "the first copies of {payment} have a gap");
                    *latest = version;
                    seen.insert((payment, version), event);
                }
            }
        }
        seen
    }
}

fn read_all(brokers: &str) -> Vec<Received> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reader")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut messages, mut ended, start) = (Vec::new(), BTreeSet::new(), Instant::now());
    while ended.len() < usize::try_from(PARTITIONS).unwrap() {
        assert!(start.elapsed() < DEADLINE, "the topic could not be read to its end");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(Err(error)) => panic!("{error}"),
            Some(Ok(message)) => messages.push(Received {
                partition: message.partition(),
                key: text(message.key().unwrap()),
                value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
                headers: message
                    .headers()
                    .unwrap()
                    .iter()
                    .map(|header| (header.key.to_owned(), text(header.value.unwrap())))
                    .collect(),
            }),
            None => {}
        }
    }
    messages
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
