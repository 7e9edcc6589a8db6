//! What a PSP's word means for a dispute and its payment: pure, decided on rows that are locked.

use ledger::account::Account;
use ledger::posting::{Builder, Posting, PostingError, Source};
use money::{DisputeId, Money, PspAccountId, SellerId, divide};
use time::OffsetDateTime;

use super::{DisputeEvent, DisputeStatus, DisputeView, Funds};
use crate::draw::{GiveBack, Hold, Part};
use crate::outbox::{self, NewEvent};
use crate::payment::{PaymentView, SplitView};

/// What a PSP says of a dispute, at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The PSP's name of it.
    pub psp_reference: String,
    /// Where it stood.
    pub event: DisputeEvent,
    /// When, by the PSP's clock.
    pub at: OffsetDateTime,
    /// How much the bank asks back.
    pub amount: Money,
    /// The bank's reason.
    pub reason: Option<String>,
    /// Until when it may be answered.
    pub evidence_due_at: Option<OffsetDateTime>,
    /// How often the money was taken by then.
    pub taken: u32,
    /// How often it came back.
    pub returned: u32,
    /// What the PSP charged, in minor units of the amount's currency.
    pub fee: i64,
    /// What of that it returned.
    pub returned_fee: i64,
}

/// A payment and its dispute as they are under the lock.
pub(super) struct State {
    pub payment: PaymentView,
    pub version: i32,
    pub splits: Vec<SplitState>,
    pub dispute: Option<Known>,
    pub now: OffsetDateTime,
}

/// A split as it is under the lock.
#[derive(Debug, Clone)]
pub(super) struct SplitState {
    pub split_no: i16,
    pub seller: SellerId,
    pub amount: i64,
    pub platform_fee: i64,
    pub captured: i64,
    /// Refunded or reserved for it.
    pub refunded: i64,
    pub refunded_fee: i64,
    pub disputed: i64,
    pub disputed_fee: i64,
}

/// A dispute that was heard of before.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub view: DisputeView,
    pub status_at: OffsetDateTime,
    /// How it falls on the splits, once it took anything.
    pub shares: Vec<Share>,
}

/// What of a dispute falls on a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub split_no: i16,
    pub seller: SellerId,
    pub amount: i64,
    /// What of it the platform bears.
    pub platform_fee: i64,
}

/// What is to be done about a word.
pub(super) enum Decision {
    /// It says nothing new.
    Stale,
    /// The payment has nothing captured yet.
    TooEarly,
    /// It cannot be: a person has to look.
    Refused(String),
    /// The dispute changes.
    Change(Box<Change>),
}

/// What a dispute and its payment become.
pub(super) struct Change {
    pub view: DisputeView,
    pub status_at: OffsetDateTime,
    pub is_new: bool,
    pub payment: PaymentView,
    pub version: i32,
    pub event: NewEvent,
    pub books: Books,
    /// How it falls on the splits, where that is decided now.
    pub shares: Vec<Share>,
    /// By how much the splits' disputed parts grow: amounts and fees.
    pub growth: Vec<(i16, i64, i64)>,
    /// It takes more than the payment had left.
    pub is_beyond: bool,
}

/// What is posted.
#[derive(Default)]
pub(super) struct Books {
    pub posting: Option<Posting>,
    pub hold: Option<Hold>,
    pub give_back: Option<GiveBack>,
}

impl Share {
    const fn net(&self) -> i64 {
        self.amount - self.platform_fee
    }
}

impl SplitState {
    const fn gone(&self) -> i64 {
        self.refunded + self.disputed
    }

    /// The platform's part of the first `amount`: rounded down, and all of it in the end.
    fn fee_at(&self, amount: i64) -> i64 {
        let fee = i128::from(self.platform_fee) * i128::from(amount) / i128::from(self.amount.max(1));
        i64::try_from(fee).unwrap_or(self.platform_fee)
    }
}

/// Decides what `word` means. A dispute takes one step at a time, each with books of its own: where more has happened, the
/// same word is decided on again.
///
/// # Errors
/// When the books cannot balance.
pub(super) fn decide(state: &State, word: &Word) -> Result<Decision, PostingError> {
    if let Some(why) = contradiction(state, word) {
        return Ok(Decision::Refused(why));
    }
    if state.payment.captured_amount == 0 {
        return Ok(Decision::TooEarly);
    }
    let before = state.dispute.as_ref();
    let funds = before.map_or(Funds::Left, |known| known.view.funds);
    let status = before.map_or(DisputeStatus::New, |known| known.view.status);
    // events come in any order: what was so before says nothing of how it stands now, only of the money
    let next = status.apply(word.event).ok().filter(|next| {
        // of one moment's, the one after which more had happened came last
        let is_returned = funds == Funds::Returned;
        before
            .is_none_or(|known| (word.at, word.returned > 0, *next) >= (known.status_at, is_returned, status))
    });
    let stands = next.unwrap_or(status);
    let step = funds.next(word.taken > 0, word.returned > 0, stands == DisputeStatus::Lost);
    let is_same = before.is_some_and(|known| {
        known.view.status == stands
            && (next.is_none() || known.view.evidence_due_at == word.evidence_due_at)
            && step.is_none()
    });
    // what cannot be is not where a dispute begins
    if is_same || (before.is_none() && next.is_none()) {
        return Ok(Decision::Stale);
    }
    let view = viewed(state, word, stands, next.is_some());
    let status_at = match (next, before) {
        (None, Some(known)) => known.status_at,
        (Some(_), _) | (None, None) => word.at,
    };
    Ok(Decision::Change(Box::new(change(state, word, view, status_at, step)?)))
}

