//! `/v1/payments/{payment_id}/capture`, `/void` and `/refunds`, and `/v1/operations`.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use money::{ClaimId, OperationId, PaymentId, SellerId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use super::answer::respond;
use super::auth::{Auth, Payments};
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiPath, ApiQuery, OptionalJson};
use super::page::{Limit, NO_CURSOR, Page};
use super::payments::{Check, MOST_SPLITS, unknown_payment};
use super::request_id;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::merchant::Scope;
use crate::operation::{
    self, Follow, OperationCursor, OperationFilter, OperationKind, OperationView, Want, WantedPart,
};
use crate::payment;

/// The parts of a request that its idempotency key stands for, the endpoint first.
const PARTS: &[&str; 5] = &["endpoint", "amount", "final", "splits", "refund_platform_fee"];

/// What to capture of a payment that was authorised.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCapture {
    /// How much, in minor units: at most what is held. Everything that is held, or the sum of the splits, if left out.
    #[serde(default)]
    #[schema(minimum = 1, example = 2500)]
    amount: Option<i64>,
    /// Whether what is left afterwards is let go. With `false` more captures may follow, where the PSP allows that for the
    /// card.
    #[serde(default = "yes", rename = "final")]
    #[schema(default = true)]
    last: bool,
    /// Whose money it is; in proportion to the payment's splits if left out.
    #[serde(default)]
    #[schema(max_items = 50)]
    splits: Option<Vec<PartOf>>,
}

/// What to give back of a payment that was captured.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRefund {
    /// How much, in minor units: at most what was captured and not given back or promised yet. All of that, or the sum of
    /// the splits, if left out.
    #[serde(default)]
    #[schema(minimum = 1, example = 1000)]
    amount: Option<i64>,
    /// Whose money it is; in proportion to what was captured of each split if left out.
    #[serde(default)]
    #[schema(max_items = 50)]
    splits: Option<Vec<PartOf>>,
    /// Whether the platform gives back its fee on what is refunded. With `false` the sellers bear all of it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    refund_platform_fee: bool,
}

/// A void takes no parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVoid {}

const fn yes() -> bool {
    true
}

/// What of a capture or refund falls on a seller.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartOf {
    /// A seller of the payment.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$", example = "seller-7")]
    seller: String,
    /// Its part, in minor units.
    #[schema(minimum = 1, example = 1000)]
    amount: i64,
}

/// Takes what is held, or a part of it, exactly once.
#[utoipa::path(
    post, path = "/v1/payments/{payment_id}/capture", tag = "operations", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "1 to 255 printable ASCII characters, a fresh one for each intended capture")),
    request_body(content = CreateCapture, description = "May be left out"),
    responses(
        (status = 201, description = "The capture has succeeded or failed", body = OperationView),
        (status = 202, description = "It is being processed: repeat the request or read the operation", body = OperationView),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The payment does not allow it as it is, or the key is in flight", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn capture(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    key: IdempotencyKey,
    ApiPath(payment_id): ApiPath<PaymentId>,
    OptionalJson(body): OptionalJson<CreateCapture>,
) -> Result<Response, Problem> {
    let endpoint = format!("POST /v1/payments/{payment_id}/capture");
    let fingerprint = fingerprint(&endpoint, body.amount, Some(body.last), body.splits.as_deref(), None);
    let mut check = Check(None);
    let parts = check_amounts(&mut check, body.amount, body.splits);
    check.0.map_or(Ok(()), Err)?;
    let want = Want::Capture { amount: body.amount, last: body.last, parts };
    follow(&state, &caller, key, fingerprint, payment_id, want).await
}

/// Lets go what is held, or ends what waits for its buyer. What was captured before stays captured.
#[utoipa::path(
    post, path = "/v1/payments/{payment_id}/void", tag = "operations", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "1 to 255 printable ASCII characters, a fresh one for each intended void")),
    request_body(content = CreateVoid, description = "May be left out"),
    responses(
        (status = 201, description = "The void has succeeded or failed", body = OperationView),
        (status = 202, description = "It is being processed: repeat the request or read the operation", body = OperationView),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The payment does not allow it as it is, or the key is in flight", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn void(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    key: IdempotencyKey,
    ApiPath(payment_id): ApiPath<PaymentId>,
    OptionalJson(CreateVoid {}): OptionalJson<CreateVoid>,
) -> Result<Response, Problem> {
    let endpoint = format!("POST /v1/payments/{payment_id}/void");
    let fingerprint = fingerprint(&endpoint, None, None, None, None);
    follow(&state, &caller, key, fingerprint, payment_id, Want::Void).await
}

