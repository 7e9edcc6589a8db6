//! Starting, reaching and stopping the server.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Error;
use crate::account::Account;
use crate::binaries::Binaries;
use crate::connection::{Connection, PORT, SUPERUSER};
use crate::folder::{Folder, private_dir};
use crate::predecessor::{self, PidFile};
use crate::supervised::{Supervised, dies_with_its_parent};

/// How long a fast shutdown, which writes everything back, may take.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// How often a starting server is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Whether what was committed must survive a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is on the disk before it is acknowledged.
    Durable,
    /// Nothing waits for the disk. A crash of the machine may destroy the database: for tests.
    Throwaway,
}

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the database, its log and its socket live. Made on first use; must be empty or one of ours.
    pub folder: PathBuf,
    /// What a crash of the machine may cost.
    pub durability: Durability,
    /// The most connections at one time.
    pub max_connections: u32,
    /// Further settings of the server as in `postgresql.conf`, name and value; they win over the ones made here, but for
    /// those that keep the server off the network.
    pub settings: Vec<(String, String)>,
    /// How long the server may take until it answers, recovery after a crash included.
    pub start_timeout: Duration,
}

impl Options {
    /// The usual: 100 connections, two minutes to start.
    pub fn new(folder: impl Into<PathBuf>, durability: Durability) -> Self {
        Self {
            folder: folder.into(),
            durability,
            max_connections: 100,
            settings: Vec::new(),
            start_timeout: Duration::from_secs(120),
        }
    }
}

/// A running server, owned by this process: it stops with [`EmbeddedPostgres::shutdown`], when this is dropped,
/// and when the process ends.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    folder: Folder,
    connection: Connection,
    binaries: Binaries,
    server: Supervised,
    /// Stops the server when we die, where the kernel does not.
    watcher: Option<Supervised>,
    stopped: bool,
    /// Makes us the folder's owner for as long as it is open: closed last.
    _lock: File,
}

/// A server that is ours, or that of the folder's present owner.
#[derive(Debug)]
pub enum Session {
    /// Started by and for us.
    Own(EmbeddedPostgres),
    /// Another process owns the folder and runs the server; it may stop it at any time.
    Joined(Connection),
}

impl Session {
    /// How to reach the server.
    pub fn connection(&self) -> &Connection {
        match self {
            Self::Own(server) => server.connection(),
            Self::Joined(connection) => connection,
        }
    }
}

