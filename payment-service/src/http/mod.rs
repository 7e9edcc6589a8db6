//! The HTTP edge: reads requests within bounds, knows the caller, and renders every answer and every error.
//!
//! Nothing in here decides about money, and nothing in here writes SQL.

mod answer;
pub mod auth;
pub mod breaks;
pub mod card_number;
mod connection;
mod disputes;
pub mod error;
pub mod extract;
mod finance;
pub mod health;
pub mod idempotency_header;
mod openapi;
mod operations;
mod page;
mod payments;
mod payouts;
pub mod request_id;
mod reviews;
pub mod server;
pub mod stored;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, http::Uri};
use sqlx::PgPool;
use tokio::sync::Notify;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::engine::Engine;
use crate::merchant::Directory;
use error::{Code, Problem};
use health::Health;

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    /// API keys and PSP accounts.
    pub directory: Arc<Directory>,
    /// What readiness hangs on.
    pub health: Arc<Health>,
    /// The database, for what is looked up by its id and for webhooks.
    pub pool: PgPool,
    /// The database, for lists and sums.
    pub reading: PgPool,
    /// What pays.
    pub engine: Engine,
    /// Rung when a webhook was committed.
    pub inbox_bell: Arc<Notify>,
}

impl FromRef<AppState> for Arc<Directory> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.directory)
    }
}

impl FromRef<AppState> for Arc<Health> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.health)
    }
}

/// Every route, and the description of the API. Handlers of other folders are added here.
fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::ApiDoc::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::document))
        .routes(routes!(payments::create, payments::list))
        .routes(routes!(payments::get))
        .routes(routes!(payments::timeline))
        .routes(routes!(operations::capture, operations::captures))
        .routes(routes!(operations::void, operations::voids))
        .routes(routes!(operations::refund, operations::refunds))
        .routes(routes!(operations::list))
        .routes(routes!(operations::get))
        .routes(routes!(disputes::list))
        .routes(routes!(disputes::get))
        .routes(routes!(payouts::create, payouts::list))
        .routes(routes!(payouts::get))
        .routes(routes!(breaks::list))
        .routes(routes!(breaks::get))
        .routes(routes!(breaks::act))
        .routes(routes!(reviews::list))
        .routes(routes!(reviews::get))
        .routes(routes!(reviews::ask))
        .routes(routes!(reviews::close))
        .routes(routes!(finance::wallet))
        .routes(routes!(finance::wallet_entries))
        .routes(routes!(finance::accounts))
        .routes(routes!(finance::transactions))
        .routes(routes!(finance::trial_balance))
        .routes(routes!(webhooks::receive))
}

/// The whole edge; a request that takes longer than `request_timeout` is answered 504, and what it began goes on.
pub fn router(state: AppState, request_timeout: Duration) -> Router {
    let (router, _) = routes().split_for_parts();
    edged(router.with_state(state), request_timeout)
}

/// The routes within everything that holds for all of them.
fn edged(routes: Router, request_timeout: Duration) -> Router {
    routes
        .fallback(async |_: Uri| {
            Problem::new(Code::NotFound).detail("there is no such path; /openapi.json lists all")
        })
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed))
        .layer(DefaultBodyLimit::max(extract::API_BODY_LIMIT))
        .layer(middleware::from_fn(extract::refuse_card_numbers))
        .layer(middleware::from_fn_with_state(request_timeout, give_up))
        // The outermost: what happens within has an id and is logged.
        .layer(middleware::from_fn(request_id::track))
}

async fn give_up(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::TimedOut)
            .detail("what was begun goes on; ask again with the same Idempotency-Key")
            .into_response(),
    }
}

/// The description of the API as it is served.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::with_headers(routes().into_openapi())
}

#[cfg(test)]
mod tests;
