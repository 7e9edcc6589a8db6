//! `merchant`

use clap::Subcommand;
use money::MerchantId;

use super::CliError;
use super::output::{OutputArgs, table};
use crate::config::{DatabaseArgs, Embedding};
use crate::merchant::{self, Merchant, Mode};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a merchant. A shop that tests and sells has two: one in each mode
    Create {
        /// What people call it
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Whether money moves
        #[arg(long, value_name = "MODE")]
        mode: Mode,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Change how a merchant works
    Set {
        /// The merchant, by its id
        #[arg(long, value_name = "ID")]
        merchant: MerchantId,
        /// Closing a review of more than this, in major units of its currency, takes a second person
        #[arg(long, value_name = "AMOUNT", value_parser = clap::value_parser!(i64).range(0..))]
        review_limit: i64,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List all merchants
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Create { name, mode, output, database } => {
                let database = database.open("payonce merchant", Embedding::Join).await?;
                let made = merchant::create(&database.pool, mode, &name).await;
                database.close().await?;
                let made = made?;
                output.print(&made, || made.merchant_id.to_string())
            }
            Self::Set { merchant, review_limit, database } => {
                let database = database.open("payonce merchant", Embedding::Join).await?;
                let set = merchant::set_review_limit(&database.pool, merchant, review_limit).await;
                database.close().await?;
                Ok(set?)
            }
            Self::List { output, database } => {
                let database = database.open("payonce merchant", Embedding::Join).await?;
                let found = merchant::list(&database.pool).await;
                database.close().await?;
                let found = found?;
                output.print(&found, || listed(&found))
            }
        }
    }
}

fn listed(merchants: &[Merchant]) -> String {
    let row = |merchant: &Merchant| {
        let Merchant { merchant_id, mode, name, created_at } = merchant;
        [merchant_id.to_string(), mode.to_string(), created_at.date().to_string(), name.clone()]
    };
    table(["MERCHANT", "MODE", "CREATED", "NAME"], &merchants.iter().map(row).collect::<Vec<_>>())
}
