//! A test's own service, PSP and database, on the Postgres server that `DATABASE_URL` leads to.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tests::installation::Installation;
use tests::psp::Effect;
use tests::stage::{Plan, Stage};
use tokio::task::block_in_place;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a test has for itself.
pub struct World {
    pub stage: Stage,
    _folder: TempDir,
}

impl World {
    /// Starts everything, with further arguments of `serve`.
    pub fn new(arguments: &[&str]) -> Self {
        Self::on(&server_url(), arguments)
    }

    /// The same on a Postgres server of the test's own.
    pub fn on(server_url: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let installation = installation_on(server_url, folder.path());
        let plan = Plan { installation, folder: folder.path(), seed: 1, arguments };
        let stage = block_in_place(|| Stage::set(plan)).unwrap_or_else(|error| panic!("{}", error.chain()));
        Self { stage, _folder: folder }
    }

    pub async fn database(&self) -> PgConnection {
        let url = self.stage.installation.superuser_url().expect("an address");
        PgConnection::connect(&url).await.expect("the database")
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.database().await).await.expect("a count")
    }

    /// What the PSP charged, by its own log.
    pub async fn charges(&self) -> Vec<Effect> {
        let effects = self.stage.control.effects().await.expect("the PSP's log");
        effects.into_iter().filter(Effect::is_charge).collect()
    }

    /// Waits until no operation and no webhook is unfinished.
    pub async fn quiet(&self) {
        let mut database = self.database().await;
        self.eventually("everything is finished", async || {
            let open: i64 = sqlx::query_scalar(
                "select (select count(*) from operation where due_at is not null)
                      + (select count(*) from webhook_event where due_at is not null)",
            )
            .fetch_one(&mut database)
            .await
            .expect("a count");
            open == 0
        })
        .await;
    }

    /// Looks again and again until it is so.
    pub async fn eventually(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so().await {
            let tail = || self.stage.service().map_or_else(|_| String::new(), tests::process::Running::tail);
            assert!(
                Instant::now() < until,
                "it did not come to it that {what}; the service says:\n{}",
                tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// That the books balance and agree with the PSP's own log: by the ledger, and by the service's own audit.
    pub async fn assert_books_are_right(&self) {
        for balance in self.stage.client.trial_balance().await.expect("a trial balance") {
            let sum: i64 = balance.accounts.iter().map(|account| account.balance).sum();
            assert_eq!((balance.difference, sum), (0, 0), "{balance:?}");
        }
        let captured: i64 = self
            .count("select coalesce(sum(captured_amount), 0)::bigint from payment where status = 'captured'")
            .await;
        assert_eq!(captured, self.charges().await.iter().map(|charge| charge.amount).sum::<i64>());
        block_in_place(|| self.stage.audit()).unwrap_or_else(|error| panic!("{}", error.chain()));
    }
}

fn server_url() -> String {
    let url = std::env::var("DATABASE_URL");
    url.expect("DATABASE_URL must lead to a Postgres server to be thrown away: run `make test`")
}

/// A new installation with a database of its own.
pub fn installation(folder: &Path) -> Installation {
    installation_on(&server_url(), folder)
}

fn installation_on(server_url: &str, folder: &Path) -> Installation {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let database = format!("it_{}_{number}", std::process::id());
    let made = block_in_place(|| Installation::on_server(server_url, &database, folder.join("service.log")));
    made.unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// A request to pay an order of one seller.
pub fn order(id: &str, amount: i64) -> Value {
    json!({
        "order_id": id, "amount": amount, "currency": "EUR", "payment_method": "pm_card_visa",
        "splits": [{"seller": "seller-1", "amount": amount, "platform_fee": amount / 10}],
    })
}

/// A fault of the PSP's at each of the next so many charges.
pub fn charge_fault(fault: &Value, times: u64) -> Value {
    json!({"fault": fault, "match": {"operation": "payment_intents.create"}, "times": times})
}
