//! `/v1/payments`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use money::{Currency, Money, OrderId, PaymentId, PspAccountId, SellerId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use wallet::wallet::Split;

use super::AppState;
use super::answer::respond;
use super::auth::{Auth, Payments};
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiJson, ApiPath, ApiQuery};
use super::page::{Limit, NO_CURSOR, Page};
use super::request_id;
use crate::engine::Request;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::merchant::PspAccount;
use crate::operation::Claim;
use crate::payment::{self, Filter, NewPayment, PaymentStatus, PaymentView, Timeline};
use crate::psp::{CaptureMethod, Method};

/// The parts of a request that its idempotency key stands for, the endpoint first.
const PARTS: &[&str; 10] = &[
    "endpoint",
    "order_id",
    "amount",
    "currency",
    "payment_method",
    "psp_account_id",
    "capture",
    "splits",
    "metadata",
    "return_url",
];
/// The seller that a payment without splits belongs to: the merchant itself.
const SELF_SELLER: &str = "self";
pub(super) const MOST_SPLITS: usize = 50;
const MOST_METADATA: usize = 50;
const LONGEST_METADATA_KEY: usize = 40;
const LONGEST_METADATA_VALUE: usize = 500;
const LONGEST_ADDRESS: usize = 2048;

/// A payment to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePayment {
    /// The merchant's order, without control characters. It has at most one live payment.
    #[schema(min_length = 1, max_length = 255, example = "order-1001")]
    order_id: String,
    /// What the buyer owes, in minor units of the currency.
    #[schema(minimum = 1, example = 4200)]
    amount: i64,
    /// ISO 4217 code in capital letters.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: String,
    /// The PSP's token of the buyer's means of payment. Never a card number. Without one the payment waits for its buyer on a page of
    /// the PSP's, at `next_action.redirect_url`.
    #[serde(default)]
    #[schema(max_length = 255, pattern = "^[!-~]+$", example = "pm_card_visa")]
    payment_method: Option<String>,
    /// Where the buyer comes back to from a page of the PSP's, in whatever way that ended: ask for the payment then. Needed
    /// where there is no `payment_method`; with one, for means of payment that send the buyer away.
    #[serde(default)]
    #[schema(max_length = 2048, pattern = "^https?://[!-~]+$", example = "https://shop.example/orders/1001")]
    return_url: Option<String>,
    /// Where to charge it; may be left out by a merchant with one PSP account.
    #[serde(default)]
    psp_account_id: Option<PspAccountId>,
    /// When the money is taken: `automatic`, at once; `manual`, by captures that follow.
    #[serde(default)]
    #[schema(value_type = Option<CaptureWhen>)]
    capture: Option<String>,
    /// Whose money it is. The parts add up to the amount; without any it is the merchant's own (seller `self`).
    #[serde(default)]
    #[schema(max_items = 50)]
    splits: Vec<CreateSplit>,
    /// The merchant's own notes: at most 50, keys of at most 40 and values of at most 500 characters.
    #[serde(default)]
    #[schema(schema_with = metadata_schema)]
    metadata: BTreeMap<String, String>,
}

pub(super) fn metadata_schema() -> Object {
    let value = ObjectBuilder::new().schema_type(Type::String).max_length(Some(LONGEST_METADATA_VALUE));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(format!(
            "The merchant's own notes: at most {MOST_METADATA}, keys of at most {LONGEST_METADATA_KEY} and values of at \
             most {LONGEST_METADATA_VALUE} characters."
        )))
        .max_properties(Some(MOST_METADATA))
        .additional_properties(Some(value))
        .build()
}

/// When the money of a new payment is taken.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "it describes the words that are checked in check()")]
enum CaptureWhen {
    /// At once.
    Automatic,
    /// By captures that follow.
    Manual,
}

