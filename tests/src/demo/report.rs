//! What the demo prints.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::chaos::Killed;
use super::journal::{Event, Line};
use super::orders::Day;
use super::verdict::{Check, Evidence};
use crate::process;
use crate::stage::Stage;

/// How wide the names of checks are shown.
const WIDTH: usize = 36;

pub fn opening(day: &Day, clients: usize, seed: u64) {
    println!("A shop's day: {} orders, {clients} clients at once, seed {seed}.", day.count());
}

pub fn started(stage: &Stage, took: Duration) {
    let (service, sandbox) = urls(stage);
    println!("Started in {} ms: the service with a Postgres of its own at {service},", took.as_millis());
    println!(
        "the PSP at {sandbox}. From now on the PSP loses 10 % of its replies after doing what was asked,"
    );
    println!("answers 5 % with errors, and sends its webhooks late, twice and out of order.");
}

fn urls(stage: &Stage) -> (String, String) {
    (format!("http://{}", stage.service_address()), format!("http://{}", stage.sandbox_address()))
}

/// How far the orders are: a bar on a terminal, lines elsewhere.
pub struct Progress {
    bar: ProgressBar,
    total: usize,
    count: usize,
}

impl Progress {
    /// For so many orders.
    pub fn new(total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} orders, {per_sec}, {elapsed}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, total, count: 0 }
    }

    /// One more.
    pub fn advance(&mut self) {
        self.count += 1;
        self.bar.inc(1);
        let step = (self.total / 10).max(1);
        if self.bar.is_hidden() && self.count.is_multiple_of(step) {
            println!("  {} of {} orders", self.count, self.total);
        }
    }

    /// So many so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Something that happened meanwhile.
    pub fn say(&self, what: &str) {
        if self.bar.is_hidden() {
            println!("  {what}");
        } else {
            self.bar.println(format!("  {what}"));
        }
    }

    /// All are done.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

pub fn kills([service, sandbox]: &[Killed; 2]) {
    println!();
    println!(
        "kill -9 of the service: {} requests of clients awaited an answer, {} operations were being sent to the PSP",
        service.requests, service.sending
    );
    println!(
        "kill -9 of the PSP: it was working on {} calls, {} operations were being sent, {} requests awaited an answer",
        sandbox.calls, sandbox.sending, sandbox.requests
    );
}

pub fn quiet(waited: Duration) {
    println!("{} ms after the last client had left nothing was under way any more", waited.as_millis());
}

/// What went wrong on purpose. A day on which something did not is a weaker one than promised.
pub fn misbehaviour(stats: &Value, journal: &[Line], kills: &[Killed; 2]) -> Vec<Check> {
    let count = |wanted: fn(&Event) -> bool| journal.iter().filter(|line| wanted(&line.event)).count();
    let sent = count(|event| *event == Event::Sent);
    let hung_up = count(|event| *event == Event::HungUp);
    let broken = count(|event| *event == Event::Broken);
    let replayed = count(|event| matches!(event, Event::Told { replayed: true, .. }));
    let accepted = count(|event| matches!(event, Event::Told { status: 202, .. }));
    let in_flight = count(|event| matches!(event, Event::Told { status: 409, .. }));
    println!();
    println!(
        "The clients sent {sent} requests, hung up on {hung_up}, lost {broken} to broken connections; they were told 202 \
         {accepted} times, 409 {in_flight} times, and an earlier answer again {replayed} times."
    );
    let counted = |what: &str| sum(&kills[1].counted[what], &stats[what]);
    let (calls, faults, webhooks) = (counted("calls"), counted("faults"), counted("webhooks"));
    let (all, lost) = (calls.values().sum::<u64>(), faults.get("drop_reply").copied().unwrap_or_default());
    let errors = faults.values().sum::<u64>() - lost;
    println!("The PSP's calls: {}: {all} in all.", one_line(&calls));
    println!(
        "Its faults: {}: of 1000 replies {} were lost and {} were errors.",
        one_line(&faults),
        lost * 1000 / all.max(1),
        errors * 1000 / all.max(1)
    );
    println!("Its webhooks: {}.", one_line(&webhooks));
    println!();
    let kinds = ["drop_reply", "server_error_saved", "server_error_unsaved", "unavailable", "rate_limited"];
    let struck = kinds.iter().filter(|kind| faults.contains_key(**kind)).count();
    let late = webhooks.get("duplicates").min(webhooks.get("reordered")).copied().unwrap_or_default();
    let [service, sandbox] = kills;
    let in_the_middle = [service.requests > 0, service.sending > 0, sandbox.calls > 0, sandbox.requests > 0];
    vec![
        Check::that(
            "kinds of faults that struck",
            struck == kinds.len(),
            format!("{struck} of {}", kinds.len()),
        ),
        Check::that("webhooks twice and out of order", late > 0, late.to_string()),
        Check::that("clients that hung up", hung_up > 0, hung_up.to_string()),
        Check::that("kills in the middle of work", in_the_middle == [true; 4], "2"),
    ]
}

/// What was counted before a restart and after it, by name.
fn sum(before: &Value, after: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for counts in [before, after] {
        for (name, count) in counts.as_object().into_iter().flatten() {
            *sums.entry(name.clone()).or_default() += count.as_u64().unwrap_or_default();
        }
    }
    sums
}

fn one_line(counts: &BTreeMap<String, u64>) -> String {
    let shown: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    shown.join(", ")
}

/// Prints all checks and answers whether everything holds.
pub fn verdict(evidence: &Evidence<'_>, checks: &[Check], took: Duration) -> bool {
    let tally = evidence.tally();
    println!(
        "{} orders: {} charged, {} declined or failed, {} that no request of reached the service",
        evidence.day.count(),
        tally.charged,
        tally.declined,
        tally.unheard
    );
    println!();
    for check in checks {
        let mark = if check.holds { "ok" } else { "WRONG" };
        println!("{:<WIDTH$} {:>16}  {mark}", check.what, check.found);
        for offender in &check.offenders {
            println!("    {offender}");
        }
    }
    let right = checks.iter().all(|check| check.holds);
    println!();
    match right {
        true => println!("The books are right. It took {} s.", took.as_secs()),
        false => println!("THE BOOKS ARE WRONG. It took {} s.", took.as_secs()),
    }
    right
}

pub fn look_around(right: bool) {
    if right {
        println!("To look around in it: run it with --keep, which leaves everything running until Ctrl-C.");
    }
}

pub fn keep(stage: &Stage, folder: &Path) {
    let (service, sandbox) = urls(stage);
    println!();
    println!("Everything goes on until Ctrl-C. To look around:");
    println!("  export KEY={}", stage.shop.api_key);
    println!("  curl -s -H \"Authorization: Bearer $KEY\" '{service}/v1/payments?limit=3'");
    println!("  curl -s -H \"Authorization: Bearer $KEY\" {service}/v1/wallets/seller-1");
    println!("  curl -s -H \"Authorization: Bearer $KEY\" {service}/v1/ledger/trial-balance");
    println!("  curl -s '{sandbox}/_sandbox/effects?limit=3'");
    if let Ok(url) = stage.installation.superuser_url() {
        println!("  psql '{url}'");
    }
    println!("The journals, the settlement reports and the logs are in {}.", folder.display());
}

/// What the programs complained of, after a failure.
pub fn logs(folder: &Path) {
    for name in ["service.log", "sandbox.log"] {
        println!("--- the end of {name}:");
        println!("{}", process::tail(&folder.join(name)));
    }
}
