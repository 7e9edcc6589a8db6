//! A shop, and what PSPs say to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledger::account::Account;
use ledger::posting::{Posting, Source};
use money::{AttemptId, ClaimId, Currency, MerchantId, Money, OperationId, PaymentId, PspAccountId};
use payment_service::idempotency::{Fingerprint, IdempotencyKey};
use payment_service::operation::{
    self, By, Claim, Claimed, Finding, Follow, Followed, Recorded, Recording, Want, record,
};
use payment_service::payment::NewPayment;
use payment_service::psp::{
    Action, Attempt, AttemptOutcome, CaptureMethod, Decline, Method, NotSentCode, Outcome, PspReference,
    Success, Why, decline,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use wallet::wallet::Split;

pub const LEASE: Duration = Duration::from_secs(30);

pub struct Shop {
    pub pool: PgPool,
    pub merchant: MerchantId,
    pub account: PspAccountId,
}

impl Shop {
    pub async fn open(pool: PgPool) -> Self {
        let (merchant, account) = (MerchantId::new(), PspAccountId::new());
        sqlx::query("insert into merchant (merchant_id, mode, name) values ($1, 'test', 'Shop')")
            .bind(merchant)
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query(
            "insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
             values ($1, $2, 'test', 'stripe', 'main', 'http://127.0.0.1:1',
                     decode(repeat('01', 31), 'hex'), decode(repeat('01', 30), 'hex'))",
        )
        .bind(merchant)
        .bind(account)
        .execute(&pool)
        .await
        .unwrap();
        Self { pool, merchant, account }
    }

    pub fn claim(&self, key: &str, order: &str, minor: i64) -> Claim {
        const NAMES: &[&str; 3] = &["endpoint", "order_id", "amount"];
        Claim {
            key: IdempotencyKey::try_from(key.to_owned()).unwrap(),
            fingerprint: Fingerprint::of(
                NAMES,
                [b"POST /v1/payments", order.as_bytes(), &minor.to_be_bytes()],
            ),
            payment: Arc::new(NewPayment {
                payment_id: PaymentId::new(),
                order_id: order.parse().unwrap(),
                amount: Money::new(minor, Currency::EUR),
                psp_account_id: self.account,
                method: Method::Token { token: "pm_card_visa".to_owned(), return_url: None },
                capture_method: CaptureMethod::Automatic,
                metadata: BTreeMap::from([("basket".to_owned(), "7".to_owned())]),
                splits: vec![
                    Split { seller: "s-1".parse().unwrap(), amount: minor - 10, platform_fee: 5 },
                    Split { seller: "s-2".parse().unwrap(), amount: 10, platform_fee: 0 },
                ],
            }),
            lease: LEASE,
            request_id: None,
        }
    }

    pub async fn claim_all(&self, claims: &[Claim]) -> Vec<Claimed> {
        operation::claim(&self.pool, self.merchant, claims).await.unwrap()
    }

    pub async fn claim_fresh(&self, key: &str, order: &str, minor: i64) -> OperationId {
        match self.claim_all(&[self.claim(key, order, minor)]).await[..] {
            [Claimed::Fresh { operation_id, fence: 1 }] => operation_id,
            ref other => panic!("{other:?}"),
        }
    }

    /// Of a payment that is to be captured by itself.
    pub async fn claim_held(&self, key: &str, order: &str, minor: i64) -> OperationId {
        let mut claim = self.claim(key, order, minor);
        let payment = NewPayment { capture_method: CaptureMethod::Manual, ..(*claim.payment).clone() };
        claim.payment = Arc::new(payment);
        match self.claim_all(&[claim]).await[..] {
            [Claimed::Fresh { operation_id, fence: 1 }] => operation_id,
            ref other => panic!("{other:?}"),
        }
    }

    /// Claims a void, which nobody sends.
    pub async fn void(&self, key: &str, payment_id: PaymentId) -> OperationId {
        self.follow(key, payment_id, Want::Void).await
    }

    /// Claims what follows on a payment, which nobody sends.
    pub async fn follow(&self, key: &str, payment_id: PaymentId, want: Want) -> OperationId {
        const NAMES: &[&str; 1] = &["endpoint"];
        let follow = Follow {
            key: IdempotencyKey::try_from(key.to_owned()).unwrap(),
            fingerprint: Fingerprint::of(NAMES, [key.as_bytes()]),
            claim_id: ClaimId::new(),
            payment_id,
            want,
            lease: LEASE,
            request_id: None,
        };
        match operation::follow(&self.pool, self.merchant, &[follow]).await.unwrap().remove(0) {
            Followed::Fresh(begun) => begun.errand.expected.operation_id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn record_all(&self, recordings: &[Recording]) -> Vec<Recorded> {
        record(&self.pool, self.merchant, recordings).await.unwrap()
    }

    pub async fn record(&self, recording: Recording) -> Recorded {
        self.record_all(&[recording]).await.remove(0)
    }

    pub async fn has_available(&self, seller: &str, minor: i64) {
        let (amount, source) =
            (Money::new(minor, Currency::EUR), Source { table: "test", id: self.account.as_uuid() });
        let posting = Posting::builder(source, "funds", OffsetDateTime::now_utc().date())
            .debit(Account::PspBalance(self.account), amount)
            .credit(Account::SellerAvailable(seller.parse().unwrap()), amount)
            .build()
            .unwrap();
        let mut tx = self.pool.begin().await.unwrap();
        ledger::posting::post_in_tx(&mut tx, self.merchant, &[posting]).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn breaks(&self) -> Vec<String> {
        let sql = "select kind || ' ' || psp_reference || ' ' || found || ' ' || found_currency from recon_break order by 1";
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }

    pub async fn balance(&self, account: Account) -> i64 {
        ledger::balance::read(&self.pool, self.merchant, &[(account, Currency::EUR)]).await.unwrap()[0]
    }

    pub async fn trial_balance(&self) -> i64 {
        let rows = ledger::balance::list(&self.pool, self.merchant, &Default::default(), None).await.unwrap();
        rows.iter().map(|row| row.balance).sum()
    }
}

pub const OWNER: By = By::Owner { fence: 1 };

pub fn recording(operation_id: OperationId, by: By, outcome: Outcome) -> Recording {
    Recording { operation_id, by, finding: Finding::Answer(outcome), attempts: Vec::new(), attempt_fence: 1 }
}

/// What a call that succeeded leaves as evidence.
pub fn attempt() -> Attempt {
    let at = OffsetDateTime::now_utc();
    Attempt {
        attempt_id: AttemptId::new(),
        action: Action::Authorize,
        sent_at: at,
        answered_at: at,
        outcome: AttemptOutcome::Succeeded,
        http_status: Some(200),
        psp_request_id: None,
        psp_reference: None,
        detail: None,
    }
}

pub fn success(minor: i64, reference: &str) -> Outcome {
    Outcome::Succeeded(Success {
        reference: PspReference::parse(reference).unwrap(),
        movement: Some("ch_1".to_owned()),
        amount: Money::new(minor, Currency::EUR),
        captured: true,
    })
}

pub fn held(minor: i64, reference: &str) -> Outcome {
    Outcome::Succeeded(Success {
        reference: PspReference::parse(reference).unwrap(),
        movement: None,
        amount: Money::new(minor, Currency::EUR),
        captured: false,
    })
}

pub fn declined() -> Outcome {
    let decline = Decline {
        code: decline::CARD_DECLINED,
        decline_code: Some("lost_card".to_owned()),
        message: "no".to_owned(),
    };
    Outcome::Declined { reference: None, decline }
}

pub fn unknown() -> Outcome {
    Outcome::Unknown { reference: None, why: Why::NoAnswer }
}

pub fn not_sent() -> Outcome {
    Outcome::NotSent { code: NotSentCode::Unreachable, message: "refused".to_owned() }
}
