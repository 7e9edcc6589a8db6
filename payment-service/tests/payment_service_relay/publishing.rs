//! What arrives, and in which order.

use super::*;

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
