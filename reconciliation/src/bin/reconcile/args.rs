use std::path::PathBuf;

use clap::Parser;
use money::{MerchantId, PspAccountId};

const EXIT_CODES: &str = "\
Exit codes:
  0  clean: everything is explained, to the cent
  1  breaks: everything is booked, and something needs a person or a later file
  2  incomplete: something is not booked yet, or does not add up
  3  refused: a file or an argument is wrong; nothing of such a file changed anything

The same file again changes nothing and gives the same report. A run that was killed is taken up by the next. Any number
may run at once, beside the service too.";

/// Reconcile settlement files: match their lines to what was charged, book them, and list what differs.
///
/// Reads, by their headers, Stripe's itemised payout reconciliation with the columns `description` and
/// `payment_metadata[payonce_operation]`, Adyen's settlement detail report, and PayPal's settlement report, all as CSV. Any other CSV is read by a map of its columns: --map.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Settlement files, folders of them, or - for standard input; as they are, or compressed by gzip or zstd
    #[arg(required_unless_present = "drop_interrupted", value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Read the files as CSV whose columns this TOML file describes; docs/mapped-csv.md says how
    #[arg(long, value_name = "FILE", requires = "files")]
    pub map: Option<PathBuf>,

    /// The merchant whose files they are
    #[arg(long, env = "PAYONCE_MERCHANT", value_name = "ID")]
    pub merchant: MerchantId,

    /// The merchant's account at the PSP. Not needed when there is only one
    #[arg(long, value_name = "ID")]
    pub psp_account: Option<PspAccountId>,

    /// The database, as the role of the service. Without it: the one that a service runs for itself
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// The data folder of a service that runs its own database. Without it: /var/lib/payonce as root, else payonce in
    /// $XDG_DATA_HOME or in ~/.local/share
    #[arg(long, env = "PAYONCE_DATA_DIR", value_name = "FOLDER", conflicts_with = "database_url")]
    pub data_dir: Option<PathBuf>,

    /// How long to wait for the service to apply lines that know more than we do
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub wait: u64,

    /// Write the report for machines to this file, or to standard output with -
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// First forget files of this account whose reading broke off before anything of them was booked
    #[arg(long)]
    pub drop_interrupted: bool,
}
