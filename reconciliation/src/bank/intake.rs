//! A file of statements becomes entries in the books, all of it in one commit.

use std::collections::BTreeMap;

use ledger::account::Account;
use ledger::posting::{Posted, Posting, Source};
use money::{BankEntryId, BankStatementId, BookingId, Currency, FileId, MerchantId, Money};
use sqlx::{PgPool, PgTransaction};
use time::Date;

use super::document::{Document, Entries, Summary};
use super::{BankAccount, Error, Progress, repo, run};
use crate::bank_statement::Entry;
use crate::intake::{Event, Observer};
use crate::source::Opened;

/// Entries that are in memory at once.
const SLICE_ENTRIES: usize = 1_000;

/// A file that is in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    /// Its id.
    pub file_id: FileId,
    /// Whether it was there already: nothing changed then.
    pub known_before: bool,
    /// Its statements.
    pub statements: u64,
    /// Those of them that came in another file before: nothing changed for them.
    pub statements_known: u64,
    /// Its entries.
    pub entries: u64,
    /// What was matched, and what was found to differ.
    pub progress: Progress,
}

/// Stores a file of bank statements, books its entries and matches what can be.
///
/// # Errors
/// When the file is refused or cannot be read, is of an account that is not known, a statement of it came before and said
/// something else, or Postgres fails. Nothing changed then.
pub async fn take_in(
    pool: &PgPool,
    merchant: MerchantId,
    opened: Opened,
    observer: Observer,
) -> Result<TakenIn, Error> {
    let document = {
        let observer = observer.clone();
        let checked = tokio::task::spawn_blocking(move || Document::check(opened, &observer)).await;
        checked.map_err(|_| Error::Stopped)??
    };
    let file_id = FileId::derive(merchant, &document.sha256);
    let mut taken = TakenIn {
        file_id,
        known_before: false,
        statements: document.statements.len() as u64,
        statements_known: 0,
        entries: document.entries(),
        progress: Progress::default(),
    };
    let mut tx = pool.begin().await?;
    let accounts = repo::lock_accounts(&mut tx, merchant).await?;
    if !repo::insert_file(&mut tx, merchant, file_id, &document).await? {
        return Ok(TakenIn { known_before: true, ..taken });
    }
    let mut entries = document.all()?;
    let mut stored = 0;
    for summary in &document.statements {
        let file = File { merchant, file_id, name: &document.name };
        if !file.store_in_tx(&mut tx, &accounts, summary, &mut entries).await? {
            taken.statements_known += 1;
        }
        stored += summary.entries;
        observer(Event::Stored { lines: stored, of: document.entries() });
    }
    taken.progress = run::settle_in_tx(&mut tx, merchant).await?;
    tx.commit().await?;
    Ok(taken)
}

/// The file that is being stored.
struct File<'a> {
    merchant: MerchantId,
    file_id: FileId,
    name: &'a str,
}

/// What the entries of a day come to.
#[derive(Default)]
struct Day {
    entries: i32,
    amount: i64,
}

