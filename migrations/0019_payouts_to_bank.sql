-- What a PSP sends to our bank. Where the PSP's file has a line for it, that line says how much; where the file only names
-- the payout that each line is part of, it is what those lines come to.

create table settlement_payout (
    merchant_id    uuid    not null,
    psp_account_id uuid    not null,
    -- the PSP's name of it
    payout_id      text    not null,
    currency       text    not null,
    -- minor units that left our balance at the PSP: by lines of its own, less those that came back
    told           bigint  not null,
    -- by the sum of the lines that are part of it
    implied        bigint  not null,
    amount         bigint  not null generated always as (told + implied) stored,
    -- whether a line says that it was sent
    has_line       boolean not null,
    -- another name that the bank may know it by
    reference      text,
    -- the day it should be at the bank, as far as the PSP tells
    arrives_on     date    not null,
    created_at     timestamptz not null,
    constraint settlement_payout_pkey primary key (merchant_id, psp_account_id, payout_id, currency),
    constraint settlement_payout_psp_account_fkey foreign key (merchant_id, psp_account_id)
        references psp_account (merchant_id, psp_account_id),
    constraint settlement_payout_named check (payout_id <> '' and reference <> ''),
    constraint settlement_payout_currency_iso check (length(currency) = 3 and upper(currency) = currency),
    -- the same money does not leave twice
    constraint settlement_payout_told_or_implied check (not has_line or implied = 0)
);

alter table settlement_booking
    -- the day that the payout of its lines should be at the bank
    add column payout_on date,
    -- of no lines: the payout that the lines of this and earlier files are part of
    add column implied   boolean not null default false,
    drop constraint settlement_booking_lines_counted,
    add constraint settlement_booking_lines_counted
        check (matched between 0 and lines and (lines = 0) = implied),
    add constraint settlement_booking_implied_is_payout
        check (not implied or (payout_id is not null and payouts <> 0 and not late
            and captures = 0 and refunds = 0 and chargebacks = 0 and adjustments = 0 and fee_lines = 0
            and seller_payouts = 0 and fees = 0 and suspense = 0));
drop index settlement_booking_once;
create unique index settlement_booking_once
    on settlement_booking (merchant_id, file_id, chunk_no, coalesce(payout_id, ''), currency) where not late and not implied;
-- a file implies a payout once
create unique index settlement_booking_implied_once
    on settlement_booking (merchant_id, file_id, payout_id, currency) where implied;
create index settlement_booking_payout on settlement_booking (merchant_id, psp_account_id, payout_id)
    where payout_id is not null;

create or replace view settlement_line_booking as
select l.merchant_id, l.file_id, l.line_no, l.chunk_no, l.psp_line_id, l.kind, l.gross, l.fee, l.net, l.currency,
       e.operation_id as waiting_for, b.booking_id, b.transaction_id
from settlement_line l
left join settlement_evidence e
    on e.merchant_id = l.merchant_id and e.file_id = l.file_id and e.line_no = l.line_no
left join settlement_booking b
    on b.merchant_id = l.merchant_id and b.file_id = l.file_id and b.chunk_no = l.chunk_no
   and case when e.line_no is null
            then not b.late and not b.implied
                 and coalesce(b.payout_id, '') = coalesce(l.payout_id, '') and b.currency = l.currency
            else b.booking_id = e.booking_id end;
