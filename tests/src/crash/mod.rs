//! The crash loop: payments of every kind through three services, a relay and Postgres, all of which are killed, stopped,
//! cut off and starved meanwhile; then everything is healed, and what everybody says happened is compared.

mod bank;
mod buyers;
mod chaos;
mod client;
mod lifecycle;
mod postgres;
mod report;
mod verdict;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use embedded_postgres::ScratchFolder;
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::{JoinSet, block_in_place};

use self::bank::Bank;
use self::buyers::Buyers;
use self::chaos::{Counts, SERVICES, Struck, TIMES, World};
use self::client::{Asker, Line, Market};
use self::postgres::Postgres;
use self::report::Outcome;
use self::verdict::{Evidence, Journal};
use self::wire::Wire;
use crate::installation::Installation;
use crate::kafka::{Arrived, Kafka};
use crate::report::{Check, Clock, Progress};
use crate::shop::ShopClient;
use crate::stage::{Plan, Stage};
use crate::{Error, journal, quiet};

const DATABASE: &str = "payonce";
/// Few, so that three services leave some to those who look.
const CONNECTIONS: &str = "--database-connections=16";
/// How long it may take until every event has come to Kafka: a relay that was killed leaves its lease to the next.
const RELAY_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many requests are repeated at once when all is over, and how long each may take.
const REPLAYS_AT_ONCE: usize = 16;
const REPLAY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client that is ahead of what goes wrong waits before its next payment.
const AHEAD: Duration = Duration::from_millis(50);

/// Pays through three services while they, their Postgres and its connections are killed, stopped, starved and cut, and
/// shows whether anything was lost or done twice
#[derive(Debug, Parser)]
#[command(name = "crash")]
pub struct Arguments {
    /// How many payments are begun at least
    #[arg(long, value_name = "NUMBER", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    payments: u32,
    /// How often a service is killed with operations in flight
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    kills: u16,
    /// How often a service is stopped until its operations have been taken over, and goes on
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    zombies: u16,
    /// How often Postgres crashes
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    crashes: u16,
    /// How often the disk under Postgres' log is full
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    full_disks: u16,
    /// How often all connections to Postgres are cut, in the middle of commits
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    cuts: u16,
    /// How many clients there are at once
    #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=500))]
    clients: u16,
    /// What the payments, the PSP's faults and what goes wrong are drawn from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

impl Arguments {
    fn counts(&self) -> Counts {
        Counts {
            kills: self.kills.into(),
            zombies: self.zombies.into(),
            crashes: self.crashes.into(),
            full_disks: self.full_disks.into(),
            cuts: self.cuts.into(),
        }
    }

