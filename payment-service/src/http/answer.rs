//! The answers of mutations.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use money::MerchantId;

use super::AppState;
use super::error::{Code, Problem};
use super::payments::unknown_payment;
use crate::engine::{Answer, PayError, Subject};
use crate::{operation, payment, payout};

/// The answer of a mutation: stored, or what was begun as it is now, or why there is none.
pub(super) async fn respond(
    state: &AppState,
    merchant: MerchantId,
    answer: Answer,
) -> Result<Response, Problem> {
    match answer {
        Answer::Final { status, body, replayed } => {
            let status = StatusCode::from_u16(status).map_err(Problem::internal)?;
            let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
            Ok(mark(
                replayed,
                (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response(),
            ))
        }
        Answer::Accepted { subject, replayed } => {
            let lost = || Problem::internal("what was accepted is not there");
            let body = match subject {
                Subject::Payment(payment) => {
                    let view = payment::get(&state.pool, merchant, payment).await?;
                    axum::Json(view.ok_or_else(lost)?).into_response()
                }
                Subject::Payout(payout) => {
                    let view = payout::get(&state.pool, merchant, payout).await?;
                    axum::Json(view.ok_or_else(lost)?).into_response()
                }
                Subject::Operation(operation) => {
                    let view = operation::get(&state.pool, merchant, operation).await?;
                    axum::Json(view.ok_or_else(lost)?).into_response()
                }
            };
            Ok(mark(replayed, (StatusCode::ACCEPTED, body).into_response()))
        }
        Answer::NoPayment => Err(unknown_payment()),
        Answer::AmountRefused(why) => Err(Problem::invalid("amount", why.to_string())),
        Answer::InFlight => Err(Problem::new(Code::IdempotencyKeyInFlight)
            .detail("the first request with this key is at work; repeat this one for its answer")
            .retry_after(std::time::Duration::from_secs(1))),
        Answer::OtherRequest(field) => Err(Problem::new(Code::IdempotencyKeyReused)
            .field(field, "differs from the first request with this key")),
    }
}

fn mark(replayed: bool, mut response: Response) -> Response {
    if replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

impl From<PayError> for Problem {
    fn from(error: PayError) -> Self {
        match error {
            PayError::Busy => Self::new(Code::Unavailable)
                .detail("nothing was done; repeat the request with the same key")
                .retry_after(std::time::Duration::from_secs(1)),
            PayError::Failed(source) if source.is_transient() => Self::new(Code::Unavailable)
                .detail("repeat the request with the same key")
                .retry_after(std::time::Duration::from_secs(1))
                .caused_by(PayError::Failed(source)),
            // it may have been claimed: the key finds out
            PayError::Interrupted => Self::new(Code::Unavailable)
                .detail("what became of it is not known; repeat the request with the same key")
                .retry_after(std::time::Duration::from_secs(1))
                .caused_by(PayError::Interrupted),
            error @ PayError::Failed(_) => Self::internal(error),
        }
    }
}

impl From<operation::Error> for Problem {
    fn from(error: operation::Error) -> Self {
        match error {
            operation::Error::Database(error) => error.into(),
            error => Self::internal(error),
        }
    }
}
