-- Payouts: what sellers have is sent to their banks. An operation, an event and a key are of a payment or of a payout.

create table payout (
    merchant_id          uuid        not null,
    payout_id            uuid        not null,
    psp_account_id       uuid        not null,
    seller_id            text        not null,
    status               text        not null,
    amount               bigint      not null,
    currency             text        not null,
    -- the PSP's name of the seller's bank account or card (ba_...)
    destination          text        not null,
    -- what the seller's statement shows
    statement_descriptor text,
    metadata             jsonb       not null,
    failure_code         text,
    failure_message      text,
    decline_code         text,
    -- grows by one with each event; the event's number
    version              integer     not null default 1,
    created_at           timestamptz not null,
    updated_at           timestamptz not null,
    constraint payout_pkey primary key (merchant_id, payout_id),
    constraint payout_psp_account_fkey foreign key (merchant_id, psp_account_id)
        references psp_account (merchant_id, psp_account_id),
    -- processing: asked for; in_transit: the PSP sends it; paid: it is there; returned: it was, and came back
    constraint payout_status_known check (status in ('processing', 'in_transit', 'paid', 'failed', 'returned')),
    constraint payout_amount_positive check (amount > 0),
    constraint payout_currency_iso check (currency ~ '^[A-Z]{3}$'),
    constraint payout_destination_present check (char_length(destination) between 1 and 255),
    constraint payout_statement_descriptor_length check (char_length(statement_descriptor) between 1 and 22),
    constraint payout_failed_says_why check ((status in ('failed', 'returned')) = (failure_code is not null))
) with (fillfactor = 80);
-- partial, so that no plan made while the table was empty takes it for its key
create index payout_seller on payout (merchant_id, seller_id, payout_id) where seller_id is not null;

alter table operation alter column payment_id drop not null;
alter table operation
    add column payout_id uuid,
    add constraint operation_payout_fkey foreign key (merchant_id, payout_id) references payout (merchant_id, payout_id),
    add constraint operation_of_one_subject check (num_nonnulls(payment_id, payout_id) = 1),
    add constraint operation_payout_pays_out check ((kind = 'payout') = (payout_id is not null)),
    -- a payout that was sent is asked about until it is there
    drop constraint operation_open_is_due,
    add constraint operation_open_is_due check (case
        when status in ('created', 'sending', 'requires_action', 'unknown') then due_at is not null
        when status = 'succeeded' and kind in ('authorize', 'payout') then true
        -- looked at where a webhook says that there is news
        when status = 'needs_review' then true
        else due_at is null end);
-- a payout is sent by one operation
create unique index operation_payout_once on operation (merchant_id, payout_id) where payout_id is not null;

alter table attempt
    drop constraint attempt_action_known,
    add constraint attempt_action_known
        check (action in ('authorize', 'capture', 'refund', 'payout', 'cancel', 'retrieve', 'search'));

alter table idempotency_key alter column payment_id drop not null;
alter table idempotency_key
    add column payout_id uuid,
    -- the one request that took the key: it knows its row again where its commit was not confirmed
    add column claim_id uuid,
    -- of neither only where nothing was made, and the key answers so
    add constraint idempotency_key_of_one_subject check (num_nonnulls(payment_id, payout_id) <= 1
        and (num_nonnulls(payment_id, payout_id) = 1 or response_status is not null));

-- A payout has a history of its own, in the same outbox.
alter table payment_event drop constraint payment_event_pkey;
alter table payment_event alter column payment_id drop not null;
alter table payment_event
    add column payout_id uuid,
    -- what is numbered and published in order: the payment or the payout
    add column subject_id uuid not null generated always as (coalesce(payment_id, payout_id)) stored,
    add constraint payment_event_pkey primary key (merchant_id, subject_id, version),
    add constraint payment_event_payout_fkey foreign key (merchant_id, payout_id)
        references payout (merchant_id, payout_id),
    add constraint payment_event_of_one_subject check (num_nonnulls(payment_id, payout_id) = 1);
drop index payment_event_unpublished;
create index payment_event_unpublished on payment_event (merchant_id, subject_id, version) where published_at is null;
comment on table payment_event is 'the history of payments and of payouts, and their outbox';

