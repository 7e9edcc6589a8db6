//! Random lives of a payment, in Postgres and in a plain model side by side: what is asked for, what the PSP says of it and
//! when, what a bank takes, what is settled, and what of it is paid out to its seller, in any order. After each step the
//! payment's sums, the payouts and all balances agree.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledger::account::Account;
use ledger::balance::AccountFilter;
use money::{ClaimId, Currency, MerchantId, Money, OperationId, PaymentId, PayoutId, PspAccountId};
use payment_service::dispute::{self, DisputeEvent, DisputeStatus, Recorded, Word};
use payment_service::idempotency::{Fingerprint, IdempotencyKey};
use payment_service::operation::{
    self, By, Claim, Claimed, Finding, Follow, Followed, Recording, Want, follow, record,
};
use payment_service::payment::{self, NewPayment};
use payment_service::payout::{self, NewPayout};
use payment_service::psp::{
    CaptureMethod, Decline, Method, Outcome, Psp, PspReference, Success, Why, decline,
};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use reconciliation::source::Source;
use reconciliation::{intake, run};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use wallet::wallet::Split;

const LEASE: Duration = Duration::from_secs(3600);
const SELLER: &str = "s-1";
const INTENT: &str = "pi_1";
/// What the buyer owes, and what of it is the platform's: numbers that divide badly.
const OWED: i64 = 1009;
const FEE: i64 = 137;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Capture { last: bool },
    Void,
    Refund { returns_fee: bool },
}

#[derive(Debug, Clone, Copy)]
enum End {
    Succeeds,
    Fails,
    StaysOpen,
}

/// What is heard of a payout.
#[derive(Debug, Clone, Copy)]
enum Heard {
    Sent,
    Arrived,
    Failed,
    Nothing,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody asks for something: so much, or all that is left.
    Ask(Kind, Option<i64>),
    /// The PSP says what became of one that is under way.
    End(usize, End),
    /// A refund that was done comes back.
    ComesBack(usize),
    /// A settlement file has every capture that no file had.
    Settle,
    /// A bank takes something, where it has not.
    Disputes(i64),
    /// It decides, or thinks again.
    Decides(bool),
    /// The seller is to have so much, or all that is available.
    PaysOut(Option<i64>),
    /// The PSP says what became of a payout, again or late or not.
    Hears(usize, Heard),
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![1..OWED / 3, 1..OWED + 9];
    let kind = prop_oneof![
        3 => any::<bool>().prop_map(|last| Kind::Capture { last }),
        1 => Just(Kind::Void),
        4 => any::<bool>().prop_map(|returns_fee| Kind::Refund { returns_fee }),
    ];
    let end = prop_oneof![4 => Just(End::Succeeds), 1 => Just(End::Fails), 1 => Just(End::StaysOpen)];
    let heard = prop_oneof![2 => Just(Heard::Sent), 3 => Just(Heard::Arrived), 2 => Just(Heard::Failed), 1 => Just(Heard::Nothing)];
    prop_oneof![
        6 => (kind, prop::option::weighted(0.8, amount.clone())).prop_map(|(kind, amount)| Step::Ask(kind, amount)),
        7 => (any::<usize>(), end).prop_map(|(which, end)| Step::End(which, end)),
        2 => any::<usize>().prop_map(Step::ComesBack),
        2 => Just(Step::Settle),
        2 => prop::option::of(amount.clone()).prop_map(Step::PaysOut),
        3 => (any::<usize>(), heard).prop_map(|(which, word)| Step::Hears(which, word)),
        1 => amount.prop_map(Step::Disputes),
        1 => any::<bool>().prop_map(Step::Decides),
    ]
}

/// What was taken of a seller's captures, by their places, and what of the platform.
#[derive(Debug, Clone, Default)]
struct Taken {
    amount: i64,
    fee: i64,
    drawn: Vec<(usize, i64)>,
}

impl Taken {
    const fn net(&self) -> i64 {
        self.amount - self.fee
    }
}

