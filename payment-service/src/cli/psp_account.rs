//! `psp-account`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use money::{MerchantId, PspAccountId};
use secrecy::SecretString;
use serde::Serialize;
use tokio::time::Instant;

use super::output::{OutputArgs, table};
use super::{CliError, secret};
use crate::config::{DatabaseArgs, Embedding, OpenDatabase, SecretKeyArgs};
use crate::merchant::psp_account::{self, Change};
use crate::merchant::{Directory, KeyRing, NewPspAccount, PspAccountSummary};
use crate::operation;
use crate::psp::{self, Connectors, Idempotency, Inquiry, Outcome, Psp, Why};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a merchant's account at a PSP. Its API secret is read from a file, a variable or standard input
    Create(Create),
    /// List a merchant's accounts, their secrets by fingerprints
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Replace the API secret, read from a file, a variable or standard input. The PSP is asked first whether it is a
    /// secret of the same account there: what is in flight is sent again with it, and would be charged twice by another
    SetApiSecret {
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        secret: ApiSecret,
        /// Do not ask the PSP. Sure to be right only where the account has nothing in flight
        #[arg(long)]
        unchecked: bool,
    },
    /// Accept webhooks signed with one more secret, read from a file, a variable or standard input
    AddWebhookSecret {
        #[command(flatten)]
        account: Account,
        /// File with the secret
        #[arg(long, value_name = "FILE", conflicts_with = "webhook_secret_env")]
        webhook_secret_file: Option<PathBuf>,
        /// Variable with the secret
        #[arg(long, value_name = "VARIABLE")]
        webhook_secret_env: Option<String>,
    },
    /// Accept webhooks signed with a secret no more
    RemoveWebhookSecret {
        #[command(flatten)]
        account: Account,
        /// The secret's fingerprint, as the list shows it
        #[arg(long, value_name = "FINGERPRINT")]
        fingerprint: String,
    },
    /// Take no new payments with an account; what was begun is finished
    Disable {
        #[command(flatten)]
        account: Account,
    },
    /// Take new payments with an account again
    Enable {
        #[command(flatten)]
        account: Account,
    },
    /// Seal the secrets of all accounts with the first secret key, after which the others are needed no more
    Reseal {
        #[command(flatten)]
        access: Access,
    },
}

#[derive(Debug, Args)]
pub(super) struct Access {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret_key: SecretKeyArgs,
}

impl Access {
    async fn open(&self) -> Result<(OpenDatabase, KeyRing), CliError> {
        let keys = self.secret_key.key_ring(&self.database)?;
        Ok((self.database.open("payonce psp-account", Embedding::Join).await?, keys))
    }
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// The merchant, by its id
    #[arg(long, value_name = "ID")]
    merchant: MerchantId,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct Account {
    /// The account, by its id
    #[arg(long, value_name = "ID")]
    psp_account: PspAccountId,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct ApiSecret {
    /// File with the API secret
    #[arg(long, value_name = "FILE", conflicts_with = "api_secret_env")]
    api_secret_file: Option<PathBuf>,
    /// Variable with the API secret
    #[arg(long, value_name = "VARIABLE")]
    api_secret_env: Option<String>,
}

impl ApiSecret {
    fn read(&self) -> Result<secrecy::SecretString, CliError> {
        secret::read("API secret", self.api_secret_file.as_deref(), self.api_secret_env.as_deref())
    }
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The provider: stripe
    #[arg(long, value_name = "PSP")]
    psp: Psp,
    /// What people call the account
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Address of the provider's API, without a path; the provider's own without this
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    api_secret: ApiSecret,
    /// File with a secret that webhooks are signed with; may be given several times
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Vec<PathBuf>,
    /// Variable with a secret that webhooks are signed with; may be given several times
    #[arg(long, value_name = "VARIABLE")]
    webhook_secret_env: Vec<String>,
    /// How many days after its capture a payment may be missing in the settlement files
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(i32).range(0..=365))]
    settlement_delay_days: i32,
    /// What the provider does about a request that comes twice. Cannot be changed later
    #[arg(long, value_name = "HOW", default_value = "native")]
    idempotency: Idempotency,
    #[command(flatten)]
    of: Of,
}

#[derive(Serialize)]
struct Named {
    psp_account_id: PspAccountId,
}

