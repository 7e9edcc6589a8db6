//! What settling reads and writes. Each statement takes a batch.

use std::collections::{HashMap, HashSet};

use money::{BookingId, Currency, FileId, MerchantId, OperationId, PspAccountId, SellerId};
use sqlx::{PgPool, PgTransaction};
use time::{Date, OffsetDateTime};
use uuid::Uuid;
use wallet::wallet::Split;

use super::Error;
use super::batch::{Batch, Stored};
use super::booking::Booking;
use crate::copy::Rows;
use crate::matching::{Effect, Rule};
use crate::statement::{FeeParts, Line, LineKind};

pub(super) async fn merchants_due(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    // two index probes per merchant, however many files and lines there are
    sqlx::query_scalar!(
        r#"select m.merchant_id as "merchant_id: MerchantId" from merchant m
         where exists (select 1 from settlement_file f where f.merchant_id = m.merchant_id and f.state = 'read')
            or exists (select 1 from settlement_evidence e where e.merchant_id = m.merchant_id and e.settled_at is null)"#
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn unsettled(
    pool: &PgPool,
    merchant: MerchantId,
    files: &[FileId],
) -> Result<u64, sqlx::Error> {
    let files: Vec<Uuid> = files.iter().map(|file| file.as_uuid()).collect();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from settlement_file
         where merchant_id = $1 and file_id = any($2) and state <> 'settled'"#,
        merchant.as_uuid(),
        &files,
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Files that may be settled, in the order they came.
pub(super) async fn open_files(pool: &PgPool, merchant: MerchantId) -> Result<Vec<FileId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select file_id as "file_id: FileId" from settlement_file
         where merchant_id = $1 and state = 'read' order by created_at, file_id"#,
        merchant.as_uuid(),
    )
    .fetch_all(pool)
    .await
}

/// A line's row.
struct LineRow {
    chunk_no: i32,
    line_no: i32,
    psp_line_id: String,
    kind: String,
    category: String,
    gross: i64,
    fee: i64,
    net: i64,
    currency: String,
    occurred_at: OffsetDateTime,
    value_date: Date,
    payout_id: Option<String>,
    operation_id: Option<OperationId>,
    order_id: Option<String>,
    psp_reference: Option<String>,
    psp_movement: Option<String>,
    psp_source: Option<String>,
    refused: Option<String>,
}

impl TryFrom<LineRow> for Stored {
    type Error = Error;

    fn try_from(row: LineRow) -> Result<Self, Error> {
        let kind = LineKind::from_word(&row.kind).ok_or(Error::Corrupt(row.kind))?;
        let line = Line {
            line_no: row.line_no,
            psp_line_id: row.psp_line_id,
            kind,
            category: row.category,
            gross: row.gross,
            fee: row.fee,
            net: row.net,
            currency: currency(&row.currency)?,
            occurred_at: row.occurred_at,
            value_date: row.value_date,
            payout_id: row.payout_id,
            payout_on: None,
            operation_id: row.operation_id,
            order_id: row.order_id,
            psp_reference: row.psp_reference,
            psp_movement: row.psp_movement,
            psp_source: row.psp_source,
            // the row has them, and nothing that is decided here asks
            presented: None,
            fee_parts: FeeParts::default(),
            method: None,
        };
        Ok(Self { chunk_no: row.chunk_no, line, refused: row.refused })
    }
}

pub(crate) fn currency(code: &str) -> Result<Currency, Error> {
    code.parse().map_err(|_| Error::Corrupt(code.to_owned()))
}

/// Lines of one file that waited and need not any longer.
pub(super) struct Waiting {
    pub file_id: FileId,
    pub psp_account_id: PspAccountId,
    pub lines: Vec<Stored>,
}

impl Waiting {
    /// The place of its last line.
    pub fn last_place(&self) -> LinePlace {
        let line_no = self.lines.last().map_or(i32::MAX, |stored| stored.line.line_no);
        LinePlace { file_id: self.file_id, line_no }
    }
}

/// A line among all lines of a merchant.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinePlace {
    pub file_id: FileId,
    pub line_no: i32,
}

impl LinePlace {
    /// Before all of them.
    pub const FIRST: Self = Self { file_id: FileId::from_uuid(Uuid::nil()), line_no: 0 };
}

