//! The server that we run ourselves when nobody gives us one.

use std::path::Path;

use embedded_postgres::{Durability, EmbeddedPostgres, Options, Session};

use super::role::{self, Roles};
use super::{DatabaseError, schema};

/// The role that owns the schema.
pub const OWNER_ROLE: &str = "payonce_owner";
/// The role that the service runs as.
pub const APP_ROLE: &str = "payonce_app";
/// The database.
pub const DATABASE: &str = "payonce";

/// A running server with its roles, and its schema up to date.
#[derive(Debug)]
pub struct EmbeddedDatabase {
    session: Session,
}

impl EmbeddedDatabase {
    /// Starts the server in `folder` and owns it.
    ///
    /// # Errors
    /// [`DatabaseError::Embedded`], when another process owns the folder too; otherwise as of `migrate`.
    pub async fn start(folder: &Path) -> Result<Self, DatabaseError> {
        let options = options(folder);
        let started = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&options)).await??;
        Self::prepare(Session::Own(started)).await
    }

    /// Joins the server that another process runs in `folder`, or starts it for as long as this value lives.
    ///
    /// # Errors
    /// [`DatabaseError::Embedded`]; otherwise as of `migrate`.
    pub async fn start_or_join(folder: &Path) -> Result<Self, DatabaseError> {
        let options = options(folder);
        let session =
            tokio::task::spawn_blocking(move || EmbeddedPostgres::start_or_join(&options)).await??;
        Self::prepare(session).await
    }

    async fn prepare(session: Session) -> Result<Self, DatabaseError> {
        let connection = session.connection();
        let roles = Roles { owner: OWNER_ROLE, app: APP_ROLE, database: DATABASE };
        role::setup(&connection.superuser_url("postgres"), roles).await?;
        schema::migrate(&connection.url(OWNER_ROLE, DATABASE), APP_ROLE).await?;
        Ok(Self { session })
    }

    /// The address of the database for the service's role.
    pub fn url(&self) -> String {
        self.session.connection().url(APP_ROLE, DATABASE)
    }

    /// Stops the server if it is ours. Connections are closed first by those who have them.
    ///
    /// # Errors
    /// [`DatabaseError::Embedded`] when it had to be killed.
    pub async fn shutdown(self) -> Result<(), DatabaseError> {
        match self.session {
            Session::Own(server) => Ok(tokio::task::spawn_blocking(move || server.shutdown()).await??),
            Session::Joined(_) => Ok(()),
        }
    }
}

fn options(folder: &Path) -> Options {
    Options::new(folder, Durability::Durable)
}
