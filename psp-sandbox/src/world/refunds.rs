//! Giving money back.

use std::sync::Arc;

use super::Tx;
use crate::model::event::{EventKind, Stored};
use crate::model::id::Kind;
use crate::model::{Charge, IntentStatus, Metadata, Refund, RefundReason, RefundStatus, Source};
use crate::store::EffectKind;
use crate::wire::{ApiError, Attached};

/// A refund to be made.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// Of what.
    pub target: RefundTarget,
    /// Minor units; all that is left when not given.
    pub amount: Option<i64>,
    /// Why.
    pub reason: Option<RefundReason>,
    /// The merchant's own data.
    pub metadata: Metadata,
}

/// What is refunded, by its id.
#[derive(Clone, Debug)]
pub enum RefundTarget {
    /// The last charge of a PaymentIntent.
    Intent(String),
    /// A charge.
    Charge(String),
}

impl Tx<'_> {
    /// Gives a charge back, in full or in part.
    pub fn create_refund(&mut self, new: NewRefund) -> Result<Stored, ApiError> {
        let charge = self.refundable(&new.target)?;
        let dispute = charge.dispute.and_then(|seq| self.world.dispute_at(seq));
        if dispute.is_some_and(|dispute| dispute.is_withdrawn()) {
            let id = self.world.nonce.id(Kind::Charge, charge.seq);
            return Err(ApiError {
                attached: Attached::Charge(Arc::clone(&charge)),
                ..ApiError::new(
                    400,
                    "invalid_request_error",
                    "charge_disputed",
                    format!("Charge {id} has been charged back; cannot issue a refund."),
                )
            });
        }
        let left = charge.amount_captured - self.refunded(&charge);
        if left <= 0 {
            return Err(ApiError {
                attached: Attached::Charge(Arc::clone(&charge)),
                ..ApiError::new(
                    400,
                    "invalid_request_error",
                    "charge_already_refunded",
                    format!(
                        "Charge {} has already been refunded.",
                        self.world.nonce.id(Kind::Charge, charge.seq)
                    ),
                )
            });
        }
        let amount = new.amount.unwrap_or(left);
        if amount < 1 || amount > left {
            let message =
                format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(ApiError::invalid("amount", "", message));
        }
        let seq = self.next_refund();
        let moved = self.move_balance(Source::Refund(seq), -amount, 0, charge.currency);
        let refund = self.put_refund(Refund {
            seq,
            charge: charge.seq,
            intent: charge.intent,
            created_ms: self.around.now_ms,
            amount,
            currency: charge.currency,
            reason: new.reason,
            status: RefundStatus::Succeeded,
            metadata: Arc::new(new.metadata),
            balance_transaction: Some(moved),
            failure_balance_transaction: None,
        });
        let mut changed = Charge::clone(&charge);
        changed.amount_refunded += amount;
        self.put_charge(changed);
        self.event(EventKind::RefundCreated, Stored::Refund(seq));
        self.event(EventKind::ChargeRefunded, Stored::Charge(charge.seq));
        self.refund_effect(EffectKind::Refund, &refund);
        Ok(Stored::Refund(seq))
    }

    /// What was given back, less what came back: what was held, not captured and let go is not it.
    fn refunded(&self, charge: &Charge) -> i64 {
        let held = self.world.intent_at(charge.intent).map_or(0, |intent| intent.amount_capturable);
        let let_go = if charge.captured { charge.amount - charge.amount_captured - held } else { 0 };
        charge.amount_refunded - let_go
    }

    fn refundable(&self, target: &RefundTarget) -> Result<Arc<Charge>, ApiError> {
        let world = self.world;
        let charge = match target {
            RefundTarget::Charge(id) => world
                .nonce
                .seq(Kind::Charge, id)
                .and_then(|seq| world.charge_at(seq))
                .ok_or_else(|| ApiError::unknown("charge", "charge", id))?,
            RefundTarget::Intent(id) => {
                let intent = world
                    .intent(id)
                    .ok_or_else(|| ApiError::unknown("payment_intent", "payment_intent", id))?;
                let charge = intent.latest_charge.and_then(|seq| world.charge_at(seq));
                match (intent.status, charge) {
                    (IntentStatus::Succeeded, Some(charge)) => charge,
                    // captured in part: the rest is still held, or was let go
                    (IntentStatus::RequiresCapture | IntentStatus::Canceled, Some(charge))
                        if intent.amount_received > 0 =>
                    {
                        charge
                    }
                    _ => {
                        let message =
                            format!("This PaymentIntent ({id}) does not have a successful charge to refund.");
                        return Err(ApiError::unexpected_state(intent, message));
                    }
                }
            }
        };
        if charge.decline.is_some() || !charge.captured {
            let message = "This charge was never captured and cannot be refunded.".to_owned();
            return Err(ApiError::invalid("charge", "charge_not_refundable", message));
        }
        Ok(Arc::clone(charge))
    }

    /// A refund that seemed done comes back, as one to a closed card does days later.
    pub fn fail_refund(&mut self, id: &str) -> Result<Stored, ApiError> {
        let world = self.world;
        let seq = world.nonce.seq(Kind::Refund, id);
        let refund = seq
            .and_then(|seq| world.refund_at(seq))
            .filter(|refund| refund.status == RefundStatus::Succeeded)
            .ok_or_else(|| ApiError::missing("refund", "refund", id))?;
        let mut refund = Refund::clone(refund);
        let source = Source::RefundFailure(refund.seq);
        let moved = self.move_balance(source, refund.amount, 0, refund.currency);
        refund.status = RefundStatus::Failed;
        refund.failure_balance_transaction = Some(moved);
        if let Some(charge) = world.charge_at(refund.charge) {
            let mut charge = Charge::clone(charge);
            charge.amount_refunded -= refund.amount;
            self.put_charge(charge);
        }
        let refund = self.put_refund(refund);
        self.event(EventKind::RefundUpdated, Stored::Refund(refund.seq));
        self.event(EventKind::RefundFailed, Stored::Refund(refund.seq));
        self.refund_effect(EffectKind::RefundFailure, &refund);
        Ok(Stored::Refund(refund.seq))
    }

    fn refund_effect(&mut self, kind: EffectKind, refund: &Refund) {
        let nonce = self.world.nonce;
        let Some(intent) = self.world.intent_at(refund.intent).cloned() else {
            return;
        };
        let effect = self.effect(kind, &intent, refund.amount);
        effect.charge = Some(nonce.id(Kind::Charge, refund.charge).to_string());
        effect.refund = Some(nonce.id(Kind::Refund, refund.seq).to_string());
        effect.refund_metadata = Some(Arc::clone(&refund.metadata));
    }
}
