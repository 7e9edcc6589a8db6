use payment_service::audit::Check::{
    AnswerTrue, Bounds, CapturePosted, Clearing, Fences, OpenOperations, OperationAgrees, OwnersWord, Path,
    PayoutPosted, RefundPosted, Splits, Sums, Versions,
};
use sqlx::PgPool;

use super::{case, each_is_found};

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_history_that_is_wrong_is_told(pool: PgPool) {
    each_is_found(
        &pool,
        &[
            case(
                "refunds beyond what was captured",
                "update payment set refund_reserved_amount = 2000 where payment_id = pay(MERCHANT, 'o-1')",
                &[Bounds, Splits, Sums],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "captured and never authorized",
                "update payment set authorized_amount = 0 where payment_id = pay(MERCHANT, 'o-1')",
                &[Bounds],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "splits that are more than the payment",
                "update payment_split set amount = amount + 1
                 where payment_id = pay(MERCHANT, 'o-7') and seller_id = 's-1'",
                &[Splits],
                "select pay(MERCHANT, 'o-7')::text",
            ),
            case(
                "a split that was not captured with its payment",
                "update payment_split set captured_amount = 0
                 where payment_id = pay(MERCHANT, 'o-1') and seller_id = 's-1'",
                &[Splits],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "a payment without splits",
                "delete from payment_split where payment_id = pay(MERCHANT, 'o-7')",
                &[Splits],
                "select pay(MERCHANT, 'o-7')::text",
            ),
            case(
                "a split of which more is given back than was taken",
                "update payment_split set refunded_amount = 601, refund_reserved_amount = 0
                 where payment_id = pay(MERCHANT, 'o-9') and seller_id = 's-1'",
                &[Splits],
                "select pay(MERCHANT, 'o-9')::text",
            ),
            case(
                "a refund that the payment does not count",
                "update payment set refunded_amount = 0 where payment_id = pay(MERCHANT, 'o-9');
                 update payment_split set refunded_amount = 0 where payment_id = pay(MERCHANT, 'o-9')",
                &[Sums],
                "select pay(MERCHANT, 'o-9')::text",
            ),
            case(
                "a refund that falls on its sellers with another amount",
                "update operation_split set amount = amount + 1
                 where operation_id = follow(MERCHANT, 'o-9', 'refund', 'succeeded') and split_no = 0",
                &[Sums, RefundPosted],
                "select pay(MERCHANT, 'o-9')::text",
            ),
            case(
                "a capture of a payment that was let go",
                "update operation set status = 'succeeded', kind = 'capture', last_capture = true
                 where operation_id = follow(MERCHANT, 'o-10', 'void', 'succeeded')",
                &[OperationAgrees, AnswerTrue, Sums, CapturePosted, Clearing],
                "select follow(MERCHANT, 'o-10', 'void', 'succeeded')::text",
            ),
            case(
                "a gap in a history",
                "delete from payment_event where payment_id = pay(MERCHANT, 'o-3') and version = 2",
                &[Versions],
                "select pay(MERCHANT, 'o-3')::text",
            ),
            case(
                "a version without an event",
                "update payment set version = version + 1 where payment_id = pay(MERCHANT, 'o-3')",
                &[Versions],
                "select pay(MERCHANT, 'o-3')::text",
            ),
            case(
                "a history that begins in the middle",
                "update payment_event set type = 'payment.authorized' where payment_id = pay(MERCHANT, 'o-1') and version = 1",
                &[Path],
                "select pay(MERCHANT, 'o-1')::text",
            ),
            case(
                "a history with two ends",
                "update payment_event set type = 'payment.captured', data = jsonb_set(data, '{status}', '\"captured\"')
                 where payment_id = pay(MERCHANT, 'o-3') and version = 2",
                &[Path],
                "select pay(MERCHANT, 'o-3')::text",
            ),
            case(
                "a payment that is not where its history ends",
                "update payment set status = 'processing' where payment_id = pay(MERCHANT, 'o-4')",
                &[Path, OperationAgrees],
                "select pay(MERCHANT, 'o-4')::text",
            ),
            case(
                "an operation that tells another story than its payment",
                "update operation set status = 'requires_action' where operation_id = op(MERCHANT, 'o-7')",
                &[OperationAgrees],
                "select op(MERCHANT, 'o-7')::text",
            ),
            case(
                "a payout that is there and says that it is not",
                "update payout set status = 'in_transit' where payout_id = paid_out(MERCHANT, 'po_11')",
                &[Path, PayoutPosted, Clearing, OpenOperations],
                "select paid_out(MERCHANT, 'po_11')::text",
            ),
            case(
                "a payout that is back and whose operation is not",
                "update operation set status = 'succeeded' where operation_id = sent(MERCHANT, 'po_13')",
                &[OperationAgrees],
                "select paid_out(MERCHANT, 'po_13')::text",
            ),
            case(
                "a gap in the history of a payout",
                "delete from payment_event where payout_id = paid_out(MERCHANT, 'po_13') and version = 2",
                &[Versions, Path, AnswerTrue],
                "select paid_out(MERCHANT, 'po_13')::text",
            ),
            case(
                "a take-over that did not grow the fence",
                "update operation set takeovers = 1 where operation_id = op(MERCHANT, 'o-1')",
                &[Fences],
                "select op(MERCHANT, 'o-1')::text",
            ),
            case(
                "a try under a fence that was never given",
                "update attempt set fence = 9 where operation_id = op(MERCHANT, 'o-1')",
                &[Fences],
                "select op(MERCHANT, 'o-1')::text",
            ),
            case(
                "a success that its owner saw and did not record",
                "update attempt set outcome = 'succeeded' where operation_id = op(MERCHANT, 'o-7')",
                &[OwnersWord],
                "select op(MERCHANT, 'o-7')::text",
            ),
            case(
                "an operation left in doubt",
                "update operation set created_at = now() - interval '2 hours' where operation_id = op(MERCHANT, 'o-7')",
                &[OpenOperations],
                "select 'unknown ' || op(MERCHANT, 'o-7')",
            ),
        ],
    )
    .await;
}
