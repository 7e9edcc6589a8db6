//! What a refused or failed request gets: an RFC 9457 problem document. Nothing else renders an error.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::request_id::{self, RequestId};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $status:ident, $title:literal;)+) => {
        /// Every way a request can be refused or fail. The texts are a promise to callers: they never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// All of them, in the order of their status.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable text that a program tells them apart by.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// What it means, in words that are the same at every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The body is no JSON.
    MalformedJson, "malformed_json", BAD_REQUEST, "The body is not valid JSON";
    /// The path, the query or a header cannot be read.
    MalformedRequest, "malformed_request", BAD_REQUEST, "The request is malformed";
    /// A mutation came without its key.
    IdempotencyKeyMissing, "idempotency_key_missing", BAD_REQUEST, "The Idempotency-Key header is missing";
    /// The key breaks the header's rules.
    IdempotencyKeyInvalid, "idempotency_key_invalid", BAD_REQUEST, "The Idempotency-Key header is invalid";
    /// No key, or one that is unknown, wrong, expired or revoked: which of them is not told.
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "A valid API key is required";
    /// The webhook was not signed with a secret of the account, or not within the time window.
    WebhookSignatureInvalid, "webhook_signature_invalid", UNAUTHORIZED, "The webhook's signature is invalid";
    /// The API key is valid and may not do this.
    ScopeMissing, "scope_missing", FORBIDDEN, "The API key lacks a scope";
    /// No such thing, or it belongs to somebody else.
    NotFound, "not_found", NOT_FOUND, "Nothing was found here";
    /// The path exists, but not for this method.
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// The body did not arrive in time.
    BodyTooSlow, "body_too_slow", REQUEST_TIMEOUT, "The body did not arrive in time";
    /// The first request with this key is still at work.
    IdempotencyKeyInFlight, "idempotency_key_in_flight", CONFLICT, "A request with this Idempotency-Key is in flight";
    /// Another request has taken the order.
    OrderHasLivePayment, "order_has_live_payment", CONFLICT, "The order already has a live payment";
    /// The payment does not allow it where it stands.
    PaymentStateConflict, "payment_state_conflict", CONFLICT, "The payment does not allow this where it stands";
    /// A capture or void of the payment is under way.
    OperationUnderWay, "operation_under_way", CONFLICT, "Another operation of the payment is under way";
    /// More is to be captured than is held.
    CaptureExceedsHold, "capture_exceeds_hold", CONFLICT, "More is to be captured than is held";
    /// More is to be given back than was captured, and not given back or promised already.
    RefundExceedsCaptured, "refund_exceeds_captured", CONFLICT, "More is to be refunded than is left of what was captured";
    /// More is to be taken of a seller than its part of the payment.
    SplitExceedsSeller, "split_exceeds_seller", CONFLICT, "A split is more than the seller's part of the payment";
    /// More is to be paid out than the seller has available.
    PayoutExceedsAvailable, "payout_exceeds_available", CONFLICT, "More is to be paid out than is available";
    /// It is not for people to say what became of the operation.
    NotInReview, "not_in_review", CONFLICT, "The operation does not need review";
    /// The break is closed, or open, or holds no money.
    BreakStateConflict, "break_state_conflict", CONFLICT, "The break does not allow this where it stands";
    /// The body is larger than this endpoint reads.
    BodyTooLarge, "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is not declared to be what this endpoint reads.
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The content type is not supported";
    /// A field is missing, unknown or has a value it cannot have.
    ValidationFailed, "validation_failed", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// Something looks like a card number. Card data has no place here: send the PSP's token.
    CardNumberRefused, "card_number_refused", UNPROCESSABLE_ENTITY, "Card numbers are refused";
    /// The key was used before, for a different request.
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY,
        "The Idempotency-Key was used for a different request";
    /// The merchant has no account at a PSP that could be used, or several and the request does not say which.
    PspAccountRequired, "psp_account_required", UNPROCESSABLE_ENTITY, "A PSP account must be named";
    /// A fault on our side.
    Internal, "internal", INTERNAL_SERVER_ERROR, "Something went wrong on our side";
    /// Something that is needed cannot be reached now.
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "The service is temporarily unavailable";
    /// The answer was not there in time; what was begun goes on.
    TimedOut, "timed_out", GATEWAY_TIMEOUT, "The answer was not there in time";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where: `splits[0].amount`, or the name of a header or of a query's parameter.
    pub field: String,
    /// What was expected there.
    pub detail: String,
}

/// The document of an error (RFC 9457, `application/problem+json`).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProblemDocument {
    /// `/problems/` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The same for every occurrence of the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This occurrence, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What a program tells errors apart by.
    code: Code,
    /// Names this request in our logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Further facts, by code: `payment_id`, `retry_after`.
    #[serde(flatten)]
    extensions: Map<String, Value>,
}

