//! What one answer of Stripe's means. Decided once, for every request, by status and error code alone.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::object::{
    CheckoutSession, ErrorBody, ErrorKind, ErrorObject, PaymentIntent, Payout, PayoutList, Refund,
    RefundList, SearchResult,
};
use crate::psp::redact::clean;
use crate::psp::transport::{BodyLost, NoResponse, Response};
use crate::psp::{Aim, Decline, Evidence, Expected, Judgement, PspReference, Why};

/// The longest detail of an attempt, in characters.
const LONGEST_DETAIL: usize = 2000;

/// What one answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// What was asked for.
    Given(T),
    /// The means of payment was declined; the object that was made for it may be open.
    Declined { decline: Decline, object: Option<Judgement> },
    /// The request was refused and nothing executed; the object that it cannot be done to may be shown.
    Rejected { decline: Decline, object: Option<Judgement> },
    /// As rejected: there is no such thing.
    Missing(Decline),
    /// The credentials were refused, before anything else was looked at.
    Unauthorised(String),
    /// The key was used with other parameters.
    KeyConflict,
    /// Another request with the key is executing.
    InFlight,
    /// Turned away before execution.
    Throttled(String),
    /// No connection came about.
    Unreached(String),
    /// May have been executed.
    Doubtful(Why),
    /// May have been executed, and asking again with the same key only repeats the answer.
    Stuck(Why),
    /// The deadline had come: not a byte was sent.
    Overdue,
}

/// An answer with what goes with it.
#[derive(Debug)]
pub(super) struct Reading<T> {
    pub(super) answer: Answer<T>,
    pub(super) http_status: Option<u16>,
    pub(super) request_id: Option<String>,
    pub(super) reference: Option<PspReference>,
    pub(super) detail: Option<String>,
    /// Whether this is the saved answer of an earlier try.
    pub(super) replayed: bool,
    /// What Stripe says about resending, where it does.
    pub(super) should_resend: Option<bool>,
    /// The pause that it asks for.
    pub(super) pause: Option<Duration>,
}

/// A page of payouts.
#[derive(Debug)]
pub(super) struct PayoutPage {
    /// What becomes of those that name the operation.
    pub(super) found: Vec<Judgement>,
    /// The last one of a page that another follows.
    pub(super) goes_on_after: Option<PspReference>,
}

/// Whose answer is read: the operation it is about, and the secret that must not stay in it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) expected: &'a Expected,
    pub(super) secret: &'a str,
}

