-- Settlement files, what their lines were tied to, and what remains for a person. Written by `reconciliation` alone,
-- which reads payments only through the views at the end.

-- What the PSP says it did and paid, as one document. Its id is derived from its content, so the same file is the same
-- row whoever reads it, and whenever.
create table settlement_file (
    merchant_id    uuid        not null,
    file_id        uuid        not null,
    psp_account_id uuid        not null,
    sha256         bytea       not null,
    -- the name it came under, for people
    name           text        not null,
    format         text        not null,
    -- what the whole document holds, known before its first line is stored
    lines          integer     not null,
    -- lines of a chunk: fixed per file, so that a run after a crash cuts the document at the same places
    chunk_lines    integer     not null,
    -- the latest moment the document knows of; what should have been in it by then is missing
    latest_at      timestamptz,
    -- reading: some chunks are stored, none is booked; read: all are stored; settled: all are booked, but for lines
    -- that wait as evidence
    state          text        not null,
    created_at     timestamptz not null,
    read_at        timestamptz,
    settled_at     timestamptz,
    constraint settlement_file_pkey primary key (merchant_id, file_id),
    -- the same content is the same file
    constraint settlement_file_content_once unique (merchant_id, sha256),
    constraint settlement_file_psp_account_fkey foreign key (merchant_id, psp_account_id)
        references psp_account (merchant_id, psp_account_id),
    constraint settlement_file_sha256_length check (octet_length(sha256) = 32),
    constraint settlement_file_name_present check (char_length(name) between 1 and 255),
    constraint settlement_file_format_known check (format in ('stripe_payout_reconciliation')),
    constraint settlement_file_lines_counted check (lines >= 0 and chunk_lines > 0),
    constraint settlement_file_latest_of_lines check ((latest_at is null) = (lines = 0)),
    constraint settlement_file_state_known check (state in ('reading', 'read', 'settled')),
    constraint settlement_file_state_dated
        check ((read_at is not null) = (state <> 'reading') and (settled_at is not null) = (state = 'settled'))
);
create index settlement_file_open on settlement_file (merchant_id, created_at) where state <> 'settled';

-- The unit of work: stored in one commit, booked in one commit, by whoever gets it.
create table settlement_chunk (
    merchant_id uuid        not null,
    file_id     uuid        not null,
    chunk_no    integer     not null,
    -- where it is in the document
    first_line  integer     not null,
    last_line   integer     not null,
    -- stored lines, and lines that were there before
    lines       integer     not null,
    duplicates  integer     not null,
    settled_at  timestamptz,
    constraint settlement_chunk_pkey primary key (merchant_id, file_id, chunk_no),
    constraint settlement_chunk_file_fkey foreign key (merchant_id, file_id)
        references settlement_file (merchant_id, file_id),
    constraint settlement_chunk_lines_counted check (chunk_no >= 1 and lines >= 0 and duplicates >= 0
        and lines + duplicates between 1 and last_line - first_line + 1)
);
create index settlement_chunk_due on settlement_chunk (merchant_id, file_id, chunk_no) where settled_at is null;

-- What the PSP says, word for word and never changed. What it came to is told by the tables after this one.
create table settlement_line (
    merchant_id    uuid        not null,
    file_id        uuid        not null,
    -- where it begins in the document
    line_no        integer     not null,
    chunk_no       integer     not null,
    psp_account_id uuid        not null,
    -- the line's identity at the PSP
    psp_line_id    text        not null,
    kind           text        not null,
    -- the PSP's own word for the kind
    category       text        not null,
    gross          bigint      not null,
    fee            bigint      not null,
    net            bigint      not null,
    currency       text        not null,
    occurred_at    timestamptz not null,
    -- the day it counts in our balance at the PSP
    value_date     date        not null,
    payout_id      text,
    -- our operation and order, where the PSP gives back what we told it
    operation_id   uuid,
    order_id       text,
    -- the PSP's object, its movement, and what the line is about
    psp_reference  text,
    psp_movement   text,
    psp_source     text,
    constraint settlement_line_pkey primary key (merchant_id, file_id, line_no),
    -- a line is booked once, in whichever and however many files it comes
    constraint settlement_line_once unique (merchant_id, psp_account_id, psp_line_id),
    constraint settlement_line_kind_known
        check (kind in ('capture', 'refund', 'chargeback', 'fee', 'payout', 'adjustment')),
    constraint settlement_line_net_is_gross_less_fee check (net = gross - fee),
    constraint settlement_line_currency_iso check (currency ~ '^[A-Z]{3}$'),
    constraint settlement_line_numbered check (line_no >= 1 and chunk_no >= 1),
    constraint settlement_line_psp_line_id_present check (psp_line_id <> '')
);

