-- What people do about operations of which nobody can tell what became. Written by `payment-service` alone.

alter table merchant
    -- closing more than this, in major units of whatever currency, takes a second person
    add column review_limit bigint not null default 1000,
    add constraint merchant_review_limit_not_negative check (review_limit >= 0);

-- Each act of a person, in order; nothing of it ever changes.
create table review_act (
    merchant_id   uuid        not null,
    operation_id  uuid        not null,
    act_no        integer     not null,
    -- asked: the PSP was asked again; proposed: a person says what became of it, and a second one is to say the same;
    -- closed: it ended so
    kind          text        not null,
    -- what is said to have become of it
    outcome       text,
    -- the PSP's object, where it has one and it was not known
    psp_reference text,
    reason        text,
    -- key:NAME of an API key, or cli:NAME of whoever ran the command
    actor         text        not null,
    acted_at      timestamptz not null default now(),
    constraint review_act_pkey primary key (merchant_id, operation_id, act_no),
    constraint review_act_operation_fkey foreign key (merchant_id, operation_id)
        references operation (merchant_id, operation_id),
    constraint review_act_numbered check (act_no >= 1),
    constraint review_act_kind_known check (kind in ('asked', 'proposed', 'closed')),
    constraint review_act_outcome_known check (outcome in ('succeeded', 'failed')),
    constraint review_act_says_what_and_why
        check ((kind = 'asked') = (outcome is null) and (kind = 'asked') = (reason is null)),
    constraint review_act_reason_length check (char_length(reason) between 1 and 500),
    constraint review_act_actor_named check (actor ~ '^(key|cli):.')
);
create trigger review_act_append_only before update or delete or truncate on review_act
    for each statement execute function append_only();

create index operation_needs_review on operation (merchant_id, updated_at, operation_id) where status = 'needs_review';
