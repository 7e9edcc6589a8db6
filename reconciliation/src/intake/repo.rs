use std::collections::HashMap;

use money::{FileId, MerchantId, PspAccountId};
use sqlx::{PgPool, PgTransaction};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::Target;
use super::document::Document;
use crate::copy::Rows;
use crate::statement::{Format, Line};

/// An account of a merchant's at a PSP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub psp_account_id: PspAccountId,
    /// The merchant's name for it.
    pub name: String,
}

/// A file whose reading broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// Its id.
    pub file_id: FileId,
    /// The name it came under.
    pub name: String,
}

pub(super) async fn accounts(
    pool: &PgPool,
    merchant: MerchantId,
    named: Option<PspAccountId>,
) -> Result<Vec<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"select psp_account_id as "psp_account_id!: PspAccountId", name as "name!" from settleable_account
         where merchant_id = $1 and ($2::uuid is null or psp_account_id = $2) order by name"#,
        merchant.as_uuid(),
        named.map(PspAccountId::as_uuid),
    )
    .fetch_all(pool)
    .await
}

pub(super) struct Begun {
    pub psp_account_id: PspAccountId,
    pub chunk_lines: usize,
    /// All of it is stored.
    pub whole: bool,
}

/// Makes the file's row, or finds it.
pub(super) async fn begin_file(
    pool: &PgPool,
    merchant: MerchantId,
    account: &Account,
    file_id: FileId,
    document: &Document,
    chunk_lines: usize,
) -> Result<Begun, sqlx::Error> {
    // the id follows from the content: rivals trip either key of the file, whichever is looked at first
    sqlx::query!(
        "insert into settlement_file (merchant_id, file_id, psp_account_id, sha256, name, format, lines, chunk_lines,
             latest_at, state, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'reading', now())
         on conflict do nothing",
        merchant.as_uuid(),
        file_id.as_uuid(),
        account.psp_account_id.as_uuid(),
        document.sha256.as_slice(),
        document.name.chars().take(255).collect::<String>(),
        Format::StripePayoutReconciliation.as_str(),
        document.lines as i32,
        chunk_lines as i32,
        document.latest_at,
    )
    .execute(pool)
    .await?;
    let row = sqlx::query!(
        r#"select psp_account_id as "psp_account_id: PspAccountId", chunk_lines, state from settlement_file
         where merchant_id = $1 and file_id = $2"#,
        merchant.as_uuid(),
        file_id.as_uuid(),
    )
    .fetch_one(pool)
    .await?;
    Ok(Begun {
        psp_account_id: row.psp_account_id,
        chunk_lines: usize::try_from(row.chunk_lines).unwrap_or(chunk_lines),
        whole: row.state != "reading",
    })
}

