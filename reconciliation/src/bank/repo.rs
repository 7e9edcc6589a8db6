use money::{
    BankAccountId, BankEntryId, BankMatchId, BankStatementId, BookingId, Currency, FileId, MerchantId,
    PspAccountId, TransactionId,
};
use sqlx::{PgPool, PgTransaction};
use time::Date;
use uuid::Uuid;

use super::document::{Document, Summary};
use super::matching::{OpenEntry, Tie};
use super::{BankAccount, Error};
use crate::bank_statement::Entry;

/// What is open is matched and asked about for so many days after its own: what is older needs a person.
const LOOKED_AT_DAYS: i32 = 180;
/// Breaks that are opened in one go.
const BREAKS_AT_ONCE: i64 = 10_000;

fn currency(code: &str) -> Result<Currency, Error> {
    code.parse().map_err(|_| Error::Corrupt(code.to_owned()))
}

struct AccountRow {
    bank_account_id: BankAccountId,
    number: String,
    currency: String,
    name: String,
    delay_days: i32,
    payers: Vec<String>,
}

impl TryFrom<AccountRow> for BankAccount {
    type Error = Error;

    fn try_from(row: AccountRow) -> Result<Self, Error> {
        Ok(Self {
            bank_account_id: row.bank_account_id,
            number: row.number,
            currency: currency(&row.currency)?,
            name: row.name,
            delay_days: row.delay_days,
            payers: row.payers,
        })
    }
}

pub(super) async fn insert_account(
    pool: &PgPool,
    merchant: MerchantId,
    account: &BankAccount,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into bank_account (merchant_id, bank_account_id, number, currency, name, delay_days, payers, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, now())
         on conflict do nothing",
        merchant.as_uuid(),
        account.bank_account_id.as_uuid(),
        account.number,
        account.currency.code(),
        account.name,
        account.delay_days,
        &account.payers,
    )
    .execute(pool)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn account(
    pool: &PgPool,
    merchant: MerchantId,
    id: BankAccountId,
) -> Result<Option<BankAccount>, Error> {
    let row = sqlx::query_as!(
        AccountRow,
        r#"select bank_account_id as "bank_account_id: BankAccountId", number, currency, name, delay_days, payers
         from bank_account where merchant_id = $1 and bank_account_id = $2"#,
        merchant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    row.map(BankAccount::try_from).transpose()
}

pub(super) async fn accounts(pool: &PgPool, merchant: MerchantId) -> Result<Vec<BankAccount>, Error> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"select bank_account_id as "bank_account_id: BankAccountId", number, currency, name, delay_days, payers
         from bank_account where merchant_id = $1 order by name, bank_account_id"#,
        merchant.as_uuid(),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(BankAccount::try_from).collect()
}

/// All of the merchant's accounts: whoever else matches for the merchant waits for our commit.
pub(super) async fn lock_accounts(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
) -> Result<Vec<BankAccount>, Error> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"select bank_account_id as "bank_account_id: BankAccountId", number, currency, name, delay_days, payers
         from bank_account where merchant_id = $1 order by bank_account_id for no key update"#,
        merchant.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(BankAccount::try_from).collect()
}

/// False when the same content is there.
pub(super) async fn insert_file(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file_id: FileId,
    document: &Document,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into bank_file (merchant_id, file_id, sha256, name, format, statements, entries, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, now())
         on conflict do nothing",
        merchant.as_uuid(),
        file_id.as_uuid(),
        document.sha256.as_slice(),
        document.name.chars().take(255).collect::<String>(),
        document.format.as_str(),
        document.statements.len() as i32,
        document.entries() as i32,
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// A statement that is there.
pub(super) struct Known {
    pub sha256: Vec<u8>,
    /// The name of the file that it came in.
    pub file: String,
}

pub(super) async fn statement(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    id: BankStatementId,
) -> Result<Option<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        "select s.sha256, f.name as file from bank_statement s
         join bank_file f on f.merchant_id = s.merchant_id and f.file_id = s.file_id
         where s.merchant_id = $1 and s.statement_id = $2",
        merchant.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(&mut **tx)
    .await
}

