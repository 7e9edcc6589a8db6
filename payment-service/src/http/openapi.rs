//! The description of the API, made from the handlers themselves.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::error::ProblemDocument;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Payonce",
        description = "Charges a payment order exactly once, or provably not at all. Errors are RFC 9457 problem \
            documents; every mutation takes an Idempotency-Key header.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security(("api_key" = [])),
    modifiers(&ApiKey),
    components(schemas(ProblemDocument)),
)]
pub(super) struct ApiDoc;

struct ApiKey;

impl Modify for ApiKey {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, sk_test_... or sk_live_..."))
            .build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The document, which is rendered once.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    // plain data: it cannot fail to serialise
    serde_json::to_string(&super::openapi()).unwrap_or_default().into()
});

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "service", security(()), responses(
    (status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value),
    (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(super) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}
