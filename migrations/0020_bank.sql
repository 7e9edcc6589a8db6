-- What our banks say: the end of the way of the money. Written by `reconciliation` alone.

-- An account of ours at a bank.
create table bank_account (
    merchant_id     uuid        not null,
    bank_account_id uuid        not null,
    -- as the bank's statements have it, without spaces: an IBAN, or a number
    number          text        not null,
    currency        text        not null,
    -- the merchant's name for it
    name            text        not null,
    -- how long after the PSP's word a payout may take
    delay_days      integer     not null,
    -- whose entries are of payment service providers; where none is named, all are
    payers          text[]      not null,
    created_at      timestamptz not null,
    constraint bank_account_pkey primary key (merchant_id, bank_account_id),
    constraint bank_account_number_once unique (merchant_id, number, currency),
    constraint bank_account_merchant_fkey foreign key (merchant_id) references merchant (merchant_id),
    constraint bank_account_number_bare check (number ~ '^[!-~]{1,64}$' and upper(number) = number),
    constraint bank_account_currency_iso check (currency ~ '^[A-Z]{3}$'),
    constraint bank_account_name_present check (char_length(name) between 1 and 100),
    constraint bank_account_delay_sane check (delay_days between 0 and 60),
    constraint bank_account_payers_present check (array_position(payers, '') is null and array_position(payers, null) is null)
);

-- What a bank says, as one document: statements of any number of accounts. It is stored and booked in one commit.
create table bank_file (
    merchant_id uuid        not null,
    -- derived from its content
    file_id     uuid        not null,
    sha256      bytea       not null,
    name        text        not null,
    format      text        not null,
    statements  integer     not null,
    entries     integer     not null,
    created_at  timestamptz not null,
    constraint bank_file_pkey primary key (merchant_id, file_id),
    constraint bank_file_content_once unique (merchant_id, sha256),
    constraint bank_file_merchant_fkey foreign key (merchant_id) references merchant (merchant_id),
    constraint bank_file_sha256_length check (octet_length(sha256) = 32),
    constraint bank_file_name_present check (char_length(name) between 1 and 255),
    constraint bank_file_format_known check (format in ('camt053', 'mt940', 'bai2')),
    constraint bank_file_counted check (statements >= 0 and entries >= 0)
);

-- What a bank says of one account from one balance to another.
create table bank_statement (
    merchant_id     uuid        not null,
    statement_id    uuid        not null,
    bank_account_id uuid        not null,
    file_id         uuid        not null,
    -- its number at the bank, or nothing: what tells it from others that end on the same day
    number          text        not null,
    begins_on       date        not null,
    ends_on         date        not null,
    -- minor units; null where the bank does not tell
    opening         bigint,
    closing         bigint,
    entries         integer     not null,
    -- what the entries come to
    moved           bigint      not null,
    -- of all that it says: told again, it must say the same
    sha256          bytea       not null,
    created_at      timestamptz not null,
    constraint bank_statement_pkey primary key (merchant_id, statement_id),
    constraint bank_statement_once unique (merchant_id, bank_account_id, ends_on, number),
    constraint bank_statement_account_fkey foreign key (merchant_id, bank_account_id)
        references bank_account (merchant_id, bank_account_id),
    constraint bank_statement_file_fkey foreign key (merchant_id, file_id) references bank_file (merchant_id, file_id),
    constraint bank_statement_days check (begins_on <= ends_on),
    constraint bank_statement_sha256_length check (octet_length(sha256) = 32),
    -- opening and moved make closing
    constraint bank_statement_adds_up check (closing = opening + moved),
    constraint bank_statement_counted check (entries >= 0 and (entries > 0 or moved = 0))
);

-- What the entries of one statement and day moved, in one ledger transaction: from suspense, until each entry is known to
-- be a payout.
create table bank_booking (
    merchant_id    uuid        not null,
    -- also the source of the ledger transaction
    booking_id     uuid        not null,
    statement_id   uuid        not null,
    booked_on      date        not null,
    entries        integer     not null,
    amount         bigint      not null,
    -- null where everything came to nothing
    transaction_id uuid,
    constraint bank_booking_pkey primary key (merchant_id, booking_id),
    constraint bank_booking_once unique (merchant_id, statement_id, booked_on),
    constraint bank_booking_statement_fkey foreign key (merchant_id, statement_id)
        references bank_statement (merchant_id, statement_id),
    constraint bank_booking_transaction_fkey foreign key (merchant_id, transaction_id)
        references ledger_transaction (merchant_id, transaction_id),
    constraint bank_booking_counted check (entries > 0),
    constraint bank_booking_posted check ((amount = 0) = (transaction_id is null))
);