/// Gives back what was captured, or a part of it, exactly once. What is under way counts as given back: several refunds
/// never exceed what was captured.
#[utoipa::path(
    post, path = "/v1/payments/{payment_id}/refunds", tag = "operations", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "1 to 255 printable ASCII characters, a fresh one for each intended refund")),
    request_body(content = CreateRefund, description = "May be left out"),
    responses(
        (status = 201, description = "The refund has succeeded or failed", body = OperationView),
        (status = 202, description = "It is being processed: repeat the request or read the operation", body = OperationView),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The payment does not allow it as it is, or the key is in flight", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn refund(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    key: IdempotencyKey,
    ApiPath(payment_id): ApiPath<PaymentId>,
    OptionalJson(body): OptionalJson<CreateRefund>,
) -> Result<Response, Problem> {
    let endpoint = format!("POST /v1/payments/{payment_id}/refunds");
    let returns_fee = body.refund_platform_fee;
    let fingerprint = fingerprint(&endpoint, body.amount, None, body.splits.as_deref(), Some(returns_fee));
    let mut check = Check(None);
    let parts = check_amounts(&mut check, body.amount, body.splits);
    check.0.map_or(Ok(()), Err)?;
    let want = Want::Refund { amount: body.amount, parts, returns_fee };
    follow(&state, &caller, key, fingerprint, payment_id, want).await
}

async fn follow(
    state: &AppState,
    caller: &Auth<Payments>,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    payment_id: PaymentId,
    want: Want,
) -> Result<Response, Problem> {
    let lease = state.engine.lease();
    let request_id = request_id::current(|id| id.cloned());
    let follow = Follow { key, fingerprint, claim_id: ClaimId::new(), payment_id, want, lease, request_id };
    let answer = state.engine.follow(state.directory.clone(), caller.merchant_id, follow).await?;
    respond(state, caller.merchant_id, answer).await
}

fn fingerprint(
    endpoint: &str,
    amount: Option<i64>,
    last: Option<bool>,
    splits: Option<&[PartOf]>,
    returns_fee: Option<bool>,
) -> Fingerprint {
    // strings and numbers cannot fail to serialise
    let json = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
    Fingerprint::of(
        PARTS,
        [
            endpoint.as_bytes(),
            &json(serde_json::to_vec(&amount)),
            &json(serde_json::to_vec(&last)),
            &json(serde_json::to_vec(&splits)),
            &json(serde_json::to_vec(&returns_fee)),
        ],
    )
}

fn check_amounts(
    check: &mut Check,
    amount: Option<i64>,
    splits: Option<Vec<PartOf>>,
) -> Option<Vec<WantedPart>> {
    if amount.is_some_and(|amount| amount <= 0) {
        check.refuse("amount", "expected a whole number of minor units, at least 1");
    }
    let splits = splits?;
    if !(1..=MOST_SPLITS).contains(&splits.len()) {
        check.refuse("splits", format!("expected 1 to {MOST_SPLITS}, found {}", splits.len()));
        return None;
    }
    let total = splits.iter().try_fold(0_i64, |sum, split| sum.checked_add(split.amount));
    if total.is_none() || amount.is_some() && total != amount {
        check.refuse("splits", "expected amounts that add up to the amount");
    }
    let (mut parts, mut sellers) = (Vec::with_capacity(splits.len()), BTreeSet::new());
    for (index, split) in splits.into_iter().enumerate() {
        if split.amount <= 0 {
            check.refuse(format!("splits[{index}].amount"), "expected at least 1 minor unit");
        }
        let field = format!("splits[{index}].seller");
        let Some(seller) = check.take(&field, SellerId::try_from(split.seller)) else { continue };
        if !sellers.insert(seller.clone()) {
            check.refuse(field, "expected each seller once");
        }
        parts.push(WantedPart { seller, amount: split.amount });
    }
    Some(parts)
}

