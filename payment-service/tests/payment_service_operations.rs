//! Claims and recordings against Postgres: what a key, an order and a fence are worth.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledger::account::Account;
use ledger::posting::{Posting, Source};
use money::{
    AttemptId, ClaimId, Currency, MerchantId, Money, OperationId, PaymentId, PayoutId, PspAccountId,
};
use payment_service::idempotency::{self, Fingerprint, IdempotencyKey};
use payment_service::operation::{
    self, By, Claim, Claimed, Effect, Finding, Follow, Followed, OperationStatus, Recorded, Recording, Want,
    claim_in_tx, follow, record,
};
use payment_service::payment::{self, NewPayment, PaymentStatus};
use payment_service::payout::{self, NewPayout};
use payment_service::psp::{
    Action, Attempt, AttemptOutcome, CaptureMethod, Decline, Method, NotSentCode, Outcome, Psp, PspReference,
    Success, Why, decline,
};
use sqlx::PgPool;
use time::OffsetDateTime;
use wallet::wallet::Split;

const LEASE: Duration = Duration::from_secs(30);

struct Shop {
    pool: PgPool,
    merchant: MerchantId,
    account: PspAccountId,
}

impl Shop {
    async fn open(pool: PgPool) -> Self {
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

    fn claim(&self, key: &str, order: &str, minor: i64) -> Claim {
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

    async fn claim_all(&self, claims: &[Claim]) -> Vec<Claimed> {
        operation::claim(&self.pool, self.merchant, claims).await.unwrap()
    }

    async fn claim_fresh(&self, key: &str, order: &str, minor: i64) -> OperationId {
        match self.claim_all(&[self.claim(key, order, minor)]).await[..] {
            [Claimed::Fresh { operation_id, fence: 1 }] => operation_id,
            ref other => panic!("{other:?}"),
        }
    }

    async fn record_all(&self, recordings: &[Recording]) -> Vec<Recorded> {
        record(&self.pool, self.merchant, recordings).await.unwrap()
    }

    async fn record(&self, recording: Recording) -> Recorded {
        self.record_all(&[recording]).await.remove(0)
    }

    async fn has_available(&self, seller: &str, minor: i64) {
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

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    async fn breaks(&self) -> Vec<String> {
        let sql = "select kind || ' ' || psp_reference || ' ' || found || ' ' || found_currency from recon_break order by 1";
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }

    async fn balance(&self, account: Account) -> i64 {
        ledger::balance::read(&self.pool, self.merchant, &[(account, Currency::EUR)]).await.unwrap()[0]
    }

    async fn trial_balance(&self) -> i64 {
        let rows = ledger::balance::list(&self.pool, self.merchant, &Default::default(), None).await.unwrap();
        rows.iter().map(|row| row.balance).sum()
    }
}

const OWNER: By = By::Owner { fence: 1 };

fn recording(operation_id: OperationId, by: By, outcome: Outcome) -> Recording {
    Recording { operation_id, by, finding: Finding::Answer(outcome), attempts: Vec::new(), attempt_fence: 1 }
}

/// What a call that succeeded leaves as evidence.
fn attempt() -> Attempt {
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

fn success(minor: i64, reference: &str) -> Outcome {
    Outcome::Succeeded(Success {
        reference: PspReference::parse(reference).unwrap(),
        movement: Some("ch_1".to_owned()),
        amount: Money::new(minor, Currency::EUR),
        captured: true,
    })
}

fn declined() -> Outcome {
    let decline = Decline {
        code: decline::CARD_DECLINED,
        decline_code: Some("lost_card".to_owned()),
        message: "no".to_owned(),
    };
    Outcome::Declined { reference: None, decline }
}

fn unknown() -> Outcome {
    Outcome::Unknown { reference: None, why: Why::NoAnswer }
}

fn not_sent() -> Outcome {
    Outcome::NotSent { code: NotSentCode::Unreachable, message: "refused".to_owned() }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_success_is_booked_answered_and_told_in_one_commit(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    let recorded = shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    assert_eq!(recorded.effect, Effect::Now(OperationStatus::Succeeded));
    let (status, body) = recorded.answer.unwrap();
    assert_eq!(status, 201);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], "captured");
    assert_eq!(body["captured_amount"], 1000);

    assert_eq!(shop.balance(Account::PspReceivable(shop.account)).await, 1000);
    assert_eq!(shop.balance(Account::SellerPending("s-1".parse().unwrap())).await, 985);
    assert_eq!(shop.balance(Account::SellerPending("s-2".parse().unwrap())).await, 10);
    assert_eq!(shop.balance(Account::PlatformFees).await, 5);
    assert_eq!(shop.trial_balance().await, 0);
    let kinds: Vec<String> = sqlx::query_scalar("select type from payment_event order by version")
        .fetch_all(&shop.pool)
        .await
        .unwrap();
    assert_eq!(kinds, ["payment.created", "payment.captured"]);
    let view =
        payment::get(&shop.pool, shop.merchant, recorded.subject.payment().unwrap()).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(&view).unwrap(), body, "what is stored is what is");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_is_answered_by_what_it_is_in(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, [Claimed::InFlight]);
    assert_eq!(
        shop.claim_all(&[shop.claim("k", "o-1", 1001)]).await,
        [Claimed::OtherRequest { field: "amount" }],
        "another body is refused while the first is in flight"
    );
    let waiting = shop.record(recording(operation, OWNER, unknown())).await;
    assert_eq!(waiting.answer, None);
    let payment_id = waiting.subject.payment().unwrap();
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, [Claimed::Accepted { payment_id }]);
    let ended = shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    let (status, body) = ended.answer.unwrap();
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, [Claimed::Replay { status, body }]);
    assert_eq!(
        shop.claim_all(&[shop.claim("k", "o-2", 1000)]).await,
        [Claimed::OtherRequest { field: "order_id" }]
    );
    assert_eq!(shop.count("select count(*) from payment").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_order_has_one_live_payment_and_a_failed_one_frees_it(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let first = shop.claim_fresh("k1", "o-1", 1000).await;
    let rival = shop.claim_all(&[shop.claim("k2", "o-1", 1000)]).await.remove(0);
    let Claimed::OrderTaken { status: 409, body } = rival else { panic!("{rival:?}") };
    assert_eq!(
        shop.claim_all(&[shop.claim("k2", "o-1", 1000)]).await,
        [Claimed::Replay { status: 409, body }],
        "the key is used up with that answer"
    );
    let failed = shop.record(recording(first, OWNER, declined())).await;
    assert_eq!(failed.answer.as_ref().unwrap().0, 201);
    let second = shop.claim_fresh("k3", "o-1", 1000).await;
    assert_ne!(first, second, "the next payment of an order is another charge");
    assert_eq!(shop.count("select max(ordinal)::bigint from payment").await, 2);
    assert_eq!(shop.trial_balance().await, 0);
    assert_eq!(shop.count("select count(*) from ledger_transaction").await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_claim_lost_in_a_restore_and_made_again_is_the_same_charge(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut lost = shop.pool.begin().await.unwrap();
    let before = claim_in_tx(&mut lost, shop.merchant, &[shop.claim("k", "o-1", 1000)]).await.unwrap();
    lost.rollback().await.unwrap();
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, before);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_that_is_used_already_takes_nothing_from_its_neighbours(pool: PgPool) {
    let shop = Shop::open(pool).await;
    shop.claim_fresh("used", "o-1", 1000).await;
    let claimed = shop
        .claim_all(&[
            shop.claim("k2", "o-2", 1000),
            shop.claim("used", "o-3", 1000),
            shop.claim("twice", "o-4", 1000),
            shop.claim("twice", "o-5", 1000),
        ])
        .await;
    let [
        Claimed::Fresh { operation_id, fence: 1 },
        Claimed::OtherRequest { field: "order_id" },
        Claimed::Fresh { .. },
        Claimed::OtherRequest { field: "order_id" },
    ] = claimed[..]
    else {
        panic!("{claimed:?}")
    };
    assert_eq!(operation_id, operation::authorize_id(shop.merchant, &"o-2".parse().unwrap(), 1));
    assert_eq!(shop.count("select count(*) from payment").await, 3);
    assert_eq!(shop.count("select count(*) from idempotency_key").await, 3);
    assert_eq!(shop.count("select count(*) from operation").await, 3);
    assert_eq!(shop.count("select count(*) from payment_event").await, 3);
    assert_eq!(shop.count("select count(*) from payment_split").await, 6);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn of_all_that_claim_an_order_at_once_one_gets_it(pool: PgPool) {
    const RIVALS: usize = 12;
    let shop = Arc::new(Shop::open(pool).await);
    for round in 0..8 {
        let mut rivals = tokio::task::JoinSet::new();
        for rival in 0..RIVALS {
            let shop = Arc::clone(&shop);
            rivals.spawn(async move {
                let (order, own) = (format!("o-{round}"), format!("{round}-{rival}"));
                let mut claims = vec![
                    shop.claim(&format!("shared-{round}"), &order, 1000),
                    shop.claim(&format!("rival-{own}"), &order, 1000),
                    shop.claim(&format!("own-{own}"), &format!("own-{own}"), 1000),
                ];
                claims.rotate_left(rival % 3);
                let mut claimed = shop.claim_all(&claims).await;
                claimed.rotate_right(rival % 3);
                claimed
            });
        }
        let claimed = rivals.join_all().await;
        let fresh = |claimed: &&Claimed| matches!(claimed, Claimed::Fresh { .. });
        assert_eq!(claimed.iter().flat_map(|claimed| &claimed[..2]).filter(fresh).count(), 1, "{claimed:?}");
        assert_eq!(claimed.iter().map(|claimed| &claimed[2]).filter(fresh).count(), RIVALS, "{claimed:?}");
    }
    assert_eq!(
        shop.count("select count(*) from payment").await,
        shop.count("select count(*) from operation").await
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_batch_answers_each_member_by_its_own_result(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let claimed = shop
        .claim_all(&[
            shop.claim("k1", "o-1", 1000),
            shop.claim("k1", "o-1", 1000),
            shop.claim("k1", "o-1", 999),
            shop.claim("k2", "o-1", 1000),
            shop.claim("k3", "o-3", 1000),
        ])
        .await;
    let [
        Claimed::Fresh { operation_id: first, .. },
        Claimed::InFlight,
        Claimed::OtherRequest { field: "amount" },
        Claimed::OrderTaken { .. },
        Claimed::Fresh { operation_id: third, .. },
    ] = claimed[..]
    else {
        panic!("{claimed:?}")
    };
    let recorded = shop
        .record_all(&[
            recording(first, OWNER, success(1000, "pi_1")),
            recording(first, OWNER, success(1000, "pi_1")),
            recording(third, By::Owner { fence: 7 }, success(1000, "pi_3")),
            recording(third, OWNER, declined()),
        ])
        .await;
    let effects: Vec<Effect> = recorded.iter().map(|recorded| recorded.effect).collect();
    assert_eq!(
        effects,
        [
            Effect::Now(OperationStatus::Succeeded),
            Effect::Stale,
            Effect::Superseded,
            Effect::Now(OperationStatus::Declined)
        ]
    );
    assert_eq!(recorded[0].answer, recorded[1].answer, "the second is told what the first has stored");
    assert_eq!(shop.balance(Account::PspReceivable(shop.account)).await, 1000);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_is_forgotten_once_it_is_old_and_answered_and_its_order_is_still_charged_once(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for (key, order) in [("old", "o-1"), ("young", "o-2")] {
        let operation = shop.claim_fresh(key, order, 1000).await;
        shop.record(recording(operation, OWNER, success(1000, &format!("pi_{key}")))).await;
    }
    shop.claim_fresh("in-flight", "o-3", 1000).await;
    shop.claim_fresh("accepted", "o-4", 1000).await;
    let accepted = IdempotencyKey::try_from("accepted".to_owned()).unwrap();
    idempotency::accept(&shop.pool, shop.merchant, &accepted).await.unwrap();
    let aged =
        "update idempotency_key set created_at = now() - interval '2 days' where idempotency_key <> 'young'";
    sqlx::query(aged).execute(&shop.pool).await.unwrap();

    let day = Duration::from_secs(24 * 3600);
    let reap = async |limit| idempotency::reap(&shop.pool, shop.merchant, day, limit).await.unwrap();
    assert_eq!(
        idempotency::reap(&shop.pool, MerchantId::new(), day, 10).await.unwrap(),
        0,
        "of another merchant"
    );
    assert_eq!((reap(0).await, reap(10).await, reap(10).await), (0, 1, 0));
    let kept: Vec<String> =
        sqlx::query_scalar("select idempotency_key from idempotency_key order by idempotency_key")
            .fetch_all(&shop.pool)
            .await
            .unwrap();
    assert_eq!(kept, ["accepted", "in-flight", "young"]);
    let again = shop.claim_all(&[shop.claim("old", "o-1", 1000)]).await;
    assert!(matches!(again[..], [Claimed::OrderTaken { .. }]), "{again:?}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_zombie_records_its_evidence_and_nothing_else(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    sqlx::query("update operation set lease_until = now(), due_at = now()")
        .execute(&shop.pool)
        .await
        .unwrap();
    let taken = operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap();
    assert_eq!((taken[0].errand.expected.operation_id, taken[0].fence), (operation, 2));
    assert!(
        operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap().is_empty(),
        "it is taken"
    );
    let late = Recording { attempts: vec![attempt()], ..recording(operation, OWNER, success(1000, "pi_1")) };
    let zombie = shop.record(late.clone()).await;
    assert_eq!(zombie.effect, Effect::Superseded);
    assert_eq!(shop.count("select count(*) from ledger_entry").await, 0);
    assert_eq!(shop.count("select count(*) from operation where status = 'sending' and fence = 2").await, 1);
    shop.record(late).await;
    let kept = "select count(*) from attempt where fence = 1 and outcome = 'succeeded' and http_status = 200";
    assert_eq!(shop.count(kept).await, 1, "once, however often it is recorded");
    let owner = shop.record(recording(operation, By::Owner { fence: 2 }, success(1000, "pi_1"))).await;
    assert_eq!(owner.effect, Effect::Now(OperationStatus::Succeeded));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_webhook_before_the_answer_ends_the_operation_and_the_answer_is_stale(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    let webhook = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(webhook.effect, Effect::Now(OperationStatus::Succeeded));
    let answer = shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    assert_eq!(answer.effect, Effect::Superseded);
    assert_eq!(answer.answer, webhook.answer);
    let again = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(again.effect, Effect::Stale);
    assert_eq!(shop.count("select count(*) from ledger_transaction").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn not_sent_is_a_failure_only_from_the_first_owner(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let first = shop.claim_fresh("k1", "o-1", 1000).await;
    let failed = shop.record(recording(first, OWNER, not_sent())).await;
    assert_eq!(failed.effect, Effect::Now(OperationStatus::Declined));

    let second = shop.claim_fresh("k2", "o-2", 1000).await;
    sqlx::query("update operation set due_at = now() where operation_id = $1")
        .bind(second)
        .execute(&shop.pool)
        .await
        .unwrap();
    operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap();
    let doubtful = shop.record(recording(second, By::Owner { fence: 2 }, not_sent())).await;
    assert_eq!(doubtful.effect, Effect::Now(OperationStatus::Unknown), "its first owner may have sent it");
    assert_eq!(shop.count("select count(*) from payment where status = 'processing'").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_success_after_a_decline_is_a_break_whoever_tells_and_not_a_capture(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for (order, by) in [("o-1", By::Evidence), ("o-2", OWNER), ("o-3", By::Owner { fence: 7 })] {
        let operation = shop.claim_fresh(order, order, 1000).await;
        shop.record(recording(operation, OWNER, declined())).await;
        let reference = format!("pi_{order}");
        for _ in 0..2 {
            let late = shop.record(recording(operation, by, success(1000, &reference))).await;
            assert_eq!(late.effect, Effect::LateSuccess);
        }
    }
    assert_eq!(
        shop.breaks().await,
        ["late_success pi_o-1 1000 EUR", "late_success pi_o-2 1000 EUR", "late_success pi_o-3 1000 EUR"]
    );
    assert_eq!(shop.balance(Account::SellerPending("s-1".parse().unwrap())).await, 0);
    assert_eq!(shop.trial_balance().await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_second_object_that_was_charged_for_an_operation_is_a_break_and_not_stale(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    let same = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(same.effect, Effect::Stale);
    assert!(shop.breaks().await.is_empty());
    for (by, reference) in [(By::Evidence, "pi_2"), (By::Evidence, "pi_2"), (By::Owner { fence: 9 }, "pi_3")]
    {
        let second = shop.record(recording(operation, by, success(1000, reference))).await;
        assert_eq!(second.effect, Effect::Twice);
    }
    assert_eq!(shop.breaks().await, ["captured_twice pi_2 1000 EUR", "captured_twice pi_3 1000 EUR"]);
    assert_eq!(shop.balance(Account::PspReceivable(shop.account)).await, 1000);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn that_another_object_is_closed_ends_nothing(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    let reference = |text| PspReference::parse(text).unwrap();
    let waiting = Outcome::Unknown { reference: Some(reference("pi_2")), why: Why::StillOpen };
    shop.record(recording(operation, OWNER, waiting)).await;
    let Outcome::Declined { decline, .. } = declined() else { panic!() };
    let closed = |text| Outcome::Declined { reference: Some(reference(text)), decline: decline.clone() };
    assert_eq!(shop.record(recording(operation, By::Evidence, closed("pi_1"))).await.effect, Effect::Stale);
    assert_eq!(shop.count("select count(*) from payment where live").await, 1);
    let ended = shop.record(recording(operation, By::Evidence, closed("pi_2"))).await;
    assert_eq!(ended.effect, Effect::Now(OperationStatus::Declined));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn doubt_is_waited_out_and_given_to_a_person_in_the_end(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    shop.record(recording(operation, OWNER, unknown())).await;
    let given_up = Recording {
        finding: Finding::GiveUp { reason: "no_evidence".to_owned() },
        ..recording(operation, OWNER, unknown())
    };
    assert_eq!(shop.record(given_up).await.effect, Effect::Now(OperationStatus::NeedsReview));
    assert_eq!(shop.count("select count(*) from operation where due_at is not null").await, 0);
    let filter = payment::Filter { limit: 10, ..Default::default() };
    let payments = payment::list(&shop.pool, shop.merchant, &filter).await.unwrap();
    assert_eq!(payments[0].status, PaymentStatus::Processing, "never guessed");
    let evidence = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(evidence.effect, Effect::Now(OperationStatus::Succeeded), "late proof still ends it");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_claim_whose_commit_was_not_confirmed_is_found_again(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let claim = shop.claim("k", "o-1", 1000);
    let first = shop.claim_all(std::slice::from_ref(&claim)).await;
    assert_eq!(shop.claim_all(std::slice::from_ref(&claim)).await, first, "it is ours, by its payment's id");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_follows_is_found_again_where_its_commit_was_not_confirmed_and_by_its_own_request_alone(
    pool: PgPool,
) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    let filter = payment::Filter { limit: 1, ..Default::default() };
    let payment_id = payment::list(&shop.pool, shop.merchant, &filter).await.unwrap()[0].payment_id;
    const NAMES: &[&str; 1] = &["endpoint"];
    let refund = Follow {
        key: IdempotencyKey::try_from("refund".to_owned()).unwrap(),
        fingerprint: Fingerprint::of(NAMES, [b"x"]),
        claim_id: ClaimId::new(),
        payment_id,
        want: Want::Refund { amount: Some(400), parts: None, returns_fee: true },
        lease: LEASE,
        request_id: None,
    };
    let ask = async |refund: &Follow| match follow(&shop.pool, shop.merchant, std::slice::from_ref(refund))
        .await
        .unwrap()
        .remove(0)
    {
        Followed::Fresh(begun) => Some(begun),
        Followed::InFlight => None,
        other => panic!("{other:?}"),
    };
    let first = ask(&refund).await.unwrap();
    let again = ask(&refund).await.unwrap();
    assert_eq!((again.fence, &again.errand.expected), (1, &first.errand.expected));
    let repeat = Follow { claim_id: ClaimId::new(), ..refund.clone() };
    assert!(ask(&repeat).await.is_none(), "a client that repeats it waits");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_payout_is_found_again_where_its_commit_was_not_confirmed_and_by_its_own_request_alone(
    pool: PgPool,
) {
    let shop = Shop::open(pool).await;
    shop.has_available("s-1", 1000).await;
    const NAMES: &[&str; 1] = &["endpoint"];
    let new = NewPayout {
        key: IdempotencyKey::try_from("payout".to_owned()).unwrap(),
        fingerprint: Fingerprint::of(NAMES, [b"x"]),
        payout_id: PayoutId::new(),
        seller: "s-1".parse().unwrap(),
        amount: None,
        currency: Currency::EUR,
        destination: PspReference::parse("ba_1").unwrap(),
        psp: Psp::Stripe,
        psp_account_id: shop.account,
        statement_descriptor: Some("SHOP".to_owned()),
        metadata: BTreeMap::new(),
        lease: LEASE,
        request_id: None,
    };
    let ask =
        async |new: &NewPayout| match payout::claim(&shop.pool, shop.merchant, std::slice::from_ref(new))
            .await
            .unwrap()
            .remove(0)
        {
            payout::Claimed::Fresh(begun) => Some(begun),
            payout::Claimed::InFlight => None,
            other => panic!("{other:?}"),
        };
    let first = ask(&new).await.unwrap();
    let again = ask(&new).await.unwrap();
    let sent = |begun: &operation::Begun| {
        (begun.fence, begun.errand.expected.amount, begun.errand.expected.operation_id)
    };
    assert_eq!(sent(&again), sent(&first));
    assert!(ask(&NewPayout { payout_id: PayoutId::new(), ..new }).await.is_none());
    assert_eq!(shop.count("select count(*) from ledger_transaction where kind = 'payout_hold'").await, 1);
}