/// A seller's part of a payment.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSplit {
    /// The merchant's name for the seller.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$", example = "seller-7")]
    seller: String,
    /// The part, in minor units.
    #[schema(minimum = 1, example = 4200)]
    amount: i64,
    /// What of it the platform keeps, in minor units.
    #[serde(default)]
    #[schema(minimum = 0, example = 200)]
    platform_fee: i64,
}

/// Which payments to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListPayments {
    /// Only this order's.
    #[param(min_length = 1, max_length = 255)]
    order_id: Option<String>,
    /// Only those that stand so. The newest payments are looked through for them, for five seconds at most: a list of few
    /// among many may be refused with 503.
    #[param(value_type = Option<PaymentStatus>)]
    status: Option<String>,
    /// Only those accepted at or after this moment; found as by `status`.
    #[param(format = DateTime)]
    created_from: Option<String>,
    /// Only those accepted before this moment; found as by `status`.
    #[param(format = DateTime)]
    created_before: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Makes a payment and charges it, exactly once.
#[utoipa::path(
    post, path = "/v1/payments", tag = "payments", security(("api_key" = ["payments"])),
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "1 to 255 printable ASCII characters, a fresh one for each intended payment")),
    request_body = CreatePayment,
    responses(
        (status = 201, description = "The payment is decided, or waits for its buyer", body = PaymentView),
        (status = 202, description = "The payment is being processed: repeat the request or read the payment", body = PaymentView),
        (status = 409, description = "The key is in flight, or the order has a live payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    key: IdempotencyKey,
    ApiJson(body): ApiJson<CreatePayment>,
) -> Result<Response, Problem> {
    let fingerprint = fingerprint(&body);
    let merchant_id = caller.merchant_id;
    let (account, payment) = match prepare(&state, merchant_id, body).await {
        Ok(prepared) => prepared,
        // What is refused now may have been taken before something changed here: then it was answered, or will be.
        Err(refusal) => {
            let earlier = state.engine.earlier(merchant_id, &key, &fingerprint).await?;
            return respond(&state, merchant_id, earlier.ok_or(refusal)?).await;
        }
    };
    let claim = Claim {
        key,
        fingerprint,
        payment: Arc::new(payment),
        lease: state.engine.lease(),
        request_id: request_id::current(|id| id.cloned()),
    };
    let answer = state.engine.pay(Request { merchant_id, account, claim }).await?;
    respond(&state, merchant_id, answer).await
}

/// Where to charge a payment, and the payment; or why it is refused.
async fn prepare(
    state: &AppState,
    merchant: money::MerchantId,
    body: CreatePayment,
) -> Result<(Arc<PspAccount>, NewPayment), Problem> {
    let account = state.directory.psp_account(merchant, body.psp_account_id).await?;
    let payment = check(body, &account)?;
    Ok((account, payment))
}

fn fingerprint(body: &CreatePayment) -> Fingerprint {
    // maps keyed by strings, strings and numbers cannot fail to serialise
    let json = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
    let account = body.psp_account_id.map(|id| id.to_string()).unwrap_or_default();
    Fingerprint::of(
        PARTS,
        [
            b"POST /v1/payments",
            body.order_id.as_bytes(),
            &body.amount.to_be_bytes(),
            body.currency.as_bytes(),
            body.payment_method.as_deref().unwrap_or_default().as_bytes(),
            account.as_bytes(),
            body.capture.as_deref().unwrap_or("automatic").as_bytes(),
            &json(serde_json::to_vec(&body.splits)),
            &json(serde_json::to_vec(&body.metadata)),
            body.return_url.as_deref().unwrap_or_default().as_bytes(),
        ],
    )
}

/// Collects what is wrong, so that the caller learns all of it at once.
pub(super) struct Check(pub(super) Option<Problem>);

impl Check {
    pub(super) fn refuse(&mut self, field: impl Into<String>, expected: impl Into<String>) {
        let problem = self.0.take().unwrap_or_else(|| Problem::new(Code::ValidationFailed));
        self.0 = Some(problem.field(field, expected));
    }

    pub(super) fn take<T, E: std::fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.refuse(field, error.to_string())).ok()
    }
}

