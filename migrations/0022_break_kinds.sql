-- Breaks that say more: a refund or a chargeback of a payment of ours that we know nothing of, and an operation of which
-- nobody knows how it ended, though the PSP's files should have told by now.

alter table recon_break
    drop constraint recon_break_kind_known,
    add constraint recon_break_kind_known check (kind in ('unknown_to_us', 'missing_at_psp', 'amount', 'currency',
        'duplicate', 'captured_twice', 'refunded_twice', 'paid_out_twice', 'status', 'late_success', 'disputed_beyond',
        'refund_without_refund', 'chargeback_unseen', 'stale_unknown',
        'payout_not_in_bank', 'bank_credit_without_payout', 'bank_debit_without_payout'));

-- Operations that were sent and have not ended. Two branches, so that each is a walk along its own index.
create view settleable_unknown as
with unended as (
    select * from operation where due_at is not null and status in ('sending', 'unknown')
    union all
    select * from operation where status = 'needs_review'
)
select o.merchant_id, o.operation_id, o.payment_id, o.psp_account_id, p.order_id,
       case o.kind when 'authorize' then 'capture' else o.kind end as effect,
       o.status, o.psp_reference, o.amount, o.currency, o.created_at
from unended o
left join payment p on p.merchant_id = o.merchant_id and p.payment_id = o.payment_id
where o.kind in ('capture', 'refund', 'payout') or (o.kind = 'authorize' and p.capture_method = 'automatic');
