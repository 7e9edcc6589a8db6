//! `/v1/disputes`: what buyers' banks ask back.

use axum::extract::State;
use money::{DisputeId, PaymentId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::AppState;
use super::auth::{Auth, FinanceRead};
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiPath, ApiQuery};
use super::page::{Limit, NO_CURSOR, Page};
use crate::dispute::{self, DisputeFilter, DisputeStatus, DisputeView};

/// Which disputes to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDisputes {
    /// Only those of this payment.
    payment_id: Option<PaymentId>,
    /// Only those that stand so.
    status: Option<DisputeStatus>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Disputes, the one heard of last first. They come from the PSP and are answered there; here is what they took, whose money
/// it is, and until when an answer is due.
#[utoipa::path(
    get, path = "/v1/disputes", operation_id = "disputes", tag = "disputes", security(("api_key" = ["finance_read"])),
    params(ListDisputes),
    responses(
        (status = 200, description = "A page of disputes, the one heard of last first", body = Page<DisputeView>),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiQuery(query): ApiQuery<ListDisputes>,
) -> Result<axum::Json<Page<DisputeView>>, Problem> {
    let after = query.cursor.map(|text| text.parse::<DisputeId>()).transpose();
    let filter = DisputeFilter {
        payment_id: query.payment_id,
        status: query.status,
        after: after.map_err(|_| Problem::invalid("cursor", NO_CURSOR))?,
        limit: query.limit.and_one(),
    };
    let disputes = dispute::list(&state.reading, caller.merchant_id, &filter).await?;
    Ok(axum::Json(Page::of(disputes, query.limit, |dispute| dispute.dispute_id.to_string())))
}

/// A dispute.
#[utoipa::path(
    get, path = "/v1/disputes/{dispute_id}", operation_id = "dispute", tag = "disputes",
    security(("api_key" = ["finance_read"])), params(("dispute_id" = DisputeId, Path)),
    responses(
        (status = 200, description = "The dispute", body = DisputeView),
        (status = 404, description = "The merchant has no such dispute", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiPath(dispute_id): ApiPath<DisputeId>,
) -> Result<axum::Json<DisputeView>, Problem> {
    let dispute = dispute::get(&state.reading, caller.merchant_id, dispute_id).await?;
    dispute
        .map(axum::Json)
        .ok_or_else(|| Problem::new(Code::NotFound).detail("the merchant has no such dispute"))
}

impl From<dispute::Error> for Problem {
    fn from(error: dispute::Error) -> Self {
        match error {
            dispute::Error::Database(error) => error.into(),
            error => Self::internal(error),
        }
    }
}
