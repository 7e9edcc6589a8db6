//! Letting go what is held, or ending what waits for its buyer.

use super::{Change, Known, change, moved};
use crate::http::stored;
use crate::operation::state::OperationStatus;
use crate::outbox;
use crate::payment::{PaymentEvent, PaymentStatus};

pub(super) fn succeed(known: &Known, status: OperationStatus) -> Change {
    let (event, kind) = match known.payment.status {
        // what was captured stays so
        PaymentStatus::PartiallyCaptured => (PaymentEvent::Captured, "payment.captured"),
        _ => (PaymentEvent::Voided, "payment.voided"),
    };
    let payment = moved(known, event);
    let view = known.view(status, None);
    Change {
        event: Some(outbox::of_operation(kind, &payment, &view, Some("voided"))),
        response: Some(stored::operation(&view)),
        ends_wait: known.payment.status == PaymentStatus::RequiresAction,
        payment: Some(payment),
        ..change(status)
    }
}
