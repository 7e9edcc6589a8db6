use payment_service::audit::Check::{
    AnswerStored, AnswerTrue, AskedOnce, CapturePosted, ChargedOnce, Clearing, OneLivePayment,
    OperationAgrees, PspObjectOnce, Sums,
};
use sqlx::PgPool;

use super::{case, each_is_found};

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_charge_or_answer_that_is_wrong_is_told(pool: PgPool) {
    each_is_found(
        &pool,
        &[
            case(
                "an order with two live payments",
                "update payment set live = true where payment_id = pay(MERCHANT, 'o-2', 1)",
                &[OneLivePayment],
                "select 'o-2'",
            ),
            case(
                "an order charged twice",
                "update operation set status = 'succeeded', psp_reference = 'pi_x'
                 where operation_id = op(MERCHANT, 'o-2', 1)",
                &[ChargedOnce, Sums, OperationAgrees, CapturePosted, Clearing],
                "select 'o-2'",
            ),
            case(
                "an operation of another amount than its payment",
                "update operation set amount = 999 where operation_id = op(MERCHANT, 'o-7')",
                &[AskedOnce],
                "select pay(MERCHANT, 'o-7')::text",
            ),
            case(
                "a payment that was never asked for",
                "delete from attempt where operation_id = op(MERCHANT, 'o-7');
                 delete from operation where operation_id = op(MERCHANT, 'o-7')",
                &[AskedOnce],
                "select pay(MERCHANT, 'o-7')::text",
            ),
            case(
                "a payment that was asked for twice",
                "insert into operation select o.merchant_id, gen_random_uuid(), o.payment_id, o.kind, o.psp_account_id,
                     o.amount, o.currency, o.status, o.fence, o.lease_until, o.due_at, o.takeovers, o.first_sent_at, null,
                     null, o.idempotency_key, o.reason, o.created_at, o.updated_at
                 from operation o where o.operation_id = op(MERCHANT, 'o-7')",
                &[AskedOnce],
                "select pay(MERCHANT, 'o-7')::text",
            ),
            case(
                "one object of the PSP's for two operations",
                "update operation set psp_reference = 'pi_1' where operation_id = op(MERCHANT, 'o-4')",
                &[PspObjectOnce],
                "select 'pi_1'",
            ),
            case(
                "an ended operation without an answer",
                "update idempotency_key set response_status = null, response_body = null
                 where merchant_id = MERCHANT and payment_id = pay(MERCHANT, 'o-1')",
                &[AnswerStored],
                "select op(MERCHANT, 'o-1')::text",
            ),
            case(
                "an ended operation whose client was told to wait",
                "update idempotency_key set response_status = 202
                 where merchant_id = MERCHANT and payment_id = pay(MERCHANT, 'o-1')",
                &[AnswerStored],
                "select op(MERCHANT, 'o-1')::text",
            ),
            case(
                "an answer that is gone before its time",
                "delete from idempotency_key where merchant_id = MERCHANT and payment_id = pay(MERCHANT, 'o-1')",
                &[AnswerStored],
                "select op(MERCHANT, 'o-1')::text",
            ),
            case(
                "an answer with a status that the payment never had",
                "update idempotency_key set response_body = replace(response_body, '\"captured\"', '\"failed\"')
                 where merchant_id = MERCHANT and payment_id = pay(MERCHANT, 'o-1')",
                &[AnswerTrue],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "an answer of another amount",
                "update idempotency_key set response_body = replace(response_body, '\"amount\":1000', '\"amount\":1001')
                 where merchant_id = MERCHANT and payment_id = pay(MERCHANT, 'o-1')",
                &[AnswerTrue],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "an answer of another refund's amount",
                "update idempotency_key k set response_body = replace(response_body, '\"amount\":200', '\"amount\":201')
                 from operation o where k.merchant_id = MERCHANT and k.idempotency_key = o.idempotency_key
                   and o.operation_id = follow(MERCHANT, 'o-9', 'refund', 'succeeded')",
                &[AnswerTrue],
                "select pay(MERCHANT, 'o-9')::text",
            ),
            case(
                "an answer that cannot be read",
                "update idempotency_key set response_body = 'captured'
                 where merchant_id = MERCHANT and payment_id = pay(MERCHANT, 'o-1')",
                &[AnswerTrue],
                "select pay(MERCHANT, 'o-1')::text",
            ),
        ],
    )
    .await;
}