create trigger settlement_line_append_only before update or truncate on settlement_line
    for each statement execute function append_only();

-- Lines belong to a chunk of their file and account. One look per statement: a foreign key would look once per line.
create function settlement_line_in_chunk() returns trigger language plpgsql
    set enable_seqscan = off set search_path = pg_catalog, public, pg_temp as $$
begin
    perform 1
    from (select merchant_id, file_id, chunk_no, psp_account_id, min(line_no) as first_line, max(line_no) as last_line
          from new_line group by merchant_id, file_id, chunk_no, psp_account_id) n
    where not exists (
        select 1 from settlement_chunk c
        join settlement_file f on f.merchant_id = c.merchant_id and f.file_id = c.file_id
        where c.merchant_id = n.merchant_id and c.file_id = n.file_id and c.chunk_no = n.chunk_no
          and n.first_line >= c.first_line and n.last_line <= c.last_line
          and f.psp_account_id = n.psp_account_id and f.state = 'reading');
    if found then
        raise exception 'settlement lines belong to a chunk of a file that is being read, and to its account'
            using errcode = 'foreign_key_violation', constraint = 'settlement_line_in_chunk', table = 'settlement_line';
    end if;
    return null;
end $$;
create trigger settlement_line_in_chunk after insert on settlement_line
    referencing new table as new_line
    for each statement execute function settlement_line_in_chunk();

-- What the lines of one chunk, payout and currency moved, in one ledger transaction. The sums are of the lines' own
-- columns, signed as the PSP signs them: they add up to the change of our balance there.
create table settlement_booking (
    merchant_id    uuid        not null,
    -- also the source of the ledger transaction
    booking_id     uuid        not null,
    file_id        uuid        not null,
    chunk_no       integer     not null,
    psp_account_id uuid        not null,
    payout_id      text,
    currency       text        not null,
    -- lines that had waited as evidence when their chunk was booked
    late           boolean     not null,
    -- null where everything came to nothing
    transaction_id uuid,
    lines          integer     not null,
    matched        integer     not null,
    captures       bigint      not null,
    refunds        bigint      not null,
    chargebacks    bigint      not null,
    adjustments    bigint      not null,
    fee_lines      bigint      not null,
    payouts        bigint      not null,
    fees           bigint      not null,
    -- what nothing of ours explains
    suspense       bigint      not null,
    balance_change bigint      not null generated always as
        (captures + refunds + chargebacks + adjustments + fee_lines + payouts - fees) stored,
    booked_at      timestamptz not null,
    constraint settlement_booking_pkey primary key (merchant_id, booking_id),
    constraint settlement_booking_chunk_fkey foreign key (merchant_id, file_id, chunk_no)
        references settlement_chunk (merchant_id, file_id, chunk_no),
    constraint settlement_booking_transaction_fkey foreign key (merchant_id, transaction_id)
        references ledger_transaction (merchant_id, transaction_id),
    constraint settlement_booking_currency_iso check (currency ~ '^[A-Z]{3}$'),
    constraint settlement_booking_lines_counted check (lines > 0 and matched between 0 and lines)
);
-- a chunk is booked once
create unique index settlement_booking_once
    on settlement_booking (merchant_id, file_id, chunk_no, coalesce(payout_id, ''), currency) where not late;
create index settlement_booking_account on settlement_booking (merchant_id, psp_account_id, currency);

