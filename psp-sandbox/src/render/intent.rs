//! PaymentIntents, and why one failed.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::payment_method::PaymentMethodView;
use super::{Empty, Renderer, nulls, seconds};
use crate::model::card::BANK_ACCOUNT;
use crate::model::id::Kind;
use crate::model::{Failure, Intent, IntentStatus};

/// A PaymentIntent.
pub struct IntentView<'a> {
    renderer: &'a Renderer<'a>,
    intent: &'a Intent,
    /// Shown before its first confirmation.
    as_created: bool,
}

impl<'a> IntentView<'a> {
    /// As it is.
    pub fn new(renderer: &'a Renderer<'a>, intent: &'a Intent) -> Self {
        Self { renderer, intent, as_created: false }
    }

    /// As it was when it had just been created.
    pub fn as_created(renderer: &'a Renderer<'a>, intent: &'a Intent) -> Self {
        Self { renderer, intent, as_created: true }
    }

    fn status(&self) -> IntentStatus {
        if self.as_created { IntentStatus::RequiresPaymentMethod } else { self.intent.status }
    }

    /// Amounts, which are zero before the first confirmation.
    fn moved(&self, amount: i64) -> i64 {
        if self.as_created { 0 } else { amount }
    }

    fn identity<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let intent = self.intent;
        map.serialize_entry("id", &self.renderer.nonce.id(Kind::Intent, intent.seq))?;
        map.serialize_entry("object", "payment_intent")?;
        map.serialize_entry("amount", &intent.amount)?;
        map.serialize_entry("amount_capturable", &self.moved(intent.amount_capturable))?;
        map.serialize_entry("amount_details", &AmountDetails)?;
        map.serialize_entry("amount_received", &self.moved(intent.amount_received))?;
        nulls(map, &["application", "application_fee_amount"])?;
        let automatic = intent.automatic_payment_methods.then_some(Automatic);
        map.serialize_entry("automatic_payment_methods", &automatic)?;
        let canceled = intent.canceled_ms.filter(|_| !self.as_created);
        map.serialize_entry("canceled_at", &canceled.map(seconds))?;
        let reason = intent.cancellation_reason.filter(|_| !self.as_created);
        map.serialize_entry("cancellation_reason", &reason)
    }

    fn terms<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let intent = self.intent;
        map.serialize_entry("capture_method", &intent.capture_method)?;
        map.serialize_entry("client_secret", &ClientSecret(self.renderer, intent.seq))?;
        map.serialize_entry("confirmation_method", "automatic")?;
        map.serialize_entry("created", &seconds(intent.created_ms))?;
        map.serialize_entry("currency", &intent.currency)?;
        map.serialize_entry("customer", &())?;
        map.serialize_entry("description", &intent.description)
    }

    fn outcome<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (intent, nonce) = (self.intent, self.renderer.nonce);
        let failure = intent.failure.filter(|_| !self.as_created);
        let failure = failure.map(|failure| FailureView::new(self.renderer, intent, failure));
        map.serialize_entry("last_payment_error", &failure)?;
        let charge = intent.latest_charge.filter(|_| !self.as_created);
        let charge = charge.map(|charge| nonce.id(Kind::Charge, charge));
        map.serialize_entry("latest_charge", &charge)?;
        map.serialize_entry("livemode", &self.renderer.livemode)?;
        map.serialize_entry("metadata", &intent.metadata)?;
        let action =
            (self.status() == IntentStatus::RequiresAction).then_some(NextAction(self.renderer, intent));
        map.serialize_entry("next_action", &action)?;
        map.serialize_entry("on_behalf_of", &())?;
        let method = intent.card.filter(|_| !self.as_created);
        let method = method.map(|_| nonce.id(Kind::PaymentMethod, intent.seq));
        map.serialize_entry("payment_method", &method)
    }
}

impl Serialize for IntentView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.identity(&mut map)?;
        self.terms(&mut map)?;
        self.outcome(&mut map)?;
        map.serialize_entry("payment_method_configuration_details", &())?;
        map.serialize_entry("payment_method_options", &Options)?;
        let (card, others) = (["card"], ["card", BANK_ACCOUNT]);
        let kinds = if self.intent.automatic_payment_methods { others.as_slice() } else { card.as_slice() };
        map.serialize_entry("payment_method_types", kinds)?;
        let names = ["processing", "receipt_email", "review", "setup_future_usage"];
        nulls(&mut map, &names)?;
        nulls(&mut map, &["shipping", "source", "statement_descriptor"])?;
        let suffix = &self.intent.statement_descriptor_suffix;
        map.serialize_entry("statement_descriptor_suffix", suffix)?;
        map.serialize_entry("status", &self.status())?;
        nulls(&mut map, &["transfer_data", "transfer_group"])?;
        map.end()
    }
}

