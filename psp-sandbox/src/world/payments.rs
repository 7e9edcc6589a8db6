//! The life of a PaymentIntent.

use std::sync::Arc;

use super::Tx;
use crate::model::card::{Card, Decline, Temper};
use crate::model::currency::{AmountFault, Currency};
use crate::model::event::{EventKind, Stored};
use crate::model::{
    CancellationReason, CaptureMethod, Charge, Failure, Intent, IntentStatus, Metadata, Source,
};
use crate::store::EffectKind;
use crate::wire::ApiError;

/// A payment to be made.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: Currency,
    /// When to capture.
    pub capture_method: CaptureMethod,
    /// Whether methods that redirect the buyer are allowed.
    pub automatic_payment_methods: bool,
    /// Whether it may be captured in several parts.
    pub multicapture: bool,
    /// The merchant's own data.
    pub metadata: Metadata,
    /// The merchant's text.
    pub description: Option<Box<str>>,
    /// What the buyer's statement ends with.
    pub statement_descriptor_suffix: Option<Box<str>>,
    /// The card, which need not be known yet.
    pub card: Option<Card>,
    /// How to confirm it, when that is asked for at once.
    pub confirm: Option<Confirm>,
    /// The Checkout Session on whose page it is paid.
    pub session: Option<u64>,
}

/// A confirmation.
#[derive(Clone, Debug, Default)]
pub struct Confirm {
    /// Replaces the card.
    pub card: Option<Card>,
    /// Replaces the capture method.
    pub capture_method: Option<CaptureMethod>,
    /// Where the buyer returns to.
    pub return_url: Option<Box<str>>,
    /// The buyer is not there to authenticate.
    pub off_session: bool,
    /// Decline rather than ask for authentication.
    pub error_on_requires_action: bool,
    /// Must equal the amount when given.
    pub amount_to_confirm: Option<i64>,
}

/// A change of texts.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Pairs to set, or to unset when the value is empty.
    pub metadata: Vec<(String, String)>,
    /// Replaces the description.
    pub description: Option<Box<str>>,
    /// Replaces the card.
    pub card: Option<Card>,
}

/// A capture.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Minor units; all of it when not given.
    pub amount: Option<i64>,
    /// Whether what is left stays reserved, for another capture.
    pub more_follow: bool,
}

/// A cancellation.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    /// Why.
    pub reason: Option<CancellationReason>,
}

impl Currency {
    /// Whether the wire takes this amount.
    pub fn check_param(self, amount: i64) -> Result<(), ApiError> {
        let (code, message) = match self.check(amount) {
            Ok(()) => return Ok(()),
            Err(AmountFault::TooSmall { .. }) if amount < 1 => {
                ("parameter_invalid_integer", "This value must be greater than or equal to 1.".to_owned())
            }
            Err(AmountFault::TooSmall { minimum }) => {
                ("amount_too_small", format!("Amount must be at least {minimum} minor units of {self}"))
            }
            Err(AmountFault::TooLarge) => {
                ("amount_too_large", "Amount must be no more than 99999999".to_owned())
            }
            Err(AmountFault::Indivisible { by: 100 }) => (
                "invalid_charge_amount_no_decimal_compatible",
                format!("Amounts in {self} must be divisible by 100"),
            ),
            Err(AmountFault::Indivisible { by }) => {
                ("parameter_invalid_integer", format!("Amounts in {self} must be divisible by {by}"))
            }
        };
        Err(ApiError::invalid("amount", code, message))
    }

    /// Whether the wire takes this amount of a payout: some currencies are paid out in whole units only.
    pub fn check_payout(self, amount: i64) -> Result<(), ApiError> {
        if matches!(self.as_str(), "huf" | "twd") && amount % 100 != 0 {
            let message = format!("Payouts in {self} must be divisible by 100");
            return Err(ApiError::invalid("amount", "parameter_invalid_integer", message));
        }
        match self.check(amount) {
            Err(AmountFault::TooSmall { .. }) if amount >= 1 => Ok(()),
            _ => self.check_param(amount),
        }
    }
}

type Outcome = Result<Stored, ApiError>;