/// Whether the chunk is ours to store: `count` lines, of which the first and the last are told. Waits for a rival that is
/// storing it.
pub(super) async fn claim_chunk(
    tx: &mut PgTransaction<'_>,
    target: Target,
    chunk_no: i32,
    (first_line, last_line): (i32, i32),
    count: u64,
) -> Result<bool, sqlx::Error> {
    let claimed = sqlx::query!(
        "insert into settlement_chunk (merchant_id, file_id, chunk_no, first_line, last_line, lines, duplicates, settled_at)
         values ($1, $2, $3, $4, $5, $6, 0, now())
         on conflict (merchant_id, file_id, chunk_no) do nothing",
        target.merchant.as_uuid(),
        target.file_id.as_uuid(),
        chunk_no,
        first_line,
        last_line,
        count as i32,
    )
    .execute(&mut **tx)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

pub(super) async fn count_duplicates(
    tx: &mut PgTransaction<'_>,
    target: Target,
    chunk_no: i32,
    duplicates: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update settlement_chunk set lines = lines - $4, duplicates = $4
         where merchant_id = $1 and file_id = $2 and chunk_no = $3",
        target.merchant.as_uuid(),
        target.file_id.as_uuid(),
        chunk_no,
        duplicates as i32,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lines column by column, as `unnest` takes them.
#[derive(Default)]
struct Columns<'a> {
    line_nos: Vec<i32>,
    psp_line_ids: Vec<&'a str>,
    kinds: Vec<&'a str>,
    categories: Vec<&'a str>,
    gross: Vec<i64>,
    fees: Vec<i64>,
    net: Vec<i64>,
    currencies: Vec<&'a str>,
    occurred_at: Vec<OffsetDateTime>,
    value_dates: Vec<Date>,
    payout_ids: Vec<Option<&'a str>>,
    operation_ids: Vec<Option<Uuid>>,
    order_ids: Vec<Option<&'a str>>,
    psp_references: Vec<Option<&'a str>>,
    psp_movements: Vec<Option<&'a str>>,
    psp_sources: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut columns = Self::default();
        for line in lines {
            columns.line_nos.push(line.line_no);
            columns.psp_line_ids.push(&line.psp_line_id);
            columns.kinds.push(line.kind.as_str());
            columns.categories.push(&line.category);
            columns.gross.push(line.gross);
            columns.fees.push(line.fee);
            columns.net.push(line.net);
            columns.currencies.push(line.currency.code());
            columns.occurred_at.push(line.occurred_at);
            columns.value_dates.push(line.value_date);
            columns.payout_ids.push(line.payout_id.as_deref());
            columns.operation_ids.push(line.operation_id.map(|id| id.as_uuid()));
            columns.order_ids.push(line.order_id.as_deref());
            columns.psp_references.push(line.psp_reference.as_deref());
            columns.psp_movements.push(line.psp_movement.as_deref());
            columns.psp_sources.push(line.psp_source.as_deref());
        }
        columns
    }
}

/// Stores the lines; false when one of them is there already, and none is stored.
pub(super) async fn copy_lines(
    tx: &mut PgTransaction<'_>,
    target: Target,
    chunk_no: i32,
    lines: &[Line],
) -> Result<bool, sqlx::Error> {
    let mut rows = Rows::of(20, lines.len() * 400);
    for line in lines {
        rows.row()
            .uuid(target.merchant.as_uuid())
            .uuid(target.file_id.as_uuid())
            .integer(line.line_no)
            .integer(chunk_no)
            .uuid(target.psp_account_id.as_uuid())
            .text(&line.psp_line_id)
            .text(line.kind.as_str())
            .text(&line.category)
            .bigint(line.gross)
            .bigint(line.fee)
            .bigint(line.net)
            .text(line.currency.code())
            .timestamptz(line.occurred_at)
            .date(line.value_date)
            .text_or_null(line.payout_id.as_deref())
            .uuid_or_null(line.operation_id.map(|id| id.as_uuid()))
            .text_or_null(line.order_id.as_deref())
            .text_or_null(line.psp_reference.as_deref())
            .text_or_null(line.psp_movement.as_deref())
            .text_or_null(line.psp_source.as_deref());
    }
    let statement =
        "copy settlement_line (merchant_id, file_id, line_no, chunk_no, psp_account_id, psp_line_id, kind, category, gross,
             fee, net, currency, occurred_at, value_date, payout_id, operation_id, order_id, psp_reference, psp_movement,
             psp_source) from stdin (format binary)";
    rows.send_in_tx(tx, statement).await
}

