//! Starting, reaching and stopping the server.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::account::Account;
use crate::binaries::Binaries;
use crate::connection::Connection;
use crate::folder::{Folder, Lock};
use crate::predecessor::{self, PidFile};
use crate::supervised::Supervised;
use crate::{Error, launch};

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
    _lock: Lock,
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
            launch::create_cluster(&folder, &account, &binaries, options)?;
        }
        let socket_dir = folder.prepare_socket_dir(&account)?;
        let (server, watcher) = launch::spawn(&folder, &account, &binaries, options, &socket_dir)?;
        let connection = Connection::new(socket_dir);
        let started = Self { folder, connection, binaries, server, watcher, stopped: false, _lock: lock };
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
            false => Err(Error::NotRunning { folder: folder.path().to_owned() }),
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
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", &format!("name={name}")]);
        psql.args(["-d", &self.superuser_url("postgres")]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().map_err(Error::io("start", &program))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes()).map_err(Error::io("write to", &program))?;
        }
        let output = child.wait_with_output().map_err(Error::io("wait for", &program))?;
        launch::succeeded("psql", &output)
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
        if ended { Ok(()) } else { Err(Error::DidNotStop { folder, seconds: STOP_PATIENCE.as_secs() }) }
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
