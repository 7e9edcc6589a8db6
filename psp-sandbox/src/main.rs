//! The sandbox as a program.

use std::io::{IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use psp_sandbox::{Sandbox, SandboxConfig, Span};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A PSP that speaks Stripe's wire format and misbehaves on request.
///
/// Takes any secret key (sk_test_…): one never seen before opens an account. Prints one line with its address when it
/// is ready, and stops on SIGINT or SIGTERM. Faults are scripted under /_sandbox.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "PSP_SANDBOX_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Folder for everything that survives a restart; without it nothing does.
    #[arg(long, env = "PSP_SANDBOX_STATE_DIR")]
    state_dir: Option<PathBuf>,

    /// What every random decision is drawn from.
    #[arg(long, env = "PSP_SANDBOX_SEED", default_value_t = 1)]
    seed: u64,

    /// Milliseconds added to every API call, as N or MIN-MAX.
    #[arg(long, env = "PSP_SANDBOX_LATENCY_MS", value_parser = span, default_value = "0")]
    latency_ms: Span,

    /// Milliseconds a new PaymentIntent is kept from search.
    #[arg(long, env = "PSP_SANDBOX_SEARCH_LAG_MS", default_value_t = 1000)]
    search_lag_ms: u32,

    /// Seconds an idempotency key is remembered.
    #[arg(long, env = "PSP_SANDBOX_IDEMPOTENCY_TTL", default_value_t = 86_400)]
    idempotency_ttl_seconds: u32,

    /// What to log to stderr, as tracing filter directives.
    #[arg(long, env = "PSP_SANDBOX_LOG", default_value = "info")]
    log: String,
}

fn span(text: &str) -> Result<Span, String> {
    let number = |part: &str| {
        part.parse::<u32>().map_err(|error| format!("{part:?} is not a number of milliseconds: {error}"))
    };
    let (min, max) = match text.split_once('-') {
        Some((min, max)) => (number(min)?, number(max)?),
        None => (number(text)?, number(text)?),
    };
    if max < min {
        return Err(format!("{max} is less than {min}"));
    }
    Ok(Span { min, max })
}

impl Arguments {
    fn config(self) -> SandboxConfig {
        let mut config = SandboxConfig {
            listen: self.listen,
            state_dir: self.state_dir,
            seed: self.seed,
            ..SandboxConfig::default()
        };
        config.behaviour.latency_ms = self.latency_ms;
        config.behaviour.search_lag_ms = self.search_lag_ms;
        config.behaviour.idempotency_ttl_seconds = self.idempotency_ttl_seconds;
        config
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = match EnvFilter::try_new(&arguments.log) {
        Ok(filter) => filter,
        Err(error) => return fail(&error),
    };
    let coloured = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(coloured).init();
    match run(arguments.config()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

async fn run(config: SandboxConfig) -> Result<(), Box<dyn std::error::Error>> {
    // Before anyone is told that it is ready: a signal must not find the default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sandbox = Sandbox::start(config).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "psp-sandbox listening on {}", sandbox.url())?;
    stdout.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    sandbox.shutdown().await;
    Ok(())
}

fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text: Vec<String> = causes.map(ToString::to_string).collect();
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "psp-sandbox: {}", text.join(": "));
    ExitCode::FAILURE
}