    /// What does the same again.
    fn again(&self) -> String {
        let Self { payments, kills, zombies, crashes, full_disks, cuts, clients, seed } = self;
        format!(
            "--payments {payments} --kills {kills} --zombies {zombies} --crashes {crashes} --full-disks \
             {full_disks} --cuts {cuts} --clients {clients} --seed {seed}"
        )
    }
}

/// Runs it. Answers whether everything is as it must be.
///
/// # Errors
/// When it could not be found out.
pub async fn run(arguments: &Arguments) -> Result<bool, Error> {
    let scratch = ScratchFolder::create()?;
    let shown = run_in(scratch.path(), arguments).await;
    if matches!(shown, Ok(false)) || shown.as_ref().is_err_and(|error| !matches!(error, Error::Interrupted)) {
        report::kept(&keep(scratch.path(), arguments.seed)?, &arguments.again());
    }
    shown
}

/// Saves the folder of a run from its end.
fn keep(folder: &Path, seed: u64) -> Result<PathBuf, Error> {
    let kept = folder.with_file_name(format!("payonce-crash-{seed}-{}", std::process::id()));
    std::fs::rename(folder, &kept).map_err(Error::io("keep the folder"))?;
    Ok(kept)
}

async fn run_in(folder: &Path, arguments: &Arguments) -> Result<bool, Error> {
    let clock = Clock::new(Instant::now());
    report::opening(arguments, SERVICES);
    let kafka = Kafka::start()?;
    let mut world = set(folder, arguments.seed, &kafka).await?;
    let journals = folder.join("journals");
    std::fs::create_dir(&journals).map_err(Error::io("make the journals' folder"))?;
    fund(&world, folder, &journals, arguments).await?;
    chaos::misbehave(&world.stage).await?;
    clock.say("three services, a PSP, Kafka and Postgres are there, and every seller has something");

    let (struck, begun) = go_wrong(&mut world, arguments, &journals, clock).await?;
    clock.say("the clients have left; everything is healed");
    let healed = Instant::now();
    let stats = world.stage.control.get("stats").await?;
    chaos::heal(&world.stage).await?;
    quiet::wait(&world.stage, clock).await?;
    relayed(&world.pool, &kafka).await?;
    let converged = healed.elapsed();
    clock.say("nothing is under way any more; every request is repeated");

    let mut journal = verdict::read(journal::read_all::<Line>(&journals)?);
    replay(&world.stage.clients()?, &mut journal).await?;
    let outcome = find_out(&world, folder, journal, &kafka, clock).await?;
    let run = report::Run { planned: arguments.counts(), struck, begun, converged, stats };
    let right = report::verdict(&run, &outcome, clock);
    block_in_place(|| world.end())?;
    Ok(right)
}

/// Starts everything.
async fn set(folder: &Path, seed: u64, kafka: &Kafka) -> Result<World, Error> {
    let postgres = block_in_place(|| Postgres::start(folder.join("postgres")))?;
    let wire = Wire::lay(&folder.join("wire"), postgres.socket())?;
    let url = postgres.url_over(&wire)?;
    let log = folder.join("service.log");
    let installation = block_in_place(|| Installation::on_server(&url, DATABASE, log))?;
    let brokers = format!("--kafka-brokers={}", kafka.brokers());
    let serve = [&TIMES[..], &[CONNECTIONS, &brokers]].concat();
    let plan = Plan { installation, folder, seed, arguments: &serve, idempotency: "native" };
    let mut stage = block_in_place(|| Stage::set(plan))?;
    for _ in 1..SERVICES {
        block_in_place(|| stage.add_replica(&serve))?;
    }
    let market = Arc::new(Market::new(stage.clients()?, Bank::new(stage.control.clone()), Buyers::new()?));
    let pool = postgres.pool(DATABASE).await?;
    Ok(World { stage, postgres, wire, pool, market })
}

/// Sells and settles something for every seller, which the PSP keeps.
async fn fund(world: &World, folder: &Path, journals: &Path, arguments: &Arguments) -> Result<(), Error> {
    let journal = journal::Journal::create(journals, arguments.clients.into())?;
    let mut asker = Asker::new(Arc::clone(&world.market), journal, arguments.seed.wrapping_sub(1));
    lifecycle::fund(&mut asker).await?;
    let reports = world.stage.pay_out_but(i64::MAX, folder).await?;
    block_in_place(|| world.stage.reconcile(&reports)).map(drop)
}

/// How far clients and faults are, for each other.
#[derive(Debug, Default)]
struct Pace {
    begun: AtomicUsize,
    struck: AtomicUsize,
    over: AtomicBool,
}

/// Lets the clients pay while everything goes wrong. Answers what did, and how many payments were begun.
async fn go_wrong(
    world: &mut World,
    arguments: &Arguments,
    journals: &Path,
    clock: Clock,
) -> Result<(Struck, usize), Error> {
    let (pace, wanted, counts) = (Arc::new(Pace::default()), arguments.payments as usize, arguments.counts());
    let mut clients = JoinSet::new();
    for number in 0..usize::from(arguments.clients) {
        let journal = journal::Journal::create(journals, number)?;
        let asker = Asker::new(Arc::clone(&world.market), journal, arguments.seed + number as u64);
        clients.spawn(shop(asker, arguments.seed, Arc::clone(&pace), wanted, counts.total()));
    }
    let mut progress = Progress::new(counts.total(), "faults", clock);
    let mut struck = Struck::default();
    for (number, planned) in counts.plan(arguments.seed).into_iter().enumerate() {
        // the faults are spread over all payments
        while pace.begun.load(Ordering::SeqCst) * counts.total() < wanted * number {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if !world.strike(planned, &mut struck).await? {
            progress.say(&format!(
                "{planned:?} hit nothing, however often it was tried: what was to follow is left out"
            ));
            break;
        }
        pace.struck.fetch_add(1, Ordering::SeqCst);
        progress.advance();
    }
    progress.end();
    pace.over.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.map_err(|error| Error::Unexpected(error.to_string()))??;
    }
    Ok((struck, pace.begun.load(Ordering::SeqCst)))
}

/// Makes payments, one after the other, until there are enough and nothing goes wrong any more.
async fn shop(
    mut asker: Asker,
    seed: u64,
    pace: Arc<Pace>,
    wanted: usize,
    faults: usize,
) -> Result<(), Error> {
    loop {
        let number = pace.begun.load(Ordering::SeqCst);
        let is_ahead = number * faults > wanted * (pace.struck.load(Ordering::SeqCst) + 1);
        match (number >= wanted, pace.over.load(Ordering::SeqCst)) {
            (true, true) => return Ok(()),
            // somebody must be on the way when something goes wrong
            (_, false) if is_ahead => tokio::time::sleep(AHEAD).await,
            _ => {}
        }
        let number = pace.begun.fetch_add(1, Ordering::SeqCst);
        lifecycle::live(&mut asker, seed, number).await?;
    }
}

/// Waits until every event that was committed has come to Kafka, but not for ever, and answers what was committed.
async fn relayed(pool: &PgPool, kafka: &Kafka) -> Result<Vec<Arrived>, Error> {
    let query = "select subject_id::text, version, event_id::text from payment_event";
    let rows: Vec<(String, i32, String)> = sqlx::query_as(query).fetch_all(pool).await?;
    let of_row = |(subject_id, version, event_id)| Arrived { subject_id, version, event_id };
    let committed: Vec<Arrived> = rows.into_iter().map(of_row).collect();
    let until = Instant::now() + RELAY_PATIENCE;
    while Instant::now() < until {
        let arrived: BTreeSet<Arrived> = kafka.arrived().into_iter().collect();
        if committed.iter().all(|event| arrived.contains(event)) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(committed)
}

/// Repeats every request of the journal.
async fn replay(clients: &[ShopClient], journal: &mut Journal) -> Result<(), Error> {
    let clients: Arc<[ShopClient]> = clients.into();
    let mut waiting: Vec<_> =
        journal.iter().map(|(key, asked)| (key.clone(), asked.request.clone())).collect();
    let mut replays = JoinSet::new();
    loop {
        while replays.len() < REPLAYS_AT_ONCE
            && let Some((key, request)) = waiting.pop()
        {
            let clients = Arc::clone(&clients);
            replays.spawn(async move {
                let told = client::replay(&clients, &key, &request, REPLAY_PATIENCE).await;
                (key, told)
            });
        }
        let Some(replayed) = replays.join_next().await else { return Ok(()) };
        let (key, told) = replayed.map_err(|error| Error::Unexpected(error.to_string()))?;
        if let Some(asked) = journal.get_mut(&key) {
            asked.replay(told);
        }
    }
}

/// Settles and reconciles what was paid, and compares what everybody says happened.
async fn find_out(
    world: &World,
    folder: &Path,
    journal: Journal,
    kafka: &Kafka,
    clock: Clock,
) -> Result<Outcome, Error> {
    let stage = &world.stage;
    let reports = stage.pay_out_but(0, folder).await?;
    let reconciled = block_in_place(|| stage.reconcile(&reports));
    // a payout is told by webhooks too
    let left_over = quiet::wait(stage, clock).await?;
    let waiting: i64 = sqlx::query_scalar(
        "select count(*) from operation where status = 'requires_action' and due_at is not null",
    )
    .fetch_one(&world.pool)
    .await?;
    let audited = block_in_place(|| stage.audit());
    let effects = stage.control.effects().await?;
    let payments: Vec<Value> = stage.client.pages("/v1/payments?limit=200").await?;
    let disputes: Vec<Value> = stage.client.pages("/v1/disputes?limit=200").await?;
    let payouts: Vec<Value> = stage.client.pages("/v1/payouts?limit=200").await?;
    let operations = operations(&stage.client, &journal).await?;
    let trial_balance = stage.client.trial_balance().await?;
    let committed = relayed(&world.pool, kafka).await?;
    let evidence = Evidence {
        journal: &journal,
        effects: &effects,
        payments: &payments,
        disputes: &disputes,
        decided: &world.market.bank.decided().await,
        payouts: &payouts,
        received: &world.market.bank.arrived().await,
        bought: &world.market.buyers.bought(),
        operations: &operations,
        trial_balance: &trial_balance,
        committed: &committed,
        arrived: &kafka.arrived(),
    };
    let mut checks = evidence.checks();
    let left_over = left_over.into_iter().chain([("operations that wait for a buyer", waiting)]);
    checks.extend(left_over.map(|(what, count)| Check::zero(what, count)));
    checks.push(Check::told("`reconcile` finds no break", &reconciled));
    checks.push(Check::told("`audit`: sandbox's log and ledger agree", &audited));
    Ok(Outcome { checks, tally: evidence.tally(), banks: evidence.banks(), bought: evidence.bought.len() })
}

/// What the API shows of each operation that a client was told of.
async fn operations(client: &ShopClient, journal: &Journal) -> Result<BTreeMap<String, Value>, Error> {
    let told = journal.values().filter_map(|asked| asked.operation());
    let mut operations = BTreeMap::new();
    for id in told {
        let response = client.get(&format!("/v1/operations/{id}")).await?;
        // what is not there is missing in the map
        if response.status().is_success() {
            operations.insert(id, response.json().await?);
        }
    }
    Ok(operations)
}

impl World {
    /// Ends everything in order. Blocks the thread.
    fn end(self) -> Result<(), Error> {
        self.stage.end()?;
        self.postgres.end()
    }
}
