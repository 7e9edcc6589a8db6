//! What handlers take from a request: read within bounds, looked through for card numbers, and refused with a problem.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::TryStreamExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::card_number::{find_in_json, found_in, found_in_encoded};
use super::error::{Code, Problem};
use super::idempotency_header;

/// The largest body of an API request, in bytes.
pub const API_BODY_LIMIT: usize = 64 * 1024;

/// The largest body of a webhook, in bytes.
pub const WEBHOOK_BODY_LIMIT: usize = 1024 * 1024;

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(15);

/// How much of a deserialiser's message is passed on, in characters.
const LONGEST_MESSAGE: usize = 300;

/// What is wrong with a field that is there more than once.
const SEVERAL: &str = "expected one value, found several";

/// Refuses what looks like a card number in the path, the query or the idempotency key, before anything else sees it.
pub async fn refuse_card_numbers(request: Request, next: Next) -> Response {
    match card_number_outside_of_the_body(&request) {
        Some(field) => card_number_refused(field).into_response(),
        None => next.run(request).await,
    }
}

fn card_number_outside_of_the_body(request: &Request) -> Option<&'static str> {
    let uri = request.uri();
    if found_in_encoded(uri.path()) {
        return Some("path");
    }
    if uri.query().is_some_and(found_in_encoded) {
        return Some("query");
    }
    let mut keys = request.headers().get_all(idempotency_header::HEADER).iter();
    keys.any(|value| found_in(&String::from_utf8_lossy(value.as_bytes()))).then_some("Idempotency-Key")
}

/// The refusal of something that looks like a card number. It does not repeat it.
pub fn card_number_refused(field: impl Into<String>) -> Problem {
    Problem::new(Code::CardNumberRefused)
        .detail("something here looks like a card number; card data goes to the PSP alone, whose token is sent here")
        .field(field, "expected no card number")
}

/// A JSON body of at most [`API_BODY_LIMIT`]. `T` refuses fields that it does not know by
/// `#[serde(deny_unknown_fields)]`.
#[derive(Debug, Clone, Copy)]
pub struct ApiJson<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(
                Problem::new(Code::UnsupportedMediaType).detail("expected Content-Type: application/json")
            );
        }
        let bytes = read_body(request, API_BODY_LIMIT).await?;
        parse_json(&bytes).map(Self)
    }
}

/// A JSON body like [`ApiJson`], of which every field may be left out: no body at all is an empty object.
#[derive(Debug, Clone, Copy)]
pub struct OptionalJson<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.headers().contains_key(header::CONTENT_TYPE) {
            return ApiJson::from_request(request, state).await.map(|ApiJson(body)| Self(body));
        }
        match read_body(request, API_BODY_LIMIT).await?.as_slice() {
            [] => parse_json(b"{}").map(Self),
            _ => {
                Err(Problem::new(Code::UnsupportedMediaType)
                    .detail("expected Content-Type: application/json"))
            }
        }
    }
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// [`Code::BodyTooLarge`], before reading it where it says its length; [`Code::BodyTooSlow`];
/// [`Code::MalformedRequest`] when it breaks off.
pub async fn read_body(request: Request, limit: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge).detail(format!("expected at most {limit} bytes"));
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|declared: usize| declared > limit) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_PATIENCE, collect(request.into_body(), limit)).await;
    match read {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(error)) => {
            Err(Problem::new(Code::MalformedRequest).detail("the body broke off").caused_by(error))
        }
        Err(_) => Err(Problem::new(Code::BodyTooSlow)),
    }
}

/// `None` when there is more than `limit`. Memory is taken for what has come, not for what is said to come.
async fn collect(body: Body, limit: usize) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.try_next().await? {
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text =
        str::from_utf8(bytes).map_err(|_| Problem::new(Code::MalformedJson).detail("expected UTF-8"))?;
    if let Some(field) = find_in_json(text) {
        return Err(card_number_refused(field));
    }
    // A list would be taken for the fields in their order.
    if !text.trim_start().starts_with('{') {
        let parsed = serde_json::from_str::<IgnoredAny>(text).map_err(|error| json_problem("", &error));
        return Err(parsed.err().unwrap_or_else(|| Problem::invalid("body", "expected an object")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| json_problem(&error.path().to_string(), error.inner()))?;
    deserializer.end().map_err(|error| json_problem("", &error))?;
    Ok(value)
}

fn json_problem(path: &str, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Data => {
            let (field, expected) = field_and_expectation(path, error);
            Problem::invalid(field, expected)
        }
        Category::Syntax | Category::Eof | Category::Io => {
            let place = format!("line {}, column {}", error.line(), error.column());
            Problem::new(Code::MalformedJson)
                .detail(format!("expected JSON; it breaks off or goes wrong at {place}"))
        }
    }
}

/// Which field an error is about: a missing one is not yet in the path of the deserialiser.
fn field_and_expectation(path: &str, error: &serde_json::Error) -> (String, String) {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message: String =
        message.strip_suffix(&place).unwrap_or(&message).chars().take(LONGEST_MESSAGE).collect();
    // a client does not know what an i64 is
    let message = match message.strip_suffix("expected i64") {
        Some(found) => format!("{found}expected a whole number"),
        None => message,
    };
    // Where a field is missing or repeated, the deserialiser stands before the whole object.
    let named = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('`'));
    let within =
        |field: &str| if matches!(path, "" | ".") { field.to_owned() } else { format!("{path}.{field}") };
    match (named("missing field `"), named("duplicate field `"), path) {
        (Some(field), _, _) => (within(field), "expected a value, found none".to_owned()),
        (_, Some(field), _) => (within(field), SEVERAL.to_owned()),
        (None, None, "" | ".") => ("body".to_owned(), message),
        (None, None, path) => (path.to_owned(), message),
    }
}

