-- As before, but each transaction is looked up by itself: the plan is kept for a session's life, and one that was made for a large
-- posting while the ledger was small joined it to all transactions there were.
create or replace function ledger_entry_balanced() returns trigger language plpgsql
    set enable_seqscan = off set search_path = pg_catalog, public, pg_temp as $$
declare
    offender uuid;
    is_old boolean;
begin
    select k.transaction_id, made.is_old into offender, is_old
    from (select distinct merchant_id, transaction_id from new_entry) k
    cross join lateral (
        select (select t.xact_id from ledger_transaction t
                where t.merchant_id = k.merchant_id and t.transaction_id = k.transaction_id)
               is distinct from pg_current_xact_id() as is_old
        offset 0
    ) made
    where made.is_old or exists (
        select 1 from ledger_entry e
        where e.merchant_id = k.merchant_id and e.transaction_id = k.transaction_id
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