/// Reads an operation: an authorisation, capture, void or refund; and a payout, where the API key has the scope
/// `finance_read` too.
#[utoipa::path(
    get, path = "/v1/operations/{operation_id}", operation_id = "get_operation", tag = "operations", security(("api_key" = ["payments"])),
    params(("operation_id" = OperationId, Path)),
    responses(
        (status = 200, description = "The operation as it is now", body = OperationView),
        (status = 404, description = "The merchant has no such operation", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiPath(operation_id): ApiPath<OperationId>,
) -> Result<axum::Json<OperationView>, Problem> {
    let view = operation::get(&state.pool, caller.merchant_id, operation_id).await?;
    // what sellers are paid is finance's
    let may_see =
        |view: &OperationView| view.payout_id.is_none() || caller.scopes.contains(Scope::FinanceRead);
    view.filter(may_see)
        .map(axum::Json)
        .ok_or_else(|| Problem::new(Code::NotFound).detail("there is no operation with this id"))
}

/// Which operations of a payment to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListOperations {
    /// Only those that are meant to do this.
    #[serde(rename = "type")]
    #[param(value_type = Option<OperationKind>)]
    kind: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Which operations of one kind to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListOfKind {
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

fn kind_of_payment(word: &str) -> Option<OperationKind> {
    OperationKind::parse(word).filter(|kind| *kind != OperationKind::Payout)
}

/// All operations of a payment, oldest first.
#[utoipa::path(
    get, path = "/v1/payments/{payment_id}/operations", operation_id = "operations", tag = "operations", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path), ListOperations),
    responses(
        (status = 200, description = "A page of operations, oldest first", body = Page<OperationView>),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiPath(payment_id): ApiPath<PaymentId>,
    ApiQuery(query): ApiQuery<ListOperations>,
) -> Result<axum::Json<Page<OperationView>>, Problem> {
    let mut check = Check(None);
    let kind = query.kind.and_then(|word| {
        check.take("type", kind_of_payment(&word).ok_or("expected authorize, capture, void or refund"))
    });
    check.0.map_or(Ok(()), Err)?;
    page(&state, &caller, payment_id, kind, query.cursor, query.limit).await
}

/// The captures of a payment, oldest first.
#[utoipa::path(
    get, path = "/v1/payments/{payment_id}/capture", tag = "operations", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path), ListOfKind),
    responses(
        (status = 200, description = "A page of captures, oldest first", body = Page<OperationView>),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn captures(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiPath(payment_id): ApiPath<PaymentId>,
    ApiQuery(query): ApiQuery<ListOfKind>,
) -> Result<axum::Json<Page<OperationView>>, Problem> {
    page(&state, &caller, payment_id, Some(OperationKind::Capture), query.cursor, query.limit).await
}

/// The voids of a payment, oldest first.
#[utoipa::path(
    get, path = "/v1/payments/{payment_id}/void", tag = "operations", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path), ListOfKind),
    responses(
        (status = 200, description = "A page of voids, oldest first", body = Page<OperationView>),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn voids(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiPath(payment_id): ApiPath<PaymentId>,
    ApiQuery(query): ApiQuery<ListOfKind>,
) -> Result<axum::Json<Page<OperationView>>, Problem> {
    page(&state, &caller, payment_id, Some(OperationKind::Void), query.cursor, query.limit).await
}

/// The refunds of a payment, oldest first.
#[utoipa::path(
    get, path = "/v1/payments/{payment_id}/refunds", tag = "operations", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path), ListOfKind),
    responses(
        (status = 200, description = "A page of refunds, oldest first", body = Page<OperationView>),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn refunds(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiPath(payment_id): ApiPath<PaymentId>,
    ApiQuery(query): ApiQuery<ListOfKind>,
) -> Result<axum::Json<Page<OperationView>>, Problem> {
    page(&state, &caller, payment_id, Some(OperationKind::Refund), query.cursor, query.limit).await
}

async fn page(
    state: &AppState,
    caller: &Auth<Payments>,
    payment_id: PaymentId,
    kind: Option<OperationKind>,
    cursor: Option<String>,
    limit: Limit,
) -> Result<axum::Json<Page<OperationView>>, Problem> {
    let after = cursor.map(|text| text.parse::<OperationCursor>()).transpose();
    let after = after.map_err(|_| Problem::invalid("cursor", NO_CURSOR))?;
    let filter = OperationFilter { kind, after, limit: limit.and_one() };
    let operations = operation::list(&state.reading, caller.merchant_id, payment_id, &filter).await?;
    if operations.is_empty() && payment::get(&state.pool, caller.merchant_id, payment_id).await?.is_none() {
        return Err(unknown_payment());
    }
    Ok(axum::Json(Page::of(operations, limit, |operation| OperationCursor::of(operation).to_string())))
}