impl Reader<'_> {
    /// The answer to a request for the object that the operation is about.
    pub(super) fn expected_object(&self, result: Result<Response, NoResponse>) -> Reading<Judgement> {
        match self.expected.aim {
            Aim::Refund { .. } => self.refund(result),
            Aim::Payout { .. } => self.payout(result),
            Aim::Authorize { .. } | Aim::Capture { .. } | Aim::Void { .. } => self.object(result),
        }
    }

    /// The answer to a request for one object.
    pub(super) fn object(&self, result: Result<Response, NoResponse>) -> Reading<Judgement> {
        self.read(result, |reader, body, reference| {
            let evidence = reader.evidence(body)?;
            *reference = Some(evidence.reference.clone());
            Some(evidence.judge(reader.expected))
        })
    }

    /// The answer to a request for a refund.
    pub(super) fn refund(&self, result: Result<Response, NoResponse>) -> Reading<Judgement> {
        self.read(result, |reader, body, reference| {
            let evidence = serde_json::from_slice::<Refund<'_>>(body).ok()?.evidence(reader.secret)?;
            *reference = Some(evidence.reference.clone());
            Some(evidence.judge(reader.expected))
        })
    }

    /// The answer to a request for a payout.
    pub(super) fn payout(&self, result: Result<Response, NoResponse>) -> Reading<Judgement> {
        self.read(result, |reader, body, reference| {
            let evidence = serde_json::from_slice::<Payout<'_>>(body).ok()?.evidence(reader.secret)?;
            *reference = Some(evidence.reference.clone());
            Some(evidence.judge(reader.expected))
        })
    }

    /// The answer to a request for a page of payouts: what becomes of those that name the operation, and where the next
    /// page begins.
    pub(super) fn payouts(&self, result: Result<Response, NoResponse>) -> Reading<PayoutPage> {
        self.read(result, |reader, body, reference| {
            let listed: PayoutList<'_> = serde_json::from_slice(body).ok()?;
            let ours = listed
                .data
                .iter()
                .filter(|payout| payout.operation_id() == Some(reader.expected.operation_id))
                .filter_map(|payout| payout.evidence(reader.secret));
            let ours: Vec<_> = ours.collect();
            *reference = ours.first().map(|payout| payout.reference.clone());
            let last = listed.data.last().filter(|_| listed.has_more);
            Some(PayoutPage {
                found: ours.iter().map(|payout| payout.judge(reader.expected)).collect(),
                goes_on_after: last.and_then(|payout| PspReference::parse(&payout.id).ok()),
            })
        })
    }

    /// The answer to a request for the refunds of a payment: what becomes of those that name the operation.
    pub(super) fn refunds(&self, result: Result<Response, NoResponse>) -> Reading<Vec<Judgement>> {
        self.read(result, |reader, body, reference| {
            let listed: RefundList<'_> = serde_json::from_slice(body).ok()?;
            let found = listed.data.iter().filter_map(|refund| refund.evidence(reader.secret));
            let ours = found.filter(|refund| refund.operation_id == Some(reader.expected.operation_id));
            let ours: Vec<_> = ours.collect();
            *reference = ours.first().map(|refund| refund.reference.clone());
            Some(ours.iter().map(|refund| refund.judge(reader.expected)).collect())
        })
    }

    /// The answer to a search.
    pub(super) fn list(&self, result: Result<Response, NoResponse>) -> Reading<Vec<PspReference>> {
        self.read(result, |reader, body, _| {
            let found: SearchResult<'_> = serde_json::from_slice(body).ok()?;
            Some(found.found(reader.expected.operation_id))
        })
    }

    fn evidence(&self, body: &[u8]) -> Option<Evidence> {
        match serde_json::from_slice::<PaymentIntent<'_>>(body) {
            Ok(intent) => intent.evidence(self.secret),
            Err(_) => serde_json::from_slice::<CheckoutSession<'_>>(body).ok()?.evidence(self.secret),
        }
    }

    fn read<T>(
        &self,
        result: Result<Response, NoResponse>,
        given: impl FnOnce(&Self, &[u8], &mut Option<PspReference>) -> Option<T>,
    ) -> Reading<T> {
        let response = match result {
            Ok(response) => response,
            Err(none) => return self.without_response(none),
        };
        let mut reference = None;
        let (answer, detail) = match &response.body {
            Ok(body) if response.status.is_success() => match given(self, body, &mut reference) {
                Some(given) => (Answer::Given(given), None),
                None => {
                    (Answer::Doubtful(Why::Unreadable), Some("not the object that was asked for".to_owned()))
                }
            },
            Ok(body) => self.refusal(&response, body, &mut reference),
            Err(lost) => (without_body(&response), Some(lost_in_words(lost))),
        };
        Reading {
            answer,
            http_status: Some(response.status.as_u16()),
            request_id: request_id(&response.headers),
            reference,
            detail: detail.map(|detail| clean(&detail, self.secret, LONGEST_DETAIL)),
            replayed: replayed(&response.headers),
            should_resend: should_resend(&response.headers),
            pause: pause(&response.headers),
        }
    }

    /// An answer with a body that does not give what was asked for.
    fn refusal<T>(
        &self,
        response: &Response,
        body: &[u8],
        reference: &mut Option<PspReference>,
    ) -> (Answer<T>, Option<String>) {
        let Ok(ErrorBody { error }) = serde_json::from_slice::<ErrorBody<'_>>(body) else {
            return (without_body(response), Some("not an error of this PSP".to_owned()));
        };
        // of a refund or payout, a payment that is shown says nothing
        let is_of_payment = !matches!(self.expected.aim, Aim::Refund { .. } | Aim::Payout { .. });
        let shown = error.payment_intent.as_ref().filter(|_| is_of_payment);
        let evidence = shown.and_then(|intent| intent.evidence(self.secret));
        *reference = evidence.as_ref().map(|evidence| evidence.reference.clone());
        let object = evidence.map(|evidence| evidence.judge(self.expected));
        (self.of_error(response, &error, object), Some(error.in_words()))
    }

    fn of_error<T>(
        &self,
        response: &Response,
        error: &ErrorObject<'_>,
        object: Option<Judgement>,
    ) -> Answer<T> {
        if !response.status.is_client_error() {
            return without_body(response);
        }
        match (response.status.as_u16(), error.kind, error.code.as_deref()) {
            // they come before the key is looked at, whatever else is in them
            (401 | 403 | 408 | 424 | 429, ..) => without_body(response),
            (_, _, Some("idempotency_key_in_use")) => Answer::InFlight,
            (_, ErrorKind::Idempotency, _) => Answer::KeyConflict,
            (_, _, Some("lock_timeout")) => Answer::Throttled(error.in_words()),
            (409, ..) => Answer::InFlight,
            (_, ErrorKind::Api, _) => Answer::Doubtful(Why::ServerError),
            (402, ..) => Answer::Declined { decline: error.decline(self.secret), object },
            (404, ..) => Answer::Missing(error.rejection(self.secret)),
            (_, ErrorKind::Card, _) => Answer::Declined { decline: error.decline(self.secret), object },
            (_, ErrorKind::InvalidRequest, _) => {
                Answer::Rejected { decline: error.rejection(self.secret), object }
            }
        }
    }

    fn without_response<T>(&self, none: NoResponse) -> Reading<T> {
        let (answer, detail) = match none {
            NoResponse::Unreached(words) => (Answer::Unreached(clean(&words, self.secret, 200)), words),
            NoResponse::Lost(words) => (Answer::Doubtful(Why::NoAnswer), words),
            NoResponse::Late => (Answer::Doubtful(Why::NoAnswer), "no answer in time".to_owned()),
        };
        Reading {
            answer,
            http_status: None,
            request_id: None,
            reference: None,
            detail: Some(clean(&detail, self.secret, LONGEST_DETAIL)),
            replayed: false,
            should_resend: None,
            pause: None,
        }
    }
}