/// An error on its way to the caller. What caused it is for our log alone.
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    extensions: Map<String, Value>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            detail: None,
            errors: Vec::new(),
            extensions: Map::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// A fault of ours: the caller learns that, the log the cause.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Internal).caused_by(source)
    }

    /// One field that is wrong, and what was expected there.
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Code::ValidationFailed).field(field, expected)
    }

    /// Says what happened this time.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a field that is wrong, and what was expected there.
    pub fn field(mut self, field: impl Into<String>, expected: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { field: field.into(), detail: expected.into() });
        self
    }

    /// Adds a member of the document's own, such as `payment_id`.
    pub fn extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to try again: the `Retry-After` header and the member `retry_after`, in whole seconds, at least one.
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after =
            Some(Duration::from_secs((pause.as_secs() + u64::from(pause.subsec_nanos() > 0)).max(1)));
        self
    }

    /// Keeps the cause for the log.
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind it is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    /// The document's text, for an answer that is stored; an answer that is given at once renders itself.
    pub fn render(&self, request_id: Option<&RequestId>) -> String {
        let Inner { code, detail, errors, extensions, retry_after, .. } = &*self.0;
        let mut extensions = extensions.clone();
        if let Some(pause) = retry_after {
            extensions.insert("retry_after".to_owned(), pause.as_secs().into());
        }
        let document = ProblemDocument {
            kind: format!("/problems/{code}"),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.clone(),
            code: *code,
            request_id: request_id.map(ToString::to_string),
            errors: errors.clone(),
            extensions,
        };
        // Strings, numbers and maps keyed by strings cannot fail to serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// A fault of ours is logged here, once, with its causes; the caller's mistakes are not.
    fn log(&self) {
        if !self.status().is_server_error() {
            return;
        }
        let causes = self.0.source.as_deref().map(|source| Causes(source).to_string());
        let (code, detail) = (self.code(), self.0.detail.as_deref());
        match code {
            Code::Internal => tracing::error!(%code, detail, causes, "request failed"),
            _ => tracing::warn!(%code, detail, causes, "request failed"),
        }
    }
}

/// An error and everything below it, in one line.
struct Causes<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = Some(self.0);
        let mut separator = "";
        while let Some(error) = next {
            write!(f, "{separator}{error}")?;
            (separator, next) = (": ", error.source());
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let body = request_id::current(|id| self.render(id));
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status(), [(header::CONTENT_TYPE, content_type)], body).into_response();
        let headers = response.headers_mut();
        if let Some(pause) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, pause.as_secs().into());
        }
        if self.code() == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What a database error means to a caller: a server that cannot be reached or has no room is worth another try,
/// everything else is a fault of ours. Constraints that a caller can trip are told apart before this.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match crate::database::is_transient(&error) {
            true => {
                let problem = Self::new(Code::Unavailable).retry_after(Duration::from_secs(1));
                let problem = match crate::database::took_too_long(&error) {
                    true => problem.detail("it took too long: ask for less of it, or later"),
                    false => problem,
                };
                problem.caused_by(error)
            }
            false => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn document(problem: &Problem) -> Value {
        serde_json::from_str(&problem.render(Some(&RequestId::from_text("r-1").unwrap()))).unwrap()
    }

    #[test]
    fn a_problem_says_what_is_wrong_where_and_under_which_request() {
        let problem = Problem::new(Code::ValidationFailed)
            .detail("two fields are wrong")
            .field("amount", "expected a whole number above zero")
            .field("currency", "expected three letters");
        assert_eq!(
            document(&problem),
            serde_json::json!({
                "type": "/problems/validation_failed",
                "title": "The request is not valid",
                "status": 422,
                "detail": "two fields are wrong",
                "code": "validation_failed",
                "request_id": "r-1",
                "errors": [
                    {"field": "amount", "detail": "expected a whole number above zero"},
                    {"field": "currency", "detail": "expected three letters"},
                ],
            })
        );
    }

    #[test]
    fn when_to_try_again_is_in_the_header_and_in_the_document() {
        let problem = Problem::new(Code::IdempotencyKeyInFlight)
            .retry_after(Duration::from_millis(1200))
            .extension("payment_id", "p-1");
        assert_eq!(document(&problem)["retry_after"], 2);
        assert_eq!(document(&problem)["payment_id"], "p-1");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_fault_of_ours_tells_the_caller_nothing_of_its_cause() {
        let problem = Problem::internal("password of the database");
        assert!(!document(&problem).to_string().contains("password"));
    }

    #[test]
    fn every_code_has_a_text_of_its_own_and_is_an_error() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code}");
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
