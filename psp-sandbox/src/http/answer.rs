//! What is sent back when nothing goes wrong on the way.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{Response, StatusCode};

use crate::render::Renderer;
use crate::wire::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const ORIGINAL_REQUEST: HeaderName = HeaderName::from_static("original-request");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
const RATE_LIMITED: HeaderName = HeaderName::from_static("stripe-rate-limited-reason");

/// The headers that say which request this answers.
#[derive(Clone)]
pub struct Envelope {
    /// The request.
    pub request: Arc<str>,
    /// The version the caller asked for, or ours.
    pub version: HeaderValue,
    /// The caller's key.
    pub key: Option<Arc<str>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
    /// The request that was executed, when this is its saved answer.
    pub original: Option<Arc<str>>,
    /// Seconds.
    pub retry_after: Option<u32>,
    /// Why there were too many requests.
    pub rate_limited: Option<String>,
    /// What the caller should do.
    pub should_retry: Option<bool>,
}

impl Answer {
    /// An answer without special headers.
    pub const fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, body, original: None, retry_after: None, rate_limited: None, should_retry: None }
    }

    /// An error.
    pub fn error(error: &ApiError, renderer: &Renderer<'_>) -> Self {
        Self::new(error.status, error.json(renderer))
    }

    /// The response, with this body in place of its own.
    pub fn respond_with(&self, envelope: &Envelope, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let flag = |flag: bool| HeaderValue::from_static(if flag { "true" } else { "false" });
        let found = [
            (REQUEST_ID, text(&envelope.request)),
            (STRIPE_VERSION, Some(envelope.version.clone())),
            (IDEMPOTENCY_KEY, envelope.key.as_deref().and_then(text)),
            (ORIGINAL_REQUEST, self.original.as_deref().and_then(text)),
            (REPLAYED, self.original.as_ref().map(|_| flag(true))),
            (RETRY_AFTER, self.retry_after.map(HeaderValue::from)),
            (RATE_LIMITED, self.rate_limited.as_deref().and_then(text)),
            (SHOULD_RETRY, self.should_retry.map(flag)),
        ];
        for (name, value) in found {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }

    /// The response.
    pub fn respond(mut self, envelope: &Envelope) -> Response<Body> {
        let body = std::mem::take(&mut self.body);
        self.respond_with(envelope, Body::from(body))
    }
}
