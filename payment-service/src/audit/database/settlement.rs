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

/// Payouts to our bank are what was booked as paid out, and one without a line of its own is what its lines come to.
pub(super) async fn payouts(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with part as (
             select psp_account_id, currency, amount as told, 0::bigint as booked
             from settlement_payout where merchant_id = $1
             union all
             select psp_account_id, currency, 0, -payouts from settlement_booking where merchant_id = $1
         ), line as (
             select p.psp_account_id, p.payout_id, p.currency, b.balance_change as net
             from settlement_payout p
             join settlement_booking b on b.merchant_id = $1 and b.psp_account_id = p.psp_account_id
                  and b.payout_id = p.payout_id and b.currency = p.currency
             where p.merchant_id = $1 and p.implied <> 0
             union all
             select p.psp_account_id, p.payout_id, p.currency, l.net
             from settlement_payout p
             join settlement_line l on l.merchant_id = $1 and l.psp_account_id = p.psp_account_id
                  and l.payout_id = p.payout_id and l.currency = p.currency
             join settlement_evidence e on e.merchant_id = $1 and e.psp_account_id = l.psp_account_id
                  and e.psp_line_id = l.psp_line_id and e.settled_at is null
             join settlement_file f on f.merchant_id = $1 and f.file_id = l.file_id and f.state = 'settled'
             where p.merchant_id = $1 and p.implied <> 0
         ), offender as (
             select 'account ' || psp_account_id || ' ' || currency as id
             from part group by psp_account_id, currency having sum(told) <> sum(booked)
             union all
             select 'payout ' || payout_id || ' ' || currency
             from line l
             -- of a file whose end was not reached, the lines are not paid out yet
             where not exists (select 1 from settlement_booking b
                 join settlement_file f on f.merchant_id = $1 and f.file_id = b.file_id and f.state <> 'settled'
                 where b.merchant_id = $1 and b.psp_account_id = l.psp_account_id and b.payout_id = l.payout_id)
             group by psp_account_id, payout_id, currency having sum(net) <> 0
         )
         select (select count(*) from settlement_payout where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// A bank's statement is the sum of its entries, and what of them is of PSPs is booked by its day; what people moved for a
/// break is in the ledger as they said.
pub(super) async fn bank(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with entry as (
             select statement_id, count(*) as entries, sum(amount) as amount from bank_entry
             where merchant_id = $1 group by statement_id
         ), day as (
             select statement_id, booked_on, count(*) as entries, sum(amount) as amount from bank_entry
             where merchant_id = $1 and of_psp group by statement_id, booked_on
         ), posted as (
             select t.source_id, t.kind, a.code, e.amount
             from ledger_transaction t
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = t.transaction_id
             join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             where t.merchant_id = $1 and t.source_type in ('bank', 'bank_match', 'break')
         ), offender as (
             select 'statement ' || s.statement_id as id
             from bank_statement s left join entry e on e.statement_id = s.statement_id
             where s.merchant_id = $1 and (coalesce(e.entries, 0) <> s.entries or coalesce(e.amount, 0) <> s.moved)
             union all
             select 'day ' || coalesce(b.booked_on, d.booked_on) || ' of ' || coalesce(b.statement_id, d.statement_id)
             from (select * from bank_booking where merchant_id = $1) b
             full join day d on d.statement_id = b.statement_id and d.booked_on = b.booked_on
             left join posted p on p.source_id = b.booking_id and p.code = 'bank_cash'
             where (b.entries, b.amount) is distinct from (d.entries, d.amount) or coalesce(p.amount, 0) <> b.amount
             union all
             select 'match ' || m.match_id
             from bank_match m
             left join posted p on p.source_id = m.match_id and p.kind = 'bank_match' and p.code = 'suspense'
             where m.merchant_id = $1 and p.amount is distinct from m.allocated
             union all
             select 'adjustment ' || r.adjustment_id
             from recon_adjustment r
             left join posted p on p.source_id = r.adjustment_id and p.kind = 'adjust' and p.code = r.to_account
             where r.merchant_id = $1 and p.amount is distinct from r.amount
             union all
             -- an adjusted break's money is moved, and only such a break's
             select 'break ' || b.break_id
             from recon_break b
             left join recon_adjustment r on r.merchant_id = $1 and r.break_id = b.break_id and r.reversed_by is null
             where b.merchant_id = $1 and (r.break_id is null) = (b.closed_how is not distinct from 'adjusted')
         )
         select (select count(*) from bank_statement where merchant_id = $1)
              + (select count(*) from recon_adjustment where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
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
               and (coalesce(s.lines, 0) <> b.lines::bigint
                    or case when b.implied then b.payouts else s.net end is distinct from b.balance_change
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
