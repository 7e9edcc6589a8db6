//! One relay at a time, and what others do when it fails.

use super::*;

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
