//! A shop with something of everything in its books: all of it made by the service's own code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use money::{ClaimId, Currency, MerchantId, Money, OperationId, PaymentId, PayoutId, PspAccountId};
use payment_service::dispute::{self, DisputeEvent, Recorded, Word};
use payment_service::idempotency::{Fingerprint, IdempotencyKey};
use payment_service::operation::{
    By, Claim, Claimed, Effect, Finding, Follow, Followed, OperationStatus, Recording, Want, claim_in_tx,
    follow_in_tx, record_in_tx,
};
use payment_service::payment::NewPayment;
use payment_service::payout::{self, NewPayout};
use payment_service::psp::{
    Action, Attempt, AttemptOutcome, CaptureMethod, Decline, Method, Outcome, Psp, PspReference, Success,
    Why, decline,
};
use reconciliation::bank::{self, NewBankAccount};
use reconciliation::source::Source;
use reconciliation::{intake, run};
use sqlx::{AssertSqlSafe, PgPool};
use time::OffsetDateTime;
use wallet::wallet::Split;

const LEASE: Duration = Duration::from_secs(3600);
const OWNER: By = By::Owner { fence: 1 };

/// Its orders:
///
/// | order | what became of it |
/// |---|---|
/// | o-1 | charged, settled to the cent, published |
/// | o-2 | declined, then charged by a second payment |
/// | o-3 | in doubt, then charged by a webhook's word |
/// | o-4 | waits for its buyer |
/// | o-5 | declined, and charged late all the same: a break |
/// | o-6 | charged, settled with another amount: a break |
/// | o-7 | in doubt |
/// | o-8 | in doubt; a settlement line says that it was charged |
/// | o-9 | held, captured in part, given back in part, and more of it under way |
/// | o-10 | held, and let go |
/// | o-11 | charged; a refund of it came back, and another failed |
///
/// A bank disputes a part of o-2; it took o-3 for good, and gave back what it had taken of o-11.
///
/// Of what o-1 brought, s-1 is paid out po_11; po_12 is on its way, po_13 came back, and another is being sent.
pub struct Shop {
    pub pool: PgPool,
    pub merchant: MerchantId,
    pub account: PspAccountId,
}

impl Shop {
    pub async fn open(pool: &PgPool) -> Self {
        let shop = Self { pool: pool.clone(), merchant: MerchantId::new(), account: PspAccountId::new() };
        shop.run(
            "insert into merchant (merchant_id, mode, name) values (MERCHANT, 'test', 'Shop');
             insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
             values (MERCHANT, ACCOUNT, 'test', 'stripe', 'main', 'http://127.0.0.1:1',
                     '\\x01' || decode(repeat('00', 40), 'hex'), '\\x01' || decode(repeat('00', 40), 'hex'))",
        )
        .await;
        shop.trade().await;
        shop.settle().await;
        shop.is_paid_at_the_bank().await;
        shop.pay_out().await;
        shop
    }

    async fn trade(&self) {
        let charged = self.claim("o-1").await;
        self.record(charged, OWNER, success("pi_1")).await;
        let declined_once = self.claim("o-2").await;
        self.record(declined_once, OWNER, declined()).await;
        let second = self.claim("o-2").await;
        self.record(second, OWNER, success("pi_2")).await;
        ledger::balance::roll_up(&self.pool, self.merchant).await.unwrap();

        let doubted = self.claim("o-3").await;
        self.record(doubted, OWNER, unknown()).await;
        self.webhook("evt_3", doubted, "pi_3", Effect::Now(OperationStatus::Succeeded)).await;
        let acting = self.claim("o-4").await;
        let reference = PspReference::parse("pi_4").unwrap();
        self.record(acting, OWNER, Outcome::RequiresAction { reference, redirect_url: None }).await;
        let late = self.claim("o-5").await;
        self.record(late, OWNER, declined()).await;
        self.webhook("evt_5", late, "pi_5", Effect::LateSuccess).await;
        let settled_otherwise = self.claim("o-6").await;
        self.record(settled_otherwise, OWNER, success("pi_6")).await;
        for order in ["o-7", "o-8"] {
            let doubted = self.claim(order).await;
            self.record(doubted, OWNER, unknown()).await;
        }
        self.trade_on().await;
        self.run(
            "insert into relay_lease (merchant_id, fence, lease_until) values (MERCHANT, 1, now());
             update payment_event e set published_at = now() from payment p
             where p.merchant_id = MERCHANT and p.order_id = 'o-1'
               and e.merchant_id = MERCHANT and e.payment_id = p.payment_id",
        )
        .await;
    }

