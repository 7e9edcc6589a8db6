//! A test's own service, PSP and database, on the Postgres server that `DATABASE_URL` leads to.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tests::installation::{Installation, Shop};
use tests::psp::Effect;
use tests::shop::ShopClient;
use tests::stage::{Plan, Stage};
use tokio::task::block_in_place;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a test has for itself.
pub struct World {
    pub stage: Stage,
    folder: TempDir,
}

impl World {
    /// Starts everything, with further arguments of `serve`.
    pub fn new(arguments: &[&str]) -> Self {
        Self::on(&server_url(), arguments)
    }

    /// The same with a PSP that is told to be of this idempotency.
    pub fn with_idempotency(idempotency: &str, arguments: &[&str]) -> Self {
        Self::made(&server_url(), idempotency, arguments)
    }

    /// The same on a Postgres server of the test's own.
    pub fn on(server_url: &str, arguments: &[&str]) -> Self {
        Self::made(server_url, "native", arguments)
    }

    fn made(server_url: &str, idempotency: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let installation = installation_on(server_url, folder.path());
        let plan = Plan { installation, folder: folder.path(), seed: 1, arguments, idempotency };
        let stage = block_in_place(|| Stage::set(plan)).unwrap_or_else(|error| panic!("{}", error.chain()));
        Self { stage, folder }
    }

    /// All that the service ever said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("service.log")).expect("a log")
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

    /// What the PSP took of buyers and did not give back, by its own log, in minor units.
    pub async fn kept(&self) -> i64 {
        let effects = self.stage.control.effects().await.expect("the PSP's log");
        effects.iter().map(Effect::taken).sum()
    }

    /// How often the PSP did something of a kind, by its own log.
    pub async fn done(&self, kind: &str) -> usize {
        let effects = self.stage.control.effects().await.expect("the PSP's log");
        effects.iter().filter(|effect| effect.kind == kind).count()
    }

    /// Somebody of the shop who may see and do everything, with an API key of this name.
    pub fn person(&self, name: &str) -> ShopClient {
        let merchant = &self.stage.shop.merchant_id;
        let scopes = "payments,finance_read,finance_write";
        let command = ["api-key", "create", "--merchant", merchant, "--name", name, "--scopes", scopes];
        let made: Value = block_in_place(|| self.stage.installation.ask(command)).expect("a key");
        let shop =
            Shop { api_key: made["secret"].as_str().expect("text").to_owned(), ..self.stage.shop.clone() };
        let http = tests::http::client().expect("a client");
        ShopClient::new(http, &format!("http://{}", self.stage.service_address()), &shop)
    }

