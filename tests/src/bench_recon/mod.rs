//! The benchmark of reconciliation: a day of payments against the PSP's file of it, beside what Postgres does by itself with the
//! same file on the same machine: a `COPY` and a join.

#![expect(clippy::print_stdout, reason = "the report is what the program is for")]
#![expect(clippy::float_arithmetic, reason = "rates and ratios for people to read; none of them is money")]

mod floor;
mod shop;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use embedded_postgres::{Durability, EmbeddedPostgres, Options, ScratchFolder};

use crate::Error;
use crate::installation::Installation;
use shop::Shop;

/// Measures lines per second from file to matched and posted, and memory, beside a COPY and a join of the same file
#[derive(Debug, Parser)]
#[command(name = "bench-recon")]
pub struct Arguments {
    /// How many lines, against as many payments; several to see what more of them cost
    #[arg(long, value_name = "LINES", default_values_t = [500_000, 5_000_000], value_delimiter = ',')]
    lines: Vec<u32>,
    /// A setting of Postgres, beside those of a server with 4 GB of memory: shared_buffers=1GB, max_wal_size=4GB
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// How many sellers the payments are for
    #[arg(long, value_name = "SELLERS", default_value_t = 1000)]
    sellers: u32,
}

/// Of Postgres: what its documentation recommends for a machine with 4 GB of memory, and no checkpoint each few seconds.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "1GB"), ("max_wal_size", "4GB")];

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Runs the benchmark and prints what it finds.
///
/// # Errors
/// When something does not start, or not every line is matched.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    println!("     lines  made in   floor: copy      join   lines/s   ours  lines/s  of floor  memory");
    for &lines in &arguments.lines {
        let scratch = ScratchFolder::create()?;
        let mut options = Options::new(scratch.database(), Durability::Durable);
        options.settings.extend(SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        options.settings.extend(arguments.settings.iter().cloned());
        let postgres = EmbeddedPostgres::start(&options)?;
        measure(&postgres, scratch.path(), lines, arguments.sellers)?;
        postgres.shutdown()?;
    }
    Ok(())
}

fn measure(postgres: &EmbeddedPostgres, folder: &Path, lines: u32, sellers: u32) -> Result<(), Error> {
    let began = Instant::now();
    Installation::on_server(&postgres.superuser_url("postgres"), "payonce", folder.join("setup.log"))?;
    let shop = Shop::make(postgres, folder, lines, sellers)?;
    let made = began.elapsed();
    let floor = floor::measure(&shop)?;
    let ours = shop.reconcile()?;
    let per_second = |span: Duration| f64::from(lines) / span.as_secs_f64();
    let floor_sum = floor.copy + floor.join;
    println!(
        "{lines:>10} {:>6.0} s {:>10.1} s {:>7.1} s {:>9.0} {:>5.1} s {:>8.0} {:>9.2} {:>4} MB",
        made.as_secs_f64(),
        floor.copy.as_secs_f64(),
        floor.join.as_secs_f64(),
        per_second(floor_sum),
        ours.span.as_secs_f64(),
        per_second(ours.span),
        floor_sum.as_secs_f64() / ours.span.as_secs_f64(),
        ours.peak_kib / 1024,
    );
    Ok(())
}
