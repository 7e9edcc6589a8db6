-- Payments, their operations at the PSPs, the evidence of each try, idempotency keys and events.
-- Written by `payment-service` alone.

create table payment (
    merchant_id            uuid        not null,
    payment_id             uuid        not null,
    order_id               text        not null,
    -- 1 for an order's first payment, 2 for the one after that failed, ...
    ordinal                integer     not null,
    psp_account_id         uuid        not null,
    status                 text        not null,
    -- the order is taken: everything but failed, voided, expired. A column of its own, so that the ordinary way of
    -- a payment (processing, captured) changes no indexed column
    live                   boolean     not null,
    amount                 bigint      not null,
    currency               text        not null,
    capture_method         text        not null,
    payment_method         text        not null,
    metadata               jsonb       not null,
    -- bounds of what we start; what the PSP says beyond them becomes a break, not a number here
    authorized_amount      bigint      not null default 0,
    captured_amount        bigint      not null default 0,
    refund_reserved_amount bigint      not null default 0,
    refunded_amount        bigint      not null default 0,
    failure_code           text,
    failure_message        text,
    decline_code           text,
    next_action_url        text,
    -- grows by one with each event; the event's number
    version                integer     not null default 1,
    created_at             timestamptz not null,
    updated_at             timestamptz not null,
    constraint payment_pkey primary key (merchant_id, payment_id),
    constraint payment_psp_account_fkey foreign key (merchant_id, psp_account_id)
        references psp_account (merchant_id, psp_account_id),
    constraint payment_status_known check (status in ('processing', 'requires_action', 'authorized',
        'partially_captured', 'captured', 'voided', 'failed', 'expired')),
    constraint payment_live_follows_status check (live = (status not in ('failed', 'voided', 'expired'))),
    constraint payment_ordinal_positive check (ordinal >= 1),
    constraint payment_order_id_present check (char_length(order_id) between 1 and 255),
    constraint payment_amount_positive check (amount > 0),
    constraint payment_currency_iso check (currency ~ '^[A-Z]{3}$'),
    constraint payment_capture_method_known check (capture_method in ('automatic', 'manual')),
    constraint payment_authorized_within_amount check (authorized_amount between 0 and amount),
    constraint payment_captured_within_authorized check (captured_amount between 0 and authorized_amount),
    constraint payment_refunds_within_captured check (refund_reserved_amount >= 0 and refunded_amount >= 0
        and refund_reserved_amount + refunded_amount <= captured_amount),
    constraint payment_captured_has_amount
        check (status not in ('captured', 'partially_captured') or captured_amount > 0),
    constraint payment_failed_says_why check (status <> 'failed' or failure_code is not null)
) with (fillfactor = 80);
-- Indexes beside a primary key say `is not null` of a column that never is: a look-up by the primary key does not imply
-- it, so the planner cannot take them for it. On a table that is still empty it would hold all indexes that begin with
-- merchant_id for equally good, and keep that plan while the table grows.
create unique index payment_order_ordinal_key on payment (merchant_id, order_id, ordinal) where order_id is not null;
-- one live payment per order
create unique index payment_one_live_per_order on payment (merchant_id, order_id) where live;

create table payment_split (
    merchant_id         uuid     not null,
    payment_id          uuid     not null,
    split_no            smallint not null,
    seller_id           text     not null,
    -- the seller's part of the payment, of which the platform keeps platform_fee
    amount              bigint   not null,
    platform_fee        bigint   not null,
    captured_amount     bigint   not null default 0,
    refunded_amount     bigint   not null default 0,
    constraint payment_split_pkey primary key (merchant_id, payment_id, split_no),
    constraint payment_split_payment_fkey foreign key (merchant_id, payment_id)
        references payment (merchant_id, payment_id),
    constraint payment_split_seller_once unique (merchant_id, payment_id, seller_id),
    constraint payment_split_amount_positive check (amount > 0),
    constraint payment_split_fee_within_amount check (platform_fee between 0 and amount),
    constraint payment_split_captured_within_amount check (captured_amount between 0 and amount),
    constraint payment_split_refunded_within_captured check (refunded_amount between 0 and captured_amount)
) with (fillfactor = 80);

