//! What the programs can be told, by arguments and by the environment. Parsed once, at the start.

use std::env::VarError;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::zeroize::Zeroizing;
use sqlx::PgPool;

use crate::database::{self, DatabaseError, EmbeddedDatabase, Settings};
use crate::merchant::{KeyRing, SealError};

/// The environment's variable with the secret keys; there is no argument for it, which others could see.
pub const SECRET_KEY_VARIABLE: &str = "PAYONCE_SECRET_KEY";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Two values do not go together.
    #[error("{0}")]
    Inconsistent(String),
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The secret key is missing or malformed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Which database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// Address of the Postgres database, for the role that the service runs as. Without it the program runs a Postgres
    /// server of its own in the data folder
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// Folder of the embedded server and of its secret key. Without it: /var/lib/payonce as root, else payonce in
    /// $XDG_DATA_HOME or in ~/.local/share
    #[arg(long, env = "PAYONCE_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// Connections at most; more than about eight for each core of the server make it slower
    #[arg(long, env = "PAYONCE_DATABASE_CONNECTIONS", value_name = "NUMBER", default_value_t = database::default_connections(),
        value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
}

/// How a database is opened that we run ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedding {
    /// The process owns the server, or does not start.
    Own,
    /// A server that is running is joined.
    Join,
}

/// A database that was opened: its schema fits.
#[derive(Debug)]
pub struct OpenDatabase {
    /// Connections as the service's role.
    pub pool: PgPool,
    /// The server, where it is ours.
    pub embedded: Option<EmbeddedDatabase>,
}

impl OpenDatabase {
    /// Closes the connections, then stops the server where it is ours.
    ///
    /// # Errors
    /// When the server had to be killed.
    pub async fn close(self) -> Result<(), DatabaseError> {
        self.pool.close().await;
        match self.embedded {
            Some(server) => server.shutdown().await,
            None => Ok(()),
        }
    }
}

impl DatabaseArgs {
    /// Opens the database, starting or joining an embedded server where none is named, and checks its schema.
    ///
    /// # Errors
    /// [`ConfigError::Database`].
    pub async fn open(
        &self,
        application_name: &str,
        embedding: Embedding,
    ) -> Result<OpenDatabase, ConfigError> {
        let settings =
            Settings { max_connections: self.database_connections, ..Settings::new(application_name) };
        let (url, embedded) = match (&self.database_url, embedding) {
            (Some(url), _) => (url.clone(), None),
            (None, Embedding::Own) => started(EmbeddedDatabase::start(&self.postgres_folder()).await?),
            (None, Embedding::Join) => {
                started(EmbeddedDatabase::start_or_join(&self.postgres_folder()).await?)
            }
        };
        let pool = database::connect(&url, &settings).await?;
        database::check_schema(&pool).await?;
        Ok(OpenDatabase { pool, embedded })
    }

    /// The folder of the embedded server and of its secret key.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| {
            let postgres = embedded_postgres::default_folder("payonce");
            postgres.parent().map_or(postgres.clone(), Path::to_owned)
        })
    }

    fn postgres_folder(&self) -> PathBuf {
        self.data_dir().join("postgres")
    }
}

fn started(embedded: EmbeddedDatabase) -> (String, Option<EmbeddedDatabase>) {
    (embedded.url(), Some(embedded))
}

/// The keys that PSP secrets are sealed with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretKeyArgs {
    /// File with the key that PSP secrets are sealed with in the database: 32 random bytes in base64 (openssl rand
    /// -base64 32). Several keys, one a line: the first seals, all open. The variable PAYONCE_SECRET_KEY can hold them
    /// instead. With the embedded server a key is made in the data folder
    #[arg(long, env = "PAYONCE_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

impl SecretKeyArgs {
    /// The keys: of the variable, else of the file, else with an embedded server those of its folder, made on first use.
    ///
    /// # Errors
    /// [`ConfigError::Seal`], [`ConfigError::File`].
    pub fn key_ring(&self, database: &DatabaseArgs) -> Result<KeyRing, ConfigError> {
        match std::env::var(SECRET_KEY_VARIABLE).map(Zeroizing::new) {
            Ok(text) => return Ok(KeyRing::parse(&text)?),
            // whoever set it meant it: another key in its place would open nothing
            Err(VarError::NotUnicode(_)) => return Err(SealError::MalformedKey { position: 1 }.into()),
            Err(VarError::NotPresent) => {}
        }
        let path = match (&self.secret_key_file, &database.database_url) {
            (Some(path), _) => path.clone(),
            (None, Some(_)) => return Err(SealError::NoKey.into()),
            (None, None) => {
                let path = database.data_dir().join("secret.key");
                make_key(&path).map_err(|source| ConfigError::File {
                    action: "make",
                    path: path.clone(),
                    source,
                })?;
                path
            }
        };
        let text = std::fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.map_err(|source| ConfigError::File { action: "read", path, source })?;
        Ok(KeyRing::parse(&text)?)
    }
}

