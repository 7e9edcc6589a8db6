//! Paying the balance out.

use std::sync::Arc;

use super::Tx;
use crate::model::currency::Currency;
use crate::model::event::{EventKind, Stored};
use crate::model::id::Kind;
use crate::model::{Manual, Payout, PayoutStatus, Source};
use crate::store::EffectKind;
use crate::wire::ApiError;

/// A payout that a call asks for.
#[derive(Clone, Debug)]
pub struct NewPayout {
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// What the call says of it.
    pub manual: Manual,
}

impl Tx<'_> {
    /// Sends everything not paid out yet to the merchant's bank but `keep` minor units, one payout per currency.
    pub fn pay_out(&mut self, only: Option<Currency>, keep: i64) -> Vec<Arc<Payout>> {
        let world = self.world;
        let unsettled = world.unsettled.iter();
        unsettled
            .filter(|(currency, items)| !items.is_empty() && only.is_none_or(|only| only == **currency))
            .map(|(currency, items)| self.pay_out_currency(*currency, items, keep))
            .collect()
    }

    fn pay_out_currency(&mut self, currency: Currency, items: &[u64], keep: i64) -> Arc<Payout> {
        let balance = self.world.balance(currency);
        // what the merchant owes is taken, and nothing is left beside it
        let amount = if balance < 0 { balance } else { balance - keep.clamp(0, balance) };
        let seq = self.next_payout();
        let balance_transaction = self.move_balance(Source::Payout(seq), -amount, 0, currency);
        let payout = self.put_payout(Payout {
            seq,
            amount,
            currency,
            created_ms: self.around.now_ms,
            items: Arc::new(items.to_vec()),
            balance_transaction,
            status: PayoutStatus::Paid,
            manual: None,
            failure_balance_transaction: None,
        });
        for kind in [EventKind::PayoutCreated, EventKind::PayoutPaid, EventKind::PayoutReconciled] {
            self.event(kind, Stored::Payout(seq));
        }
        self.payout_effect(EffectKind::Payout, &payout);
        payout
    }

    /// Sends a part of the balance where a call says.
    pub fn create_payout(&mut self, new: NewPayout) -> Result<Stored, ApiError> {
        let NewPayout { amount, currency, manual } = new;
        let balance = self.world.balance(currency);
        if amount > balance {
            let message = format!(
                "You have insufficient funds in your Stripe account for this transfer. Your {currency} balance is {balance}."
            );
            return Err(ApiError::invalid("amount", "balance_insufficient", message));
        }
        let seq = self.next_payout();
        let balance_transaction = self.move_balance(Source::ManualPayout(seq), -amount, 0, currency);
        let status = if self.around.payouts_wait { PayoutStatus::Pending } else { PayoutStatus::Paid };
        let payout = self.put_payout(Payout {
            seq,
            amount,
            currency,
            created_ms: self.around.now_ms,
            items: Arc::default(),
            balance_transaction,
            status,
            manual: Some(Arc::new(manual)),
            failure_balance_transaction: None,
        });
        self.event(EventKind::PayoutCreated, Stored::Payout(seq));
        if status == PayoutStatus::Paid {
            self.event(EventKind::PayoutPaid, Stored::Payout(seq));
        }
        self.payout_effect(EffectKind::Payout, &payout);
        Ok(Stored::Payout(seq))
    }

    /// What becomes of a payout that a call asked for, as its bank says.
    pub fn advance_payout(&mut self, id: &str, to: PayoutStatus) -> Result<Stored, ApiError> {
        use PayoutStatus::{Canceled, Failed, InTransit, Paid, Pending};
        let found = self.world.nonce.seq(Kind::Payout, id).and_then(|seq| self.world.payout_at(seq));
        let payout = found.ok_or_else(|| ApiError::missing("payout", "payout", id))?;
        let (event, may) = match to {
            InTransit => (EventKind::PayoutUpdated, payout.status == Pending),
            Paid => (EventKind::PayoutPaid, matches!(payout.status, Pending | InTransit)),
            Failed => (EventKind::PayoutFailed, !payout.status.is_back()),
            Canceled => (EventKind::PayoutCanceled, payout.status == Pending),
            Pending => (EventKind::PayoutUpdated, false),
        };
        if payout.manual.is_none() || !may {
            let message =
                format!("A payout that is {} cannot become {}.", payout.status.as_str(), to.as_str());
            return Err(ApiError::invalid("payout", "", message));
        }
        let mut payout = Payout { status: to, ..Payout::clone(payout) };
        if to.is_back() {
            let source = Source::PayoutFailure(payout.seq);
            let moved = self.move_balance(source, payout.amount, 0, payout.currency);
            payout.failure_balance_transaction = Some(moved);
            self.payout_effect(EffectKind::PayoutFailure, &payout);
        }
        let payout = self.put_payout(payout);
        self.event(event, Stored::Payout(payout.seq));
        Ok(Stored::Payout(payout.seq))
    }

    fn payout_effect(&mut self, kind: EffectKind, payout: &Payout) {
        let mut effect = self.bare_effect(kind, payout.amount, payout.currency);
        effect.payout = Some(self.world.nonce.id(Kind::Payout, payout.seq).to_string());
        if let Some(manual) = &payout.manual {
            effect.metadata = Arc::clone(&manual.metadata);
        }
        self.note(effect);
    }
}