fn contradiction(state: &State, word: &Word) -> Option<String> {
    let (payment, amount) = (&state.payment, word.amount);
    if amount.currency != payment.currency {
        return Some(format!("it is of {amount}, its payment in {}", payment.currency));
    }
    if payment.captured_amount > 0 && amount.minor > payment.captured_amount {
        return Some(format!("it is of {amount}, its payment of {}", payment.captured_amount));
    }
    if word.taken > 1 || word.returned > 1 {
        return Some("the money was taken more than once".to_owned());
    }
    let known = state.dispute.as_ref().filter(|known| known.view.funds != Funds::Left)?;
    (known.view.amount != amount.minor)
        .then(|| format!("it is of {amount}, and was of {}", known.view.amount))
}

/// The dispute as it then is, but for its money.
fn viewed(state: &State, word: &Word, status: DisputeStatus, is_news: bool) -> DisputeView {
    let Some(known) = &state.dispute else {
        return DisputeView {
            dispute_id: DisputeId::new(),
            payment_id: state.payment.payment_id,
            psp_account_id: state.payment.psp_account_id,
            psp_reference: word.psp_reference.clone(),
            status,
            reason: word.reason.clone(),
            amount: word.amount.minor,
            currency: word.amount.currency,
            funds: Funds::Left,
            fee: 0,
            returned_fee: 0,
            evidence_due_at: word.evidence_due_at,
            splits: Vec::new(),
            created_at: state.now,
            updated_at: state.now,
        };
    };
    let mut view = DisputeView { status, updated_at: state.now, ..known.view.clone() };
    if is_news {
        view.evidence_due_at = word.evidence_due_at;
        view.reason = word.reason.clone().or(view.reason);
        // an inquiry may become a chargeback of another amount
        view.amount = word.amount.minor;
    }
    view
}

fn change(
    state: &State,
    word: &Word,
    mut view: DisputeView,
    status_at: OffsetDateTime,
    step: Option<Funds>,
) -> Result<Change, PostingError> {
    let mut payment = PaymentView { updated_at: state.now, ..state.payment.clone() };
    let mut shares = state.dispute.as_ref().map(|known| known.shares.clone()).unwrap_or_default();
    let (mut decided, mut growth, mut books, mut is_beyond) =
        (Vec::new(), Vec::new(), Books::default(), false);
    match step {
        None => {}
        Some(Funds::Taken) => {
            (shares, is_beyond) = divided(state, view.amount);
            decided.clone_from(&shares);
            growth = shares.iter().map(|share| (share.split_no, share.amount, share.platform_fee)).collect();
            payment.disputed_amount += view.amount;
            view.fee = word.fee.max(0);
            books = taken(state, &view, &shares)?;
        }
        Some(Funds::Lost) => books = lost(state, &view, &shares)?,
        Some(Funds::Returned) => {
            growth =
                shares.iter().map(|share| (share.split_no, -share.amount, -share.platform_fee)).collect();
            payment.disputed_amount -= view.amount;
            view.returned_fee = word.returned_fee.clamp(0, view.fee);
            books = returned(state, &view, &shares)?;
        }
        // nothing leads back
        Some(Funds::Left) => {}
    }
    view.funds = step.unwrap_or(view.funds);
    view.splits = shares
        .iter()
        .map(|share| SplitView {
            seller: share.seller.to_string(),
            amount: share.amount,
            platform_fee: share.platform_fee,
        })
        .collect();
    let before = state.dispute.as_ref().map(|known| known.view.status);
    let event = outbox::of_dispute(told(before, view.status, step), &payment, &view);
    Ok(Change {
        status_at,
        is_new: state.dispute.is_none(),
        version: state.version,
        payment,
        event,
        books,
        shares: decided,
        growth,
        is_beyond,
        view,
    })
}

/// What happened, for whoever listens.
fn told(before: Option<DisputeStatus>, now: DisputeStatus, step: Option<Funds>) -> &'static str {
    let is_heard_of = matches!(before, None | Some(DisputeStatus::Inquiry | DisputeStatus::Closed));
    let is_same = before == Some(now);
    match (now, step) {
        (_, Some(Funds::Returned)) if is_same => "payment.dispute_funds_returned",
        (_, Some(Funds::Taken)) if is_same => "payment.dispute_funds_taken",
        (DisputeStatus::Won, _) if !is_same => "payment.dispute_won",
        (DisputeStatus::Lost, _) if !is_same => "payment.dispute_lost",
        (DisputeStatus::Closed, _) if !is_same => "payment.dispute_closed",
        (DisputeStatus::Inquiry, _) if !is_same => "payment.dispute_inquiry",
        (DisputeStatus::EvidenceDue | DisputeStatus::UnderReview, _) if is_heard_of => {
            "payment.dispute_opened"
        }
        _ => "payment.dispute_updated",
    }
}

