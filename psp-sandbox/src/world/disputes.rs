//! What buyers' banks ask back.

use std::sync::Arc;

use super::Tx;
use crate::model::event::{EventKind, Stored};
use crate::model::id::Kind;
use crate::model::{Charge, Dispute, DisputeReason, DisputeStatus, Metadata, Source};
use crate::store::EffectKind;
use crate::wire::ApiError;

const DAY_MS: i64 = 86_400_000;

/// A dispute to be opened, by the buyer's bank.
#[derive(Clone, Debug)]
pub struct NewDispute {
    /// Of which PaymentIntent's last charge.
    pub intent: String,
    /// Minor units; all that was captured when not given.
    pub amount: Option<i64>,
    /// Why.
    pub reason: DisputeReason,
    /// Whether the bank only asks, and leaves the money where it is.
    pub inquiry: bool,
}

/// What a merchant says to a dispute.
#[derive(Clone, Debug)]
pub struct DisputeAnswer {
    /// The evidence; `winning_evidence` and `losing_evidence` decide it at once.
    pub text: Option<String>,
    /// Whether it goes to the bank now.
    pub submit: bool,
    /// Changes of the merchant's own data.
    pub metadata: Vec<(String, String)>,
}

/// What a bank decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// An inquiry becomes a chargeback: the money goes.
    Escalate,
    /// An inquiry ends without one.
    Drop,
    /// The merchant keeps the money.
    Won,
    /// The buyer does.
    Lost,
}