/// A capture that was done: what is left of the seller's part, and whether it is settled.
#[derive(Debug, Clone)]
struct Captured {
    amount: i64,
    left: i64,
    settled: bool,
}

#[derive(Debug, Clone)]
struct Open {
    id: OperationId,
    kind: Kind,
    taken: Taken,
}

#[derive(Debug, Clone)]
struct PaidOut {
    id: PayoutId,
    operation: OperationId,
    amount: i64,
    status: &'static str,
}

/// The payment and the books, in whole numbers.
#[derive(Debug, Clone, Default)]
struct Model {
    status: &'static str,
    captured: i64,
    refunded: i64,
    reserved: i64,
    disputed: i64,
    refunded_fee: i64,
    disputed_fee: i64,
    captures: Vec<Captured>,
    open: Vec<Open>,
    done: Vec<Open>,
    dispute: Option<(Taken, &'static str)>,
    disputes: usize,
    settlements: usize,
    payouts: Vec<PaidOut>,
    books: BTreeMap<String, i64>,
}

/// The platform's part of the first `amount`.
const fn fee_at(amount: i64) -> i64 {
    FEE * amount / OWED
}

impl Model {
    /// Debits are positive.
    fn book(&mut self, code: &str, minor: i64) {
        *self.books.entry(code.to_owned()).or_default() += minor;
    }

    fn seller(&mut self, purse: &str, credit: i64) {
        self.book(&format!("{purse}/{SELLER}"), -credit);
    }

    fn has(&self, purse: &str) -> i64 {
        -self.books.get(&format!("{purse}/{SELLER}")).copied().unwrap_or_default()
    }

    const fn gone(&self) -> i64 {
        self.refunded + self.reserved + self.disputed
    }

    /// How much of it can be asked for.
    fn left(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Refund { .. } => (self.captured - self.gone()).max(0),
            Kind::Capture { .. } | Kind::Void => OWED - self.captured,
        }
    }

