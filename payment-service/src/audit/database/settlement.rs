//! I14 and I15: settlement files, their lines, and what these came to.

use std::time::Duration;

use money::MerchantId;
use sqlx::PgConnection;

use super::{Counted, Figure, Found, in_ms};

/// Open breaks are what a person is to look at, and no offenders: they are counted.
pub(super) async fn left_open(
    db: &mut PgConnection,
    merchant: MerchantId,
    age: Duration,
) -> Result<Found, sqlx::Error> {
    let row = sqlx::query!(
        r#"with open as (
             select state || ' file ' || file_id as id, created_at as since from settlement_file
             where merchant_id = $1 and state <> 'settled'
             union all
             select 'line ' || file_id || '/' || line_no, waiting_since from settlement_evidence
             where merchant_id = $1 and settled_at is null
         ), offender as (
             select id from open where since < now() - $2::bigint * interval '1 millisecond'
         )
         select (select count(*) from settlement_file where merchant_id = $1)
              + (select count(*) from settlement_evidence where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!",
                (select count(*) from open) as "open!",
                (select count(*) from recon_break where merchant_id = $1 and state = 'open') as "breaks!""#,
        merchant.as_uuid(),
        in_ms(age),
    )
    .fetch_one(db)
    .await?;
    let found =
        Found { looked: row.looked, offending: row.offending, offenders: row.offenders, ..Found::default() };
    let younger = Figure::Sum(row.open - row.offending);
    Ok(found.with("open_and_younger", younger).with("open_breaks", Figure::Sum(row.breaks)))
}

pub(super) async fn files(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with stored as (
             select file_id, chunk_no, count(*) as lines from settlement_line
             where merchant_id = $1 group by file_id, chunk_no
         ), chunk as (
             select c.file_id, sum(c.lines + c.duplicates) as lines, bool_and(coalesce(s.lines, 0) = c.lines) as whole
             from settlement_chunk c left join stored s on s.file_id = c.file_id and s.chunk_no = c.chunk_no
             where c.merchant_id = $1 group by c.file_id
         ), read as (
             select file_id, lines from settlement_file where merchant_id = $1 and state <> 'reading'
         ), offender as (
             select r.file_id::text as id from read r left join chunk c on c.file_id = r.file_id
             where coalesce(c.lines, 0) <> r.lines or not coalesce(c.whole, true)
         )
         select (select count(*) from read) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// A line that differs in amount or currency is tied to its operation and has a break besides.
pub(super) async fn lines(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let row = sqlx::query!(
        r#"with matched as (
             select file_id, line_no, count(*) as matches from recon_match
             where merchant_id = $1 and revoked_at is null group by file_id, line_no
         ), broken as (
             select file_id, line_no, count(*) as breaks,
                    count(*) filter (where kind in ('amount', 'currency')) as differences
             from recon_break where merchant_id = $1 and line_no is not null group by file_id, line_no
         ), line as (
             select l.file_id || '/' || l.line_no as id, l.kind,
                    coalesce(m.matches, 0) as matches, coalesce(b.breaks, 0) as breaks,
                    coalesce(b.differences, 0) as differences,
                    e.line_no is not null and e.settled_at is null as waits
             from settlement_line l
             join settlement_chunk c on c.merchant_id = $1 and c.file_id = l.file_id and c.chunk_no = l.chunk_no
             left join settlement_evidence e on e.merchant_id = $1 and e.file_id = l.file_id and e.line_no = l.line_no
             left join matched m on m.file_id = l.file_id and m.line_no = l.line_no
             left join broken b on b.file_id = l.file_id and b.line_no = l.line_no
             where l.merchant_id = $1 and c.settled_at is not null
         ), offender as (
             select id from line
             where not case when kind = 'fee' or waits then matches = 0 and breaks = 0
                            -- the PSP's own to our bank explains itself
                            when kind in ('payout', 'payout_reversal') and matches = 0 and breaks = 0 then true
                            when matches = 1 then breaks = differences and breaks <= 1
                            else matches = 0 and breaks = 1 and differences = 0 end
         )
         select (select count(*) from line) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!",
                (select count(*) from line where matches > 0) as "matched!",
                (select count(*) from line where breaks > 0) as "broken!",
                (select count(*) from line where waits) as "waiting!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    let found =
        Found { looked: row.looked, offending: row.offending, offenders: row.offenders, ..Found::default() };
    Ok(found
        .with("matched", Figure::Sum(row.matched))
        .with("with_break", Figure::Sum(row.broken))
        .with("waiting", Figure::Sum(row.waiting)))
}

/// A line that does not wait is in a booking; one without offends under the name of its file.
pub(super) async fn bookings(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with line as (
             select l.booking_id, l.file_id, l.net
             from settlement_line_booking l
             join settlement_chunk c on c.merchant_id = $1 and c.file_id = l.file_id and c.chunk_no = l.chunk_no
             where l.merchant_id = $1 and c.settled_at is not null and (l.booking_id is not null or l.waiting_for is null)
         ), summed as (
             select booking_id, count(*) as lines, sum(net) as net from line group by booking_id
         ), moved as (
             select b.booking_id, sum(e.amount) as amount
             from settlement_booking b
             join ledger_account a on a.merchant_id = $1 and a.currency = b.currency
                  and a.code = 'psp_balance/' || b.psp_account_id
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = b.transaction_id
                  and e.account_id = a.account_id
             where b.merchant_id = $1 group by b.booking_id
         ), offender as (
             select b.booking_id::text as id
             from settlement_booking b
             left join summed s on s.booking_id = b.booking_id
             left join moved m on m.booking_id = b.booking_id
             where b.merchant_id = $1
               and (s.lines is distinct from b.lines::bigint or s.net <> b.balance_change
                    or coalesce(m.amount, 0) <> b.balance_change)
             union
             select 'unbooked lines of file ' || file_id from line where booking_id is null
         )
         select (select count(*) from settlement_booking where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}
