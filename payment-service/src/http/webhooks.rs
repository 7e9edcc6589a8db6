//! `/v1/webhooks/{psp_account}`: where the PSPs call back.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use money::PspAccountId;
use time::OffsetDateTime;

use super::AppState;
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiPath, WEBHOOK_BODY_LIMIT, read_body};
use crate::webhook::{self, ReceiveError};

/// Takes a webhook of a PSP. It is committed before it is acknowledged, and applied afterwards; a repeat is
/// acknowledged and changes nothing.
#[utoipa::path(
    post, path = "/v1/webhooks/{psp_account}", tag = "webhooks", security(()),
    params(("psp_account" = PspAccountId, Path)),
    request_body(content = Vec<u8>, description = "As the PSP sends and signs it", content_type = "application/json"),
    responses(
        (status = 200, description = "It is in the inbox"),
        (status = 401, description = "It is not the PSP's, or not of now", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn receive(
    State(state): State<AppState>,
    ApiPath(psp_account_id): ApiPath<PspAccountId>,
    request: Request,
) -> Result<StatusCode, Problem> {
    // unknown account, unsigned and forged look the same from outside
    let unsigned = || Problem::new(Code::WebhookSignatureInvalid);
    let account = state.directory.webhook_account(psp_account_id).await?.ok_or_else(unsigned)?;
    let header = request.headers().get(account.account.psp.signature_header());
    let signature = header.and_then(|value| value.to_str().ok()).ok_or_else(unsigned)?.to_owned();
    let body = read_body(request, WEBHOOK_BODY_LIMIT).await?;
    let received = webhook::receive(&state.pool, &account, &signature, &body, OffsetDateTime::now_utc());
    if received.await? {
        state.inbox_bell.notify_one();
    }
    Ok(StatusCode::OK)
}

impl From<ReceiveError> for Problem {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Signature(_) => Self::new(Code::WebhookSignatureInvalid),
            ReceiveError::Database(error) => error.into(),
        }
    }
}
