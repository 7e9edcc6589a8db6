//! The page where a buyer proves who they are.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use super::control::change;
use crate::core::{Core, SharedWorld, locked};
use crate::wire::Form;

/// The page and what its buttons do.
pub fn routes() -> Router<Arc<Core>> {
    Router::new().route("/3d_secure/{intent}/{secret}", get(page).post(press))
}

/// The account of a PaymentIntent, when the secret is the right one.
fn find(core: &Core, id: &str, secret: &str) -> Option<SharedWorld> {
    core.worlds().into_iter().find(|shared| {
        let world = locked(shared);
        let intent = world.intent(id);
        intent.is_some_and(|intent| world.nonce.client_secret(intent.seq).as_str() == secret)
    })
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "There is no such payment.").into_response()
}

async fn page(State(core): State<Arc<Core>>, Path((id, secret)): Path<(String, String)>) -> Response {
    if find(&core, &id, &secret).is_none() {
        return nothing();
    }
    Html(
        "<!doctype html><title>3D Secure</title><h1>Is it you?</h1><form method=post>\
         <button name=outcome value=complete>Complete</button> \
         <button name=outcome value=fail>Fail</button></form>",
    )
    .into_response()
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
            return (StatusCode::BAD_REQUEST, message).into_response();
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
            return (StatusCode::BAD_REQUEST, error.message.into_owned()).into_response();
        }
        Ok(Err(_)) => "failed",
        Ok(Ok(_)) => "succeeded",
    };
    match return_url {
        None => Html(format!("<!doctype html><title>3D Secure</title><p>{result}")).into_response(),
        Some(url) => {
            let sign = if url.contains('?') { '&' } else { '?' };
            Redirect::to(&format!(
                "{url}{sign}payment_intent={id}&payment_intent_client_secret={id}_secret_{secret}&redirect_status={result}"
            ))
            .into_response()
        }
    }
}
