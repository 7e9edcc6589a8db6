//! A shop's day: payments in its books, and the PSP's file of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use embedded_postgres::{EmbeddedPostgres, Supervised};
use ledger::account::Account;
use ledger::posting::{Posting, Source};
use money::{Currency, MerchantId, Money, PspAccountId};
use time::macros::date;
use wallet::wallet::Split;

use crate::Error;
use crate::process;

const SETUP: &str = include_str!("../../bench/recon_setup.sql");
const DATABASE: &str = "payonce";

/// The columns of the file.
pub const HEADER: &str = "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,available_on,currency,\
                          gross,fee,net,reporting_category,source_id,description,charge_id,payment_intent_id,\
                          payment_metadata[payonce_operation],payment_metadata[order_id]";

/// A shop with a day of payments.
pub struct Shop<'a> {
    postgres: &'a EmbeddedPostgres,
    folder: &'a Path,
    merchant: MerchantId,
    account: PspAccountId,
    /// The PSP's file.
    pub file: PathBuf,
    /// How many lines it has, and payments the shop.
    pub lines: u32,
}

/// What reconciling took.
pub struct Run {
    pub span: Duration,
    /// The most memory that was resident at once.
    pub peak_kib: u64,
}

impl<'a> Shop<'a> {
    /// Makes payments and a file of them.
    ///
    /// # Errors
    /// When psql is missing or fails, or Postgres.
    pub fn make(
        postgres: &'a EmbeddedPostgres,
        folder: &'a Path,
        lines: u32,
        sellers: u32,
    ) -> Result<Self, Error> {
        let file = folder.join("settlement.csv");
        let shop =
            Self { postgres, folder, merchant: MerchantId::new(), account: PspAccountId::new(), file, lines };
        shop.sql(&format!("\\set lines {lines}\n\\set sellers {sellers}\n{SETUP}"))?;
        shop.sql(&format!(
            "\\copy ({}) to '{}' with (format csv, header)",
            lines_query(),
            shop.file.display()
        ))?;
        shop.post_captures(sellers)?;
        shop.sql("drop table made; vacuum analyze; checkpoint")?;
        Ok(shop)
    }

    /// The ledger's side: what the payments brought in, in one transaction for each seller.
    fn post_captures(&self, sellers: u32) -> Result<(), Error> {
        let sums = self.ask(
            "select string_agg(seller_id || ' ' || sum, ',') from (
            select seller_id, sum(amount) from payment_split group by 1) s",
        )?;
        let mut postings = Vec::with_capacity(sellers as usize);
        for (number, sum) in sums.split(',').enumerate() {
            let (seller, minor) = sum.split_once(' ').unwrap_or_default();
            let (Ok(seller), Ok(minor)) = (seller.parse(), minor.parse()) else {
                return Err(Error::Unexpected(format!("a sum of a seller: {sum}")));
            };
            let amount = Money::new(minor, Currency::EUR);
            let source = Source { table: "bench", id: uuid::Uuid::from_u128(number as u128 + 1) };
            let posting = Posting::builder(source, "capture", date!(2026 - 01 - 02))
                .debit(Account::PspReceivable(self.account), amount);
            let fee = 50 * (minor / 6000).min(1);
            let split = Split { seller, amount: minor, platform_fee: fee };
            let posting = wallet::wallet::credit_capture(posting, Currency::EUR, &[split]).build();
            postings.push(posting.map_err(|error| Error::Unexpected(error.to_string()))?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(Error::io("start a runtime"))?.block_on(async {
            let pool = sqlx::PgPool::connect(&self.url()).await?;
            let mut tx = pool.begin().await?;
            let posted = ledger::posting::post_in_tx(&mut tx, self.merchant, &postings).await;
            posted.map_err(|error| Error::Unexpected(error.to_string()))?;
            tx.commit().await?;
            pool.close().await;
            Ok(())
        })
    }

    fn url(&self) -> String {
        self.postgres.superuser_url(DATABASE)
    }

    fn psql(&self, options: &[&str], text: &str) -> Result<String, Error> {
        let script = self.folder.join("script.sql");
        std::fs::write(&script, text).map_err(Error::io("write a script"))?;
        let mut psql = Command::new(self.postgres.program("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.url()]).args(options);
        for (name, value) in
            [("merchant", self.merchant.to_string()), ("psp_account", self.account.to_string())]
        {
            psql.arg("-v").arg(format!("{name}={value}"));
        }
        let output =
            psql.arg("-f").arg(script).stdin(Stdio::null()).output().map_err(Error::io("run psql"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Failed { command: "psql".to_owned(), status: output.status.to_string(), said })
    }

    /// Runs SQL.
    ///
    /// # Errors
    /// When psql is missing or a statement fails.
    pub fn sql(&self, text: &str) -> Result<(), Error> {
        self.psql(&[], text).map(drop)
    }

    /// The one value that a query answers.
    ///
    /// # Errors
    /// The same.
    pub fn ask(&self, query: &str) -> Result<String, Error> {
        self.psql(&["-A", "-t"], query)
    }

    /// Reconciles the file, and makes sure that every line of it was matched.
    ///
    /// # Errors
    /// When `reconcile` does not end well, or a line was not matched.
    pub fn reconcile(&self) -> Result<Run, Error> {
        let log = |name| std::fs::File::create(self.folder.join(name)).map_err(Error::io("make a log"));
        let mut command = Command::new(process::program("reconcile")?);
        command.arg("run").arg(&self.file).args(["--merchant", &self.merchant.to_string()]);
        command.args(["--database-url", &self.url()]);
        command.stdin(Stdio::null()).stdout(log("reconcile.out")?).stderr(log("reconcile.err")?);
        let began = Instant::now();
        let child = Supervised::spawn(command).map_err(Error::io("start reconcile"))?;
        let (mut peak_kib, mut status) = (0, None);
        while status.is_none() {
            peak_kib = peak_kib.max(peak_of(child.id()));
            status = child.wait_timeout(Duration::from_millis(20));
        }
        let span = began.elapsed();
        let said = std::fs::read_to_string(self.folder.join("reconcile.out")).unwrap_or_default();
        let matched = self.ask("select count(*) from recon_match")?;
        if !status.is_some_and(|status| status.success()) || matched != self.lines.to_string() {
            return Err(Error::Unexpected(format!(
                "reconcile matched {matched} of {} lines:\n{said}",
                self.lines
            )));
        }
        Ok(Run { span, peak_kib })
    }
}

/// The most memory that the process ever had resident, in KiB.
fn peak_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default()
}

/// The lines of the file: each payment's, three days later in one payout.
fn lines_query() -> String {
    let at = "to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')";
    let values = [
        "'po_1'",
        "'2026-01-05 00:00:00'",
        "'txn_' || left(intent, 16) || substr(md5('txn' || n), 1, 8)",
        at,
        "'2026-01-04 00:00:00'",
        "'eur'",
        "to_char(amount / 100.0, 'FM999990.00')",
        "to_char((amount * 3 / 100) / 100.0, 'FM999990.00')",
        "to_char((amount - amount * 3 / 100) / 100.0, 'FM999990.00')",
        "'charge'",
        "'ch_' || movement",
        "'Order ' || n",
        "'ch_' || movement",
        "'pi_' || intent",
        "operation_id",
        "'order-' || n",
    ];
    let named = HEADER.split(',').zip(values).map(|(name, value)| format!("{value} as {name:?}"));
    format!("select {} from made order by n", named.collect::<Vec<_>>().join(", "))
}
