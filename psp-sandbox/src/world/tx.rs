//! One request at work on one account: it reads the account and gathers what will change.

use std::sync::Arc;

use super::World;
use crate::config::{Disputes, Fees};
use crate::model::event::{EventKind, Stored, StoredEvent};
use crate::model::id::Kind;
use crate::model::{BalanceTransaction, Charge, Dispute, Intent, Payout, Refund, Session, Source};
use crate::store::{Commit, Effect, EffectKind};
use crate::webhook::Endpoint;

/// What a request needs to know beside the account.
pub struct Surroundings<'a> {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// What the PSP keeps.
    pub fees: &'a Fees,
    /// What it charges for disputes.
    pub disputes: &'a Disputes,
    /// How long it keeps the rest.
    pub settlement_ms: i64,
    /// Whether payouts that calls ask for wait for their bank.
    pub payouts_wait: bool,
    /// Where events go.
    pub endpoints: &'a [Endpoint],
    /// The request, when one is at work.
    pub request: Option<Arc<str>>,
    /// Its idempotency key.
    pub idempotency_key: Option<Arc<str>>,
}

/// A request at work.
pub struct Tx<'a> {
    pub(super) world: &'a World,
    pub(super) around: Surroundings<'a>,
    commit: Commit,
}

impl<'a> Tx<'a> {
    /// Nothing has changed yet.
    pub fn new(world: &'a World, around: Surroundings<'a>) -> Self {
        let commit = Commit {
            request: around.request.clone(),
            idempotency_key: around.idempotency_key.clone(),
            ..Commit::default()
        };
        Self { world, around, commit }
    }

    /// What has changed.
    pub fn finish(self) -> Commit {
        self.commit
    }

    pub(super) fn next_intent(&self) -> u64 {
        self.world.intents.len() as u64
    }

    pub(super) fn next_session(&self) -> u64 {
        self.world.sessions.len() as u64
    }

    pub(super) fn next_charge(&self) -> u64 {
        self.world.charges.len() as u64
    }

    pub(super) fn next_refund(&self) -> u64 {
        self.world.refunds.len() as u64
    }

    pub(super) fn next_dispute(&self) -> u64 {
        self.world.disputes.len() as u64
    }

    pub(super) fn next_payout(&self) -> u64 {
        (self.world.payouts.len() + self.commit.payouts.len()) as u64
    }

    pub(super) fn put_intent(&mut self, intent: Intent) -> Arc<Intent> {
        let intent = Arc::new(intent);
        self.commit.intents.push(Arc::clone(&intent));
        intent
    }

    pub(super) fn put_session(&mut self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        self.commit.sessions.push(Arc::clone(&session));
        session
    }

    pub(super) fn put_charge(&mut self, charge: Charge) -> Arc<Charge> {
        let charge = Arc::new(charge);
        self.commit.charges.push(Arc::clone(&charge));
        charge
    }

    pub(super) fn put_refund(&mut self, refund: Refund) -> Arc<Refund> {
        let refund = Arc::new(refund);
        self.commit.refunds.push(Arc::clone(&refund));
        refund
    }

    pub(super) fn put_dispute(&mut self, dispute: Dispute) -> Arc<Dispute> {
        let dispute = Arc::new(dispute);
        self.commit.disputes.push(Arc::clone(&dispute));
        dispute
    }

    pub(super) fn put_payout(&mut self, payout: Payout) -> Arc<Payout> {
        let payout = Arc::new(payout);
        self.commit.payouts.push(Arc::clone(&payout));
        payout
    }

    /// Moves the balance and gives the movement's position.
    pub(super) fn move_balance(
        &mut self,
        source: Source,
        amount: i64,
        fee: i64,
        currency: crate::model::currency::Currency,
    ) -> u64 {
        self.moved(source, amount, fee, currency).seq
    }

    /// Moves the balance and gives the movement.
    pub(super) fn moved(
        &mut self,
        source: Source,
        amount: i64,
        fee: i64,
        currency: crate::model::currency::Currency,
    ) -> Arc<BalanceTransaction> {
        let seq = (self.world.transactions.len() + self.commit.transactions.len()) as u64;
        let now_ms = self.around.now_ms;
        let moved = Arc::new(BalanceTransaction {
            seq,
            source,
            amount,
            fee,
            currency,
            created_ms: now_ms,
            available_ms: now_ms + self.around.settlement_ms,
        });
        self.commit.transactions.push(Arc::clone(&moved));
        moved
    }

    pub(super) fn event(&mut self, kind: EventKind, object: Stored) {
        let endpoints = self.around.endpoints.iter();
        let endpoints = endpoints
            .filter(|endpoint| endpoint.wants(kind, &self.world.account))
            .map(|endpoint| endpoint.id)
            .collect();
        self.commit.events.push(StoredEvent {
            seq: self.world.next_event() + self.commit.events.len() as u64,
            kind,
            created_ms: self.around.now_ms,
            object,
            endpoints,
        });
    }

    /// Notes what happened to the money of a PaymentIntent.
    pub(super) fn effect(&mut self, kind: EffectKind, intent: &Intent, amount: i64) -> &mut Effect {
        let nonce = self.world.nonce;
        let charge = intent.latest_charge;
        let effect = Effect {
            payment_intent: Some(nonce.id(Kind::Intent, intent.seq).to_string()),
            charge: charge.map(|charge| nonce.id(Kind::Charge, charge).to_string()),
            metadata: Arc::clone(&intent.metadata),
            ..self.bare_effect(kind, amount, intent.currency)
        };
        self.note(effect)
    }

    pub(super) fn bare_effect(
        &self,
        kind: EffectKind,
        amount: i64,
        currency: crate::model::currency::Currency,
    ) -> Effect {
        Effect {
            seq: 0,
            kind,
            account: self.world.account.clone(),
            payment_intent: None,
            charge: None,
            refund: None,
            dispute: None,
            payout: None,
            amount,
            currency,
            metadata: Arc::default(),
            refund_metadata: None,
            idempotency_key: self.around.idempotency_key.clone(),
            request: self.around.request.clone(),
            created_ms: self.around.now_ms,
        }
    }

    pub(super) fn note(&mut self, effect: Effect) -> &mut Effect {
        let at = self.commit.effects.len();
        self.commit.effects.push(effect);
        &mut self.commit.effects[at]
    }
}