fn check(body: CreatePayment, account: &PspAccount) -> Result<NewPayment, Problem> {
    let mut check = Check(None);
    let order_id = check.take("order_id", OrderId::try_from(body.order_id));
    let currency = check.take("currency", body.currency.parse::<Currency>());
    if body.amount <= 0 {
        check.refuse("amount", "expected a whole number of minor units, at least 1");
    }
    let amount = currency.map(|currency| Money::new(body.amount, currency));
    if let Some(amount) = amount.filter(|amount| amount.minor > 0) {
        check.take("amount", account.account.psp.validate_amount(amount));
    }
    let method = check_method(&mut check, body.payment_method, body.return_url);
    let capture = body.capture.as_deref().map_or(Ok(CaptureMethod::Automatic), str::parse);
    let capture = check.take("capture", capture).unwrap_or(CaptureMethod::Automatic);
    let splits = check_splits(&mut check, body.amount, body.splits);
    check_metadata(&mut check, &body.metadata);
    match (check.0, order_id, amount, method) {
        (None, Some(order_id), Some(amount), Some(method)) => Ok(NewPayment {
            payment_id: PaymentId::new(),
            order_id,
            amount,
            psp_account_id: account.psp_account_id,
            method,
            capture_method: capture,
            metadata: body.metadata,
            splits,
        }),
        (problem, ..) => Err(problem.unwrap_or_else(|| Problem::new(Code::ValidationFailed))),
    }
}

fn check_method(check: &mut Check, token: Option<String>, return_url: Option<String>) -> Option<Method> {
    let is_token = |token: &String| {
        (1..=255).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if token.as_ref().is_some_and(|token| !is_token(token)) {
        check.refuse("payment_method", "expected the PSP's token, 1 to 255 characters without spaces");
    }
    if return_url.as_deref().is_some_and(|url| !is_address(url)) {
        let expected = format!(
            "expected an http or https address of at most {LONGEST_ADDRESS} characters, without spaces and passwords"
        );
        check.refuse("return_url", expected);
    }
    let method = Method::of(token, return_url);
    if method.is_none() {
        let expected = "expected the PSP's token, or a return_url to send the buyer to a page of the PSP's";
        check.refuse("payment_method", expected);
    }
    method
}

/// Whether a browser can be sent there, and it can be kept and shown.
fn is_address(text: &str) -> bool {
    let is_plain = text.len() <= LONGEST_ADDRESS && text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_open = |url: reqwest::Url| url.username().is_empty() && url.password().is_none();
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    is_plain && is_web && reqwest::Url::parse(text).is_ok_and(is_open)
}

fn check_splits(check: &mut Check, amount: i64, requested: Vec<CreateSplit>) -> Vec<Split> {
    if requested.is_empty() {
        let own = SELF_SELLER.parse::<SellerId>();
        return own.map(|seller| vec![Split { seller, amount, platform_fee: 0 }]).unwrap_or_default();
    }
    if requested.len() > MOST_SPLITS {
        check.refuse("splits", format!("expected at most {MOST_SPLITS}, found {}", requested.len()));
        return Vec::new();
    }
    let total = requested.iter().try_fold(0_i64, |sum, split| sum.checked_add(split.amount));
    if total != Some(amount) {
        check.refuse("splits", "expected amounts that add up to the payment's amount");
    }
    let (mut splits, mut sellers) = (Vec::with_capacity(requested.len()), BTreeSet::new());
    for (index, split) in requested.into_iter().enumerate() {
        if split.amount <= 0 {
            check.refuse(format!("splits[{index}].amount"), "expected at least 1 minor unit");
        }
        if !(0..=split.amount.max(0)).contains(&split.platform_fee) {
            check.refuse(format!("splits[{index}].platform_fee"), "expected 0 to the split's amount");
        }
        let field = format!("splits[{index}].seller");
        let Some(seller) = check.take(&field, SellerId::try_from(split.seller)) else { continue };
        if !sellers.insert(seller.clone()) {
            check.refuse(field, "expected each seller once");
        }
        splits.push(Split { seller, amount: split.amount, platform_fee: split.platform_fee });
    }
    splits
}

pub(super) fn check_metadata(check: &mut Check, metadata: &BTreeMap<String, String>) {
    if metadata.len() > MOST_METADATA {
        check.refuse("metadata", format!("expected at most {MOST_METADATA} notes, found {}", metadata.len()));
    }
    for (key, value) in metadata {
        let printable = |text: &str| !text.contains('\0');
        if !(1..=LONGEST_METADATA_KEY).contains(&key.chars().count()) || !printable(key) {
            check.refuse("metadata", format!("expected keys of 1 to {LONGEST_METADATA_KEY} characters"));
        }
        if value.chars().count() > LONGEST_METADATA_VALUE || !printable(value) {
            check.refuse(
                "metadata",
                format!("expected values of at most {LONGEST_METADATA_VALUE} characters"),
            );
        }
    }
}

/// Reads a payment.
#[utoipa::path(
    get, path = "/v1/payments/{payment_id}", tag = "payments", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path)),
    responses(
        (status = 200, description = "The payment as it is now", body = PaymentView),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiPath(payment_id): ApiPath<PaymentId>,
) -> Result<axum::Json<PaymentView>, Problem> {
    let view = payment::get(&state.pool, caller.merchant_id, payment_id).await?;
    view.map(axum::Json).ok_or_else(unknown_payment)
}

