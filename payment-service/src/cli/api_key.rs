//! `api-key`

use std::time::Duration;

use clap::{Args, Subcommand};
use money::{ApiKeyId, MerchantId};
use serde::Serialize;
use time::OffsetDateTime;

use super::CliError;
use super::output::{OutputArgs, table};
use crate::config::{DatabaseArgs, Embedding, OpenDatabase, duration};
use crate::merchant::{ApiKey, Issued, NewApiKey, Scope, api_key};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an API key and print it, once: only its hash is kept. Two keys of a name may be live, for a rotation
    Create(Create),
    /// List a merchant's API keys, without their secrets
    List {
        #[command(flatten)]
        of: Of,
    },
    /// End an API key; running services refuse it within five seconds
    Revoke {
        /// The key, by its id
        #[arg(long, value_name = "ID")]
        api_key: ApiKeyId,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// The merchant, by its id
    #[arg(long, value_name = "ID")]
    merchant: MerchantId,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Of {
    async fn open(&self) -> Result<OpenDatabase, CliError> {
        Ok(self.database.open("payonce api-key", Embedding::Join).await?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What the key is for
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do: payments, finance_read, finance_write, webhooks
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// After which time it is refused, as in 90d; never without this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    of: Of,
}

/// The answer of `create`.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    key: &'a ApiKey,
    secret: &'a str,
}

#[derive(Serialize)]
struct Revoked {
    api_key_id: ApiKeyId,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List { of } => {
                let database = of.open().await?;
                let found = api_key::list(&database.pool, of.merchant).await;
                database.close().await?;
                let found = found?;
                of.output.print(&found, || listed(&found))
            }
            Self::Revoke { api_key, of } => {
                let database = of.open().await?;
                let revoked = api_key::revoke(&database.pool, of.merchant, api_key).await;
                database.close().await?;
                revoked?;
                of.output.print(&Revoked { api_key_id: api_key }, String::new)
            }
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), CliError> {
        let expires_at =
            self.expires_in.map(|time| OffsetDateTime::now_utc().checked_add(time.try_into().ok()?));
        let expires_at = match expires_at {
            Some(None) => return Err(too_long()),
            Some(at) => at,
            None => None,
        };
        let database = self.of.open().await?;
        let new = NewApiKey {
            merchant_id: self.of.merchant,
            name: &self.name,
            scopes: self.scopes.iter().copied().collect(),
            expires_at,
        };
        let issued = api_key::issue(&database.pool, new).await;
        database.close().await?;
        let issued: Issued = issued?;
        let shown = Shown { key: &issued.key, secret: issued.reveal() };
        self.of.output.print(&shown, || shown.secret.to_owned())
    }
}

fn too_long() -> CliError {
    CliError::Argument { argument: "--expires-in", expected: "expected a shorter time".to_owned() }
}

fn listed(keys: &[ApiKey]) -> String {
    let now = OffsetDateTime::now_utc();
    let row = |key: &ApiKey| {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {}", at.date()),
            (None, Some(at)) if at <= now => format!("expired {}", at.date()),
            (None, Some(at)) => format!("live until {}", at.date()),
            (None, None) => "live".to_owned(),
        };
        [key.api_key_id.to_string(), state, key.scopes.to_string(), key.name.clone()]
    };
    table(["API KEY", "STATE", "SCOPES", "NAME"], &keys.iter().map(row).collect::<Vec<_>>())
}
