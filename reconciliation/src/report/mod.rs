//! What a reconciliation came to: figures for a person and for a machine. The same state gives the same report.

mod repo;
mod text;

use money::{FileId, MerchantId, OperationId, PspAccountId};
use serde::Serialize;
use sqlx::PgPool;

use crate::break_::BreakKind;
use crate::statement::Refusal;
pub use text::{amount, render};

/// The one word that matters, and the program's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything is explained, to the cent.
    Clean,
    /// Everything is booked, and something needs a person or a later file.
    Breaks,
    /// Something is not booked yet, or does not add up.
    Incomplete,
    /// A file was refused; nothing of it changed anything.
    Refused,
}

impl Verdict {
    /// The word in the reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Breaks => "breaks",
            Self::Incomplete => "incomplete",
            Self::Refused => "refused",
        }
    }

    /// The program's exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Breaks => 1,
            Self::Incomplete => 2,
            Self::Refused => 3,
        }
    }
}

/// The whole report. Amounts are minor units; where they have a sign, it is as they change our balance at the PSP.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What it comes to.
    pub verdict: Verdict,
    /// Why it is incomplete, in sentences.
    pub incomplete_because: Vec<String>,
    /// The account at the PSP; none where even that could not be told.
    pub psp_account_id: Option<PspAccountId>,
    /// The files that were given and taken in.
    pub files: Vec<FileReport>,
    /// The files of bank statements that were given and taken in.
    pub bank_files: Vec<BankFileReport>,
    /// The files that were refused.
    pub refused: Vec<Refused>,
    /// The files' lines, added up.
    pub currencies: Vec<CurrencyReport>,
    /// Open breaks of these files, and of the account where they are of no file.
    pub breaks: Vec<BreakGroup>,
    /// Open breaks of the account's other files.
    pub open_breaks_of_other_files: i64,
}

impl Report {
    /// The report of a run that could not begin.
    pub fn of_nothing(verdict: Verdict, message: String) -> Self {
        let mut report = Self {
            verdict,
            incomplete_because: Vec::new(),
            psp_account_id: None,
            files: Vec::new(),
            bank_files: Vec::new(),
            refused: Vec::new(),
            currencies: Vec::new(),
            breaks: Vec::new(),
            open_breaks_of_other_files: 0,
        };
        match verdict {
            Verdict::Refused => report.refused.push(Refused { message, refusal: None }),
            Verdict::Incomplete | Verdict::Breaks | Verdict::Clean => report.incomplete_because.push(message),
        }
        report
    }
}

/// A file that was given.
#[derive(Debug, Clone, Serialize)]
pub struct FileReport {
    /// Its id.
    pub file_id: FileId,
    /// The name it first came under.
    pub name: String,
    /// The name of the map that it was read by, if it was.
    pub map: Option<String>,
    /// The hash of its content, in hex.
    pub sha256: String,
    /// reading, read or settled.
    pub state: String,
    /// Its lines.
    pub lines: i32,
    /// Those of them that were known before.
    pub duplicates: i64,
    /// Those of them that wait for the service.
    pub waiting: i64,
    /// Whether all of it was there before this run.
    pub known_before: bool,
}

/// A file of bank statements that was given.
#[derive(Debug, Clone, Serialize)]
pub struct BankFileReport {
    /// Its id.
    pub file_id: FileId,
    /// The name it first came under.
    pub name: String,
    /// The hash of its content, in hex.
    pub sha256: String,
    /// Its statements.
    pub statements: i32,
    /// Its entries.
    pub entries: i32,
    /// Those of them that are kept and are of no PSP.
    pub of_others: i64,
    /// Those of them that are payouts, whole.
    pub matched: i64,
    /// Whether all of it was there before this run.
    pub known_before: bool,
}

/// A file that was refused.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// What was wrong, in a sentence.
    pub message: String,
    /// Where, when it is something in the file.
    pub refusal: Option<Refusal>,
}

/// What the given files say in one currency, as it was booked, and how the account stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurrencyReport {
    /// The currency.
    pub currency: String,
    /// Booked lines.
    pub lines: i64,
    /// Lines matched to operations.
    pub matched: i64,
    /// Gross of the captures.
    pub captures: i64,
    /// Gross of the refunds: negative.
    pub refunds: i64,
    /// Gross of the chargebacks: negative, but for those returned.
    pub chargebacks: i64,
    /// Gross of the adjustments.
    pub adjustments: i64,
    /// All fees, those of lines and those on their own: positive.
    pub fees: i64,
    /// Gross of what was sent to sellers: negative, but for what came back.
    pub seller_payouts: i64,
    /// What remains of all that.
    pub net: i64,
    /// What the PSP sent to the bank: positive.
    pub payouts: i64,
    /// The part of it that nothing of ours explains.
    pub suspense: i64,
    /// Our balance at the PSP by the ledger, after all files.
    pub psp_balance: i64,
    /// That balance less all lines that were ever booked: anything but zero is an error.
    pub residual: i64,
}

