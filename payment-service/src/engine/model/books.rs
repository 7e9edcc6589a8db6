//! What is committed: the rows of one operation and its payment. What a finding means for them is the product's own
//! [`decide`]; the rest says in Rust what the statements of `operation/record_write_repo.rs` and `operation/takeover_repo.rs` do.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use ledger::posting::PostingError;
use money::{Currency, Money, OperationId, PaymentId, PspAccountId, SellerId};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;
use wallet::wallet::Split;

use super::world::Glance;
use crate::operation::{
    By, Decision, Finding, Known, OperationKind, OperationStatus, Share, SplitSums, Subject, Taken, decide,
};
use crate::payment::{PaymentStatus, PaymentView};
use crate::psp::{Aim, CaptureMethod, Errand, Expected, Method, PspReference};

/// When the operation was sent first, by the model's clock.
pub(super) const SENT: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// What the buyer owes, in minor units.
const OWED: i64 = 2;

/// The rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Books {
    pub(super) status: OperationStatus,
    pub(super) payment: PaymentStatus,
    pub(super) fence: i64,
    pub(super) takeovers: i32,
    pub(super) reference: Option<PspReference>,
    /// Whether a worker will look at it, once its lease is over.
    pub(super) is_due: bool,
    pub(super) is_leased: bool,
    /// The client's final answer, as (status, what it says).
    pub(super) answer: Option<(u16, String)>,
    /// How often something was posted.
    pub(super) postings: u8,
    /// Whether there is a break: done although it had ended without, or done once more.
    pub(super) has_break: bool,
}

/// What a recording did.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) books: Books,
    /// Whether it would have answered the client otherwise than before.
    pub(super) contradicts_answer: bool,
}

/// An operation of a kind, and what was recorded about it so far: the same is decided alike.
pub(super) struct Ledger {
    pub(super) kind: OperationKind,
    /// What the operation is to do.
    pub(super) expected: Expected,
    recorded: RwLock<HashMap<(Books, By, Finding), Done>>,
}

impl Ledger {
    pub(super) fn new(kind: OperationKind) -> Self {
        Self { kind, expected: expected(kind), recorded: RwLock::default() }
    }

    /// As it is just after the claim: its first sender's.
    pub(super) fn claimed(&self) -> Books {
        Books {
            status: OperationStatus::Sending,
            payment: match self.kind {
                OperationKind::Authorize => PaymentStatus::Processing,
                OperationKind::Capture | OperationKind::Void => PaymentStatus::Authorized,
                OperationKind::Refund => PaymentStatus::Captured,
                OperationKind::Payout => panic!("the model is of payments"),
            },
            fence: 1,
            takeovers: 0,
            reference: None,
            is_due: true,
            is_leased: true,
            answer: None,
            postings: 0,
            has_break: false,
        }
    }

    /// What its owner took over.
    pub(super) fn taken(&self, fence: i64, glance: &Glance) -> Taken {
        Taken {
            errand: Errand {
                expected: self.expected.clone(),
                order_id: "o-1".parse().unwrap(),
                method: Method::of(Some("pm_1".to_owned()), None),
            },
            fence,
            subject: Subject::Payment(PaymentId::from_uuid(Uuid::nil())),
            is_pending: matches!(
                glance.payment,
                PaymentStatus::Authorized | PaymentStatus::PartiallyCaptured
            ),
            psp_account_id: PspAccountId::from_uuid(Uuid::nil()),
            psp_reference: glance.reference.clone(),
            status: glance.status,
            reason: None,
            takeovers: glance.takeovers,
            first_sent_at: SENT,
            standing_since: SENT,
            now: SENT + glance.clock.age(),
        }
    }

    /// Records a finding, as `operation::record` does.
    pub(super) fn record(&self, books: &Books, by: By, finding: Finding) -> Done {
        let asked = (books.clone(), by, finding);
        if let Some(done) = self.recorded.read().unwrap_or_else(PoisonError::into_inner).get(&asked) {
            return done.clone();
        }
        let done = self.decide(books, by, &asked.2).unwrap();
        self.recorded.write().unwrap_or_else(PoisonError::into_inner).insert(asked, done.clone());
        done
    }

