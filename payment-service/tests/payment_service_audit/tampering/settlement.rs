use payment_service::audit::Check::{
    Balances, BankStatements, Bookings, CardNumbers, Clearing, Files, Lines, OpenSettlement, PayoutsToBank,
    Tenants, TrialBalance,
};
use sqlx::PgPool;

use super::{case, each_is_found};

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_settlement_a_tenant_or_a_text_that_is_wrong_is_told(pool: PgPool) {
    each_is_found(
        &pool,
        &[
            case(
                "a line left waiting",
                "update settlement_evidence set waiting_since = now() - interval '2 hours' where merchant_id = MERCHANT",
                &[OpenSettlement],
                "select 'line ' || file_id || '/' || line_no from settlement_evidence where merchant_id = MERCHANT",
            ),
            case(
                "a file with fewer lines than it had",
                "update settlement_file set lines = 7 where merchant_id = MERCHANT",
                &[Files],
                "select file_id::text from settlement_file where merchant_id = MERCHANT",
            ),
            case(
                "a line that is gone",
                "delete from settlement_line where merchant_id = MERCHANT and kind = 'fee'",
                &[Files, Bookings],
                "select file_id::text from settlement_file where merchant_id = MERCHANT",
            ),
            case(
                "a line that nothing explains and no break shows",
                "delete from recon_break where merchant_id = MERCHANT and kind = 'unknown_to_us'",
                &[Lines],
                "select file_id || '/' || line_no from recon_break where merchant_id = MERCHANT and kind = 'unknown_to_us'",
            ),
            case(
                "a line with a match and a break that denies it",
                "update recon_break set kind = 'status' where merchant_id = MERCHANT and kind = 'amount'",
                &[Lines],
                "select file_id || '/' || line_no from recon_break where merchant_id = MERCHANT and kind = 'amount'",
            ),
            case(
                "a line that waits although it has a match",
                "update settlement_evidence e set line_no = m.line_no
                 from recon_match m join operation o on o.operation_id = m.operation_id
                 where e.merchant_id = MERCHANT and m.merchant_id = MERCHANT and o.operation_id = op(MERCHANT, 'o-1')",
                &[Lines],
                "select file_id || '/' || line_no from recon_match where operation_id = op(MERCHANT, 'o-1')",
            ),
            case(
                "a booking that is not the sum of its lines",
                "update settlement_booking set fees = fees + 1 where merchant_id = MERCHANT",
                &[Bookings],
                "select booking_id::text from settlement_booking where merchant_id = MERCHANT",
            ),
            case(
                "a payout to the bank that is not what its line says",
                "update settlement_payout set told = told + 1 where merchant_id = MERCHANT",
                &[PayoutsToBank, Clearing],
                "select 'account ' || ACCOUNT || ' EUR'",
            ),
            case(
                "a payout to the bank that is not what its lines come to",
                "insert into settlement_payout (merchant_id, psp_account_id, payout_id, currency, told, implied, has_line,
                     arrives_on, created_at)
                 values (MERCHANT, ACCOUNT, 'po_9', 'EUR', -5, 5, false, now(), now());
                 update settlement_booking set payout_id = 'po_9' where merchant_id = MERCHANT",
                &[PayoutsToBank, Bookings],
                "select 'payout po_9 EUR'",
            ),
            case(
                "a break that is adjusted and whose money was not moved",
                "update recon_break set state = 'closed', closed_at = now(), closed_because = 'so', closed_how = 'adjusted'
                 where merchant_id = MERCHANT and kind = 'unknown_to_us'",
                &[BankStatements],
                "select 'break ' || break_id from recon_break where merchant_id = MERCHANT and kind = 'unknown_to_us'",
            ),
            case(
                "a receivable that is not what is left to settle",
                "update recon_match set allocated = allocated - 1 where operation_id = op(MERCHANT, 'o-1')",
                &[Clearing],
                "select 'psp_receivable/' || ACCOUNT || ' EUR: 1855 instead of 1856'",
            ),
            case(
                "money in suspense that no line left there",
                "select manual(MERCHANT, 'suspense', 'psp_fees', 5)",
                &[Clearing],
                "select 'suspense EUR: ' || sum(e.amount) - 5 || ' instead of ' || sum(e.amount) from ledger_entry e
                 where e.merchant_id = MERCHANT and e.account_id = account(MERCHANT, 'suspense')",
            ),
            case(
                "a payment at another merchant's PSP account",
                "update payment set psp_account_id = (
                     select psp_account_id from psp_account where merchant_id <> MERCHANT order by 1 limit 1)
                 where payment_id = pay(MERCHANT, 'o-7')",
                &[Tenants],
                "select 'payment.psp_account_id = ' || psp_account_id from psp_account
                 where merchant_id <> MERCHANT order by psp_account_id limit 1",
            ),
            case(
                "a match under another payment, where its operation could have a second",
                "update recon_match set about_id = pay(MERCHANT, 'o-7') where operation_id = op(MERCHANT, 'o-1')",
                &[Tenants],
                "select 'recon_match.operation_id, about_id = ' || op(MERCHANT, 'o-1') || '/' || pay(MERCHANT, 'o-7')",
            ),
            case(
                "a delta of another merchant's account",
                "insert into ledger_balance_delta (merchant_id, delta_id, account_id, amount)
                 select MERCHANT, MERCHANT, account_id, v from (select account_id from ledger_account
                     where merchant_id <> MERCHANT order by 1 limit 1) a, (values (1)) as n (v)",
                &[Tenants, Balances, TrialBalance],
                "select 'ledger_balance_delta.account_id = ' || account_id from ledger_account
                 where merchant_id <> MERCHANT order by account_id limit 1",
            ),
            case(
                "a card number in a payment's metadata",
                "update payment set metadata = '{\"note\": \"card 4242-4242-4242-4242\"}'
                 where payment_id = pay(MERCHANT, 'o-7')",
                &[CardNumbers],
                "select 'payment ' || pay(MERCHANT, 'o-7')",
            ),
            case(
                "a card number in a webhook",
                "update webhook_event set payload = jsonb_set(payload, '{card}', '\"4242424242424242\"')
                 where merchant_id = MERCHANT and event_id = 'evt_3'",
                &[CardNumbers],
                "select 'webhook_event ' || ACCOUNT || '/evt_3'",
            ),
            case(
                "a card number for an idempotency key",
                "update idempotency_key set idempotency_key = '4242424242424242'
                 where merchant_id = MERCHANT and payment_id = pay(MERCHANT, 'o-7')",
                &[CardNumbers],
                "select 'idempotency_key whose key it is in'",
            ),
        ],
    )
    .await;
}
