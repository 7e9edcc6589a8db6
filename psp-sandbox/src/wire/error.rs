//! Error bodies.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::model::card::Decline;
use crate::model::id::Kind;
use crate::model::{Charge, Intent};
use crate::render::{FailureView, IntentView, Renderer};

/// What an error carries beside its words.
#[derive(Clone, Debug)]
pub enum Attached {
    /// Nothing.
    None,
    /// The PaymentIntent that is in the wrong state.
    Intent(Arc<Intent>),
    /// The PaymentIntent that failed; its last failure is the error.
    Failure(Arc<Intent>),
    /// The charge that cannot be given back.
    Charge(Arc<Charge>),
}

/// An answer that is not a success.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// One of the four wire types.
    pub kind: &'static str,
    /// The code, empty for none.
    pub code: &'static str,
    /// For people.
    pub message: Cow<'static, str>,
    /// The parameter at fault.
    pub param: Option<Box<str>>,
    /// What it carries.
    pub attached: Attached,
}

impl ApiError {
    /// An error without parameter and attachment.
    pub fn new(
        status: u16,
        kind: &'static str,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, kind, code, message: message.into(), param: None, attached: Attached::None }
    }

    /// A parameter that cannot be used.
    pub fn invalid(param: &str, code: &'static str, message: String) -> Self {
        Self { param: Some(param.into()), ..Self::new(400, "invalid_request_error", code, message) }
    }

    /// An id that names nothing.
    pub fn missing(object: &str, param: &str, id: &str) -> Self {
        Self { status: 404, ..Self::invalid(param, "resource_missing", format!("No such {object}: '{id}'")) }
    }

    /// A parameter that names nothing.
    pub fn unknown(object: &str, param: &str, id: &str) -> Self {
        Self { status: 400, ..Self::missing(object, param, id) }
    }

    /// A PaymentIntent that is not where the call needs it.
    pub fn unexpected_state(intent: &Arc<Intent>, message: String) -> Self {
        Self {
            attached: Attached::Intent(Arc::clone(intent)),
            ..Self::new(400, "invalid_request_error", "payment_intent_unexpected_state", message)
        }
    }

    /// A payment that failed.
    pub fn declined(intent: &Arc<Intent>, decline: Decline) -> Self {
        Self {
            attached: Attached::Failure(Arc::clone(intent)),
            ..Self::new(402, decline.kind, decline.code, decline.message)
        }
    }

    /// A failure of the PSP's own.
    pub fn internal() -> Self {
        Self::new(
            500,
            "api_error",
            "",
            "An unknown error occurred. It has been logged and will be looked at.",
        )
    }

    /// The body.
    pub fn json(&self, renderer: &Renderer<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        // Writing plain values to memory has no way to fail.
        let _ = serde_json::to_writer(&mut out, &Body(self, renderer));
        out
    }
}

struct Body<'a>(&'a ApiError, &'a Renderer<'a>);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("error", &Fields(self.0, self.1))?;
        map.end()
    }
}

struct Fields<'a>(&'a ApiError, &'a Renderer<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(error, renderer) = self;
        let mut map = serializer.serialize_map(None)?;
        if let Attached::Failure(intent) = &error.attached {
            if let Some(failure) = intent.failure {
                FailureView::new(renderer, intent, failure).fields(&mut map)?;
            }
            map.serialize_entry("payment_intent", &IntentView::new(renderer, intent))?;
            return map.end();
        }
        if !error.code.is_empty() {
            map.serialize_entry("code", error.code)?;
        }
        map.serialize_entry("message", &error.message)?;
        if let Some(param) = &error.param {
            map.serialize_entry("param", param)?;
        }
        match &error.attached {
            Attached::Intent(intent) => {
                map.serialize_entry("payment_intent", &IntentView::new(renderer, intent))?;
            }
            Attached::Charge(charge) => {
                map.serialize_entry("charge", &renderer.nonce.id(Kind::Charge, charge.seq))?;
            }
            Attached::None | Attached::Failure(..) => {}
        }
        map.serialize_entry("type", error.kind)?;
        map.end()
    }
}