/// Makes the file with a fresh key unless it exists. Several may do it at once: the file appears whole, and one's key
/// is everybody's.
fn make_key(path: &Path) -> std::io::Result<()> {
    use std::io::{ErrorKind, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;

    if path.exists() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let key = KeyRing::generate().map_err(std::io::Error::other)?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", key.as_str())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The log, on standard error.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How its lines look
    #[arg(long, env = "PAYONCE_LOG_FORMAT", value_name = "FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by module as in `info,payment_service=debug`
    #[arg(long, env = "PAYONCE_LOG", value_name = "FILTER", global = true)]
    pub log: Option<String>,
}

/// The service.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one. The address is printed on standard output once requests are taken
    #[arg(long, env = "PAYONCE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Payments being worked on at one time; more are refused with 503 before anything is begun
    #[arg(long, env = "PAYONCE_IN_FLIGHT", value_name = "NUMBER", default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub in_flight: u32,

    /// Callers connected at one time; more wait to be accepted. Each takes a file descriptor, of which the system must
    /// allow so many
    #[arg(long, env = "PAYONCE_CONNECTIONS", value_name = "NUMBER", default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,

    #[command(flatten)]
    #[allow(missing_docs, reason = "its text would become the help of the whole command")]
    pub database: DatabaseArgs,

    #[command(flatten)]
    #[allow(missing_docs, reason = "its text would become the help of the whole command")]
    pub secret_key: SecretKeyArgs,

    #[command(flatten)]
    #[allow(missing_docs, reason = "its text would become the help of the whole command")]
    pub times: Times,

    /// Kafka's brokers, as host:port,host:port. Without them events stay in the outbox
    #[arg(long, env = "PAYONCE_KAFKA_BROKERS", value_name = "BROKERS", help_heading = "Events")]
    pub kafka_brokers: Option<String>,

    /// The topic that events of payments are published to
    #[arg(
        long,
        env = "PAYONCE_KAFKA_TOPIC",
        value_name = "TOPIC",
        default_value = "payonce.payments",
        help_heading = "Events"
    )]
    pub kafka_topic: String,
}

/// How long things may take: `500ms`, `10s`, `2h`, `30days`.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Times")]
pub struct Times {
    /// How long a caller waits for the PSP before it is answered 202 and the payment goes on without it
    #[arg(long, env = "PAYONCE_PATIENCE", value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub patience: Duration,

    /// How long asking a PSP may take in all, retries included; shorter than the lease
    #[arg(long, env = "PAYONCE_PSP_DEADLINE", value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub psp_deadline: Duration,

    /// How long an operation belongs to the process that took it; then another may take it over
    #[arg(long, env = "PAYONCE_LEASE", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub lease: Duration,

    /// How long a request may take in all; longer than the patience
    #[arg(long, env = "PAYONCE_REQUEST_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub request_timeout: Duration,

    /// How long a buyer who has to act (3-D Secure) may take, before the payment is cancelled at the PSP and expires
    #[arg(long, env = "PAYONCE_ACTION_WINDOW", value_name = "TIME", default_value = "1day", value_parser = duration)]
    pub action_window: Duration,

    /// How long an operation may stay in doubt before a person is asked
    #[arg(long, env = "PAYONCE_REVIEW_AFTER", value_name = "TIME", default_value = "3days", value_parser = duration)]
    pub review_after: Duration,

    /// How long a shutdown waits for what is in flight
    #[arg(long, env = "PAYONCE_GRACE", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub grace: Duration,

    /// How long idempotency keys are kept, at least a day
    #[arg(long, env = "PAYONCE_IDEMPOTENCY_RETENTION", value_name = "TIME", default_value = "7days",
        value_parser = duration)]
    pub idempotency_retention: Duration,

    /// How long Kafka may take to acknowledge an event. What a relay was publishing when it died another takes over after three
    /// times as long
    #[arg(long, env = "PAYONCE_KAFKA_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub kafka_timeout: Duration,
}

impl Times {
    /// Refuses times that do not go together.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`], naming both.
    pub fn check(&self) -> Result<(), ConfigError> {
        let day = Duration::from_secs(24 * 60 * 60);
        let rules = [
            (self.psp_deadline < self.lease, "the PSP deadline must be shorter than the lease"),
            (self.patience < self.request_timeout, "the patience must be shorter than the request time-out"),
            (self.action_window >= self.lease, "a buyer must have at least the lease to act"),
            (self.idempotency_retention >= day, "idempotency keys must be kept for at least a day"),
            (!self.psp_deadline.is_zero(), "the PSP deadline must be longer than nothing"),
            // which librdkafka would take for "for ever"
            (self.kafka_timeout.as_millis() > 0, "Kafka must have at least a millisecond"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(ConfigError::Inconsistent(rule.to_owned())),
            None => Ok(()),
        }
    }
}

/// Reads `500ms`, `10s`, `1h 30m`, `90d`.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("expected a time such as 500ms, 10s, 2h or 90d: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/secret.key");
        make_key(&path).unwrap();
        let made = std::fs::read_to_string(&path).unwrap();
        make_key(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), made);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
        KeyRing::parse(&made).unwrap();
    }

    #[test]
    fn times_that_do_not_go_together_are_refused() {
        let second = Duration::from_secs;
        let sound = Times {
            patience: second(10),
            psp_deadline: second(30),
            lease: second(60),
            request_timeout: second(30),
            action_window: second(60),
            review_after: second(60),
            grace: second(30),
            idempotency_retention: second(86_400),
            kafka_timeout: second(5),
        };
        sound.check().unwrap();
        for wrong in [
            Times { psp_deadline: second(60), ..sound },
            Times { patience: second(30), ..sound },
            Times { idempotency_retention: second(86_399), ..sound },
            Times { psp_deadline: second(0), ..sound },
            Times { action_window: second(59), ..sound },
            Times { kafka_timeout: Duration::from_micros(999), ..sound },
        ] {
            assert!(matches!(wrong.check(), Err(ConfigError::Inconsistent(_))), "{wrong:?}");
        }
    }
}
