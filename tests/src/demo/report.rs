//! What the demo prints.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::chaos::Killed;
use super::journal::{Event, Line};
use super::verdict::Evidence;
use crate::orders::Day;
use crate::process;
use crate::report::{Check, Clock, Section, show};
use crate::stage::Stage;

pub fn opening(day: &Day, clients: usize, seed: u64) {
    println!(
        "A shop's day: {} orders, paid by {clients} clients at once who ask again when they are not told, seed {seed}.",
        day.count()
    );
    println!(
        "The PSP loses 10 % of its replies after doing what was asked, answers 5 % with errors, and sends its"
    );
    println!("webhooks late, twice and out of order. 3 % of the cards are declined.");
    println!();
}

pub fn started(clock: Clock, stage: &Stage) {
    let (service, sandbox) = urls(stage);
    clock.say(&format!("the service runs at {service} with a Postgres of its own, the PSP at {sandbox}"));
}

fn urls(stage: &Stage) -> (String, String) {
    (format!("http://{}", stage.service_address()), format!("http://{}", stage.sandbox_address()))
}

/// What went wrong on purpose. A day on which something did not is a weaker one than promised.
pub fn misbehaviour(evidence: &Evidence<'_>, stats: &Value, kills: &[Killed; 2]) -> Vec<Check> {
    let counted = |what: &str| sum(&kills[1].counted[what], &stats[what]);
    let (calls, faults, webhooks) = (counted("calls"), counted("faults"), counted("webhooks"));
    let all = calls.values().sum::<u64>();
    let lost = faults.get("drop_reply").copied().unwrap_or_default();
    let errors = faults.values().sum::<u64>() - lost;
    let of_errors = faults.keys().filter(|name| ERRORS.contains(&name.as_str())).count();
    let of_webhooks = |what: &str| {
        let count = webhooks.get(what).copied().unwrap_or_default();
        (count > 0, format!("{count} of {}", webhooks.get("delivered").copied().unwrap_or_default()))
    };
    let that = |what, (holds, found): (bool, String)| Check::that(what, holds, found);
    let mut checks = vec![
        that("replies of the PSP that were lost", (lost > 0, share(lost, all, "calls"))),
        that("errors of the PSP", (of_errors == ERRORS.len(), share(errors, all, "calls"))),
        that(
            "kinds of these errors",
            (of_errors == ERRORS.len(), format!("{of_errors} of {}", ERRORS.len())),
        ),
        that("declined payments", declined(evidence)),
        that("webhooks that came late", of_webhooks("delayed")),
        that("webhooks that came twice", of_webhooks("duplicates")),
        that("webhooks out of order", of_webhooks("reordered")),
    ];
    checks.extend(of_clients(evidence.journal));
    checks.extend(of_kills(kills));
    checks
}

/// The ways in which the PSP answers with an error.
const ERRORS: [&str; 4] = ["server_error_saved", "server_error_unsaved", "unavailable", "rate_limited"];

fn declined(evidence: &Evidence<'_>) -> (bool, String) {
    let declined = evidence.payments.iter().filter(|payment| payment.status == "failed").count() as u64;
    (declined > 0, share(declined, evidence.payments.len() as u64, "payments"))
}

fn of_clients(journal: &[Line]) -> Vec<Check> {
    let of = |what, wanted: fn(&Line) -> bool| {
        let count = journal.iter().filter(|line| wanted(line)).count();
        Check::that(what, count > 0, count.to_string())
    };
    vec![
        of("requests that clients sent", |line| line.event == Event::Sent),
        of("of these the same once more", |line| line.event == Event::Sent && line.attempt > 1),
        of("answers that clients did not await", |line| line.event == Event::HungUp),
        of("connections that broke", |line| line.event == Event::Broken),
        of("earlier answers, told again", |line| matches!(line.event, Event::Told { replayed: true, .. })),
        of("answers \"in progress\" (202, 409)", |line| {
            matches!(line.event, Event::Told { status: 202 | 409, .. })
        }),
    ]
}

fn of_kills([service, sandbox]: &[Killed; 2]) -> [Check; 2] {
    [
        Check::that(
            "in flight at kill -9 of the service",
            service.sending > 0 && service.requests > 0,
            format!("{} operations, {} requests", service.sending, service.requests),
        ),
        Check::that(
            "in flight at kill -9 of the PSP",
            sandbox.calls > 0 && sandbox.requests > 0,
            format!("{} calls, {} operations", sandbox.calls, sandbox.sending),
        ),
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

/// `12 of 100 calls, 12.0 %`
fn share(count: u64, all: u64, of: &str) -> String {
    let per_thousand = count * 1000 / all.max(1);
    format!("{count} of {all} {of}, {}.{} %", per_thousand / 10, per_thousand % 10)
}

pub fn tally(evidence: &Evidence<'_>) {
    let tally = evidence.tally();
    println!();
    println!(
        "{} orders: {} charged, {} declined or failed, {} of which no request reached the service.",
        evidence.day.count(),
        tally.charged,
        tally.declined,
        tally.unheard
    );
}

/// Prints all checks, first those of what went wrong on purpose, and answers whether everything holds.
pub fn verdict(sections: &[Section; 2], took: Duration) -> bool {
    show(sections);
    let [trouble, books] = sections.each_ref().map(|section| section.checks.iter().all(|check| check.holds));
    println!();
    let verdict = match (books, trouble) {
        (true, true) => "The books are right.",
        (true, false) => "The books are right, but LESS WENT WRONG THAN PROMISED: that proves too little.",
        (false, _) => "THE BOOKS ARE WRONG.",
    };
    println!("{verdict} It took {} s.", took.as_secs());
    books && trouble
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