/// Lines of one file that waited and need not any longer: the first ones after `after`, of which nobody else is at.
pub(super) async fn claim_ripe_evidence(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    after: LinePlace,
    limit: i64,
) -> Result<Option<Waiting>, Error> {
    let first = sqlx::query!(
        r#"select e.file_id as "file_id: FileId", e.line_no, f.psp_account_id as "psp_account_id: PspAccountId"
         from settlement_evidence e
         join settlement_file f on f.merchant_id = e.merchant_id and f.file_id = e.file_id
         join settlement_line l on l.merchant_id = e.merchant_id and l.psp_account_id = e.psp_account_id
              and l.psp_line_id = e.psp_line_id
         where e.merchant_id = $1 and e.settled_at is null and (e.file_id, e.line_no) > ($2, $3)
           and (e.refused is not null or exists (
               select 1 from settleable_operation o
               where o.merchant_id = $1 and o.operation_id = e.operation_id
                 and (o.status = 'reversed'
                      or o.status = 'succeeded' and l.kind not in ('refund_failure', 'chargeback_reversal', 'payout_reversal'))))
         order by e.file_id, e.line_no limit 1
         for no key update of e skip locked"#,
        merchant.as_uuid(),
        after.file_id.as_uuid(),
        after.line_no,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(first) = first else { return Ok(None) };
    let rows = sqlx::query_as!(
        LineRow,
        r#"select l.chunk_no, l.line_no, l.psp_line_id, l.kind, l.category, l.gross, l.fee, l.net, l.currency, l.occurred_at,
                l.value_date, l.payout_id, l.operation_id as "operation_id: OperationId", l.order_id, l.psp_reference,
                l.psp_movement, l.psp_source, e.refused
         from settlement_evidence e
         join settlement_line l on l.merchant_id = e.merchant_id and l.psp_account_id = e.psp_account_id
              and l.psp_line_id = e.psp_line_id
         where e.merchant_id = $1 and e.file_id = $2 and e.line_no >= $3 and e.settled_at is null
           and (e.refused is not null or exists (
               select 1 from settleable_operation o
               where o.merchant_id = $1 and o.operation_id = e.operation_id
                 and (o.status = 'reversed'
                      or o.status = 'succeeded' and l.kind not in ('refund_failure', 'chargeback_reversal', 'payout_reversal'))))
         order by e.line_no limit $4
         for no key update of e skip locked"#,
        merchant.as_uuid(),
        first.file_id.as_uuid(),
        first.line_no,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    let lines = rows.into_iter().map(Stored::try_from).collect::<Result<_, _>>()?;
    Ok(Some(Waiting { file_id: first.file_id, psp_account_id: first.psp_account_id, lines }))
}

/// How captures fall on their payments' splits.
pub(super) async fn splits(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    captures: &[OperationId],
) -> Result<HashMap<OperationId, Vec<Split>>, Error> {
    let mut splits: HashMap<OperationId, Vec<Split>> = HashMap::with_capacity(captures.len());
    if captures.is_empty() {
        return Ok(splits);
    }
    let ids: Vec<Uuid> = captures.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select operation_id as "operation_id!: OperationId", seller_id as "seller_id!", amount as "amount!",
                platform_fee as "platform_fee!"
         from unnest($2::uuid[]) as of_capture (id)
         cross join lateral (
             select * from settleable_split s where s.merchant_id = $1 and s.operation_id = of_capture.id offset 0
         ) s"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let split =
            Split { seller: seller(&row.seller_id)?, amount: row.amount, platform_fee: row.platform_fee };
        splits.entry(row.operation_id).or_default().push(split);
    }
    Ok(splits)
}

pub(super) fn seller(id: &str) -> Result<SellerId, Error> {
    SellerId::try_from(id.to_owned()).map_err(|_| Error::Corrupt(id.to_owned()))
}

/// What refunds took of captures while these were not settled, by seller.
pub(super) async fn draws(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    captures: &[OperationId],
) -> Result<HashMap<OperationId, Vec<(SellerId, i64)>>, Error> {
    let ids: Vec<Uuid> = captures.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select operation_id as "operation_id!: OperationId", seller_id as "seller_id!", amount as "amount!"
         from unnest($2::uuid[]) as of_capture (id)
         cross join lateral (
             select * from settleable_draw d where d.merchant_id = $1 and d.operation_id = of_capture.id offset 0
         ) d"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut draws: HashMap<OperationId, Vec<(SellerId, i64)>> = HashMap::new();
    for row in rows {
        draws.entry(row.operation_id).or_default().push((seller(&row.seller_id)?, row.amount));
    }
    Ok(draws)
}

/// A line's match to an operation.
pub(super) struct NewMatch {
    /// The operation's payment, or the payout that it is.
    pub about: Uuid,
    pub operation_id: OperationId,
    pub effect: Effect,
    pub line_no: i32,
    pub rule: Rule,
    /// Whether it makes the sellers' parts available.
    pub released: bool,
    pub allocated: i64,
    pub booking_id: BookingId,
    /// Whether its line is stored in the same transaction.
    pub at_once: bool,
}

impl NewMatch {
    /// What tells it from others.
    pub const fn key(&self) -> (OperationId, Effect) {
        (self.operation_id, self.effect)
    }
}

/// Ties lines to operations; false when one of these is tied already, and then none is.
pub(super) async fn copy_matches(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file: FileId,
    matches: &[NewMatch],
) -> Result<bool, sqlx::Error> {
    if matches.is_empty() {
        return Ok(true);
    }
    let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut **tx).await?;
    let mut rows = Rows::of(12, matches.len() * 200);
    for new in matches {
        rows.row()
            .uuid(merchant.as_uuid())
            .uuid(file.as_uuid())
            .integer(new.line_no)
            .uuid(new.about)
            .uuid(new.operation_id.as_uuid())
            .text(new.effect.as_str())
            .text(new.rule.as_str())
            .boolean(new.released)
            .bigint(new.allocated)
            .uuid(new.booking_id.as_uuid())
            .timestamptz(now)
            .boolean(new.at_once);
    }
    let statement =
        "copy recon_match (merchant_id, file_id, line_no, about_id, operation_id, effect, rule, released, allocated, booking_id,
             matched_at, at_once) from stdin (format binary)";
    rows.send_in_tx(tx, statement).await
}

