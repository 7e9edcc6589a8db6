use money::{Money, OperationId};

use super::{CaptureMethod, Charge, Decline, Outcome, PspReference, Why, decline};

/// What a PSP's object says about a charge, wherever it was shown: in an answer, a look-up or a webhook.
///
/// It is a claim from outside. Only [`Evidence::judge`] makes an outcome of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The PSP's object.
    pub reference: PspReference,
    /// Our operation, if the object names one.
    pub operation_id: Option<OperationId>,
    /// What it is to charge; or why that is no amount of ours, in words.
    pub amount: Result<Money, String>,
    /// What it has taken, where the PSP says so.
    pub received: Option<Result<Money, String>>,
    /// The PSP's name of the movement of money, once there is one.
    pub movement: Option<String>,
    /// How far it is.
    pub state: State,
}

/// How far a PSP's object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The money is taken.
    Succeeded,
    /// The money is held.
    AwaitingCapture,
    /// The buyer has to act, on this page if there is one.
    RequiresAction(Option<String>),
    /// The PSP has not decided.
    Processing,
    /// A try failed, for this reason; another may follow: it can still be paid.
    Failed(Decline),
    /// Nobody tried to pay yet: it can still be paid.
    Open,
    /// It cannot be paid any more; its last try failed for this reason, if there was one.
    Canceled(Option<Decline>),
}

/// What an operation was to do: the measure of all evidence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Our operation.
    pub operation_id: OperationId,
    /// How much it was to charge.
    pub amount: Money,
    /// When the money was to be taken.
    pub capture: CaptureMethod,
}

/// What a piece of evidence comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// This.
    Said(Outcome),
    /// Not charged, yet the object could still be paid: it must be cancelled before the operation ends.
    Open {
        /// The PSP's object.
        reference: PspReference,
        /// The reason, once it is cancelled.
        decline: Decline,
    },
}

impl Evidence {
    /// What this comes to for an operation that was to do what is `expected`.
    pub fn judge(&self, expected: &Expected) -> Judgement {
        if let Some(mismatch) = self.foreign(expected) {
            // without the reference: the object is not this operation's, and may be another's
            return Judgement::Said(Outcome::Unknown { reference: None, why: Why::Mismatch(mismatch) });
        }
        match &self.state {
            State::Succeeded => self.judge_money(expected, true),
            State::AwaitingCapture => self.judge_money(expected, false),
            State::RequiresAction(redirect_url) => match self.amount_of(expected) {
                Ok(_) => Judgement::Said(Outcome::RequiresAction {
                    reference: self.reference.clone(),
                    redirect_url: redirect_url.clone(),
                }),
                Err(mismatch) => self.unknown(Why::Mismatch(mismatch)),
            },
            State::Processing => self.unknown(Why::Processing),
            State::Failed(decline) => self.open(decline.clone()),
            State::Open => self.open(never_tried()),
            State::Canceled(reason) => Judgement::Said(Outcome::Declined {
                reference: Some(self.reference.clone()),
                decline: reason.clone().unwrap_or_else(canceled),
            }),
        }
    }

    /// Whether the object is another operation's, in words.
    fn foreign(&self, expected: &Expected) -> Option<String> {
        match self.operation_id {
            Some(id) if id == expected.operation_id => None,
            Some(id) => Some(format!("operation {id} instead of {}", expected.operation_id)),
            None => Some(format!("no operation instead of {}", expected.operation_id)),
        }
    }

    /// Money that is taken or held: exactly what was asked, and in the way that was asked.
    fn judge_money(&self, expected: &Expected, captured: bool) -> Judgement {
        let amount = match self.amount_of(expected) {
            Ok(amount) => amount,
            Err(mismatch) => return self.unknown(Why::Mismatch(mismatch)),
        };
        if expected.capture == CaptureMethod::Automatic {
            if !captured {
                return self.unknown(Why::Mismatch("held instead of captured".to_owned()));
            }
            if let Some(received) = self.received.as_ref().filter(|received| **received != Ok(amount)) {
                let mismatch = format!("received {} instead of {amount}", shown(received));
                return self.unknown(Why::Mismatch(mismatch));
            }
        }
        Judgement::Said(Outcome::Succeeded(Charge {
            reference: self.reference.clone(),
            movement: self.movement.clone(),
            amount,
            captured,
        }))
    }

    /// The amount, if it is the expected one; else the difference, in words.
    fn amount_of(&self, expected: &Expected) -> Result<Money, String> {
        match &self.amount {
            Ok(amount) if *amount == expected.amount => Ok(*amount),
            other => Err(format!("{} instead of {}", shown(other), expected.amount)),
        }
    }

    fn open(&self, decline: Decline) -> Judgement {
        Judgement::Open { reference: self.reference.clone(), decline }
    }

    fn unknown(&self, why: Why) -> Judgement {
        Judgement::Said(Outcome::Unknown { reference: Some(self.reference.clone()), why })
    }
}

fn shown(amount: &Result<Money, String>) -> String {
    match amount {
        Ok(amount) => amount.to_string(),
        Err(text) => text.clone(),
    }
}

/// Money was never asked for, whatever the object says later: the PSP failed in between.
fn never_tried() -> Decline {
    Decline {
        code: decline::PSP_ERROR,
        decline_code: None,
        message: "the PSP did not try the payment; it is cancelled".to_owned(),
    }
}

fn canceled() -> Decline {
    Decline { code: decline::CANCELED, decline_code: None, message: "the payment was cancelled".to_owned() }
}