-- A movement, as the bank says it.
create table bank_entry (
    merchant_id        uuid    not null,
    entry_id           uuid    not null,
    statement_id       uuid    not null,
    -- its place in the statement, and its line in the file
    entry_no           integer not null,
    line_no            integer not null,
    bank_account_id    uuid    not null,
    -- minor units of the account's currency: positive for what came
    amount             bigint  not null,
    booked_on          date    not null,
    value_on           date    not null,
    -- the bank takes back what it booked before
    is_reversal        boolean not null,
    -- the bank's word for what it is
    code               text    not null,
    bank_reference     text,
    customer_reference text,
    other_references   text[]  not null,
    counterparty       text,
    details            text    not null,
    -- of a payment service provider; else it is kept and neither booked nor matched
    of_psp             boolean not null,
    -- what no match explains and no person has; of what is not of a PSP, nothing
    open               bigint  not null,
    -- what a person said is something else
    resolved           bigint  not null default 0,
    constraint bank_entry_pkey primary key (merchant_id, entry_id),
    constraint bank_entry_once unique (merchant_id, statement_id, entry_no),
    constraint bank_entry_statement_fkey foreign key (merchant_id, statement_id)
        references bank_statement (merchant_id, statement_id),
    constraint bank_entry_account_fkey foreign key (merchant_id, bank_account_id)
        references bank_account (merchant_id, bank_account_id),
    constraint bank_entry_numbered check (entry_no >= 1 and line_no >= 1),
    -- what is open is a part of it
    constraint bank_entry_open_within check (open between least(amount, 0) and greatest(amount, 0)),
    constraint bank_entry_resolved_within check (resolved between least(amount, 0) and greatest(amount, 0)),
    constraint bank_entry_open_of_psp check (of_psp or (open = 0 and resolved = 0))
);
create index bank_entry_open on bank_entry (merchant_id, bank_account_id, booked_on) where open <> 0;

-- Of an entry nothing changes but what is open, and what a person resolved.
create function bank_entry_kept() returns trigger language plpgsql as $$
begin
    if (to_jsonb(new) - '{open,resolved}'::text[]) <> (to_jsonb(old) - '{open,resolved}'::text[]) then
        raise exception 'a bank entry is kept as the bank said it'
            using errcode = 'restrict_violation', constraint = 'bank_entry_kept', table = 'bank_entry';
    end if;
    return new;
end $$;
create trigger bank_entry_kept before update on bank_entry for each row execute function bank_entry_kept();
create trigger bank_entry_append_only before delete or truncate on bank_entry
    for each statement execute function append_only();
create trigger bank_statement_append_only before update or delete or truncate on bank_statement
    for each statement execute function append_only();
create trigger bank_file_append_only before update or delete or truncate on bank_file
    for each statement execute function append_only();
create trigger bank_booking_append_only before update or delete or truncate on bank_booking
    for each statement execute function append_only();

-- What of a payout is not at the bank yet.
alter table settlement_payout
    add column banked bigint not null default 0,
    -- what a person said became of it otherwise
    add column resolved bigint not null default 0,
    add column open bigint not null generated always as (told + implied - banked - resolved) stored;
create index settlement_payout_open on settlement_payout (merchant_id, currency, arrives_on) where told + implied <> banked + resolved;