/// How what is taken falls on the splits, and whether it is more than what refunds and other disputes have left. Then it
/// falls on them as they were captured: whoever's money it was, the PSP has taken it.
fn divided(state: &State, amount: i64) -> (Vec<Share>, bool) {
    let rooms = |gone: fn(&SplitState) -> i64| -> Vec<money::Part> {
        let room = |split: &SplitState| money::Part { whole: split.captured, done: gone(split) };
        state.splits.iter().map(room).collect()
    };
    let within = divide(amount, &rooms(SplitState::gone));
    let is_beyond = within.is_none();
    let parts = within.or_else(|| divide(amount, &rooms(|_| 0))).unwrap_or_default();
    let share = |(split, &amount): (&SplitState, &i64)| {
        let before = if is_beyond { 0 } else { split.gone() };
        let fee = split.fee_at(before + amount) - split.fee_at(before);
        let left = split.fee_at(split.captured) - split.refunded_fee - split.disputed_fee;
        Share {
            split_no: split.split_no,
            seller: split.seller.clone(),
            amount,
            platform_fee: fee.min(left).clamp(0, amount),
        }
    };
    let shares = state.splits.iter().zip(&parts).filter(|(_, amount)| **amount > 0);
    (shares.map(share).collect(), is_beyond)
}

/// The bank has the money, the sellers' parts are held, and the PSP's fee is owed.
fn taken(state: &State, view: &DisputeView, shares: &[Share]) -> Result<Books, PostingError> {
    let (amount, fee) = (money(view, view.amount), money(view, view.fee));
    let posting = builder(state, view, "dispute")
        .debit(Account::Disputes, amount)
        .debit(Account::PspFees, fee)
        .credit(receivable(view), money(view, view.amount.saturating_add(view.fee)));
    let hold = Hold {
        payment_id: view.payment_id,
        posting: builder(state, view, "dispute_hold"),
        parts: parts(view, shares),
    };
    Ok(Books { posting: Some(posting.build()?), hold: Some(hold), give_back: None })
}

/// What was held is the buyer's.
fn lost(state: &State, view: &DisputeView, shares: &[Share]) -> Result<Books, PostingError> {
    let posting = shares.iter().fold(builder(state, view, "dispute_lost"), |posting, share| {
        posting
            .debit(Account::SellerHeld(share.seller.clone()), money(view, share.net()))
            .debit(Account::PlatformFees, money(view, share.platform_fee))
    });
    let posting = posting.credit(Account::Disputes, money(view, view.amount)).build()?;
    Ok(Books { posting: Some(posting), ..Books::default() })
}

/// The PSP owes it to us again, and the sellers get their parts back: from what is held of them, or once it was lost from
/// what the bank pays.
fn returned(state: &State, view: &DisputeView, shares: &[Share]) -> Result<Books, PostingError> {
    let was_lost = view.funds == Funds::Lost;
    let back = builder(state, view, "dispute_won")
        .debit(receivable(view), money(view, view.amount.saturating_add(view.returned_fee)))
        .credit(Account::PspFees, money(view, view.returned_fee));
    let parts = parts(view, shares);
    if was_lost {
        let posting = shares.iter().fold(back, |posting, share| {
            posting.credit(Account::PlatformFees, money(view, share.platform_fee))
        });
        return Ok(Books { give_back: Some(GiveBack { posting, parts }), ..Books::default() });
    }
    let posting = back.credit(Account::Disputes, money(view, view.amount)).build()?;
    let release = shares.iter().fold(builder(state, view, "dispute_release"), |posting, share| {
        posting.debit(Account::SellerHeld(share.seller.clone()), money(view, share.net()))
    });
    Ok(Books { posting: Some(posting), hold: None, give_back: Some(GiveBack { posting: release, parts }) })
}

fn parts(view: &DisputeView, shares: &[Share]) -> Vec<Part> {
    let part = |share: &Share| (share.split_no, share.seller.clone(), money(view, share.net()));
    shares.iter().map(part).filter(|(_, _, amount)| amount.minor > 0).collect()
}

fn receivable(view: &DisputeView) -> Account {
    let account: PspAccountId = view.psp_account_id;
    Account::PspReceivable(account)
}

const fn money(view: &DisputeView, minor: i64) -> Money {
    Money::new(minor, view.currency)
}

fn builder(state: &State, view: &DisputeView, kind: &'static str) -> Builder {
    Posting::builder(Source { table: "dispute", id: view.dispute_id.as_uuid() }, kind, state.now.date())
}
