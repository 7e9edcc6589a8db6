//! Disputes: what buyers' banks ask back. Nobody here starts one: what a PSP says of it, by webhook or settlement line, is
//! recorded under the lock of its payment, with its books and its event, whatever was refunded before.
//!
//! While a dispute is open its money is with the bank (`disputes`) and its sellers' parts are held; a refund may give back
//! only what no dispute has taken. What the PSP takes beyond that is recorded as well, and is a break.

mod decide;
mod repo;
mod state;
mod view;

use money::{DisputeId, MerchantId, PaymentId, PspAccountId};
use reconciliation::break_::{self, At, BreakKind, NewBreak};
use sqlx::{PgPool, PgTransaction};

use crate::draw;
use decide::{Change, Decision, State, decide};

pub use decide::Word;
pub use state::{DisputeEvent, DisputeStatus, Funds, FundsEvent, IllegalTransition};
pub use view::{DisputeFilter, DisputeView};

/// Why a dispute could not be recorded. Nothing of the step that failed was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("dispute: the database failed")]
    Database(#[from] sqlx::Error),
    /// The ledger refused or failed.
    #[error("dispute: the ledger failed")]
    Ledger(#[from] ledger::Error),
    /// The books do not balance.
    #[error("dispute: the posting is impossible")]
    Posting(#[from] ledger::posting::PostingError),
    /// Sellers' money could not be moved.
    #[error("dispute: sellers' money could not be moved")]
    Draw(#[from] draw::Error),
    /// Fewer rows changed than were locked and decided on.
    #[error("dispute: {changed} of {expected} rows changed")]
    RowsLost {
        /// Rows that had to change.
        expected: usize,
        /// Rows that did.
        changed: usize,
    },
    /// A row holds a word that this version does not know.
    #[error("dispute: unknown word in column {0}")]
    UnknownWord(&'static str),
}

/// What came of a PSP's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The dispute now stands so, with its money there.
    Now(DisputeStatus, Funds),
    /// It said nothing new.
    Stale,
    /// Its payment has nothing captured yet: to be said again later.
    TooEarly,
    /// It is about no payment of ours.
    NotOurs,
    /// It cannot be: a person has to look.
    Refused(String),
}

/// Records what a PSP says of a dispute of the payment that it calls `payment`.
///
/// # Errors
/// When Postgres or the ledger fails. What was recorded before stands, and the rest is recorded when it is said again.
pub async fn record(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
    payment: &str,
    word: &Word,
) -> Result<Recorded, Error> {
    match repo::payment_of(pool, merchant, account, payment).await? {
        Some(payment) => record_of(pool, merchant, payment, word).await,
        None => Ok(Recorded::NotOurs),
    }
}

/// Records what a PSP says of a dispute of a payment.
///
/// # Errors
/// As [`record`].
pub async fn record_of(
    pool: &PgPool,
    merchant: MerchantId,
    payment: PaymentId,
    word: &Word,
) -> Result<Recorded, Error> {
    let mut recorded = None;
    // each step is a transaction of its own; there are three at most
    loop {
        let mut tx = pool.begin().await?;
        match record_in_tx(&mut tx, merchant, payment, word).await? {
            step @ Recorded::Now(..) => recorded = Some(step),
            other => return Ok(recorded.unwrap_or(other)),
        }
        tx.commit().await?;
    }
}

/// Takes the next step of a dispute towards what a PSP says of it, in the caller's transaction.
///
/// # Errors
/// As [`record`]; the caller's transaction is then to be rolled back.
pub async fn record_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    payment: PaymentId,
    word: &Word,
) -> Result<Recorded, Error> {
    let Some(state) = repo::lock_and_read(tx, merchant, payment, &word.psp_reference).await? else {
        return Ok(Recorded::NotOurs);
    };
    let mut change = match decide(&state, word)? {
        Decision::Stale => return Ok(Recorded::Stale),
        Decision::TooEarly => return Ok(Recorded::TooEarly),
        Decision::Refused(why) => return Ok(Recorded::Refused(why)),
        Decision::Change(change) => *change,
    };
    repo::write(tx, merchant, &change).await?;
    post(tx, merchant, &mut change).await?;
    if change.is_beyond {
        break_::open_in_tx(tx, merchant, &beyond(&state, &change)).await?;
    }
    Ok(Recorded::Now(change.view.status, change.view.funds))
}

/// Posts what was decided, all of whose accounts are locked in one go.
async fn post(tx: &mut PgTransaction<'_>, merchant: MerchantId, change: &mut Change) -> Result<(), Error> {
    let dispute = change.view.dispute_id;
    let mut postings: Vec<_> = change.books.posting.take().into_iter().collect();
    if let Some(hold) = change.books.hold.take() {
        for held in draw::hold_in_tx(tx, merchant, vec![hold], &postings).await? {
            repo::draw(tx, merchant, dispute, &held.draws).await?;
            postings.extend(held.posting);
        }
    }
    if let Some(give_back) = change.books.give_back.take() {
        let returns = vec![(dispute.as_uuid(), give_back)];
        postings.extend(draw::give_back_in_tx(tx, merchant, returns, &postings).await?);
    }
    ledger::posting::post_in_tx(tx, merchant, &postings).await?;
    Ok(())
}

/// More was taken than refunds had left: the buyer may have got it twice.
fn beyond(state: &State, change: &Change) -> NewBreak {
    let (view, payment) = (&change.view, &state.payment);
    let gone = payment.refunded_amount + payment.refund_reserved_amount + payment.disputed_amount;
    let left = (payment.captured_amount - gone).max(0);
    NewBreak {
        expected: Some(left),
        found: Some(money::Money::new(view.amount, view.currency)),
        psp_reference: Some(view.psp_reference.clone()),
        payment_id: Some(payment.payment_id),
        order_id: Some(payment.order_id.clone()),
        detail: format!(
            "a dispute took {} of a payment of which refunds and other disputes had left {left}",
            view.amount
        ),
        ..NewBreak::new(
            BreakKind::DisputedBeyond,
            At::Psp(view.psp_account_id),
            view.dispute_id.to_string(),
            view.currency,
            time::OffsetDateTime::now_utc().date(),
        )
    }
}

/// The dispute as its merchant sees it; none if the merchant has no such dispute.
///
/// # Errors
/// When Postgres fails, or its row is not understood.
pub async fn get(
    pool: &PgPool,
    merchant: MerchantId,
    dispute: DisputeId,
) -> Result<Option<DisputeView>, Error> {
    repo::get(pool, merchant, dispute).await
}

/// Disputes, the one heard of last first.
///
/// # Errors
/// When Postgres fails, or a row is not understood.
pub async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &DisputeFilter,
) -> Result<Vec<DisputeView>, Error> {
    repo::list(pool, merchant, filter).await
}
