//! `reconcile`: settlement files in, a verdict out.

mod args;
mod bank_account;
mod breaks;
mod database;
mod progress;
mod work;

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use reconciliation::report::{Report, Verdict, render};

use args::{Args, Command, Run};

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let told = error.print();
            let helped = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let verdict = if helped && told.is_ok() { Verdict::Clean } else { Verdict::Refused };
            return ExitCode::from(verdict.exit_code());
        }
    };
    log_to_stderr();
    let verdict = match &args.command {
        Command::Run(run) => reconcile(run).await,
        Command::BankAccount(command) => bank_account::answer(command).await,
        Command::Break(command) => breaks::answer(command).await,
    };
    ExitCode::from(verdict.exit_code())
}

async fn reconcile(run: &Run) -> Verdict {
    let report = work::reconcile(run).await;
    match tell(run, &report) {
        Ok(()) => report.verdict,
        Err(error) => {
            complain(&format!("the report could not be written: {error}"));
            report.verdict.max(Verdict::Incomplete)
        }
    }
}

fn log_to_stderr() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,sqlx=error".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// The report for a person on standard output, unless the one for machines goes there.
fn tell(run: &Run, report: &Report) -> std::io::Result<()> {
    let text = render(report);
    let json = || serde_json::to_string_pretty(report).map(|json| json + "\n");
    match run.json.as_deref() {
        None => std::io::stdout().lock().write_all(text.as_bytes()),
        Some(path) if path.as_os_str() == "-" => {
            std::io::stderr().lock().write_all(text.as_bytes())?;
            std::io::stdout().lock().write_all(json()?.as_bytes())
        }
        Some(path) => {
            std::io::stdout().lock().write_all(text.as_bytes())?;
            std::fs::write(path, json()?)
        }
    }
}

/// What was asked for, on standard output.
fn show(text: &str) -> Verdict {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Verdict::Clean,
        // nobody is left to tell
        Err(_) => Verdict::Incomplete,
    }
}

fn complain(message: &str) {
    // nobody is left to tell when standard error is gone
    let _ = writeln!(std::io::stderr().lock(), "error: {message}");
}

/// An error with everything that caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        message.push_str(": ");
        message.push_str(&next.to_string());
        cause = next.source();
    }
    message
}