/// Ties lines to operations whose effect is not tied yet, and answers which lines those are.
pub(super) async fn insert_matches(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file: FileId,
    matches: &[NewMatch],
) -> Result<HashSet<i32>, sqlx::Error> {
    let about: Vec<Uuid> = matches.iter().map(|new| new.about).collect();
    let operations: Vec<Uuid> = matches.iter().map(|new| new.operation_id.as_uuid()).collect();
    let effects: Vec<&str> = matches.iter().map(|new| new.effect.as_str()).collect();
    let lines: Vec<i32> = matches.iter().map(|new| new.line_no).collect();
    let rules: Vec<&str> = matches.iter().map(|new| new.rule.as_str()).collect();
    let released: Vec<bool> = matches.iter().map(|new| new.released).collect();
    let allocated: Vec<i64> = matches.iter().map(|new| new.allocated).collect();
    let bookings: Vec<Uuid> = matches.iter().map(|new| new.booking_id.as_uuid()).collect();
    let at_once: Vec<bool> = matches.iter().map(|new| new.at_once).collect();
    let rows = sqlx::query_scalar!(
        r#"insert into recon_match (merchant_id, file_id, line_no, about_id, operation_id, effect, rule, released, allocated,
                                 booking_id, matched_at, at_once)
         select $1, $2, m.line_no, m.about_id, m.operation_id, m.effect, m.rule, m.released, m.allocated, m.booking_id,
                now(), m.at_once
         from unnest($3::int[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bool[], $9::bigint[], $10::uuid[],
                     $11::bool[])
             as m (line_no, about_id, operation_id, effect, rule, released, allocated, booking_id, at_once)
         order by m.about_id, m.operation_id, m.effect
         on conflict (merchant_id, about_id, operation_id, effect, operation_part, match_no) do nothing
         returning line_no"#,
        merchant.as_uuid(),
        file.as_uuid(),
        &lines,
        &about,
        &operations,
        &effects as &[&str],
        &rules as &[&str],
        &released,
        &allocated,
        &bookings,
        &at_once,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().collect())
}

