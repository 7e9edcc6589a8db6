-- Disputes: what buyers' banks ask back. Nobody here starts one; what the PSP says of it is recorded, and bounds what
-- refunds may still give back.

alter table payment
    -- what disputes have taken and not given back; what the PSP does may be more than is left
    add column disputed_amount bigint not null default 0,
    add constraint payment_disputed_not_negative check (disputed_amount >= 0);
alter table payment_split
    add column disputed_amount bigint not null default 0,
    -- what of the platform's fee went with it
    add column disputed_fee    bigint not null default 0,
    add constraint payment_split_disputed_not_negative check (disputed_amount >= 0 and disputed_fee >= 0);

create table dispute (
    merchant_id     uuid        not null,
    dispute_id      uuid        not null,
    payment_id      uuid        not null,
    psp_account_id  uuid        not null,
    psp_reference   text        not null,
    status          text        not null,
    -- when the status was that, by the PSP's clock: what was so before changes nothing
    status_at       timestamptz not null,
    -- the bank's reason, in the PSP's words
    reason          text,
    amount          bigint      not null,
    currency        text        not null,
    evidence_due_at timestamptz,
    -- where the money is
    funds           text        not null,
    -- what the PSP charged when it took the money, and what of that it returned with it
    fee             bigint      not null,
    returned_fee    bigint      not null,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    constraint dispute_pkey primary key (merchant_id, dispute_id),
    constraint dispute_payment_fkey foreign key (merchant_id, payment_id)
        references payment (merchant_id, payment_id),
    constraint dispute_psp_account_fkey foreign key (merchant_id, psp_account_id)
        references psp_account (merchant_id, psp_account_id),
    constraint dispute_status_known
        check (status in ('inquiry', 'evidence_due', 'under_review', 'won', 'lost', 'closed')),
    constraint dispute_funds_known check (funds in ('left', 'taken', 'lost', 'returned')),
    -- what was lost is won in the end only when it comes back
    constraint dispute_lost_was_decided check (funds <> 'lost' or status in ('lost', 'won')),
    constraint dispute_amount_positive check (amount > 0),
    constraint dispute_currency_iso check (currency ~ '^[A-Z]{3}$'),
    constraint dispute_fee_of_taken check (fee >= 0 and returned_fee between 0 and fee
        and (funds <> 'left' or fee = 0) and (funds = 'returned' or returned_fee = 0))
);
create unique index dispute_psp_reference_once on dispute (merchant_id, psp_account_id, psp_reference)
    where psp_reference is not null;
create index dispute_payment on dispute (merchant_id, payment_id) where payment_id is not null;

-- How what a dispute took falls on its payment's splits.
create table dispute_split (
    merchant_id  uuid     not null,
    dispute_id   uuid     not null,
    split_no     smallint not null,
    amount       bigint   not null,
    platform_fee bigint   not null,
    constraint dispute_split_pkey primary key (merchant_id, dispute_id, split_no),
    constraint dispute_split_dispute_fkey foreign key (merchant_id, dispute_id)
        references dispute (merchant_id, dispute_id),
    constraint dispute_split_amount_positive check (amount > 0),
    constraint dispute_split_fee_within_amount check (platform_fee between 0 and amount)
);
create trigger dispute_split_append_only before update or delete or truncate on dispute_split
    for each statement execute function append_only();

-- Disputes take of what is not settled, as refunds do.
drop view settleable_draw;
alter table refund_draw rename to capture_draw;
alter table capture_draw rename column operation_id to taker_id;
alter table capture_draw rename constraint refund_draw_pkey to capture_draw_pkey;
alter table capture_draw rename constraint refund_draw_capture_fkey to capture_draw_capture_fkey;
alter table capture_draw rename constraint refund_draw_amount_positive to capture_draw_amount_positive;
alter table capture_draw rename constraint refund_draw_returned_to_known to capture_draw_returned_to_known;
alter index refund_draw_capture rename to capture_draw_capture;
alter table capture_draw
    add column of_dispute boolean not null default false,
    add column refund_id  uuid generated always as (case when of_dispute then null else taker_id end) stored,
    add column dispute_id uuid generated always as (case when of_dispute then taker_id end) stored,
    drop constraint refund_draw_split_fkey,
    add constraint capture_draw_refund_fkey foreign key (merchant_id, refund_id, split_no)
        references operation_split (merchant_id, operation_id, split_no),
    add constraint capture_draw_dispute_fkey foreign key (merchant_id, dispute_id, split_no)
        references dispute_split (merchant_id, dispute_id, split_no);

alter table settlement_line
    drop constraint settlement_line_kind_known,
    add constraint settlement_line_kind_known check (kind in ('capture', 'refund', 'refund_failure', 'chargeback',
        'chargeback_reversal', 'fee', 'payout', 'adjustment'));
alter table recon_match
    drop constraint recon_match_effect_known,
    add constraint recon_match_effect_known
        check (effect in ('capture', 'refund', 'refund_failure', 'chargeback', 'chargeback_reversal'));
alter table recon_break
    drop constraint recon_break_kind_known,
    add constraint recon_break_kind_known check (kind in ('unknown_to_us', 'missing_at_psp', 'amount', 'currency',
        'duplicate', 'captured_twice', 'refunded_twice', 'status', 'late_success', 'disputed_beyond'));

-- As before, and disputes: what the bank took is its own effect, and what it gave back another.
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
       'refund', r.status, r.psp_reference, r.psp_movement, r.amount, r.currency, r.created_at,
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
join payment p on p.merchant_id = d.merchant_id and p.payment_id = d.payment_id;

-- What refunds and disputes took of a capture's money before it was settled.
create view settleable_draw as
select d.merchant_id, d.capture_id as operation_id, s.seller_id, d.amount
from capture_draw d
join operation c on c.merchant_id = d.merchant_id and c.operation_id = d.capture_id
join payment_split s on s.merchant_id = d.merchant_id and s.payment_id = c.payment_id and s.split_no = d.split_no
where d.returned_to is null;
