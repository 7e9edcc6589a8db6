//! Pages where buyers choose how to pay, and pay.

use std::sync::Arc;

use super::{Cancel, Confirm, NewIntent, Tx};
use crate::model::card::Card;
use crate::model::currency::Currency;
use crate::model::event::{EventKind, Stored};
use crate::model::{CaptureMethod, Intent, IntentStatus, Metadata, Session, SessionStatus};
use crate::wire::ApiError;

const MINUTE_MS: i64 = 60_000;
/// Open by themselves that long, and at most.
const OPEN_MS: i64 = 24 * 60 * MINUTE_MS;
/// Nobody may be given less time.
const LEAST_OPEN_MS: i64 = 30 * MINUTE_MS;

/// A page to be opened.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// What is paid for.
    pub product: Box<str>,
    /// When to capture.
    pub capture_method: CaptureMethod,
    /// Where the buyer goes who has paid.
    pub success_url: Box<str>,
    /// Where the buyer goes who has not.
    pub cancel_url: Option<Box<str>>,
    /// The merchant's name for it.
    pub client_reference_id: Option<Box<str>>,
    /// When it closes by itself, in seconds since 1970.
    pub expires_at: Option<i64>,
    /// The merchant's own data of the PaymentIntent.
    pub intent_metadata: Metadata,
    /// The merchant's own data of the page.
    pub metadata: Metadata,
}

type Outcome = Result<Stored, ApiError>;

impl Tx<'_> {
    /// Opens a page.
    pub fn create_session(&mut self, new: NewSession) -> Outcome {
        let now_ms = self.around.now_ms;
        let expires_ms = new.expires_at.map_or(now_ms + OPEN_MS, |at| at.saturating_mul(1000));
        // it is told in seconds
        if !(LEAST_OPEN_MS - 1000..=OPEN_MS + 1000).contains(&(expires_ms - now_ms)) {
            let message =
                "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.".to_owned();
            return Err(ApiError::invalid("expires_at", "", message));
        }
        let session = self.put_session(Session {
            seq: self.next_session(),
            created_ms: now_ms,
            expires_ms,
            amount: new.amount,
            currency: new.currency,
            product: new.product,
            status: SessionStatus::Open,
            paid: false,
            capture_method: new.capture_method,
            success_url: new.success_url,
            cancel_url: new.cancel_url,
            client_reference_id: new.client_reference_id,
            metadata: Arc::new(new.metadata),
            intent_metadata: Arc::new(new.intent_metadata),
            intent: None,
        });
        Ok(Stored::Session(session.seq))
    }

    /// Closes a page that nobody paid on.
    pub fn expire_session(&mut self, id: &str) -> Outcome {
        let session = self.open_session(id)?;
        self.expire(&session)
    }

    /// Closes the page at that position, if its time is over.
    pub fn expire_if_due(&mut self, seq: u64) {
        let session = self.world.session_at(seq).cloned();
        let is_due = |it: &Session| it.status == SessionStatus::Open && it.expires_ms <= self.around.now_ms;
        if let Some(session) = session.filter(|it| is_due(it)) {
            // a PaymentIntent that cannot be cancelled has been paid, and its page is not open
            let _ = self.expire(&session);
        }
    }

    fn expire(&mut self, session: &Session) -> Outcome {
        let intent = session.intent.and_then(|seq| self.world.intent_at(seq));
        if let Some(intent) = intent.filter(|intent| intent.status != IntentStatus::Canceled) {
            let id = self.world.nonce.id(crate::model::id::Kind::Intent, intent.seq);
            self.cancel_intent(id.as_str(), &Cancel::default())?;
        }
        let session = Session { status: SessionStatus::Expired, ..session.clone() };
        let session = self.put_session(session);
        self.event(EventKind::SessionExpired, Stored::Session(session.seq));
        Ok(Stored::Session(session.seq))
    }

    /// The buyer pays with this.
    pub fn pay_session(&mut self, id: &str, card: Card, return_url: &str) -> Outcome {
        let session = self.open_session(id)?;
        let confirm = Confirm { card: Some(card), return_url: Some(return_url.into()), ..Confirm::default() };
        if let Some(intent) = session.intent {
            let id = self.world.nonce.id(crate::model::id::Kind::Intent, intent);
            return self.confirm_intent(id.as_str(), confirm);
        }
        self.create_intent(NewIntent {
            amount: session.amount,
            currency: session.currency,
            capture_method: session.capture_method,
            automatic_payment_methods: true,
            multicapture: false,
            metadata: Metadata::clone(&session.intent_metadata),
            description: None,
            statement_descriptor_suffix: None,
            card: Some(card),
            confirm: Some(confirm),
            session: Some(session.seq),
        })
    }

    fn open_session(&self, id: &str) -> Result<Session, ApiError> {
        let missing = || ApiError::missing("checkout.session", "session", id);
        let session = Session::clone(self.world.session(id).ok_or_else(missing)?);
        if session.status == SessionStatus::Open && session.expires_ms > self.around.now_ms {
            return Ok(session);
        }
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired or paid. This Checkout Session has a status of {}.",
            session.status.as_str()
        );
        Err(ApiError::new(400, "invalid_request_error", "", message))
    }

    /// The page follows its PaymentIntent.
    pub(super) fn follow_intent(&mut self, intent: &Intent) {
        let Some(session) = intent.session.and_then(|seq| self.world.session_at(seq)) else { return };
        let mut session = Session::clone(session);
        let was_open = session.status == SessionStatus::Open;
        session.intent = Some(intent.seq);
        session.paid = intent.status == IntentStatus::Succeeded;
        let event = match intent.status {
            IntentStatus::Succeeded | IntentStatus::RequiresCapture | IntentStatus::Processing
                if was_open =>
            {
                session.status = SessionStatus::Complete;
                Some(EventKind::SessionCompleted)
            }
            IntentStatus::Succeeded => Some(EventKind::SessionPaidLater),
            IntentStatus::RequiresPaymentMethod if !was_open => Some(EventKind::SessionFailedLater),
            _ => None,
        };
        let session = self.put_session(session);
        if let Some(event) = event {
            self.event(event, Stored::Session(session.seq));
        }
    }
}
