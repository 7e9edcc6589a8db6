//! A merchant whose payments have events.

use std::collections::BTreeMap;

use money::{EventId, MerchantId, PaymentId, PspAccountId};
use serde_json::{Value, json};
use sqlx::PgPool;

pub struct Shop {
    pub pool: PgPool,
    pub merchant: MerchantId,
    pub account: PspAccountId,
}

impl Shop {
    pub async fn open(pool: &PgPool) -> Self {
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
    pub async fn payment(&self, events: i32) -> PaymentId {
        self.payment_with(events, &json!({"amount": 9_007_199_254_740_993_i64})).await
    }

    pub async fn payment_with(&self, events: i32, data: &Value) -> PaymentId {
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
    pub async fn begin_event(&self, payment: PaymentId) -> sqlx::Transaction<'static, sqlx::Postgres> {
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

    pub async fn event(&self, payment: PaymentId) {
        self.begin_event(payment).await.commit().await.unwrap();
    }

    /// Every event there is.
    pub async fn events(&self) -> BTreeMap<(PaymentId, i32), EventId> {
        let rows: Vec<(PaymentId, i32, EventId)> =
            sqlx::query_as("select payment_id, version, event_id from payment_event where merchant_id = $1")
                .bind(self.merchant)
                .fetch_all(&self.pool)
                .await
                .unwrap();
        rows.into_iter().map(|(payment, version, event)| ((payment, version), event)).collect()
    }

    pub async fn unpublished(&self) -> i64 {
        sqlx::query_scalar(
            "select count(*) from payment_event where merchant_id = $1 and published_at is null",
        )
        .bind(self.merchant)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Time passes over the lease's end.
    pub async fn expire_lease(&self) {
        sqlx::query("update relay_lease set lease_until = now() where merchant_id = $1")
            .bind(self.merchant)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// The same, if an owner with an odd fence is at work. Answers how many leases that ended.
    pub async fn steal_odd_lease(&self) -> u64 {
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

    pub async fn lease(&self) -> Option<(i64, bool)> {
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
