//! The page where a buyer proves who they are.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::html;

use super::control::change;
use super::page::{page, words};
use crate::core::{Core, SharedWorld, locked};
use crate::wire::Form;

/// The page and what its buttons do.
pub fn routes() -> Router<Arc<Core>> {
    Router::new().route("/3d_secure/{intent}/{secret}", get(show).post(press))
}

/// The account of a PaymentIntent, when the secret is the right one.
fn find(core: &Core, id: &str, secret: &str) -> Option<SharedWorld> {
    core.worlds().into_iter().find(|shared| {
        let world = locked(shared);
        let intent = world.intent(id);
        intent.is_some_and(|intent| world.nonce.client_secret(intent.seq).as_str() == secret)
    })
}

/// Where the page of a PaymentIntent is.
pub fn page_of(core: &Core, intent: &str, secret: &str) -> String {
    format!("{}/3d_secure/{intent}/{secret}", core.base_url())
}

fn nothing() -> Response {
    words(StatusCode::NOT_FOUND, "Not found", "There is no such payment.")
}

async fn show(State(core): State<Arc<Core>>, Path((id, secret)): Path<(String, String)>) -> Response {
    if find(&core, &id, &secret).is_none() {
        return nothing();
    }
    let body = html! {
        h1 { "Your bank asks" }
        p.amount { "Is it you?" }
        form method="post" {
            button name="outcome" value="complete" { "Yes, it is me" small { "completes the authentication" } }
            button name="outcome" value="fail" { "No" small { "fails it" } }
        }
    };
    page(StatusCode::OK, "3D Secure", &body)
}

async fn press(
    State(core): State<Arc<Core>>,
    Path((id, secret)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let Some(world) = find(&core, &id, &secret) else {
        return nothing();
    };
    let passed = match Form::parse("", &body).text("outcome").as_deref() {
        Some("complete") => true,
        Some("fail") => false,
        _ => {
            let message = "outcome must be complete or fail";
            return words(StatusCode::BAD_REQUEST, "What is that?", message);
        }
    };
    let return_url = locked(&world).intent(&id).and_then(|intent| intent.return_url.clone());
    let outcome = change(&core, &world, |tx| tx.authenticate(&id, passed));
    let result = match outcome {
        Err(error) => {
            tracing::error!(%error, "an authentication was lost");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Ok(Err(error)) if error.status == 400 && error.code == "payment_intent_unexpected_state" => {
            return words(StatusCode::BAD_REQUEST, "Too late", &error.message);
        }
        Ok(Err(_)) => "failed",
        Ok(Ok(_)) => "succeeded",
    };
    match return_url {
        None => words(StatusCode::OK, "3D Secure", result),
        Some(url) => {
            let sign = if url.contains('?') { '&' } else { '?' };
            Redirect::to(&format!(
                "{url}{sign}payment_intent={id}&payment_intent_client_secret={id}_secret_{secret}&redirect_status={result}"
            ))
            .into_response()
        }
    }
}
