//! Wallets against Postgres: what a capture and a settlement do to a seller's money, and what the seller sees.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as tests do"
)]

use ledger::account::Account;
use ledger::posting::{Builder, Posting, Source, post_in_tx};
use money::{Currency, MerchantId, Money, PspAccountId, SellerId};
use sqlx::PgPool;
use time::Date;
use time::macros::date;
use uuid::Uuid;
use wallet::wallet::{Purse, Split, Wallet, credit_capture, entries, give, hold, lock_in_tx, read, settle};

const DAY: Date = date!(2026 - 03 - 01);

struct Shop {
    pool: PgPool,
    merchant: MerchantId,
    psp: PspAccountId,
}

fn euro(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn seller(name: &str) -> SellerId {
    name.parse().unwrap()
}

fn builder(kind: &'static str) -> Builder {
    Posting::builder(Source { table: "operation", id: Uuid::now_v7() }, kind, DAY)
}

fn wallet(pending: i64, available: i64, held: i64, debt: i64) -> Wallet {
    Wallet { currency: "EUR".to_owned(), pending, available, held, debt }
}

impl Shop {
    fn new(pool: PgPool) -> Self {
        Self { pool, merchant: MerchantId::new(), psp: PspAccountId::new() }
    }

    async fn post(&self, builder: Builder) {
        let mut tx = self.pool.begin().await.unwrap();
        post_in_tx(&mut tx, self.merchant, &[builder.build().unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn capture(&self, splits: &[Split], currency: Currency) {
        let amount = splits.iter().map(|split| split.amount).sum();
        let posting =
            builder("capture").debit(Account::PspReceivable(self.psp), Money::new(amount, currency));
        self.post(credit_capture(posting, currency, splits)).await;
    }

    /// What a settlement moves beside the sellers' accounts.
    fn psps(&self) -> [(Account, Currency); 2] {
        [Account::PspBalance(self.psp), Account::PspReceivable(self.psp)]
            .map(|account| (account, Currency::EUR))
    }

    /// What a settlement line does: lock, read what is owed, post.
    async fn settle(&self, name: &str, minor: i64) {
        let who = (seller(name), Currency::EUR);
        let mut tx = self.pool.begin().await.unwrap();
        let mut purses =
            lock_in_tx(&mut tx, self.merchant, std::slice::from_ref(&who), &self.psps()).await.unwrap();
        let posting = builder("settlement")
            .debit(Account::PspBalance(self.psp), euro(minor))
            .credit(Account::PspReceivable(self.psp), euro(minor));
        let purse = purses.get_mut(&who).unwrap();
        let posting = settle(posting, &who.0, euro(minor), purse).build().unwrap();
        post_in_tx(&mut tx, self.merchant, &[posting]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A settlement of no effect on the seller: its accounts are locked, or made, all the same.
    async fn settle_nothing(&self, name: &str) {
        let mut tx = self.pool.begin().await.unwrap();
        let who = (seller(name), Currency::EUR);
        lock_in_tx(&mut tx, self.merchant, &[who], &self.psps()).await.unwrap();
        let posting = builder("settlement")
            .debit(Account::PspBalance(self.psp), euro(1))
            .credit(Account::PspReceivable(self.psp), euro(1));
        post_in_tx(&mut tx, self.merchant, &[posting.build().unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn owe(&self, name: &str, minor: i64) {
        let debt = Account::SellerDebt(seller(name));
        self.post(builder("owe").debit(debt, euro(minor)).credit(Account::Suspense, euro(minor))).await;
    }

    async fn wallet(&self, name: &str) -> Vec<Wallet> {
        read(&self.pool, self.merchant, &seller(name)).await.unwrap()
    }
}

fn split(name: &str, amount: i64, platform_fee: i64) -> Split {
    Split { seller: seller(name), amount, platform_fee }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_capture_is_pending_without_the_platforms_fee(pool: PgPool) {
    let shop = Shop::new(pool);
    assert_eq!(shop.wallet("s-1").await, [], "nobody has heard of it");
    shop.capture(&[split("s-1", 95, 5), split("s-2", 10, 0), split("s-3", 7, 7)], Currency::EUR).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(90, 0, 0, 0)]);
    assert_eq!(shop.wallet("s-2").await, [wallet(10, 0, 0, 0)]);
    assert_eq!(shop.wallet("s-3").await, [], "the platform keeps all of it");
    let fees = [(Account::PlatformFees, Currency::EUR)];
    assert_eq!(ledger::balance::read(&shop.pool, shop.merchant, &fees).await.unwrap(), [12]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_settles_pays_the_debt_first_and_the_rest_is_available(pool: PgPool) {
    let shop = Shop::new(pool);
    shop.capture(&[split("s-1", 100, 0)], Currency::EUR).await;
    shop.owe("s-1", 30).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(100, 0, 0, 30)]);
    shop.settle("s-1", 20).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(80, 0, 0, 10)], "all of it went to the debt");
    shop.settle("s-1", 25).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(55, 15, 0, 0)]);
    shop.settle("s-1", 55).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(0, 70, 0, 0)]);
}

impl Shop {
    /// What a refund does: lock, read what is there, hold; `pending` of it from what is not settled.
    async fn hold(&self, name: &str, minor: i64, pending: i64) {
        let who = (seller(name), Currency::EUR);
        let mut tx = self.pool.begin().await.unwrap();
        let mut purses =
            lock_in_tx(&mut tx, self.merchant, std::slice::from_ref(&who), &self.psps()).await.unwrap();
        let purse = purses.get_mut(&who).unwrap();
        let posting = hold(builder("refund_reserve"), &who.0, euro(minor), pending, purse);
        post_in_tx(&mut tx, self.merchant, &[posting.build().unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What a refund that failed does.
    async fn give_back(&self, name: &str, minor: i64) {
        let who = (seller(name), Currency::EUR);
        let mut tx = self.pool.begin().await.unwrap();
        let mut purses =
            lock_in_tx(&mut tx, self.merchant, std::slice::from_ref(&who), &self.psps()).await.unwrap();
        let posting = builder("refund_return").debit(Account::SellerHeld(who.0.clone()), euro(minor));
        let posting = give(posting, &who.0, euro(minor), purses.get_mut(&who).unwrap());
        post_in_tx(&mut tx, self.merchant, &[posting.build().unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_is_held_comes_from_pending_then_available_and_the_rest_is_debt(pool: PgPool) {
    let shop = Shop::new(pool);
    shop.capture(&[split("s-1", 100, 0)], Currency::EUR).await;
    shop.settle("s-1", 60).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(40, 60, 0, 0)]);
    shop.hold("s-1", 30, 10).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(30, 40, 30, 0)]);
    shop.hold("s-1", 55, 0).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(30, 0, 85, 15)], "available never falls below zero");
    shop.give_back("s-1", 55).await;
    assert_eq!(shop.wallet("s-1").await, [wallet(30, 40, 30, 0)], "the debt first");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn two_holds_at_once_spend_what_is_available_once(pool: PgPool) {
    for round in 0..20 {
        let shop = Shop::new(pool.clone());
        shop.capture(&[split("s-1", 100, 0)], Currency::EUR).await;
        shop.settle("s-1", 100).await;
        tokio::join!(shop.hold("s-1", 60, 0), shop.hold("s-1", 60, 0));
        assert_eq!(shop.wallet("s-1").await, [wallet(0, 0, 120, 20)], "round {round}");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn two_settlements_at_once_repay_a_debt_once(pool: PgPool) {
    let shop = Shop::new(pool);
    shop.capture(&[split("s-1", 100, 0)], Currency::EUR).await;
    shop.owe("s-1", 30).await;
    tokio::join!(shop.settle("s-1", 40), shop.settle("s-1", 40));
    assert_eq!(shop.wallet("s-1").await, [wallet(20, 50, 0, 0)]);
}

/// Each round's accounts are new, so both make them.
#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_capture_and_a_settlement_that_are_a_sellers_first_never_deadlock(pool: PgPool) {
    for round in 0..100 {
        let shop = Shop::new(pool.clone());
        let sale = [split("s-1", 100, 0)];
        tokio::join!(shop.capture(&sale, Currency::EUR), shop.settle_nothing("s-1"));
        assert_eq!(shop.wallet("s-1").await, [wallet(100, 0, 0, 0)], "round {round}");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn more_than_is_pending_never_becomes_available(pool: PgPool) {
    let shop = Shop::new(pool);
    shop.capture(&[split("s-1", 10, 0)], Currency::EUR).await;
    let mut tx = shop.pool.begin().await.unwrap();
    let posting =
        settle(builder("settlement"), &seller("s-1"), euro(11), &mut Purse::default()).build().unwrap();
    let error = post_in_tx(&mut tx, shop.merchant, &[posting]).await.unwrap_err();
    assert!(matches!(error, ledger::Error::BelowFloor(_)), "{error:?}");
    tx.rollback().await.unwrap();
    assert_eq!(shop.wallet("s-1").await, [wallet(10, 0, 0, 0)]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_wallet_keeps_currencies_merchants_and_sellers_apart(pool: PgPool) {
    let (ours, theirs) = (Shop::new(pool.clone()), Shop::new(pool));
    ours.capture(&[split("s-1", 10, 0)], Currency::EUR).await;
    ours.capture(&[split("s-1", 500, 0), split("s-11", 1, 0)], Currency::JPY).await;
    theirs.capture(&[split("s-1", 7, 0)], Currency::EUR).await;
    let yen = Wallet { currency: "JPY".to_owned(), ..wallet(500, 0, 0, 0) };
    assert_eq!(ours.wallet("s-1").await, [wallet(10, 0, 0, 0), yen]);
    assert_eq!(theirs.wallet("s-1").await, [wallet(7, 0, 0, 0)]);
    let of_ours = entries(&ours.pool, ours.merchant, &seller("s-1"), Currency::EUR, None, 10).await.unwrap();
    assert_eq!(of_ours.iter().map(|entry| entry.amount).collect::<Vec<_>>(), [-10]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn entries_tell_each_movement_once_newest_first(pool: PgPool) {
    let shop = Shop::new(pool);
    shop.capture(&[split("s-1", 100, 0)], Currency::EUR).await;
    shop.owe("s-1", 30).await;
    shop.settle("s-1", 40).await;
    let page = async |before, limit| {
        entries(&shop.pool, shop.merchant, &seller("s-1"), Currency::EUR, before, limit).await.unwrap()
    };
    let all = page(None, 100).await;
    let mut told: Vec<(&str, i64)> = all.iter().map(|entry| (entry.code.as_str(), entry.amount)).collect();
    // the three of the settlement are in the order of the chart
    told[..3].sort_unstable();
    assert_eq!(
        told,
        [
            ("seller_available/s-1", -10),
            ("seller_debt/s-1", -30),
            ("seller_pending/s-1", 40),
            ("seller_debt/s-1", 30),
            ("seller_pending/s-1", -100),
        ]
    );
    assert_eq!(
        all.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>()[2..],
        ["settlement", "owe", "capture"]
    );
    let first = page(None, 2).await;
    let last = first.last().unwrap();
    let rest = page(Some((last.transaction_id, last.entry_no)), 100).await;
    assert_eq!([first, rest].concat(), all, "a page may end within a transaction");
}
