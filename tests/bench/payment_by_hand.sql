-- One payment, written by hand: the two transactions of payment-service, one payment at a time, with the same rows,
-- indexes, constraints, triggers and durability, and nothing that a careful developer would leave out or put in.
-- Run by pgbench with prepared statements, so that each statement is parsed and planned once per connection:
--
--   pgbench -n -M prepared -f payment_by_hand.sql -D n=0 -D epoch=1700000000000000 -D merchant=… …
--
-- pgbench has no random uuids. Two random or counted numbers of sixteen digits, side by side, are one; the first number
-- of the ids that are time-ordered in payment-service is counted here.

\set n :n + 1
\set now_id :epoch + :n * 1000 + :client_id
\set payment_id random(1000000000000000, 9999999999999999)
\set operation_a random(1000000000000000, 9999999999999999)
\set operation_b random(1000000000000000, 9999999999999999)
\set key_a random(1000000000000000, 9999999999999999)
\set key_b random(1000000000000000, 9999999999999999)
\set seller random(1, 1000)
\set seller_account 1000000000000000 + :seller
\set amount random(500, 20000)
\set fee :amount / 20
\set net :amount - :fee

-- The claim: what is about to be asked of the PSP, before it is asked.
begin;

insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payment_id, created_at)
values (:merchant, :key_a::text || '-' || :key_b::text, :fingerprint, (:now_id::text || :payment_id::text)::uuid, now())
on conflict (merchant_id, idempotency_key) do nothing;

insert into payment (merchant_id, payment_id, order_id, ordinal, psp_account_id, status, live, amount, currency,
                     capture_method, payment_method, metadata, created_at, updated_at)
values (:merchant, (:now_id::text || :payment_id::text)::uuid, 'order-' || :payment_id::text,
        1 + coalesce((select max(ordinal) from payment
                      where merchant_id = :merchant and order_id = 'order-' || :payment_id::text), 0),
        :psp_account, 'processing', true, :amount, 'EUR', 'automatic', 'pm_card_visa', :metadata, now(), now())
on conflict do nothing;

insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee)
values (:merchant, (:now_id::text || :payment_id::text)::uuid, 0, 'seller-' || :seller::text, :amount, :fee);

insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency, status, fence,
                       lease_until, due_at, first_sent_at, idempotency_key, created_at, updated_at)
values (:merchant, (:operation_a::text || :operation_b::text)::uuid, (:now_id::text || :payment_id::text)::uuid,
        'authorize', :psp_account, :amount, 'EUR', 'sending', 1, now() + interval '30 s', now() + interval '30 s', now(),
        :key_a::text || '-' || :key_b::text, now(), now());

insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
values (:merchant, (:now_id::text || :payment_id::text)::uuid, 1, (:now_id::text || :operation_a::text)::uuid,
        'payment.created', :created, now());

commit;

-- The record: what the PSP answered.
begin;

select o.status, o.fence, p.status, p.version, p.amount, p.currency, s.seller_id, s.amount, s.platform_fee
from operation o
join payment p on p.merchant_id = o.merchant_id and p.payment_id = o.payment_id
join payment_split s on s.merchant_id = p.merchant_id and s.payment_id = p.payment_id
where o.merchant_id = :merchant and o.operation_id = (:operation_a::text || :operation_b::text)::uuid
for no key update of o, p;

update operation
set status = 'succeeded', psp_reference = 'pi_' || :operation_a::text || :key_a::text,
    psp_movement = 'ch_' || :operation_a::text || :key_a::text, due_at = null, lease_until = now(), updated_at = now()
where merchant_id = :merchant and operation_id = (:operation_a::text || :operation_b::text)::uuid
  and fence = 1 and status = 'sending';

update payment
set status = 'captured', version = 2, authorized_amount = amount, captured_amount = amount, updated_at = now()
where merchant_id = :merchant and payment_id = (:now_id::text || :payment_id::text)::uuid and version = 1;

update payment_split set captured_amount = amount
where merchant_id = :merchant and payment_id = (:now_id::text || :payment_id::text)::uuid;

insert into attempt (merchant_id, operation_id, attempt_id, fence, action, sent_at, answered_at, outcome, http_status,
                     psp_request_id, psp_reference)
values (:merchant, (:operation_a::text || :operation_b::text)::uuid, (:now_id::text || :operation_b::text)::uuid, 1,
        'authorize', now(), now(), 'succeeded', 200, 'req_' || :key_a::text,
        'pi_' || :operation_a::text || :key_a::text);

insert into ledger_transaction (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
values (:merchant, (:now_id::text || :key_a::text)::uuid, 'operation',
        (:operation_a::text || :operation_b::text)::uuid, 'capture', current_date)
on conflict (merchant_id, source_type, source_id, kind) do nothing;

insert into ledger_entry (merchant_id, transaction_id, entry_no, account_id, currency, amount)
values (:merchant, (:now_id::text || :key_a::text)::uuid, 0, :receivable, 'EUR', :amount),
       (:merchant, (:now_id::text || :key_a::text)::uuid, 1, (:seller_account::text || '0000000000000000')::uuid, 'EUR',
        - :net::bigint),
       (:merchant, (:now_id::text || :key_a::text)::uuid, 2, :platform_fees, 'EUR', - :fee::bigint);

update ledger_balance set balance = balance - :net
where merchant_id = :merchant and account_id = (:seller_account::text || '0000000000000000')::uuid;

insert into ledger_balance_delta (merchant_id, account_id, delta_id, amount)
values (:merchant, :receivable, (:now_id::text || :key_b::text)::uuid, :amount),
       (:merchant, :platform_fees, (:now_id::text || :key_b::text)::uuid, - :fee::bigint);

insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
values (:merchant, (:now_id::text || :payment_id::text)::uuid, 2, (:now_id::text || :key_a::text)::uuid,
        'payment.captured', :captured, now());

update idempotency_key set response_status = 201, response_body = :response
where merchant_id = :merchant and idempotency_key = :key_a::text || '-' || :key_b::text and response_status is null;

commit;