pub(super) async fn insert_bookings(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &Batch,
    bookings: &[Booking],
) -> Result<(), sqlx::Error> {
    let sums = |of: fn(&Booking) -> i64| -> Vec<i64> { bookings.iter().map(of).collect() };
    let counts = |of: fn(&Booking) -> i32| -> Vec<i32> { bookings.iter().map(of).collect() };
    let ids: Vec<Uuid> = bookings.iter().map(|booking| booking.id.as_uuid()).collect();
    let payouts: Vec<Option<&str>> =
        bookings.iter().map(|booking| booking.key.payout_id.as_deref()).collect();
    let currencies: Vec<&str> = bookings.iter().map(|booking| booking.key.currency.code()).collect();
    let transactions: Vec<Option<Uuid>> =
        bookings.iter().map(|booking| booking.transaction.map(|id| id.as_uuid())).collect();
    let payout_on: Vec<Option<Date>> = bookings.iter().map(|booking| booking.payout_on).collect();
    sqlx::query!(
        "insert into settlement_booking (merchant_id, file_id, psp_account_id, late, booking_id, chunk_no, payout_id,
             currency, transaction_id, lines, matched, captures, refunds, chargebacks, adjustments, fee_lines, payouts,
             seller_payouts, fees, suspense, payout_on, implied, booked_at)
         select $1, $2, $3, $4, b.*, false, now() from unnest($5::uuid[], $6::int[], $7::text[], $8::text[], $9::uuid[],
             $10::int[], $11::int[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[],
             $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::date[])
             as b (booking_id, chunk_no, payout_id, currency, transaction_id, lines, matched, captures, refunds, chargebacks,
                   adjustments, fee_lines, payouts, seller_payouts, fees, suspense, payout_on)",
        merchant.as_uuid(),
        batch.file_id.as_uuid(),
        batch.psp_account_id.as_uuid(),
        batch.late,
        &ids,
        &counts(|booking| booking.key.chunk_no),
        &payouts as &[Option<&str>],
        &currencies as &[&str],
        &transactions as &[Option<Uuid>],
        &counts(|booking| booking.lines),
        &counts(|booking| booking.matched),
        &sums(|booking| booking.captures),
        &sums(|booking| booking.refunds),
        &sums(|booking| booking.chargebacks),
        &sums(|booking| booking.adjustments),
        &sums(|booking| booking.fee_lines),
        &sums(|booking| booking.payouts),
        &sums(|booking| booking.seller_payouts),
        &sums(|booking| booking.fees),
        &sums(|booking| booking.suspense),
        &payout_on as &[Option<Date>],
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn insert_evidence(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    file: FileId,
    waiting: &[(&Stored, OperationId)],
) -> Result<(), sqlx::Error> {
    let lines: Vec<i32> = waiting.iter().map(|(stored, _)| stored.line.line_no).collect();
    let chunks: Vec<i32> = waiting.iter().map(|(stored, _)| stored.chunk_no).collect();
    let operations: Vec<Uuid> = waiting.iter().map(|(_, operation)| operation.as_uuid()).collect();
    let psp_line_ids: Vec<&str> =
        waiting.iter().map(|(stored, _)| stored.line.psp_line_id.as_str()).collect();
    sqlx::query!(
        "insert into settlement_evidence (merchant_id, file_id, line_no, chunk_no, operation_id, psp_account_id, psp_line_id,
             waiting_since)
         select $1, $2, e.line_no, e.chunk_no, e.operation_id, $7, e.psp_line_id, now()
         from unnest($3::int[], $4::int[], $5::uuid[], $6::text[]) as e (line_no, chunk_no, operation_id, psp_line_id)",
        merchant.as_uuid(),
        file.as_uuid(),
        &lines,
        &chunks,
        &operations,
        &psp_line_ids as &[&str],
        account.as_uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn evidence_settled(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file: FileId,
    settled: &[(i32, BookingId)],
) -> Result<(), sqlx::Error> {
    let lines: Vec<i32> = settled.iter().map(|(line, _)| *line).collect();
    let bookings: Vec<Uuid> = settled.iter().map(|(_, booking)| booking.as_uuid()).collect();
    sqlx::query!(
        "update settlement_evidence e set settled_at = now(), booking_id = s.booking_id
         from unnest($3::int[], $4::uuid[]) as s (line_no, booking_id)
         where e.merchant_id = $1 and e.file_id = $2 and e.line_no = s.line_no and e.settled_at is null",
        merchant.as_uuid(),
        file.as_uuid(),
        &lines,
        &bookings,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A file of which every chunk is booked.
pub(super) struct BookedFile {
    pub psp_account_id: PspAccountId,
    pub format: String,
    pub latest_at: Option<OffsetDateTime>,
    pub delay_days: i32,
}

pub(super) async fn booked_file(
    pool: &PgPool,
    merchant: MerchantId,
    file: FileId,
) -> Result<Option<BookedFile>, sqlx::Error> {
    sqlx::query_as!(
        BookedFile,
        r#"select f.psp_account_id as "psp_account_id: PspAccountId", f.format, f.latest_at,
                a.settlement_delay_days as "delay_days!"
         from settlement_file f
         join settleable_account a on a.merchant_id = f.merchant_id and a.psp_account_id = f.psp_account_id
         where f.merchant_id = $1 and f.file_id = $2 and f.state = 'read'"#,
        merchant.as_uuid(),
        file.as_uuid(),
    )
    .fetch_optional(pool)
    .await
}

/// Answers whether it is we who mark it: whoever else would, waits for our commit and then does not.
pub(super) async fn mark_settled(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    file: FileId,
) -> Result<bool, sqlx::Error> {
    let marked = sqlx::query!(
        "update settlement_file set state = 'settled', settled_at = now()
         where merchant_id = $1 and file_id = $2 and state = 'read'",
        merchant.as_uuid(),
        file.as_uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(marked.rows_affected() == 1)
}
