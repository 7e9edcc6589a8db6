//! An installation of payment-service: where its database is, and the commands that set it up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use embedded_postgres::{Connection, EmbeddedPostgres};
use rand::RngCore;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::process::{Ended, Launch, Running};

/// The role that owns the schema.
const OWNER: &str = "payonce_owner";
/// The role that the service runs as.
const APPLICATION: &str = "payonce_app";
/// The database of an embedded server.
const DATABASE: &str = "payonce";

/// Where the database is.
#[derive(Debug, Clone)]
enum Place {
    /// In a server that the service runs itself, in this folder.
    Embedded(PathBuf),
    /// In a server that runs already.
    Server { application_url: String, superuser_url: String, secret_key: String },
}

/// An installation of payment-service.
#[derive(Debug, Clone)]
pub struct Installation {
    place: Place,
    log: PathBuf,
}

/// A merchant that is ready to sell.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Its id.
    pub merchant_id: String,
    /// The secret of a key that may do everything.
    pub api_key: String,
    /// Its account at the PSP.
    pub psp_account_id: String,
    /// What that account's webhooks are signed with.
    pub webhook_secret: String,
    /// What the PSP knows it by.
    pub psp_secret: String,
}

/// A shop to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewShop<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Where its PSP is.
    pub psp_url: &'a str,
    /// What its PSP does about a request that comes twice, as `psp-account create` calls it.
    pub idempotency: &'a str,
}

#[derive(serde::Deserialize)]
struct Made {
    merchant_id: String,
}

#[derive(serde::Deserialize)]
struct Issued {
    secret: String,
}

#[derive(serde::Deserialize)]
struct AccountMade {
    psp_account_id: String,
}

impl Installation {
    /// One with a database of its own in `data_dir`, whose programs complain in the file `log`.
    pub fn embedded(data_dir: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self { place: Place::Embedded(data_dir.into()), log: log.into() }
    }

    /// One with the new database `database` on the server that `superuser_url` leads to: makes its roles and schema.
    ///
    /// # Errors
    /// When one of the commands fails.
    pub fn on_server(superuser_url: &str, database: &str, log: impl Into<PathBuf>) -> Result<Self, Error> {
        let url = |user| with_user_and_database(superuser_url, user, database);
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        let place = Place::Server {
            application_url: url(Some(APPLICATION))?,
            superuser_url: url(None)?,
            secret_key: BASE64_STANDARD.encode(key),
        };
        let made = Self { place, log: log.into() };
        made.command(["setup", "--database", database]).env("PAYONCE_ADMIN_URL", superuser_url).run()?;
        made.command(["migrate"]).env("PAYONCE_ADMIN_URL", url(Some(OWNER))?).run()?;
        Ok(made)
    }

    /// A command of payment-service, told where the database is.
    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Launch {
        self.program("payment-service").args(arguments)
    }

    /// A program of ours, told where the database is.
    pub fn program(&self, name: &'static str) -> Launch {
        let launch = Launch::new(name, &self.log);
        match &self.place {
            Place::Embedded(folder) => launch.env("PAYONCE_DATA_DIR", folder),
            Place::Server { application_url, secret_key, .. } => {
                launch.env("DATABASE_URL", application_url).env("PAYONCE_SECRET_KEY", secret_key)
            }
        }
    }

    /// How to start the service.
    pub fn serve(&self, listen: SocketAddr) -> Launch {
        self.command(["serve", "--listen"]).args([listen.to_string()])
    }

