//! The report as a person reads it.

use std::fmt::{self, Write as _};

use money::{Currency, Money};

use super::{BreakExample, BreakGroup, CurrencyReport, Report, Verdict};

/// `minor` of the currency with this code, in major units.
pub fn amount(minor: i64, currency: &str) -> String {
    currency.parse::<Currency>().map_or_else(
        |_| format!("{minor} minor units of {currency}"),
        |known| Money::new(minor, known).to_string(),
    )
}

/// The report in plain text, a screen or so.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // writing to a String cannot fail
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    for file in &report.files {
        write!(out, "{}", file.name)?;
        if let Some(map) = &file.map {
            write!(out, " by the map {map}")?;
        }
        write!(out, ": {}, {}", counted(file.lines, "line"), file.state)?;
        if file.known_before {
            write!(out, ", known before: nothing changed")?;
        }
        if file.duplicates > 0 {
            write!(out, ", {}", counted(file.duplicates, "duplicate"))?;
        }
        if file.waiting > 0 {
            write!(out, ", {} waiting", file.waiting)?;
        }
        writeln!(out)?;
    }
    for file in &report.bank_files {
        let (statements, entries) = (counted(file.statements, "statement"), counted(file.entries, "entry"));
        let entries = entries.replace("entrys", "entries");
        write!(out, "{}: {statements}, {entries}, {} matched", file.name, file.matched)?;
        if file.of_others > 0 {
            write!(out, ", {} of others", file.of_others)?;
        }
        writeln!(out, "{}", if file.known_before { ", known before: nothing changed" } else { "" })?;
    }
    for refused in &report.refused {
        writeln!(out, "refused, nothing changed: {}", refused.message)?;
    }
    for sums in &report.currencies {
        writeln!(out)?;
        write_currency(out, sums)?;
    }
    if !report.files.is_empty() || !report.bank_files.is_empty() {
        writeln!(out)?;
        write_breaks(out, report)?;
    }
    for reason in &report.incomplete_because {
        writeln!(out, "incomplete: {reason}")?;
    }
    let meaning = match report.verdict {
        Verdict::Clean => "everything is explained, to the cent",
        Verdict::Breaks => "everything is booked; the breaks above need a person or a later file",
        Verdict::Incomplete => "not everything is booked or adds up",
        Verdict::Refused => "a file was refused; nothing of it was booked",
    };
    writeln!(out, "verdict: {} ({meaning})", report.verdict.as_str())
}

/// So many of a thing, in words.
pub(super) fn counted<N: fmt::Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    if count == N::from(1) { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

fn write_currency(out: &mut String, sums: &CurrencyReport) -> fmt::Result {
    writeln!(out, "{}  {}, {} matched", sums.currency, counted(sums.lines, "line"), sums.matched)?;
    let rows = [
        ("captures", sums.captures, true),
        ("refunds", sums.refunds, false),
        ("chargebacks", sums.chargebacks, false),
        ("adjustments", sums.adjustments, false),
        ("fees", -sums.fees, true),
        ("payouts to sellers", sums.seller_payouts, false),
        ("net", sums.net, true),
        ("payouts", -sums.payouts, true),
        ("in suspense", sums.suspense, false),
        ("balance at the PSP", sums.psp_balance, true),
        ("residual", sums.residual, true),
    ];
    for (name, minor, always) in rows {
        if always || minor != 0 {
            writeln!(out, "  {name:<20}{:>24}", amount(minor, &sums.currency))?;
        }
    }
    Ok(())
}

fn write_breaks(out: &mut String, report: &Report) -> fmt::Result {
    if report.breaks.is_empty() {
        writeln!(out, "no open breaks")?;
    }
    for group in &report.breaks {
        write_group(out, group)?;
    }
    if report.open_breaks_of_other_files > 0 {
        writeln!(out, "and {} of other files", counted(report.open_breaks_of_other_files, "open break"))?;
    }
    Ok(())
}

fn write_group(out: &mut String, group: &BreakGroup) -> fmt::Result {
    let totals =
        [("expected", group.expected), ("found", group.found)].into_iter().filter(|(_, minor)| *minor != 0);
    let totals: Vec<String> =
        totals.map(|(word, minor)| format!("{word} {}", amount(minor, &group.currency))).collect();
    writeln!(
        out,
        "break {}: {} in {} {}",
        group.kind.as_str(),
        group.count,
        group.currency,
        totals.join(", ")
    )?;
    for example in &group.examples {
        write_example(out, example, &group.currency)?;
    }
    let more = group.count - group.examples.len() as i64;
    if more > 0 {
        writeln!(out, "  and {more} more")?;
    }
    Ok(())
}

fn write_example(out: &mut String, example: &BreakExample, currency: &str) -> fmt::Result {
    write!(out, "  ")?;
    if let (Some(file), Some(line)) = (&example.file, example.line) {
        write!(out, "{file}:{line} ")?;
    }
    if let Some(id) = &example.psp_line_id {
        write!(out, "{id} ")?;
    }
    if let Some(order) = &example.order_id {
        write!(out, "order {order} ")?;
    }
    let money = |minor: Option<i64>, code: &str| {
        minor.map_or_else(|| "nothing".to_owned(), |minor| amount(minor, code))
    };
    match (example.expected, example.found) {
        (None, None) => {}
        (None, found) => {
            write!(out, "{} ", money(found, example.found_currency.as_deref().unwrap_or(currency)))?
        }
        (expected, found) => write!(
            out,
            "expected {}, found {} ",
            money(expected, currency),
            money(found, example.found_currency.as_deref().unwrap_or(currency))
        )?,
    }
    writeln!(out, "- {}", example.detail)
}
