//! The Postgres under the services: crashed and started again, and out of disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use embedded_postgres::{Durability, EmbeddedPostgres, Options};
use rustix::process::Signal;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::wire::Wire;
use crate::Error;

/// How long a server may take to end.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to recover.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take until a server notices that its disk is full.
const FULL_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A file that is always full: to write to it fails with ENOSPC, for whoever tries.
const FULL: &str = "/dev/full";
/// What Postgres says of that.
const NO_SPACE: &str = "No space left on device";
/// More than three services take, and room for those who look.
const CONNECTIONS: u32 = 150;

/// A server of our own.
#[derive(Debug)]
pub struct Postgres {
    options: Options,
    server: Option<EmbeddedPostgres>,
    socket: PathBuf,
    superuser_url: String,
}

impl Postgres {
    /// Starts one in a folder. Blocks the thread.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(folder: PathBuf) -> Result<Self, Error> {
        let options = Options { max_connections: CONNECTIONS, ..Options::new(folder, Durability::Durable) };
        let server = EmbeddedPostgres::start(&options)?;
        let (socket, superuser_url) = (server.socket_dir().to_owned(), server.superuser_url("postgres"));
        Ok(Self { options, server: Some(server), socket, superuser_url })
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where it leads over `wire`, for the superuser.
    ///
    /// # Errors
    /// When that is no address.
    pub fn url_over(&self, wire: &Wire) -> Result<String, Error> {
        let invalid = |error| Error::Unexpected(format!("the address of Postgres: {error:?}"));
        let mut url = reqwest::Url::parse(&self.superuser_url).map_err(|error| invalid(error.to_string()))?;
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "host")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let host = wire.folder().to_string_lossy();
        url.query_pairs_mut().clear().extend_pairs(kept).append_pair("host", &host);
        Ok(url.into())
    }

    /// Connections of ours to one of its databases, which survive its restarts.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn pool(&self, database: &str) -> Result<PgPool, Error> {
        let url = self.server.as_ref().map(|server| server.superuser_url(database)).unwrap_or_default();
        Ok(PgPoolOptions::new().max_connections(4).connect(&url).await?)
    }

    /// Ends it at once, without a checkpoint or a word to anybody, and starts it again. Blocks the thread.
    ///
    /// # Errors
    /// When it does not end or start.
    pub fn crash(&mut self) -> Result<(), Error> {
        if let Some(server) = self.server.take() {
            server.server().signal(Signal::QUIT).map_err(Error::io("signal Postgres"))?;
            if server.server().wait_timeout(END_PATIENCE).is_none() {
                return Err(Error::Unexpected("Postgres does not end".to_owned()));
            }
        }
        self.server = Some(EmbeddedPostgres::start(&self.options)?);
        Ok(())
    }

    /// Fills the disk that its log is on, as far as it can tell, for a while: its next segment is the kernel's device that
    /// is always full, so that its own writes fail with ENOSPC. It panics, tries to recover, and panics again for want of
    /// space; once there is space again, it comes back by itself. Answers how often it complained.
    ///
    /// # Errors
    /// When it does not notice, or does not come back.
    pub async fn fill_disk(&self, pool: &PgPool, time: Duration) -> Result<usize, Error> {
        let before = self.complaints();
        let segment = next_segment(pool).await?;
        let segment = self.options.folder.join("data/pg_wal").join(segment);
        let link = segment.with_extension("full");
        symlink(FULL, &link)
            .and_then(|()| fs::rename(&link, &segment))
            .map_err(Error::io("fill the disk"))?;
        // who asks for it loses the connection; otherwise the next to write does
        let _ = sqlx::query("select pg_switch_wal()").execute(pool).await;
        let until = Instant::now() + FULL_PATIENCE;
        while self.complaints() == before && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(time).await;
        fs::remove_file(&segment).map_err(Error::io("make space"))?;
        let complaints = self.complaints() - before;
        let until = Instant::now() + START_PATIENCE;
        while let Err(error) = sqlx::query("select 1").execute(pool).await {
            if Instant::now() >= until {
                return Err(error.into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(complaints)
    }

    /// How often it said that there is no space.
    fn complaints(&self) -> usize {
        let log = fs::read(self.options.folder.join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).matches(NO_SPACE).count()
    }

    /// Ends it in order. Blocks the thread.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> Result<(), Error> {
        Ok(self.server.take().map_or(Ok(()), EmbeddedPostgres::shutdown)?)
    }
}

/// The name of the segment of the log that comes after the present one.
async fn next_segment(pool: &PgPool) -> Result<String, Error> {
    // 256 segments of 16 MB have a number of their own
    let query = "select pg_walfile_name(pg_current_wal_insert_lsn() + 16 * 1024 * 1024)";
    Ok(sqlx::query_scalar(query).fetch_one(pool).await?)
}
