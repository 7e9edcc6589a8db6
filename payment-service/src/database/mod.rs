//! Reaching Postgres: the pool, the schema's version, the roles, and the server of our own where nobody gives us one.

mod embedded;
mod role;
mod schema;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};

pub use embedded::{APP_ROLE, DATABASE, EmbeddedDatabase, OWNER_ROLE};
pub use role::{Roles, may_alter_the_ledger, setup};
pub(crate) use schema::privileges;
pub use schema::{SchemaDifference, check_schema, migrate, schema_difference};

/// What can be wrong with the database before there is a request.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It fails or refuses.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    /// The address is none. It may hold a password and is not repeated.
    #[error("the database's address is not one such as postgres://user:password@host:5432/database")]
    Address(#[source] sqlx::Error),
    /// It cannot be reached, or lets us not in.
    #[error("no connection to the database {0}")]
    Connect(String, #[source] sqlx::Error),
    /// A migration failed; it left nothing behind.
    #[error("a migration failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The schema is another than this program was written for.
    #[error("{0}")]
    Schema(SchemaDifference),
    /// The application's role must exist before it can be granted anything.
    #[error(
        "the role {0:?} does not exist: run `payment-service setup`, or name the application's role with --app-role"
    )]
    NoSuchRole(String),
    /// Whoever owns the tables may do everything with them.
    #[error("the application's role {0:?} must be another than the one that migrates, which owns the tables")]
    RoleOwnsTables(String),
    /// Our own server could not be started or joined.
    #[error("the embedded Postgres cannot be used")]
    Embedded(#[from] embedded_postgres::Error),
    /// A task that blocked a thread was lost.
    #[error("a task ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

/// How the pool behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the connections are called in `pg_stat_activity`.
    pub application_name: String,
    /// How many there are at most. More than eight for each core of the server make it slower: whoever has more work
    /// waits in a batcher.
    pub max_connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement waits for a lock.
    pub lock_timeout: Duration,
    /// How long a statement runs.
    pub statement_timeout: Duration,
    /// How long a transaction is left open by a client that does nothing.
    pub idle_in_transaction_timeout: Duration,
}

impl Settings {
    /// The usual, for connections called `application_name`.
    pub fn new(application_name: impl Into<String>) -> Self {
        Self {
            application_name: application_name.into(),
            max_connections: default_connections(),
            acquire_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(10),
        }
    }
}

/// Eight for each core, at most 64: a server of its own may have fewer cores than we do.
pub fn default_connections() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores.saturating_mul(8)).unwrap_or(64).min(64)
}

/// A pool that reached the database once.
///
/// # Errors
/// When the address is malformed, or the database cannot be reached within the time to acquire a connection.
pub async fn connect(url: &str, settings: &Settings) -> Result<PgPool, DatabaseError> {
    let options = connect_options(url.parse().map_err(DatabaseError::Address)?, settings);
    let refused = match pool_options(settings).connect_with(options.clone()).await {
        Ok(pool) => return Ok(pool),
        // The pool tries again and again and says only that it gave up: one more try says why.
        Err(sqlx::Error::PoolTimedOut) => {
            let tried = tokio::time::timeout(settings.acquire_timeout, options.connect()).await;
            tried.ok().and_then(Result::err).unwrap_or(sqlx::Error::PoolTimedOut)
        }
        Err(error) => error,
    };
    Err(DatabaseError::Connect(whereabouts(&options), refused))
}

/// Which database this is, and where, without what is secret.
fn whereabouts(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(folder) => format!("{database} in {}", folder.display()),
        None => format!("{database} at {}:{}", options.get_host(), options.get_port()),
    }
}

/// A pool beside `pool` for the statements of every payment, and of those who look for work. They are planned once, and by
/// their indexes: the tables may be empty when that happens, and a plan made for each batch would cost more than the batch.
/// Transactions on it are begun only in tasks that nobody cancels: it does without the round trip of `roll_back_on_release`.
pub fn hot_pool(pool: &PgPool, connections: u32) -> PgPool {
    let options = (*pool.connect_options()).clone();
    let settings = Settings { max_connections: connections, ..Settings::new("payment-service hot") };
    let planned_once = [
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        // looking a row up is not worth remembering: no statement looks for one twice
        ("enable_memoize", "off"),
        ("jit", "off"),
    ];
    base_pool_options(&settings).connect_lazy_with(options.options(planned_once))
}

/// How many lists are read at one time.
const READING_CONNECTIONS: u32 = 4;

/// A pool beside `pool` for lists and sums, whose cost is the caller's choice: they wait for each other and not for
/// what moves money, tells whether the service is ready or takes webhooks. Whoever waits for too long, or asks for too
/// much, is refused. Each statement is planned for the filters that it has.
pub fn reading_pool(pool: &PgPool) -> PgPool {
    let settings = Settings {
        max_connections: READING_CONNECTIONS,
        acquire_timeout: Duration::from_secs(2),
        lock_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(5),
        ..Settings::new("payment-service reading")
    };
    let options = connect_options((*pool.connect_options()).clone(), &settings);
    pool_options(&settings).connect_lazy_with(options.options([("plan_cache_mode", "force_custom_plan")]))
}

/// Whether a statement ran for as long as it may.
pub fn took_too_long(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code == "57014"))
}

/// The pool's side of the settings.
fn pool_options(settings: &Settings) -> PgPoolOptions {
    roll_back_on_release(base_pool_options(settings))
}

fn base_pool_options(settings: &Settings) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        // A connection that died in the pool is noticed by its next statement; asking before each costs a round trip.
        .test_before_acquire(false)
}

/// A `begin` that is dropped in the middle leaves its connection inside of a transaction, and what the next borrower
/// commits would be rolled back with it. A rollback by itself would fill the server's log with the warning that there is
/// nothing to roll back; where the transaction has failed, the error closes the connection.
fn roll_back_on_release(options: PgPoolOptions) -> PgPoolOptions {
    options.after_release(|connection, _| {
        Box::pin(async move {
            sqlx::raw_sql("begin; rollback").execute(connection).await?;
            Ok(true)
        })
    })
}

/// The server's side of the settings.
fn connect_options(options: PgConnectOptions, settings: &Settings) -> PgConnectOptions {
    let milliseconds = |duration: Duration| duration.as_millis().to_string();
    options.application_name(&settings.application_name).options([
        ("default_transaction_isolation", "read committed".to_owned()),
        ("lock_timeout", milliseconds(settings.lock_timeout)),
        ("statement_timeout", milliseconds(settings.statement_timeout)),
        ("idle_in_transaction_session_timeout", milliseconds(settings.idle_in_transaction_timeout)),
        ("timezone", "UTC".to_owned()),
    ])
}

/// Whether the same may succeed a moment later: the server cannot be reached, is starting or stopping, has no room, or
/// broke a deadlock. A statement that failed so may have been committed if it was a commit.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

fn is_transient_code(code: &str) -> bool {
    // 08 connection, 53 insufficient resources, 57P0x operator intervention
    ["08", "53", "57P0"].iter().any(|class| code.starts_with(class))
        // serialisation failure, deadlock, lock not available, statement timeout
        || ["40001", "40P01", "55P03", "57014"].contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in ["08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03"] {
            assert!(is_transient_code(code), "{code}");
        }
        for code in ["23505", "23514", "42P01", "42501", "22001", "25P02"] {
            assert!(!is_transient_code(code), "{code}");
        }
        assert!(is_transient(&sqlx::Error::PoolTimedOut));
        assert!(!is_transient(&sqlx::Error::RowNotFound));
    }
}