/// The parameter of the path: each route has one at most. It is refused with its name and what `T` expects.
#[derive(Debug, Clone, Copy)]
pub struct ApiPath<T>(pub T);

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |parts: &Parts, expected: String| Problem::invalid(path_parameter(parts), expected);
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => {
                text.parse().map(Self).map_err(|error: T::Err| refused(parts, error.to_string()))
            }
            Err(error) if error.status().is_server_error() => Err(Problem::internal(error)),
            Err(_) => Err(refused(parts, "expected percent-encoded UTF-8".to_owned())),
        }
    }
}

/// What the route calls its parameter.
fn path_parameter(parts: &Parts) -> String {
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let name = route.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    name.map_or("path", |(name, _)| name).to_owned()
}

/// The parameters of the query, each of them a text. `T` refuses those that it does not know by
/// `#[serde(deny_unknown_fields)]`.
#[derive(Debug, Clone, Copy)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut given = Map::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if given.contains_key(&*name) {
                let name: String = name.chars().take(LONGEST_MESSAGE).collect();
                return Err(Problem::invalid(name, SEVERAL));
            }
            given.insert(name.into_owned(), Value::String(value.into_owned()));
        }
        serde_path_to_error::deserialize(Value::Object(given)).map(Self).map_err(|error| {
            let (field, expected) = field_and_expectation(&error.path().to_string(), error.inner());
            Problem::invalid(field, expected)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[allow(dead_code, reason = "only its reading is tested")]
        amount: i64,
        #[serde(default)]
        #[allow(dead_code, reason = "only its reading is tested")]
        splits: Vec<Split>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Split {
        #[allow(dead_code, reason = "only its reading is tested")]
        seller_id: money::SellerId,
    }

    fn refusal(body: &str) -> serde_json::Value {
        let problem = parse_json::<Order>(body.as_bytes()).unwrap_err();
        serde_json::from_str(&problem.render(None)).unwrap()
    }

    #[test]
    fn a_body_that_does_not_fit_is_told_the_field_and_what_was_expected() {
        for (body, field, detail) in [
            (r#"{"amount":"x"}"#, "amount", "invalid type: string \"x\", expected a whole number"),
            (r#"{"amount":1.5}"#, "amount", "invalid type: floating point `1.5`, expected a whole number"),
            (r#"{}"#, "amount", "expected a value, found none"),
            (r#"{"amount":1,"splits":[{}]}"#, "splits[0].seller_id", "expected a value, found none"),
            (r#"{"amount":1,"x":2}"#, "x", "unknown field `x`, expected `amount` or `splits`"),
            (r#"{"amount":1,"amount":2}"#, "amount", "expected one value, found several"),
            (
                r#"{"amount":1,"splits":[{"seller_id":"a/b"}]}"#,
                "splits[0].seller_id",
                "expected only letters, digits and -_.:, found '/'",
            ),
            ("[1,[]]", "body", "expected an object"),
            ("null", "body", "expected an object"),
        ] {
            let document = refusal(body);
            assert_eq!(document["code"], "validation_failed", "{body}");
            assert_eq!(document["errors"][0]["field"], field, "{body}");
            assert_eq!(document["errors"][0]["detail"], detail, "{body}");
        }
    }

    #[tokio::test]
    async fn memory_is_taken_for_what_has_come_and_not_for_what_is_said_to_come() {
        let request = Request::post("/").header(header::CONTENT_LENGTH, "1000000").body(Body::from("short"));
        let bytes = read_body(request.unwrap(), WEBHOOK_BODY_LIMIT).await.unwrap();
        assert_eq!(bytes, b"short");
        assert!(bytes.capacity() < 1000, "{}", bytes.capacity());
    }

    #[test]
    fn a_body_that_is_no_json_is_told_where() {
        for body in ["", "{", "{\"amount\":1}}", "amount=1"] {
            let document = refusal(body);
            assert_eq!(document["code"], "malformed_json", "{body}");
            assert!(document["detail"].as_str().unwrap().contains("line 1"), "{body}");
        }
    }

    #[test]
    fn a_card_number_is_refused_before_anything_is_said_about_it() {
        let document = refusal(r#"{"amount":"4242 4242 4242 4242"}"#);
        assert_eq!(document["code"], "card_number_refused");
        assert_eq!(document["errors"][0]["field"], "amount");
        assert!(!document.to_string().contains("4242"));
    }
}
