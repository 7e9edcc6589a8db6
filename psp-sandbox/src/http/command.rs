//! Calls that change something, read from their forms.

use crate::core::{SharedWorld, locked};
use crate::model::card::Card;
use crate::model::event::Stored;
use crate::model::id::Kind;
use crate::model::{CancellationReason, CaptureMethod, Manual, RefundReason};
use crate::wire::{ApiError, Form};
use crate::world::{
    Cancel, Capture, Confirm, DisputeAnswer, NewIntent, NewPayout, NewRefund, NewSession, RefundTarget, Tx,
    Update, needs_return_url,
};

use super::Operation;

/// A call that changes something.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make a PaymentIntent.
    Create(Box<NewIntent>),
    /// Change its texts.
    Update(String, Update),
    /// Confirm it.
    Confirm(String, Confirm),
    /// Capture it.
    Capture(String, Capture),
    /// Cancel it.
    Cancel(String, Cancel),
    /// Make a Checkout Session.
    CreateSession(Box<NewSession>),
    /// Close it.
    ExpireSession(String),
    /// Give money back.
    Refund(NewRefund),
    /// Answer a dispute.
    AnswerDispute(String, DisputeAnswer),
    /// Give a dispute up.
    CloseDispute(String),
    /// Pay a part of the balance out.
    PayOut(NewPayout),
}

/// Parameters that exist, are taken, and change nothing here.
const INERT: [&str; 9] = [
    "customer",
    "payment_method_options",
    "radar_options",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "transfer_group",
    "use_stripe_sdk",
];

impl Command {
    /// Reads a call, refusing what it does not understand before anything happens.
    pub fn read(
        operation: Operation,
        id: &str,
        mut form: Form,
        world: &SharedWorld,
    ) -> Result<Self, ApiError> {
        let id = id.to_owned();
        let command = match operation {
            Operation::IntentsCreate => Self::Create(Box::new(new_intent(&mut form, world)?)),
            Operation::IntentsUpdate => Self::Update(id, update(&mut form, world)?),
            Operation::IntentsConfirm => Self::Confirm(id, confirm(&mut form, world)?),
            Operation::IntentsCapture => {
                let amount = form.integer("amount_to_capture")?;
                let more_follow = form.flag("final_capture")? == Some(false);
                form.accept(&["statement_descriptor"]);
                Self::Capture(id, Capture { amount, more_follow })
            }
            Operation::IntentsCancel => {
                let (parse, words) = (CancellationReason::parse, CancellationReason::WORDS);
                let reason = form.word("cancellation_reason", parse, words)?;
                Self::Cancel(id, Cancel { reason })
            }
            Operation::SessionsCreate => Self::CreateSession(Box::new(new_session(&mut form)?)),
            Operation::SessionsExpire => Self::ExpireSession(id),
            Operation::RefundsCreate => Self::Refund(new_refund(&mut form)?),
            Operation::DisputesUpdate => {
                let text = form.text("evidence[uncategorized_text]");
                let submit = form.flag("submit")?.unwrap_or(true);
                let metadata = form.metadata_changes()?;
                Self::AnswerDispute(id, DisputeAnswer { text, submit, metadata })
            }
            Operation::DisputesClose => Self::CloseDispute(id),
            Operation::PayoutsCreate => Self::PayOut(new_payout(&mut form)?),
            _ => return Err(ApiError::internal()),
        };
        form.finish()?;
        Ok(command)
    }

    /// The same call stopped half way: the PaymentIntent is made and not confirmed.
    pub fn created_only(self) -> Self {
        match self {
            Self::Create(mut new) => {
                new.confirm = None;
                Self::Create(new)
            }
            other => other,
        }
    }

    /// Does it.
    pub fn run(self, tx: &mut Tx<'_>) -> Result<Stored, ApiError> {
        match self {
            Self::Create(new) => tx.create_intent(*new),
            Self::Update(id, update) => tx.update_intent(&id, update),
            Self::Confirm(id, confirm) => tx.confirm_intent(&id, confirm),
            Self::Capture(id, capture) => tx.capture_intent(&id, &capture),
            Self::Cancel(id, cancel) => tx.cancel_intent(&id, &cancel),
            Self::CreateSession(new) => tx.create_session(*new),
            Self::ExpireSession(id) => tx.expire_session(&id),
            Self::Refund(new) => tx.create_refund(new),
            Self::AnswerDispute(id, answer) => tx.answer_dispute(&id, &answer),
            Self::CloseDispute(id) => tx.close_dispute(&id),
            Self::PayOut(new) => tx.create_payout(new),
        }
    }
}