/// Open breaks of one kind in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakGroup {
    /// What is different.
    pub kind: BreakKind,
    /// The currency.
    pub currency: String,
    /// How many there are.
    pub count: i64,
    /// What should be, added up.
    pub expected: i64,
    /// What is, added up, where it is in this currency.
    pub found: i64,
    /// The first of them.
    pub examples: Vec<BreakExample>,
}

/// A break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakExample {
    /// Its id.
    pub break_id: uuid::Uuid,
    /// The file of its line.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<i32>,
    /// The line's identity at the PSP.
    pub psp_line_id: Option<String>,
    /// The PSP's object.
    pub psp_reference: Option<String>,
    /// The operation.
    pub operation_id: Option<OperationId>,
    /// The order.
    pub order_id: Option<String>,
    /// What should be.
    pub expected: Option<i64>,
    /// What is.
    pub found: Option<i64>,
    /// The currency of what is.
    pub found_currency: Option<String>,
    /// A sentence.
    pub detail: String,
}

/// What this run did with the files that it was given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The files that are in the database, and whether they were before.
    pub files: Vec<(FileId, bool)>,
    /// The files of bank statements that are in the database.
    pub bank_files: Vec<BankGiven>,
    /// The files that are not.
    pub refused: Vec<Refused>,
    /// Chunks that the books refused.
    pub blocked: u64,
    /// What else kept the run from its end.
    pub failures: Vec<String>,
}

/// A file of bank statements that is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankGiven {
    /// Its id.
    pub file_id: FileId,
    /// Whether all of it was there before.
    pub known_before: bool,
}

/// The report about `given`, from one snapshot of the database.
///
/// # Errors
/// When Postgres fails.
pub async fn make(
    pool: &PgPool,
    merchant: MerchantId,
    account: Option<PspAccountId>,
    given: &Given,
) -> Result<Report, ledger::Error> {
    let mut tx = pool.begin_with("begin isolation level repeatable read, read only").await?;
    let files = repo::files(&mut tx, merchant, &given.files).await?;
    let file_ids: Vec<FileId> = given.files.iter().map(|(file, _)| *file).collect();
    let bank_files = repo::bank_files(&mut tx, merchant, &given.bank_files).await?;
    let interrupted = repo::interrupted(&mut tx, merchant, account, &file_ids).await?;
    let currencies = repo::currencies(&mut tx, merchant, account, &file_ids).await?;
    let breaks = repo::breaks(&mut tx, merchant, account, &file_ids).await?;
    let open_breaks_of_other_files = repo::other_breaks(&mut tx, merchant, account, &file_ids).await?;
    tx.rollback().await?;
    let incomplete_because = incomplete_because(given, &files, &interrupted, &currencies);
    let verdict = if !given.refused.is_empty() {
        Verdict::Refused
    } else if !incomplete_because.is_empty() {
        Verdict::Incomplete
    } else if !breaks.is_empty() {
        Verdict::Breaks
    } else {
        Verdict::Clean
    };
    Ok(Report {
        verdict,
        incomplete_because,
        psp_account_id: account,
        files,
        bank_files,
        refused: given.refused.clone(),
        currencies,
        breaks,
        open_breaks_of_other_files,
    })
}

fn incomplete_because(
    given: &Given,
    files: &[FileReport],
    interrupted: &[String],
    currencies: &[CurrencyReport],
) -> Vec<String> {
    let mut reasons = given.failures.clone();
    if given.blocked > 0 {
        let chunks = text::counted(given.blocked, "chunk");
        reasons.push(format!("the books refused {chunks} of lines; the log says why"));
    }
    for file in files {
        if file.state != "settled" {
            reasons.push(format!("{} is not booked yet: it is {}", file.name, file.state));
        }
        if file.waiting > 0 {
            let waiting = text::counted(file.waiting, "line");
            reasons.push(format!("{waiting} of {} not applied yet: the service does that", file.name));
        }
    }
    for name in interrupted {
        reasons.push(format!(
            "the reading of {name} broke off: give it again, or drop it with --drop-interrupted"
        ));
    }
    for sums in currencies.iter().filter(|sums| sums.residual != 0) {
        let residual = text::amount(sums.residual, &sums.currency);
        reasons.push(format!("the ledger's balance at the PSP and its lines differ by {residual}"));
    }
    reasons
}
