//! What the crash loop prints.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Arguments;
use super::bank::{Arrival, Decision};
use super::chaos::{Counts, Struck};
use super::client::Kind;
use super::verdict::{Banks, Ending};
use crate::report::{Check, Clock, Section, show};

/// What happened in a run.
pub struct Run {
    /// What was to go wrong.
    pub planned: Counts,
    /// What did.
    pub struck: Struck,
    /// Payments that were begun.
    pub begun: usize,
    /// How long it took after healing until nothing was under way.
    pub converged: Duration,
    /// What the PSP counted.
    pub stats: Value,
}

/// What was found afterwards.
pub struct Outcome {
    /// What must be so.
    pub checks: Vec<Check>,
    /// How many requests ended how.
    pub tally: BTreeMap<(Kind, Ending), usize>,
    /// What banks did.
    pub banks: Banks,
    /// Payments that buyers made on the PSP's pages.
    pub bought: usize,
}

pub fn opening(arguments: &Arguments, services: usize) {
    println!(
        "{} payments through {services} services by {} clients, seed {}.",
        arguments.payments, arguments.clients, arguments.seed
    );
    println!(
        "Meanwhile {} services are killed and {} stopped past their lease, Postgres crashes {} times and is out of disk",
        arguments.kills, arguments.zombies, arguments.crashes
    );
    println!(
        "{} times, its connections are cut in the middle of commits {} times, and the PSP loses replies and sends errors.",
        arguments.full_disks, arguments.cuts
    );
    println!();
}

/// Prints everything, and answers whether it is as it must be.
pub fn verdict(run: &Run, outcome: &Outcome, clock: Clock) -> bool {
    tally(&outcome.tally);
    let converged = format!("{} ms", run.converged.as_millis());
    let mut checks = outcome.checks.clone();
    checks.push(Check::that("time to converge, once healed", true, converged));
    let sections = [
        Section { title: "What went wrong, on purpose", checks: misfortunes(run, outcome) },
        Section { title: "What must hold all the same", checks },
    ];
    show(&sections);
    let [trouble, books] = sections.each_ref().map(|section| section.checks.iter().all(|check| check.holds));
    println!();
    clock.say(match (books, trouble) {
        (true, true) => "Nothing was lost and nothing done twice.",
        (true, false) => "Nothing was lost, but LESS WENT WRONG THAN PLANNED: that proves too little.",
        (false, _) => "THE BOOKS ARE WRONG.",
    });
    books && trouble
}

fn tally(tally: &BTreeMap<(Kind, Ending), usize>) {
    println!();
    println!("Requests      done  failed  refused");
    for kind in Kind::ALL {
        let [done, failed, refused] = [Ending::Done, Ending::Failed, Ending::Refused]
            .map(|ending| tally.get(&(kind, ending)).copied().unwrap_or_default());
        println!("  {:<9}{done:>7}{failed:>8}{refused:>9}", kind.name());
    }
}

/// A run in which something did not go wrong, or nothing went well, proves too little.
fn misfortunes(run: &Run, Outcome { tally, banks, bought, .. }: &Outcome) -> Vec<Check> {
    let Run { planned, struck, begun, stats, .. } = run;
    let happened =
        |what, wanted: usize, count: usize, found: String| Check::that(what, count >= wanted, found);
    let zombies: Vec<usize> = struck.zombies.iter().map(|(taken, _)| *taken).collect();
    let spoken: usize = struck.zombies.iter().map(|(_, spoken)| *spoken).sum();
    let refused: usize = struck.full_disks.iter().map(|(_, refused)| *refused).sum();
    let commits: usize = struck.cuts.iter().map(|(_, commits)| *commits).sum();
    let faults: u64 =
        stats["faults"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    let mut checks = vec![
        Check::that("payments begun", *begun > 0, begun.to_string()),
        happened("kills of a service", planned.kills, struck.kills.len(), struck.kills.len().to_string()),
        Check::that("  its operations in flight, each time", true, spread(&struck.kills)),
        happened("zombies", planned.zombies, struck.zombies.len(), struck.zombies.len().to_string()),
        Check::that("  operations taken over, each time", true, spread(&zombies)),
        Check::that("  late words of theirs, kept as evidence", spoken > 0, spoken.to_string()),
        happened(
            "crashes of Postgres",
            planned.crashes,
            struck.crashes.len(),
            struck.crashes.len().to_string(),
        ),
        Check::that("  operations in flight, each time", true, spread(&struck.crashes)),
        happened(
            "full disks",
            planned.full_disks,
            struck.full_disks.len(),
            struck.full_disks.len().to_string(),
        ),
        Check::that("  requests refused meanwhile", refused > 0, refused.to_string()),
        happened("cuts of all connections", planned.cuts, struck.cuts.len(), struck.cuts.len().to_string()),
        Check::that("  commits not acknowledged", commits > 0, commits.to_string()),
        Check::that("faults of the PSP", faults > 0, faults.to_string()),
        Check::that("faults that hit nothing, made up for", true, struck.misses.to_string()),
    ];
    checks.extend(Kind::ALL.map(|kind| {
        let of = |ending| tally.get(&(kind, ending)).copied().unwrap_or_default();
        let (done, not) = (of(Ending::Done), of(Ending::Failed) + of(Ending::Refused));
        let what = match kind {
            Kind::Authorize => "payments that went well, and not",
            Kind::Capture => "captures that went well, and not",
            Kind::Void => "voids that went well, and not",
            Kind::Refund => "refunds that went well, and not",
            Kind::Payout => "payouts that went well, and not",
        };
        Check::that(what, done > 0 && not > 0, format!("{done}, {not}"))
    }));
    checks.extend(Decision::ALL.map(|decision| {
        let count = banks.decided.get(&decision).copied().unwrap_or_default();
        let what = match decision {
            Decision::Won => "disputes that were won",
            Decision::Lost => "disputes that were lost",
            Decision::Closed => "inquiries of banks that were closed",
        };
        Check::that(what, count > 0, count.to_string())
    }));
    checks.extend(Arrival::ALL.map(|arrival| {
        let count = banks.received.get(&arrival).copied().unwrap_or_default();
        let what = match arrival {
            Arrival::Paid => "payouts that arrived",
            Arrival::Failed => "payouts that a bank refused",
            Arrival::Returned => "payouts that a bank sent back",
        };
        Check::that(what, count > 0, count.to_string())
    }));
    let refused = banks.refused;
    checks.push(Check::that("orders paid on the PSP's pages", *bought > 0, bought.to_string()));
    checks.push(Check::that("refunds refused, as a bank had it", refused > 0, refused.to_string()));
    checks
}

/// The least, the middle and the most of some counts.
fn spread(counts: &[usize]) -> String {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(least), Some(middle), Some(most)) => format!("{least} to {most}, median {middle}"),
        _ => "none".to_owned(),
    }
}

/// Says where everything is after a failure, and how to do it again.
pub fn kept(folder: &Path, arguments: &str) {
    println!(
        "The clients' journals, the logs, the PSP's state and the database are in {}.",
        folder.display()
    );
    println!("The same again: make crash ARGS='{arguments}'");
}