impl EmbeddedPostgres {
    /// Starts a server, making its database on first use, and returns when it answers. Blocks the thread.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process owns the folder; the other kinds say what the system lacks or refused.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let folder = Folder::at(&options.folder)?;
        let lock = folder.lock()?;
        let account = Account::choose(folder.path(), &folder.data())?;
        account.check_reach(folder.path())?;
        let binaries = Binaries::find(folder.cluster_version())?;
        predecessor::stop(&folder)?;
        if folder.cluster_version().is_none() {
            create_cluster(&folder, &account, &binaries, options)?;
        }
        let socket_dir = folder.prepare_socket_dir(&account)?;
        let (server, watcher) = spawn(&folder, &account, &binaries, options, &socket_dir)?;
        let connection = Connection::new(socket_dir);
        let started = Self {
            folder,
            connection,
            binaries,
            server,
            watcher,
            stopped: false,
            _lock: lock,
        };
        started.wait_until_ready(options.start_timeout)?;
        tracing::info!(
            folder = %started.folder.path().display(), version = started.binaries.major,
            pid = started.server.id(), "embedded Postgres is ready"
        );
        Ok(started)
    }

    /// Starts a server, or joins the one that the folder's owner runs, waiting for it to be ready where
    /// it is just starting: for commands that must work beside a running service as well as without.
    ///
    /// # Errors
    /// As of [`Self::start`], and [`Error::InUse`] when the owner's server does not get ready within the options' time.
    pub fn start_or_join(options: &Options) -> Result<Session, Error> {
        let began = Instant::now();
        loop {
            let refusal = match Self::start(options) {
                Ok(server) => return Ok(Session::Own(server)),
                Err(refusal @ Error::InUse { .. }) => refusal,
                Err(error) => return Err(error),
            };
            match Self::connect_info(&options.folder) {
                Ok(connection) => return Ok(Session::Joined(connection)),
                Err(_) if began.elapsed() < options.start_timeout => {
                    std::thread::park_timeout(LOOK_INTERVAL);
                }
                Err(_) => return Err(refusal),
            }
        }
    }

    /// How to reach the server that the folder's owner runs.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when there is none, or it is still starting or already stopping.
    pub fn connect_info(folder: &Path) -> Result<Connection, Error> {
        let folder = Folder::at(folder)?;
        let data = folder.data();
        let ready = PidFile::read(&data)
            .filter(|file| file.ready)
            .is_some_and(|file| predecessor::working_in(&data).contains(&file.pid));
        match ready {
            true => Ok(Connection::new(folder.socket_dir())),
            false => Err(Error::NotRunning {
                folder: folder.path().to_owned(),
            }),
        }
    }

    /// How to reach the server; may outlive this value, unlike the server.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The folder that holds the server's socket: the `host` of libpq.
    pub fn socket_dir(&self) -> &Path {
        self.connection.socket_dir()
    }

    /// The address of `database` for the role `user`.
    pub fn url(&self, user: &str, database: &str) -> String {
        self.connection.url(user, database)
    }

    /// The address of `database` for the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        self.connection.superuser_url(database)
    }

    /// The server's process: its id, and whether it still runs.
    pub fn server(&self) -> &Supervised {
        &self.server
    }

    /// The path of one of PostgreSQL's programs, of the server's own version: `psql`, `pgbench`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.program(name)
    }

    /// Creates a database unless it exists.
    ///
    /// # Errors
    /// When `psql` is missing or refuses.
    pub fn ensure_database(&self, name: &str) -> Result<(), Error> {
        // psql reads variables such as :'name' in its input, not in -c.
        let exists = "SELECT FROM pg_database WHERE datname = :'name'";
        let create = "SELECT format('CREATE DATABASE %I', :'name')";
        let script = format!("{create} WHERE NOT EXISTS ({exists}) \\gexec\n");
        let program = self.program("psql");
        let mut psql = Command::new(&program);
        psql.args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            &format!("name={name}"),
        ]);
        psql.args(["-d", &self.superuser_url("postgres")]);
        psql.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = psql.spawn().map_err(Error::io("start", &program))?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(script.as_bytes())
                .map_err(Error::io("write to", &program))?;
        }
        let output = child
            .wait_with_output()
            .map_err(Error::io("wait for", &program))?;
        succeeded("psql", &output)
    }

    /// Stops the server: open transactions are rolled back, everything committed is written back. Blocks the thread.
    ///
    /// # Errors
    /// [`Error::DidNotStop`] when it had to be killed.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.stopped, true) {
            return Ok(());
        }
        self.signal(Signal::INT)?;
        let ended = self.server.wait_timeout(STOP_PATIENCE).is_some();
        if !ended {
            // Immediate: the workers stop too, which a kill would leave behind.
            self.signal(Signal::QUIT)?;
            if self.server.wait_timeout(Duration::from_secs(10)).is_none() {
                self.signal(Signal::KILL)?;
                self.server.wait_timeout(Duration::from_secs(10));
            }
        }
        if let Some(watcher) = &self.watcher {
            // It ends by itself at the latest with us.
            let _ = watcher.signal(Signal::KILL);
        }
        self.folder.remove_short_socket_dir();
        let folder = self.folder.path().to_owned();
        if ended {
            Ok(())
        } else {
            Err(Error::DidNotStop {
                folder,
                seconds: STOP_PATIENCE.as_secs(),
            })
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.server.signal(signal).map_err(|source| Error::Io {
            action: format!("signal the server, process {}", self.server.id()),
            source,
        })
    }

    fn wait_until_ready(&self, patience: Duration) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let file = PidFile::read(&self.folder.data());
            if file.is_some_and(|file| file.ready && file.pid == self.server.id()) {
                return Ok(());
            }
            let reason = match self.server.wait_timeout(LOOK_INTERVAL) {
                Some(status) => format!("it ended with {status}"),
                None if began.elapsed() > patience => {
                    format!("it was not ready after {} s", patience.as_secs())
                }
                None => continue,
            };
            return Err(Error::DidNotStart {
                folder: self.folder.path().to_owned(),
                reason,
                log: self.folder.log(),
                tail: self.folder.log_tail(),
            });
        }
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "stopping the embedded Postgres");
        }
    }
}

/// Makes the cluster aside and moves it to its place, so that one half made is never used.
fn create_cluster(
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
    let mut command =
        dies_with_its_parent(&initdb, "KILL").unwrap_or_else(|| Command::new(&initdb));
    command
        .arg("-D")
        .arg(&unfinished)
        .arg(format!("--username={SUPERUSER}"));
    command.args([
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
        "--no-instructions",
    ]);
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
fn spawn(
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
    command
        .stdout(log.try_clone().map_err(Error::io("open", &folder.log()))?)
        .stderr(log);
    // A Ctrl-C at the terminal is for the owner, who stops the server when it needs it no more.
    command.process_group(0);
    let server = Supervised::spawn(command).map_err(Error::io("start", &postgres))?;
    let watcher = needs_watcher.then(|| watch(&server)).transpose()?;
    Ok((server, watcher))
}

/// A shell that stops the server once our end of its standard input closes, as it does when we die.
fn watch(server: &Supervised) -> Result<Supervised, Error> {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "trap '' INT TERM HUP; read -r _; kill -INT \"$1\"",
        "sh",
    ]);
    command
        .arg(server.id().to_string())
        .current_dir("/")
        .process_group(0);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
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
    let durable = if options.durability == Durability::Durable {
        "on"
    } else {
        "off"
    };
    settings.extend(
        ["fsync", "synchronous_commit", "full_page_writes"].map(|name| owned((name, durable))),
    );
    settings.push((
        "max_connections".to_owned(),
        options.max_connections.to_string(),
    ));
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
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/")
        .stdin(Stdio::null());
    for kept in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
}

fn succeeded(program: &str, output: &Output) -> Result<(), Error> {
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
