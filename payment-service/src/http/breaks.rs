//! `/v1/breaks`: differences between what PSPs and banks say and what we say, and what people do about them.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use money::{BankAccountId, BreakId, Currency, PspAccountId};
use reconciliation::break_::{self, Act, Break, BreakKind, BreakWithActs, Filter, Refused};
use serde::{Deserialize, Serialize};
use time::Date;
use time::format_description::well_known::Iso8601;
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use super::answer::respond;
use super::auth::{Auth, FinanceRead, FinanceWrite};
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiJson, ApiPath, ApiQuery};
use super::page::{Limit, NO_CURSOR, Page};
use super::payments::Check;
use crate::engine::Answer;
use crate::idempotency::{Begun, Fingerprint, IdempotencyKey};
use crate::settlement::breaks;

/// The parts of a request that its idempotency key stands for, the endpoint first.
const PARTS: &[&str; 5] = &["endpoint", "act", "note", "assignee", "until"];
const LONGEST_NOTE: usize = 500;
const LONGEST_ASSIGNEE: usize = 100;
const NO_DAY: &str = "expected a day such as 2026-01-31";

/// Which breaks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListBreaks {
    /// `open` or `closed`; both where it is left out.
    state: Option<String>,
    /// Only of this kind, such as `unknown_to_us`.
    kind: Option<String>,
    /// Only in this currency.
    #[param(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// Only at this account at a PSP.
    psp_account_id: Option<PspAccountId>,
    /// Only at this account at a bank.
    bank_account_id: Option<BankAccountId>,
    /// Only this person's.
    assignee: Option<String>,
    /// Only those that are about this day or one before it.
    #[param(format = Date)]
    arose_until: Option<String>,
    /// Also those that are put off.
    #[serde(default)]
    snoozed: bool,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// Breaks: differences that need a person or a later file. Those that are about the oldest days first.
#[utoipa::path(
    get, path = "/v1/breaks", operation_id = "breaks", tag = "breaks", security(("api_key" = ["finance_read"])),
    params(ListBreaks),
    responses(
        (status = 200, description = "A page of breaks, the oldest first", body = Page<Break>),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiQuery(query): ApiQuery<ListBreaks>,
) -> Result<Json<Page<Break>>, Problem> {
    let limit = query.limit;
    let breaks = break_::list(&state.reading, caller.merchant_id, &filter(query)?).await?;
    Ok(Json(Page::of(breaks, limit, |last| format!("{}_{}", last.arose_on, last.break_id))))
}

fn filter(query: ListBreaks) -> Result<Filter, Problem> {
    let mut check = Check(None);
    let word = query.state.as_deref();
    let state = word.map(|word| break_::State::from_word(word).ok_or("expected open or closed"));
    let state = state.and_then(|state| check.take("state", state));
    let kind = query.kind.as_deref().map(|word| BreakKind::from_word(word).ok_or("expected a kind of break"));
    let kind = kind.and_then(|kind| check.take("kind", kind));
    let currency = query.currency.map(|code| code.parse::<Currency>());
    let currency = currency.and_then(|currency| check.take("currency", currency));
    let day = query.arose_until.map(|day| Date::parse(&day, &Iso8601::DATE).map_err(|_| NO_DAY));
    let arose_until = day.and_then(|day| check.take("arose_until", day));
    let after = query.cursor.map(|text| place(&text).ok_or(NO_CURSOR));
    let after = after.and_then(|after| check.take("cursor", after));
    match check.0 {
        Some(problem) => Err(problem),
        None => Ok(Filter {
            state,
            kind,
            currency,
            psp_account_id: query.psp_account_id,
            bank_account_id: query.bank_account_id,
            assignee: query.assignee,
            arose_until,
            snoozed: query.snoozed,
            after,
            limit: query.limit.and_one().into(),
        }),
    }
}

/// A break's place in the list.
fn place(cursor: &str) -> Option<(Date, BreakId)> {
    let (day, id) = cursor.split_once('_')?;
    Some((Date::parse(day, &Iso8601::DATE).ok()?, id.parse().ok()?))
}

/// A break, and everything that was done about it.
#[utoipa::path(
    get, path = "/v1/breaks/{break_id}", operation_id = "break", tag = "breaks",
    security(("api_key" = ["finance_read"])), params(("break_id" = BreakId, Path)),
    responses(
        (status = 200, description = "The break and what was done about it", body = BreakWithActs),
        (status = 404, description = "The merchant has no such break", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiPath(break_id): ApiPath<BreakId>,
) -> Result<Json<BreakWithActs>, Problem> {
    let found = break_::get(&state.reading, caller.merchant_id, break_id).await?;
    found.map(Json).ok_or_else(|| Refused::NotFound.into())
}

/// What a person does about a break.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakAct {
    /// `assign`, `comment`, `snooze`, `adjust` (moves its money and closes it), `accept` (closes it as it stands) or `reverse` (opens it
    /// again, and moves its money back).
    #[schema(example = "adjust")]
    act: String,
    /// Why, or what you have to say. Needed but for `assign` and `snooze`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500, example = "the PSP's monthly fee")]
    note: Option<String>,
    /// `assign`: to whom; nobody, where it is left out.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    assignee: Option<String>,
    /// `snooze`: the day until which nobody needs to look, within a year.
    #[serde(default)]
    #[schema(format = Date)]
    until: Option<String>,
    /// `adjust`: the account of the ledger that its money is moved to: `psp_fees`, `platform_fees`, `disputes`, `psp_receivable/ACCOUNT`,
    /// `payout_in_transit/ACCOUNT`, `seller_available/SELLER` or `seller_debt/SELLER`.
    #[serde(default)]
    #[schema(example = "psp_fees", max_length = 100)]
    account: Option<String>,
}