impl Tx<'_> {
    /// Makes a PaymentIntent and, when asked, confirms it.
    pub fn create_intent(&mut self, new: NewIntent) -> Outcome {
        let status = if new.card.is_some() {
            IntentStatus::RequiresConfirmation
        } else {
            IntentStatus::RequiresPaymentMethod
        };
        let intent = Intent {
            seq: self.next_intent(),
            created_ms: self.around.now_ms,
            amount: new.amount,
            amount_received: 0,
            amount_capturable: 0,
            currency: new.currency,
            status,
            capture_method: new.capture_method,
            automatic_payment_methods: new.automatic_payment_methods,
            multicapture: new.multicapture,
            card: new.card,
            latest_charge: None,
            failure: None,
            metadata: Arc::new(new.metadata),
            description: new.description,
            statement_descriptor_suffix: new.statement_descriptor_suffix,
            return_url: None,
            session: new.session,
            canceled_ms: None,
            cancellation_reason: None,
        };
        let Some(confirm) = new.confirm else {
            let seq = intent.seq;
            self.put_intent(intent);
            self.event(EventKind::IntentCreated, Stored::Intent(seq));
            return Ok(Stored::Intent(seq));
        };
        self.event(EventKind::IntentCreated, Stored::IntentAsCreated(intent.seq));
        self.confirm(intent, confirm)
    }

    /// Confirms a PaymentIntent that exists.
    pub fn confirm_intent(&mut self, id: &str, confirm: Confirm) -> Outcome {
        let intent = self.existing(id)?;
        match intent.status {
            IntentStatus::RequiresPaymentMethod
            | IntentStatus::RequiresConfirmation
            | IntentStatus::RequiresAction => {}
            IntentStatus::Processing
            | IntentStatus::RequiresCapture
            | IntentStatus::Canceled
            | IntentStatus::Succeeded => {
                let message = if intent.status == IntentStatus::Succeeded {
                    "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.".to_owned()
                } else {
                    format!(
                        "You cannot confirm this PaymentIntent because it has a status of {}.",
                        intent.status.as_str()
                    )
                };
                return Err(ApiError::unexpected_state(&intent, message));
            }
        }
        if confirm.card.or(intent.card).is_none() {
            let message = "You cannot confirm this PaymentIntent because it's missing a payment method. Update it with a payment method and confirm it again.";
            return Err(ApiError::unexpected_state(&intent, message.to_owned()));
        }
        if let Some(amount) = confirm.amount_to_confirm
            && amount != intent.amount
        {
            let message = format!("The amount to confirm must be {}.", intent.amount);
            return Err(ApiError::invalid("amount_to_confirm", "", message));
        }
        needs_return_url(
            intent.automatic_payment_methods,
            intent.return_url.is_some() || confirm.return_url.is_some(),
        )?;
        self.confirm(Intent::clone(&intent), confirm)
    }

    /// Changes a PaymentIntent without moving money.
    pub fn update_intent(&mut self, id: &str, update: Update) -> Outcome {
        let mut intent = Intent::clone(&*self.existing(id)?);
        let metadata = Arc::make_mut(&mut intent.metadata);
        for (key, value) in &update.metadata {
            metadata.set(key, value);
        }
        if update.description.is_some() {
            intent.description = update.description;
        }
        if let Some(card) = update.card {
            if intent.status != IntentStatus::RequiresPaymentMethod
                && intent.status != IntentStatus::RequiresConfirmation
            {
                let message =
                    "This PaymentIntent's payment method could not be updated in its current state.";
                let current = self.existing(id)?;
                return Err(ApiError::unexpected_state(&current, message.to_owned()));
            }
            intent.card = Some(card);
            intent.status = IntentStatus::RequiresConfirmation;
        }
        let intent = self.put_intent(intent);
        Ok(Stored::Intent(intent.seq))
    }

    fn existing(&self, id: &str) -> Result<Arc<Intent>, ApiError> {
        let found = self.world.intent(id).cloned();
        found.ok_or_else(|| ApiError::missing("payment_intent", "intent", id))
    }

    fn confirm(&mut self, mut intent: Intent, confirm: Confirm) -> Outcome {
        if let Some(method) = confirm.capture_method {
            intent.capture_method = method;
        }
        if confirm.return_url.is_some() {
            intent.return_url = confirm.return_url;
        }
        let Some(card) = confirm.card.or(intent.card) else {
            return Err(ApiError::internal());
        };
        if !intent.automatic_payment_methods && card.kind() != "card" {
            let message = format!(
                "The PaymentMethod provided ({}) is not allowed for this PaymentIntent.",
                card.kind()
            );
            return Err(ApiError::invalid("payment_method", "", message));
        }
        intent.card = Some(card);
        match card.temper {
            Temper::Pays => self.pay(intent, card),
            Temper::Declines(code) => self.decline(intent, card, code),
            Temper::Authenticates | Temper::AuthenticatesThenDeclines(_) => {
                if confirm.off_session || confirm.error_on_requires_action {
                    let decline = Decline::authentication_required();
                    return self.fail_charge(intent, card, decline);
                }
                intent.status = IntentStatus::RequiresAction;
                intent.failure = None;
                let intent = self.put_intent(intent);
                self.event(EventKind::IntentRequiresAction, Stored::Intent(intent.seq));
                self.follow_intent(&intent);
                Ok(Stored::Intent(intent.seq))
            }
            Temper::Takes => {
                intent.status = IntentStatus::Processing;
                intent.failure = None;
                let intent = self.put_intent(intent);
                self.event(EventKind::IntentProcessing, Stored::Intent(intent.seq));
                self.follow_intent(&intent);
                Ok(Stored::Intent(intent.seq))
            }
        }
    }

    /// The buyer's bank has decided on a PaymentIntent that is processing.
    pub fn decide_intent(&mut self, id: &str, pays: bool) -> Outcome {
        let current = self.existing(id)?;
        let card = match (current.status, current.card) {
            (IntentStatus::Processing, Some(card)) => card,
            _ => {
                let message = "This PaymentIntent is not processing.".to_owned();
                return Err(ApiError::unexpected_state(&current, message));
            }
        };
        let intent = Intent::clone(&current);
        if pays {
            return self.pay(intent, card);
        }
        // whoever decides is no caller that has to be told that it failed
        let failed = self.decline(intent, card, "insufficient_funds");
        failed.or(Ok(Stored::Intent(current.seq)))
    }

    /// The buyer came back from the authentication page of a PaymentIntent.
    pub fn authenticate(&mut self, id: &str, passed: bool) -> Outcome {
        let current = self.existing(id)?;
        let card = match (current.status, current.card) {
            (IntentStatus::RequiresAction, Some(card)) => card,
            _ => {
                let message = "This PaymentIntent does not require any action.".to_owned();
                return Err(ApiError::unexpected_state(&current, message));
            }
        };
        let intent = Intent::clone(&current);
        match card.temper {
            _ if !passed => self.fail(intent, card, Decline::authentication_failed(), None),
            Temper::AuthenticatesThenDeclines(code) | Temper::Declines(code) => {
                self.decline(intent, card, code)
            }
            Temper::Pays | Temper::Authenticates | Temper::Takes => self.pay(intent, card),
        }
    }

    fn pay(&mut self, mut intent: Intent, card: Card) -> Outcome {
        let captured = intent.capture_method != CaptureMethod::Manual;
        let seq = self.next_charge();
        let amount = intent.amount;
        let mut charge = self.charge(&intent, card, seq);
        intent.latest_charge = Some(seq);
        intent.failure = None;
        if captured {
            let fee = self.around.fees.on(intent.currency, amount);
            let moved = self.move_balance(Source::Charge(seq), amount, fee, intent.currency);
            charge.balance_transaction = Some(moved);
            charge.captured = true;
            charge.amount_captured = amount;
            intent.status = IntentStatus::Succeeded;
            intent.amount_received = amount;
        } else {
            intent.status = IntentStatus::RequiresCapture;
            intent.amount_capturable = amount;
        }
        self.put_charge(charge);
        let intent = self.put_intent(intent);
        self.event(EventKind::ChargeSucceeded, Stored::Charge(seq));
        let (event, effect) = if captured {
            (EventKind::IntentSucceeded, EffectKind::Charge)
        } else {
            (EventKind::IntentCapturable, EffectKind::Authorization)
        };
        self.event(event, Stored::Intent(intent.seq));
        self.effect(effect, &intent, amount);
        self.follow_intent(&intent);
        Ok(Stored::Intent(intent.seq))
    }

    fn charge(&self, intent: &Intent, card: Card, seq: u64) -> Charge {
        Charge {
            seq,
            intent: intent.seq,
            created_ms: self.around.now_ms,
            amount: intent.amount,
            amount_captured: 0,
            amount_refunded: 0,
            currency: intent.currency,
            card,
            captured: false,
            decline: None,
            balance_transaction: None,
            dispute: None,
            metadata: Arc::clone(&intent.metadata),
            description: intent.description.clone(),
        }
    }

    fn decline(&mut self, intent: Intent, card: Card, code: &str) -> Outcome {
        let decline = Decline::by_code(code).ok_or_else(ApiError::internal)?;
        self.fail_charge(intent, card, decline)
    }

    fn fail_charge(&mut self, mut intent: Intent, card: Card, decline: Decline) -> Outcome {
        let seq = self.next_charge();
        let charge = Charge { decline: Some(decline), ..self.charge(&intent, card, seq) };
        self.put_charge(charge);
        self.event(EventKind::ChargeFailed, Stored::Charge(seq));
        intent.latest_charge = Some(seq);
        self.fail(intent, card, decline, Some(seq))
    }

    fn fail(&mut self, mut intent: Intent, card: Card, decline: Decline, charge: Option<u64>) -> Outcome {
        intent.status = IntentStatus::RequiresPaymentMethod;
        intent.card = None;
        intent.failure = Some(Failure { decline, card, charge });
        let intent = self.put_intent(intent);
        self.event(EventKind::IntentFailed, Stored::Intent(intent.seq));
        self.follow_intent(&intent);
        Err(ApiError::declined(&intent, decline))
    }

    /// Takes reserved money.
    pub fn capture_intent(&mut self, id: &str, capture: &Capture) -> Outcome {
        let current = self.existing(id)?;
        let charge = match (current.status, current.latest_charge) {
            (IntentStatus::RequiresCapture, Some(charge)) => self.world.charge_at(charge),
            _ => None,
        };
        let Some(charge) = charge else {
            let message = format!(
                "This PaymentIntent could not be captured because it has a status of {}.",
                current.status.as_str()
            );
            return Err(ApiError::unexpected_state(&current, message));
        };
        let amount = capture.amount.unwrap_or(current.amount_capturable);
        if amount < 1 || amount > current.amount_capturable {
            let message =
                format!("The amount to capture must be between 1 and {}.", current.amount_capturable);
            return Err(ApiError::invalid("amount_to_capture", "amount_too_large", message));
        }
        if capture.more_follow && !current.multicapture {
            let message = "You may only set final_capture to false where multicapture is available for this PaymentIntent.";
            return Err(ApiError::invalid("final_capture", "", message.to_owned()));
        }
        let (mut intent, mut charge) = (Intent::clone(&current), Charge::clone(charge));
        let fee = self.around.fees.on(intent.currency, amount);
        let source = Source::Charge(charge.seq);
        charge.balance_transaction = Some(self.move_balance(source, amount, fee, intent.currency));
        charge.captured = true;
        charge.amount_captured += amount;
        intent.amount_received += amount;
        intent.amount_capturable -= amount;
        let is_last = !capture.more_follow || intent.amount_capturable == 0;
        if is_last {
            // What is not captured is let go, which the wire shows as refunded.
            charge.amount_refunded += charge.amount - charge.amount_captured;
            intent.status = IntentStatus::Succeeded;
            intent.amount_capturable = 0;
        }
        let charge = self.put_charge(charge);
        let intent = self.put_intent(intent);
        self.event(EventKind::ChargeCaptured, Stored::Charge(charge.seq));
        let event = if is_last { EventKind::IntentSucceeded } else { EventKind::IntentCapturable };
        self.event(event, Stored::Intent(intent.seq));
        self.effect(EffectKind::Capture, &intent, amount);
        Ok(Stored::Intent(intent.seq))
    }

    /// Gives a PaymentIntent up, releasing what it reserved.
    pub fn cancel_intent(&mut self, id: &str, cancel: &Cancel) -> Outcome {
        let current = self.existing(id)?;
        match current.status {
            IntentStatus::RequiresPaymentMethod
            | IntentStatus::RequiresConfirmation
            | IntentStatus::RequiresAction
            | IntentStatus::RequiresCapture => {}
            IntentStatus::Processing | IntentStatus::Canceled | IntentStatus::Succeeded => {
                let message = format!(
                    "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.",
                    current.status.as_str()
                );
                return Err(ApiError::unexpected_state(&current, message));
            }
        }
        let mut intent = Intent::clone(&current);
        let reserved = intent.amount_capturable;
        if let Some(charge) = intent.latest_charge.filter(|_| reserved > 0)
            && let Some(charge) = self.world.charge_at(charge)
        {
            let mut charge = Charge::clone(charge);
            charge.amount_refunded += reserved;
            let charge = self.put_charge(charge);
            self.event(EventKind::ChargeRefunded, Stored::Charge(charge.seq));
        }
        intent.status = IntentStatus::Canceled;
        intent.amount_capturable = 0;
        intent.canceled_ms = Some(self.around.now_ms);
        intent.cancellation_reason = cancel.reason;
        let intent = self.put_intent(intent);
        self.event(EventKind::IntentCanceled, Stored::Intent(intent.seq));
        self.effect(EffectKind::Cancel, &intent, reserved);
        Ok(Stored::Intent(intent.seq))
    }
}

/// Automatic payment methods may redirect, so confirming one needs somewhere to come back to.
pub fn needs_return_url(automatic: bool, has_url: bool) -> Result<(), ApiError> {
    if !automatic || has_url {
        return Ok(());
    }
    let message = "This PaymentIntent is configured to accept payment methods that may redirect, so a `return_url` is needed to confirm it. Give one, or set `automatic_payment_methods[enabled]` to true and `automatic_payment_methods[allow_redirects]` to never, or name `payment_method_types`.";
    Err(ApiError::invalid("return_url", "", message.to_owned()))
}
