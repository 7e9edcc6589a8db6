//! Stripe's JSON, as much of it as we read, and what it says.

use std::borrow::Cow;

use money::OperationId;
use serde::Deserialize;
use time::OffsetDateTime;

use super::amount::from_wire;
use super::request::is_page;
use crate::dispute::{DisputeEvent, Word};
use crate::psp::redact::clean;
use crate::psp::{
    Decline, DisputeEvidence, Evidence, PayoutEvidence, PayoutState, PspReference, RefundEvidence,
    RefundState, State, decline,
};

/// The longest message of Stripe's that is kept, in characters.
const LONGEST_MESSAGE: usize = 500;
/// The longest address that a buyer is sent to.
const LONGEST_ADDRESS: usize = 2048;

#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
    amount: i64,
    amount_received: Option<i64>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    status: Status,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    latest_charge: Option<NameOrObject>,
    next_action: Option<NextAction>,
    #[serde(borrow)]
    last_payment_error: Option<ErrorObject<'a>>,
}

/// A status that is not listed makes the answer unreadable: what it means is not ours to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
}

#[derive(Debug, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    payonce_operation: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refund<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
    amount: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    status: RefundStatus,
    payment_intent: Option<NameOrObject>,
    failure_reason: Option<String>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RefundStatus {
    Pending,
    RequiresAction,
    Succeeded,
    Failed,
    Canceled,
}

#[derive(Debug, Deserialize)]
pub(super) struct Payout<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
    amount: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    status: PayoutStatus,
    destination: Option<NameOrObject>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PayoutStatus {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
}

/// What tells a payout of ours from those that the PSP makes by itself.
#[derive(Debug, Deserialize)]
pub(super) struct PayoutName<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PayoutList<'a> {
    #[serde(borrow)]
    pub(super) data: Vec<Payout<'a>>,
    #[serde(default)]
    pub(super) has_more: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dispute<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
    amount: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    status: DisputeStatus,
    reason: Option<String>,
    payment_intent: Option<NameOrObject>,
    evidence_details: Option<EvidenceDetails>,
    balance_transactions: Option<Vec<Movement>>,
}

/// A page where a buyer chooses how to pay. What is paid on it is a `PaymentIntent`, made when the buyer first tries.
#[derive(Debug, Deserialize)]
pub(super) struct CheckoutSession<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
    amount_total: Option<i64>,
    #[serde(borrow)]
    currency: Option<Cow<'a, str>>,
    status: Option<SessionStatus>,
    url: Option<String>,
    #[serde(borrow)]
    payment_intent: Option<NameOrIntent<'a>>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SessionStatus {
    Open,
    Complete,
    Expired,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NameOrIntent<'a> {
    #[serde(borrow)]
    Whole(Box<PaymentIntent<'a>>),
    #[expect(dead_code, reason = "an id is told from what cannot be read, and not needed")]
    Name(#[serde(borrow)] Cow<'a, str>),
}

/// As with payments, one that is not listed is for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DisputeStatus {
    WarningNeedsResponse,
    WarningUnderReview,
    WarningClosed,
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
}

#[derive(Debug, Deserialize)]
struct EvidenceDetails {
    due_by: Option<i64>,
}

/// What a dispute did to the account's balance.
#[derive(Debug, Deserialize)]
struct Movement {
    amount: i64,
    currency: String,
    fee: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RefundList<'a> {
    #[serde(borrow)]
    pub(super) data: Vec<Refund<'a>>,
}

/// A name, or the whole object where it was asked for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NameOrObject {
    Name(String),
    Object { id: String },
}

#[derive(Debug, Deserialize)]
struct NextAction {
    redirect_to_url: Option<RedirectToUrl>,
}

#[derive(Debug, Deserialize)]
struct RedirectToUrl {
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorObject<'a> {
    #[serde(rename = "type")]
    pub(super) kind: ErrorKind,
    pub(super) code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
    #[serde(borrow)]
    pub(super) payment_intent: Option<Box<PaymentIntent<'a>>>,
}

/// All that are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum ErrorKind {
    #[serde(rename = "api_error")]
    Api,
    #[serde(rename = "card_error")]
    Card,
    #[serde(rename = "idempotency_error")]
    Idempotency,
    #[serde(rename = "invalid_request_error")]
    InvalidRequest,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody<'a> {
    #[serde(borrow)]
    pub(super) error: ErrorObject<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SearchResult<'a> {
    #[serde(borrow)]
    data: Vec<PaymentIntent<'a>>,
}

