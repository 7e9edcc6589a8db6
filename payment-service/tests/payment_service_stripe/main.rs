//! The Stripe connector against a PSP that misbehaves on the wire.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail as tests do")]

mod charge;
mod closing;
mod looking_up;
mod page;
mod payouts;
mod server;
mod wire;

use std::time::Duration;

use money::{Currency, MerchantId, Money, OperationId, OrderId};
use payment_service::psp::{
    Account, Action, Aim, AttemptOutcome, CaptureMethod, Connectors, Errand, Exchange, Expected, Idempotency,
    Inquiry, Method, Outcome, Psp, PspReference, Settings, Why,
};
use serde_json::{Value, json};
use server::ScriptedPsp;
use tokio::time::Instant;

const SECRET: &str = "sk_test_lab_4eC39HqLyjWDarjtT1zdp7dc";
const CREATE: &str = "POST /v1/payment_intents";
const CANCEL: &str = "POST /v1/payment_intents/pi_1/cancel";
const SEARCH: &str = "GET /v1/payment_intents/search";
const RETRIEVE: &str = "GET /v1/payment_intents/pi_1";

/// Impatient, so that tests are quick.
fn settings() -> Settings {
    Settings {
        try_timeout: Duration::from_secs(5),
        shortest_try: Duration::ZERO,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(4),
        ..Settings::default()
    }
}

fn account(base_url: &str) -> Account {
    Account {
        psp: Psp::Stripe,
        base_url: base_url.to_owned(),
        api_secret: SECRET.into(),
        webhook_secrets: vec!["whsec_lab".into()],
        idempotency: Idempotency::Native,
    }
}

fn operation_id() -> OperationId {
    OperationId::derive(MerchantId::from_uuid(uuid::Uuid::from_u128(7)), &["o-1", "1", "authorize"])
}

fn amount() -> Money {
    Money::new(1099, Currency::EUR)
}

/// One order of 10.99 EUR, for one call or another.
struct Shop {
    connectors: Connectors,
    account: Account,
    order_id: OrderId,
    method: Method,
    patience: Duration,
    resent: bool,
}

impl Shop {
    fn at(base_url: &str) -> Self {
        Self {
            connectors: Connectors::new(settings()).unwrap(),
            account: account(base_url),
            order_id: "o-1".parse().unwrap(),
            method: Method::Token { token: "pm_card_visa".to_owned(), return_url: None },
            patience: Duration::from_secs(10),
            resent: false,
        }
    }

    fn of(psp: &ScriptedPsp) -> Self {
        Self::at(&psp.base_url)
    }

    /// With three resends and no more, rather than as many as fit before a deadline.
    fn hasty(self) -> Self {
        self.with(Settings {
            resend_burst: 3,
            resends_per_second: 0,
            resends_per_hundred_calls: 0,
            ..settings()
        })
    }

    fn with(self, settings: Settings) -> Self {
        Self { connectors: Connectors::new(settings).unwrap(), ..self }
    }

    fn errand(&self) -> Errand {
        Errand { expected: expected(), order_id: self.order_id.clone(), method: Some(self.method.clone()) }
    }

    async fn authorize(&self) -> Exchange {
        let until = Instant::now() + self.patience;
        self.connectors.send(&self.account, &self.errand(), self.resent, until).await
    }

    async fn inquire(&self, reference: Option<&PspReference>) -> Exchange {
        let until = Instant::now() + self.patience;
        let inquiry = Inquiry { expected: &expected(), reference };
        self.connectors.inquire(&self.account, &inquiry, until).await
    }

    async fn cancel(&self, reference: Option<&PspReference>) -> Exchange {
        let until = Instant::now() + self.patience;
        let inquiry = Inquiry { expected: &expected(), reference };
        self.connectors.cancel(&self.account, &inquiry, until).await
    }
}

fn expected() -> Expected {
    Expected {
        operation_id: operation_id(),
        amount: amount(),
        aim: Aim::Authorize { capture: CaptureMethod::Automatic },
    }
}

fn pi_1() -> PspReference {
    PspReference::parse("pi_1").unwrap()
}

/// Our order's object in this state.
fn intent(status: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 1099, "currency": "eur", "status": status,
        "latest_charge": if status == "succeeded" { json!("ch_1") } else { Value::Null },
        "metadata": {"payonce_operation": operation_id().to_string(), "order_id": "o-1"},
    })
}

fn error(kind: &str, code: &str, intent: Option<Value>) -> Value {
    let mut error = json!({"type": kind, "code": code, "message": "The lab says no."});
    if let Some(intent) = intent {
        error["payment_intent"] = intent;
    }
    json!({"error": error})
}

fn declined() -> Value {
    let mut body = error("card_error", "card_declined", Some(intent("requires_payment_method")));
    body["error"]["decline_code"] = json!("insufficient_funds");
    body
}

fn found(intents: &[Value]) -> Value {
    json!({"object": "search_result", "data": intents, "has_more": false, "url": "/v1/payment_intents/search"})
}

#[track_caller]
fn assert_charged(exchange: &Exchange) {
    match &exchange.outcome {
        Outcome::Succeeded(charge) => {
            assert_eq!((&charge.reference, charge.movement.as_deref()), (&pi_1(), Some("ch_1")));
            assert_eq!((charge.amount, charge.captured), (amount(), true));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_unknown(exchange: &Exchange, reference: Option<&str>, why: &Why) {
    match &exchange.outcome {
        Outcome::Unknown { reference: found, why: because } => {
            assert_eq!((found.as_ref().map(PspReference::as_str), because), (reference, why));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_declined(exchange: &Exchange, code: &str, decline_code: Option<&str>) {
    match &exchange.outcome {
        Outcome::Declined { decline, .. } => {
            assert_eq!((decline.code, decline.decline_code.as_deref()), (code, decline_code));
        }
        other => panic!("{other:?}"),
    }
}

/// The not-sent code.
#[track_caller]
fn not_sent(exchange: &Exchange) -> &'static str {
    match &exchange.outcome {
        Outcome::NotSent { code, .. } => code.as_str(),
        other => panic!("{other:?}"),
    }
}

fn steps(exchange: &Exchange) -> Vec<(Action, AttemptOutcome)> {
    exchange.attempts.iter().map(|attempt| (attempt.action, attempt.outcome)).collect()
}