struct ClientSecret<'a>(&'a Renderer<'a>, u64);

impl Serialize for ClientSecret<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nonce = self.0.nonce;
        serializer.collect_str(&format_args!(
            "{}_secret_{}",
            nonce.id(Kind::Intent, self.1),
            nonce.client_secret(self.1)
        ))
    }
}

struct AmountDetails;

impl Serialize for AmountDetails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("tip", &Empty)?;
        map.end()
    }
}

struct Automatic;

impl Serialize for Automatic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("allow_redirects", "always")?;
        map.serialize_entry("enabled", &true)?;
        map.end()
    }
}

struct Options;

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("card", &CardOptions)?;
        map.end()
    }
}

struct CardOptions;

impl Serialize for CardOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        nulls(&mut map, &["installments", "mandate_options", "network"])?;
        map.serialize_entry("request_three_d_secure", "automatic")?;
        map.end()
    }
}

struct NextAction<'a>(&'a Renderer<'a>, &'a Intent);

impl Serialize for NextAction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        if self.1.return_url.is_some() {
            map.serialize_entry("redirect_to_url", &Redirect(self.0, self.1))?;
            map.serialize_entry("type", "redirect_to_url")?;
        } else {
            map.serialize_entry("type", "use_stripe_sdk")?;
            map.serialize_entry("use_stripe_sdk", &SdkAction(self.0, self.1))?;
        }
        map.end()
    }
}

/// Where the buyer authenticates.
struct AuthenticationUrl<'a>(&'a Renderer<'a>, &'a Intent);

impl Serialize for AuthenticationUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (nonce, seq) = (self.0.nonce, self.1.seq);
        serializer.collect_str(&format_args!(
            "{}/3d_secure/{}/{}",
            self.0.base_url,
            nonce.id(Kind::Intent, seq),
            nonce.client_secret(seq)
        ))
    }
}

struct Redirect<'a>(&'a Renderer<'a>, &'a Intent);

impl Serialize for Redirect<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("return_url", &self.1.return_url)?;
        map.serialize_entry("url", &AuthenticationUrl(self.0, self.1))?;
        map.end()
    }
}

struct SdkAction<'a>(&'a Renderer<'a>, &'a Intent);

impl Serialize for SdkAction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("stripe_js", &AuthenticationUrl(self.0, self.1))?;
        map.serialize_entry("type", "three_d_secure_redirect")?;
        map.end()
    }
}

/// A failure, as `last_payment_error` and as the body of a 402 show it.
pub struct FailureView<'a> {
    renderer: &'a Renderer<'a>,
    intent: &'a Intent,
    failure: Failure,
}

impl<'a> FailureView<'a> {
    /// A failure of a PaymentIntent.
    pub fn new(renderer: &'a Renderer<'a>, intent: &'a Intent, failure: Failure) -> Self {
        Self { renderer, intent, failure }
    }

    /// The fields, into an object that may have others.
    pub fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let decline = self.failure.decline;
        if let Some(advice) = decline.advice_code {
            map.serialize_entry("advice_code", advice)?;
        }
        if let Some(charge) = self.failure.charge {
            let charge = self.renderer.nonce.id(Kind::Charge, charge);
            map.serialize_entry("charge", &charge)?;
        }
        map.serialize_entry("code", decline.code)?;
        if let Some(code) = decline.decline_code {
            map.serialize_entry("decline_code", code)?;
        }
        map.serialize_entry("doc_url", &DocUrl(decline.code))?;
        map.serialize_entry("message", decline.message)?;
        let method = PaymentMethodView {
            renderer: self.renderer,
            card: self.failure.card,
            owner: self.intent.seq,
            created_ms: self.intent.created_ms,
        };
        map.serialize_entry("payment_method", &method)?;
        map.serialize_entry("type", decline.kind)
    }
}

impl Serialize for FailureView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.fields(&mut map)?;
        map.end()
    }
}

struct DocUrl(&'static str);

impl Serialize for DocUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let slug = self.0.replace('_', "-");
        serializer.collect_str(&format_args!("https://stripe.com/docs/error-codes/{slug}"))
    }
}

/// How long an authorisation may stay uncaptured, in milliseconds.
pub const CAPTURE_WINDOW_MS: i64 = 7 * 86_400 * 1000;

/// Until when an authorisation must be captured, in seconds since 1970.
pub const fn capture_before(created_ms: i64) -> i64 {
    seconds(created_ms + CAPTURE_WINDOW_MS)
}