fn new_intent(form: &mut Form, world: &SharedWorld) -> Result<NewIntent, ApiError> {
    let currency = Form::required("currency", form.currency("currency")?)?;
    let amount = Form::required("amount", form.integer("amount")?)?;
    currency.check_param(amount)?;
    let automatic_payment_methods = takes_redirects(form)?;
    let multicapture = form.text("payment_method_options[card][request_multicapture]");
    let multicapture = multicapture.as_deref() == Some("if_available");
    let metadata = form.metadata()?;
    let description = form.text_within("description", 1000)?;
    let suffix = form.text_within("statement_descriptor_suffix", 22)?;
    let details = confirm(form, world)?;
    let capture_method = details.capture_method.unwrap_or(CaptureMethod::AutomaticAsync);
    let confirmed = form.flag("confirm")?.unwrap_or(false);
    form.accept(&["confirmation_method"]);
    if confirmed {
        needs_return_url(automatic_payment_methods, details.return_url.is_some())?;
        Form::required("payment_method", details.card)?;
    }
    Ok(NewIntent {
        amount,
        currency,
        capture_method,
        automatic_payment_methods,
        multicapture,
        metadata,
        description: description.map(Into::into),
        statement_descriptor_suffix: suffix.map(Into::into),
        card: details.card,
        confirm: confirmed.then_some(details),
        session: None,
    })
}

/// Whether methods that redirect the buyer are allowed, as they are unless the call says otherwise.
fn takes_redirects(form: &mut Form) -> Result<bool, ApiError> {
    let types = form.list("payment_method_types");
    if let Some(other) = types.iter().find(|it| *it != "card") {
        let message = format!("The payment method type \"{other}\" is invalid.");
        return Err(ApiError::invalid("payment_method_types", "", message));
    }
    let enabled = form.flag("automatic_payment_methods[enabled]")?;
    let redirects = form.text("automatic_payment_methods[allow_redirects]");
    if enabled == Some(true) && !types.is_empty() {
        let message =
            "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."
                .to_owned();
        return Err(ApiError::invalid("payment_method_types", "", message));
    }
    let automatic = types.is_empty() && enabled.unwrap_or(true);
    Ok(automatic && redirects.as_deref() != Some("never"))
}

fn confirm(form: &mut Form, world: &SharedWorld) -> Result<Confirm, ApiError> {
    let capture_method = form.word("capture_method", CaptureMethod::parse, CaptureMethod::WORDS)?;
    let confirm = Confirm {
        card: card(form, world)?,
        capture_method,
        return_url: form.text_within("return_url", 2048)?.map(Into::into),
        off_session: form.flag("off_session")?.unwrap_or(false),
        error_on_requires_action: form.flag("error_on_requires_action")?.unwrap_or(false),
        amount_to_confirm: form.integer("amount_to_confirm")?,
    };
    form.accept(&INERT);
    Ok(confirm)
}

fn update(form: &mut Form, world: &SharedWorld) -> Result<Update, ApiError> {
    let update = Update {
        metadata: form.metadata_changes()?,
        description: form.text_within("description", 1000)?.map(Into::into),
        card: card(form, world)?,
    };
    form.accept(&INERT);
    Ok(update)
}

/// A card by its test token, or by the id it got when a PaymentIntent took it.
fn card(form: &mut Form, world: &SharedWorld) -> Result<Option<Card>, ApiError> {
    let Some(name) = form.text("payment_method") else {
        return Ok(None);
    };
    let known = Card::by_token(&name).or_else(|| {
        let world = locked(world);
        let owner = world.nonce.seq(Kind::PaymentMethod, &name)?;
        let intent = world.intent_at(owner)?;
        intent.card.or(intent.failure.map(|failure| failure.card))
    });
    match known {
        Some(card) => Ok(Some(card)),
        None => Err(ApiError::unknown("PaymentMethod", "payment_method", &name)),
    }
}