    /// Calls the PSP as somebody else who has the account's key, such as a person at its dashboard.
    pub async fn psp_post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let url = format!("{}/v1/{path}", self.stage.sandbox().expect("a PSP").url());
        let request =
            tests::http::client().expect("a client").post(url).bearer_auth(&self.stage.shop.psp_secret);
        let answer = request.form(form).send().await.expect("an answer");
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{body}");
        body
    }

    /// The PSP's names of its payments, in the order in which they were made.
    pub async fn intents(&self) -> Vec<String> {
        let effects = self.stage.control.effects().await.expect("the PSP's log");
        let made =
            effects.into_iter().filter(|effect| matches!(effect.kind.as_str(), "charge" | "authorization"));
        made.filter_map(|effect| effect.payment_intent).collect()
    }

    /// The PSP's names of its refunds, likewise.
    pub async fn refunds(&self) -> Vec<String> {
        let effects = self.stage.control.effects().await.expect("the PSP's log");
        effects
            .into_iter()
            .filter(|effect| effect.kind == "refund")
            .filter_map(|effect| effect.refund)
            .collect()
    }

    /// The PSP's names of the payouts that calls asked for, likewise.
    pub async fn payouts(&self) -> Vec<String> {
        let effects = self.stage.control.effects().await.expect("the PSP's log");
        effects
            .into_iter()
            .filter(|effect| effect.kind == "payout" && effect.metadata.contains_key("payonce_operation"))
            .filter_map(|effect| effect.payout)
            .collect()
    }

    /// Pays out what is at the PSP and takes in its settlement files; answers what `reconcile` told.
    pub async fn settle(&self) -> String {
        self.settle_but(0).await
    }

    /// The same, and the PSP keeps so many minor units of each currency.
    async fn settle_but(&self, kept: i64) -> String {
        let (_folder, files) = self.settlement_files(kept).await;
        block_in_place(|| self.stage.reconcile(&files)).unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    /// Sells something, so that a seller has so much available, and the PSP has it too.
    pub async fn fund(&self, seller: &str, amount: i64) {
        let name = format!("funds-{seller}-{amount}");
        let mut order = order(&name, 2 * amount);
        order["splits"] = json!([{"seller": seller, "amount": 2 * amount, "platform_fee": amount}]);
        let told = self.stage.client.pay(&name, &order).await.expect("an answer");
        assert_eq!(told.status, 201, "{}", told.body);
        self.settle_but(i64::MAX).await;
    }

    /// The same where the PSP says otherwise than we.
    pub async fn settle_with_breaks(&self) -> String {
        let (_folder, files) = self.settlement_files(0).await;
        block_in_place(|| self.stage.reconcile_with_breaks(&files))
            .unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    /// A line of a charge that nobody made is in the PSP's file; answers the break that it is.
    pub async fn broken(&self) -> String {
        let plant = json!({"change": {"kind": "unknown_line", "gross_minor": 4000, "fee_minor": 100}, "match": {"line": 1}});
        self.stage.control.post("discrepancies", &plant).await.expect("planted");
        self.settle_with_breaks().await;
        let breaks: Value = self.stage.client.read("/v1/breaks?kind=unknown_to_us").await.expect("breaks");
        breaks["data"][0]["break_id"].as_str().unwrap_or_else(|| panic!("{breaks}")).to_owned()
    }

    async fn settlement_files(&self, kept: i64) -> (TempDir, Vec<std::path::PathBuf>) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Vec::new();
        for (id, csv) in self.stage.control.pay_out_but(kept).await.expect("payouts") {
            let file = folder.path().join(format!("{id}.csv"));
            std::fs::write(&file, csv).expect("a file");
            files.push(file);
        }
        (folder, files)
    }

    /// A bank disputes the payment that was made last, and the service hears of it; answers the PSP's name of the dispute.
    pub async fn disputed(&self, more: &Value) -> String {
        let mut request = json!({"payment_intent": self.intents().await.pop().expect("a payment")});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let made = self.stage.control.post("disputes", &request).await.expect("a dispute");
        self.heard().await;
        made["id"].as_str().expect("text").to_owned()
    }

    /// Waits until every webhook is delivered and applied.
    pub async fn heard(&self) {
        self.stage.control.webhooks_delivered().await.expect("all of them");
        self.quiet().await;
    }

    /// Waits until no operation and no webhook is unfinished.
    pub async fn quiet(&self) {
        let mut database = self.database().await;
        self.eventually("everything is finished", async || {
            let open: i64 = sqlx::query_scalar(
                // what is held is looked at again in a week
                "select (select count(*) from operation where due_at is not null and status <> 'succeeded')
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
        self.assert_sums_are_right().await;
        block_in_place(|| self.stage.audit()).unwrap_or_else(|error| panic!("{}", error.chain()));
    }

    /// The same without the service's own audit.
    pub async fn assert_sums_are_right(&self) {
        for balance in self.stage.client.trial_balance().await.expect("a trial balance") {
            let sum: i64 = balance.accounts.iter().map(|account| account.balance).sum();
            assert_eq!((balance.difference, sum), (0, 0), "{balance:?}");
        }
        let kept = "select coalesce(sum(captured_amount - refunded_amount - disputed_amount), 0)::bigint from payment";
        assert_eq!(self.count(kept).await, self.kept().await);
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

/// The same, to be captured later.
pub fn order_to_capture(id: &str, amount: i64) -> Value {
    let mut order = order(id, amount);
    order["capture"] = json!("manual");
    order
}

/// A request to pay a seller out.
pub fn payout(seller: &str, amount: i64) -> Value {
    json!({"seller": seller, "amount": amount, "currency": "EUR", "destination": "ba_1"})
}

/// A fault of the PSP's at each of the next so many charges.
pub fn charge_fault(fault: &Value, times: u64) -> Value {
    json!({"fault": fault, "match": {"operation": "payment_intents.create"}, "times": times})
}
