//! The benchmark: checkouts over HTTP on one side, on the other what Postgres does by itself on the same machine.

mod checkout;
mod cpu;
mod figures;
mod floor;
mod load;
mod report;
mod wire;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use embedded_postgres::{Durability, EmbeddedPostgres, Options, ScratchFolder};
use sqlx::{Connection as _, PgConnection};

use self::checkout::{BareCall, Checkout};
use self::figures::Latencies;
use self::floor::{Floor, FloorRun, Place};
use self::load::{Measured, Window};
use crate::Error;
use crate::installation::Installation;
use crate::stage::{Plan, Stage};

/// How many clients there are at once, one figure after the other.
const CLIENTS: [usize; 5] = [1, 8, 32, 64, 256];
/// The figure that the ratios are about.
const RATED: usize = 64;
/// Each floor counts where it is best of these.
const FLOOR_CLIENTS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Rows of pgbench's smallest table: as many as clients at most, so that they need not wait for each other.
const TPCB_SCALE: usize = 32;
/// What is compared is measured in turns, so that all of it sees the same machine.
const TURNS: u32 = 3;

/// Measures payments per second, latency and CPU, beside what Postgres does by itself
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub struct Arguments {
    /// How long each figure is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long there is a load before it is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up: u64,
    /// Measure for a second or two only: to see that it works, not to learn anything
    #[arg(long)]
    quick: bool,
}

impl Arguments {
    fn window(&self) -> Window {
        let (warm_up, measured) = if self.quick { (1, 2) } else { (self.warm_up, self.seconds) };
        Window { warm_up: Duration::from_secs(warm_up), measured: Duration::from_secs(measured) }
    }
}

/// Runs the benchmark and prints what it finds.
///
/// # Errors
/// When something does not start, an answer is wrong, or the books do not balance afterwards.
pub async fn run(arguments: &Arguments) -> Result<(), Error> {
    let window = arguments.window();
    let scratch = ScratchFolder::create()?;
    let postgres = EmbeddedPostgres::start(&Options::new(scratch.database(), Durability::Durable))?;
    let place = |database| Place { server: &postgres, database, folder: scratch.path() };
    let subject = Subject::start(&postgres, scratch.path())?;
    report::opening(&postgres.superuser_url("payonce"), window).await?;

    let single = subject.single_client(&postgres, window).await?;
    report::levels_head();
    for clients in CLIENTS {
        place("payonce").settle()?;
        let level = subject.level(&clients.to_string(), clients, window).await?;
        report::level(&level);
    }

    report::floors_head();
    Installation::on_server(
        &postgres.superuser_url("postgres"),
        "by_hand",
        scratch.path().join("setup.log"),
    )?;
    postgres.ensure_database("tpcb")?;
    let by_hand = measure_floor(place("by_hand"), Floor::ByHand, window)?;
    let tpcb_like = measure_floor(place("tpcb"), Floor::TpcbLike, window)?;

    report::rated_head();
    let mut turns = Vec::new();
    for number in 0..TURNS {
        place("payonce").settle()?;
        let ours = subject.level(&format!("rated-{number}"), RATED, window).await?;
        let floor = |database, floor, run: FloorRun| {
            place(database).settle()?;
            place(database).run(floor, run.clients, window.measured.as_secs())
        };
        let turn = Turn {
            ours,
            by_hand: floor("by_hand", Floor::ByHand, by_hand.best)?,
            tpcb_like: floor("tpcb", Floor::TpcbLike, tpcb_like.best)?,
        };
        report::turn(&turn);
        turns.push(turn);
    }
    let checked = subject.check(&postgres).await?;
    report::checked(checked);
    subject.stage.end()?;
    postgres.shutdown()?;
    report::closing(&turns, by_hand.single, &single);
    Ok(())
}

/// The rated figure beside the floors, one after the other.
struct Turn {
    ours: Level,
    by_hand: FloorRun,
    tpcb_like: FloorRun,
}

/// What a floor came to with one client, and with as many as suit it best.
#[derive(Debug, Clone, Copy)]
struct FloorRuns {
    single: FloorRun,
    best: FloorRun,
}

/// What the CPU times of a moment are.
#[derive(Debug, Clone, Copy)]
struct Cpu {
    service: Duration,
    sandbox: Duration,
    load: Duration,
    postgres: Duration,
}

impl Cpu {
    fn since(self, before: Self) -> Self {
        Self {
            service: self.service.saturating_sub(before.service),
            sandbox: self.sandbox.saturating_sub(before.sandbox),
            load: self.load.saturating_sub(before.load),
            postgres: self.postgres.saturating_sub(before.postgres),
        }
    }
}

/// What was measured with so many clients.
struct Level {
    clients: usize,
    latencies: Latencies,
    span: Duration,
    cpu: Cpu,
}

/// Latencies of one client at a time.
struct Single {
    payment: Latencies,
    call: Latencies,
    commit: Latencies,
}

/// Payments that were captured, and charges that the PSP knows of them.
struct Checked {
    captured: i64,
    charged: i64,
}

/// The programs under load.
struct Subject {
    stage: Stage,
    service: u32,
    sandbox: u32,
    postmaster: u32,
}

