//! The command line.

mod api_key;
mod audit;
mod database;
mod merchant;
mod output;
mod psp_account;
mod review;
mod secret;
mod transitions;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, LogArgs, LogFormat, ServeArgs};
use crate::database::DatabaseError;
use crate::merchant::MerchantError;
use crate::operation;
use crate::psp::{ClientError, PspReference, Why};
use crate::serve::{self, ServeError};

/// Charges payment orders exactly once, or provably not at all
#[derive(Debug, Parser)]
#[command(name = "payment-service", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service. Without --database-url it runs a Postgres server of its own
    Serve(Box<ServeArgs>),
    /// Make the roles and the database on a Postgres server of yours, once
    Setup(database::Setup),
    /// Bring the database's schema up to date and grant the service's role what it needs
    Migrate(database::Migrate),
    /// Merchants: the tenants, each in test or in live mode
    #[command(subcommand)]
    Merchant(merchant::Command),
    /// API keys of a merchant
    #[command(subcommand)]
    ApiKey(api_key::Command),
    /// A merchant's accounts at payment service providers
    #[command(subcommand)]
    PspAccount(psp_account::Command),
    /// Operations of which nobody can tell what became
    #[command(subcommand)]
    Review(review::Command),
    /// Check the invariants that money depends on; the exit code tells
    Audit(audit::Audit),
    /// Print every transition of every state machine
    Transitions(transitions::Transitions),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Something about a merchant was refused.
    #[error(transparent)]
    Merchant(#[from] MerchantError),
    /// An argument has a value that it cannot have.
    #[error("{argument}: {expected}")]
    Argument {
        /// Which.
        argument: &'static str,
        /// What was expected.
        expected: String,
    },
    /// The PSP does not show with a new secret what was made with an earlier one.
    #[error("api secret: it is of another account at the PSP, which does not know {0}; nothing was changed")]
    SecretOfOtherAccount(PspReference),
    /// The PSP could not be asked whose secret it is.
    #[error(
        "api secret: the PSP could not be asked whose it is ({0}); nothing was changed. --unchecked changes it all the same"
    )]
    SecretUnchecked(Why),
    /// The operations of an account could not be read.
    #[error(transparent)]
    Operation(#[from] operation::Error),
    /// A review could not be read or written.
    #[error(transparent)]
    Review(#[from] crate::review::Error),
    /// A person's word is not taken.
    #[error("{0}; nothing was changed")]
    Refused(#[from] crate::review::Refused),
    /// The PSP could not be asked again.
    #[error(transparent)]
    Ask(#[from] crate::engine::AskError),
    /// The HTTP client could not be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard output or a file with a secret.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
}

impl Cli {
    /// Runs the command. Answers the code to exit with where it did what it was asked.
    ///
    /// # Errors
    /// [`CliError`], for people to read.
    pub async fn run(self) -> Result<ExitCode, CliError> {
        self.start_log()?;
        match self.command {
            Command::Serve(config) => serve::run(*config).await?,
            Command::Setup(command) => command.run().await?,
            Command::Migrate(command) => command.run().await?,
            Command::Merchant(command) => command.run().await?,
            Command::ApiKey(command) => command.run().await?,
            Command::PspAccount(command) => command.run().await?,
            Command::Review(command) => command.run().await?,
            Command::Audit(command) => return command.run().await,
            Command::Transitions(command) => command.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// To standard error: standard output is for what was asked for. Only the service says what it does unasked.
    fn start_log(&self) -> Result<(), CliError> {
        let usual = if matches!(self.command, Command::Serve(_)) { "info" } else { "warn" };
        let filter = self.log.log.as_deref().unwrap_or(usual);
        let filter = EnvFilter::try_new(filter)
            .map_err(|error| CliError::Argument { argument: "--log", expected: error.to_string() })?;
        let coloured = std::io::stderr().is_terminal();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(coloured);
        match self.log.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => {
                log.json().flatten_event(true).with_current_span(true).with_span_list(false).init()
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_secret_is_taken_as_an_argument() {
        for argument in ["--api-secret=sk_test_1", "--webhook-secret=whsec_1", "--secret-key=x"] {
            let line = [
                "payment-service",
                "psp-account",
                "create",
                "--merchant",
                "0198c1f2-6f3a-7b10-8a52-3f8f0e3c9d11",
            ];
            let line = line.iter().copied().chain(["--psp", "stripe", "--name", "x", argument]);
            let error = Cli::try_parse_from(line).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::UnknownArgument, "{argument}");
        }
    }
}
