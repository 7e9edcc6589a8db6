//! The demo: a shop's day of orders, paid through the service while the PSP misbehaves and both of them are killed, then
//! settled, reconciled, and compared with what everybody says happened.

mod chaos;
mod client;
mod journal;
mod report;
mod settlement;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use embedded_postgres::ScratchFolder;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{JoinSet, block_in_place};

use self::chaos::Killed;
use self::client::{Client, Gauge, Market};
use self::settlement::Settled;
use self::verdict::Evidence;
use crate::installation::Installation;
use crate::journal::Journal;
use crate::orders::{Day, Order};
use crate::report::{Check, Clock, Progress, Section};
use crate::shop::Balance;
use crate::stage::{Plan, Stage};
use crate::{Error, quiet};

/// How many clients pay at once.
const CLIENTS: usize = 32;
/// After which share of the orders, in percent, each program is killed.
const SERVICE_DIES_AT: usize = 40;
const SANDBOX_DIES_AT: usize = 65;

/// Pays a shop's day of orders through the service while everything goes wrong, and shows whether the books are right
#[derive(Debug, Parser)]
#[command(name = "demo")]
pub struct Arguments {
    /// How many orders there are
    #[arg(long, value_name = "NUMBER", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    orders: u32,
    /// What the orders, the clients' whims and the PSP's faults are drawn from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Runs the demo. Answers whether the books are right.
///
/// # Errors
/// When it could not be found out.
pub async fn run(arguments: &Arguments) -> Result<bool, Error> {
    let began = Instant::now();
    let scratch = ScratchFolder::create()?;
    let shown = run_in(scratch.path(), arguments, began).await;
    if let Err(error) = &shown
        && !matches!(error, Error::Interrupted)
    {
        report::logs(scratch.path());
    }
    shown
}

async fn run_in(folder: &Path, arguments: &Arguments, began: Instant) -> Result<bool, Error> {
    let day = Day::draw(arguments.seed, arguments.orders as usize);
    let clock = Clock::new(began);
    report::opening(&day, CLIENTS, arguments.seed);
    let plan = Plan {
        installation: Installation::embedded(folder.join("service"), folder.join("service.log")),
        folder,
        seed: arguments.seed,
        arguments: &chaos::TIMES,
        idempotency: "native",
    };
    let mut stage = block_in_place(|| Stage::set(plan))?;
    chaos::misbehave(&stage).await?;
    report::started(clock, &stage);

    let journals = folder.join("journals");
    std::fs::create_dir(&journals).map_err(Error::io("make the journals' folder"))?;
    let kills = sell(&mut stage, &day, &journals, arguments.seed, clock).await?;
    clock.say("the clients have left; waiting until nothing is under way");
    quiet::wait(&stage, clock).await?;
    clock.say("nothing is under way any more; the PSP pays out, and its reports are reconciled");
    let sections = find_out(&stage, &day, folder, &kills, clock).await?;
    let right = report::verdict(&sections, began.elapsed());
    if arguments.keep {
        report::keep(&stage, folder);
        std::future::pending::<()>().await;
    }
    report::look_around(right);
    block_in_place(|| stage.end())?;
    Ok(right)
}

/// Settles and reconciles the day, and compares what everybody says happened.
async fn find_out(
    stage: &Stage,
    day: &Day,
    folder: &Path,
    kills: &[Killed; 2],
    clock: Clock,
) -> Result<[Section; 2], Error> {
    let reports = stage.pay_out_but(0, folder).await?;
    let settled = read_reports(&reports)?;
    let reconciled = block_in_place(|| stage.reconcile(&reports));
    // a payout is told by webhooks too
    let left_over = quiet::wait(stage, clock).await?;
    clock.say("comparing what the service, the PSP and the clients say happened");
    let audited = block_in_place(|| stage.audit());

    let journal = crate::journal::read_all(&folder.join("journals"))?;
    let effects = stage.control.effects().await?;
    let payments = stage.client.payments().await?;
    let wallets = wallets(stage).await?;
    let trial_balance = stage.client.trial_balance().await?;
    let evidence = Evidence {
        day,
        journal: &journal,
        effects: &effects,
        settled: &settled,
        payments: &payments,
        wallets: &wallets,
        trial_balance: &trial_balance,
        left_over: &left_over,
    };
    let stats = stage.control.get("stats").await?;
    let mut checks = evidence.checks();
    checks.push(Check::told("`reconcile` finds no break", &reconciled));
    checks.push(Check::told("`audit` finds no invariant broken", &audited));
    report::tally(&evidence);
    Ok([
        Section {
            title: "What went wrong, on purpose",
            checks: report::misbehaviour(&evidence, &stats, kills),
        },
        Section { title: "What must hold all the same", checks },
    ])
}

/// Lets the clients pay, and kills the service and the PSP meanwhile.
async fn sell(
    stage: &mut Stage,
    day: &Day,
    journals: &Path,
    seed: u64,
    clock: Clock,
) -> Result<[Killed; 2], Error> {
    let waiting = Arc::new(Gauge::default());
    let (done, mut finished) = mpsc::unbounded_channel();
    let market = Market { shop: stage.client.clone(), waiting: Arc::clone(&waiting), done };
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let orders: Vec<Order> = day.orders().skip(number).step_by(CLIENTS).cloned().collect();
        let client = Client::new(market.clone(), Journal::create(journals, number)?, seed, number);
        clients.spawn(client.shop(orders));
    }
    drop(market);
    let mut progress = Progress::new(day.count(), "orders", clock);
    until(&mut progress, &mut finished, day.count() * SERVICE_DIES_AT / 100).await;
    let service = block_in_place(|| chaos::kill_service(stage, &waiting, CLIENTS))?;
    progress.say(&service.of_the_service());
    until(&mut progress, &mut finished, day.count() * SANDBOX_DIES_AT / 100).await;
    let sandbox = block_in_place(|| chaos::kill_sandbox(stage, &waiting))?;
    progress.say(&sandbox.of_the_psp());
    until(&mut progress, &mut finished, day.count()).await;
    progress.end();
    while let Some(client) = clients.join_next().await {
        client.map_err(|error| Error::Unexpected(error.to_string()))??;
    }
    Ok([service, sandbox])
}

/// Until so many orders are done, or all clients have left.
async fn until(progress: &mut Progress, finished: &mut UnboundedReceiver<()>, orders: usize) {
    while progress.count() < orders && finished.recv().await.is_some() {
        progress.advance();
    }
}

fn read_reports(paths: &[PathBuf]) -> Result<Vec<Settled>, Error> {
    let mut lines = Vec::new();
    for path in paths {
        let csv =
            std::fs::read_to_string(path).map_err(Error::io(format_args!("read {}", path.display())))?;
        lines.extend(settlement::read(&csv)?);
    }
    Ok(lines)
}

async fn wallets(stage: &Stage) -> Result<BTreeMap<String, Vec<Balance>>, Error> {
    let mut wallets = BTreeMap::new();
    for seller in Day::sellers() {
        wallets.insert(seller.clone(), stage.client.wallet(&seller).await?);
    }
    Ok(wallets)
}