impl Subject {
    fn start(postgres: &EmbeddedPostgres, folder: &Path) -> Result<Self, Error> {
        let url = postgres.superuser_url("postgres");
        let installation = Installation::on_server(&url, "payonce", folder.join("service.log"))?;
        let stage =
            Stage::set(Plan { installation, folder, seed: 1, arguments: &[], idempotency: "native" })?;
        let (service, sandbox) = (stage.service()?.pid(), stage.sandbox()?.pid());
        Ok(Self { stage, service, sandbox, postmaster: postgres.server().id() })
    }

    fn cpu(&self) -> Cpu {
        Cpu {
            service: cpu::of_process(self.service),
            sandbox: cpu::of_process(self.sandbox),
            load: cpu::of_process(std::process::id()),
            postgres: cpu::of_tree(self.postmaster),
        }
    }

    async fn checkouts(&self, name: &str, clients: usize, window: Window) -> Result<Measured<Cpu>, Error> {
        let script = |number| {
            let seed = rand::random();
            Checkout::new(
                self.stage.service_address(),
                &self.stage.shop.api_key,
                &format!("{name}-{number}"),
                seed,
            )
        };
        load::run(self.stage.service_address(), clients, window, script, || self.cpu()).await
    }

    /// Measures with so many clients, whose orders are named after `name`.
    async fn level(&self, name: &str, clients: usize, window: Window) -> Result<Level, Error> {
        let measured = self.checkouts(name, clients, window).await?;
        let [last, first] = measured.samples;
        Ok(Level { clients, latencies: measured.latencies, span: measured.span, cpu: last.since(first) })
    }

    async fn single_client(&self, postgres: &EmbeddedPostgres, window: Window) -> Result<Single, Error> {
        let mut commits = Commits::prepare(postgres).await?;
        let turn = Window { warm_up: window.warm_up / TURNS, measured: window.measured / TURNS };
        let (mut payment, mut call, mut commit) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..TURNS {
            let paid = self.checkouts(&format!("alone-{number}"), 1, turn).await?;
            payment.extend(paid.latencies.into_inner());
            let script = |_| BareCall::new(self.stage.sandbox_address(), rand::random());
            let called = load::run(self.stage.sandbox_address(), 1, turn, script, || ()).await?;
            call.extend(called.latencies.into_inner());
            commit.extend(commits.measure(turn).await?);
        }
        let [payment, call, commit] = [payment, call, commit].map(Latencies::new);
        Ok(Single { payment, call, commit })
    }

    /// Compares the books with the PSP's own log.
    async fn check(&self, postgres: &EmbeddedPostgres) -> Result<Checked, Error> {
        let mut database = PgConnection::connect(&postgres.superuser_url("payonce")).await?;
        let (captured, other, balance): (i64, i64, i64) = sqlx::query_as(
            "select count(*) filter (where status = 'captured'), count(*) filter (where status <> 'captured'),
                    (select coalesce(sum(balance), 0)::bigint from ledger_balance)
                    + (select coalesce(sum(amount), 0)::bigint from ledger_balance_delta)
             from payment",
        )
        .fetch_one(&mut database)
        .await?;
        let summary = self.stage.control.get("effects/summary").await?;
        let charged = summary["operations_charged"].as_i64().unwrap_or_default();
        let twice = summary["charged_more_than_once"].as_object().map_or(1, serde_json::Map::len);
        if captured != charged || other != 0 || balance != 0 || twice != 0 {
            return Err(Error::Unexpected(format!(
                "the books are wrong: {captured} payments captured and {other} not, {charged} charged at the PSP, {twice} \
                 of them twice, the ledger sums to {balance}"
            )));
        }
        Ok(Checked { captured, charged })
    }
}

/// Transactions of one small row each.
struct Commits(PgConnection);

impl Commits {
    async fn prepare(postgres: &EmbeddedPostgres) -> Result<Self, Error> {
        postgres.ensure_database("commits")?;
        let mut connection = PgConnection::connect(&postgres.superuser_url("commits")).await?;
        let table = "create table if not exists committed (id bigint primary key, at timestamptz not null)";
        sqlx::query(table).execute(&mut connection).await?;
        Ok(Self(connection))
    }

    async fn measure(&mut self, window: Window) -> Result<Vec<Duration>, Error> {
        let begin = Instant::now() + window.warm_up;
        let end = begin + window.measured;
        let mut latencies = Vec::new();
        loop {
            let sent = Instant::now();
            sqlx::query("insert into committed values ($1, now())")
                .bind(rand::random::<i64>())
                .execute(&mut self.0)
                .await?;
            let done = Instant::now();
            if done >= end {
                return Ok(latencies);
            }
            if done >= begin {
                latencies.push(done - sent);
            }
        }
    }
}

/// The floor where it is best.
fn measure_floor(place: Place<'_>, floor: Floor, window: Window) -> Result<FloorRuns, Error> {
    place.prepare(floor, TPCB_SCALE)?;
    place.run(floor, RATED.min(8), window.warm_up.as_secs().max(1))?;
    let mut runs: Option<FloorRuns> = None;
    for clients in FLOOR_CLIENTS {
        place.settle()?;
        let run = place.run(floor, clients, window.measured.as_secs())?;
        report::floor(floor, run);
        let runs = runs.get_or_insert(FloorRuns { single: run, best: run });
        if run.count > runs.best.count {
            runs.best = run;
        }
    }
    runs.ok_or_else(|| Error::Unexpected("no floor was measured".to_owned()))
}