    fn decide(&self, books: &Books, by: By, finding: &Finding) -> Result<Done, PostingError> {
        let mut after = books.clone();
        let mut contradicts_answer = false;
        match decide(&self.known(books), by, finding)? {
            Decision::Superseded | Decision::Stale => {}
            Decision::LateSuccess | Decision::Twice => after.has_break = true,
            Decision::Change(change) => {
                after.status = change.status;
                after.fence = by.fence_after(books.fence);
                after.is_due = change.due_in.is_some();
                after.is_leased = false;
                after.reference = change.psp_reference.or(after.reference);
                after.postings += u8::from(!change.postings.is_empty() || change.give_back.is_some());
                if let Some(payment) = change.payment {
                    after.payment = payment.status;
                }
                let told = change.response.filter(|(status, _)| *status != 202).map(said);
                contradicts_answer = told.is_some() && books.answer.is_some() && told != books.answer;
                after.answer = after.answer.or(told);
            }
        }
        Ok(Done { books: after, contradicts_answer })
    }

    /// The rows under the lock.
    fn known(&self, books: &Books) -> Known {
        let is_refund = self.kind == OperationKind::Refund;
        let is_done = books.status == OperationStatus::Succeeded;
        let amount = self.expected.amount.minor;
        let sums = SplitSums {
            captured: self.captured(books),
            reserved: if is_refund && !is_done { amount } else { 0 },
            refunded: if is_refund && is_done { amount } else { 0 },
            refunded_fee: 0,
        };
        let seller: SellerId = "anna".parse().unwrap();
        let share = Share { split_no: 0, seller: seller.clone(), amount, platform_fee: 0, sums };
        let has_shares = matches!(self.kind, OperationKind::Capture | OperationKind::Refund);
        Known {
            operation_id: operation_id(),
            kind: self.kind,
            status: books.status,
            amount,
            last_capture: (self.kind == OperationKind::Capture).then_some(false),
            fence: books.fence,
            takeovers: books.takeovers,
            reason: None,
            created_at: SENT,
            payment: self.payment(books, &sums),
            version: 1,
            has_open_change: false,
            psp_reference: books.reference.as_ref().map(|reference| reference.as_str().to_owned()),
            key: "key".to_owned(),
            splits: vec![Split { seller, amount: OWED, platform_fee: 0 }],
            shares: has_shares.then_some(share).into_iter().collect(),
            now: SENT,
        }
    }

    const fn captured(&self, books: &Books) -> i64 {
        match books.payment {
            PaymentStatus::Captured => OWED,
            PaymentStatus::PartiallyCaptured => 1,
            _ => 0,
        }
    }

    fn payment(&self, books: &Books, sums: &SplitSums) -> PaymentView {
        PaymentView {
            payment_id: PaymentId::from_uuid(Uuid::nil()),
            order_id: "o-1".to_owned(),
            ordinal: 1,
            status: books.payment,
            amount: OWED,
            currency: Currency::EUR,
            capture: if self.kind == OperationKind::Authorize { "automatic" } else { "manual" },
            payment_method: Some("pm_1".to_owned()),
            return_url: None,
            psp_account_id: PspAccountId::from_uuid(Uuid::nil()),
            authorized_amount: OWED,
            captured_amount: sums.captured,
            refund_reserved_amount: sums.reserved,
            refunded_amount: sums.refunded,
            disputed_amount: 0,
            splits: Vec::new(),
            metadata: std::collections::BTreeMap::new(),
            failure: None,
            next_action: None,
            created_at: SENT,
            updated_at: SENT,
        }
    }
}

fn expected(kind: OperationKind) -> Expected {
    let of = || reference(kind, 0);
    let (minor, aim) = match kind {
        OperationKind::Authorize => (OWED, Aim::Authorize { capture: CaptureMethod::Automatic }),
        OperationKind::Capture => (1, Aim::Capture { of: of(), captured_before: 0, last: false }),
        OperationKind::Void => (OWED, Aim::Void { of: of(), captured_before: 0 }),
        OperationKind::Refund => (1, Aim::Refund { of: PspReference::parse("pi_0").unwrap() }),
        OperationKind::Payout => panic!("the model is of payments"),
    };
    Expected { operation_id: operation_id(), amount: Money::new(minor, Currency::EUR), aim }
}

/// What of a stored answer is not a moment or an id.
fn said((status, body): (u16, String)) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    (status, body["status"].as_str().unwrap().to_owned())
}

pub(super) fn operation_id() -> OperationId {
    OperationId::from_uuid(Uuid::nil())
}

/// The PSP's name of its object of that number.
pub(super) fn reference(kind: OperationKind, object: usize) -> PspReference {
    let prefix = if kind == OperationKind::Refund { "re" } else { "pi" };
    PspReference::parse(&format!("{prefix}_{object}")).unwrap()
}
