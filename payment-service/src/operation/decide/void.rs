//! Letting go what is held, or ending what waits for its buyer.

use super::{Change, Known, change, moved};
use crate::http::stored;
use crate::operation::Finding;
use crate::operation::kind::OperationKind;
use crate::operation::state::OperationStatus;
use crate::outbox;
use crate::payment::{PaymentEvent, PaymentStatus};
use crate::psp::{Decline, Outcome, Success, decline};

/// What a void that was done is to its payment.
const fn event(known: &Known) -> PaymentEvent {
    match known.payment.status {
        // what was captured stays so
        PaymentStatus::PartiallyCaptured => PaymentEvent::Captured,
        _ => PaymentEvent::Voided,
    }
}

/// Whether the payment has ended by itself before it was let go.
pub(super) fn has_nothing_to_end(known: &Known, finding: &Finding) -> bool {
    let is_done = matches!(finding, Finding::Answer(Outcome::Succeeded(_)));
    known.kind == OperationKind::Void && is_done && known.payment.status.apply(event(known)).is_err()
}

pub(super) fn nothing_to_end() -> Decline {
    let message = "the payment had ended before".to_owned();
    Decline { code: decline::RELEASED, decline_code: None, message }
}

pub(super) fn succeed(known: &Known, status: OperationStatus, success: &Success) -> Change {
    let has_waited =
        matches!(known.payment.status, PaymentStatus::RequiresAction | PaymentStatus::Processing);
    let event = event(known);
    let kind = match event {
        PaymentEvent::Captured => "payment.captured",
        _ => "payment.voided",
    };
    let payment = moved(known, event);
    let view = known.view(status, None);
    Change {
        event: Some(outbox::of_operation(kind, &payment, &view, Some("voided"))),
        response: Some(stored::operation(&view)),
        ends_wait: has_waited.then(|| success.reference.clone()),
        payment: Some(payment),
        ..change(status)
    }
}