    /// What follows an authorisation.
    async fn trade_on(&self) {
        let held = self.claim_for(CaptureMethod::Manual, "o-9").await;
        self.record(held, OWNER, done("pi_19", 1000, false)).await;
        let part = Want::Capture { amount: Some(600), last: true, parts: None };
        let part = self.follow("o-9", part).await;
        self.record(part, OWNER, done("pi_19", 600, true)).await;
        let given = self.follow("o-9", refund(200)).await;
        self.record(given, OWNER, done("re_9", 200, false)).await;
        self.follow("o-9", refund(100)).await;

        let let_go = self.claim_for(CaptureMethod::Manual, "o-10").await;
        self.record(let_go, OWNER, done("pi_20", 1000, false)).await;
        let void = self.follow("o-10", Want::Void).await;
        self.record(void, OWNER, done("pi_20", 1000, false)).await;

        let charged = self.claim("o-11").await;
        self.record(charged, OWNER, success("pi_21")).await;
        let came_back = self.follow("o-11", refund(300)).await;
        self.record(came_back, OWNER, done("re_11", 300, false)).await;
        self.record(came_back, By::Evidence, failed(decline::REFUND_FAILED, "re_11")).await;
        let never = self.follow("o-11", refund(100)).await;
        self.record(never, OWNER, failed(decline::REFUND_FAILED, "re_12")).await;

        self.dispute("pi_2", DisputeEvent::EvidenceWanted, 400, 0).await;
        self.dispute("pi_3", DisputeEvent::Lost, 1000, 0).await;
        self.dispute("pi_21", DisputeEvent::Won, 200, 1).await;
    }

    async fn dispute(&self, payment: &str, event: DisputeEvent, minor: i64, returned: u32) {
        let word = Word {
            psp_reference: payment.replace("pi_", "dp_"),
            event,
            at: OffsetDateTime::now_utc(),
            amount: Money::new(minor, Currency::EUR),
            reason: Some("fraudulent".to_owned()),
            evidence_due_at: None,
            taken: 1,
            returned,
            fee: 15,
            returned_fee: 0,
        };
        let recorded =
            dispute::record(&self.pool, self.merchant, self.account, payment, &word).await.unwrap();
        assert!(matches!(recorded, Recorded::Now(..)), "{recorded:?}");
    }

    /// What becomes of what is settled.
    async fn pay_out(&self) {
        let there = self.claim_payout().await;
        self.record(there, OWNER, done("po_11", 100, true)).await;
        let on_its_way = self.claim_payout().await;
        self.record(on_its_way, OWNER, done("po_12", 100, false)).await;
        let back = self.claim_payout().await;
        self.record(back, OWNER, done("po_13", 100, true)).await;
        self.record(back, By::Evidence, failed(decline::PAYOUT_FAILED, "po_13")).await;
        self.claim_payout().await;
    }

    async fn claim_payout(&self) -> OperationId {
        const NAMES: &[&str; 1] = &["seller"];
        let new = NewPayout {
            key: IdempotencyKey::try_from(uuid::Uuid::now_v7().to_string()).unwrap(),
            fingerprint: Fingerprint::of(NAMES, [b"s-1"]),
            payout_id: PayoutId::new(),
            seller: "s-1".parse().unwrap(),
            amount: Some(100),
            currency: Currency::EUR,
            destination: PspReference::parse("ba_1").unwrap(),
            psp: Psp::Stripe,
            psp_account_id: self.account,
            statement_descriptor: None,
            metadata: BTreeMap::new(),
            lease: LEASE,
            request_id: None,
        };
        let mut claimed = payout::claim(&self.pool, self.merchant, &[new]).await.unwrap();
        let Some(payout::Claimed::Fresh(begun)) = claimed.pop() else { panic!("{claimed:?}") };
        begun.errand.expected.operation_id
    }

    async fn follow(&self, order: &str, want: Want) -> OperationId {
        const NAMES: &[&str; 1] = &["endpoint"];
        let payment = self
            .text(&format!(
                "select payment_id::text from payment where merchant_id = MERCHANT and order_id = '{order}'"
            ))
            .await;
        let follow = Follow {
            key: IdempotencyKey::try_from(uuid::Uuid::now_v7().to_string()).unwrap(),
            fingerprint: Fingerprint::of(NAMES, [order.as_bytes()]),
            claim_id: ClaimId::new(),
            payment_id: payment.parse().unwrap(),
            want,
            lease: LEASE,
            request_id: None,
        };
        let mut tx = self.pool.begin().await.unwrap();
        let mut followed = follow_in_tx(&mut tx, self.merchant, &[&follow]).await.unwrap();
        tx.commit().await.unwrap();
        let Some(Followed::Fresh(begun)) = followed.pop() else { panic!("{followed:?}") };
        begun.errand.expected.operation_id
    }

    async fn claim(&self, order: &str) -> OperationId {
        self.claim_for(CaptureMethod::Automatic, order).await
    }

