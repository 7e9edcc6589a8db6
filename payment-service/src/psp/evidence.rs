use money::{Money, OperationId};
use time::OffsetDateTime;

use super::{CaptureMethod, Decline, Outcome, PspReference, Success, Why, decline};

/// What a PSP's object says about a charge, wherever it was shown: in an answer, a look-up or a webhook.
///
/// It is a claim from outside. Only [`Evidence::judge`] makes an outcome of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The PSP's object.
    pub reference: PspReference,
    /// The PSP's page that the object was shown as a part of.
    pub page: Option<PspReference>,
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

/// What a PSP's object says about a refund. A claim from outside, like [`Evidence`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundEvidence {
    /// The PSP's object of the refund.
    pub reference: PspReference,
    /// Our operation, if the object names one.
    pub operation_id: Option<OperationId>,
    /// The PSP's object of the payment, where it is named.
    pub payment: Option<PspReference>,
    /// How much it gives back; or why that is no amount of ours, in words.
    pub amount: Result<Money, String>,
    /// How far it is.
    pub state: RefundState,
}

/// How far a refund is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundState {
    /// The PSP has given the money back. It may come back days later all the same.
    Succeeded,
    /// The PSP has not decided.
    Pending,
    /// It did not reach the buyer, or was cancelled before; in the PSP's words.
    Failed(Option<String>),
}

/// What a PSP's object says about a payout. A claim from outside, like [`Evidence`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutEvidence {
    /// The PSP's object of the payout.
    pub reference: PspReference,
    /// Our operation, if the object names one.
    pub operation_id: Option<OperationId>,
    /// Where it is sent, where that is named.
    pub to: Option<PspReference>,
    /// How much it sends; or why that is no amount of ours, in words.
    pub amount: Result<Money, String>,
    /// How far it is.
    pub state: PayoutState,
}

/// How far a payout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayoutState {
    /// The PSP has taken it of our balance and sends it.
    OnItsWay,
    /// The bank has it. It may come back days later all the same.
    Arrived,
    /// It did not arrive, came back, or was cancelled before; in the PSP's words.
    Failed(Decline),
}

/// What an operation was to do: the measure of all evidence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Our operation.
    pub operation_id: OperationId,
    /// How much it was to charge, take, let go, give back or send.
    pub amount: Money,
    /// What it was to do.
    pub aim: Aim,
}

/// What an operation is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// To charge a buyer, or to hold the money.
    Authorize {
        /// When the money is taken.
        capture: CaptureMethod,
    },
    /// To take what is held.
    Capture {
        /// The PSP's object of the payment.
        of: PspReference,
        /// What was taken before, in minor units.
        captured_before: i64,
        /// Whether what is left after it is let go.
        last: bool,
    },
    /// To let go what is held, or to end what waits for its buyer.
    Void {
        /// The PSP's object of the payment.
        of: PspReference,
        /// What was taken before, in minor units, and stays so.
        captured_before: i64,
    },
    /// To give back.
    Refund {
        /// The PSP's object of the payment.
        of: PspReference,
    },
    /// To send to a seller.
    Payout {
        /// The PSP's name of the bank account or card.
        to: PspReference,
        /// What the seller's statement shows.
        statement_descriptor: Option<String>,
        /// When it was asked for: it is looked for around that.
        asked_at: OffsetDateTime,
    },
}

impl Aim {
    /// The kind of operation that has it, in a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Authorize { .. } => "authorize",
            Self::Capture { .. } => "capture",
            Self::Void { .. } => "void",
            Self::Refund { .. } => "refund",
            Self::Payout { .. } => "payout",
        }
    }
}

