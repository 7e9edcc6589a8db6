//! A card, as a payment method of its own and as the details of a charge.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Empty, Renderer, nulls, seconds};
use crate::model::card::{BANK_ACCOUNT, Card};
use crate::model::id::Kind;

/// A payment method object; `owner` is the PaymentIntent whose card it is.
pub struct PaymentMethodView<'a> {
    pub renderer: &'a Renderer<'a>,
    pub card: Card,
    pub owner: u64,
    pub created_ms: i64,
}

impl Serialize for PaymentMethodView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let id = self.renderer.nonce.id(Kind::PaymentMethod, self.owner);
        map.serialize_entry("id", &id)?;
        map.serialize_entry("object", "payment_method")?;
        map.serialize_entry("allow_redisplay", "unspecified")?;
        map.serialize_entry("billing_details", &BillingDetails)?;
        if self.card.kind() == BANK_ACCOUNT {
            map.serialize_entry(BANK_ACCOUNT, &BankAccount(self.card))?;
        } else {
            map.serialize_entry("card", &CardView(self.card))?;
        }
        map.serialize_entry("created", &seconds(self.created_ms))?;
        map.serialize_entry("customer", &())?;
        map.serialize_entry("livemode", &self.renderer.livemode)?;
        map.serialize_entry("metadata", &Empty)?;
        map.serialize_entry("type", self.card.kind())?;
        map.end()
    }
}

struct BankAccount(Card);

impl Serialize for BankAccount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("account_holder_type", "individual")?;
        map.serialize_entry("account_type", "checking")?;
        map.serialize_entry("bank_name", "SANDBOX BANK")?;
        map.serialize_entry("last4", self.0.last4)?;
        map.end()
    }
}

/// Billing details nobody gave.
pub struct BillingDetails;

impl Serialize for BillingDetails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", &Address)?;
        nulls(&mut map, &["email", "name", "phone", "tax_id"])?;
        map.end()
    }
}

struct Address;

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let names = ["city", "country", "line1", "line2", "postal_code", "state"];
        nulls(&mut map, &names)?;
        map.end()
    }
}

struct CardView(Card);

impl Serialize for CardView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let card = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("brand", card.brand)?;
        map.serialize_entry("checks", &Checks)?;
        map.serialize_entry("country", "US")?;
        map.serialize_entry("display_brand", card.brand)?;
        map.serialize_entry("exp_month", &12)?;
        map.serialize_entry("exp_year", &2034)?;
        map.serialize_entry("funding", card.funding)?;
        map.serialize_entry("last4", card.last4)?;
        nulls(&mut map, &["generated_from", "networks", "wallet"])?;
        map.end()
    }
}

struct Checks;

impl Serialize for Checks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        nulls(&mut map, &["address_line1_check", "address_postal_code_check"])?;
        map.serialize_entry("cvc_check", "pass")?;
        map.end()
    }
}

/// `payment_method_details` of a charge.
pub struct ChargeCard {
    pub card: Card,
    pub amount: i64,
    /// Until when an uncaptured authorisation stands.
    pub capture_before: Option<i64>,
}

impl Serialize for ChargeCard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        if self.card.kind() == BANK_ACCOUNT {
            map.serialize_entry(BANK_ACCOUNT, &BankAccount(self.card))?;
        } else {
            map.serialize_entry("card", &ChargeCardFields(self))?;
        }
        map.serialize_entry("type", self.card.kind())?;
        map.end()
    }
}

struct ChargeCardFields<'a>(&'a ChargeCard);

impl Serialize for ChargeCardFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let card = self.0.card;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("amount_authorized", &self.0.amount)?;
        map.serialize_entry("authorization_code", &())?;
        map.serialize_entry("brand", card.brand)?;
        if let Some(until) = self.0.capture_before {
            map.serialize_entry("capture_before", &until)?;
        }
        map.serialize_entry("checks", &Checks)?;
        map.serialize_entry("country", "US")?;
        map.serialize_entry("exp_month", &12)?;
        map.serialize_entry("exp_year", &2034)?;
        map.serialize_entry("funding", card.funding)?;
        map.serialize_entry("last4", card.last4)?;
        map.serialize_entry("network", card.brand)?;
        nulls(&mut map, &["installments", "mandate", "three_d_secure", "wallet"])?;
        map.end()
    }
}
