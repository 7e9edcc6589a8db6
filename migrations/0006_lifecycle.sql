-- What follows an authorisation: captures, voids, refunds. Each is an operation with its own key; what it moves of each
-- seller's part is kept per split.

alter table operation
    -- the PSP's object of the payment that it acts on; none for an authorisation, which makes it
    add column psp_target      text,
    -- of a capture or void: what was captured before it
    add column captured_before bigint,
    -- of a capture: whether what is left after it is let go
    add column last_capture    boolean,
    -- why it failed, beside the code in `reason`; of an authorisation, the payment knows
    add column decline_code    text,
    add column failure_message text,
    add constraint operation_follows_has_target check ((psp_target is null) = (kind in ('authorize', 'payout'))),
    add constraint operation_of_hold_knows_captured
        check ((captured_before is not null) = (kind in ('capture', 'void')) and captured_before >= 0),
    add constraint operation_capture_says_whether_last check ((last_capture is not null) = (kind = 'capture')),
    -- a hold that was taken is looked at once more when its time is over
    drop constraint operation_open_is_due,
    add constraint operation_open_is_due check (case
        when status in ('created', 'sending', 'requires_action', 'unknown') then due_at is not null
        when status = 'succeeded' and kind = 'authorize' then true
        else due_at is null end),
    -- a capture or void changes the payment's object and has none of its own
    drop constraint operation_success_has_reference,
    add constraint operation_success_has_reference
        check (status not in ('succeeded', 'reversed') or kind in ('capture', 'void') or psp_reference is not null);
-- one at a time changes what is held: what the PSP shows is then surely its doing
create unique index operation_one_change_of_hold on operation (merchant_id, payment_id)
    where kind in ('capture', 'void') and status in ('created', 'sending', 'unknown', 'needs_review');

alter table attempt
    drop constraint attempt_action_known,
    add constraint attempt_action_known
        check (action in ('authorize', 'capture', 'refund', 'cancel', 'retrieve', 'search'));

alter table payment_split
    add column refund_reserved_amount bigint not null default 0,
    -- what of the platform's fee goes back with the amounts refunded and reserved
    add column refunded_fee           bigint not null default 0,
    drop constraint payment_split_refunded_within_captured,
    add constraint payment_split_refunds_within_captured check (refunded_amount >= 0 and refund_reserved_amount >= 0
        and refunded_amount + refund_reserved_amount <= captured_amount),
    add constraint payment_split_refunded_fee_within_fee check (refunded_fee between 0 and platform_fee);

-- How a capture or refund falls on its payment's splits. An authorisation that captures by itself takes all of them whole.
create table operation_split (
    merchant_id  uuid     not null,
    operation_id uuid     not null,
    split_no     smallint not null,
    amount       bigint   not null,
    -- what of it is the platform's
    platform_fee bigint   not null,
    constraint operation_split_pkey primary key (merchant_id, operation_id, split_no),
    constraint operation_split_operation_fkey foreign key (merchant_id, operation_id)
        references operation (merchant_id, operation_id),
    constraint operation_split_amount_positive check (amount > 0),
    constraint operation_split_fee_within_amount check (platform_fee between 0 and amount)
);
create trigger operation_split_append_only before update or delete or truncate on operation_split
    for each statement execute function append_only();

-- What a refund took of a capture's money before that was settled: so much less becomes available when it is. Read by
-- `reconciliation`, under the lock of the seller's accounts that both take first.
create table refund_draw (
    merchant_id  uuid     not null,
    operation_id uuid     not null,
    split_no     smallint not null,
    capture_id   uuid     not null,
    amount       bigint   not null,
    -- the refund failed, and it went back: to the capture's pending money, or to the seller, once that was settled
    returned_to  text,
    constraint refund_draw_pkey primary key (merchant_id, operation_id, split_no, capture_id),
    constraint refund_draw_split_fkey foreign key (merchant_id, operation_id, split_no)
        references operation_split (merchant_id, operation_id, split_no),
    constraint refund_draw_capture_fkey foreign key (merchant_id, capture_id)
        references operation (merchant_id, operation_id),
    constraint refund_draw_amount_positive check (amount > 0),
    constraint refund_draw_returned_to_known check (returned_to in ('pending', 'seller'))
);
create index refund_draw_capture on refund_draw (merchant_id, capture_id) where returned_to is null;

