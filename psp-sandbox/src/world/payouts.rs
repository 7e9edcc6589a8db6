//! Paying the balance out.

use std::sync::Arc;

use super::Tx;
use crate::model::currency::Currency;
use crate::model::event::{EventKind, Stored};
use crate::model::id::Kind;
use crate::model::{Payout, Source};
use crate::store::EffectKind;

impl Tx<'_> {
    /// Sends everything not paid out yet to the merchant's bank, one payout per currency.
    pub fn pay_out(&mut self, only: Option<Currency>) -> Vec<Arc<Payout>> {
        let world = self.world;
        let unsettled = world.unsettled.iter();
        unsettled
            .filter(|(currency, items)| !items.is_empty() && only.is_none_or(|only| only == **currency))
            .map(|(currency, items)| self.pay_out_currency(*currency, items))
            .collect()
    }

    fn pay_out_currency(&mut self, currency: Currency, items: &[u64]) -> Arc<Payout> {
        let moved = items.iter().filter_map(|seq| self.world.transaction_at(*seq));
        let amount: i64 = moved.map(|moved| moved.net()).sum();
        let seq = self.next_payout();
        let balance_transaction = self.move_balance(Source::Payout(seq), -amount, 0, currency);
        let payout = self.put_payout(Payout {
            seq,
            amount,
            currency,
            created_ms: self.around.now_ms,
            items: Arc::new(items.to_vec()),
            balance_transaction,
        });
        for kind in [EventKind::PayoutCreated, EventKind::PayoutPaid, EventKind::PayoutReconciled] {
            self.event(kind, Stored::Payout(seq));
        }
        let mut effect = self.bare_effect(EffectKind::Payout, amount, currency);
        effect.payout = Some(self.world.nonce.id(Kind::Payout, seq).to_string());
        self.note(effect);
        payout
    }
}