/// What a piece of evidence comes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
        match &expected.aim {
            Aim::Authorize { capture } => self.judge_charge(expected, *capture),
            Aim::Capture { of, captured_before, .. } => self.judge_capture(expected, of, *captured_before),
            Aim::Void { of, captured_before } => self.judge_void(expected, of, *captured_before),
            Aim::Refund { .. } => mismatch("a payment instead of a refund".to_owned()),
            Aim::Payout { .. } => mismatch("a payment instead of a payout".to_owned()),
        }
    }

    fn judge_charge(&self, expected: &Expected, capture: CaptureMethod) -> Judgement {
        if let Some(of_another) = foreign(self.operation_id, expected) {
            return mismatch(of_another);
        }
        match &self.state {
            State::Succeeded => self.judge_money(expected, capture, true),
            State::AwaitingCapture => self.judge_money(expected, capture, false),
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
            State::Canceled(_) if self.has_taken() > 0 => self.unknown(Why::PartlyCaptured(self.has_taken())),
            State::Canceled(reason) => Judgement::Said(Outcome::Declined {
                reference: Some(self.reference.clone()),
                decline: reason.clone().unwrap_or_else(canceled),
            }),
        }
    }

    /// What it says that it has taken, in minor units: more than anything where that is not understood.
    fn has_taken(&self) -> i64 {
        match &self.received {
            None => 0,
            Some(Ok(received)) => received.minor,
            Some(Err(_)) => i64::MAX,
        }
    }

    /// What became of the taking of what the object holds.
    fn judge_capture(&self, expected: &Expected, of: &PspReference, before: i64) -> Judgement {
        let taken = match self.taken_since(expected, of, before) {
            Ok(taken) => taken,
            Err(why) => return self.unknown(why),
        };
        let is_taken = taken == expected.amount.minor;
        match &self.state {
            State::Succeeded | State::AwaitingCapture | State::Canceled(_) if is_taken => {
                self.done(expected, true)
            }
            // as it was before what was captured first, or before anything was held
            _ if taken < 0 => self.unknown(Why::NotDone),
            State::AwaitingCapture if taken == 0 => self.unknown(Why::NotDone),
            // closed without it: nothing more can be taken
            State::Succeeded | State::Canceled(_) if taken == 0 => self.declined(decline::RELEASED),
            State::Succeeded | State::AwaitingCapture | State::Canceled(_) => {
                self.unknown(Why::Mismatch(format!("captured {taken} instead of {}", expected.amount)))
            }
            State::Processing => self.unknown(Why::Processing),
            State::RequiresAction(_) | State::Failed(_) | State::Open => self.unknown(Why::NotDone),
        }
    }

    /// What became of the letting go.
    fn judge_void(&self, expected: &Expected, of: &PspReference, before: i64) -> Judgement {
        let taken = match self.taken_since(expected, of, before) {
            Ok(taken) => taken,
            Err(why) => return self.unknown(why),
        };
        match &self.state {
            // as it was before what was captured first
            _ if taken < 0 => self.unknown(Why::NotDone),
            State::Canceled(_) if taken > 0 => self.unknown(Why::PartlyCaptured(taken)),
            State::Canceled(_) => self.done(expected, false),
            State::Succeeded if taken == 0 && before > 0 => self.done(expected, false),
            State::Succeeded => self.declined(decline::ALREADY_CAPTURED),
            State::Processing => self.unknown(Why::Processing),
            State::AwaitingCapture | State::RequiresAction(_) | State::Failed(_) | State::Open => {
                self.unknown(Why::NotDone)
            }
        }
    }

    /// What the object has taken beyond `before`, in minor units.
    fn taken_since(&self, expected: &Expected, of: &PspReference, before: i64) -> Result<i64, Why> {
        if self.reference != *of && self.page.as_ref() != Some(of) {
            // perhaps the payment's all the same, as its page or as what was paid on it: nothing follows from it, but that the
            // one that is meant is asked for
            if self.operation_id.is_some() {
                return Err(Why::Elsewhere);
            }
            return Err(Why::Mismatch(format!("{} instead of {of}", self.reference)));
        }
        match &self.received {
            // an object that says it has taken money says how much; one that has not need not
            None if before == 0 && !matches!(self.state, State::Succeeded | State::AwaitingCapture) => Ok(0),
            None => Err(Why::Unreadable),
            Some(Ok(received)) if received.currency == expected.amount.currency => {
                Ok(received.minor - before)
            }
            Some(received) => {
                Err(Why::Mismatch(format!("received {} instead of {}", shown(received), expected.amount)))
            }
        }
    }

    fn done(&self, expected: &Expected, captured: bool) -> Judgement {
        Judgement::Said(Outcome::Succeeded(Success {
            reference: self.reference.clone(),
            movement: self.movement.clone(),
            amount: expected.amount,
            captured,
        }))
    }

    fn declined(&self, code: &'static str) -> Judgement {
        let message = match code {
            decline::ALREADY_CAPTURED => "the payment was captured",
            _ => "what was held is no longer held",
        };
        Judgement::Said(Outcome::Declined {
            reference: Some(self.reference.clone()),
            decline: Decline { code, decline_code: None, message: message.to_owned() },
        })
    }

    /// Money that is taken or held: exactly what was asked, and in the way that was asked.
    fn judge_money(&self, expected: &Expected, capture: CaptureMethod, captured: bool) -> Judgement {
        let amount = match self.amount_of(expected) {
            Ok(amount) => amount,
            Err(mismatch) => return self.unknown(Why::Mismatch(mismatch)),
        };
        if capture == CaptureMethod::Automatic {
            if !captured {
                return self.unknown(Why::Mismatch("held instead of captured".to_owned()));
            }
            if let Some(received) = self.received.as_ref().filter(|received| **received != Ok(amount)) {
                let mismatch = format!("received {} instead of {amount}", shown(received));
                return self.unknown(Why::Mismatch(mismatch));
            }
        }
        Judgement::Said(Outcome::Succeeded(Success {
            reference: self.reference.clone(),
            movement: self.movement.clone(),
            amount,
            // what is held is taken by an operation of its own
            captured: capture == CaptureMethod::Automatic,
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

impl RefundEvidence {
    /// What this comes to for an operation that was to do what is `expected`.
    pub fn judge(&self, expected: &Expected) -> Judgement {
        let Aim::Refund { of } = &expected.aim else {
            return mismatch("a refund instead of a payment".to_owned());
        };
        if let Some(of_another) = foreign(self.operation_id, expected) {
            return mismatch(of_another);
        }
        let unknown =
            |why| Judgement::Said(Outcome::Unknown { reference: Some(self.reference.clone()), why });
        if let Some(payment) = self.payment.as_ref().filter(|payment| *payment != of) {
            return unknown(Why::Mismatch(format!("a refund of {payment} instead of {of}")));
        }
        if self.amount != Ok(expected.amount) {
            return unknown(Why::Mismatch(format!("{} instead of {}", shown(&self.amount), expected.amount)));
        }
        match &self.state {
            RefundState::Succeeded => Judgement::Said(Outcome::Succeeded(Success {
                reference: self.reference.clone(),
                movement: None,
                amount: expected.amount,
                captured: false,
            })),
            RefundState::Pending => unknown(Why::Processing),
            RefundState::Failed(reason) => Judgement::Said(Outcome::Declined {
                reference: Some(self.reference.clone()),
                decline: Decline {
                    code: decline::REFUND_FAILED,
                    decline_code: reason.clone(),
                    message: "the refund did not reach the buyer".to_owned(),
                },
            }),
        }
    }
}

impl PayoutEvidence {
    /// What this comes to for an operation that was to do what is `expected`.
    pub fn judge(&self, expected: &Expected) -> Judgement {
        let Aim::Payout { to, .. } = &expected.aim else {
            return mismatch("a payout instead of what was asked for".to_owned());
        };
        if let Some(of_another) = foreign(self.operation_id, expected) {
            return mismatch(of_another);
        }
        let unknown =
            |why| Judgement::Said(Outcome::Unknown { reference: Some(self.reference.clone()), why });
        if let Some(other) = self.to.as_ref().filter(|other| *other != to) {
            return unknown(Why::Mismatch(format!("sent to {other} instead of {to}")));
        }
        if self.amount != Ok(expected.amount) {
            return unknown(Why::Mismatch(format!("{} instead of {}", shown(&self.amount), expected.amount)));
        }
        match &self.state {
            PayoutState::OnItsWay | PayoutState::Arrived => Judgement::Said(Outcome::Succeeded(Success {
                reference: self.reference.clone(),
                movement: None,
                amount: expected.amount,
                captured: self.state == PayoutState::Arrived,
            })),
            PayoutState::Failed(decline) => Judgement::Said(Outcome::Declined {
                reference: Some(self.reference.clone()),
                decline: decline.clone(),
            }),
        }
    }
}

/// Not what was asked about, so without a reference: the object may be another operation's.
const fn mismatch(what: String) -> Judgement {
    Judgement::Said(Outcome::Unknown { reference: None, why: Why::Mismatch(what) })
}

/// Whether an object that names `found` is another operation's, in words.
fn foreign(found: Option<OperationId>, expected: &Expected) -> Option<String> {
    match found {
        Some(id) if id == expected.operation_id => None,
        Some(id) => Some(format!("operation {id} instead of {}", expected.operation_id)),
        None => Some(format!("no operation instead of {}", expected.operation_id)),
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
