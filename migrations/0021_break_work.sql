-- What people do about breaks, and what later files do.

alter table recon_break
    -- the day it is about: its age counts from here
    add column arose_on      date,
    -- who looks at it
    add column assignee      text,
    -- nobody needs to look before this day
    add column snoozed_until date,
    -- itself: a later file explained it; adjusted: its money was moved to where it belongs; accepted: it stays as it is
    add column closed_how    text;
update recon_break set arose_on = opened_at at time zone 'UTC', closed_how = case state when 'closed' then 'itself' end;
alter table recon_break
    alter column arose_on set not null,
    add constraint recon_break_assignee_length check (char_length(assignee) between 1 and 100),
    add constraint recon_break_closed_how_known
        check ((state = 'closed') = (closed_how is not null) and closed_how in ('itself', 'adjusted', 'accepted'));
create index recon_break_age on recon_break (merchant_id, state, arose_on, break_id);

-- Each act of a person or of a later file, in order; nothing of it ever changes.
create table recon_break_act (
    merchant_id    uuid        not null,
    break_id       uuid        not null,
    act_no         integer     not null,
    -- proposed: a person wants it closed or opened again, and a second one is to say the same; closed: a later file did it
    kind           text        not null,
    -- proposed: what is to be done
    proposal       text,
    -- assigned: to whom, or to nobody
    assignee       text,
    -- snoozed: to when
    snoozed_until  date,
    -- adjusted: to which account
    account        text,
    -- what was said
    note           text,
    -- key:NAME of an API key, cli:NAME of whoever ran the command, or system
    actor          text        not null,
    acted_at       timestamptz not null default now(),
    constraint recon_break_act_pkey primary key (merchant_id, break_id, act_no),
    constraint recon_break_act_break_fkey foreign key (merchant_id, break_id)
        references recon_break (merchant_id, break_id),
    constraint recon_break_act_numbered check (act_no >= 1),
    constraint recon_break_act_kind_known check (kind in ('assigned', 'commented', 'snoozed', 'proposed', 'adjusted',
        'accepted', 'reversed', 'closed')),
    constraint recon_break_act_proposal_known
        check ((kind = 'proposed') = (proposal is not null) and proposal in ('adjust', 'accept', 'reverse')),
    constraint recon_break_act_assignee_length
        check (assignee is null or kind = 'assigned' and char_length(assignee) between 1 and 100),
    constraint recon_break_act_snoozed_says_when check ((kind = 'snoozed') = (snoozed_until is not null)),
    constraint recon_break_act_adjusted_says_where
        check ((kind = 'adjusted' or kind = 'proposed' and proposal = 'adjust') = (account is not null)),
    constraint recon_break_act_note_length
        check (char_length(note) between 1 and 500 and (note is not null or kind in ('assigned', 'snoozed'))),
    constraint recon_break_act_actor_named check (actor ~ '^(key|cli):.' or actor = 'system')
);
create trigger recon_break_act_append_only before update or delete or truncate on recon_break_act
    for each statement execute function append_only();

-- A break's money, moved in the commit that closed it, and back where that was reversed.
create table recon_adjustment (
    merchant_id    uuid     not null,
    -- also the source of its ledger transactions
    adjustment_id  uuid     not null,
    break_id       uuid     not null,
    -- from 1
    ordinal        smallint not null,
    from_account   text     not null,
    to_account     text     not null,
    currency       text     not null,
    -- minor units debited to the second account, and credited to the first; negative the other way
    amount         bigint   not null,
    transaction_id uuid     not null,
    reversed_by    uuid,
    constraint recon_adjustment_pkey primary key (merchant_id, adjustment_id),
    constraint recon_adjustment_numbered unique (merchant_id, break_id, ordinal),
    constraint recon_adjustment_break_fkey foreign key (merchant_id, break_id)
        references recon_break (merchant_id, break_id),
    constraint recon_adjustment_transaction_fkey foreign key (merchant_id, transaction_id)
        references ledger_transaction (merchant_id, transaction_id),
    constraint recon_adjustment_reversed_fkey foreign key (merchant_id, reversed_by)
        references ledger_transaction (merchant_id, transaction_id),
    constraint recon_adjustment_somewhere_else check (from_account <> to_account),
    constraint recon_adjustment_moves_something check (amount <> 0),
    constraint recon_adjustment_ordinal check (ordinal >= 1)
);
-- a break's money is moved once
create unique index recon_adjustment_once on recon_adjustment (merchant_id, break_id) where reversed_by is null;
create trigger recon_adjustment_append_only before delete or truncate on recon_adjustment
    for each statement execute function append_only();

-- Where a break's money stands while it is open, and how much: minor units that are debited there, negative for credited.
create view recon_break_held as
select b.merchant_id, b.break_id,
       case when b.bank_entry_id is not null then 'suspense'
            when b.payout_id is not null then 'payout_in_transit/' || b.psp_account_id
            when b.kind = 'missing_at_psp' then 'psp_receivable/' || b.psp_account_id
            when l.psp_line_id is not null then 'suspense' end as account,
       coalesce(l.currency, b.currency) as currency,
       coalesce(case when b.bank_entry_id is not null then -e.open
            when b.payout_id is not null then p.open
            when b.kind = 'missing_at_psp' then case o.effect when 'capture' then b.expected else -b.expected end
            when l.psp_line_id is null then 0
            when b.kind = 'amount' then
                case when l.kind in ('refund', 'chargeback', 'payout') then -b.expected else b.expected end - l.gross
            else -l.gross end, 0) as amount
from recon_break b
left join bank_entry e on e.merchant_id = b.merchant_id and e.entry_id = b.bank_entry_id
left join settlement_payout p on p.merchant_id = b.merchant_id and p.psp_account_id = b.psp_account_id
     and p.payout_id = b.payout_id and p.currency = b.currency
left join settleable_operation o on o.merchant_id = b.merchant_id and o.operation_id = b.operation_id
     and b.kind = 'missing_at_psp'
-- a duplicate's line is not stored: the stored one stands elsewhere
left join settlement_line l on l.merchant_id = b.merchant_id and l.psp_account_id = b.psp_account_id
     and l.psp_line_id = b.psp_line_id and l.file_id = b.file_id and l.line_no = b.line_no;

-- What may be closed by one person.
create view settleable_merchant as select merchant_id, review_limit from merchant;
