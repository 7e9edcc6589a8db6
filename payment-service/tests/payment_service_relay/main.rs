//! The relay against a Kafka of librdkafka's own making, through real sockets, and Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests")]

mod brokers;
mod kafka;
mod leases;
mod publishing;
mod shop;

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use kafka::Kafka;
use money::MerchantId;
use payment_service::outbox::relay::{
    Config, DeliveryError, Error, Outcome, Page, Relay, merchants_with_unpublished, oldest_unpublished,
};
use rdkafka::types::{RDKafkaApiKey, RDKafkaErrorCode, RDKafkaRespErr};
use serde_json::json;
use shop::Shop;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(60);

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
