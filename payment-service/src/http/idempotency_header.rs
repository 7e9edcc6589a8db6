//! The `Idempotency-Key` header.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::error::{Code, Problem};
use crate::idempotency::IdempotencyKey;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Reads the header's value: `"a"` (a string of RFC 8941, as the header's specification has it) and a bare `a` are the
/// same key.
fn parse(value: &str) -> Result<IdempotencyKey, Problem> {
    let value = value.trim_matches([' ', '\t']);
    let key = match value.strip_prefix('"') {
        Some(rest) => unquote(rest)?,
        None => value.to_owned(),
    };
    IdempotencyKey::try_from(key).map_err(|error| invalid(error.to_string()))
}

/// Reads the only such header.
fn from_headers(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Err(Problem::new(Code::IdempotencyKeyMissing).detail(
            "send an Idempotency-Key header with a fresh key for each intended mutation, and the same key when repeating it",
        ));
    };
    if values.next().is_some() {
        return Err(invalid("expected one Idempotency-Key header, found several"));
    }
    let text = value.to_str().map_err(|_| invalid("expected printable ASCII characters"))?;
    parse(text)
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        from_headers(&parts.headers)
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::IdempotencyKeyInvalid).detail(detail)
}

/// The content of a quoted string whose opening quote is gone.
fn unquote(rest: &str) -> Result<String, Problem> {
    let mut key = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next() {
            Some('"') if characters.as_str().is_empty() => return Ok(key),
            Some('"') => return Err(invalid("expected nothing after the closing quote")),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(invalid(r#"expected \" or \\ after a backslash in a quoted key"#)),
            },
            Some(character) => key.push(character),
            None => return Err(invalid("expected a closing quote")),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_may_be_quoted_or_bare() {
        let longest = "k".repeat(255);
        for (value, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (" o-1 / try ", "o-1 / try"),
            (r#"a"b"#, r#"a"b"#),
            (longest.as_str(), longest.as_str()),
        ] {
            assert_eq!(parse(value).unwrap().as_str(), key);
        }
    }

    #[test]
    fn a_broken_key_is_refused_and_told_why() {
        for (value, reason) in [
            ("", "expected 1 to 255 characters, found 0"),
            ("\"\"", "expected 1 to 255 characters, found 0"),
            (&"k".repeat(256), "expected 1 to 255 characters, found 256"),
            ("\"abc", "expected a closing quote"),
            ("\"abc\";a=1", "expected nothing after the closing quote"),
            (r#""a\n""#, r#"expected \" or \\ after a backslash in a quoted key"#),
            ("a\tb", "expected printable ASCII characters"),
            ("ä", "expected printable ASCII characters"),
        ] {
            let problem = parse(value).unwrap_err();
            assert_eq!(problem.code(), Code::IdempotencyKeyInvalid);
            assert!(
                problem.render(None).contains(&reason.replace('\\', r"\\").replace('"', r#"\""#)),
                "{value:?}"
            );
        }
    }

    #[test]
    fn no_header_and_two_headers_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(from_headers(&headers).unwrap_err().code(), Code::IdempotencyKeyMissing);
        headers.append(HEADER, HeaderValue::from_static("a"));
        assert_eq!(from_headers(&headers).unwrap().as_str(), "a");
        headers.append(HEADER, HeaderValue::from_static("a"));
        assert_eq!(from_headers(&headers).unwrap_err().code(), Code::IdempotencyKeyInvalid);
    }
}
