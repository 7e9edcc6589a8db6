//! Charges.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::intent::capture_before;
use super::payment_method::{BillingDetails, ChargeCard};
use super::{Empty, Renderer, nulls, seconds};
use crate::model::Charge;
use crate::model::card::Decline;
use crate::model::id::Kind;

/// A charge.
pub struct ChargeView<'a>(pub &'a Renderer<'a>, pub &'a Charge);

impl ChargeView<'_> {
    fn amounts<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self(renderer, charge) = self;
        map.serialize_entry("id", &renderer.nonce.id(Kind::Charge, charge.seq))?;
        map.serialize_entry("object", "charge")?;
        map.serialize_entry("amount", &charge.amount)?;
        map.serialize_entry("amount_captured", &charge.amount_captured)?;
        map.serialize_entry("amount_refunded", &charge.amount_refunded)?;
        nulls(map, &["application", "application_fee", "application_fee_amount"])?;
        let transaction = charge.balance_transaction;
        let transaction = transaction.map(|seq| renderer.nonce.id(Kind::BalanceTransaction, seq));
        map.serialize_entry("balance_transaction", &transaction)?;
        map.serialize_entry("billing_details", &BillingDetails)?;
        map.serialize_entry("calculated_statement_descriptor", "SANDBOX")?;
        map.serialize_entry("captured", &charge.captured)?;
        map.serialize_entry("created", &seconds(charge.created_ms))?;
        map.serialize_entry("currency", &charge.currency)?;
        map.serialize_entry("customer", &())?;
        map.serialize_entry("description", &charge.description)
    }

    fn outcome<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self(renderer, charge) = self;
        map.serialize_entry("destination", &())?;
        let dispute = charge.dispute.map(|seq| renderer.nonce.id(Kind::Dispute, seq));
        map.serialize_entry("dispute", &dispute)?;
        map.serialize_entry("disputed", &dispute.is_some())?;
        map.serialize_entry("failure_balance_transaction", &())?;
        map.serialize_entry("failure_code", &charge.decline.map(|decline| decline.code))?;
        let message = charge.decline.map(|decline| decline.message);
        map.serialize_entry("failure_message", &message)?;
        map.serialize_entry("fraud_details", &Empty)?;
        map.serialize_entry("livemode", &renderer.livemode)?;
        map.serialize_entry("metadata", &charge.metadata)?;
        map.serialize_entry("on_behalf_of", &())?;
        map.serialize_entry("outcome", &Outcome(charge.decline))?;
        map.serialize_entry("paid", &charge.decline.is_none())
    }
}

impl Serialize for ChargeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, charge) = self;
        let nonce = renderer.nonce;
        let mut map = serializer.serialize_map(None)?;
        self.amounts(&mut map)?;
        self.outcome(&mut map)?;
        map.serialize_entry("payment_intent", &nonce.id(Kind::Intent, charge.intent))?;
        let method = nonce.id(Kind::PaymentMethod, charge.intent);
        map.serialize_entry("payment_method", &method)?;
        let held = charge.decline.is_none() && !charge.captured;
        let details = ChargeCard {
            card: charge.card,
            amount: charge.amount,
            capture_before: held.then(|| capture_before(charge.created_ms)),
        };
        map.serialize_entry("payment_method_details", &details)?;
        nulls(&mut map, &["receipt_email", "receipt_number", "receipt_url"])?;
        let refunded = charge.amount_refunded > 0 && charge.amount_refunded >= charge.amount;
        map.serialize_entry("refunded", &refunded)?;
        nulls(&mut map, &["review", "shipping", "source", "source_transfer"])?;
        nulls(&mut map, &["statement_descriptor", "statement_descriptor_suffix"])?;
        let status = charge.decline.map_or("succeeded", |_| "failed");
        map.serialize_entry("status", status)?;
        nulls(&mut map, &["transfer_data", "transfer_group"])?;
        map.end()
    }
}

struct Outcome(Option<Decline>);

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let declined = self.0;
        map.serialize_entry("advice_code", &declined.and_then(|it| it.advice_code))?;
        let (status, kind, message) = match declined {
            None => ("approved_by_network", "authorized", "Payment complete."),
            Some(decline) => ("declined_by_network", "issuer_declined", decline.message),
        };
        map.serialize_entry("network_status", status)?;
        map.serialize_entry("reason", &declined.and_then(|it| it.decline_code))?;
        map.serialize_entry("risk_level", "normal")?;
        map.serialize_entry("seller_message", message)?;
        map.serialize_entry("type", kind)?;
        map.end()
    }
}