    /// Why it is refused, if it is.
    fn refuses(&self, kind: Kind, amount: Option<i64>) -> Option<&'static str> {
        let is_changing = self.open.iter().any(|open| !matches!(open.kind, Kind::Refund { .. }));
        let is_too_much = amount.map_or(self.left(kind) == 0, |amount| amount > self.left(kind));
        match kind {
            Kind::Refund { .. } if self.captured == 0 => Some("payment_state_conflict"),
            Kind::Refund { .. } => is_too_much.then_some("refund_exceeds_captured"),
            _ if !matches!(self.status, "authorized" | "partially_captured") => {
                Some("payment_state_conflict")
            }
            _ if is_changing => Some("operation_under_way"),
            Kind::Capture { .. } => is_too_much.then_some("capture_exceeds_hold"),
            Kind::Void => None,
        }
    }

    /// What `amount` takes of the platform, after `before`.
    fn fee_of(&self, before: i64, amount: i64) -> i64 {
        let left = fee_at(self.captured) - self.refunded_fee - self.disputed_fee;
        (fee_at(before + amount) - fee_at(before)).min(left).clamp(0, amount)
    }

    /// The seller's part is held: of what is not settled, then of what is available, then as debt.
    fn hold(&mut self, amount: i64, fee: i64) -> Taken {
        let mut taken = Taken { amount, fee, drawn: Vec::new() };
        let mut wanted = taken.net();
        for (place, capture) in self.captures.iter_mut().enumerate().filter(|(_, it)| !it.settled) {
            let part = wanted.min(capture.left);
            capture.left -= part;
            wanted -= part;
            taken.drawn.push((place, part));
        }
        let pending = taken.net() - wanted;
        let available = wanted.min(self.has("seller_available"));
        self.seller("seller_pending", -pending);
        self.seller("seller_available", -available);
        self.seller("seller_debt", available - wanted);
        self.seller("seller_held", taken.net());
        taken
    }

    /// What was taken goes back to where it came from; where that is settled, to the seller, debt first.
    fn give_back(&mut self, taken: &Taken) {
        let mut pending = 0;
        for (place, part) in &taken.drawn {
            let capture = &mut self.captures[*place];
            if !capture.settled {
                capture.left += part;
                pending += part;
            }
        }
        self.seller("seller_pending", pending);
        self.give(taken.net() - pending);
    }

    fn give(&mut self, minor: i64) {
        let debt = -self.has("seller_debt");
        let repaid = minor.min(debt);
        self.seller("seller_debt", repaid);
        self.seller("seller_available", minor - repaid);
    }

    /// How much is paid out; none where it is refused.
    fn pays_out(&self, amount: Option<i64>) -> Option<i64> {
        let available = self.has("seller_available");
        Some(amount.unwrap_or(available)).filter(|amount| (1..=available).contains(amount))
    }

    fn paid_out(&mut self, id: PayoutId, operation: OperationId, amount: i64) {
        self.seller("seller_available", -amount);
        self.seller("seller_held", amount);
        self.payouts.push(PaidOut { id, operation, amount, status: "processing" });
    }

    fn heard(&mut self, which: usize, word: Heard, psp: PspAccountId) {
        let PaidOut { amount, status, .. } = self.payouts[which];
        let becomes = match (status, word) {
            ("processing", Heard::Sent) => "in_transit",
            ("processing" | "in_transit", Heard::Arrived) => "paid",
            ("processing" | "in_transit", Heard::Failed) => "failed",
            ("paid", Heard::Failed) => "returned",
            _ => return,
        };
        self.payouts[which].status = becomes;
        // where the money was, and where it goes
        match status {
            "processing" => self.seller("seller_held", -amount),
            "in_transit" => self.book("payout_clearing", amount),
            _ => self.book(&format!("psp_receivable/{psp}"), amount),
        }
        match becomes {
            "in_transit" => self.book("payout_clearing", -amount),
            "paid" => self.book(&format!("psp_receivable/{psp}"), -amount),
            _ => self.give(amount),
        }
    }

    fn accept(&mut self, id: OperationId, kind: Kind, amount: i64) {
        let taken = match kind {
            Kind::Refund { returns_fee } => {
                let fee = if returns_fee { self.fee_of(self.gone(), amount) } else { 0 };
                self.reserved += amount;
                self.refunded_fee += fee;
                self.hold(amount, fee)
            }
            Kind::Capture { .. } | Kind::Void => Taken { amount, ..Taken::default() },
        };
        self.open.push(Open { id, kind, taken });
    }

    fn succeed(&mut self, open: Open, psp: PspAccountId) {
        let Taken { amount, fee, .. } = open.taken;
        match open.kind {
            Kind::Capture { last } => {
                let fee = fee_at(self.captured + amount) - fee_at(self.captured);
                self.captured += amount;
                let is_last = last || self.captured == OWED;
                self.status = if is_last { "captured" } else { "partially_captured" };
                self.captures.push(Captured { amount, left: amount - fee, settled: false });
                self.book(&format!("psp_receivable/{psp}"), amount);
                self.book("platform_fees", -fee);
                self.seller("seller_pending", amount - fee);
            }
            Kind::Void => self.status = if self.captured > 0 { "captured" } else { "voided" },
            Kind::Refund { .. } => {
                self.reserved -= amount;
                self.refunded += amount;
                self.seller("seller_held", -open.taken.net());
                self.book("platform_fees", fee);
                self.book(&format!("psp_receivable/{psp}"), -amount);
                self.done.push(open);
            }
        }
    }

    fn fail(&mut self, open: &Open) {
        if let Kind::Refund { .. } = open.kind {
            self.reserved -= open.taken.amount;
            self.refunded_fee -= open.taken.fee;
            self.seller("seller_held", -open.taken.net());
            self.give_back(&open.taken);
        }
    }

    fn come_back(&mut self, refund: &Open, psp: PspAccountId) {
        self.refunded -= refund.taken.amount;
        self.refunded_fee -= refund.taken.fee;
        self.book(&format!("psp_receivable/{psp}"), refund.taken.amount);
        self.book("platform_fees", -refund.taken.fee);
        self.give_back(&refund.taken);
    }

    /// What is settled now.
    fn settle(&mut self, psp: PspAccountId) -> Vec<i64> {
        let mut lines = Vec::new();
        for place in 0..self.captures.len() {
            if self.captures[place].settled {
                continue;
            }
            self.captures[place].settled = true;
            let Captured { amount, left, .. } = self.captures[place];
            lines.push(amount);
            self.seller("seller_pending", -left);
            self.give(left);
            self.book(&format!("psp_receivable/{psp}"), -amount);
            self.book(&format!("psp_balance/{psp}"), amount);
        }
        lines
    }

    fn disputed(&mut self, amount: i64, psp: PspAccountId) {
        let is_within = amount <= self.captured - self.gone();
        let fee = self.fee_of(if is_within { self.gone() } else { 0 }, amount);
        self.disputed += amount;
        self.disputed_fee += fee;
        self.book("disputes", amount);
        self.book(&format!("psp_receivable/{psp}"), -amount);
        let taken = self.hold(amount, fee);
        self.dispute = Some((taken, "taken"));
        self.disputes += 1;
    }

    fn decided(&mut self, won: bool, psp: PspAccountId) {
        let Some((taken, funds)) = self.dispute.clone() else { return };
        match (won, funds) {
            (false, "taken") => {
                self.seller("seller_held", -taken.net());
                self.book("platform_fees", taken.fee);
                self.book("disputes", -taken.amount);
                self.dispute = Some((taken, "lost"));
            }
            (true, "taken" | "lost") => {
                if funds == "taken" {
                    self.seller("seller_held", -taken.net());
                    self.book("disputes", -taken.amount);
                } else {
                    self.book("platform_fees", -taken.fee);
                }
                self.book(&format!("psp_receivable/{psp}"), taken.amount);
                self.disputed -= taken.amount;
                self.disputed_fee -= taken.fee;
                self.give_back(&taken);
                self.dispute = None;
            }
            _ => {}
        }
    }
}

