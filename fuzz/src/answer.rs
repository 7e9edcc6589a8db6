//! The PSP's answers.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use money::{Currency, Money, OperationId};
use payment_service::http::card_number::found_in;
use payment_service::psp::{
    Aim, AttemptOutcome, CaptureMethod, Expected, NotSentCode, Outcome, PspReference, Why, read_answer,
};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::choose;
use crate::webhook::{account, payout};

const STATUSES: [u16; 16] = [200, 201, 202, 302, 400, 401, 402, 403, 404, 408, 409, 424, 429, 500, 502, 503];

/// The first byte is a status, the second what it is the answer to and its headers, the rest the body.
pub(crate) fn run(data: &[u8]) {
    let (status, data) = choose(&STATUSES, data);
    let ((aim, headers), body) = choose(&ALL_WAYS, data);
    let expected = Expected {
        operation_id: OperationId::from_uuid(Uuid::from_u128(7)),
        amount: Money::new(1099, Currency::EUR),
        aim: aim_of(aim),
    };
    let (account, status) = (account(), StatusCode::from_u16(status).unwrap());
    for resent in [false, true] {
        let read = read_answer(&account, &expected, resent, status, headers_of(headers), body.to_vec());
        let detail = read.detail.clone().unwrap_or_default();
        assert!(!detail.contains(account.api_secret.expose_secret()) && !found_in(&detail), "{detail:?}");
        assert!(detail.chars().count() <= 2000);
        let is_error = status.is_server_error();
        let Some(outcome) = read.outcome else { continue };
        match &outcome {
            Outcome::Succeeded(success) => {
                assert!(!is_error, "{status} was taken for {outcome:?}");
                assert_eq!(success.amount, expected.amount);
            }
            Outcome::Declined { .. } => assert!(!is_error, "{status} was taken for {outcome:?}"),
            Outcome::NotSent { code, .. } => {
                assert!(!resent, "what may have been sent before was not sent: {outcome:?}");
                assert!(matches!(code, NotSentCode::Busy | NotSentCode::RefusedCredentials));
                assert_eq!(read.shown, AttemptOutcome::NotSent);
            }
            Outcome::RequiresAction { .. } => assert!(status.is_success() || status.is_client_error()),
            Outcome::Unknown { why, .. } => assert!(*why != Why::NoAnswer, "there was an answer"),
        }
        if is_error {
            assert_eq!(read.shown, AttemptOutcome::Unknown, "{status}");
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Charge,
    Hold,
    Capture,
    Void,
    Refund,
    Payout,
}

/// Headers that an answer has: whether it is a saved one, and whether to try again.
#[derive(Clone, Copy)]
enum Headers {
    None,
    Saved,
    TryAgain,
    Stop,
}

/// Those of payouts are the last, so that what was kept before there were any means what it meant.
const ALL_WAYS: [(Kind, Headers); 24] = {
    let kinds = [Kind::Charge, Kind::Hold, Kind::Capture, Kind::Void, Kind::Refund];
    let headers = [Headers::None, Headers::Saved, Headers::TryAgain, Headers::Stop];
    let mut all = [(Kind::Payout, Headers::None); 24];
    let mut at = 0;
    while at < kinds.len() * headers.len() {
        all[at] = (kinds[at % kinds.len()], headers[at / kinds.len()]);
        at += 1;
    }
    while at < all.len() {
        all[at] = (Kind::Payout, headers[at - kinds.len() * headers.len()]);
        at += 1;
    }
    all
};

fn aim_of(kind: Kind) -> Aim {
    let of = PspReference::parse("pi_1").unwrap();
    match kind {
        Kind::Charge => Aim::Authorize { capture: CaptureMethod::Automatic },
        Kind::Hold => Aim::Authorize { capture: CaptureMethod::Manual },
        Kind::Capture => Aim::Capture { of, captured_before: 0, last: true },
        Kind::Void => Aim::Void { of, captured_before: 0 },
        Kind::Refund => Aim::Refund { of },
        Kind::Payout => payout(),
    }
}

fn headers_of(headers: Headers) -> HeaderMap {
    let header = match headers {
        Headers::None => return HeaderMap::new(),
        Headers::Saved => ("idempotent-replayed", "true"),
        Headers::TryAgain => ("stripe-should-retry", "true"),
        Headers::Stop => ("stripe-should-retry", "false"),
    };
    [header]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}
