//! The description of the API, made from the handlers themselves.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
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

/// Serves the document, which is rendered once.
pub(super) fn route<S: Clone + Send + Sync + 'static>(api: &utoipa::openapi::OpenApi) -> Router<S> {
    // Plain data: it cannot fail to serialise.
    let document = serde_json::to_string(api).unwrap_or_default();
    let document = axum::body::Bytes::from(document);
    Router::new()
        .route("/openapi.json", get(async move || ([(CONTENT_TYPE, "application/json")], document.clone())))
}
