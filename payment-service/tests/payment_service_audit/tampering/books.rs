use payment_service::audit::Check::{
    Balances, CapturePosted, Clearing, DisputePosted, EntryCurrency, Floors, Legs, PayoutPosted, PostedOnce,
    RefundPosted, SettlementMoved, Tenants, TrialBalance, ZeroSum,
};
use sqlx::PgPool;

use super::{case, each_is_found};

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn books_that_are_wrong_are_told(pool: PgPool) {
    each_is_found(
        &pool,
        &[
            case(
                "a transaction that does not sum to zero",
                "update ledger_entry set amount = amount + 1
                 where merchant_id = MERCHANT and account_id = account(MERCHANT, 'psp_fees')
                   and transaction_id = (select transaction_id from settlement_booking where merchant_id = MERCHANT)",
                &[ZeroSum, Balances],
                "select transaction_id::text from settlement_booking where merchant_id = MERCHANT",
            ),
            case(
                "a dispute with another fee than was booked",
                "update dispute set fee = fee + 1 where merchant_id = MERCHANT and psp_reference = 'dp_2'",
                &[DisputePosted, Clearing],
                "select dispute_id::text from dispute where merchant_id = MERCHANT and psp_reference = 'dp_2'",
            ),
            case(
                "a dispute that its payment does not count",
                "update payment set disputed_amount = 0 where payment_id = pay(MERCHANT, 'o-2', 2);
                 update payment_split set disputed_amount = 0 where payment_id = pay(MERCHANT, 'o-2', 2)",
                &[DisputePosted],
                "select pay(MERCHANT, 'o-2', 2)::text",
            ),
            case(
                "a transaction without entries",
                "insert into ledger_transaction (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
                 values (MERCHANT, MERCHANT, 'manual', MERCHANT, 'test', '2026-03-01')",
                &[Legs],
                "select MERCHANT::text",
            ),
            case(
                "entries without a transaction",
                "insert into ledger_entry values (MERCHANT, MERCHANT, 0, account(MERCHANT, 'psp_fees'), 'EUR', 1),
                                                 (MERCHANT, MERCHANT, 1, account(MERCHANT, 'psp_fees'), 'EUR', -1)",
                &[Legs, Tenants],
                "select MERCHANT::text",
            ),
            case(
                "entries in another currency than their account",
                "insert into ledger_transaction (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
                 values (MERCHANT, MERCHANT, 'manual', MERCHANT, 'test', '2026-03-01');
                 insert into ledger_entry values (MERCHANT, MERCHANT, 0, account(MERCHANT, 'psp_fees'), 'USD', 1),
                                                 (MERCHANT, MERCHANT, 1, account(MERCHANT, 'psp_fees'), 'USD', -1)",
                &[EntryCurrency],
                "select MERCHANT || '/0'",
            ),
            case(
                "two balances that are off, and their sum is not",
                "update ledger_balance set balance = balance + 1
                 where merchant_id = MERCHANT and account_id = account(MERCHANT, 'platform_fees');
                 update ledger_balance set balance = balance - 1
                 where merchant_id = MERCHANT and account_id = account(MERCHANT, 'psp_fees')",
                &[Balances],
                "select 'psp_fees EUR'",
            ),
            case(
                "an account without a balance",
                "insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
                 values (MERCHANT, MERCHANT, 'bank_cash', 'JPY', 'asset', 1)",
                &[Balances],
                "select 'bank_cash JPY'",
            ),
            case(
                "a delta that was rolled up and kept",
                "insert into ledger_balance_delta (merchant_id, delta_id, account_id, amount)
                 values (MERCHANT, MERCHANT, account(MERCHANT, 'platform_fees'), 7)",
                &[TrialBalance, Balances],
                "select '7 EUR'",
            ),
            case(
                "a wallet below zero",
                "select manual(MERCHANT, 'platform_fees', 'seller_available/s-2', 500)",
                &[Floors],
                "select 'seller_available/s-2 EUR'",
            ),
            case(
                "a wallet that could go below zero",
                "update ledger_balance set floored = false
                 where merchant_id = MERCHANT and account_id = account(MERCHANT, 'seller_available/s-1')",
                &[Floors],
                "select 'seller_available/s-1 EUR'",
            ),
            case(
                "a capture that was not booked as one",
                "update ledger_transaction set kind = 'other'
                 where merchant_id = MERCHANT and source_id = op(MERCHANT, 'o-2', 2)",
                &[CapturePosted],
                "select op(MERCHANT, 'o-2', 2)::text",
            ),
            case(
                "a capture with a cent of one seller's at another's",
                "update ledger_entry e set amount = e.amount + case e.account_id
                     when account(MERCHANT, 'seller_pending/s-1') then 1
                     when account(MERCHANT, 'seller_pending/s-2') then -1 else 0 end
                 from ledger_transaction t
                 where t.merchant_id = MERCHANT and t.source_id = op(MERCHANT, 'o-3')
                   and e.merchant_id = MERCHANT and e.transaction_id = t.transaction_id;
                 update ledger_balance set balance = balance + 1
                 where account_id = account(MERCHANT, 'seller_pending/s-1');
                 update ledger_balance set balance = balance - 1
                 where account_id = account(MERCHANT, 'seller_pending/s-2')",
                &[CapturePosted],
                "select op(MERCHANT, 'o-3')::text",
            ),
            case(
                "a capture of a payment that is not captured",
                "select manual(MERCHANT, 'platform_fees', 'psp_fees', 1, 'operation', op(MERCHANT, 'o-7'), 'capture')",
                &[CapturePosted],
                "select op(MERCHANT, 'o-7')::text",
            ),
            case(
                "a refund that holds nothing",
                "update ledger_transaction set kind = 'other'
                 where merchant_id = MERCHANT and source_id = follow(MERCHANT, 'o-9', 'refund', 'sending')",
                &[RefundPosted],
                "select follow(MERCHANT, 'o-9', 'refund', 'sending')::text",
            ),
            case(
                "a refund that came back and is booked as given",
                "update ledger_transaction set kind = 'other' where merchant_id = MERCHANT and kind = 'refund_reversal'",
                &[RefundPosted],
                "select follow(MERCHANT, 'o-11', 'refund', 'reversed')::text",
            ),
            case(
                "a payout that holds nothing",
                "update ledger_transaction set kind = 'other' where merchant_id = MERCHANT and kind = 'payout_hold'
                   and source_id = sent(MERCHANT, 'po_12')",
                &[PayoutPosted],
                "select sent(MERCHANT, 'po_12')::text",
            ),
            case(
                "a payout that came back and is booked as there",
                "update ledger_transaction set kind = 'other' where merchant_id = MERCHANT and kind = 'payout_back'",
                &[PayoutPosted],
                "select sent(MERCHANT, 'po_13')::text",
            ),
            case(
                "a payout that is booked as there and is on its way",
                "select manual(MERCHANT, 'psp_receivable/' || ACCOUNT, 'payout_clearing', 100, 'operation',
                     sent(MERCHANT, 'po_12'), 'payout_paid')",
                &[PayoutPosted, Clearing],
                "select sent(MERCHANT, 'po_12')::text",
            ),
            case(
                "a posting twice",
                "select manual(MERCHANT, 'platform_fees', 'psp_fees', 1, 'settlement',
                     (select booking_id from settlement_booking where merchant_id = MERCHANT), 'settle')",
                &[PostedOnce],
                "select 'settlement ' || booking_id || ' settle' from settlement_booking where merchant_id = MERCHANT",
            ),
            case(
                "a settlement with a cent of one seller's at another's",
                "update ledger_entry e set amount = e.amount + case e.account_id
                     when account(MERCHANT, 'seller_pending/s-1') then 1
                     when account(MERCHANT, 'seller_pending/s-2') then -1 else 0 end
                 from settlement_booking b
                 where b.merchant_id = MERCHANT and e.merchant_id = MERCHANT and e.transaction_id = b.transaction_id;
                 update ledger_balance set balance = balance + 1
                 where account_id = account(MERCHANT, 'seller_pending/s-1');
                 update ledger_balance set balance = balance - 1
                 where account_id = account(MERCHANT, 'seller_pending/s-2')",
                &[SettlementMoved],
                "select booking_id::text from settlement_booking where merchant_id = MERCHANT",
            ),
        ],
    )
    .await;
}