/// Stores the lines that were never stored before, and answers which those are. Rivals with the same lines insert them
/// in one order, and of two in this chunk the first is kept.
pub(super) async fn insert_lines(
    tx: &mut PgTransaction<'_>,
    target: Target,
    chunk_no: i32,
    lines: &[Line],
) -> Result<Vec<i32>, sqlx::Error> {
    let columns = Columns::of(lines);
    sqlx::query_scalar!(
        "insert into settlement_line (merchant_id, file_id, chunk_no, psp_account_id, line_no, psp_line_id, kind, category,
             gross, fee, net, currency, occurred_at, value_date, payout_id, operation_id, order_id, psp_reference,
             psp_movement, psp_source)
         select $1, $2, $3, $4, l.* from unnest($5::int[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
             $11::bigint[], $12::text[], $13::timestamptz[], $14::date[], $15::text[], $16::uuid[], $17::text[], $18::text[],
             $19::text[], $20::text[])
             as l (line_no, psp_line_id, kind, category, gross, fee, net, currency, occurred_at, value_date, payout_id,
                   operation_id, order_id, psp_reference, psp_movement, psp_source)
         order by l.psp_line_id, l.line_no
         on conflict (merchant_id, psp_account_id, psp_line_id) do nothing
         returning line_no",
        target.merchant.as_uuid(),
        target.file_id.as_uuid(),
        chunk_no,
        target.psp_account_id.as_uuid(),
        &columns.line_nos,
        &columns.psp_line_ids as &[&str],
        &columns.kinds as &[&str],
        &columns.categories as &[&str],
        &columns.gross,
        &columns.fees,
        &columns.net,
        &columns.currencies as &[&str],
        &columns.occurred_at,
        &columns.value_dates,
        &columns.payout_ids as &[Option<&str>],
        &columns.operation_ids as &[Option<Uuid>],
        &columns.order_ids as &[Option<&str>],
        &columns.psp_references as &[Option<&str>],
        &columns.psp_movements as &[Option<&str>],
        &columns.psp_sources as &[Option<&str>],
    )
    .fetch_all(&mut **tx)
    .await
}

/// The line that was stored, where another came with its identity.
pub(super) struct FirstLine {
    pub psp_line_id: String,
    pub file_name: String,
    pub line_no: i32,
    pub gross: i64,
    pub fee: i64,
    pub currency: String,
}

pub(super) async fn first_lines(
    tx: &mut PgTransaction<'_>,
    target: Target,
    again: &[Line],
) -> Result<HashMap<String, FirstLine>, sqlx::Error> {
    let psp_line_ids: Vec<&str> = again.iter().map(|line| line.psp_line_id.as_str()).collect();
    let firsts = sqlx::query_as!(
        FirstLine,
        "select l.psp_line_id, f.name as file_name, l.line_no, l.gross, l.fee, l.currency
         from settlement_line l
         join settlement_file f on f.merchant_id = l.merchant_id and f.file_id = l.file_id
         where l.merchant_id = $1 and l.psp_account_id = $2 and l.psp_line_id = any($3)",
        target.merchant.as_uuid(),
        target.psp_account_id.as_uuid(),
        &psp_line_ids as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(firsts.into_iter().map(|first| (first.psp_line_id.clone(), first)).collect())
}

/// The file is read when all its lines are stored. Answers whether it is, whoever made it so.
pub(super) async fn finish_file(pool: &PgPool, target: Target, lines: u64) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update settlement_file set state = 'read', read_at = now()
         where merchant_id = $1 and file_id = $2 and state = 'reading'
           and $3 = (select coalesce(sum(lines + duplicates), 0) from settlement_chunk
                     where merchant_id = $1 and file_id = $2)",
        target.merchant.as_uuid(),
        target.file_id.as_uuid(),
        lines as i64,
    )
    .execute(pool)
    .await?;
    let state = sqlx::query_scalar!(
        "select state from settlement_file where merchant_id = $1 and file_id = $2",
        target.merchant.as_uuid(),
        target.file_id.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    Ok(state.is_some_and(|state| state != "reading"))
}

pub(super) async fn interrupted(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<Vec<Interrupted>, sqlx::Error> {
    sqlx::query_as!(
        Interrupted,
        r#"select file_id as "file_id: FileId", name from settlement_file
         where merchant_id = $1 and psp_account_id = $2 and state = 'reading' order by created_at, file_id"#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn drop_interrupted(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file_id: FileId,
) -> Result<bool, sqlx::Error> {
    let (merchant, file_id) = (merchant.as_uuid(), file_id.as_uuid());
    let dropped = sqlx::query!(
        "delete from settlement_file f where merchant_id = $1 and file_id = $2 and state = 'reading'
           and not exists (select 1 from settlement_chunk c where c.merchant_id = $1 and c.file_id = $2)",
        merchant,
        file_id,
    )
    .execute(&mut **tx)
    .await?;
    Ok(dropped.rows_affected() == 1)
}