-- Lines whose operation has not ended at ours the way the PSP says. `payment-service` applies them to the operation
-- and they are booked, or refuses them and they become a break.
create table settlement_evidence (
    merchant_id    uuid        not null,
    file_id        uuid        not null,
    line_no        integer     not null,
    chunk_no       integer     not null,
    operation_id   uuid        not null,
    waiting_since  timestamptz not null,
    -- why it was not applied: for people
    refused        text,
    booking_id     uuid,
    settled_at     timestamptz,
    constraint settlement_evidence_pkey primary key (merchant_id, file_id, line_no),
    constraint settlement_evidence_line_fkey foreign key (merchant_id, file_id, line_no)
        references settlement_line (merchant_id, file_id, line_no),
    constraint settlement_evidence_booking_fkey foreign key (merchant_id, booking_id)
        references settlement_booking (merchant_id, booking_id),
    constraint settlement_evidence_settled_is_booked check ((settled_at is null) = (booking_id is null)),
    constraint settlement_evidence_refused_short check (char_length(refused) between 1 and 500)
);
create index settlement_evidence_waiting on settlement_evidence (merchant_id, file_id, line_no)
    where settled_at is null;

-- A line tied to an operation, with the rule that tied them and how much of the operation the line accounts for.
create table recon_match (
    merchant_id  uuid        not null,
    file_id      uuid        not null,
    line_no      integer     not null,
    -- 0 while the match holds; 1 for the first of the line's that was revoked, ...
    match_no     smallint    not null default 0,
    operation_id uuid        not null,
    rule         text        not null,
    -- minor units of the operation's currency; none where the line is in another
    allocated    bigint      not null,
    booking_id   uuid        not null,
    matched_at   timestamptz not null,
    revoked_at   timestamptz,
    -- with the next: while a match holds, its line has no other
    constraint recon_match_pkey primary key (merchant_id, file_id, line_no, match_no),
    constraint recon_match_held_is_0 check ((match_no = 0) = (revoked_at is null)),
    constraint recon_match_rule_known check (rule in ('psp_reference', 'our_reference')),
    constraint recon_match_numbered check (match_no >= 0),
    constraint recon_match_allocated_not_negative check (allocated >= 0)
);
-- nor has its operation
create unique index recon_match_operation_once on recon_match (merchant_id, operation_id) where revoked_at is null;

-- Matches are of lines that exist. One statement for all, each line by its key: a foreign key would be one for each match.
create function recon_match_of_line() returns trigger language plpgsql
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
    set search_path = pg_catalog, public, pg_temp as $$
begin
    if exists (
        select 1 from new_match n where not exists (
            select 1 from settlement_line l
            where l.merchant_id = n.merchant_id and l.file_id = n.file_id and l.line_no = n.line_no)
    ) then
        raise exception 'a match is of a settlement line'
            using errcode = 'foreign_key_violation', constraint = 'recon_match_line_fkey', table = 'recon_match';
    end if;
    return null;
end $$;
create trigger recon_match_of_line after insert on recon_match
    referencing new table as new_match
    for each statement execute function recon_match_of_line();

-- A difference that needs a person or a later file. Its id is derived from its kind, what it is about and the currency:
-- found again, it is the same break.
create table recon_break (
    merchant_id    uuid        not null,
    break_id       uuid        not null,
    psp_account_id uuid        not null,
    kind           text        not null,
    -- what it is about, in the words of its kind: what its id is derived from
    subject        text        not null,
    currency       text        not null,
    -- minor units; expected in the break's currency, found in its own where that is the difference
    expected       bigint,
    found          bigint,
    found_currency text,
    file_id        uuid,
    line_no        integer,
    psp_line_id    text,
    psp_reference  text,
    operation_id   uuid,
    payment_id     uuid,
    order_id       text,
    booking_id     uuid,
    detail         text        not null,
    state          text        not null,
    opened_at      timestamptz not null,
    closed_at      timestamptz,
    closed_because text,
    constraint recon_break_pkey primary key (merchant_id, break_id),
    constraint recon_break_psp_account_fkey foreign key (merchant_id, psp_account_id)
        references psp_account (merchant_id, psp_account_id),
    constraint recon_break_file_fkey foreign key (merchant_id, file_id)
        references settlement_file (merchant_id, file_id),
    constraint recon_break_kind_known check (kind in ('unknown_to_us', 'missing_at_psp', 'amount', 'currency',
        'duplicate', 'captured_twice', 'refunded_twice', 'status', 'late_success')),
    constraint recon_break_currency_iso
        check (currency ~ '^[A-Z]{3}$' and (found_currency is null or found_currency ~ '^[A-Z]{3}$')),
    constraint recon_break_found_has_currency check ((found is null) = (found_currency is null)),
    constraint recon_break_line_of_file check (line_no is null or file_id is not null),
    constraint recon_break_state_known check (state in ('open', 'closed')),
    constraint recon_break_closed_says_why
        check ((state = 'closed') = (closed_at is not null) and (state = 'closed') = (closed_because is not null))
);
create index recon_break_open on recon_break (merchant_id, psp_account_id, kind) where state = 'open';
create index recon_break_file on recon_break (merchant_id, file_id) where file_id is not null;
create index recon_break_operation on recon_break (merchant_id, operation_id) where operation_id is not null;