/// The same, in Postgres.
struct Shop {
    pool: PgPool,
    merchant: MerchantId,
    account: PspAccountId,
    payment: PaymentId,
    requests: usize,
}

impl Shop {
    async fn open(pool: &PgPool) -> Self {
        let (merchant, account) = (MerchantId::new(), PspAccountId::new());
        for (sql, ids) in [
            ("insert into merchant (merchant_id, mode, name) values ($1, 'test', 'Shop')", vec![merchant.as_uuid()]),
            (
                "insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
                 values ($1, $2, 'test', 'stripe', 'main', 'http://127.0.0.1:1',
                         decode(repeat('01', 31), 'hex'), decode(repeat('01', 30), 'hex'))",
                vec![merchant.as_uuid(), account.as_uuid()],
            ),
        ] {
            let query = ids.into_iter().fold(sqlx::query(sql), |query, id| query.bind(id));
            query.execute(pool).await.unwrap();
        }
        let payment = PaymentId::new();
        let shop = Self { pool: pool.clone(), merchant, account, payment, requests: 0 };
        shop.hold().await;
        shop
    }

    /// The payment, whose money is held.
    async fn hold(&self) {
        const NAMES: &[&str; 1] = &["order_id"];
        let claim = Claim {
            key: IdempotencyKey::try_from("first".to_owned()).unwrap(),
            fingerprint: Fingerprint::of(NAMES, [b"o-1"]),
            payment: Arc::new(NewPayment {
                payment_id: self.payment,
                order_id: "o-1".parse().unwrap(),
                amount: Money::new(OWED, Currency::EUR),
                psp_account_id: self.account,
                method: Method::Token { token: "pm_card_visa".to_owned(), return_url: None },
                capture_method: CaptureMethod::Manual,
                metadata: BTreeMap::new(),
                splits: vec![Split { seller: SELLER.parse().unwrap(), amount: OWED, platform_fee: FEE }],
            }),
            lease: LEASE,
            request_id: None,
        };
        let claimed = operation::claim(&self.pool, self.merchant, &[claim]).await.unwrap();
        let [Claimed::Fresh { operation_id, .. }] = claimed[..] else { panic!("{claimed:?}") };
        self.say(operation_id, By::Owner { fence: 1 }, done(INTENT, OWED)).await;
    }

