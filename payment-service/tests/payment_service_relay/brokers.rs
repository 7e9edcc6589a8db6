//! Brokers that are down, refuse or forget.

use super::*;

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn brokers_that_are_down_stop_nobody_and_get_everything_when_they_are_back(pool: PgPool) {
    let (shop, kafka) = (Shop::open(&pool).await, Kafka::start(3));
    let early = shop.payment(2).await;
    assert_eq!(oldest_unpublished(&pool).await.unwrap().unwrap().subject_id, early.as_uuid());
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
    assert_eq!((oldest.merchant_id, oldest.subject_id), (shop.merchant, early.as_uuid()));
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
    assert_eq!((waiting.subject_id, waiting.version), (payment.as_uuid(), 1));
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
    assert!(undelivered.iter().all(|event| event.version == 1 && stuck.contains(&money::PaymentId::from_uuid(event.subject_id))));
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
    assert_eq!(failed.undelivered[0].subject_id, payment.as_uuid());
    assert_eq!(figures(&page(&relay, &shop).await), (3, 3, 0), "the next run has a live one");
    assert_eq!(kafka.first_copies().await, shop.events().await);
}
