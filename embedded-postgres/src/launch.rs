//! Running PostgreSQL's own programs: making a cluster, starting the server.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::account::Account;
use crate::binaries::Binaries;
use crate::connection::{PORT, SUPERUSER};
use crate::folder::{Folder, private_dir};
use crate::supervised::{Supervised, dies_with_its_parent};
use crate::{Durability, Error, Options};

/// Makes the cluster aside and moves it to its place, so that one half made is never used.
pub(crate) fn create_cluster(
    folder: &Folder,
    account: &Account,
    binaries: &Binaries,
    options: &Options,
) -> Result<(), Error> {
    let (unfinished, data) = (folder.unfinished_data(), folder.data());
    match std::fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &unfinished)(error));
        }
        _ => {}
    }
    private_dir(&unfinished, account)?;
    tracing::info!(folder = %folder.path().display(), version = binaries.major, "making a database cluster");
    let initdb = binaries.program("initdb");
    let mut command = dies_with_its_parent(&initdb, "KILL").unwrap_or_else(|| Command::new(&initdb));
    command.arg("-D").arg(&unfinished).arg(format!("--username={SUPERUSER}"));
    command.args(["--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]);
    command.args(["--auth-local=trust", "--auth-host=reject"]);
    if options.durability == Durability::Throwaway {
        command.arg("--no-sync");
    }
    prepare(&mut command, account);
    let output = command.output().map_err(Error::io("run", &initdb))?;
    succeeded("initdb", &output)?;
    std::fs::rename(&unfinished, &data).map_err(Error::io("rename", &unfinished))?;
    File::open(folder.path())
        .and_then(|opened| opened.sync_all())
        .map_err(Error::io("write back", folder.path()))
}

/// Starts the server so that it stops when we die.
pub(crate) fn spawn(
    folder: &Folder,
    account: &Account,
    binaries: &Binaries,
    options: &Options,
    socket_dir: &Path,
) -> Result<(Supervised, Option<Supervised>), Error> {
    let postgres = binaries.program("postgres");
    let guarded = dies_with_its_parent(&postgres, "INT");
    let needs_watcher = guarded.is_none();
    let mut command = guarded.unwrap_or_else(|| Command::new(&postgres));
    command.arg("-D").arg(folder.data());
    for (name, value) in settings(options, socket_dir) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    prepare(&mut command, account);
    let log = folder.open_log()?;
    command.stdout(log.try_clone().map_err(Error::io("open", &folder.log()))?).stderr(log);
    // A Ctrl-C at the terminal is for the owner, who stops the server when it needs it no more.
    command.process_group(0);
    let server = Supervised::spawn(command).map_err(Error::io("start", &postgres))?;
    let watcher = needs_watcher.then(|| watch(&server)).transpose()?;
    Ok((server, watcher))
}

/// A shell that stops the server once our end of its standard input closes, as it does when we die.
fn watch(server: &Supervised) -> Result<Supervised, Error> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' INT TERM HUP; read -r _; kill -INT \"$1\"", "sh"]);
    command.arg(server.id().to_string()).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Supervised::spawn(command).map_err(Error::io("start", Path::new("/bin/sh")))
}

/// The server's settings; of two with the same name the last counts.
fn settings(options: &Options, socket_dir: &Path) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut settings: Vec<_> = [
        ("shared_buffers", "128MB"),
        ("jit", "off"), // costs more than it gains on short statements
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_checkpoints", "off"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
    ]
    .map(owned)
    .into();
    let durable = if options.durability == Durability::Durable { "on" } else { "off" };
    settings.extend(["fsync", "synchronous_commit", "full_page_writes"].map(|name| owned((name, durable))));
    settings.push(("max_connections".to_owned(), options.max_connections.to_string()));
    settings.extend(options.settings.iter().cloned());
    let quoted = format!("\"{}\"", socket_dir.display());
    settings.extend([
        ("listen_addresses".to_owned(), String::new()),
        ("port".to_owned(), PORT.to_string()),
        ("unix_socket_directories".to_owned(), quoted),
        ("unix_socket_permissions".to_owned(), "0700".to_owned()),
    ]);
    settings
}

/// An environment that changes nothing: variables such as PGPORT or TZ would.
fn prepare(command: &mut Command, account: &Account) {
    account.run(command);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
    for kept in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
}

pub(crate) fn succeeded(program: &str, output: &Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    Err(Error::Program {
        program: program.to_owned(),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}