impl File<'_> {
    /// Stores a statement and books its entries; false when it is there already, and then its entries are passed over.
    async fn store_in_tx(
        &self,
        tx: &mut PgTransaction<'_>,
        accounts: &[BankAccount],
        summary: &Summary,
        entries: &mut Entries<'_>,
    ) -> Result<bool, Error> {
        let is_of = |account: &&BankAccount| {
            account.number == summary.account.as_str() && account.currency == summary.currency
        };
        let account = accounts.iter().find(is_of).ok_or_else(|| Error::UnknownAccount {
            file: self.name.to_owned(),
            line: summary.line_no,
            number: summary.account.to_string(),
            currency: summary.currency,
        })?;
        let ends_on = summary.ends_on.to_string();
        let id = BankStatementId::derive(self.merchant, account.bank_account_id, &ends_on, &summary.number);
        let is_new = self.insert_statement(tx, account, id, summary).await?;
        let (mut entry_no, mut days) = (0_i32, BTreeMap::<Date, Day>::new());
        let mut left = usize::try_from(summary.entries).unwrap_or(usize::MAX);
        while left > 0 {
            let slice = entries.take(SLICE_ENTRIES.min(left))?;
            left -= slice.len();
            if !is_new {
                continue;
            }
            let mut rows = Vec::with_capacity(slice.len());
            for entry in slice {
                entry_no += 1;
                rows.push(self.row(account, id, entry_no, entry, &mut days)?);
            }
            repo::insert_entries(tx, self.merchant, account, id, &rows).await?;
        }
        if is_new {
            self.book_in_tx(tx, account.currency, id, &days).await?;
        }
        Ok(is_new)
    }

    /// False when the same statement is there.
    async fn insert_statement(
        &self,
        tx: &mut PgTransaction<'_>,
        account: &BankAccount,
        id: BankStatementId,
        summary: &Summary,
    ) -> Result<bool, Error> {
        let known = repo::statement(tx, self.merchant, id).await?;
        match known {
            None => repo::insert_statement(tx, self.merchant, self.file_id, account, id, summary).await?,
            Some(known) if known.sha256 == summary.sha256 => return Ok(false),
            Some(known) => {
                return Err(Error::Changed {
                    file: self.name.to_owned(),
                    line: summary.line_no,
                    account: account.name.clone(),
                    number: summary.number.clone(),
                    ends_on: summary.ends_on,
                    before: known.file,
                });
            }
        }
        Ok(true)
    }

    fn row(
        &self,
        account: &BankAccount,
        statement: BankStatementId,
        entry_no: i32,
        entry: Entry,
        days: &mut BTreeMap<Date, Day>,
    ) -> Result<repo::NewEntry, Error> {
        let texts = entry.counterparty.iter().chain([&entry.text]).chain(&entry.references);
        let of_psp = account.is_of_psp(texts.map(String::as_str));
        if of_psp {
            let day = days.entry(entry.booked_on).or_default();
            day.entries += 1;
            day.amount = day.amount.checked_add(entry.amount.minor).ok_or(Error::Overflow)?;
        }
        let entry_id = BankEntryId::derive(self.merchant, statement, entry_no);
        Ok(repo::NewEntry { entry_id, entry_no, entry, of_psp })
    }

    /// Posts the entries, a transaction for each day.
    async fn book_in_tx(
        &self,
        tx: &mut PgTransaction<'_>,
        currency: Currency,
        statement: BankStatementId,
        days: &BTreeMap<Date, Day>,
    ) -> Result<(), Error> {
        let mut postings = Vec::new();
        let mut bookings = Vec::with_capacity(days.len());
        for (&date, day) in days {
            let id = BookingId::derive(self.merchant, &["bank", &statement.to_string(), &date.to_string()]);
            bookings.push((id, date, day));
            if day.amount != 0 {
                postings.push(posting(id, date, Money::new(day.amount, currency))?);
            }
        }
        let posted = ledger::posting::post_in_tx(tx, self.merchant, &postings).await?;
        let mut transactions = posted.into_iter();
        for (id, date, day) in bookings {
            let transaction = match (day.amount, transactions.by_ref()) {
                (0, _) => None,
                (_, posted) => match posted.next() {
                    Some(Posted::Now(transaction)) => Some(transaction),
                    Some(Posted::Before) | None => return Err(Error::PostedBefore),
                },
            };
            let booking =
                repo::NewBooking { id, date, entries: day.entries, amount: day.amount, transaction };
            repo::insert_booking(tx, self.merchant, statement, &booking).await?;
        }
        Ok(())
    }
}

/// Money that came, from where nobody can tell yet; or that went.
fn posting(id: BookingId, date: Date, amount: Money) -> Result<Posting, Error> {
    let source = Source { table: "bank", id: id.as_uuid() };
    let size = i64::try_from(amount.minor.unsigned_abs()).map_err(|_| Error::Overflow)?;
    let size = Money::new(size, amount.currency);
    let (debit, credit) = match amount.minor {
        0.. => (Account::BankCash, Account::Suspense),
        _ => (Account::Suspense, Account::BankCash),
    };
    Ok(Posting::builder(source, "bank", date).debit(debit, size).credit(credit, size).build()?)
}