    async fn say(&self, operation_id: OperationId, by: By, outcome: Outcome) {
        let finding = Finding::Answer(outcome);
        let recording = Recording { operation_id, by, finding, attempts: Vec::new(), attempt_fence: 1 };
        record(&self.pool, self.merchant, &[recording]).await.unwrap();
    }

    /// The operation that was made; or the code of the refusal.
    async fn ask(&mut self, kind: Kind, amount: Option<i64>) -> Result<OperationId, String> {
        const NAMES: &[&str; 1] = &["endpoint"];
        self.requests += 1;
        let want = match kind {
            Kind::Capture { last } => Want::Capture { amount, last, parts: None },
            Kind::Void => Want::Void,
            Kind::Refund { returns_fee } => Want::Refund { amount, parts: None, returns_fee },
        };
        let follow_up = Follow {
            key: IdempotencyKey::try_from(format!("key-{}", self.requests)).unwrap(),
            fingerprint: Fingerprint::of(NAMES, [b"x"]),
            claim_id: ClaimId::new(),
            payment_id: self.payment,
            want,
            lease: LEASE,
            request_id: None,
        };
        match follow(&self.pool, self.merchant, &[follow_up]).await.unwrap().remove(0) {
            Followed::Fresh(begun) => Ok(begun.errand.expected.operation_id),
            Followed::Answered { status: 409, body, .. } => {
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                Err(body["code"].as_str().unwrap().to_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    async fn end(&self, open: &Open, end: End) {
        let reference = format!("re_{}", open.id);
        let (name, amount) = match open.kind {
            Kind::Refund { .. } => (reference.as_str(), open.taken.amount),
            Kind::Capture { .. } => (INTENT, open.taken.amount),
            Kind::Void => (INTENT, OWED),
        };
        let outcome = match end {
            End::Succeeds => done(name, amount),
            End::Fails => failed(None),
            End::StaysOpen => Outcome::Unknown { reference: None, why: Why::NoAnswer },
        };
        self.say(open.id, By::Evidence, outcome).await;
    }

    /// The payout that was made and its operation; or the code of the refusal.
    async fn pay_out(&mut self, amount: Option<i64>) -> Result<(PayoutId, OperationId, i64), String> {
        const NAMES: &[&str; 1] = &["endpoint"];
        self.requests += 1;
        let new = NewPayout {
            key: IdempotencyKey::try_from(format!("key-{}", self.requests)).unwrap(),
            fingerprint: Fingerprint::of(NAMES, [b"x"]),
            payout_id: PayoutId::new(),
            seller: SELLER.parse().unwrap(),
            amount,
            currency: Currency::EUR,
            destination: PspReference::parse("ba_1").unwrap(),
            psp: Psp::Stripe,
            psp_account_id: self.account,
            statement_descriptor: None,
            metadata: BTreeMap::new(),
            lease: LEASE,
            request_id: None,
        };
        let id = new.payout_id;
        match payout::claim(&self.pool, self.merchant, &[new]).await.unwrap().remove(0) {
            payout::Claimed::Fresh(begun) => {
                let expected = &begun.errand.expected;
                Ok((id, expected.operation_id, expected.amount.minor))
            }
            payout::Claimed::Answered { status: 409, body, .. } => {
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                Err(body["code"].as_str().unwrap().to_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    async fn hear(&self, payout: &PaidOut, word: Heard) {
        let name = format!("po_{}", payout.operation);
        let sent = |captured| {
            let Outcome::Succeeded(success) = done(&name, payout.amount) else { unreachable!() };
            Outcome::Succeeded(Success { captured, ..success })
        };
        let outcome = match word {
            Heard::Sent => sent(false),
            Heard::Arrived => sent(true),
            Heard::Failed => failed(Some(&name)),
            Heard::Nothing => Outcome::Unknown { reference: None, why: Why::NoAnswer },
        };
        self.say(payout.operation, By::Evidence, outcome).await;
    }

    async fn settle(&self, number: usize, amounts: &[i64]) {
        let head = "automatic_payout_id,balance_transaction_id,created,available_on,currency,gross,fee,net,\
                    reporting_category,source_id,description,charge_id,payment_intent_id,payment_metadata[payonce_operation]";
        let line = |(line, minor): (usize, &i64)| {
            let gross = format!("{}.{:02}", minor / 100, minor % 100);
            let when = "2026-01-03 10:00:00";
            format!(",txn_{number}_{line},{when},{when},eur,{gross},0.00,{gross},charge,ch_1,,ch_1,{INTENT},")
        };
        let lines: Vec<String> = amounts.iter().enumerate().map(line).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{head}\n{}\n", lines.join("\n"))).unwrap();
        let account = intake::account(&self.pool, self.merchant, Some(self.account)).await.unwrap();
        let told = Arc::new(|_| ());
        let taken = intake::take_in(
            &self.pool,
            self.merchant,
            &account,
            Source::from(file.path()).open().unwrap(),
            None,
            100,
            told,
        )
        .await
        .unwrap();
        let mut settled = taken.progress;
        settled.add(&run::settle(&self.pool, self.merchant, |_| ()).await.unwrap());
        assert_eq!(settled.matched, amounts.len() as u64, "{settled:?}");
    }

    async fn dispute(&self, number: usize, event: DisputeEvent, amount: i64) {
        let word = Word {
            psp_reference: format!("dp_{number}"),
            event,
            // as PSPs tell it: much happens in one second
            at: OffsetDateTime::now_utc().replace_nanosecond(0).unwrap(),
            amount: Money::new(amount, Currency::EUR),
            reason: None,
            evidence_due_at: None,
            taken: 1,
            returned: u32::from(event == DisputeEvent::Won),
            fee: 0,
            returned_fee: 0,
        };
        let told = dispute::record(&self.pool, self.merchant, self.account, INTENT, &word).await.unwrap();
        assert!(matches!(told, Recorded::Now(..) | Recorded::Stale), "{told:?}");
        let stands: String =
            sqlx::query_scalar("select status from dispute where psp_account_id = $1 and psp_reference = $2")
                .bind(self.account.as_uuid())
                .bind(&word.psp_reference)
                .fetch_one(&self.pool)
                .await
                .unwrap();
        assert_eq!(DisputeStatus::parse(&stands), DisputeStatus::New.apply(event).ok());
    }

    async fn agrees(&self, model: &Model) -> Result<(), TestCaseError> {
        let view = payment::get(&self.pool, self.merchant, self.payment).await.unwrap().unwrap();
        prop_assert_eq!(
            (view.status.as_str(), view.captured_amount, view.refund_reserved_amount),
            (model.status, model.captured, model.reserved)
        );
        prop_assert_eq!((view.refunded_amount, view.disputed_amount), (model.refunded, model.disputed));
        for payout in &model.payouts {
            let view = payout::get(&self.pool, self.merchant, payout.id).await.unwrap().unwrap();
            prop_assert_eq!((view.status.as_str(), view.amount), (payout.status, payout.amount));
        }
        let rows =
            ledger::balance::list(&self.pool, self.merchant, &AccountFilter::default(), None).await.unwrap();
        let of_rows: BTreeMap<String, i64> =
            rows.iter().filter(|row| row.balance != 0).map(|row| (row.code.clone(), row.balance)).collect();
        let of_model: BTreeMap<String, i64> = model
            .books
            .iter()
            .filter(|(_, minor)| **minor != 0)
            .map(|(code, minor)| (code.clone(), *minor))
            .collect();
        prop_assert_eq!(of_rows, of_model);
        Ok(())
    }
}

fn done(reference: &str, minor: i64) -> Outcome {
    Outcome::Succeeded(Success {
        reference: PspReference::parse(reference).unwrap(),
        movement: None,
        amount: Money::new(minor, Currency::EUR),
        captured: false,
    })
}

fn failed(reference: Option<&str>) -> Outcome {
    let decline = Decline { code: decline::REFUND_FAILED, decline_code: None, message: "no".to_owned() };
    Outcome::Declined { reference: reference.map(|name| PspReference::parse(name).unwrap()), decline }
}

async fn take(shop: &mut Shop, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    let psp = shop.account;
    match step {
        Step::Ask(kind, amount) => match (shop.ask(kind, amount).await, model.refuses(kind, amount)) {
            (Ok(id), None) => model.accept(id, kind, amount.unwrap_or(model.left(kind))),
            (told, expected) => prop_assert_eq!(told.err(), expected.map(str::to_owned)),
        },
        Step::End(which, end) if !model.open.is_empty() => {
            let open = model.open.remove(which % model.open.len());
            shop.end(&open, end).await;
            match end {
                End::Succeeds => model.succeed(open, psp),
                End::Fails => model.fail(&open),
                End::StaysOpen => model.open.push(open),
            }
        }
        Step::ComesBack(which) if !model.done.is_empty() => {
            let refund = model.done.remove(which % model.done.len());
            shop.say(refund.id, By::Evidence, failed(Some(&format!("re_{}", refund.id)))).await;
            model.come_back(&refund, psp);
        }
        Step::Settle => {
            let lines = model.settle(psp);
            if !lines.is_empty() {
                model.settlements += 1;
                shop.settle(model.settlements, &lines).await;
            }
        }
        Step::Disputes(amount) if model.dispute.is_none() && amount <= model.captured => {
            model.disputed(amount, psp);
            shop.dispute(model.disputes, DisputeEvent::EvidenceWanted, amount).await;
        }
        Step::Decides(won) => {
            let Some((taken, _)) = &model.dispute else { return Ok(()) };
            let event = if won { DisputeEvent::Won } else { DisputeEvent::Lost };
            shop.dispute(model.disputes, event, taken.amount).await;
            model.decided(won, psp);
        }
        Step::PaysOut(amount) => match (shop.pay_out(amount).await, model.pays_out(amount)) {
            (Ok((id, operation, sent)), Some(amount)) => {
                prop_assert_eq!(sent, amount);
                model.paid_out(id, operation, amount);
            }
            (told, expected) => {
                prop_assert_eq!(expected, None);
                prop_assert_eq!(told.err(), Some("payout_exceeds_available".to_owned()));
            }
        },
        Step::Hears(which, word) if !model.payouts.is_empty() => {
            let which = which % model.payouts.len();
            shop.hear(&model.payouts[which], word).await;
            model.heard(which, word, psp);
        }
        Step::End(..) | Step::ComesBack(_) | Step::Disputes(_) | Step::Hears(..) => {}
    }
    Ok(())
}

async fn live(pool: PgPool, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut shop = Shop::open(&pool).await;
    let mut model = Model { status: "authorized", ..Model::default() };
    shop.agrees(&model).await?;
    for step in steps {
        take(&mut shop, &mut model, step).await?;
        shop.agrees(&model).await?;
    }
    Ok(())
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn random_lives_of_a_payment_come_out_as_in_a_plain_model(pool: PgPool) {
    let runtime = Handle::current();
    let cases = move || {
        let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
        TestRunner::new(config)
            .run(&prop::collection::vec(step(), 8..40), |steps| runtime.block_on(live(pool.clone(), steps)))
    };
    tokio::task::spawn_blocking(cases).await.unwrap().unwrap();
}

#[test]
fn the_models_accounts_are_the_ledgers() {
    let psp = PspAccountId::new();
    assert_eq!(Account::PspReceivable(psp).to_string(), format!("psp_receivable/{psp}"));
    assert_eq!(Account::SellerHeld(SELLER.parse().unwrap()).to_string(), format!("seller_held/{SELLER}"));
}
