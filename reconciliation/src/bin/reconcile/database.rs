use std::path::{Path, PathBuf};

use embedded_postgres::{EmbeddedPostgres, default_folder};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::args::Books;

/// The role and the database that a service makes in a server of its own.
const ROLE: &str = "payonce_app";
const DATABASE: &str = "payonce";

/// Connections: one per task that settles, and one to spare.
const CONNECTIONS: u32 = 4;

/// Whoever pays waits for the sellers' balances that a chunk has locked: a run that is suspended must not hold them.
const PATIENCE: [(&str, &str); 4] = [
    ("default_transaction_isolation", "read committed"),
    ("lock_timeout", "30s"),
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no database: give --database-url, or --data-dir of a running service")]
    NotRunning(#[source] embedded_postgres::Error),
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
}

pub async fn connect(books: &Books) -> Result<PgPool, Error> {
    let url = match &books.database_url {
        Some(url) => url.clone(),
        None => EmbeddedPostgres::connect_info(&postgres_folder(books))
            .map_err(Error::NotRunning)?
            .url(ROLE, DATABASE),
    };
    let options: PgConnectOptions = url.parse().map_err(Error::Unreachable)?;
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect_with(options.application_name("payonce reconcile").options(PATIENCE))
        .await
        .map_err(Error::Unreachable)
}

/// Where the service keeps its server.
fn postgres_folder(books: &Books) -> PathBuf {
    let data = books.data_dir.clone().unwrap_or_else(|| {
        let postgres = default_folder("payonce");
        postgres.parent().map_or(postgres.clone(), Path::to_owned)
    });
    data.join("postgres")
}