/// Does something about a break. Above the merchant's limit it is closed, or opened again, once a second person, with an API key of
/// another name, has said the same.
#[utoipa::path(
    post, path = "/v1/breaks/{break_id}/acts", operation_id = "act_on_break", tag = "breaks",
    security(("api_key" = ["finance_write"])),
    params(("break_id" = BreakId, Path),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "1 to 255 printable ASCII characters, a fresh one for each intended act")),
    request_body = BreakAct,
    responses(
        (status = 201, description = "It is done, or awaits a second person", body = BreakWithActs),
        (status = 404, description = "The merchant has no such break", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The break does not allow it as it stands, or the key is in flight", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key was used for another request", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn act(
    State(state): State<AppState>,
    caller: Auth<FinanceWrite>,
    key: IdempotencyKey,
    ApiPath(break_id): ApiPath<BreakId>,
    ApiJson(body): ApiJson<BreakAct>,
) -> Result<Response, Problem> {
    let endpoint = format!("POST /v1/breaks/{break_id}/acts");
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let what = format!("{} {}", body.act, said(&body.account));
    let (note, assignee, until) = (said(&body.note), said(&body.assignee), said(&body.until));
    let values =
        [endpoint.as_bytes(), what.as_bytes(), note.as_bytes(), assignee.as_bytes(), until.as_bytes()];
    let fingerprint = Fingerprint::of(PARTS, values);
    let act = check(body)?;
    let (merchant, by) = (caller.merchant_id, caller.api_key_id);
    let done = breaks::act(&state.pool, merchant, (&key, &fingerprint), break_id, &act, by).await?;
    let answer = match done? {
        Begun::Answered { status, body, replayed } => Answer::Final { status, body, replayed },
        Begun::OtherRequest(field) => Answer::OtherRequest(field),
        Begun::Fresh | Begun::InFlight => Answer::InFlight,
    };
    respond(&state, merchant, answer).await
}

fn check(body: BreakAct) -> Result<Act, Problem> {
    let mut check = Check(None);
    let is_said = |text: &str, longest: usize| {
        (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    let note = body.note.filter(|_| body.act != "assign");
    if note.as_deref().is_some_and(|note| !is_said(note, LONGEST_NOTE)) {
        check.refuse("note", format!("expected 1 to {LONGEST_NOTE} characters without line ends"));
    }
    let reason =
        |check: &mut Check| check.take("note", note.clone().ok_or("expected why, or what you have to say"));
    let act = match body.act.as_str() {
        "assign" => {
            if body.assignee.as_deref().is_some_and(|name| !is_said(name, LONGEST_ASSIGNEE)) {
                check.refuse(
                    "assignee",
                    format!("expected 1 to {LONGEST_ASSIGNEE} characters without line ends"),
                );
            }
            Some(Act::Assign(body.assignee))
        }
        "comment" => reason(&mut check).map(Act::Comment),
        "snooze" => {
            let until = body.until.as_deref().and_then(|day| Date::parse(day, &Iso8601::DATE).ok());
            check.take("until", until.ok_or(NO_DAY)).map(|until| Act::Snooze { until, note: note.clone() })
        }
        "adjust" => {
            let account = body.account.as_deref().unwrap_or_default();
            let to = check.take("account", account.parse::<break_::Target>());
            reason(&mut check).zip(to).map(|(reason, to)| Act::Adjust { to, reason })
        }
        "accept" => reason(&mut check).map(|reason| Act::Accept { reason }),
        "reverse" => reason(&mut check).map(|reason| Act::Reverse { reason }),
        _ => {
            check.refuse("act", "expected assign, comment, snooze, adjust, accept or reverse");
            None
        }
    };
    match (check.0, act) {
        (None, Some(act)) => Ok(act),
        (problem, _) => Err(problem.unwrap_or_else(|| Problem::new(Code::ValidationFailed))),
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let words = refused.to_string();
        match refused {
            Refused::NotFound => Self::new(Code::NotFound).detail(words),
            Refused::Closed(_) | Refused::Open | Refused::ClosedItself | Refused::HoldsNothing => {
                Self::new(Code::BreakStateConflict).detail(words)
            }
            Refused::SameAccount | Refused::BelowFloor | Refused::NoSuchAccount => {
                Self::invalid("account", words)
            }
            Refused::NoSuchDay => Self::invalid("until", words),
        }
    }
}

impl From<breaks::Error> for Problem {
    fn from(error: breaks::Error) -> Self {
        match error {
            breaks::Error::Database(error) => error.into(),
            breaks::Error::Break(error) => error.into(),
        }
    }
}

impl From<break_::Error> for Problem {
    fn from(error: break_::Error) -> Self {
        match error {
            break_::Error::Database(error) => error.into(),
            other => Self::internal(other),
        }
    }
}
