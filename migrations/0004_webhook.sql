-- The inbox of the PSPs' webhooks: committed before it is acknowledged, applied afterwards. Written by
-- `payment-service` alone.

create table webhook_event (
    merchant_id    uuid        not null,
    psp_account_id uuid        not null,
    event_id       text        not null,
    type           text        not null,
    -- what it is about: the PSP's object, and our operation where its metadata names one
    psp_reference  text,
    operation_id   uuid,
    psp_created_at timestamptz not null,
    received_at    timestamptz not null,
    payload        jsonb       not null,
    status         text        not null,
    tries          integer     not null default 0,
    due_at         timestamptz,
    settled_at     timestamptz,
    detail         text,
    constraint webhook_event_pkey primary key (merchant_id, psp_account_id, event_id),
    constraint webhook_event_psp_account_fkey foreign key (merchant_id, psp_account_id)
        references psp_account (merchant_id, psp_account_id),
    -- pending: to be applied; parked: about nothing we know yet; applied, stale (changed nothing), ignored (a type
    -- that we do not use): done; quarantined: failed or parked too often, for a person
    constraint webhook_event_status_known
        check (status in ('pending', 'parked', 'applied', 'stale', 'ignored', 'quarantined')),
    constraint webhook_event_open_is_due check ((due_at is not null) = (status in ('pending', 'parked'))),
    constraint webhook_event_id_present check (char_length(event_id) between 1 and 255)
);
create index webhook_event_due on webhook_event (merchant_id, due_at) where due_at is not null;
create index webhook_event_operation on webhook_event (merchant_id, operation_id) where operation_id is not null;