impl PaymentIntent<'_> {
    /// What the object says. Nothing, if it is no `PaymentIntent` after all.
    pub(super) fn evidence(&self, secret: &str) -> Option<Evidence> {
        if self.object != "payment_intent" {
            return None;
        }
        let movement = self.latest_charge.as_ref().map(NameOrObject::id);
        Some(Evidence {
            reference: PspReference::parse(&self.id).ok()?,
            page: None,
            operation_id: self.operation_id(),
            amount: from_wire(self.amount, &self.currency),
            received: self.amount_received.map(|received| from_wire(received, &self.currency)),
            movement: movement.and_then(|id| PspReference::parse(id).ok()).map(String::from),
            state: self.state(secret),
        })
    }

    fn operation_id(&self) -> Option<OperationId> {
        operation_named(self.metadata.as_ref())
    }

    fn state(&self, secret: &str) -> State {
        let failure = || self.last_payment_error.as_ref().map(|error| error.decline(secret));
        match self.status {
            Status::Succeeded => State::Succeeded,
            Status::RequiresCapture => State::AwaitingCapture,
            Status::RequiresAction => State::RequiresAction(self.redirect_url()),
            Status::Processing => State::Processing,
            Status::Canceled => State::Canceled(failure()),
            Status::RequiresPaymentMethod | Status::RequiresConfirmation => {
                failure().map_or(State::Open, State::Failed)
            }
        }
    }

    /// Where the buyer is to go, if that is a web page.
    fn redirect_url(&self) -> Option<String> {
        address(self.next_action.as_ref()?.redirect_to_url.as_ref()?.url.as_deref()?)
    }

    /// Whether it is more than a try that may be followed by another.
    const fn is_paid_or_will_be(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::RequiresCapture | Status::Processing)
    }
}

/// An address that a browser can be sent to.
fn address(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok().filter(|_| text.len() <= LONGEST_ADDRESS)?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

impl CheckoutSession<'_> {
    /// What the page says, or what was paid on it. Nothing, if it is no page after all.
    pub(super) fn evidence(&self, secret: &str) -> Option<Evidence> {
        if self.object != "checkout.session" {
            return None;
        }
        let page = PspReference::parse(&self.id).ok().filter(is_page)?;
        let intent = match &self.payment_intent {
            Some(NameOrIntent::Whole(intent)) => Some(intent),
            Some(NameOrIntent::Name(_)) | None => None,
        };
        let status = self.status?;
        // on a page that is open, or was when it closed, a try that failed is not the last word
        let told = intent.filter(|it| it.is_paid_or_will_be() || status == SessionStatus::Complete);
        if let Some(intent) = told {
            return Some(Evidence { page: Some(page), ..intent.evidence(secret)? });
        }
        let amount = self.amount_total.zip(self.currency.as_ref());
        Some(Evidence {
            reference: page.clone(),
            page: Some(page),
            operation_id: self.metadata.as_ref().and_then(|metadata| metadata.payonce_operation.parse().ok()),
            amount: amount
                .map_or_else(|| Err("no amount".to_owned()), |(amount, code)| from_wire(amount, code)),
            received: None,
            movement: None,
            state: match status {
                SessionStatus::Open => State::RequiresAction(self.url.as_deref().and_then(address)),
                // what came of it is not shown here
                SessionStatus::Complete => State::Processing,
                SessionStatus::Expired => State::Canceled(None),
            },
        })
    }
}

impl NameOrObject {
    fn id(&self) -> &str {
        match self {
            Self::Name(id) | Self::Object { id } => id,
        }
    }
}

impl Refund<'_> {
    /// What the object says. Nothing, if it is no refund after all.
    pub(super) fn evidence(&self, secret: &str) -> Option<RefundEvidence> {
        if self.object != "refund" {
            return None;
        }
        let payment = self.payment_intent.as_ref().map(|payment| PspReference::parse(payment.id()));
        Some(RefundEvidence {
            reference: PspReference::parse(&self.id).ok()?,
            operation_id: operation_named(self.metadata.as_ref()),
            payment: payment.transpose().ok()?,
            amount: from_wire(self.amount, &self.currency),
            state: match self.status {
                RefundStatus::Succeeded => RefundState::Succeeded,
                RefundStatus::Pending | RefundStatus::RequiresAction => RefundState::Pending,
                RefundStatus::Failed | RefundStatus::Canceled => RefundState::Failed(
                    self.failure_reason.as_deref().map(|reason| clean(reason, secret, 64)),
                ),
            },
        })
    }
}

impl PayoutName<'_> {
    /// Whether it names an operation.
    pub(super) fn names_operation(&self) -> bool {
        operation_named(self.metadata.as_ref()).is_some()
    }
}

fn operation_named(metadata: Option<&Metadata<'_>>) -> Option<OperationId> {
    metadata.and_then(|metadata| metadata.payonce_operation.parse().ok())
}

