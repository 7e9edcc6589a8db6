//! Checkout Sessions.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Empty, Renderer, nulls, seconds};
use crate::model::id::Kind;
use crate::model::{Session, SessionStatus};

/// A Checkout Session.
pub struct SessionView<'a>(pub &'a Renderer<'a>, pub &'a Session);

impl SessionView<'_> {
    fn terms<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self(renderer, session) = self;
        map.serialize_entry("id", &renderer.nonce.id(Kind::Session, session.seq))?;
        map.serialize_entry("object", "checkout.session")?;
        map.serialize_entry("adaptive_pricing", &Switch("enabled"))?;
        nulls(map, &["after_expiration", "allow_promotion_codes"])?;
        map.serialize_entry("amount_subtotal", &session.amount)?;
        map.serialize_entry("amount_total", &session.amount)?;
        map.serialize_entry("automatic_tax", &Switch("enabled"))?;
        map.serialize_entry("billing_address_collection", &())?;
        map.serialize_entry("cancel_url", &session.cancel_url)?;
        map.serialize_entry("client_reference_id", &session.client_reference_id)?;
        map.serialize_entry("client_secret", &())?;
        map.serialize_entry("created", &seconds(session.created_ms))?;
        map.serialize_entry("currency", &session.currency)?;
        nulls(map, &["customer", "customer_details", "customer_email"])?;
        map.serialize_entry("expires_at", &seconds(session.expires_ms))
    }
}

impl Serialize for SessionView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, session) = self;
        let mut map = serializer.serialize_map(None)?;
        self.terms(&mut map)?;
        nulls(&mut map, &["invoice", "locale", "payment_link", "setup_intent", "shipping_cost"])?;
        map.serialize_entry("livemode", &renderer.livemode)?;
        map.serialize_entry("metadata", &session.metadata)?;
        map.serialize_entry("mode", "payment")?;
        let intent = session.intent.map(|intent| renderer.nonce.id(Kind::Intent, intent));
        map.serialize_entry("payment_intent", &intent)?;
        map.serialize_entry("payment_method_options", &Empty)?;
        map.serialize_entry("payment_method_types", &["card", "us_bank_account"])?;
        let paid = if session.paid { "paid" } else { "unpaid" };
        map.serialize_entry("payment_status", paid)?;
        map.serialize_entry("status", &session.status)?;
        map.serialize_entry("subscription", &())?;
        map.serialize_entry("success_url", &session.success_url)?;
        map.serialize_entry("ui_mode", "hosted_page")?;
        let is_open = session.status == SessionStatus::Open;
        map.serialize_entry("url", &is_open.then_some(PageUrl(renderer, session)))?;
        map.end()
    }
}

/// Something that is there and switched off.
struct Switch(&'static str);

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &false)?;
        map.end()
    }
}

/// Where the buyer pays.
struct PageUrl<'a>(&'a Renderer<'a>, &'a Session);

impl Serialize for PageUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, session) = self;
        let id = renderer.nonce.id(Kind::Session, session.seq);
        serializer.collect_str(&format_args!("{}/c/pay/{id}", renderer.base_url))
    }
}