    async fn claim_for(&self, capture_method: CaptureMethod, order: &str) -> OperationId {
        const NAMES: &[&str; 1] = &["order_id"];
        let claim = Claim {
            key: IdempotencyKey::try_from(uuid::Uuid::now_v7().to_string()).unwrap(),
            fingerprint: Fingerprint::of(NAMES, [order.as_bytes()]),
            payment: Arc::new(NewPayment {
                payment_id: PaymentId::new(),
                order_id: order.parse().unwrap(),
                amount: Money::new(1000, Currency::EUR),
                psp_account_id: self.account,
                method: Method::Token { token: "pm_card_visa".to_owned(), return_url: None },
                capture_method,
                metadata: BTreeMap::from([("basket".to_owned(), "7".to_owned())]),
                splits: vec![
                    Split { seller: "s-1".parse().unwrap(), amount: 900, platform_fee: 50 },
                    Split { seller: "s-2".parse().unwrap(), amount: 100, platform_fee: 0 },
                ],
            }),
            lease: LEASE,
            request_id: None,
        };
        let mut tx = self.pool.begin().await.unwrap();
        let claimed = claim_in_tx(&mut tx, self.merchant, &[claim]).await.unwrap();
        tx.commit().await.unwrap();
        let [Claimed::Fresh { operation_id, .. }] = claimed[..] else { panic!("{claimed:?}") };
        operation_id
    }

    async fn record(&self, operation_id: OperationId, by: By, outcome: Outcome) -> Effect {
        let attempts = if by == By::Evidence { Vec::new() } else { vec![attempt(&outcome)] };
        let attempt_fence = i64::from(by != By::Evidence);
        let finding = Finding::Answer(outcome);
        let recording = Recording { operation_id, by, finding, attempts, attempt_fence };
        let mut tx = self.pool.begin().await.unwrap();
        let recorded = record_in_tx(&mut tx, self.merchant, &recording).await.unwrap();
        tx.commit().await.unwrap();
        recorded.effect
    }

    /// An event that was received and applied.
    async fn webhook(&self, event: &str, operation: OperationId, reference: &str, expected: Effect) {
        let effect = self.record(operation, By::Evidence, success(reference)).await;
        assert_eq!(effect, expected);
        let detail = (effect == Effect::LateSuccess).then_some("a late success: see the break");
        sqlx::query(
            "insert into webhook_event (merchant_id, psp_account_id, event_id, type, psp_reference, operation_id,
                 psp_created_at, received_at, payload, status, tries, settled_at, detail, applied_to, applied_as)
             values ($1, $2, $3, 'payment_intent.succeeded', $4, $5, now(), now(),
                 '{\"data\": {\"object\": {\"status\": \"succeeded\"}}}', 'applied', 1, now(), $6, $5,
                 case when $6 is null then 'succeeded' else 'late_success' end)",
        )
        .bind(self.merchant)
        .bind(self.account)
        .bind(event)
        .bind(reference)
        .bind(operation)
        .bind(detail)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// Takes in a file of one match, one difference, one line that waits, one of nothing of ours, a fee and a payout.
    async fn settle(&self) {
        let of = async |order: &str| {
            self.text(&format!(
                "select o.operation_id::text from operation o join payment p using (merchant_id, payment_id)
                 where merchant_id = MERCHANT and p.order_id = '{order}' and o.kind = 'authorize'"
            ))
            .await
        };
        let (first, sixth, eighth) = (of("o-1").await, of("o-6").await, of("o-8").await);
        let head = "automatic_payout_id,balance_transaction_id,created,available_on,currency,gross,fee,net,\
                    reporting_category,source_id,charge_id,payment_intent_id,payment_metadata[payonce_operation],description";
        let lines = [
            format!("txn_1,T,T,eur,10.00,0.30,9.70,charge,ch_1,ch_1,pi_1,{first}"),
            format!("txn_6,T,T,eur,9.00,0.30,8.70,charge,ch_6,ch_6,pi_6,{sixth}"),
            format!("txn_8,T,T,eur,10.00,0.30,9.70,charge,ch_8,ch_8,pi_8,{eighth}"),
            "txn_9,T,T,eur,3.00,0.10,2.90,charge,ch_9,ch_9,pi_9,".to_owned(),
            "txn_f,T,T,eur,-1.00,0.00,-1.00,fee,,,,".to_owned(),
            "txn_p,T,T,eur,-20.00,0.00,-20.00,payout,po_1,,,".to_owned(),
        ];
        let lines: Vec<String> =
            lines.iter().map(|line| format!("po_1,{},", line.replace('T', "2026-01-03 10:00:00"))).collect();
        let file = Self::file(&format!("{head}\n{}\n", lines.join("\n")));
        let account = intake::account(&self.pool, self.merchant, Some(self.account)).await.unwrap();
        let taken = intake::take_in(
            &self.pool,
            self.merchant,
            &account,
            Source::from(&*file).open().unwrap(),
            None,
            100,
            Arc::new(|_| ()),
        )
        .await
        .unwrap();
        let mut settled = taken.progress;
        settled.add(&run::settle(&self.pool, self.merchant, |_| ()).await.unwrap());
        assert_eq!((settled.matched, settled.waiting, settled.breaks), (1, 1, 2), "{settled:?}");
    }