    /// Starts the service. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(&self, listen: SocketAddr) -> Result<Running, Error> {
        self.serve(listen).start()
    }

    /// Runs a command for its answer. Blocks the thread.
    ///
    /// # Errors
    /// When it fails, or answers otherwise than in such JSON.
    pub fn ask<'a, T: DeserializeOwned>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<T, Error> {
        answer(&self.command(arguments).args(["--json"]))
    }

    /// Makes a merchant with a key for everything, and with an account at a PSP. Blocks the thread.
    ///
    /// # Errors
    /// When one of the commands fails.
    pub fn open_shop(&self, new: NewShop<'_>) -> Result<Shop, Error> {
        let merchant: Made = self.ask(["merchant", "create", "--name", new.name, "--mode", "test"])?;
        let id = merchant.merchant_id.as_str();
        let scopes = "payments,finance_read,finance_write,webhooks";
        let key: Issued =
            self.ask(["api-key", "create", "--merchant", id, "--name", "shop", "--scopes", scopes])?;
        let secret = |prefix: &str| format!("{prefix}{}", hex::encode(rand::random::<[u8; 16]>()));
        let (psp_secret, webhook_secret) = (secret("sk_test_"), secret("whsec_"));
        let command = self
            .command(["psp-account", "create", "--merchant", id, "--psp", "stripe", "--name", "sandbox"])
            .args(["--base-url", new.psp_url, "--idempotency", new.idempotency, "--json"])
            .args(["--api-secret-env", "API_SECRET", "--webhook-secret-env", "WEBHOOK_SECRET"])
            .env("API_SECRET", &psp_secret)
            .env("WEBHOOK_SECRET", &webhook_secret);
        let account: AccountMade = answer(&command)?;
        let (merchant_id, psp_account_id) = (merchant.merchant_id, account.psp_account_id);
        Ok(Shop { merchant_id, api_key: key.secret, psp_account_id, webhook_secret, psp_secret })
    }

    /// Runs a program that may say no. Blocks the thread.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn try_command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<Ended, Error> {
        self.command(arguments).outcome()
    }

    /// The database's address for the superuser, for a look past the service. An embedded server must be running.
    ///
    /// # Errors
    /// When it is not.
    pub fn superuser_url(&self) -> Result<String, Error> {
        match &self.place {
            Place::Server { superuser_url, .. } => Ok(superuser_url.clone()),
            Place::Embedded(_) => Ok(self.embedded_connection()?.superuser_url(DATABASE)),
        }
    }

    fn embedded_connection(&self) -> Result<Connection, Error> {
        let folder = self.postgres_folder().unwrap_or_default();
        Ok(EmbeddedPostgres::connect_info(&folder)?)
    }

    /// The folder of the embedded server; none where the server is another's.
    pub fn postgres_folder(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Embedded(folder) => Some(folder.join("postgres")),
            Place::Server { .. } => None,
        }
    }

    /// Where its programs complain.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

fn answer<T: DeserializeOwned>(launch: &Launch) -> Result<T, Error> {
    let said = launch.run()?;
    serde_json::from_str(&said)
        .map_err(|error| Error::Unexpected(format!("{launch} answered {said:?}: {error}")))
}

/// The same server's address for another database and, where one is named, another role.
fn with_user_and_database(url: &str, user: Option<&str>, database: &str) -> Result<String, Error> {
    let invalid = || Error::Unexpected("DATABASE_URL is not a Postgres address".to_owned());
    let mut url = reqwest::Url::parse(url).map_err(|_| invalid())?;
    url.set_path(&format!("/{database}"));
    if let Some(user) = user {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "user")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs).append_pair("user", user);
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::with_user_and_database;

    #[test]
    fn an_address_is_turned_to_another_role_and_database() {
        let url = "postgres:///payonce?host=/tmp/a%20b&port=5432&user=postgres&sslmode=disable";
        assert_eq!(
            with_user_and_database(url, Some("payonce_app"), "it_1").unwrap(),
            "postgres:///it_1?host=%2Ftmp%2Fa+b&port=5432&sslmode=disable&user=payonce_app"
        );
        assert_eq!(
            with_user_and_database(url, None, "it_1").unwrap(),
            "postgres:///it_1?host=/tmp/a%20b&port=5432&user=postgres&sslmode=disable"
        );
    }
}
