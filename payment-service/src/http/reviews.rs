//! `/v1/reviews`: operations of which nobody can tell what became.

use axum::extract::State;
use axum::response::Response;
use money::OperationId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use super::answer::respond;
use super::auth::{Auth, FinanceRead, FinanceWrite};
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiJson, ApiPath, ApiQuery};
use super::page::{Limit, NO_CURSOR, Page};
use super::payments::Check;
use crate::engine::{Answer, AskError};
use crate::idempotency::{Begun, Fingerprint, IdempotencyKey};
use crate::operation::OperationCursor;
use crate::psp::PspReference;
use crate::review::{self, Actor, Filter, Pending, Refused, Review, Said, Word};

/// The parts of a request that its idempotency key stands for, the endpoint first.
const PARTS: &[&str; 4] = &["endpoint", "outcome", "reason", "psp_reference"];
const LONGEST_REASON: usize = 500;

/// Which operations that need review to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListReviews {
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Operations that need review: nobody can tell what became of them. Longest waiting first.
#[utoipa::path(
    get, path = "/v1/reviews", operation_id = "reviews", tag = "reviews", security(("api_key" = ["finance_read"])),
    params(ListReviews),
    responses(
        (status = 200, description = "A page of operations, longest waiting first", body = Page<Pending>),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiQuery(query): ApiQuery<ListReviews>,
) -> Result<axum::Json<Page<Pending>>, Problem> {
    let after = query.cursor.map(|text| text.parse::<OperationCursor>()).transpose();
    let after = after.map_err(|_| Problem::invalid("cursor", NO_CURSOR))?;
    let filter = Filter {
        after: after.map(|after| (after.created_at, after.operation_id)),
        limit: query.limit.and_one(),
    };
    let pending = review::list(&state.reading, caller.merchant_id, &filter).await?;
    let cursor = |pending: &Pending| {
        OperationCursor { created_at: pending.since, operation_id: pending.operation_id }.to_string()
    };
    Ok(axum::Json(Page::of(pending, query.limit, cursor)))
}

