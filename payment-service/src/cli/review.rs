//! `review`

use std::sync::Arc;

use clap::{Args, Subcommand};
use money::{MerchantId, OperationId, PayoutId};

use super::CliError;
use super::output::{OutputArgs, table};
use crate::config::{DatabaseArgs, Embedding, SecretKeyArgs};
use crate::engine::{Engine, Settings};
use crate::merchant::Directory;
use crate::psp::{self, Connectors, PspReference};
use crate::review::{self, Actor, Filter, Pending, Refused, Review, Said, Word};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the operations that need review, longest waiting first
    List {
        #[command(flatten)]
        of: Of,
        /// At most so many
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        limit: u16,
    },
    /// Show what is known of an operation: attempts, webhooks, settlement lines and breaks
    Show(One),
    /// Ask the PSP once more. What it shows ends the operation, or it goes on needing review
    Ask {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        secret_key: SecretKeyArgs,
    },
    /// Say what became of an operation. Above the merchant's limit it ends once a second person says the same
    Close {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        /// What became of it
        #[arg(long, value_name = "OUTCOME")]
        outcome: Said,
        /// Why you think so
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The PSP's name of what it made, such as pi_... or re_..., where it is not known yet
        #[arg(long, value_name = "REFERENCE", value_parser = PspReference::parse)]
        psp_reference: Option<PspReference>,
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

#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    of: Of,
    /// The operation, by its id
    #[arg(long, value_name = "ID")]
    operation: OperationId,
}

#[derive(Debug, Args)]
pub(super) struct Who {
    /// Your name, which is kept with what you do
    #[arg(long = "as", value_name = "NAME", value_parser = name)]
    name: String,
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = !text.trim().is_empty() && !text.chars().any(char::is_control);
    match is_plain && text.chars().count() <= 200 {
        true => Ok(text.trim().to_owned()),
        false => Err("expected 1 to 200 characters without line ends".to_owned()),
    }
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::List { of, limit } => {
                let database = of.database.open("payonce review", Embedding::Join).await?;
                let filter = Filter { after: None, limit };
                let found = review::list(&database.pool, of.merchant, &filter).await;
                database.close().await?;
                let found = found?;
                of.output.print(&found, || listed(&found))
            }
            Self::Show(one) => one.show().await,
            Self::Ask { one, who, secret_key } => one.ask(who, &secret_key).await,
            Self::Close { one, who, outcome, reason, psp_reference } => {
                if !(1..=500).contains(&reason.chars().count()) {
                    let expected = "expected 1 to 500 characters".to_owned();
                    return Err(CliError::Argument { argument: "--reason", expected });
                }
                let actor = Actor::Cli(who.name);
                let word = Word { operation_id: one.operation, said: outcome, reason, psp_reference, actor };
                one.close(&word).await
            }
        }
    }
}

impl One {
    async fn show(self) -> Result<(), CliError> {
        let database = self.of.database.open("payonce review", Embedding::Join).await?;
        let found = review::get(&database.pool, self.of.merchant, self.operation).await;
        database.close().await?;
        let review = found?.ok_or(Refused::NotFound)?;
        self.of.output.print(&review, || shown(&review))
    }

    async fn ask(self, who: Who, secret_key: &SecretKeyArgs) -> Result<(), CliError> {
        let keys = secret_key.key_ring(&self.of.database)?;
        let database = self.of.database.open("payonce review", Embedding::Join).await?;
        let (merchant, operation) = (self.of.merchant, self.operation);
        let connectors = Arc::new(Connectors::new(psp::Settings::default())?);
        let engine = Engine::start(database.pool.clone(), connectors, Settings::default());
        let directory = Directory::new(database.pool.clone(), keys);
        let asked = engine.ask_again(&directory, merchant, operation).await;
        if matches!(asked, Ok(true)) {
            review::note_asked(&database.pool, merchant, operation, &Actor::Cli(who.name)).await?;
        }
        let found = review::get(&database.pool, merchant, operation).await;
        database.close().await?;
        let (asked, review) = (asked?, found?.ok_or(Refused::NotFound)?);
        if !asked {
            return Err(Refused::NotInReview("not in review, or somebody else is asking").into());
        }
        self.of.output.print(&review, || shown(&review))
    }

    async fn close(self, word: &Word) -> Result<(), CliError> {
        let database = self.of.database.open("payonce review", Embedding::Join).await?;
        let mut tx = database.pool.begin().await.map_err(review::Error::from)?;
        let said = review::say_in_tx(&mut tx, self.of.merchant, word).await;
        match &said {
            Ok(Ok(_)) => tx.commit().await.map_err(review::Error::from)?,
            _ => tx.rollback().await.map_err(review::Error::from)?,
        }
        database.close().await?;
        let review = said??;
        self.of.output.print(&review, || shown(&review))
    }
}

/// What is named where there is no order.
fn about(payout: Option<PayoutId>) -> String {
    payout.map(|payout| format!("payout {payout}")).unwrap_or_default()
}

fn listed(pending: &[Pending]) -> String {
    let row = |pending: &Pending| {
        [
            pending.operation_id.to_string(),
            pending.kind.as_str().to_owned(),
            pending.amount.to_string(),
            pending.currency.to_string(),
            pending.since.date().to_string(),
            pending.order_id.clone().unwrap_or_else(|| about(pending.payout_id)),
            pending.because.clone().unwrap_or_default(),
        ]
    };
    let heads = ["OPERATION", "KIND", "AMOUNT", "CURRENCY", "SINCE", "ORDER", "BECAUSE"];
    table(heads, &pending.iter().map(row).collect::<Vec<_>>())
}

fn shown(review: &Review) -> String {
    let operation = &review.operation;
    let state = match review.state {
        review::State::Open => "somebody has to say what became of it",
        review::State::AwaitsSecondPerson => "a second person has to say the same",
        review::State::Closed => "closed",
    };
    let mut text = format!(
        "{} {} of {} {}, {}: {state}\n",
        operation.kind.as_str(),
        operation.operation_id,
        operation.amount,
        operation.currency,
        review.order_id.as_ref().map_or_else(|| about(operation.payout_id), |order| format!("order {order}")),
    );
    if let Some(because) = &review.because {
        text.push_str(&format!("because: {because}\n"));
    }
    let evidence = review.evidence.iter().map(|entry| {
        [
            entry.at.to_string(),
            entry.source.clone(),
            entry.kind.clone(),
            entry.outcome.clone().unwrap_or_default(),
            entry.detail.clone().unwrap_or_default(),
        ]
    });
    let acts = review.acts.iter().map(|act| {
        [
            act.at.to_string(),
            act.actor.clone(),
            act.kind.clone(),
            act.outcome.clone().unwrap_or_default(),
            act.reason.clone().unwrap_or_default(),
        ]
    });
    let rows: Vec<[String; 5]> = evidence.chain(acts).collect();
    text + &table(["WHEN", "WHO", "WHAT", "OUTCOME", "DETAIL"], &rows)
}
