use std::path::PathBuf;

use clap::{Parser, Subcommand};
use money::{BankAccountId, BreakId, Currency, MerchantId, PspAccountId};
use reconciliation::break_::{self, BreakKind, Target};
use time::Date;
use time::format_description::well_known::Iso8601;

const EXIT_CODES: &str = "\
Exit codes:
  0  clean: everything is explained, to the cent
  1  breaks: everything is booked, and something needs a person or a later file
  2  incomplete: something is not booked yet, or does not add up
  3  refused: a file or an argument is wrong; nothing of such a file changed anything";

const AGAIN: &str = "\
The same file again changes nothing and gives the same report. A run that was killed is taken up by the next. Any number
may run at once, beside the service too.";

/// Reconcile what was charged with what the PSPs say they did and paid, and with what came to the bank.
#[derive(Debug, Parser)]
#[command(name = "reconcile", version, after_help = EXIT_CODES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Run),
    /// The merchant's own accounts at banks, of which statements are read
    #[command(subcommand)]
    BankAccount(BankAccount),
    /// Differences that need a person or a later file, and what people do about them
    #[command(subcommand)]
    Break(Break),
}

/// Whose books, and where they are.
#[derive(Debug, clap::Args)]
pub struct Books {
    /// The merchant whose they are
    #[arg(long, env = "PAYONCE_MERCHANT", value_name = "ID")]
    pub merchant: MerchantId,

    /// The database, as the role of the service. Without it: the one that a service runs for itself
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// The data folder of a service that runs its own database. Without it: /var/lib/payonce as root, else payonce in
    /// $XDG_DATA_HOME or in ~/.local/share
    #[arg(long, env = "PAYONCE_DATA_DIR", value_name = "FOLDER", conflicts_with = "database_url")]
    pub data_dir: Option<PathBuf>,
}

/// Take in settlement files and bank statements: match them, book them, and list what differs.
///
/// Settlement files, by their headers: Stripe's itemised payout reconciliation with the columns `description` and
/// `payment_metadata[payonce_operation]`, Adyen's settlement detail report, and PayPal's settlement report, all as CSV; any other CSV by a map of its columns, --map. Bank
/// statements, by how they begin: camt.053 (versions 02 and 08), MT940 and BAI2, of accounts that `reconcile bank-account
/// create` made known.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXIT_CODES}\n\n{AGAIN}"))]
pub struct Run {
    /// Files, folders of them, or - for standard input; as they are, or compressed by gzip or zstd
    #[arg(required_unless_present = "drop_interrupted", value_name = "FILE")]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub books: Books,

    /// Read the files as settlement files in CSV whose columns this TOML file describes; docs/mapped-csv.md says how
    #[arg(long, value_name = "FILE", requires = "files")]
    pub map: Option<PathBuf>,

    /// The merchant's account at the PSP. Not needed when there is only one
    #[arg(long, value_name = "ID")]
    pub psp_account: Option<PspAccountId>,

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

#[derive(Debug, Subcommand)]
pub enum BankAccount {
    /// Make an account known
    Create(NewBankAccount),
    /// List the accounts
    List {
        #[command(flatten)]
        books: Books,
    },
}

#[derive(Debug, clap::Args)]
pub struct NewBankAccount {
    #[command(flatten)]
    pub books: Books,

    /// Its IBAN, or its number as the bank's statements have it
    #[arg(long)]
    pub number: String,

    /// Its currency, such as EUR
    #[arg(long)]
    pub currency: Currency,

    /// A name for people. Without it: the number
    #[arg(long, default_value = "")]
    pub name: String,

    /// How many days after the PSP's word a payout may take to be on a statement
    #[arg(long, value_name = "DAYS", default_value_t = reconciliation::bank::DELAY_DAYS)]
    pub delay_days: u16,

    /// A part of what the bank writes when a PSP pays in, such as STRIPE; may be given several times. Entries without any of
    /// them are kept, and are nobody's business here. Without it: all entries are of PSPs
    #[arg(long = "payer", value_name = "TEXT")]
    pub payers: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Break {
    /// List breaks, those that are about the oldest days first
    List(ListBreaks),
    /// Show a break, and everything that was done about it
    Show(One),
    /// Say who looks at it; without --to, nobody does
    Assign {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        /// To whom
        #[arg(long, value_name = "NAME", value_parser = name)]
        to: Option<String>,
    },
    /// Say something about it
    Comment {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        /// What you have to say
        #[arg(long, value_name = "TEXT", value_parser = note)]
        note: String,
    },
    /// Put it off: nobody needs to look before that day
    Snooze {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        /// The day, within a year
        #[arg(long, value_name = "DATE", value_parser = day)]
        until: Date,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = note)]
        note: Option<String>,
    },
    /// Move its money to where it belongs, and close it. Above the merchant's limit it is closed once a second person says the
    /// same
    Adjust {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        /// The account: psp_fees, platform_fees, disputes, psp_receivable/ACCOUNT, payout_in_transit/ACCOUNT,
        /// seller_available/SELLER or seller_debt/SELLER
        #[arg(long, value_name = "ACCOUNT")]
        to: Target,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = note)]
        reason: String,
    },
    /// Close it as it stands. Above the merchant's limit it is closed once a second person says the same
    Accept {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = note)]
        reason: String,
    },
    /// Open it again, and move its money back. Above the merchant's limit it is opened once a second person says the same
    Reverse {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        who: Who,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = note)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct ListBreaks {
    #[command(flatten)]
    pub books: Books,

    /// Only open ones, or closed ones, or all
    #[arg(long, value_name = "STATE", default_value = "open", value_parser = ["open", "closed", "all"])]
    pub state: String,

    /// Only of this kind, such as unknown_to_us
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub kind: Option<BreakKind>,

    /// Only in this currency
    #[arg(long)]
    pub currency: Option<Currency>,

    /// Only at this account at a PSP
    #[arg(long, value_name = "ID")]
    pub psp_account: Option<PspAccountId>,

    /// Only at this account at a bank
    #[arg(long, value_name = "ID")]
    pub bank_account: Option<BankAccountId>,

    /// Only this person's
    #[arg(long, value_name = "NAME")]
    pub assignee: Option<String>,

    /// Only those that are about this day or one before it
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub until: Option<Date>,

    /// Also those that are put off
    #[arg(long)]
    pub snoozed: bool,

    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u16,

    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct One {
    /// The break, by its id
    #[arg(value_name = "BREAK")]
    pub break_id: BreakId,

    #[command(flatten)]
    pub books: Books,

    /// Tell it as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct Who {
    /// Your name, which is kept with what you do
    #[arg(long = "as", value_name = "NAME", value_parser = name)]
    pub name: String,
}

fn text(text: &str, longest: usize) -> Result<String, String> {
    let is_said = (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    is_said
        .then(|| text.to_owned())
        .ok_or_else(|| format!("expected 1 to {longest} characters without line ends"))
}

fn name(name: &str) -> Result<String, String> {
    text(name, 100)
}

fn note(note: &str) -> Result<String, String> {
    text(note, 500)
}

fn day(day: &str) -> Result<Date, String> {
    Date::parse(day, &Iso8601::DATE).map_err(|_| "expected a day such as 2026-01-31".to_owned())
}

fn kind(word: &str) -> Result<BreakKind, String> {
    BreakKind::from_word(word).ok_or_else(|| format!("expected one of {}", break_::BreakKind::words()))
}