/// What is known of an operation: attempts, webhooks, settlement lines and breaks, and what people did about it.
#[utoipa::path(
    get, path = "/v1/reviews/{operation_id}", operation_id = "review", tag = "reviews",
    security(("api_key" = ["finance_read"])), params(("operation_id" = OperationId, Path)),
    responses(
        (status = 200, description = "The operation and what is known of it", body = Review),
        (status = 404, description = "The merchant has no such operation", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiPath(operation_id): ApiPath<OperationId>,
) -> Result<axum::Json<Review>, Problem> {
    let review = review::get(&state.reading, caller.merchant_id, operation_id).await?;
    review.map(axum::Json).ok_or_else(|| Refused::NotFound.into())
}

/// Asks the PSP once more what became of an operation. Moves nothing by itself: what the PSP then shows ends the operation,
/// or it goes on needing review.
#[utoipa::path(
    post, path = "/v1/reviews/{operation_id}/ask", operation_id = "ask", tag = "reviews",
    security(("api_key" = ["finance_write"])), params(("operation_id" = OperationId, Path)),
    responses(
        (status = 200, description = "What is known now", body = Review),
        (status = 404, description = "The merchant has no such operation", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It does not need review, or somebody else is asking", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ask(
    State(state): State<AppState>,
    caller: Auth<FinanceWrite>,
    ApiPath(operation_id): ApiPath<OperationId>,
) -> Result<axum::Json<Review>, Problem> {
    let merchant = caller.merchant_id;
    if !state.engine.ask_again(&state.directory, merchant, operation_id).await? {
        let known = review::get(&state.pool, merchant, operation_id).await?.ok_or(Refused::NotFound)?;
        return Err(match known.state {
            review::State::Closed => Problem::new(Code::NotInReview),
            _ => Problem::new(Code::OperationUnderWay)
                .detail("the PSP is being asked by somebody else")
                .retry_after(std::time::Duration::from_secs(1)),
        });
    }
    review::note_asked(&state.pool, merchant, operation_id, &Actor::Key(caller.api_key_id)).await?;
    let review = review::get(&state.pool, merchant, operation_id).await?;
    review.map(axum::Json).ok_or_else(|| Refused::NotFound.into())
}

/// What a person says became of an operation.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseReview {
    /// `succeeded`: the PSP did it (charged, captured, let go, gave back, sent); `failed`: it did not, and will not.
    #[schema(value_type = Said)]
    outcome: String,
    /// Why you think so.
    #[schema(min_length = 1, max_length = 500, example = "shown as paid in the PSP's dashboard")]
    reason: String,
    /// The PSP's name of what it made, such as `pi_...`, `re_...` or `po_...`: needed where it did something in an object that we were
    /// not told of.
    #[serde(default)]
    #[schema(max_length = 255)]
    psp_reference: Option<String>,
}

/// Says what became of an operation that needs review. It ends so, with its books and its event; above the merchant's limit
/// once a second person, with an API key of another name, has said the same.
#[utoipa::path(
    post, path = "/v1/reviews/{operation_id}/close", operation_id = "close_review", tag = "reviews",
    security(("api_key" = ["finance_write"])),
    params(("operation_id" = OperationId, Path),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "1 to 255 printable ASCII characters, a fresh one for each intended word")),
    request_body = CloseReview,
    responses(
        (status = 201, description = "It is closed, or awaits a second person", body = Review),
        (status = 404, description = "The merchant has no such operation", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It does not need review, a capture or void of its payment is under way, or the key is in flight", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn close(
    State(state): State<AppState>,
    caller: Auth<FinanceWrite>,
    key: IdempotencyKey,
    ApiPath(operation_id): ApiPath<OperationId>,
    ApiJson(body): ApiJson<CloseReview>,
) -> Result<Response, Problem> {
    let endpoint = format!("POST /v1/reviews/{operation_id}/close");
    let reference = body.psp_reference.clone().unwrap_or_default();
    let values = [endpoint.as_bytes(), body.outcome.as_bytes(), body.reason.as_bytes(), reference.as_bytes()];
    let fingerprint = Fingerprint::of(PARTS, values);
    let word = check(operation_id, body, Actor::Key(caller.api_key_id))?;
    let said = review::say(&state.pool, caller.merchant_id, &key, &fingerprint, &word).await?;
    let answer = match said? {
        Begun::Answered { status, body, replayed } => Answer::Final { status, body, replayed },
        Begun::OtherRequest(field) => Answer::OtherRequest(field),
        Begun::Fresh | Begun::InFlight => Answer::InFlight,
    };
    respond(&state, caller.merchant_id, answer).await
}

fn check(operation_id: OperationId, body: CloseReview, actor: Actor) -> Result<Word, Problem> {
    let mut check = Check(None);
    let said = check.take("outcome", Said::parse(&body.outcome).ok_or("expected succeeded or failed"));
    let is_plain = !body.reason.chars().any(char::is_control);
    if !(1..=LONGEST_REASON).contains(&body.reason.chars().count()) || !is_plain {
        check.refuse("reason", format!("expected 1 to {LONGEST_REASON} characters without line ends"));
    }
    let psp_reference = body.psp_reference.and_then(|text| {
        check.take("psp_reference", PspReference::parse(&text).map_err(|error| error.to_string()))
    });
    match (check.0, said) {
        (None, Some(said)) => Ok(Word { operation_id, said, reason: body.reason, psp_reference, actor }),
        (problem, _) => Err(problem.unwrap_or_else(|| Problem::new(Code::ValidationFailed))),
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let words = refused.to_string();
        match refused {
            Refused::NotFound => Self::new(Code::NotFound).detail(words),
            Refused::NotInReview(_) => Self::new(Code::NotInReview).detail(words),
            Refused::UnderWay(..) => Self::new(Code::OperationUnderWay).detail(words),
            Refused::PartlyCaptured | Refused::NotLetGo => Self::invalid("outcome", words),
            Refused::ReferenceNeeded | Refused::OtherReference(_) | Refused::ForeignReference => {
                Self::invalid("psp_reference", words)
            }
        }
    }
}

impl From<review::Error> for Problem {
    fn from(error: review::Error) -> Self {
        match error {
            review::Error::Database(error) => error.into(),
            review::Error::Operation(error) => error.into(),
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Operation(error) => error.into(),
            AskError::Account(error) => error.into(),
        }
    }
}
