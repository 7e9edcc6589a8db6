//! The description of the API, made from the handlers themselves.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr};
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
    fn modify(&self, api: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An API key, sk_test_... or sk_live_..., with the scopes that an operation names",
            ))
            .build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// Adds the headers of the answers: they are set for all routes in one place, and so described in one.
pub(super) fn with_headers(mut api: Document) -> Document {
    let header = |description: &str, schema: ObjectBuilder| {
        HeaderBuilder::new().description(Some(description)).schema(Some(schema.build())).build()
    };
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let request_id = header("Names the request in the logs: the caller's own, where it sent one", text());
    let retry_after = header(
        "Where the same may succeed later: after how many seconds",
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)),
    );
    let replayed = header(
        "Present on an answer that was stored by an earlier request with the key",
        text().enum_values(Some(["true"])),
    );
    let challenge = header("On 401: the scheme that is expected", text());
    let items = api.paths.paths.values_mut();
    for operation in items.flat_map(|item| [&mut item.get, &mut item.post].into_iter().flatten()) {
        let takes_a_key =
            operation.parameters.iter().flatten().any(
                |parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "Idempotency-Key"),
            );
        for response in operation.responses.responses.values_mut() {
            let RefOr::T(response) = response else { continue };
            let refuses = response.content.contains_key("application/problem+json");
            let mut has = |name: &str, header: &Header| {
                response.headers.insert(name.to_owned(), RefOr::T(header.clone()));
            };
            has("X-Request-Id", &request_id);
            if refuses {
                has("Retry-After", &retry_after);
                has("WWW-Authenticate", &challenge);
            }
            if takes_a_key {
                has("Idempotent-Replayed", &replayed);
            }
        }
    }
    api
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