impl Tx<'_> {
    /// A buyer's bank disputes a charge.
    pub fn open_dispute(&mut self, new: &NewDispute) -> Result<Stored, ApiError> {
        let world = self.world;
        let unknown = || ApiError::unknown("payment_intent", "payment_intent", &new.intent);
        let intent = world.intent(&new.intent).ok_or_else(unknown)?;
        let charge = intent.latest_charge.and_then(|seq| world.charge_at(seq));
        let charge = charge.filter(|charge| charge.captured && charge.decline.is_none());
        let Some(charge) = charge else {
            let message = format!("This PaymentIntent ({}) has no captured charge.", new.intent);
            return Err(ApiError::unexpected_state(intent, message));
        };
        let open = charge.dispute.and_then(|seq| world.dispute_at(seq));
        if open.is_some_and(|dispute| !is_decided(dispute.status)) {
            let message = "This charge is disputed already.".to_owned();
            return Err(ApiError::invalid("payment_intent", "charge_disputed", message));
        }
        let amount = new.amount.unwrap_or(charge.amount_captured);
        if amount < 1 || amount > charge.amount_captured {
            let message = format!("The amount must be between 1 and {}.", charge.amount_captured);
            return Err(ApiError::invalid("amount", "", message));
        }
        let seq = self.next_dispute();
        let mut changed = Charge::clone(charge);
        changed.dispute = Some(seq);
        let status = match new.inquiry {
            true => DisputeStatus::WarningNeedsResponse,
            false => DisputeStatus::NeedsResponse,
        };
        let mut dispute = Dispute {
            seq,
            charge: charge.seq,
            intent: charge.intent,
            created_ms: self.around.now_ms,
            amount,
            currency: charge.currency,
            reason: new.reason,
            status,
            due_ms: self.around.now_ms + i64::from(self.around.disputes.answer_days) * DAY_MS,
            submissions: 0,
            movements: Vec::new(),
            metadata: Arc::new(Metadata::default()),
        };
        self.put_charge(changed);
        if !new.inquiry {
            self.withdraw(&mut dispute);
        }
        self.put_dispute(dispute);
        self.event(EventKind::DisputeCreated, Stored::Dispute(seq));
        if !new.inquiry {
            self.event(EventKind::DisputeWithdrawn, Stored::Dispute(seq));
        }
        Ok(Stored::Dispute(seq))
    }

    /// The merchant answers.
    pub fn answer_dispute(&mut self, id: &str, answer: &DisputeAnswer) -> Result<Stored, ApiError> {
        let mut dispute = self.dispute(id)?;
        for (key, value) in &answer.metadata {
            Arc::make_mut(&mut dispute.metadata).set(key, value);
        }
        if answer.text.is_none() || !answer.submit {
            let dispute = self.put_dispute(dispute);
            return Ok(Stored::Dispute(dispute.seq));
        }
        dispute.submissions += 1;
        dispute.status = match dispute.status {
            DisputeStatus::NeedsResponse => DisputeStatus::UnderReview,
            DisputeStatus::WarningNeedsResponse => DisputeStatus::WarningUnderReview,
            _ => return Err(decided(id)),
        };
        let is_inquiry = dispute.status == DisputeStatus::WarningUnderReview;
        let seq = dispute.seq;
        match (answer.text.as_deref(), is_inquiry) {
            (Some("winning_evidence"), false) => return self.end(dispute, Decision::Won),
            (Some("losing_evidence"), false) => return self.end(dispute, Decision::Lost),
            (Some("winning_evidence"), true) => return self.end(dispute, Decision::Drop),
            _ => {}
        }
        self.put_dispute(dispute);
        self.event(EventKind::DisputeUpdated, Stored::Dispute(seq));
        Ok(Stored::Dispute(seq))
    }

    /// The merchant gives it up.
    pub fn close_dispute(&mut self, id: &str) -> Result<Stored, ApiError> {
        let dispute = self.dispute(id)?;
        match dispute.status {
            DisputeStatus::NeedsResponse | DisputeStatus::UnderReview => self.end(dispute, Decision::Lost),
            _ => Err(decided(id)),
        }
    }

    /// The bank decides.
    pub fn decide_dispute(&mut self, id: &str, decision: Decision) -> Result<Stored, ApiError> {
        let mut dispute = self.dispute(id)?;
        let is_inquiry =
            matches!(dispute.status, DisputeStatus::WarningNeedsResponse | DisputeStatus::WarningUnderReview);
        let is_closed = dispute.status == DisputeStatus::WarningClosed;
        match decision {
            Decision::Escalate if is_inquiry || is_closed => {
                dispute.status = DisputeStatus::NeedsResponse;
                self.withdraw(&mut dispute);
                let seq = self.put_dispute(dispute).seq;
                self.event(EventKind::DisputeUpdated, Stored::Dispute(seq));
                self.event(EventKind::DisputeWithdrawn, Stored::Dispute(seq));
                Ok(Stored::Dispute(seq))
            }
            Decision::Drop if is_inquiry => self.end(dispute, decision),
            // a bank may think again
            Decision::Won if dispute.is_withdrawn() => self.end(dispute, decision),
            Decision::Lost if dispute.is_withdrawn() && dispute.status != DisputeStatus::Lost => {
                self.end(dispute, decision)
            }
            _ => Err(decided(id)),
        }
    }

    fn end(&mut self, mut dispute: Dispute, decision: Decision) -> Result<Stored, ApiError> {
        dispute.status = match decision {
            Decision::Drop => DisputeStatus::WarningClosed,
            Decision::Won => DisputeStatus::Won,
            Decision::Lost => DisputeStatus::Lost,
            Decision::Escalate => return Err(ApiError::internal()),
        };
        if decision == Decision::Won {
            let fee = match self.around.disputes.fee_returned {
                true => -self.around.disputes.fee_minor,
                false => 0,
            };
            let source = Source::DisputeReversal(dispute.seq);
            let moved = self.moved(source, dispute.amount, fee, dispute.currency);
            dispute.movements.push(moved);
            self.dispute_effect(EffectKind::DisputeReversal, &dispute);
        }
        let seq = self.put_dispute(dispute).seq;
        self.event(EventKind::DisputeClosed, Stored::Dispute(seq));
        if decision == Decision::Won {
            self.event(EventKind::DisputeReinstated, Stored::Dispute(seq));
        }
        Ok(Stored::Dispute(seq))
    }

    fn dispute(&self, id: &str) -> Result<Dispute, ApiError> {
        let world = self.world;
        let found = world.nonce.seq(Kind::Dispute, id).and_then(|seq| world.dispute_at(seq));
        found
            .map(|dispute| Dispute::clone(dispute))
            .ok_or_else(|| ApiError::missing("dispute", "dispute", id))
    }

    fn withdraw(&mut self, dispute: &mut Dispute) {
        let fee = self.around.disputes.fee_minor;
        let source = Source::Dispute(dispute.seq);
        let moved = self.moved(source, -dispute.amount, fee, dispute.currency);
        dispute.movements.push(moved);
        self.dispute_effect(EffectKind::Dispute, dispute);
    }

    fn dispute_effect(&mut self, kind: EffectKind, dispute: &Dispute) {
        let nonce = self.world.nonce;
        let Some(intent) = self.world.intent_at(dispute.intent).cloned() else { return };
        let effect = self.effect(kind, &intent, dispute.amount);
        effect.charge = Some(nonce.id(Kind::Charge, dispute.charge).to_string());
        effect.dispute = Some(nonce.id(Kind::Dispute, dispute.seq).to_string());
    }
}

const fn is_decided(status: DisputeStatus) -> bool {
    matches!(status, DisputeStatus::Won | DisputeStatus::Lost | DisputeStatus::WarningClosed)
}

fn decided(id: &str) -> ApiError {
    let message = format!("This dispute ({id}) does not allow that as it stands.");
    ApiError::invalid("dispute", "", message)
}
