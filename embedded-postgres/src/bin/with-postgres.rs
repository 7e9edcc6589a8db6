//! Runs a command beside a Postgres server of its own: `with-postgres -- cargo test`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use embedded_postgres::{
    Durability, EmbeddedPostgres, Options, ScratchFolder, Supervised, dies_with_its_parent,
};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The database that is made for the command.
const DATABASE: &str = "payonce";

/// How long the command may take to end once it was asked to.
const COMMAND_PATIENCE: Duration = Duration::from_secs(20);

/// Start a Postgres server, run a command with DATABASE_URL set to a database in it and PostgreSQL's programs at the end of
/// PATH, stop the server, and exit as the command did. The server listens on no port.
#[derive(Debug, Parser)]
struct Arguments {
    /// Wait for the disk at each commit, as in production, instead of never
    #[arg(long)]
    durable: bool,
    /// Keep the database in this folder, instead of removing it at the end
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The most connections at one time
    #[arg(long, value_name = "N", default_value_t = 200)]
    max_connections: u32,
    /// A setting of the server, as in postgresql.conf
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with-postgres: {error}");
            ExitCode::from(125)
        }
    }
}

fn run(arguments: Arguments) -> Result<u8, Failure> {
    // From here on a signal waits until there is a command to pass it to.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let scratch = match arguments.folder {
        Some(_) => None,
        None => Some(ScratchFolder::create()?),
    };
    let folder = arguments.folder.or_else(|| scratch.as_ref().map(ScratchFolder::database));
    let durability = if arguments.durable { Durability::Durable } else { Durability::Throwaway };
    let mut options = Options::new(folder.ok_or("no folder")?, durability);
    options.max_connections = arguments.max_connections;
    options.settings = arguments.settings;
    let postgres = EmbeddedPostgres::start(&options)?;
    postgres.ensure_database(DATABASE)?;
    let status = run_command(&arguments.command, &postgres, signals)?;
    postgres.shutdown()?;
    Ok(exit_code(status))
}

fn run_command(
    words: &[OsString],
    postgres: &EmbeddedPostgres,
    signals: Signals,
) -> Result<ExitStatus, Failure> {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let mut command = dies_with_its_parent(program, "TERM").unwrap_or_else(|| Command::new(program));
    command.args(arguments).env("DATABASE_URL", postgres.superuser_url(DATABASE));
    command.env("PATH", path_with(&postgres.program("psql"))?);
    let child =
        Supervised::spawn(command).map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let child = Arc::new(child);
    let listener = signals.handle();
    let passing = {
        let child = Arc::clone(&child);
        std::thread::spawn(move || pass_on(signals, &child))
    };
    let status = loop {
        if let Some(status) = child.wait_timeout(Duration::from_secs(3600)) {
            break status;
        }
    };
    listener.close();
    passing.join().map_err(|_| "the signal thread panicked")?;
    Ok(status)
}

/// The search path, and after it the folder of PostgreSQL's programs, so that the command finds them.
fn path_with(program: &Path) -> Result<OsString, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(program.parent().map(Path::to_owned));
    Ok(std::env::join_paths(folders)?)
}

/// Passes signals to the command; one that does not end of the first in time is killed.
fn pass_on(mut signals: Signals, child: &Supervised) {
    for number in signals.forever() {
        let signal = match number {
            SIGINT => Signal::INT,
            SIGHUP => Signal::HUP,
            _ => Signal::TERM,
        };
        // A command that is gone needs no signal.
        let _ = child.signal(signal);
        if child.wait_timeout(COMMAND_PATIENCE).is_none() {
            let _ = child.signal(Signal::KILL);
        }
    }
}

/// As a shell tells it: the command's own code, or 128 and the number of the signal that ended it.
fn exit_code(status: ExitStatus) -> u8 {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|number| 128 + number);
    let code = status.code().or(signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125)
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