/// What the status alone says, for an answer that gives nothing more.
fn without_body<T>(response: &Response) -> Answer<T> {
    let status = response.status;
    match status.as_u16() {
        401 | 403 => {
            Answer::Unauthorised(format!("the PSP answered {} to the account's key", status.as_u16()))
        }
        409 => Answer::InFlight,
        429 => Answer::Throttled("the PSP is throttling this account".to_owned()),
        408 | 424 => Answer::Doubtful(Why::ServerError),
        _ if status.is_server_error() && replayed(&response.headers) => Answer::Stuck(Why::ServerError),
        _ if status.is_server_error() => Answer::Doubtful(Why::ServerError),
        _ if status.is_redirection() || response.body == Err(BodyLost::TooLarge) => {
            Answer::Stuck(Why::Unreadable)
        }
        _ if response.body.is_err() => Answer::Doubtful(Why::NoAnswer),
        _ => Answer::Doubtful(Why::Unreadable),
    }
}

fn lost_in_words(lost: &BodyLost) -> String {
    match lost {
        BodyLost::TooLarge => "the answer is longer than any answer of this PSP".to_owned(),
        BodyLost::BrokenOff(words) => format!("the answer broke off: {words}"),
        BodyLost::Late => "the answer did not end in time".to_owned(),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn replayed(headers: &HeaderMap) -> bool {
    text(headers, "idempotent-replayed") == Some("true")
}

fn should_resend(headers: &HeaderMap) -> Option<bool> {
    match text(headers, "stripe-should-retry") {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = text(headers, "request-id")?;
    (!id.is_empty() && id.len() <= 255).then(|| id.to_owned())
}

/// `Retry-After`, in seconds or as a date.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Duration::try_from(date - OffsetDateTime::now_utc()).ok()
}

#[cfg(test)]
mod tests;
