//! What the benchmark prints.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use sqlx::{Connection as _, PgConnection};

use super::figures::{added_ms, cpu_ms_each, ms, per_second, ratio};
use super::floor::{Floor, FloorRun};
use super::load::Window;
use super::{Checked, FloorRuns, Level, RATED, Single, checkout};
use crate::Error;

/// What is measured, and on what.
pub async fn opening(database_url: &str, window: Window) -> Result<(), Error> {
    let mut database = PgConnection::connect(database_url).await?;
    let (version, settings): (String, String) = sqlx::query_as(
        "select current_setting('server_version'),
                string_agg(name || '=' || setting, ' ' order by name) from pg_settings
         where name in ('fsync', 'synchronous_commit', 'full_page_writes')",
    )
    .fetch_one(&mut database)
    .await?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("{cores} cores, shared by everything below; Postgres {version}, {settings}");
    println!(
        "each figure: {} s of load, then {} s that are measured",
        window.warm_up.as_secs(),
        window.measured.as_secs()
    );
    Ok(())
}

/// The head of the table of [`level`].
pub fn levels_head() {
    println!();
    println!(
        "Checkouts over HTTP, closed loop, one merchant, {} sellers, every key and order another",
        checkout::SELLERS
    );
    println!("                                              CPU ms per payment");
    println!("clients  payments/s    p50 ms    p99 ms    service  sandbox     load  Postgres");
}

/// One line.
pub fn level(level: &Level) {
    let count = level.latencies.count();
    println!(
        "{:>7}  {:>10.0}  {:>8.2}  {:>8.2}  {:>9.3}{:>9.3}{:>9.3}{:>10.3}",
        level.clients,
        per_second(count, level.span),
        ms(level.latencies.at(500)),
        ms(level.latencies.at(990)),
        cpu_ms_each(level.cpu.service, count),
        cpu_ms_each(level.cpu.sandbox, count),
        cpu_ms_each(level.cpu.load, count),
        cpu_ms_each(level.cpu.postgres, count),
    );
}

/// That the books are right.
pub fn checked(checked: Checked) {
    println!(
        "checked: {} payments captured, {} charges at the PSP, none twice, the ledger sums to zero",
        checked.captured, checked.charged
    );
}

/// The head of the table of [`floor`].
pub fn floors_head() {
    println!();
    println!(
        "Floors on the same Postgres: pgbench, prepared statements, one transaction or payment at a time"
    );
    println!("                                               CPU ms each");
    println!("floor      clients       per s   mean ms    Postgres  pgbench");
}

/// One line.
pub fn floor(floor: Floor, run: FloorRun) {
    println!(
        "{:<9}  {:>7}  {:>10.0}  {:>8.2}  {:>10.3}{:>9.3}",
        name(floor),
        run.clients,
        per_second(run.count, run.span),
        ms(run.mean),
        cpu_ms_each(run.postgres, run.count),
        cpu_ms_each(run.load, run.count),
    );
}

fn name(floor: Floor) -> &'static str {
    match floor {
        Floor::TpcbLike => "tpcb-like",
        Floor::ByHand => "by hand",
    }
}

/// The latencies at one client, and the ratios.
pub fn closing(
    levels: &[Level],
    by_hand: FloorRuns,
    tpcb_like: FloorRun,
    single: &Single,
) -> Result<(), Error> {
    let rated = levels.iter().find(|level| level.clients == RATED);
    let rated = rated.ok_or_else(|| Error::Unexpected(format!("nothing was measured at {RATED} clients")))?;
    println!();
    println!(
        "One client, p50 of three turns each: what a payment adds to the PSP's call and its two commits"
    );
    let medians = [&single.payment, &single.call, &single.commit].map(|latencies| latencies.at(500));
    let [payment, call, commit] = medians;
    println!(
        "payment {:.3} ms, bare PSP call {:.3} ms, one commit {:.3} ms; by hand, without HTTP and PSP, {:.3} ms (mean)",
        ms(payment),
        ms(call),
        ms(commit),
        ms(by_hand.single.mean)
    );
    let single_by_hand = by_hand.single.mean;
    let by_hand = by_hand.best;

    let count = rated.latencies.count();
    let ours = per_second(count, rated.span);
    let cpu = cpu_ms_each(rated.cpu.postgres, count);
    println!();
    println!("at {RATED} clients; by hand and tpcb-like at their best; added latency at 1 client");
    println!(
        "ratio throughput_vs_tpcb_at_64 {:.2}",
        ratio(ours, per_second(tpcb_like.count, tpcb_like.span))
    );
    println!("ratio throughput_vs_hand_at_64 {:.2}", ratio(ours, per_second(by_hand.count, by_hand.span)));
    println!("ratio postgres_cpu_vs_hand {:.2}", ratio(cpu, cpu_ms_each(by_hand.postgres, by_hand.count)));
    println!("ratio latency_vs_hand_at_1 {:.2}", ratio(ms(payment), ms(single_by_hand)));
    println!("ratio added_latency_ms_at_1 {:.2}", added_ms(payment, call, commit));
    Ok(())
}
