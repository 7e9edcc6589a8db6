//! A shop with payments in its books, and settlement files about them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its shop fails there")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::account::Account;
use ledger::balance::AccountFilter;
use ledger::posting::{Posting, Source as PostingSource};
use money::{Currency, MerchantId, Money, OperationId, PaymentId, PspAccountId};
use reconciliation::intake::{self, TakenIn};
use reconciliation::run::{self, Progress};
use reconciliation::source::Source;
use sqlx::PgPool;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use wallet::wallet::Split;

/// When the shop's payments were made. The files are of the days after.
pub const PAID_AT: OffsetDateTime = datetime!(2026-01-02 10:00:00 UTC);

/// A merchant with one account at a PSP, whose files may be seven days late.
#[derive(Clone)]
pub struct Shop {
    pub pool: PgPool,
    pub merchant: MerchantId,
    pub account: PspAccountId,
}

/// A payment of the shop, and the operation that charged it.
#[derive(Debug, Clone)]
pub struct Paid {
    pub operation_id: OperationId,
    pub payment_id: PaymentId,
    pub order_id: String,
    pub intent: String,
    pub amount: Money,
}

impl Shop {
    pub async fn open(pool: &PgPool) -> Self {
        let shop = Self { pool: pool.clone(), merchant: MerchantId::new(), account: PspAccountId::new() };
        sqlx::query("insert into merchant (merchant_id, mode, name) values ($1, 'test', 'A shop')")
            .bind(shop.merchant.as_uuid())
            .execute(pool)
            .await
            .unwrap();
        shop.add_account(shop.account).await;
        shop
    }

    pub async fn add_account(&self, account: PspAccountId) {
        sqlx::query(
            "insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
             values ($1, $2, 'test', 'stripe', $2::text, 'http://127.0.0.1:1',
                 '\\x01' || decode(repeat('00', 40), 'hex'), '\\x01' || decode(repeat('00', 40), 'hex'))",
        )
        .bind(self.merchant.as_uuid())
        .bind(account.as_uuid())
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// Order `number`, paid for as far as `status` says: 95 % to one of three sellers. What succeeded is in the ledger.
    pub async fn pays_as(&self, number: u32, amount: Money, status: &str) -> Paid {
        let order_id = format!("o-{number}");
        let paid = Paid {
            operation_id: OperationId::derive(self.merchant, &[&order_id, "1", "authorize"]),
            payment_id: PaymentId::new(),
            intent: format!("pi_{number}"),
            order_id,
            amount,
        };
        self.insert_payment(&paid, status).await;
        let ended = !matches!(status, "sending" | "unknown" | "requires_action");
        sqlx::query(
            "insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency, status, fence,
                 lease_until, due_at, first_sent_at, psp_reference, idempotency_key, created_at, updated_at)
             values ($1, $2, $3, 'authorize', $4, $5, $6, $7, 1, $8, $9, $8, $10, $11, $8, $8)",
        )
        .bind(self.merchant.as_uuid())
        .bind(paid.operation_id.as_uuid())
        .bind(paid.payment_id.as_uuid())
        .bind(self.account.as_uuid())
        .bind(amount.minor)
        .bind(amount.currency.code())
        .bind(status)
        .bind(PAID_AT)
        .bind((!ended).then_some(PAID_AT))
        .bind((status != "unknown").then_some(&paid.intent))
        .bind(format!("key-{number}"))
        .execute(&self.pool)
        .await
        .unwrap();
        if status == "succeeded" {
            self.post_capture(&paid).await;
        }
        paid
    }

    pub async fn pays(&self, number: u32, euros: i64) -> Paid {
        self.pays_as(number, Money::new(euros * 100, Currency::EUR), "succeeded").await
    }