#[derive(Serialize)]
struct Resealed {
    resealed: usize,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List { of } => list(&of).await,
            Self::SetApiSecret { account, secret, unchecked } => {
                let secret = secret.read()?;
                if !unchecked {
                    account.check_secret(&secret).await?;
                }
                account.change(Change::ApiSecret(secret)).await
            }
            Self::AddWebhookSecret { account, webhook_secret_file, webhook_secret_env } => {
                let (file, variable) = (webhook_secret_file.as_deref(), webhook_secret_env.as_deref());
                account
                    .change(Change::AddWebhookSecret(secret::read("webhook secret", file, variable)?))
                    .await
            }
            Self::RemoveWebhookSecret { account, fingerprint } => {
                account.change(Change::RemoveWebhookSecret(fingerprint)).await
            }
            Self::Disable { account } => account.change(Change::Disable).await,
            Self::Enable { account } => account.change(Change::Enable).await,
            Self::Reseal { access } => {
                let (database, keys) = access.open().await?;
                let resealed = psp_account::reseal(&database.pool, &keys).await;
                database.close().await?;
                let resealed = resealed?;
                access.output.print(&Resealed { resealed }, || format!("{resealed} accounts sealed anew"))
            }
        }
    }
}

/// How long the PSP may take to show an object.
const PATIENCE: Duration = Duration::from_secs(15);

impl Account {
    /// Asks the PSP, with the new secret, for an object that the account made with an earlier one.
    async fn check_secret(&self, secret: &SecretString) -> Result<(), CliError> {
        let (merchant, id) = (self.of.merchant, self.psp_account);
        let (database, keys) = self.of.access.open().await?;
        let account = Directory::new(database.pool.clone(), keys).any_psp_account(merchant, id).await;
        let ended = operation::last_ended(&database.pool, merchant, id).await;
        let unfinished = operation::has_unfinished(&database.pool, merchant, id).await;
        database.close().await?;
        let (account, Some((expected, reference))) = (account?, ended?) else {
            let unfinished = unfinished.map_err(operation::Error::from)?;
            return if unfinished { Err(CliError::SecretUnchecked(Why::Absent)) } else { Ok(()) };
        };
        let account = psp::Account { api_secret: secret.clone(), ..account.account.clone() };
        let inquiry = Inquiry { expected: &expected, reference: Some(&reference) };
        let connectors = Connectors::new(psp::Settings::default())?;
        match connectors.inquire(&account, &inquiry, Instant::now() + PATIENCE).await.outcome {
            Outcome::Unknown { why: Why::Absent, .. } => Err(CliError::SecretOfOtherAccount(reference)),
            // read from the object itself, whatever it says
            Outcome::Succeeded(_)
            | Outcome::Declined { .. }
            | Outcome::RequiresAction { .. }
            | Outcome::Unknown { why: Why::Mismatch(_) | Why::PartlyCaptured(_) | Why::Processing, .. } => {
                Ok(())
            }
            Outcome::Unknown { why, .. } => Err(CliError::SecretUnchecked(why)),
            Outcome::NotSent { .. } => Err(CliError::SecretUnchecked(Why::NoAnswer)),
        }
    }

    async fn change(self, change: Change) -> Result<(), CliError> {
        let (database, keys) = self.of.access.open().await?;
        let changed =
            psp_account::change(&database.pool, &keys, self.of.merchant, self.psp_account, change).await;
        database.close().await?;
        changed?;
        self.of.access.output.print(&Named { psp_account_id: self.psp_account }, String::new)
    }
}

impl Create {
    async fn run(self) -> Result<(), CliError> {
        let webhook_secrets =
            secret::read_all("webhook secret", &self.webhook_secret_file, &self.webhook_secret_env)?;
        let new = NewPspAccount {
            merchant_id: self.of.merchant,
            psp: self.psp,
            name: &self.name,
            base_url: self.base_url.as_deref(),
            api_secret: self.api_secret.read()?,
            webhook_secrets,
            settlement_delay_days: self.settlement_delay_days,
            idempotency: self.idempotency,
        };
        let (database, keys) = self.of.access.open().await?;
        let made = psp_account::create(&database.pool, &keys, new).await;
        database.close().await?;
        let named = Named { psp_account_id: made?.psp_account_id };
        self.of.access.output.print(&named, || named.psp_account_id.to_string())
    }
}

async fn list(of: &Of) -> Result<(), CliError> {
    let (database, keys) = of.access.open().await?;
    let found = psp_account::list(&database.pool, &keys, of.merchant).await;
    database.close().await?;
    let found = found?;
    of.access.output.print(&found, || listed(&found))
}

fn listed(accounts: &[PspAccountSummary]) -> String {
    let row = |account: &PspAccountSummary| {
        [
            account.psp_account_id.to_string(),
            account.psp.to_owned(),
            if account.disabled_at.is_some() { "disabled" } else { "enabled" }.to_owned(),
            account.base_url.clone(),
            account.api_secret.clone(),
            account.webhook_secrets.join(","),
            account.name.clone(),
        ]
    };
    let heads = ["PSP ACCOUNT", "PSP", "STATE", "ADDRESS", "API SECRET", "WEBHOOK SECRETS", "NAME"];
    table(heads, &accounts.iter().map(row).collect::<Vec<_>>())
}