alter table webhook_event
    drop constraint webhook_event_applied_as_known,
    -- arrived: a payout that was sent is there
    add constraint webhook_event_applied_as_known check (applied_as in ('succeeded', 'declined', 'expired', 'reversed',
        'arrived', 'late_success', 'twice'));

-- A payout of ours is a line of the PSP's file, as a refund is, and one that came back another.
alter table settlement_line
    drop constraint settlement_line_kind_known,
    add constraint settlement_line_kind_known check (kind in ('capture', 'refund', 'refund_failure', 'chargeback',
        'chargeback_reversal', 'fee', 'payout', 'payout_reversal', 'adjustment'));
alter table recon_match
    drop constraint recon_match_effect_known,
    add constraint recon_match_effect_known check (effect in ('capture', 'refund', 'refund_failure', 'chargeback',
        'chargeback_reversal', 'payout', 'payout_reversal'));
alter table recon_break
    drop constraint recon_break_kind_known,
    add constraint recon_break_kind_known check (kind in ('unknown_to_us', 'missing_at_psp', 'amount', 'currency',
        'duplicate', 'captured_twice', 'refunded_twice', 'paid_out_twice', 'status', 'late_success',
        'disputed_beyond'));

alter table settlement_booking drop column balance_change;
alter table settlement_booking
    -- to sellers; `payouts` are the PSP's own to our bank
    add column seller_payouts bigint not null default 0,
    add column balance_change bigint not null generated always as
        (captures + refunds + chargebacks + adjustments + fee_lines + payouts + seller_payouts - fees) stored;

-- What waits for an operation is looked for when people look at it.
create index settlement_evidence_operation on settlement_evidence (merchant_id, operation_id);

-- As before, and payouts to sellers, which are of no payment. What was made at the PSP and came back before we had heard that
-- it succeeded has come back, unless people only said so.
create or replace view settleable_operation as
select o.merchant_id, o.operation_id, o.operation_id as named_id, o.payment_id, o.psp_account_id, p.order_id,
       'capture' as effect, o.status, o.psp_reference, o.psp_movement, o.amount, o.currency, o.created_at,
       case when o.due_at is null then o.updated_at end as ended_at, 0::bigint as fee, 0::bigint as returned_fee
from operation o
join payment p on p.merchant_id = o.merchant_id and p.payment_id = o.payment_id
where o.kind = 'authorize' and p.capture_method = 'automatic'
union all
select c.merchant_id, c.operation_id, a.operation_id, c.payment_id, a.psp_account_id, p.order_id,
       'capture', c.status, a.psp_reference, c.psp_movement, c.amount, c.currency, c.created_at,
       case when c.due_at is null then c.updated_at end, 0, 0
from operation a
join operation c on c.merchant_id = a.merchant_id and c.payment_id = a.payment_id and c.kind = 'capture'
join payment p on p.merchant_id = a.merchant_id and p.payment_id = a.payment_id
where a.kind = 'authorize'
union all
select r.merchant_id, r.operation_id, r.operation_id, r.payment_id, r.psp_account_id, p.order_id,
       'refund',
       case when r.status = 'declined' and r.psp_reference is not null and r.reason is distinct from 'closed_by_review'
            then 'reversed' else r.status end,
       r.psp_reference, r.psp_movement, r.amount, r.currency, r.created_at,
       case when r.due_at is null then r.updated_at end, 0, 0
from operation r
join payment p on p.merchant_id = r.merchant_id and p.payment_id = r.payment_id
where r.kind = 'refund'
union all
select d.merchant_id, d.dispute_id, d.dispute_id, d.payment_id, d.psp_account_id, p.order_id, 'chargeback',
       case d.funds when 'left' then 'unknown' when 'returned' then 'reversed' else 'succeeded' end,
       d.psp_reference, null, d.amount, d.currency, d.created_at,
       case when d.funds <> 'left' then d.updated_at end, d.fee, d.returned_fee
from dispute d
join payment p on p.merchant_id = d.merchant_id and p.payment_id = d.payment_id
union all
select o.merchant_id, o.operation_id, o.operation_id, null, o.psp_account_id, null,
       'payout',
       case when o.status = 'declined' and o.psp_reference is not null and o.reason is distinct from 'closed_by_review'
            then 'reversed' else o.status end,
       o.psp_reference, o.psp_movement, o.amount, o.currency, o.created_at,
       case when o.due_at is null then o.updated_at end, 0, 0
from operation o
where o.kind = 'payout';
