-- A chunk of a settlement file is stored and booked in one commit, so that five million lines are a matter of minutes. What
-- is looked up or kept per line lies beside its neighbours: payments have ids in the order of time, operations have not.

-- Before, chunks were stored and booked one after the other. What is stored is booked first.
do $$ begin
    if exists (select 1 from settlement_chunk where settled_at is null) then
        raise exception 'there are settlement files that are not booked'
            using hint = 'Run `reconcile` of the version before to its end (give a file whose reading broke off again, or drop it), then this one.';
    end if;
end $$;
drop index settlement_chunk_due;
alter table settlement_chunk alter column settled_at set not null;

-- A line is known by the PSP's id of it. Where it is in its file is in the order of the rows, which costs nothing to keep.
alter table settlement_evidence drop constraint settlement_evidence_line_fkey;
alter table settlement_line
    drop constraint settlement_line_pkey,
    drop constraint settlement_line_once,
    -- a line is booked once, in whichever and however many files it comes
    add constraint settlement_line_pkey primary key (merchant_id, psp_account_id, psp_line_id),
    drop constraint settlement_line_currency_iso,
    -- the letters are checked where files are read; a pattern for each line would cost more than its row
    add constraint settlement_line_currency_iso check (length(currency) = 3 and upper(currency) = currency);
create index settlement_line_place on settlement_line using brin (merchant_id, file_id, line_no)
    with (pages_per_range = 32);
alter table settlement_evidence
    add column psp_account_id uuid,
    add column psp_line_id    text;
update settlement_evidence e set psp_account_id = l.psp_account_id, psp_line_id = l.psp_line_id
from settlement_line l where l.merchant_id = e.merchant_id and l.file_id = e.file_id and l.line_no = e.line_no;
alter table settlement_evidence
    alter column psp_account_id set not null,
    alter column psp_line_id set not null,
    add constraint settlement_evidence_line_fkey foreign key (merchant_id, psp_account_id, psp_line_id)
        references settlement_line (merchant_id, psp_account_id, psp_line_id);

-- What a match is about: the operation's payment, or the payout to a seller that it is. A line may be of several
-- operations, and an operation of several lines: each has its parts, numbered from 0 without a gap, and what takes all of
-- it is part 0.
alter table recon_match
    add column about_id       uuid,
    add column line_part      smallint not null default 0,
    add column operation_part smallint not null default 0,
    -- made in the commit that stored the line, which has no other then; else its line waited, or was a break
    add column at_once        boolean  not null default true;
update recon_match m set
    about_id = coalesce(
        (select payment_id from operation o where o.merchant_id = m.merchant_id and o.operation_id = m.operation_id),
        (select payment_id from dispute d where d.merchant_id = m.merchant_id and d.dispute_id = m.operation_id),
        m.operation_id),
    at_once = not exists (select 1 from settlement_evidence e
        where e.merchant_id = m.merchant_id and e.file_id = m.file_id and e.line_no = m.line_no);
drop view released_capture;
drop index recon_match_operation_once;
alter table recon_match
    alter column about_id set not null,
    alter column at_once drop default,
    add constraint recon_match_parts_numbered check (line_part >= 0 and operation_part >= 0),
    drop constraint recon_match_pkey,
    -- with recon_match_held_is_0: a part of an operation's effect is of one line while the match holds
    add constraint recon_match_pkey
        primary key (merchant_id, about_id, operation_id, effect, operation_part, match_no);
-- A line that was matched when it was stored is stored once; one that is matched later is matched once.
create unique index recon_match_line_once on recon_match (merchant_id, file_id, line_no, line_part)
    where revoked_at is null and not at_once;
create index recon_match_place on recon_match using brin (merchant_id, file_id, line_no) with (pages_per_range = 32);

create or replace function recon_match_of_line() returns trigger language plpgsql
    set enable_seqscan = off set search_path = pg_catalog, public, pg_temp as $$
begin
    perform 1
    from (select merchant_id, file_id, min(line_no) as first_line, max(line_no) as last_line
          from new_match where at_once group by merchant_id, file_id) n
    where not exists (
        select 1 from settlement_chunk c
        where c.merchant_id = n.merchant_id and c.file_id = n.file_id
          and n.first_line >= c.first_line and n.last_line <= c.last_line);
    if found then
        raise exception 'a match is of a settlement line'
            using errcode = 'foreign_key_violation', constraint = 'recon_match_line_fkey', table = 'recon_match';
    end if;
    perform 1 from new_match n
    where not n.at_once
      and not exists (select 1 from settlement_evidence e
          where e.merchant_id = n.merchant_id and e.file_id = n.file_id and e.line_no = n.line_no)
      and not exists (select 1 from recon_break b
          where b.merchant_id = n.merchant_id and b.file_id = n.file_id and b.line_no = n.line_no);
    if found then
        raise exception 'only a line that waited or is a break is matched later'
            using errcode = 'foreign_key_violation', constraint = 'recon_match_of_waiting', table = 'recon_match';
    end if;
    return null;
end $$;

-- What `payment-service` may know of the tables of `reconciliation`: captures whose money is available. Ask with the payment.
create view released_capture as
select merchant_id, about_id as payment_id, operation_id from recon_match where revoked_at is null and released;

-- Authorisations, which are what the PSP's references are of.
create view settleable_authorization as
select merchant_id, operation_id, payment_id, psp_account_id, status, psp_reference, amount, currency, created_at
from operation where kind = 'authorize';

-- Payments: one that `captures` is captured by its authorisation.
create view settleable_payment as
select merchant_id, payment_id, order_id, capture_method = 'automatic' as captures from payment;

-- What a payment brings each seller, and the platform, when it is captured whole.
create view settleable_payment_split as
select merchant_id, payment_id, split_no, seller_id, amount, platform_fee from payment_split;

-- What a match of an operation is about.
create view settleable_subject as
select merchant_id, operation_id, coalesce(payment_id, operation_id) as about_id from settleable_operation;
