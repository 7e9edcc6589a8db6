//! The relay against a Kafka of librdkafka's own making, through real sockets, and Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::time::{Duration, Instant};

use money::{EventId, MerchantId, PaymentId, PspAccountId};
use payment_service::outbox::relay::{
    Config, DeliveryError, Error, Outcome, Page, Relay, merchants_with_unpublished, oldest_unpublished,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TOPIC: &str = "payments.test";
const PARTITIONS: i32 = 4;
const DEADLINE: Duration = Duration::from_secs(60);

struct Shop {
    pool: PgPool,
    merchant: MerchantId,
    account: PspAccountId,
}

impl Shop {
    async fn open(pool: &PgPool) -> Self {
        let (merchant, account) = (MerchantId::new(), PspAccountId::new());
        sqlx::query("insert into merchant (merchant_id, mode, name) values ($1, 'test', 'Shop')")
            .bind(merchant)
            .execute(pool)
            .await
            .unwrap();
        sqlx::query(
            "insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
             select $1, $2, 'test', 'stripe', 'main', 'http://127.0.0.1:1', sealed, sealed
             from decode('01' || repeat('00', 40), 'hex') as sealed",
        )
        .bind(merchant)
        .bind(account)
        .execute(pool)
        .await
        .unwrap();
        Self { pool: pool.clone(), merchant, account }
    }

    /// A payment with this many events.
    async fn payment(&self, events: i32) -> PaymentId {
        self.payment_with(events, &json!({"amount": 9_007_199_254_740_993_i64})).await
    }

    async fn payment_with(&self, events: i32, data: &Value) -> PaymentId {
        let payment = PaymentId::new();
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query(
            "insert into payment (merchant_id, payment_id, order_id, ordinal, psp_account_id, status, live, amount,
                                  currency, capture_method, payment_method, metadata, version, created_at, updated_at)
             values ($1, $2, $2::text, 1, $3, 'processing', true, 1000, 'EUR', 'automatic', 'pm', '{}', $4, now(), now())",
        )
        .bind(self.merchant)
        .bind(payment)
        .bind(self.account)
        .bind(events)
        .execute(&mut *tx)
        .await
        .unwrap();
        for version in 1..=events {
            insert_event(&mut tx, self.merchant, payment, version, data).await;
        }
        tx.commit().await.unwrap();
        payment
    }

    /// One more event of a payment, in an open transaction, the way the service does it: under the payment's lock.
    async fn begin_event(&self, payment: PaymentId) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut tx = self.pool.begin().await.unwrap();
        let version: i32 = sqlx::query_scalar(
            "update payment set version = version + 1 where merchant_id = $1 and payment_id = $2 returning version",
        )
        .bind(self.merchant)
        .bind(payment)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        insert_event(&mut tx, self.merchant, payment, version, &json!({})).await;
        tx
    }

    async fn event(&self, payment: PaymentId) {
        self.begin_event(payment).await.commit().await.unwrap();
    }

    /// Every event there is.
    async fn events(&self) -> BTreeMap<(PaymentId, i32), EventId> {
        let rows: Vec<(PaymentId, i32, EventId)> =
            sqlx::query_as("select payment_id, version, event_id from payment_event where merchant_id = $1")
                .bind(self.merchant)
                .fetch_all(&self.pool)
                .await
                .unwrap();
        rows.into_iter().map(|(payment, version, event)| ((payment, version), event)).collect()
    }

    async fn unpublished(&self) -> i64 {
        sqlx::query_scalar(
            "select count(*) from payment_event where merchant_id = $1 and published_at is null",
        )
        .bind(self.merchant)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Time passes over the lease's end.
    async fn expire_lease(&self) {
        sqlx::query("update relay_lease set lease_until = now() where merchant_id = $1")
            .bind(self.merchant)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// The same, if an owner with an odd fence is at work. Answers how many leases that ended.
    async fn steal_odd_lease(&self) -> u64 {
        sqlx::query(
            "update relay_lease set lease_until = now()
             where merchant_id = $1 and fence % 2 = 1 and lease_until > now()",
        )
        .bind(self.merchant)
        .execute(&self.pool)
        .await
        .unwrap()
        .rows_affected()
    }

    async fn lease(&self) -> Option<(i64, bool)> {
        sqlx::query_as("select fence, lease_until > now() from relay_lease where merchant_id = $1")
            .bind(self.merchant)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }
}

async fn insert_event(
    tx: &mut sqlx::Transaction<'static, sqlx::Postgres>,
    merchant: MerchantId,
    payment: PaymentId,
    version: i32,
    data: &Value,
) {
    sqlx::query(
        "insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
         values ($1, $2, $3, $4, 'payment.changed', $5, now())",
    )
    .bind(merchant)
    .bind(payment)
    .bind(version)
    .bind(EventId::new())
    .bind(data)
    .execute(&mut **tx)
    .await
    .unwrap();
}

struct Kafka(MockCluster<'static, DefaultProducerContext>);

/// A message as a consumer sees it.
struct Received {
    partition: i32,
    key: String,
    value: Value,
    headers: HashMap<String, String>,
}

impl Kafka {
    fn start(brokers: i32) -> Self {
        let cluster = MockCluster::new(brokers).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, brokers).unwrap();
        Self(cluster)
    }

    fn config(&self) -> Config {
        Config {
            topic: TOPIC.to_owned(),
            // and so a lease that a slow machine does not sleep past
            message_timeout: Duration::from_secs(20),
            poll: Duration::from_millis(20),
            ..Config::new(self.0.bootstrap_servers())
        }
    }

    fn relay(&self, pool: &PgPool) -> Relay {
        Relay::new(pool.clone(), self.config()).unwrap()
    }

    /// Everything in the topic, in the order of its partitions.
    async fn read_all(&self) -> Vec<Received> {
        let brokers = self.0.bootstrap_servers();
        tokio::task::spawn_blocking(move || read_all(&brokers)).await.unwrap()
    }

    /// What a consumer that knows events by their ids keeps: each once, each payment's in order.
    async fn first_copies(&self) -> BTreeMap<(PaymentId, i32), EventId> {
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

/// Waits for a fact.
async fn until<F: Future<Output = bool>>(fact: &str, holds: impl Fn() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < DEADLINE, "never: {fact}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn page(relay: &Relay, shop: &Shop) -> Page {
    match relay.run_once(shop.merchant).await.unwrap() {
        Outcome::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

/// The page's figures: read, published, payments that wait.
fn figures(page: &Page) -> (usize, usize, usize) {
    (page.read, page.published, page.undelivered.len())
}

fn kafka_code(error: &DeliveryError) -> Option<RDKafkaErrorCode> {
    match error {
        DeliveryError::Kafka(error) => error.rdkafka_error_code(),
        _ => None,
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_event_arrives_as_it_was_recorded(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    let payment = shop.payment(1).await;
    let relay = kafka.relay(&pool);
    assert_eq!(merchants_with_unpublished(&pool).await.unwrap(), [shop.merchant]);
    assert_eq!(figures(&page(&relay, &shop).await), (1, 1, 0));
    assert!(merchants_with_unpublished(&pool).await.unwrap().is_empty());
    assert_eq!(figures(&page(&relay, &shop).await), (0, 0, 0), "an event is published once");

    let [message] = &kafka.read_all().await[..] else { panic!("not one message") };
    let event = shop.events().await[&(payment, 1)].to_string();
    let recorded_at: String = sqlx::query_scalar(
        "select to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') from payment_event",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(message.key, payment.to_string());
    assert!(message.value["recorded_at"].as_str().unwrap().starts_with(&recorded_at));
    let mut value = message.value.clone();
    value.as_object_mut().unwrap().remove("recorded_at");
    let expected = json!({
        "event_id": event,
        "type": "payment.changed",
        "merchant_id": shop.merchant,
        "payment_id": payment,
        "version": 1,
        "data": {"amount": 9_007_199_254_740_993_i64},
    });
    assert_eq!(value, expected);
    assert_eq!(
        message.headers,
        HashMap::from([("event_id".to_owned(), event), ("type".to_owned(), "payment.changed".to_owned())])
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn the_events_of_many_payments_arrive_in_order_page_by_page(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(3));
    for _ in 0..60 {
        shop.payment(5).await;
    }
    // a page ends inside of payments, and one payment is longer than a page
    shop.payment(40).await;
    let relay = Relay::new(pool.clone(), Config { batch: 13, ..kafka.config() }).unwrap();
    let mut published = 0;
    loop {
        let page = page(&relay, &shop).await;
        assert_eq!(page.published, page.read);
        published += page.published;
        if !page.more {
            break;
        }
    }
    assert_eq!(published, 340);
    assert_eq!(kafka.first_copies().await, shop.events().await);
    assert_eq!(kafka.read_all().await.len(), 340, "without faults there are no copies");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn merchants_are_published_apart(pool: PgPool) {
    let (one, other, kafka) = (Shop::open(&pool).await, Shop::open(&pool).await, Kafka::start(1));
    one.payment(2).await;
    other.payment(3).await;
    let relay = kafka.relay(&pool);
    assert_eq!(figures(&page(&relay, &one).await), (2, 2, 0));
    assert_eq!((one.unpublished().await, other.unpublished().await), (0, 3));
    assert_eq!(merchants_with_unpublished(&pool).await.unwrap(), [other.merchant]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_was_rolled_back_is_never_published_and_what_commits_late_is(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    let (late, undone) = (shop.payment(1).await, shop.payment(1).await);
    let (late_tx, undone_tx) = (shop.begin_event(late).await, shop.begin_event(undone).await);
    let relay = kafka.relay(&pool);
    assert_eq!(figures(&page(&relay, &shop).await), (2, 2, 0), "nothing of an open transaction is seen");
    undone_tx.rollback().await.unwrap();
    assert_eq!(figures(&page(&relay, &shop).await), (0, 0, 0));
    // recorded before everything that is published already, committed after it
    late_tx.commit().await.unwrap();
    assert_eq!(figures(&page(&relay, &shop).await), (1, 1, 0));
    let copies = kafka.first_copies().await;
    assert_eq!(copies, shop.events().await);
    assert!(copies.contains_key(&(late, 2)) && !copies.contains_key(&(undone, 2)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn relays_that_lose_their_leases_all_the_time_repeat_events_and_keep_their_order(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(3));
    let mut payments = Vec::new();
    for _ in 0..10 {
        payments.push(shop.payment(1).await);
    }
    let stop = CancellationToken::new();
    let relays: Vec<_> = (0..3)
        .map(|_| {
            let config = Config { batch: 7, poll: Duration::from_millis(5), ..kafka.config() };
            tokio::spawn(Relay::new(pool.clone(), config).unwrap().run(stop.clone()))
        })
        .collect();
    let stolen = Cell::new(0);
    let writing = async {
        while stolen.get() < 30 {
            for payment in &payments {
                shop.event(*payment).await;
            }
        }
        until("everything is published", || async { shop.unpublished().await == 0 }).await;
        stop.cancel();
    };
    // every second owner loses its lease while it is at work; the others get on
    let stealing = async {
        while !stop.is_cancelled() {
            stolen.set(stolen.get() + shop.steal_odd_lease().await);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, stealing);
    for relay in relays {
        relay.await.unwrap();
    }
    assert_eq!(kafka.first_copies().await, shop.events().await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_relay_that_dies_after_the_acks_leaves_everything_to_the_next_one(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    for _ in 0..5 {
        shop.payment(3).await;
    }
    sqlx::raw_sql(
        "create function die() returns trigger language plpgsql as $$ begin raise 'the relay is dead'; end $$;
         create trigger die before update on payment_event for each row execute function die();",
    )
    .execute(&pool)
    .await
    .unwrap();
    let dead = kafka.relay(&pool);
    assert!(matches!(dead.run_once(shop.merchant).await, Err(Error::Database(_))));
    assert_eq!(kafka.first_copies().await, shop.events().await, "the brokers had it all");
    assert_eq!(shop.unpublished().await, 15);
    sqlx::raw_sql("drop trigger die on payment_event").execute(&pool).await.unwrap();

    let heir = kafka.relay(&pool);
    assert!(matches!(heir.run_once(shop.merchant).await.unwrap(), Outcome::Held), "its lease outlives it");
    assert_eq!(shop.lease().await, Some((1, true)));
    shop.expire_lease().await;
    assert_eq!(figures(&page(&heir, &shop).await), (15, 15, 0));
    assert_eq!(shop.lease().await, Some((2, false)), "a relay gives its lease back with its marks");
    assert_eq!(kafka.read_all().await.len(), 30);
    assert_eq!(kafka.first_copies().await, shop.events().await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_relay_that_slept_past_its_lease_marks_nothing(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    shop.payment(3).await;
    kafka.0.broker_down(-1).unwrap();
    let sleeper =
        Relay::new(pool.clone(), Config { message_timeout: Duration::from_secs(20), ..kafka.config() })
            .unwrap();
    let meanwhile = async {
        until("the lease is taken", || async { shop.lease().await == Some((1, true)) }).await;
        sqlx::query("update relay_lease set fence = fence + 1").execute(&pool).await.unwrap();
        kafka.0.broker_up(-1).unwrap();
    };
    let (outcome, ()) = tokio::join!(sleeper.run_once(shop.merchant), meanwhile);
    assert!(matches!(outcome.unwrap(), Outcome::Superseded));
    assert_eq!(shop.unpublished().await, 3, "the new owner decides what is published");
    assert_eq!(shop.lease().await, Some((2, true)), "and keeps its lease");
    shop.expire_lease().await;
    assert_eq!(figures(&page(&sleeper, &shop).await), (3, 3, 0));
    assert_eq!(kafka.first_copies().await, shop.events().await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn brokers_that_are_down_stop_nobody_and_get_everything_when_they_are_back(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(3));
    let early = shop.payment(2).await;
    assert_eq!(oldest_unpublished(&pool).await.unwrap().unwrap().payment_id, early);
    let stop = CancellationToken::new();
    let config = Config { message_timeout: Duration::from_millis(500), ..kafka.config() };
    let relay = tokio::spawn(Relay::new(pool.clone(), config.clone()).unwrap().run(stop.clone()));
    until("the first events are published", || async { shop.unpublished().await == 0 }).await;
    assert_eq!(oldest_unpublished(&pool).await.unwrap(), None);

    kafka.0.broker_down(-1).unwrap();
    shop.event(early).await;
    for _ in 0..30 {
        shop.payment(3).await;
    }
    let fence = shop.lease().await.unwrap().0;
    until("the relay has tried and failed", || async { shop.lease().await.unwrap().0 > fence + 1 }).await;
    assert_eq!(shop.unpublished().await, 91);
    let oldest = oldest_unpublished(&pool).await.unwrap().unwrap();
    assert_eq!((oldest.merchant_id, oldest.payment_id), (shop.merchant, early));
    until("its age grows", || async {
        oldest_unpublished(&pool).await.unwrap().unwrap().age >= oldest.age + Duration::from_millis(20)
    })
    .await;

    kafka.0.broker_up(-1).unwrap();
    until("everything is published", || async { shop.unpublished().await == 0 }).await;
    stop.cancel();
    relay.await.unwrap();
    assert_eq!(kafka.first_copies().await, shop.events().await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_relay_told_to_stop_while_the_brokers_are_down_gives_its_lease_back(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    shop.payment(2).await;
    kafka.0.broker_down(-1).unwrap();
    let stop = CancellationToken::new();
    let config = Config { message_timeout: Duration::from_secs(600), ..kafka.config() };
    let relay = tokio::spawn(Relay::new(pool.clone(), config).unwrap().run(stop.clone()));
    until("a delivery is under way", || async { shop.lease().await == Some((1, true)) }).await;
    stop.cancel();
    tokio::time::timeout(DEADLINE, relay).await.expect("it stops long before its deliveries end").unwrap();
    assert_eq!(shop.lease().await, Some((1, false)));
    assert_eq!(shop.unpublished().await, 2);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn errors_that_brokers_get_over_are_not_seen(pool: PgPool) {
    use RDKafkaRespErr as E;
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(3));
    for _ in 0..20 {
        shop.payment(4).await;
    }
    kafka.0.request_errors(
        RDKafkaApiKey::Produce,
        &[
            E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            // the broker hangs up
            E::RD_KAFKA_RESP_ERR__TRANSPORT,
            E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ],
    );
    let stop = CancellationToken::new();
    let relay = tokio::spawn(kafka.relay(&pool).run(stop.clone()));
    until("everything is published", || async { shop.unpublished().await == 0 }).await;
    stop.cancel();
    relay.await.unwrap();
    assert_eq!(kafka.first_copies().await, shop.events().await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn no_event_is_sent_before_one_of_its_payment_that_failed(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    let payment = shop.payment(4).await;
    let relay = kafka.relay(&pool);
    let refuse = || {
        kafka.0.request_errors(
            RDKafkaApiKey::Produce,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS],
        );
    };
    refuse();
    let first = page(&relay, &shop).await;
    assert_eq!(figures(&first), (4, 0, 1));
    let waiting = &first.undelivered[0];
    assert_eq!((waiting.payment_id, waiting.version), (payment, 1));
    assert_eq!(kafka_code(&waiting.error), Some(RDKafkaErrorCode::InvalidRequiredAcks));
    assert!(kafka.read_all().await.is_empty(), "its successors were not sent");
    assert_eq!(figures(&page(&relay, &shop).await), (4, 4, 0));
    assert_eq!(kafka.first_copies().await, shop.events().await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_message_that_no_broker_takes_stops_its_own_payment_only(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    let mut stuck = Vec::new();
    for _ in 0..5 {
        let payment = shop.payment_with(1, &json!({"reason": "x".repeat(1_100_000)})).await;
        shop.event(payment).await;
        stuck.push(payment);
    }
    for _ in 0..5 {
        shop.payment(3).await;
    }
    // the stuck ones fill whole pages, and are the first
    let relay = Relay::new(pool.clone(), Config { batch: 4, ..kafka.config() }).unwrap();
    let mut pages = Vec::new();
    for _ in 0..8 {
        pages.push(page(&relay, &shop).await);
    }
    let undelivered: Vec<_> = pages.iter().flat_map(|page| &page.undelivered).collect();
    assert!(undelivered.iter().all(|event| event.version == 1 && stuck.contains(&event.payment_id)));
    assert_eq!(kafka_code(&undelivered[0].error), Some(RDKafkaErrorCode::MessageSizeTooLarge));
    assert_eq!(pages.iter().map(|page| page.published).sum::<usize>(), 15, "nobody waits behind them");
    assert_eq!(shop.unpublished().await, 10);
    let copies = kafka.first_copies().await;
    assert_eq!(copies.len(), 15);
    assert!(copies.keys().all(|(payment, _)| !stuck.contains(payment)));

    // once it is small enough, its payment goes on
    sqlx::query("update payment_event set data = '{}' where merchant_id = $1 and payment_id = $2")
        .bind(shop.merchant)
        .bind(stuck[0])
        .execute(&pool)
        .await
        .unwrap();
    let published = async || page(&relay, &shop).await.published;
    let again = [published().await, published().await, published().await, published().await];
    assert_eq!(again.iter().sum::<usize>(), 2);
    assert_eq!(kafka.first_copies().await.len(), 17);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_producer_that_died_is_replaced_and_goes_on(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    shop.payment(3).await;
    let relay = kafka.relay(&pool);
    assert_eq!(figures(&page(&relay, &shop).await), (3, 3, 0));
    let payment = shop.payment(3).await;
    // a broker that lost what it knew of the producer's sequence: for an idempotent producer the end
    kafka.0.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    let failed = page(&relay, &shop).await;
    assert_eq!(figures(&failed), (3, 0, 1));
    assert_eq!(failed.undelivered[0].payment_id, payment);
    assert_eq!(figures(&page(&relay, &shop).await), (3, 3, 0), "the next run has a live one");
    assert_eq!(kafka.first_copies().await, shop.events().await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_lease_is_one_relays_until_it_ends(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(1));
    shop.payment(1).await;
    sqlx::query("insert into relay_lease values ($1, 7, now() + interval '1 hour')")
        .bind(shop.merchant)
        .execute(&pool)
        .await
        .unwrap();
    let relay = kafka.relay(&pool);
    assert!(matches!(relay.run_once(shop.merchant).await.unwrap(), Outcome::Held));
    assert_eq!((shop.unpublished().await, shop.lease().await), (1, Some((7, true))));
    shop.expire_lease().await;
    assert_eq!(figures(&page(&relay, &shop).await), (1, 1, 0));
    assert_eq!(shop.lease().await, Some((8, false)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_outbox_without_events_or_merchants_is_quiet(pool: PgPool) {
    let kafka = Kafka::start(1);
    let relay = kafka.relay(&pool);
    let nobody = MerchantId::from_uuid(Uuid::nil());
    let Outcome::Page(page) = relay.run_once(nobody).await.unwrap() else { panic!("not a page") };
    assert_eq!(figures(&page), (0, 0, 0));
    assert_eq!(oldest_unpublished(&pool).await.unwrap(), None);
    assert!(merchants_with_unpublished(&pool).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_configuration_that_no_producer_can_be_made_of_is_refused_at_the_start(pool: PgPool) {
    let config =
        Config { message_timeout: Duration::from_secs(u64::MAX / 1000), ..Config::new("127.0.0.1:1") };
    assert!(matches!(Relay::new(pool, config), Err(Error::Producer(_))));
}