    async fn insert_payment(&self, paid: &Paid, status: &str) {
        let captured = if status == "succeeded" { paid.amount.minor } else { 0 };
        sqlx::query(
            "insert into payment (merchant_id, payment_id, order_id, ordinal, psp_account_id, status, live, amount, currency,
                 capture_method, payment_method, metadata, authorized_amount, captured_amount, failure_code, created_at,
                 updated_at)
             values ($1, $2, $3, 1, $4, $5, $6, $7, $8, 'automatic', 'pm_card_visa', '{}', $9, $9, $10, $11, $11)",
        )
        .bind(self.merchant.as_uuid())
        .bind(paid.payment_id.as_uuid())
        .bind(&paid.order_id)
        .bind(self.account.as_uuid())
        .bind(match status {
            "succeeded" => "captured",
            "declined" => "failed",
            _ => "processing",
        })
        .bind(status != "declined")
        .bind(paid.amount.minor)
        .bind(paid.amount.currency.code())
        .bind(captured)
        .bind((status == "declined").then_some("card_declined"))
        .bind(PAID_AT)
        .execute(&self.pool)
        .await
        .unwrap();
        for split in splits(paid) {
            sqlx::query(
                "insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee)
                 values ($1, $2, 1, $3, $4, $5)",
            )
            .bind(self.merchant.as_uuid())
            .bind(paid.payment_id.as_uuid())
            .bind(split.seller.as_str())
            .bind(split.amount)
            .bind(split.platform_fee)
            .execute(&self.pool)
            .await
            .unwrap();
        }
    }

    async fn post_capture(&self, paid: &Paid) {
        let source = PostingSource { table: "operation", id: paid.operation_id.as_uuid() };
        let posting = Posting::builder(source, "capture", PAID_AT.date())
            .debit(Account::PspReceivable(self.account), paid.amount);
        let posting =
            wallet::wallet::credit_capture(posting, paid.amount.currency, &splits(paid)).build().unwrap();
        let mut tx = self.pool.begin().await.unwrap();
        ledger::posting::post_in_tx(&mut tx, self.merchant, &[posting]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What the service does with evidence: the operation succeeded.
    pub async fn succeeds_late(&self, paid: &Paid) {
        sqlx::query(
            "update operation set status = 'succeeded', due_at = null, psp_reference = $3
             where merchant_id = $1 and operation_id = $2",
        )
        .bind(self.merchant.as_uuid())
        .bind(paid.operation_id.as_uuid())
        .bind(&paid.intent)
        .execute(&self.pool)
        .await
        .unwrap();
        self.post_capture(paid).await;
    }

    pub async fn takes_in(&self, file: &Path) -> Result<TakenIn, intake::Error> {
        self.takes_in_by(file, intake::CHUNK_LINES).await
    }

    pub async fn takes_in_by(&self, file: &Path, chunk_lines: usize) -> Result<TakenIn, intake::Error> {
        let account = intake::account(&self.pool, self.merchant, Some(self.account)).await?;
        let opened = Source::from(file).open()?;
        intake::take_in(&self.pool, self.merchant, &account, opened, None, chunk_lines, Arc::new(|_| ()))
            .await
    }

    pub async fn settles(&self) -> Progress {
        run::settle(&self.pool, self.merchant, |_| ()).await.unwrap()
    }

    /// Takes in `file` and settles; whatever became of it, the books are right.
    pub async fn reconciles(&self, file: &Path) -> Progress {
        let mut progress = self.takes_in(file).await.unwrap().progress;
        progress.add(&self.settles().await);
        self.check_books().await;
        progress
    }

    /// All accounts with money in them: code and currency to signed minor units, debits positive. The PSP's id is left
    /// out of the codes.
    pub async fn balances(&self) -> BTreeMap<String, i64> {
        let rows =
            ledger::balance::list(&self.pool, self.merchant, &AccountFilter::default(), None).await.unwrap();
        let psp = format!("/{}", self.account);
        rows.into_iter()
            .filter(|row| row.balance != 0)
            .map(|row| (format!("{} {}", row.code.replace(&psp, ""), row.currency), row.balance))
            .collect()
    }

    /// Kinds of the open breaks, with the operation they are about where there is one, in order.
    pub async fn open_breaks(&self) -> Vec<(String, Option<uuid::Uuid>)> {
        sqlx::query_as(
            "select kind, operation_id from recon_break where merchant_id = $1 and state = 'open' order by kind, subject",
        )
        .bind(self.merchant.as_uuid())
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    pub async fn count(&self, table: &str) -> i64 {
        let query = format!("select count(*) from {table} where merchant_id = $1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(self.merchant.as_uuid())
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// What holds at every moment: the books balance, no wallet is negative, and the PSP's balance in the ledger is the
    /// net of the booked lines, to the cent and line by line.
    pub async fn check_books(&self) {
        self.check_ledger().await;
        self.check_settlement().await;
    }

    /// The books balance, and no wallet is negative.
    pub async fn check_ledger(&self) {
        let rows =
            ledger::balance::list(&self.pool, self.merchant, &AccountFilter::default(), None).await.unwrap();
        let mut trial: BTreeMap<&str, i64> = BTreeMap::new();
        for row in &rows {
            *trial.entry(&row.currency).or_default() += row.balance;
            if row.code.starts_with("seller_") {
                assert!(row.balance * i64::from(row.normal_side) >= 0, "{row:?}");
            }
        }
        assert!(trial.values().all(|sum| *sum == 0), "{trial:?}");
    }

    async fn check_settlement(&self) {
        let lines: Vec<(String, i64, i64, i64)> = sqlx::query_as(
            "select currency, sum(net)::bigint, sum(case kind when 'fee' then fee - gross else fee end)::bigint,
                 sum(case when kind in ('payout', 'payout_reversal') then -gross else 0 end)::bigint
             from settlement_line_booking where merchant_id = $1 and booking_id is not null group by currency",
        )
        .bind(self.merchant.as_uuid())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let implied: Vec<(String, i64)> = sqlx::query_as(
            "select currency, sum(implied)::bigint from settlement_payout where merchant_id = $1 group by currency",
        )
        .bind(self.merchant.as_uuid())
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let implied: BTreeMap<String, i64> = implied.into_iter().collect();
        let balances = self.balances().await;
        let balance =
            |code: &str, currency: &str| balances.get(&format!("{code} {currency}")).copied().unwrap_or(0);
        for (currency, net, fees, payouts) in lines {
            let implied = implied.get(&currency).copied().unwrap_or(0);
            assert_eq!(balance("psp_balance", &currency), net - implied, "{currency}");
            assert_eq!(balance("psp_fees", &currency), fees, "{currency}");
            assert_eq!(balance("payout_in_transit", &currency), payouts + implied, "{currency}");
        }
        let unbooked: i64 = sqlx::query_scalar(
            "select count(*) from settlement_line_booking l
             join settlement_file f on f.merchant_id = l.merchant_id and f.file_id = l.file_id
             where l.merchant_id = $1 and f.state = 'settled' and l.booking_id is null and l.waiting_for is null",
        )
        .bind(self.merchant.as_uuid())
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(unbooked, 0, "a line of a settled file is booked or waits");
        let miscounted: i64 = sqlx::query_scalar(
            "select count(*) from settlement_booking b
             cross join lateral (
                 select count(*) as lines, sum(l.net) as net from settlement_line_booking l
                 where l.merchant_id = $1 and l.booking_id = b.booking_id) l
             where b.merchant_id = $1 and not b.implied and (b.lines, b.balance_change) is distinct from (l.lines, l.net)",
        )
        .bind(self.merchant.as_uuid())
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(miscounted, 0, "a booking is the sum of its lines");
    }
}

/// The parts of a payment: all to one of three sellers, 5 % of it kept.
pub fn splits(paid: &Paid) -> Vec<Split> {
    let number: u32 = paid.order_id.trim_start_matches("o-").parse().unwrap();
    vec![Split {
        seller: format!("s-{}", number % 3).parse().unwrap(),
        amount: paid.amount.minor,
        platform_fee: paid.amount.minor / 20,
    }]
}

/// A settlement detail report of Adyen's with a capture of 100 EUR, which the buyer paid as `gross` in `currency`.
pub fn adyens_report(paid: &Paid, currency: &str, gross: &str) -> tempfile::NamedTempFile {
    let content = format!(
        "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,\
         Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,Net Debit (NC),\
         Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),Batch Number\n\
         Shop,ShopDE,{},{},visa,2026-01-02 10:20:30,CET,Settled,8836,{currency},,{gross},1,EUR,,97.00,,1.00,0.50,1.50,17\n",
        paid.intent, paid.operation_id
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

/// A settlement file of Stripe's, being written.
pub struct SettlementFile {
    content: String,
    lines: u32,
    payout: &'static str,
}

impl SettlementFile {
    pub fn new() -> Self {
        let content = "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,available_on,currency,\
                       gross,fee,net,reporting_category,source_id,description,customer_facing_amount,\
                       customer_facing_currency,charge_id,payment_intent_id,payment_metadata[payonce_operation],\
                       payment_metadata[order_id]\n"
            .to_owned();
        Self { content, lines: 0, payout: "" }
    }

    pub fn of_payout(mut self, payout: &'static str) -> Self {
        self.payout = payout;
        self
    }

    /// Any line: its identity, category, amounts, source, intent and operation.
    #[allow(clippy::too_many_arguments, reason = "a row of a table")]
    pub fn row(
        mut self,
        id: &str,
        category: &str,
        gross: Money,
        fee: i64,
        source: &str,
        intent: &str,
        ours: &str,
        order: &str,
    ) -> Self {
        let major = |minor: i64| {
            let text = Money::new(minor, gross.currency).to_string();
            text.split(' ').next().unwrap_or_default().to_owned()
        };
        let created = PAID_AT + Duration::days(1) + Duration::seconds(i64::from(self.lines));
        let stamp = format!(
            "{} {:02}:{:02}:{:02}",
            created.date(),
            created.hour(),
            created.minute(),
            created.second()
        );
        let currency = gross.currency.code().to_lowercase();
        let (fee_text, net) = (major(fee), major(gross.minor - fee));
        let gross = major(gross.minor);
        writeln!(
            self.content,
            "{},{stamp},{id},{stamp},{stamp},{currency},{gross},{fee_text},{net},{category},{source},,,,{source},{intent},{ours},{order}",
            self.payout
        )
        .unwrap();
        self.lines += 1;
        self
    }

    /// The line of a capture, with a fee of 3 %.
    pub fn capture(self, paid: &Paid) -> Self {
        self.capture_of(paid, paid.amount)
    }

    /// The line of a capture that is of `gross`.
    pub fn capture_of(self, paid: &Paid, gross: Money) -> Self {
        let number = paid.intent.trim_start_matches("pi_").to_owned();
        let (id, source, ours) =
            (format!("txn_{number}"), format!("ch_{number}"), paid.operation_id.to_string());
        self.row(&id, "charge", gross, gross.minor * 3 / 100, &source, &paid.intent, &ours, &paid.order_id)
    }

    pub fn fee(self, id: &str, euros: i64) -> Self {
        self.row(id, "fee", Money::new(-euros * 100, Currency::EUR), 0, "", "", "", "")
    }

    pub fn payout(self, id: &str, cents: i64) -> Self {
        let payout = if self.payout.is_empty() { "po_1" } else { self.payout };
        self.row(id, "payout", Money::new(-cents, Currency::EUR), 0, payout, "", "", "")
    }

    /// A line after which the file's latest day is `days` after the payments.
    pub fn days_later(mut self, days: i64) -> Self {
        let stamp = format!("{} 12:00:00", (PAID_AT + Duration::days(days)).date());
        writeln!(self.content, ",,txn_late_{days},{stamp},{stamp},eur,0.00,0.00,0.00,fee,,,,,,,,").unwrap();
        self
    }

    pub fn content(&self) -> &str {
        &self.content
    }

    /// Writes it; the folder goes with the guard.
    pub fn write(&self) -> Written {
        write("settlement.csv", &self.content)
    }
}

pub struct Written {
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for Written {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

pub fn write(name: &str, content: impl AsRef<[u8]>) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    Written { path, _folder: folder }
}
