-- A shop whose payments were captured on one day, as the service leaves them. Needs the variables merchant, psp_account, lines, sellers.
insert into merchant (merchant_id, mode, name) values (:'merchant', 'test', 'Shop');
insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
values (:'merchant', :'psp_account', 'test', 'stripe', 'main', 'http://127.0.0.1:1',
        decode('01' || repeat('00', 40), 'hex'), decode('01' || repeat('00', 40), 'hex'));

-- A number in the digits of Stripe's ids, five of them.
create function base62(number bigint) returns text language sql immutable as $$
    select string_agg(substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', (div(number::numeric, power(62::numeric, place)) % 62)::integer + 1, 1), '' order by place desc)
    from generate_series(0, 4) place
$$;

-- Ids as they are outside: those of payments have the order of time, those of operations none. Stripe's begin with the
-- second in which they were made, counted from 1342389380: two that its documentation shows with their moments,
-- pi_3MtwBwLkdIwHu7ix28a3tqPa (1680800504) and txn_1MiN3gLkdIwHu7ixNCZvFdgA (1678043844), agree on that to the second.
create unlogged table made as
select n,
       (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5('payment' || n), 1, 3) || '8'
           || substr(md5('payment' || n), 4, 15))::uuid as payment_id,
       (substr(md5('operation' || n), 1, 12) || '8' || substr(md5('operation' || n), 13, 3) || '8'
           || substr(md5('operation' || n), 16, 15))::uuid as operation_id,
       '3' || base62(second) || 'LkdIwHu7ix' || substr(md5('intent' || n), 1, 8) as intent,
       '3' || base62(second) || 'LkdIwHu7ix' || substr(md5('movement' || n), 1, 8) as movement,
       1000 + n % 9000 as amount, at
from (
    select n, at, extract(epoch from at)::bigint - 1342389380 as second
    from (
        select n, timestamptz '2026-01-02 00:00:00+00' + n * interval '1 day' / :lines as at from generate_series(1, :lines) n
    ) moment
) s;

-- rows as the service leaves them, without looking at each again
set session_replication_role = replica;
insert into payment (merchant_id, payment_id, order_id, ordinal, psp_account_id, status, live, amount, currency, capture_method,
                     payment_method, metadata, authorized_amount, captured_amount, created_at, updated_at)
select :'merchant', payment_id, 'order-' || n, 1, :'psp_account', 'captured', true, amount, 'EUR', 'automatic', 'pm_card_visa', '{}',
       amount, amount, at, at
from made;
insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee, captured_amount)
select :'merchant', payment_id, 0, 'seller-' || n % :sellers, amount, 50, amount from made;
insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency, status, fence, lease_until,
                       first_sent_at, psp_reference, psp_movement, idempotency_key, created_at, updated_at)
select :'merchant', operation_id, payment_id, 'authorize', :'psp_account', amount, 'EUR', 'succeeded', 1, at, at, 'pi_' || intent,
       'ch_' || movement, 'key-' || n, at, at
from made;