pub(super) fn unknown_payment() -> Problem {
    Problem::new(Code::NotFound).detail("there is no payment with this id")
}

/// Everything that is known to have happened to a payment.
#[utoipa::path(
    get, path = "/v1/payments/{payment_id}/timeline", tag = "payments", security(("api_key" = ["payments"])),
    params(("payment_id" = PaymentId, Path)),
    responses(
        (status = 200, description = "Its history, oldest first", body = Timeline),
        (status = 404, description = "The merchant has no such payment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn timeline(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiPath(payment_id): ApiPath<PaymentId>,
) -> Result<axum::Json<Timeline>, Problem> {
    let timeline = payment::timeline(&state.pool, caller.merchant_id, payment_id).await?;
    timeline.map(axum::Json).ok_or_else(unknown_payment)
}

/// The merchant's payments, newest first.
#[utoipa::path(
    get, path = "/v1/payments", tag = "payments", security(("api_key" = ["payments"])), params(ListPayments),
    responses(
        (status = 200, description = "A page of payments, newest first", body = Page<PaymentView>),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Auth<Payments>,
    ApiQuery(query): ApiQuery<ListPayments>,
) -> Result<axum::Json<Page<PaymentView>>, Problem> {
    let mut check = Check(None);
    let moment = |check: &mut Check, field: &str, text: Option<String>| {
        let parsed =
            text.map(|text| OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| "expected an RFC 3339 time"));
        parsed.and_then(|parsed| check.take(field, parsed))
    };
    let filter = Filter {
        order_id: query.order_id.and_then(|text| check.take("order_id", OrderId::try_from(text))),
        status: query.status.and_then(|word| {
            check.take("status", PaymentStatus::parse(&word).ok_or("expected a status such as captured"))
        }),
        created_from: moment(&mut check, "created_from", query.created_from),
        created_before: moment(&mut check, "created_before", query.created_before),
        after: query
            .cursor
            .and_then(|text| check.take("cursor", text.parse::<PaymentId>().map_err(|_| NO_CURSOR))),
        limit: query.limit.and_one(),
    };
    if let Some(problem) = check.0 {
        return Err(problem);
    }
    let payments = payment::list(&state.reading, caller.merchant_id, &filter).await?;
    Ok(axum::Json(Page::of(payments, query.limit, |payment| payment.payment_id.to_string())))
}
