//! Events of payments and payouts: values that are inserted in the transaction of what they tell, and published by the [`relay`],
//! the only thing that sends to Kafka.

mod patience;
mod producer;
pub mod relay;
mod repo;

use money::{EventId, OperationId};
use serde_json::json;

use crate::dispute::DisputeView;
use crate::operation::OperationView;
use crate::payment::{NewPayment, PaymentView};
use crate::payout::PayoutView;

/// The type of a payment's first event.
pub const CREATED: &str = "payment.created";

/// The type of a payout's first event.
pub const PAYOUT_CREATED: &str = "payout.created";

/// An event about to be inserted.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What consumers dedupe on.
    pub event_id: EventId,
    /// What happened: `payment.captured`, ...
    pub kind: &'static str,
    /// The payment or payout as it then was, with what led to it.
    pub data: serde_json::Value,
}

/// The event of a payment that was accepted and not sent yet.
pub fn created(payment: &NewPayment, ordinal: i32, operation: OperationId) -> NewEvent {
    NewEvent {
        event_id: EventId::new(),
        kind: CREATED,
        data: json!({
            "payment_id": payment.payment_id,
            "order_id": payment.order_id,
            "ordinal": ordinal,
            "status": "processing",
            "amount": payment.amount.minor,
            "currency": payment.amount.currency,
            "operation_id": operation,
        }),
    }
}

/// The event of a change.
pub fn changed(
    kind: &'static str,
    payment: &PaymentView,
    operation: OperationId,
    reason: Option<&str>,
) -> NewEvent {
    let mut event = about(kind, payment);
    event.data["operation_id"] = json!(operation);
    event.data["reason"] = json!(reason);
    event
}

/// An event with the payment as it then is.
fn about(kind: &'static str, payment: &PaymentView) -> NewEvent {
    NewEvent {
        event_id: EventId::new(),
        kind,
        data: json!({
            "payment_id": payment.payment_id,
            "order_id": payment.order_id,
            "ordinal": payment.ordinal,
            "status": payment.status,
            "amount": payment.amount,
            "currency": payment.currency,
            "captured_amount": payment.captured_amount,
        }),
    }
}

/// The event of a capture, void or refund.
pub fn of_operation(
    kind: &'static str,
    payment: &PaymentView,
    operation: &OperationView,
    reason: Option<&str>,
) -> NewEvent {
    let mut event = changed(kind, payment, operation.operation_id, reason);
    event.data["refund_reserved_amount"] = json!(payment.refund_reserved_amount);
    event.data["refunded_amount"] = json!(payment.refunded_amount);
    event.data["operation"] = json!(operation);
    event
}

/// The event of a dispute.
pub fn of_dispute(kind: &'static str, payment: &PaymentView, dispute: &DisputeView) -> NewEvent {
    let mut event = about(kind, payment);
    event.data["refund_reserved_amount"] = json!(payment.refund_reserved_amount);
    event.data["refunded_amount"] = json!(payment.refunded_amount);
    event.data["disputed_amount"] = json!(payment.disputed_amount);
    event.data["dispute"] = json!(dispute);
    event
}

/// The event of a payout.
pub fn of_payout(kind: &'static str, payout: &PayoutView, reason: Option<&str>) -> NewEvent {
    let mut data = json!(payout);
    data["reason"] = json!(reason);
    NewEvent { event_id: EventId::new(), kind, data }
}