-- A part of an entry that is a part of a payout.
create table bank_match (
    merchant_id    uuid        not null,
    -- also the source of its ledger transaction
    match_id       uuid        not null,
    entry_id       uuid        not null,
    psp_account_id uuid        not null,
    payout_id      text        not null,
    currency       text        not null,
    -- 0 while the match holds; 1 for the first of these two that was revoked, ...
    match_no       smallint    not null,
    rule           text        not null,
    -- minor units, signed as the entry is
    allocated      bigint      not null,
    transaction_id uuid        not null,
    matched_at     timestamptz not null,
    revoked_at     timestamptz,
    -- the transaction that reverses it
    revoked_by     uuid,
    constraint bank_match_pkey primary key (merchant_id, match_id),
    constraint bank_match_once unique (merchant_id, entry_id, psp_account_id, payout_id, currency, match_no),
    constraint bank_match_entry_fkey foreign key (merchant_id, entry_id) references bank_entry (merchant_id, entry_id),
    constraint bank_match_payout_fkey foreign key (merchant_id, psp_account_id, payout_id, currency)
        references settlement_payout (merchant_id, psp_account_id, payout_id, currency),
    constraint bank_match_transaction_fkey foreign key (merchant_id, transaction_id)
        references ledger_transaction (merchant_id, transaction_id),
    constraint bank_match_revoked_fkey foreign key (merchant_id, revoked_by)
        references ledger_transaction (merchant_id, transaction_id),
    constraint bank_match_held_is_0 check ((match_no = 0) = (revoked_at is null) and (revoked_at is null) = (revoked_by is null)),
    constraint bank_match_rule_known check (rule in ('reference', 'amount', 'day', 'person')),
    constraint bank_match_allocated_something check (allocated <> 0),
    constraint bank_match_numbered check (match_no >= 0)
);
create index bank_match_payout on bank_match (merchant_id, psp_account_id, payout_id, currency);
create trigger bank_match_append_only before delete or truncate on bank_match
    for each statement execute function append_only();

-- What a match takes is taken of the entry and of the payout in the same statement's transaction: deferred, because the
-- three rows change one after the other.
create function bank_match_adds_up() returns trigger language plpgsql
    set search_path = pg_catalog, public, pg_temp as $$
begin
    perform 1 from bank_entry e
    where e.merchant_id = new.merchant_id and e.entry_id = new.entry_id
      and e.of_psp and e.amount - e.open - e.resolved <> (select coalesce(sum(m.allocated), 0) from bank_match m
          where m.merchant_id = e.merchant_id and m.entry_id = e.entry_id and m.revoked_at is null);
    if found then
        raise exception 'what is open of a bank entry is what no match takes'
            using errcode = 'check_violation', constraint = 'bank_match_of_entry', table = 'bank_match';
    end if;
    perform 1 from settlement_payout p
    where p.merchant_id = new.merchant_id and p.psp_account_id = new.psp_account_id and p.payout_id = new.payout_id
      and p.currency = new.currency
      and p.banked <> (select coalesce(sum(m.allocated), 0) from bank_match m
          where m.merchant_id = p.merchant_id and m.psp_account_id = p.psp_account_id and m.payout_id = p.payout_id
            and m.currency = p.currency and m.revoked_at is null);
    if found then
        raise exception 'what is banked of a payout is what its matches take'
            using errcode = 'check_violation', constraint = 'bank_match_of_payout', table = 'bank_match';
    end if;
    return null;
end $$;
create constraint trigger bank_match_adds_up after insert or update on bank_match deferrable initially deferred
    for each row execute function bank_match_adds_up();

-- Breaks of a bank are at one of its accounts, and of no PSP.
alter table recon_break
    alter column psp_account_id drop not null,
    add column bank_account_id uuid,
    add column bank_entry_id uuid,
    add column payout_id text,
    add constraint recon_break_somewhere check ((psp_account_id is null) <> (bank_account_id is null)),
    add constraint recon_break_bank_account_fkey foreign key (merchant_id, bank_account_id)
        references bank_account (merchant_id, bank_account_id),
    add constraint recon_break_bank_entry_fkey foreign key (merchant_id, bank_entry_id)
        references bank_entry (merchant_id, entry_id),
    drop constraint recon_break_kind_known,
    add constraint recon_break_kind_known check (kind in ('unknown_to_us', 'missing_at_psp', 'amount', 'currency',
        'duplicate', 'captured_twice', 'refunded_twice', 'paid_out_twice', 'status', 'late_success', 'disputed_beyond',
        'payout_not_in_bank', 'bank_credit_without_payout', 'bank_debit_without_payout'));
create index recon_break_bank on recon_break (merchant_id, bank_account_id, kind) where state = 'open' and bank_account_id is not null;
