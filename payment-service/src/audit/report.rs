use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use money::MerchantId;
use serde::Serialize;
use time::OffsetDateTime;

use super::database::{Figure, Found};
use super::{Check, NAMED};

/// What an audit came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How many merchants were looked at.
    pub merchants: usize,
    /// What each check came to, in order.
    pub checks: Vec<CheckReport>,
}

/// What one check came to, over all merchants.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// Its name.
    pub check: Check,
    /// The invariant that it is a part of: `I1` to `I19`.
    pub invariant: &'static str,
    /// What must hold.
    pub statement: &'static str,
    /// Whether it does.
    pub verdict: Verdict,
    /// How many were looked at.
    pub looked_at: i64,
    /// What they are, in the plural.
    pub unit: &'static str,
    /// How many of them offend.
    pub offending: i64,
    /// A few of those.
    pub offenders: Vec<Offender>,
    /// Further figures: counts, minor units or seconds, as they are called.
    pub figures: BTreeMap<String, i64>,
    /// What else is to be known, such as why it could not be checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Whether a check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds of everything that was looked at.
    Holds,
    /// It does not.
    Violated,
    /// There was nothing that it could be violated by.
    Nothing,
    /// It cannot be seen from here; the note says why.
    NotSeen,
    /// It could not be checked; the note says why.
    Failed,
}

/// What offends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offender {
    /// Whose it is; none where it is nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant_id: Option<MerchantId>,
    /// What people find it by.
    pub id: String,
}

impl CheckReport {
    pub(super) fn empty(check: Check) -> Self {
        Self {
            check,
            invariant: check.invariant(),
            statement: check.statement(),
            verdict: Verdict::Nothing,
            looked_at: 0,
            unit: check.unit(),
            offending: 0,
            offenders: Vec::new(),
            figures: BTreeMap::new(),
            note: None,
        }
    }

    pub(super) fn unseen(check: Check) -> Self {
        let note = Some(check.why_unseen().to_owned());
        Self { verdict: Verdict::NotSeen, note, ..Self::empty(check) }
    }

    /// Adds what was found for one merchant.
    pub(super) fn add(&mut self, merchant_id: Option<MerchantId>, found: Found) {
        self.looked_at += found.looked;
        self.offending += found.offending;
        let free = NAMED.saturating_sub(self.offenders.len());
        let named = found.offenders.into_iter().take(free).map(|id| Offender { merchant_id, id });
        self.offenders.extend(named);
        for (name, figure) in found.figures {
            let sum = self.figures.entry(name).or_default();
            *sum = match figure {
                Figure::Sum(value) => sum.saturating_add(value),
                Figure::Max(value) => value.max(*sum),
            };
        }
        if found.note.is_some() {
            self.note = found.note;
        }
        self.verdict = match self.verdict {
            verdict if found.failed || verdict == Verdict::Failed => Verdict::Failed,
            _ if self.offending > 0 => Verdict::Violated,
            _ if self.looked_at > 0 => Verdict::Holds,
            verdict => verdict,
        };
    }

    /// Notes that it could not be checked, wholly or for one merchant.
    pub(super) fn fail(&mut self, error: &dyn std::error::Error) {
        self.verdict = Verdict::Failed;
        let mut words = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(words, ": {error}");
            cause = error.source();
        }
        self.note = Some(words);
    }
}

impl Report {
    /// 0 where everything that could be looked at holds, 1 where something is violated, else 2: something could not be
    /// checked, or there was no merchant to look at.
    pub fn exit_code(&self) -> u8 {
        let offends = self.checks.iter().any(|check| check.offending > 0);
        let failed = self.checks.iter().any(|check| check.verdict == Verdict::Failed);
        match (offends, failed || self.merchants == 0) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 0,
        }
    }

    /// The report of one check.
    pub fn of(&self, check: Check) -> Option<&CheckReport> {
        self.checks.iter().find(|report| report.check == check)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    /// For people: a line for each check, what offends below it, and a summary as the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures: Vec<String> = self.checks.iter().map(figure).collect();
        let width = figures.iter().map(|figure| figure.chars().count()).max().unwrap_or(0);
        for (check, figure) in self.checks.iter().zip(&figures) {
            let CheckReport { invariant, verdict, statement, .. } = check;
            writeln!(f, "{invariant:<4} {:<8}  {figure:<width$}  {statement}", verdict.word())?;
            if let Some(note) = &check.note {
                writeln!(f, "       {note}")?;
            }
            if !check.figures.is_empty() {
                let figures: Vec<String> =
                    check.figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
                writeln!(f, "       {}", figures.join(", "))?;
            }
            for offender in &check.offenders {
                writeln!(f, "     ! {offender}")?;
            }
            let unnamed = check.offending - i64::try_from(check.offenders.len()).unwrap_or(i64::MAX);
            if unnamed > 0 {
                writeln!(f, "     ! and {unnamed} more")?;
            }
        }
        let counted = [
            (self.count(Verdict::Violated), "violated"),
            (self.count(Verdict::Failed), "could not be checked"),
            (self.count(Verdict::Holds), "hold"),
            (self.count(Verdict::Nothing), "had nothing to look at"),
            (self.count(Verdict::NotSeen), "are not seen from here"),
        ];
        let counted: Vec<String> =
            counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let whose = if self.merchants == 1 { "merchant" } else { "merchants" };
        write!(f, "{} checks of {} {whose}: {}", self.checks.len(), self.merchants, counted.join(", "))
    }
}