    /// Takes in a bank statement whose one entry is the payout of the settlement file.
    async fn is_paid_at_the_bank(&self) {
        let account = NewBankAccount {
            number: "DE89370400440532013000".to_owned(),
            currency: Currency::EUR,
            name: "House bank".to_owned(),
            delay_days: bank::DELAY_DAYS,
            payers: Vec::new(),
        };
        bank::create_account(&self.pool, self.merchant, account).await.unwrap();
        let statement = ":20:ST1\r\n:25:DE89370400440532013000\r\n:28C:1/1\r\n:60F:C260101EUR0,00\r\n\
                         :61:2601050105C20,00NTRFNONREF\r\n:86:STRIPE\r\n:62F:C260105EUR20,00\r\n-\r\n";
        let opened = Source::from(&*Self::file(statement)).open().unwrap();
        let taken = bank::take_in(&self.pool, self.merchant, opened, Arc::new(|_| ())).await.unwrap();
        assert_eq!((taken.progress.matched, taken.progress.breaks), (1, 0), "{taken:?}");
    }

    fn file(content: &str) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file.into_temp_path()
    }

    fn named(&self, sql: &str) -> String {
        let (merchant, account) = (self.merchant, self.account);
        sql.replace("MERCHANT", &format!("'{merchant}'::uuid"))
            .replace("ACCOUNT", &format!("'{account}'::uuid"))
    }

    /// Runs statements in one transaction, as somebody who fires no trigger and checks no foreign key.
    pub async fn tamper(&self, sql: &str) {
        let sql = format!("set local session_replication_role = replica; {sql}");
        self.run(&sql).await;
    }

    /// Runs statements in one transaction. MERCHANT and ACCOUNT stand for the shop's.
    pub async fn run(&self, sql: &str) {
        let mut tx = self.pool.begin().await.unwrap();
        let result = sqlx::raw_sql(AssertSqlSafe(self.named(sql))).execute(&mut *tx).await;
        result.unwrap_or_else(|error| panic!("{sql}: {error}"));
        tx.commit().await.unwrap();
    }

    /// The one text that a query answers.
    pub async fn text(&self, sql: &str) -> String {
        let query = sqlx::query_scalar(AssertSqlSafe(self.named(sql)));
        query.fetch_one(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

fn attempt(outcome: &Outcome) -> Attempt {
    let (outcome, http_status) = match outcome {
        Outcome::Succeeded(_) => (AttemptOutcome::Succeeded, Some(200)),
        Outcome::Declined { .. } => (AttemptOutcome::Declined, Some(402)),
        Outcome::RequiresAction { .. } => (AttemptOutcome::RequiresAction, Some(200)),
        Outcome::NotSent { .. } | Outcome::Unknown { .. } => (AttemptOutcome::Unknown, None),
    };
    let now = OffsetDateTime::now_utc();
    Attempt {
        attempt_id: money::AttemptId::new(),
        action: Action::Authorize,
        sent_at: now,
        answered_at: now,
        outcome,
        http_status,
        psp_request_id: None,
        psp_reference: None,
        detail: None,
    }
}

fn success(reference: &str) -> Outcome {
    done(reference, 1000, true)
}

fn done(reference: &str, minor: i64, captured: bool) -> Outcome {
    Outcome::Succeeded(Success {
        reference: PspReference::parse(reference).unwrap(),
        movement: Some(reference.replace("pi_", "ch_")),
        amount: Money::new(minor, Currency::EUR),
        captured,
    })
}

const fn refund(minor: i64) -> Want {
    Want::Refund { amount: Some(minor), parts: None, returns_fee: true }
}

fn failed(code: &'static str, reference: &str) -> Outcome {
    let decline = Decline { code, decline_code: None, message: "no".to_owned() };
    Outcome::Declined { reference: Some(PspReference::parse(reference).unwrap()), decline }
}

fn declined() -> Outcome {
    let decline = Decline { code: decline::CARD_DECLINED, decline_code: None, message: "no".to_owned() };
    Outcome::Declined { reference: None, decline }
}

fn unknown() -> Outcome {
    Outcome::Unknown { reference: None, why: Why::NoAnswer }
}
