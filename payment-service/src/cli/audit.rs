//! `audit`

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use money::MerchantId;

use super::CliError;
use super::output::OutputArgs;
use crate::audit::{self, Options, Report};
use crate::config::{DatabaseArgs, Embedding};
use crate::database::APP_ROLE;

/// Checks the invariants that money depends on, in the rows of a running service too, and changes nothing. Ends with 0
/// where all hold, 1 where one is violated, 2 where one could not be checked
#[derive(Debug, Args)]
pub struct Audit {
    /// Only this merchant
    #[arg(long, value_name = "ID")]
    merchant: Option<MerchantId>,

    /// Address of the PSP sandbox: what it says it did to money is compared with the ledger
    #[arg(long, value_name = "URL")]
    sandbox: Option<String>,

    /// How old something unfinished may be: operations and webhooks in doubt, settlement files and unpublished events
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    max_open_age: Duration,

    /// Role that the service runs as, which must not be able to change the books
    #[arg(long, value_name = "NAME", default_value = APP_ROLE)]
    app_role: String,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// Something could not be checked.
const UNCHECKED: u8 = 2;

impl Audit {
    /// Prints the report and answers the code to exit with.
    ///
    /// # Errors
    /// When the report cannot be printed.
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let output = self.output;
        match self.report().await {
            Ok(report) => {
                output.print(&report, || report.to_string())?;
                Ok(ExitCode::from(report.exit_code()))
            }
            Err(error) => {
                tracing::error!(error = &*error, "the audit could not be made");
                Ok(ExitCode::from(UNCHECKED))
            }
        }
    }

    async fn report(self) -> Result<Report, Box<dyn Error>> {
        let database = self.database.open("payonce audit", Embedding::Join).await?;
        let options = Options {
            merchant: self.merchant,
            sandbox: self.sandbox,
            max_open_age: self.max_open_age,
            app_role: self.app_role,
        };
        let report = audit::run(&database.pool, &options).await;
        database.close().await?;
        Ok(report?)
    }
}
