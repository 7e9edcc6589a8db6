-- The double-entry ledger. Written by the crate `ledger` alone.
--
-- Amounts are signed minor units: a debit is positive, a credit negative. The code builds every transaction
-- balanced, in one statement; the triggers below are the second net, under the raw SQL of anybody.

create table ledger_account (
    merchant_id uuid        not null,
    -- derived from merchant, code and currency, so that a posting names its accounts without a look-up
    account_id  uuid        not null,
    code        text        not null,
    currency    text        not null,
    kind        text        not null,
    -- 1: normally debit (assets, costs); -1: normally credit (liabilities, income)
    normal_side smallint    not null,
    created_at  timestamptz not null default now(),
    constraint ledger_account_pkey primary key (merchant_id, account_id),
    constraint ledger_account_code_key unique (merchant_id, code, currency),
    -- the target of the entries' foreign key: an entry has its account's currency
    constraint ledger_account_currency_key unique (merchant_id, account_id, currency),
    constraint ledger_account_kind_known check (kind in ('asset', 'liability', 'income', 'cost', 'clearing')),
    constraint ledger_account_normal_side_known check (normal_side in (-1, 1)),
    constraint ledger_account_currency_iso check (currency ~ '^[A-Z]{3}$')
);

create table ledger_transaction (
    merchant_id    uuid        not null,
    transaction_id uuid        not null,
    -- what was posted: the row of `source_type` named `source_id`, and which of its postings this is
    source_type    text        not null,
    source_id      uuid        not null,
    kind           text        not null,
    -- when it counts, beside when we learned of it
    effective_date date        not null,
    recorded_at    timestamptz not null default now(),
    reverses_id    uuid,
    -- the database transaction that made it: only that one may add entries
    xact_id        xid8        not null default pg_current_xact_id(),
    constraint ledger_transaction_pkey primary key (merchant_id, transaction_id),
    -- a posting cannot happen twice
    constraint ledger_transaction_source_key unique (merchant_id, source_type, source_id, kind),
    constraint ledger_transaction_reverses_fkey
        foreign key (merchant_id, reverses_id) references ledger_transaction (merchant_id, transaction_id)
);
-- a correction is a reversing transaction, and there is at most one
create unique index ledger_transaction_reverses_once on ledger_transaction (merchant_id, reverses_id)
    where reverses_id is not null;

create table ledger_entry (
    merchant_id    uuid     not null,
    transaction_id uuid     not null,
    entry_no       smallint not null,
    account_id     uuid     not null,
    currency       text     not null,
    amount         bigint   not null,
    constraint ledger_entry_pkey primary key (merchant_id, transaction_id, entry_no),
    constraint ledger_entry_account_fkey foreign key (merchant_id, account_id, currency)
        references ledger_account (merchant_id, account_id, currency),
    constraint ledger_entry_amount_nonzero check (amount <> 0)
);
-- an account's statement, newest last: transaction ids are time-ordered
create index ledger_entry_account on ledger_entry (merchant_id, account_id, transaction_id);

-- One row per account. An account with a floor is locked and kept current here by each posting. An account without
-- one ("hot": every payment of the shop passes it) is never locked: its movements are appended to
-- ledger_balance_delta and rolled up here, so its balance is this row plus its deltas, read in one snapshot.
create table ledger_balance (
    merchant_id uuid     not null,
    account_id  uuid     not null,
    normal_side smallint not null,
    floored     boolean  not null,
    balance     bigint   not null default 0,
    constraint ledger_balance_pkey primary key (merchant_id, account_id),
    constraint ledger_balance_account_fkey foreign key (merchant_id, account_id)
        references ledger_account (merchant_id, account_id),
    -- the wallet floors: pending, available, held and debt never fall below zero
    constraint ledger_balance_floor check (not floored or balance * normal_side >= 0)
) with (fillfactor = 70);

create table ledger_balance_delta (
    merchant_id uuid   not null,
    delta_id    uuid   not null,
    account_id  uuid   not null,
    amount      bigint not null,
    constraint ledger_balance_delta_pkey primary key (merchant_id, account_id, delta_id)
);

-- Re-sums every transaction that a statement touched, and refuses entries for a transaction that was not made in
-- the same database transaction: an old transaction cannot grow, not even by a balanced pair.
-- Sequential scans are off because the plan is kept for a session's life and the table may be empty when it is made.
-- Temporary tables are looked for last: one of the same name would hide what is to be summed.
create function ledger_entry_balanced() returns trigger language plpgsql
    set enable_seqscan = off set search_path = pg_catalog, public, pg_temp as $$
declare
    offender uuid;
    is_old boolean;
begin
    select n.transaction_id, n.is_old into offender, is_old
    from (
        select k.transaction_id, k.merchant_id, t.xact_id is distinct from pg_current_xact_id() as is_old
        from (select distinct merchant_id, transaction_id from new_entry) k
        left join lateral (
            select t.xact_id from ledger_transaction t
            where t.merchant_id = k.merchant_id and t.transaction_id = k.transaction_id
        ) t on true
    ) n
    where n.is_old or exists (
        select 1 from ledger_entry e
        where e.merchant_id = n.merchant_id and e.transaction_id = n.transaction_id
        group by e.currency having sum(e.amount) <> 0
    )
    limit 1;
    if not found then
        return null;
    end if;
    if is_old then
        raise exception 'ledger transaction % was not made in this database transaction', offender
            using errcode = 'check_violation', constraint = 'ledger_entry_same_transaction', table = 'ledger_entry';
    end if;
    raise exception 'ledger transaction % does not sum to zero in each currency', offender
        using errcode = 'check_violation', constraint = 'ledger_transaction_zero_sum', table = 'ledger_entry';
end $$;

create trigger ledger_entry_balanced after insert on ledger_entry
    referencing new table as new_entry
    for each statement execute function ledger_entry_balanced();

create function append_only() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op
        using errcode = 'restrict_violation', constraint = tg_table_name || '_append_only', table = tg_table_name;
end $$;

create trigger ledger_entry_append_only before update or delete or truncate on ledger_entry
    for each statement execute function append_only();
create trigger ledger_transaction_append_only before update or delete or truncate on ledger_transaction
    for each statement execute function append_only();
create trigger ledger_account_append_only before update or delete or truncate on ledger_account
    for each statement execute function append_only();

-- Which database transaction made a transaction, and when, is nobody's to say: an old one could grow otherwise.
create function ledger_transaction_stamped() returns trigger language plpgsql as $$
begin
    new.xact_id := pg_current_xact_id();
    new.recorded_at := now();
    return new;
end $$;
create trigger ledger_transaction_stamped before insert on ledger_transaction
    for each row execute function ledger_transaction_stamped();

-- Only the number of a balance changes: a floor could be taken away otherwise.
create function ledger_balance_fixed() returns trigger language plpgsql as $$
begin
    raise exception 'only the number of a balance changes: % refused', tg_op
        using errcode = 'restrict_violation', constraint = 'ledger_balance_fixed', table = 'ledger_balance';
end $$;
create trigger ledger_balance_fixed
    before update of merchant_id, account_id, normal_side, floored or delete or truncate on ledger_balance
    for each statement execute function ledger_balance_fixed();
