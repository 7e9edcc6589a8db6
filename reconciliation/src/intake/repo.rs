use std::collections::HashMap;

use money::{FileId, MerchantId, PspAccountId};
use sqlx::{PgPool, PgTransaction};

use super::document::Document;
use super::{Error, Target};
use crate::copy::Rows;
use crate::statement::{Line, Map};

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
    format: String,
    map_name: Option<String>,
    map_sha256: Option<Vec<u8>>,
}

impl Begun {
    /// Whether the document reads the file as it was read. A file that is whole needs its map no more, which may have learnt
    /// new words since.
    pub fn check_map(&self, document: &Document) -> Result<(), Error> {
        let told = |format: &str, map: Option<&str>| match map {
            Some(map) => format!("{format} by the map {map}"),
            None => format.to_owned(),
        };
        let before = told(&self.format, self.map_name.as_deref());
        let now = told(document.format.as_str(), document.map.as_ref().map(Map::name));
        if before != now {
            return Err(Error::OtherMap { file: document.name.clone(), before, now });
        }
        match &document.map {
            Some(map) if !self.whole && self.map_sha256.as_deref() != Some(map.sha256().as_slice()) => {
                Err(Error::ChangedMap { file: document.name.clone(), map: map.name().to_owned() })
            }
            _ => Ok(()),
        }
    }
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
             latest_at, identity, map_name, map_sha256, state, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'reading', now())
         on conflict do nothing",
        merchant.as_uuid(),
        file_id.as_uuid(),
        account.psp_account_id.as_uuid(),
        document.sha256.as_slice(),
        document.name.chars().take(255).collect::<String>(),
        document.format.as_str(),
        document.lines() as i32,
        chunk_lines as i32,
        document.latest_at,
        document.identity,
        document.map.as_ref().map(Map::name),
        document.map.as_ref().map(|map| map.sha256().to_vec()),
    )
    .execute(pool)
    .await?;
    let row = sqlx::query!(
        r#"select psp_account_id as "psp_account_id: PspAccountId", chunk_lines, state, format, map_name,
                map_sha256
         from settlement_file where merchant_id = $1 and file_id = $2"#,
        merchant.as_uuid(),
        file_id.as_uuid(),
    )
    .fetch_one(pool)
    .await?;
    Ok(Begun {
        psp_account_id: row.psp_account_id,
        chunk_lines: usize::try_from(row.chunk_lines).unwrap_or(chunk_lines),
        whole: row.state != "reading",
        format: row.format,
        map_name: row.map_name,
        map_sha256: row.map_sha256,
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

/// Stores the lines; false when one of them is there already, and none is stored.
pub(super) async fn copy_lines(
    tx: &mut PgTransaction<'_>,
    target: Target,
    chunk_no: i32,
    lines: &[Line],
) -> Result<bool, sqlx::Error> {
    let mut rows = Rows::of(26, lines.len() * 400);
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
            .text_or_null(line.psp_source.as_deref())
            .text_or_null(line.method.as_deref())
            .bigint_or_null(line.presented.map(|presented| presented.minor))
            .text_or_null(line.presented.map(|presented| presented.currency.code()))
            .bigint_or_null(line.fee_parts.interchange)
            .bigint_or_null(line.fee_parts.scheme)
            .bigint_or_null(line.fee_parts.markup);
    }
    let statement =
        "copy settlement_line (merchant_id, file_id, line_no, chunk_no, psp_account_id, psp_line_id, kind, category, gross,
             fee, net, currency, occurred_at, value_date, payout_id, operation_id, order_id, psp_reference, psp_movement,
             psp_source, method, presented_amount, presented_currency, interchange, scheme_fee, markup) from stdin (format binary)";
    rows.send_in_tx(tx, statement).await
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
