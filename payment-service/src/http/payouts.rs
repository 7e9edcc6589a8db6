//! `/v1/payouts`: what sellers have is sent to their banks.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use money::{Currency, MerchantId, Money, PayoutId, PspAccountId, SellerId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use super::answer::respond;
use super::auth::{Auth, FinanceRead, FinanceWrite};
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiJson, ApiPath, ApiQuery};
use super::page::{Limit, NO_CURSOR, Page};
use super::payments::{Check, check_metadata, metadata_schema};
use super::request_id;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::merchant::PspAccount;
use crate::payout::{self, NewPayout, PayoutFilter, PayoutStatus, PayoutView};
use crate::psp::PspReference;

/// The parts of a request that its idempotency key stands for, the endpoint first.
const PARTS: &[&str; 8] = &[
    "endpoint",
    "seller",
    "amount",
    "currency",
    "destination",
    "psp_account_id",
    "statement_descriptor",
    "metadata",
];
/// The most characters of it that bank statements show.
const LONGEST_DESCRIPTOR: usize = 22;

/// A payout to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePayout {
    /// Whose money is sent.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$", example = "seller-7")]
    seller: String,
    /// How much, in minor units: at most what the seller has available. All of that, as far as the PSP can send it, if left
    /// out.
    #[serde(default)]
    #[schema(minimum = 1, example = 9000)]
    amount: Option<i64>,
    /// ISO 4217 code in capital letters.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: String,
    /// The PSP's name of the seller's bank account or card. Never an account's own number.
    #[schema(max_length = 255, pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$", example = "ba_1OaYbZ2eZvKYlo2C0xq")]
    destination: String,
    /// Where to send it from; may be left out by a merchant with one PSP account.
    #[serde(default)]
    psp_account_id: Option<PspAccountId>,
    /// What the seller's statement is to show, in printable ASCII characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 22, pattern = "^[ -~]+$", example = "SHOP 1001")]
    statement_descriptor: Option<String>,
    /// The merchant's own notes: at most 50, keys of at most 40 and values of at most 500 characters.
    #[serde(default)]
    #[schema(schema_with = metadata_schema)]
    metadata: BTreeMap<String, String>,
}