-- One intended side effect at one PSP. Its id is its idempotency key and its reference there: SHA-256, truncated, of
-- merchant, order, ordinal and kind, so that a claim made again after a restore asks for the same charge.
create table operation (
    merchant_id    uuid        not null,
    operation_id   uuid        not null,
    payment_id     uuid        not null,
    kind           text        not null,
    psp_account_id uuid        not null,
    amount         bigint      not null,
    currency       text        not null,
    status         text        not null,
    -- grows with each change of owner; an owner's every write names it
    fence          bigint      not null,
    -- until when the owner may send; past it anybody may take over
    lease_until    timestamptz not null,
    -- when a worker looks at it next; null when it has ended
    due_at         timestamptz,
    -- how often a worker has taken it over
    takeovers      integer     not null default 0,
    -- the moment before the first byte may have left; the PSP's idempotency window is counted from it
    first_sent_at  timestamptz not null,
    -- the PSP's own name of the object (pi_...), and of the movement (ch_...)
    psp_reference  text,
    psp_movement   text,
    -- the client's key whose stored response this operation completes
    idempotency_key text       not null,
    -- why it is where it is: a code of ours, for people
    reason         text,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    constraint operation_pkey primary key (merchant_id, operation_id),
    constraint operation_payment_fkey foreign key (merchant_id, payment_id)
        references payment (merchant_id, payment_id),
    constraint operation_kind_known check (kind in ('authorize', 'capture', 'void', 'refund', 'payout')),
    constraint operation_status_known check (status in ('created', 'sending', 'requires_action', 'unknown', 'succeeded',
        'declined', 'expired', 'needs_review', 'reversed')),
    constraint operation_amount_positive check (amount > 0),
    constraint operation_currency_iso check (currency ~ '^[A-Z]{3}$'),
    constraint operation_fence_positive check (fence >= 1),
    constraint operation_open_is_due check ((due_at is not null)
        = (status in ('created', 'sending', 'requires_action', 'unknown'))),
    constraint operation_success_has_reference
        check (status not in ('succeeded', 'reversed') or psp_reference is not null)
) with (fillfactor = 80);
create index operation_payment on operation (merchant_id, payment_id) where payment_id is not null;
-- an object of the PSP's belongs to one operation of a kind
create unique index operation_psp_reference_once on operation (merchant_id, psp_account_id, psp_reference, kind)
    where psp_reference is not null;
create index operation_due on operation (merchant_id, due_at) where due_at is not null;

-- One HTTP exchange with a PSP about an operation: evidence, written whether or not the writer still owned it.
create table attempt (
    merchant_id    uuid        not null,
    operation_id   uuid        not null,
    attempt_id     uuid        not null,
    fence          bigint      not null,
    action         text        not null,
    sent_at        timestamptz not null,
    answered_at    timestamptz not null,
    outcome        text        not null,
    http_status    smallint,
    psp_request_id text,
    psp_reference  text,
    detail         text,
    constraint attempt_pkey primary key (merchant_id, operation_id, attempt_id),
    constraint attempt_operation_fkey foreign key (merchant_id, operation_id)
        references operation (merchant_id, operation_id),
    constraint attempt_action_known check (action in ('authorize', 'cancel', 'retrieve', 'search')),
    constraint attempt_outcome_known
        check (outcome in ('succeeded', 'declined', 'requires_action', 'not_sent', 'unknown', 'absent')),
    constraint attempt_answered_after_sent check (answered_at >= sent_at),
    constraint attempt_detail_short check (char_length(detail) <= 2000)
);
create trigger attempt_append_only before update or delete or truncate on attempt
    for each statement execute function append_only();

create table idempotency_key (
    merchant_id     uuid        not null,
    idempotency_key text        not null,
    -- eight bytes of SHA-256 for the endpoint and for each field of the body in a fixed order: enough to tell another
    -- request and name the first field that differs, without keeping the body
    fingerprint     bytea       not null,
    payment_id      uuid        not null,
    -- null while in flight
    response_status smallint,
    response_body   text,
    created_at      timestamptz not null,
    constraint idempotency_key_pkey primary key (merchant_id, idempotency_key),
    constraint idempotency_key_length check (char_length(idempotency_key) between 1 and 255),
    constraint idempotency_key_response_whole check ((response_status is null) = (response_body is null))
) with (fillfactor = 70);
-- for the reaper
create index idempotency_key_age on idempotency_key (merchant_id, created_at) where created_at is not null;

-- What happened to a payment, in order: its history, and the outbox that the relay publishes from.
create table payment_event (
    merchant_id  uuid        not null,
    payment_id   uuid        not null,
    version      integer     not null,
    event_id     uuid        not null,
    type         text        not null,
    data         jsonb       not null,
    recorded_at  timestamptz not null,
    published_at timestamptz,
    constraint payment_event_pkey primary key (merchant_id, payment_id, version),
    constraint payment_event_payment_fkey foreign key (merchant_id, payment_id)
        references payment (merchant_id, payment_id),
    constraint payment_event_version_positive check (version >= 1)
) with (fillfactor = 90);
create index payment_event_unpublished on payment_event (merchant_id, payment_id, version) where published_at is null;

-- Who publishes a merchant's events now. A lease with a fence, not a lock: a relay that slept past it may repeat an
-- event, which consumers expect, but cannot mark or skip one.
create table relay_lease (
    merchant_id uuid        not null,
    fence       bigint      not null,
    lease_until timestamptz not null,
    constraint relay_lease_pkey primary key (merchant_id)
);
