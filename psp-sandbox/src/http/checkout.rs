//! The page where a buyer chooses how to pay, and pays.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::html;
use rust_decimal::Decimal;

use super::authentication::page_of;
use super::control::change;
use super::page::{page, words};
use crate::core::{Core, SharedWorld, locked};
use crate::model::card::Card;
use crate::model::event::{Snapshot, Stored};
use crate::model::id::Kind;
use crate::model::{CaptureMethod, IntentStatus, Session, SessionStatus};
use crate::wire::Form;

/// What the page offers: a test payment method, and what it will do.
const OFFERED: [(&str, &str, &str); 6] = [
    ("pm_card_visa", "Visa •••• 4242", "pays"),
    ("pm_card_threeDSecure2Required", "Visa •••• 3220", "asks first whether it is you, then pays"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "Visa •••• 9995", "is declined: insufficient funds"),
    (
        "pm_card_threeDSecureRequiredChargeDeclined",
        "Visa •••• 8308",
        "asks first whether it is you, and is declined all the same",
    ),
    ("pm_card_chargeDeclinedExpiredCard", "Visa •••• 0069", "is declined: it has expired"),
    ("pm_usBankAccount_success", "Bank account •••• 6789", "the bank says days later whether it pays"),
];

/// The page and what its buttons do.
pub fn routes() -> Router<Arc<Core>> {
    Router::new().route("/c/pay/{session}", get(show).post(press))
}

fn find(core: &Core, id: &str) -> Option<(SharedWorld, Arc<Session>)> {
    core.worlds().into_iter().find_map(|shared| {
        let session = locked(&shared).session(id).cloned();
        session.map(|session| (shared, session))
    })
}

fn nothing() -> Response {
    words(StatusCode::NOT_FOUND, "Not found", "There is no such page.")
}

async fn show(State(core): State<Arc<Core>>, Path(id): Path<String>) -> Response {
    let Some((shared, session)) = find(&core, &id) else { return nothing() };
    match session.status {
        SessionStatus::Complete => to_success(&session, &id),
        SessionStatus::Open if session.expires_ms > core.now_ms() => {
            let intent = session.intent.and_then(|seq| locked(&shared).intent_at(seq).cloned());
            let failure = intent.and_then(|intent| intent.failure);
            offer(&session, failure.map(|failure| failure.decline.message))
        }
        SessionStatus::Open | SessionStatus::Expired => over(&session),
    }
}

/// Where a buyer goes who has paid.
fn to_success(session: &Session, id: &str) -> Response {
    Redirect::to(&session.success_url.replace("{CHECKOUT_SESSION_ID}", id)).into_response()
}

fn over(session: &Session) -> Response {
    let body = html! {
        h1 { "This page is closed" }
        p { "Nothing was paid here, and nothing can be any more." }
        @if let Some(back) = &session.cancel_url { p { a href=(back) { "Back to the shop" } } }
    };
    page(StatusCode::GONE, "This page is closed", &body)
}

fn offer(session: &Session, failure: Option<&str>) -> Response {
    let amount = Decimal::new(session.amount, session.currency.exponent());
    let code = session.currency.as_str().to_ascii_uppercase();
    let is_held = session.capture_method == CaptureMethod::Manual;
    // a bank account cannot hold money
    let offered = OFFERED
        .iter()
        .filter(|(token, ..)| !is_held || Card::by_token(token).is_some_and(|card| card.kind() == "card"));
    let body = html! {
        h1 { (session.product) }
        p.amount { (amount) " " (code) }
        @if let Some(failure) = failure { p.wrong role="alert" { (failure) } }
        form method="post" {
            @for (token, name, does) in offered {
                button name="payment_method" value=(token) { (name) small { (does) } }
            }
        }
        @if let Some(back) = &session.cancel_url { p { a href=(back) { "Back to the shop" } } }
    };
    page(StatusCode::OK, &format!("Pay {amount} {code}"), &body)
}

async fn press(State(core): State<Arc<Core>>, Path(id): Path<String>, body: Bytes) -> Response {
    let Some((shared, session)) = find(&core, &id) else { return nothing() };
    let chosen = Form::parse("", &body).text("payment_method").unwrap_or_default();
    let Some(card) = Card::by_token(&chosen) else {
        let text = format!("payment_method must be a test token such as pm_card_visa, not {chosen:?}");
        return words(StatusCode::BAD_REQUEST, "What is that?", &text);
    };
    let here = format!("{}/c/pay/{id}", core.base_url());
    let outcome = change(&core, &shared, |tx| tx.pay_session(&id, card, &here));
    match outcome {
        Err(error) => {
            tracing::error!(%error, "a payment on a page was lost");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        // the page says why
        Ok(Err(error)) if error.status == 402 => Redirect::to(&here).into_response(),
        Ok(Err(_)) => match session.status {
            SessionStatus::Complete => to_success(&session, &id),
            SessionStatus::Open | SessionStatus::Expired => over(&session),
        },
        Ok(Ok(stored)) => next(&core, &shared, &stored, &session, &id),
    }
}

/// Where the buyer goes whose means of payment was taken.
fn next(core: &Core, shared: &SharedWorld, stored: &Stored, session: &Session, id: &str) -> Response {
    let world = locked(shared);
    match world.resolve(stored) {
        Ok(Snapshot::Intent(intent)) if intent.status == IntentStatus::RequiresAction => {
            let name = world.nonce.id(Kind::Intent, intent.seq);
            let secret = world.nonce.client_secret(intent.seq);
            Redirect::to(&page_of(core, name.as_str(), secret.as_str())).into_response()
        }
        _ => to_success(session, id),
    }
}