pub(super) async fn insert_statement(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file_id: FileId,
    account: &BankAccount,
    id: BankStatementId,
    summary: &Summary,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into bank_statement (merchant_id, statement_id, bank_account_id, file_id, number, begins_on, ends_on, opening,
             closing, entries, moved, sha256, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now())",
        merchant.as_uuid(),
        id.as_uuid(),
        account.bank_account_id.as_uuid(),
        file_id.as_uuid(),
        summary.number,
        summary.begins_on,
        summary.ends_on,
        summary.opening,
        summary.closing,
        summary.entries as i32,
        summary.moved,
        summary.sha256.as_slice(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) struct NewEntry {
    pub entry_id: BankEntryId,
    pub entry_no: i32,
    pub entry: Entry,
    pub of_psp: bool,
}

pub(super) async fn insert_entries(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: &BankAccount,
    statement: BankStatementId,
    rows: &[NewEntry],
) -> Result<(), sqlx::Error> {
    let texts = |of: fn(&Entry) -> Option<&str>| -> Vec<Option<String>> {
        rows.iter().map(|row| of(&row.entry).map(str::to_owned)).collect()
    };
    let ids: Vec<Uuid> = rows.iter().map(|row| row.entry_id.as_uuid()).collect();
    let numbers: Vec<i32> = rows.iter().map(|row| row.entry_no).collect();
    let lines: Vec<i32> = rows.iter().map(|row| row.entry.line_no).collect();
    let amounts: Vec<i64> = rows.iter().map(|row| row.entry.amount.minor).collect();
    let booked: Vec<Date> = rows.iter().map(|row| row.entry.booked_on).collect();
    let valued: Vec<Date> = rows.iter().map(|row| row.entry.value_on).collect();
    let reversals: Vec<bool> = rows.iter().map(|row| row.entry.is_reversal).collect();
    let details: Vec<String> = rows.iter().map(|row| row.entry.text.clone()).collect();
    let references: Vec<serde_json::Value> =
        rows.iter().map(|row| row.entry.references.iter().cloned().collect()).collect();
    let of_psp: Vec<bool> = rows.iter().map(|row| row.of_psp).collect();
    sqlx::query!(
        "insert into bank_entry (merchant_id, statement_id, bank_account_id, entry_id, entry_no, line_no, amount, booked_on,
             value_on, is_reversal, code, bank_reference, customer_reference, counterparty, details, of_psp, other_references, open)
         select $1, $2, $3, e.entry_id, e.entry_no, e.line_no, e.amount, e.booked_on, e.value_on, e.is_reversal, e.code,
                e.bank_reference, e.customer_reference, e.counterparty, e.details, e.of_psp,
                array(select jsonb_array_elements_text(e.other_references)),
                case when e.of_psp then e.amount else 0 end
         from unnest($4::uuid[], $5::int[], $6::int[], $7::bigint[], $8::date[], $9::date[], $10::bool[], $11::text[],
                     $12::text[], $13::text[], $14::text[], $15::text[], $16::bool[], $17::jsonb[])
             as e (entry_id, entry_no, line_no, amount, booked_on, value_on, is_reversal, code, bank_reference,
                   customer_reference, counterparty, details, of_psp, other_references)",
        merchant.as_uuid(),
        statement.as_uuid(),
        account.bank_account_id.as_uuid(),
        &ids,
        &numbers,
        &lines,
        &amounts,
        &booked,
        &valued,
        &reversals,
        &texts(|entry| Some(&entry.code)) as &[Option<String>],
        &texts(|entry| entry.bank_reference.as_deref()) as &[Option<String>],
        &texts(|entry| entry.customer_reference.as_deref()) as &[Option<String>],
        &texts(|entry| entry.counterparty.as_deref()) as &[Option<String>],
        &details,
        &of_psp,
        &references,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) struct NewBooking {
    pub id: BookingId,
    pub date: Date,
    pub entries: i32,
    pub amount: i64,
    pub transaction: Option<TransactionId>,
}

pub(super) async fn insert_booking(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    statement: BankStatementId,
    booking: &NewBooking,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into bank_booking (merchant_id, booking_id, statement_id, booked_on, entries, amount, transaction_id)
         values ($1, $2, $3, $4, $5, $6, $7)",
        merchant.as_uuid(),
        booking.id.as_uuid(),
        statement.as_uuid(),
        booking.date,
        booking.entries,
        booking.amount,
        booking.transaction.map(|id| id.as_uuid()),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Currencies in which the merchant has bank accounts.
pub(super) async fn open_currencies(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
) -> Result<Vec<Currency>, Error> {
    let codes = sqlx::query_scalar!(
        "select distinct currency from bank_account where merchant_id = $1 order by currency",
        merchant.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    codes.iter().map(|code| currency(code)).collect()
}

/// An entry of which something is open.
pub(super) struct EntryRow {
    pub entry_id: BankEntryId,
    pub bank_account_id: BankAccountId,
    pub amount: i64,
    pub open: i64,
    pub booked_on: Date,
    pub bank_reference: Option<String>,
    pub customer_reference: Option<String>,
    pub other_references: Vec<String>,
    pub counterparty: Option<String>,
    pub details: String,
}

impl EntryRow {
    /// As matching sees it.
    pub fn open(&self) -> OpenEntry {
        let texts = [&self.customer_reference, &self.bank_reference, &self.counterparty];
        let texts = texts
            .into_iter()
            .flatten()
            .chain(&self.other_references)
            .chain([&self.details])
            .cloned()
            .collect();
        OpenEntry { left: self.open, booked_on: self.booked_on, texts }
    }

    /// For a person.
    pub fn shown(&self) -> String {
        let parts = [self.counterparty.as_deref(), Some(self.details.as_str())];
        let parts: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        parts.join(", ").chars().take(200).collect()
    }
}

/// Entries that may be tied. Of one that a person untied, a person says what it is.
pub(super) async fn open_entries(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
) -> Result<Vec<EntryRow>, sqlx::Error> {
    sqlx::query_as!(
        EntryRow,
        r#"select e.entry_id as "entry_id: BankEntryId", e.bank_account_id as "bank_account_id: BankAccountId", e.amount,
                e.open, e.booked_on, e.bank_reference, e.customer_reference, e.other_references, e.counterparty, e.details
         from bank_account a
         join bank_entry e on e.merchant_id = a.merchant_id and e.bank_account_id = a.bank_account_id
         where a.merchant_id = $1 and a.currency = $2 and e.open <> 0
           and e.booked_on > (select max(ends_on) - $3::int from bank_statement s
               where s.merchant_id = $1 and s.bank_account_id = a.bank_account_id)
           and not exists (select 1 from bank_match m
               where m.merchant_id = $1 and m.entry_id = e.entry_id and m.revoked_at is not null)
         order by e.booked_on, e.statement_id, e.entry_no"#,
        merchant.as_uuid(),
        currency.code(),
        LOOKED_AT_DAYS,
    )
    .fetch_all(&mut **tx)
    .await
}

/// A payout of which something is not at a bank.
pub(super) struct PayoutRow {
    pub psp_account_id: PspAccountId,
    pub payout_id: String,
    pub reference: Option<String>,
    pub amount: i64,
    pub open: i64,
    pub arrives_on: Date,
}

pub(super) async fn open_payouts(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
) -> Result<Vec<PayoutRow>, sqlx::Error> {
    sqlx::query_as!(
        PayoutRow,
        r#"select psp_account_id as "psp_account_id: PspAccountId", payout_id, reference, amount as "amount!", open as "open!",
                arrives_on
         from settlement_payout
         where merchant_id = $1 and currency = $2 and told + implied <> banked + resolved
           and arrives_on > (select max(ends_on) - $3::int from bank_statement s
               join bank_account a on a.merchant_id = s.merchant_id and a.bank_account_id = s.bank_account_id
               where s.merchant_id = $1 and a.currency = $2)
         order by arrives_on, psp_account_id, payout_id"#,
        merchant.as_uuid(),
        currency.code(),
        LOOKED_AT_DAYS,
    )
    .fetch_all(&mut **tx)
    .await
}

pub(super) struct NewMatch<'a> {
    pub match_id: BankMatchId,
    pub entry: &'a EntryRow,
    pub payout: &'a PayoutRow,
    pub tie: &'a Tie,
}

/// Writes matches, and takes what they tie of what is open, in their order.
pub(super) async fn insert_matches(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
    matches: &[NewMatch<'_>],
    transactions: &[TransactionId],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = matches.iter().map(|new| new.match_id.as_uuid()).collect();
    let entries: Vec<Uuid> = matches.iter().map(|new| new.entry.entry_id.as_uuid()).collect();
    let accounts: Vec<Uuid> = matches.iter().map(|new| new.payout.psp_account_id.as_uuid()).collect();
    let payouts: Vec<&str> = matches.iter().map(|new| new.payout.payout_id.as_str()).collect();
    let rules: Vec<&str> = matches.iter().map(|new| new.tie.rule.as_str()).collect();
    let allocated: Vec<i64> = matches.iter().map(|new| new.tie.allocated).collect();
    let transactions: Vec<Uuid> = transactions.iter().map(|id| id.as_uuid()).collect();
    for (account, (payout, allocated)) in accounts.iter().zip(payouts.iter().zip(&allocated)) {
        sqlx::query!(
            "update settlement_payout set banked = banked + $5
             where merchant_id = $1 and psp_account_id = $2 and payout_id = $3 and currency = $4",
            merchant.as_uuid(),
            account,
            payout,
            currency.code(),
            allocated,
        )
        .execute(&mut **tx)
        .await?;
    }
    sqlx::query!(
        "update bank_entry e set open = e.open - m.allocated
         from (select entry_id, sum(allocated)::bigint as allocated
               from unnest($2::uuid[], $3::bigint[]) as m (entry_id, allocated) group by entry_id) m
         where e.merchant_id = $1 and e.entry_id = m.entry_id",
        merchant.as_uuid(),
        &entries,
        &allocated,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into bank_match (merchant_id, currency, match_no, matched_at, match_id, entry_id, psp_account_id, payout_id,
             rule, allocated, transaction_id)
         select $1, $2, 0, now(), m.* from unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bigint[],
             $9::uuid[]) as m (match_id, entry_id, psp_account_id, payout_id, rule, allocated, transaction_id)",
        merchant.as_uuid(),
        currency.code(),
        &ids,
        &entries,
        &accounts,
        &payouts as &[&str],
        &rules as &[&str],
        &allocated,
        &transactions,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Entries of which something is open and nobody was told.
pub(super) async fn entries_without_break(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
) -> Result<Vec<EntryRow>, sqlx::Error> {
    sqlx::query_as!(
        EntryRow,
        r#"select e.entry_id as "entry_id: BankEntryId", e.bank_account_id as "bank_account_id: BankAccountId", e.amount,
                e.open, e.booked_on, e.bank_reference, e.customer_reference, e.other_references, e.counterparty, e.details
         from bank_account a
         join bank_entry e on e.merchant_id = a.merchant_id and e.bank_account_id = a.bank_account_id
         where a.merchant_id = $1 and a.currency = $2 and e.open <> 0
           and not exists (select 1 from recon_break b
               where b.merchant_id = $1 and b.bank_entry_id = e.entry_id)
         order by e.booked_on, e.statement_id, e.entry_no limit $3"#,
        merchant.as_uuid(),
        currency.code(),
        BREAKS_AT_ONCE,
    )
    .fetch_all(&mut **tx)
    .await
}

/// Payouts that should be at a bank, whole, by the last day of which all accounts of the currency have told, and nobody was
/// told that they are not.
pub(super) async fn overdue_payouts(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
) -> Result<Vec<PayoutRow>, sqlx::Error> {
    sqlx::query_as!(
        PayoutRow,
        r#"with told as (
             select a.bank_account_id, max(s.ends_on) as ends_on, max(a.delay_days) as delay_days
             from bank_account a
             join bank_statement s on s.merchant_id = a.merchant_id and s.bank_account_id = a.bank_account_id
             where a.merchant_id = $1 and a.currency = $2 group by a.bank_account_id
         )
         select psp_account_id as "psp_account_id: PspAccountId", payout_id, reference, amount as "amount!", open as "open!",
                arrives_on
         from settlement_payout p
         where merchant_id = $1 and currency = $2 and told + implied <> banked + resolved
           and arrives_on < (select min(ends_on) - max(delay_days) from told)
           and not exists (select 1 from recon_break b
               where b.merchant_id = $1 and b.psp_account_id = p.psp_account_id and b.payout_id = p.payout_id
                 and b.currency = p.currency)
         order by arrives_on, psp_account_id, payout_id limit $3"#,
        merchant.as_uuid(),
        currency.code(),
        BREAKS_AT_ONCE,
    )
    .fetch_all(&mut **tx)
    .await
}