impl Payout<'_> {
    pub(super) fn operation_id(&self) -> Option<OperationId> {
        operation_named(self.metadata.as_ref())
    }

    /// What the object says. Nothing, if it is no payout after all.
    pub(super) fn evidence(&self, secret: &str) -> Option<PayoutEvidence> {
        if self.object != "payout" {
            return None;
        }
        let to = self.destination.as_ref().map(|destination| PspReference::parse(destination.id()));
        let failed = |code: &'static str, otherwise: &str| {
            let message = self.failure_message.as_deref().unwrap_or(otherwise);
            PayoutState::Failed(Decline {
                code,
                decline_code: self.failure_code.as_deref().map(|code| clean(code, secret, 64)),
                message: clean(message, secret, LONGEST_MESSAGE),
            })
        };
        Some(PayoutEvidence {
            reference: PspReference::parse(&self.id).ok()?,
            operation_id: self.operation_id(),
            to: to.transpose().ok()?,
            amount: from_wire(self.amount, &self.currency),
            state: match self.status {
                PayoutStatus::Pending | PayoutStatus::InTransit => PayoutState::OnItsWay,
                PayoutStatus::Paid => PayoutState::Arrived,
                PayoutStatus::Failed => failed(decline::PAYOUT_FAILED, "the payout did not reach the seller"),
                PayoutStatus::Canceled => failed(decline::CANCELED, "the payout was cancelled"),
            },
        })
    }
}

impl Dispute<'_> {
    /// What the object says, as it was at `at`. Nothing, if it is no dispute after all, or of an amount that cannot be.
    pub(super) fn evidence(&self, at: OffsetDateTime) -> Option<DisputeEvidence> {
        if self.object != "dispute" {
            return None;
        }
        let payment = self.payment_intent.as_ref().map(|payment| PspReference::parse(payment.id()));
        let movements = self.balance_transactions.as_deref().unwrap_or_default();
        let times =
            |is: fn(&Movement) -> bool| u32::try_from(movements.iter().filter(|it| is(it)).count()).ok();
        let amount = from_wire(self.amount, &self.currency).ok()?;
        // a fee in the currency of the account, where that is another, is booked when it is settled
        let fees = |is: fn(&Movement) -> bool| {
            let same = movements.iter().filter(|it| is(it) && it.currency == self.currency);
            let fees = same.map(|moved| from_wire(moved.fee, &self.currency).map(|fee| fee.minor));
            fees.sum::<Result<i64, _>>().ok()
        };
        let due = self.evidence_details.as_ref().and_then(|details| details.due_by);
        Some(DisputeEvidence {
            payment: payment.transpose().ok()?,
            word: Word {
                psp_reference: PspReference::parse(&self.id).ok()?.to_string(),
                event: self.event(),
                at,
                amount: (amount.minor > 0).then_some(amount)?,
                reason: self.reason.as_deref().map(|reason| clean(reason, "", 64)),
                evidence_due_at: due.and_then(|due| OffsetDateTime::from_unix_timestamp(due).ok()),
                taken: times(|moved| moved.amount < 0)?,
                returned: times(|moved| moved.amount > 0)?,
                fee: fees(|moved| moved.amount < 0)?,
                returned_fee: fees(|moved| moved.amount > 0)?.saturating_neg(),
            },
        })
    }

    const fn event(&self) -> DisputeEvent {
        match self.status {
            DisputeStatus::WarningNeedsResponse | DisputeStatus::WarningUnderReview => DisputeEvent::Inquired,
            DisputeStatus::WarningClosed => DisputeEvent::Closed,
            DisputeStatus::NeedsResponse => DisputeEvent::EvidenceWanted,
            DisputeStatus::UnderReview => DisputeEvent::Submitted,
            DisputeStatus::Won => DisputeEvent::Won,
            DisputeStatus::Lost => DisputeEvent::Lost,
        }
    }
}

impl ErrorObject<'_> {
    /// The error as the reason why a means of payment was declined.
    pub(super) fn decline(&self, secret: &str) -> Decline {
        let finer = self.decline_code.as_deref().or(self.code.as_deref());
        self.reason(decline::CARD_DECLINED, finer, secret)
    }

    /// The error as the reason why the request itself was refused.
    pub(super) fn rejection(&self, secret: &str) -> Decline {
        self.reason(decline::REJECTED, self.code.as_deref(), secret)
    }

    fn reason(&self, code: &'static str, finer: Option<&str>, secret: &str) -> Decline {
        let message = self.message.as_deref().unwrap_or("the PSP gave no reason");
        Decline {
            code,
            decline_code: finer.map(|finer| clean(finer, secret, 64)),
            message: clean(message, secret, LONGEST_MESSAGE),
        }
    }

    /// The error in one line, as evidence.
    pub(super) fn in_words(&self) -> String {
        let kind = match self.kind {
            ErrorKind::Api => "api_error",
            ErrorKind::Card => "card_error",
            ErrorKind::Idempotency => "idempotency_error",
            ErrorKind::InvalidRequest => "invalid_request_error",
        };
        let mut words = kind.to_owned();
        for code in [&self.code, &self.decline_code].into_iter().flatten() {
            words.push(' ');
            words.push_str(code);
        }
        if let Some(message) = &self.message {
            words.push_str(": ");
            words.push_str(message);
        }
        words
    }
}

impl SearchResult<'_> {
    /// The objects that carry our reference. The search itself matches loosely enough to be checked.
    pub(super) fn found(&self, operation_id: OperationId) -> Vec<PspReference> {
        self.data
            .iter()
            .filter(|intent| intent.object == "payment_intent" && intent.operation_id() == Some(operation_id))
            .filter_map(|intent| PspReference::parse(&intent.id).ok())
            .collect()
    }
}
