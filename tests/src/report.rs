//! What a run prints while it goes on and at its end.
#![expect(clippy::print_stdout, reason = "the report is what these programs are for")]

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::Error;

/// How wide the names of checks and what was found are shown.
const WIDTH: usize = 38;
const FOUND_WIDTH: usize = 34;

/// Says what happens when, in seconds since the start.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// One that starts at this moment.
    pub fn new(began: Instant) -> Self {
        Self(began)
    }

    /// Says it.
    pub fn say(self, what: &str) {
        println!("{}", self.line(what));
    }

    #[expect(clippy::float_arithmetic, reason = "a time, shown")]
    fn line(self, what: &str) -> String {
        format!("{:6.1} s  {what}", self.0.elapsed().as_millis() as f64 / 1000.0)
    }
}

/// Checks that belong together.
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The checks.
    pub checks: Vec<Check>,
}

/// How far a run is: a bar on a terminal, lines elsewhere.
pub struct Progress {
    bar: ProgressBar,
    of: &'static str,
    clock: Clock,
    total: usize,
    count: usize,
}

impl Progress {
    /// For so many of these.
    pub fn new(total: usize, of: &'static str, clock: Clock) -> Self {
        let bar = ProgressBar::new(total as u64);
        let template = format!("          {{bar:40}} {{pos}} of {{len}} {of}, {{per_sec}}");
        let style = ProgressStyle::with_template(&template);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, of, clock, total, count: 0 }
    }

    /// One more.
    pub fn advance(&mut self) {
        self.count += 1;
        self.bar.inc(1);
        let step = (self.total / 10).max(1);
        if self.bar.is_hidden() && self.count.is_multiple_of(step) {
            self.clock.say(&format!("{} of {} {}", self.count, self.total, self.of));
        }
    }

    /// So many so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Something that happened meanwhile.
    pub fn say(&self, what: &str) {
        self.bar.suspend(|| self.clock.say(what));
    }

    /// All are done.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Something that must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is compared.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// Whether it is as it must be.
    pub holds: bool,
    /// Some of those that are not.
    pub offenders: Vec<String>,
}

/// Offenders that are shown.
const SHOWN: usize = 5;

impl Check {
    /// Something that must not be.
    pub fn none(what: &'static str, offenders: Vec<String>) -> Self {
        Self {
            what,
            found: offenders.len().to_string(),
            holds: offenders.is_empty(),
            offenders: offenders.into_iter().take(SHOWN).collect(),
        }
    }

    /// A count that must be zero.
    pub fn zero(what: &'static str, count: i64) -> Self {
        Self::that(what, count == 0, count.to_string())
    }

    /// A command that must find nothing.
    pub fn told(what: &'static str, result: &Result<String, Error>) -> Self {
        match result {
            Ok(_) => Self::that(what, true, "exit 0"),
            Err(error) => Self { offenders: vec![error.chain()], ..Self::that(what, false, "failed") },
        }
    }

    /// A fact that must hold.
    pub fn that(what: &'static str, holds: bool, found: impl Into<String>) -> Self {
        Self { what, found: found.into(), holds, offenders: Vec::new() }
    }
}

/// The first few of them.
pub fn shown(mut offenders: Vec<String>) -> Vec<String> {
    offenders.truncate(SHOWN);
    offenders
}

/// Prints checks and what offends against them.
pub fn show(sections: &[Section]) {
    for section in sections {
        println!();
        println!("{}", section.title);
        for check in &section.checks {
            let mark = if check.holds { "ok" } else { "WRONG" };
            println!("  {:<WIDTH$} {:>FOUND_WIDTH$}  {mark}", check.what, check.found);
            for offender in &check.offenders {
                println!("      {offender}");
            }
        }
    }
}