/// Sends what a seller has available, or a part of it, to its bank, exactly once. It is held of the seller from the
/// acceptance on, so that no two payouts send the same money; what does not arrive, or comes back, is the seller's again.
#[utoipa::path(
    post, path = "/v1/payouts", operation_id = "create_payout", tag = "payouts", security(("api_key" = ["finance_write"])),
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "1 to 255 printable ASCII characters, a fresh one for each intended payout")),
    request_body = CreatePayout,
    responses(
        (status = 201, description = "The PSP sends it, or it has failed", body = PayoutView),
        (status = 202, description = "It is being processed: repeat the request or read the payout", body = PayoutView),
        (status = 409, description = "The seller does not have so much available, or the key is in flight", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Auth<FinanceWrite>,
    key: IdempotencyKey,
    ApiJson(body): ApiJson<CreatePayout>,
) -> Result<Response, Problem> {
    let fingerprint = fingerprint(&body);
    let merchant = caller.merchant_id;
    let (account, new) = match prepare(&state, merchant, &key, &fingerprint, body).await {
        Ok(prepared) => prepared,
        // What is refused now may have been taken before something changed here: then it was answered, or will be.
        Err(refusal) => {
            let earlier = state.engine.earlier_payout(merchant, &key, &fingerprint).await?;
            return respond(&state, merchant, earlier.ok_or(refusal)?).await;
        }
    };
    let answer = state.engine.pay_out(account, new).await?;
    respond(&state, merchant, answer).await
}

/// Where a payout is sent from, and the payout; or why it is refused.
async fn prepare(
    state: &AppState,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
    body: CreatePayout,
) -> Result<(Arc<PspAccount>, NewPayout), Problem> {
    let account = state.directory.psp_account(merchant, body.psp_account_id).await?;
    let checked = check(body, &account)?;
    let new = NewPayout {
        key: key.clone(),
        fingerprint: fingerprint.clone(),
        payout_id: PayoutId::new(),
        seller: checked.seller,
        amount: checked.amount,
        currency: checked.currency,
        destination: checked.destination,
        psp: account.account.psp,
        psp_account_id: account.psp_account_id,
        statement_descriptor: checked.statement_descriptor,
        metadata: checked.metadata,
        lease: state.engine.lease(),
        request_id: request_id::current(|id| id.cloned()),
    };
    Ok((account, new))
}

fn fingerprint(body: &CreatePayout) -> Fingerprint {
    // maps keyed by strings, strings and numbers cannot fail to serialise
    let json = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
    let account = body.psp_account_id.map(|id| id.to_string()).unwrap_or_default();
    Fingerprint::of(
        PARTS,
        [
            b"POST /v1/payouts",
            body.seller.as_bytes(),
            &json(serde_json::to_vec(&body.amount)),
            body.currency.as_bytes(),
            body.destination.as_bytes(),
            account.as_bytes(),
            &json(serde_json::to_vec(&body.statement_descriptor)),
            &json(serde_json::to_vec(&body.metadata)),
        ],
    )
}

/// A request whose every field is one that it can be.
struct Checked {
    seller: SellerId,
    amount: Option<i64>,
    currency: Currency,
    destination: PspReference,
    statement_descriptor: Option<String>,
    metadata: BTreeMap<String, String>,
}

fn check(body: CreatePayout, account: &PspAccount) -> Result<Checked, Problem> {
    let mut check = Check(None);
    let seller = check.take("seller", SellerId::try_from(body.seller));
    let currency = check.take("currency", body.currency.parse::<Currency>());
    if body.amount.is_some_and(|amount| amount <= 0) {
        check.refuse("amount", "expected a whole number of minor units, at least 1");
    }
    let psp = account.account.psp;
    match (currency, body.amount.filter(|amount| *amount > 0)) {
        (Some(currency), Some(amount)) => {
            check.take("amount", psp.validate_payout(Money::new(amount, currency)));
        }
        (Some(currency), None) => {
            // whether the PSP can send any of it
            check.take("currency", psp.validate_payout(psp.payable(Money::new(10_000, currency))));
        }
        (None, _) => {}
    }
    let destination = check.take("destination", PspReference::parse(&body.destination));
    if let Some(text) = &body.statement_descriptor {
        let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.trim().is_empty();
        if !is_plain || text.len() > LONGEST_DESCRIPTOR {
            let expected = format!("expected 1 to {LONGEST_DESCRIPTOR} printable ASCII characters");
            check.refuse("statement_descriptor", expected);
        }
    }
    check_metadata(&mut check, &body.metadata);
    match (check.0, seller, currency, destination) {
        (None, Some(seller), Some(currency), Some(destination)) => Ok(Checked {
            seller,
            amount: body.amount,
            currency,
            destination,
            statement_descriptor: body.statement_descriptor,
            metadata: body.metadata,
        }),
        (problem, ..) => Err(problem.unwrap_or_else(|| Problem::new(Code::ValidationFailed))),
    }
}

/// Reads a payout.
#[utoipa::path(
    get, path = "/v1/payouts/{payout_id}", operation_id = "payout", tag = "payouts", security(("api_key" = ["finance_read"])),
    params(("payout_id" = PayoutId, Path)),
    responses(
        (status = 200, description = "The payout as it is now", body = PayoutView),
        (status = 404, description = "The merchant has no such payout", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiPath(payout_id): ApiPath<PayoutId>,
) -> Result<axum::Json<PayoutView>, Problem> {
    let view = payout::get(&state.pool, caller.merchant_id, payout_id).await?;
    view.map(axum::Json).ok_or_else(|| Problem::new(Code::NotFound).detail("there is no payout with this id"))
}

/// Which payouts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListPayouts {
    /// Only those to this seller.
    #[param(max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$")]
    seller: Option<String>,
    /// Only those that stand so.
    status: Option<PayoutStatus>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// The merchant's payouts, newest first.
#[utoipa::path(
    get, path = "/v1/payouts", operation_id = "payouts", tag = "payouts", security(("api_key" = ["finance_read"])),
    params(ListPayouts),
    responses(
        (status = 200, description = "A page of payouts, newest first", body = Page<PayoutView>),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiQuery(query): ApiQuery<ListPayouts>,
) -> Result<axum::Json<Page<PayoutView>>, Problem> {
    let mut check = Check(None);
    let filter = PayoutFilter {
        seller: query.seller.and_then(|text| check.take("seller", SellerId::try_from(text))),
        status: query.status,
        after: query
            .cursor
            .and_then(|text| check.take("cursor", text.parse::<PayoutId>().map_err(|_| NO_CURSOR))),
        limit: query.limit.and_one(),
    };
    check.0.map_or(Ok(()), Err)?;
    let payouts = payout::list(&state.reading, caller.merchant_id, &filter).await?;
    Ok(axum::Json(Page::of(payouts, query.limit, |payout| payout.payout_id.to_string())))
}
