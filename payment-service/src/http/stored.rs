//! Answers that are stored and replayed byte for byte.

use money::PaymentId;

use super::error::{Code, Problem};
use super::request_id::RequestId;
use crate::operation::OperationView;
use crate::payment::PaymentView;
use crate::payout::PayoutView;

/// The answer of a payment that is decided, or waits for its buyer. That a card was declined is an outcome, not an
/// error: the payment exists.
pub fn payment(payment: &PaymentView) -> (u16, String) {
    // strings, numbers and maps keyed by strings cannot fail to serialise
    (201, serde_json::to_string(payment).unwrap_or_default())
}

/// The mark of a payment that is still being worked on: the answer is what it then is.
pub fn accepted() -> (u16, String) {
    (202, String::new())
}

/// The answer to a claim for an order that has a live payment.
pub fn order_taken(live: PaymentId, request_id: Option<&RequestId>) -> (u16, String) {
    let problem = Problem::new(Code::OrderHasLivePayment)
        .detail("wait for that payment to end, or use it")
        .extension("payment_id", live.to_string());
    (problem.status().as_u16(), problem.render(request_id))
}

/// The answer of a capture, void or refund that has ended. That the PSP refused it is an outcome, not an error.
pub fn operation(operation: &OperationView) -> (u16, String) {
    (201, serde_json::to_string(operation).unwrap_or_default())
}

/// The answer of a payout that was sent, or has ended. That the PSP refused it is an outcome, not an error.
pub fn payout(payout: &PayoutView) -> (u16, String) {
    (201, serde_json::to_string(payout).unwrap_or_default())
}

/// The answer to a request that its payment, or the seller's wallet, does not allow as it is.
pub fn refusal(problem: &Problem, request_id: Option<&RequestId>) -> (u16, String) {
    (problem.status().as_u16(), problem.render(request_id))
}