fn figure(check: &CheckReport) -> String {
    let CheckReport { offending, looked_at, unit, .. } = check;
    match check.verdict {
        Verdict::NotSeen => String::new(),
        _ if *offending > 0 => format!("{offending} of {looked_at} {unit}"),
        Verdict::Holds | Verdict::Violated | Verdict::Nothing | Verdict::Failed => {
            format!("{looked_at} {unit}")
        }
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "VIOLATED",
            Self::Nothing => "nothing",
            Self::NotSeen => "not seen",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.merchant_id {
            Some(merchant) => write!(f, "{} of merchant {merchant}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn report(reports: Vec<CheckReport>) -> Report {
        Report { at: datetime!(2026-03-01 00:00 UTC), merchants: 1, checks: reports }
    }

    fn looked(looked: i64, offending: i64) -> CheckReport {
        let mut report = CheckReport::empty(Check::ZeroSum);
        let offenders = (0..offending).map(|n| format!("t-{n}")).collect();
        report.add(None, Found { looked, offending, offenders, ..Found::default() });
        report
    }

    fn failed() -> CheckReport {
        let mut report = looked(1, 0);
        report.fail(&sqlx::Error::PoolTimedOut);
        report
    }

    #[test]
    fn only_what_was_looked_at_and_holds_is_a_success() {
        for (checks, code) in [
            (vec![looked(3, 0)], 0),
            (vec![looked(3, 0), looked(0, 0), CheckReport::unseen(Check::HashChain)], 0),
            (vec![looked(3, 0), looked(3, 1)], 1),
            (vec![looked(3, 0), failed()], 2),
            (vec![looked(3, 1), failed()], 1),
        ] {
            assert_eq!(report(checks.clone()).exit_code(), code, "{checks:?}");
        }
        assert_eq!(Report { merchants: 0, ..report(vec![looked(1, 0)]) }.exit_code(), 2);
    }

    #[test]
    fn what_offended_one_merchant_is_not_forgotten_over_the_next() {
        let mut all = looked(3, 1);
        all.add(None, Found { looked: 4, ..Found::default() });
        assert_eq!((all.verdict, all.looked_at, all.offending), (Verdict::Violated, 7, 1));
        let mut all = looked(3, 1);
        all.fail(&sqlx::Error::PoolTimedOut);
        assert_eq!(report(vec![all]).exit_code(), 1);
        let mut all = looked(3, 0);
        all.add(None, Found { failed: true, ..Found::default() });
        assert_eq!((all.verdict, report(vec![all]).exit_code()), (Verdict::Failed, 2));
    }

    #[test]
    fn people_see_each_check_its_figures_and_who_offends() {
        let mut violated = looked(9, 7);
        violated.figures.insert("sum_eur".to_owned(), 12);
        let text = report(vec![looked(1200, 0), violated, CheckReport::unseen(Check::HashChain)]).to_string();
        assert_eq!(
            text,
            "I3   holds     1200 ledger transactions    A ledger transaction sums to zero in each currency.\n\
             I3   VIOLATED  7 of 9 ledger transactions  A ledger transaction sums to zero in each currency.\n       \
             sum_eur 12\n     \
             ! t-0\n     ! t-1\n     ! t-2\n     ! t-3\n     ! t-4\n     ! and 2 more\n\
             I18  not seen                              The hash chain over the books is intact.\n       \
             there is no hash chain yet\n\
             3 checks of 1 merchant: 1 violated, 1 hold, 1 are not seen from here"
        );
    }
}