alter table webhook_event
    -- which operation the event changed, and what became of it
    add column applied_to uuid,
    add column applied_as text,
    add constraint webhook_event_applied_as_known
        check (applied_as in ('succeeded', 'declined', 'expired', 'reversed', 'late_success', 'twice')),
    add constraint webhook_event_applied_whole check ((applied_to is null) = (applied_as is null)
        and (applied_to is null or status = 'applied'));

-- A refund that fails later is a line of its own.
alter table settlement_line
    drop constraint settlement_line_kind_known,
    add constraint settlement_line_kind_known
        check (kind in ('capture', 'refund', 'refund_failure', 'chargeback', 'fee', 'payout', 'adjustment'));
alter table recon_match
    -- what of the operation the line is about
    add column effect   text    not null default 'capture',
    -- whether it made the sellers' parts available
    add column released boolean not null default false,
    add constraint recon_match_effect_known check (effect in ('capture', 'refund', 'refund_failure')),
    add constraint recon_match_only_captures_release check (effect = 'capture' or not released);
update recon_match m set released = true
from settlement_line l, operation o
where l.merchant_id = m.merchant_id and l.file_id = m.file_id and l.line_no = m.line_no
  and o.merchant_id = m.merchant_id and o.operation_id = m.operation_id
  and m.revoked_at is null and l.kind = 'capture' and l.gross = o.amount and l.currency = o.currency;
drop index recon_match_operation_once;
-- an operation has one for each of its effects
create unique index recon_match_operation_once on recon_match (merchant_id, operation_id, effect)
    where revoked_at is null;

-- What `payment-service` may know of the tables of `reconciliation`: captures whose money is available.
create view released_capture as
select merchant_id, operation_id from recon_match where revoked_at is null and released;

drop view settleable_split;
drop view settleable_operation;

-- Operations that a settlement line can be about. An authorisation that captures by itself is a capture. What the PSP
-- was told of a payment names its authorisation (named_id), of a refund the refund; the object of a capture is the payment's.
create view settleable_operation as
select o.merchant_id, o.operation_id, o.operation_id as named_id, o.payment_id, o.psp_account_id, p.order_id,
       'capture' as effect, o.status, o.psp_reference, o.psp_movement, o.amount, o.currency, o.created_at,
       case when o.due_at is null then o.updated_at end as ended_at
from operation o
join payment p on p.merchant_id = o.merchant_id and p.payment_id = o.payment_id
where o.kind = 'authorize' and p.capture_method = 'automatic'
union all
select c.merchant_id, c.operation_id, a.operation_id, c.payment_id, a.psp_account_id, p.order_id,
       'capture', c.status, a.psp_reference, c.psp_movement, c.amount, c.currency, c.created_at,
       case when c.due_at is null then c.updated_at end
from operation a
join operation c on c.merchant_id = a.merchant_id and c.payment_id = a.payment_id and c.kind = 'capture'
join payment p on p.merchant_id = a.merchant_id and p.payment_id = a.payment_id
where a.kind = 'authorize'
union all
select r.merchant_id, r.operation_id, r.operation_id, r.payment_id, r.psp_account_id, p.order_id,
       'refund', r.status, r.psp_reference, r.psp_movement, r.amount, r.currency, r.created_at,
       case when r.due_at is null then r.updated_at end
from operation r
join payment p on p.merchant_id = r.merchant_id and p.payment_id = r.payment_id
where r.kind = 'refund';

-- What a capture brought each seller, and the platform.
create view settleable_split as
select o.merchant_id, o.operation_id, s.split_no, s.seller_id, s.amount, s.platform_fee
from operation o
join payment_split s on s.merchant_id = o.merchant_id and s.payment_id = o.payment_id
where o.kind = 'authorize'
union all
select x.merchant_id, x.operation_id, x.split_no, s.seller_id, x.amount, x.platform_fee
from operation o
join operation_split x on x.merchant_id = o.merchant_id and x.operation_id = o.operation_id
join payment_split s on s.merchant_id = o.merchant_id and s.payment_id = o.payment_id and s.split_no = x.split_no
where o.kind = 'capture';

-- What refunds took of a capture's money before it was settled.
create view settleable_draw as
select d.merchant_id, d.capture_id as operation_id, s.seller_id, d.amount
from refund_draw d
join operation r on r.merchant_id = d.merchant_id and r.operation_id = d.operation_id
join payment_split s on s.merchant_id = d.merchant_id and s.payment_id = r.payment_id and s.split_no = d.split_no
where d.returned_to is null;