/// One line of one thing, priced where it is asked for: what an orchestrator of payments knows.
fn new_session(form: &mut Form) -> Result<NewSession, ApiError> {
    let mode = Form::required("mode", form.text("mode"))?;
    if mode != "payment" {
        return Err(ApiError::invalid("mode", "", format!("The mode \"{mode}\" is not one of: payment.")));
    }
    let price = "line_items[0][price_data]";
    let currency = format!("{price}[currency]");
    let currency = Form::required(&currency, form.currency(&currency)?)?;
    let name = format!("{price}[unit_amount]");
    let amount = Form::required(&name, form.integer(&name)?)?;
    currency.check_param(amount)?;
    let name = format!("{price}[product_data][name]");
    let product = Form::required(&name, form.text_within(&name, 1500)?)?;
    let quantity = form.integer("line_items[0][quantity]")?;
    if quantity != Some(1) {
        let message = "This value must be equal to 1.".to_owned();
        return Err(ApiError::invalid("line_items[0][quantity]", "parameter_invalid_integer", message));
    }
    let capture = "payment_intent_data[capture_method]";
    let capture_method = form.word(capture, CaptureMethod::parse, CaptureMethod::WORDS)?;
    let success_url = Form::required("success_url", form.text_within("success_url", 5000)?)?;
    form.accept(&["adaptive_pricing", "payment_method_options", "ui_mode"]);
    Ok(NewSession {
        amount,
        currency,
        product: product.into(),
        capture_method: capture_method.unwrap_or(CaptureMethod::AutomaticAsync),
        success_url: success_url.into(),
        cancel_url: form.text_within("cancel_url", 5000)?.map(Into::into),
        client_reference_id: form.text_within("client_reference_id", 200)?.map(Into::into),
        expires_at: form.integer("expires_at")?,
        intent_metadata: form.metadata_of("payment_intent_data[metadata]")?,
        metadata: form.metadata()?,
    })
}

fn new_refund(form: &mut Form) -> Result<NewRefund, ApiError> {
    let target = match (form.text("payment_intent"), form.text("charge")) {
        (Some(id), None) => RefundTarget::Intent(id),
        (None, Some(id)) => RefundTarget::Charge(id),
        (None, None) => return Form::required("payment_intent", None),
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: charge, payment_intent.".to_owned();
            return Err(ApiError::invalid("charge", "", message));
        }
    };
    let amount = form.integer("amount")?;
    if amount.is_some_and(|amount| amount < 1) {
        let message = "This value must be greater than or equal to 1.".to_owned();
        return Err(ApiError::invalid("amount", "parameter_invalid_integer", message));
    }
    form.accept(&["instructions_email", "refund_application_fee", "reverse_transfer"]);
    Ok(NewRefund {
        target,
        amount,
        reason: form.word("reason", RefundReason::parse, RefundReason::WORDS)?,
        metadata: form.metadata()?,
    })
}

fn new_payout(form: &mut Form) -> Result<NewPayout, ApiError> {
    let currency = Form::required("currency", form.currency("currency")?)?;
    let amount = Form::required("amount", form.integer("amount")?)?;
    currency.check_payout(amount)?;
    if let Some(method) = form.text("method").filter(|method| method != "standard") {
        let message = format!("Payouts of the method {method} are not eligible here.");
        return Err(ApiError::invalid("method", "", message));
    }
    let destination = form.text_within("destination", 255)?;
    if destination.as_ref().is_some_and(|id| !id.starts_with("ba_") && !id.starts_with("card_")) {
        let id = destination.unwrap_or_default();
        return Err(ApiError::unknown("external account", "destination", &id));
    }
    form.accept(&["source_type"]);
    Ok(NewPayout {
        amount,
        currency,
        manual: Manual {
            destination: destination.map(Into::into),
            description: form.text_within("description", 1000)?.map(Into::into),
            statement_descriptor: form.text_within("statement_descriptor", 22)?.map(Into::into),
            metadata: form.metadata()?.into(),
        },
    })
}
