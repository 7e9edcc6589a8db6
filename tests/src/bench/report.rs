//! What the benchmark prints.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use sqlx::{Connection as _, PgConnection};

use super::figures::{added_ms, cpu_ms_each, median, ms, per_second, ratio};
use super::floor::{Floor, FloorRun};
use super::load::Window;
use super::{Checked, Level, RATED, Single, Turn, checkout};
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

/// The head of the table of [`turn`].
pub fn rated_head() {
    println!();
    println!("In turns: checkouts of {RATED} clients, and the floors with as many as suit them best");
    println!("                per second                    Postgres CPU ms each");
    println!("checkouts     by hand   tpcb-like       checkouts     by hand");
}

/// One line.
pub fn turn(turn: &Turn) {
    println!(
        "{:>9.0}  {:>10.0}  {:>10.0}  {:>14.3}  {:>10.3}",
        turn.ours.per_second(),
        turn.by_hand.per_second(),
        turn.tpcb_like.per_second(),
        turn.ours.postgres_ms(),
        turn.by_hand.postgres_ms(),
    );
}

impl Level {
    fn per_second(&self) -> f64 {
        per_second(self.latencies.count(), self.span)
    }

    fn postgres_ms(&self) -> f64 {
        cpu_ms_each(self.cpu.postgres, self.latencies.count())
    }
}

impl FloorRun {
    fn per_second(&self) -> f64 {
        per_second(self.count, self.span)
    }

    fn postgres_ms(&self) -> f64 {
        cpu_ms_each(self.postgres, self.count)
    }
}

/// The latencies at one client, and the ratios.
pub fn closing(turns: &[Turn], single_by_hand: FloorRun, single: &Single) {
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
        ms(single_by_hand.mean)
    );
    let of_turns = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
    println!();
    println!("of {RATED} clients, the median of the turns; added latency at 1 client");
    println!(
        "ratio throughput_vs_tpcb_at_64 {:.2}",
        of_turns(|turn| ratio(turn.ours.per_second(), turn.tpcb_like.per_second()))
    );
    println!(
        "ratio throughput_vs_hand_at_64 {:.2}",
        of_turns(|turn| ratio(turn.ours.per_second(), turn.by_hand.per_second()))
    );
    println!(
        "ratio postgres_cpu_vs_hand {:.2}",
        of_turns(|turn| ratio(turn.ours.postgres_ms(), turn.by_hand.postgres_ms()))
    );
    println!("ratio latency_vs_hand_at_1 {:.2}", ratio(ms(payment), ms(single_by_hand.mean)));
    println!("ratio added_latency_ms_at_1 {:.2}", added_ms(payment, call, commit));
}