-- A file whose reading broke off may be dropped, with its chunks, lines and duplicates, of which nothing was booked. What
-- was read is kept.
create function settlement_kept() returns trigger language plpgsql
    set search_path = pg_catalog, public, pg_temp as $$
begin
    perform 1
    from (select distinct merchant_id, file_id from old_row) o
    left join settlement_file f on f.merchant_id = o.merchant_id and f.file_id = o.file_id
    where f.state is distinct from 'reading';
    if found then
        raise exception '% of a file that was read are kept', tg_table_name
            using errcode = 'restrict_violation', constraint = tg_table_name || '_kept', table = tg_table_name;
    end if;
    return null;
end $$;
create trigger settlement_chunk_kept after delete on settlement_chunk
    referencing old table as old_row for each statement execute function settlement_kept();
create trigger settlement_line_kept after delete on settlement_line
    referencing old table as old_row for each statement execute function settlement_kept();
create trigger recon_break_kept after delete on recon_break
    referencing old table as old_row for each statement execute function settlement_kept();

create function settlement_file_kept() returns trigger language plpgsql as $$
begin
    if exists (select 1 from old_row where state <> 'reading') then
        raise exception 'a settlement file that was read is kept'
            using errcode = 'restrict_violation', constraint = 'settlement_file_kept', table = 'settlement_file';
    end if;
    return null;
end $$;
create trigger settlement_file_kept after delete on settlement_file
    referencing old table as old_row for each statement execute function settlement_file_kept();

-- The detail of a ledger transaction: which lines it booked.
create view settlement_line_booking as
select l.merchant_id, l.file_id, l.line_no, l.chunk_no, l.psp_line_id, l.kind, l.gross, l.fee, l.net, l.currency,
       e.operation_id as waiting_for, b.booking_id, b.transaction_id
from settlement_line l
left join settlement_evidence e
    on e.merchant_id = l.merchant_id and e.file_id = l.file_id and e.line_no = l.line_no
left join settlement_booking b
    on b.merchant_id = l.merchant_id and b.file_id = l.file_id and b.chunk_no = l.chunk_no
   and case when e.line_no is null
            then not b.late and coalesce(b.payout_id, '') = coalesce(l.payout_id, '') and b.currency = l.currency
            else b.booking_id = e.booking_id end;

-- What reconciliation may know of the tables of `payment-service`.

create view settleable_account as
select merchant_id, psp_account_id, psp, mode, name, settlement_delay_days from psp_account;

-- Operations that a settlement line can be about. An authorisation that captures by itself is a capture.
create view settleable_operation as
select o.merchant_id, o.operation_id, o.payment_id, o.psp_account_id, p.order_id,
       case o.kind when 'refund' then 'refund' else 'capture' end as effect,
       o.status, o.psp_reference, o.psp_movement, o.amount, o.currency,
       case when o.due_at is null then o.updated_at end as ended_at
from operation o
join payment p on p.merchant_id = o.merchant_id and p.payment_id = o.payment_id
where o.kind in ('capture', 'refund') or (o.kind = 'authorize' and p.capture_method = 'automatic');

-- What a capture of the whole payment brought each seller, and the platform.
create view settleable_split as
select merchant_id, payment_id, split_no, seller_id, amount, platform_fee from payment_split;
