//! The ledger against Postgres: what raw SQL cannot do to it, and what its own code promises.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as tests do"
)]

mod balances;
mod floors;
mod model;
mod postings;
mod races;
mod raw_sql;
mod roll_up;

use ledger::Error;
use ledger::account::Account;
use ledger::posting::{Posted, Posting, Source, post_in_tx};
use money::{Currency, MerchantId, Money, PspAccountId};
use sqlx::PgPool;
use time::Date;
use time::macros::date;
use uuid::Uuid;

const DAY: Date = date!(2026 - 03 - 01);

/// One merchant's books.
#[derive(Clone)]
struct Books {
    pool: PgPool,
    merchant: MerchantId,
    psp: PspAccountId,
}

impl Books {
    async fn open(pool: &PgPool) -> Self {
        let books = Self { pool: pool.clone(), merchant: MerchantId::new(), psp: PspAccountId::new() };
        sqlx::query("insert into merchant (merchant_id, mode, name) values ($1, 'test', 'Shop')")
            .bind(books.merchant)
            .execute(pool)
            .await
            .unwrap();
        books
    }

    fn receivable(&self) -> Account {
        Account::PspReceivable(self.psp)
    }

    async fn post(&self, postings: &[Posting]) -> Result<Vec<Posted>, Error> {
        let mut tx = self.pool.begin().await?;
        let posted = post_in_tx(&mut tx, self.merchant, postings).await?;
        tx.commit().await?;
        Ok(posted)
    }

    /// A capture of `minor` for `seller`, of which the platform keeps one.
    fn capture(&self, source: Uuid, sold_by: &str, minor: i64) -> Posting {
        let legs = [(self.receivable(), minor), (pending(sold_by), 1 - minor), (Account::PlatformFees, -1)];
        posting(source, "capture", DAY, &legs)
    }

    async fn balance(&self, account: &Account) -> i64 {
        let accounts = [(account.clone(), Currency::EUR)];
        ledger::balance::read(&self.pool, self.merchant, &accounts).await.unwrap()[0]
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).bind(self.merchant).fetch_one(&self.pool).await.unwrap()
    }

    async fn transactions(&self) -> i64 {
        self.count("select count(*) from ledger_transaction where merchant_id = $1").await
    }

    async fn deltas(&self) -> i64 {
        self.count("select count(*) from ledger_balance_delta where merchant_id = $1").await
    }

    /// Accounts whose balance is not the sum of their entries, and transactions that are not balanced.
    async fn lies(&self) -> i64 {
        self.count(
            "select (select count(*) from ledger_balance b
                     where b.merchant_id = $1
                       and b.balance + coalesce((select sum(d.amount) from ledger_balance_delta d
                               where d.merchant_id = $1 and d.account_id = b.account_id), 0)
                        <> coalesce((select sum(e.amount) from ledger_entry e
                               where e.merchant_id = $1 and e.account_id = b.account_id), 0))
                  + (select count(*) from (select 1 from ledger_entry where merchant_id = $1
                               group by transaction_id, currency having sum(amount) <> 0) unbalanced)",
        )
        .await
    }
}

fn seller(name: &str) -> money::SellerId {
    name.parse().unwrap()
}

fn pending(name: &str) -> Account {
    Account::SellerPending(seller(name))
}

fn available(name: &str) -> Account {
    Account::SellerAvailable(seller(name))
}

fn held(name: &str) -> Account {
    Account::SellerHeld(seller(name))
}

/// A posting in euros: a positive amount is a debit.
fn posting(source: Uuid, kind: &'static str, day: Date, legs: &[(Account, i64)]) -> Posting {
    let source = Source { table: "operation", id: source };
    let builder = legs.iter().fold(Posting::builder(source, kind, day), |builder, (account, minor)| {
        let amount = Money::new(minor.abs(), Currency::EUR);
        if *minor >= 0 {
            builder.debit(account.clone(), amount)
        } else {
            builder.credit(account.clone(), amount)
        }
    });
    builder.build().unwrap()
}

/// Money from outside for a seller to have.
fn funding(name: &str, minor: i64) -> Posting {
    posting(Uuid::now_v7(), "funding", DAY, &[(Account::BankCash, minor), (available(name), -minor)])
}

fn booked(posted: &[Posted]) -> Vec<bool> {
    posted.iter().map(|posted| matches!(posted, Posted::Now(_))).collect()
}
