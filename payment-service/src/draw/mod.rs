//! What refunds and disputes take of sellers, and what sellers get back of it: first of the payment's own money that is not
//! settled, then of what the seller has, and what is not there becomes debt.
//!
//! Whether a capture is settled, and how much of it was taken, are two crates' facts: each is read only after the sellers'
//! accounts are locked.

mod repo;

use std::collections::{BTreeSet, HashMap};

use ledger::account::Account;
use ledger::posting::{Builder, Posting, PostingError};
use money::{Currency, MerchantId, Money, OperationId, PaymentId, SellerId};
use sqlx::PgTransaction;
use uuid::Uuid;
use wallet::wallet::Purses;

/// Why nothing could be taken or given back. The caller's transaction is to be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("draw: the database failed")]
    Database(#[from] sqlx::Error),
    /// The ledger refused or failed.
    #[error("draw: the ledger failed")]
    Ledger(#[from] ledger::Error),
    /// What is taken does not balance.
    #[error("draw: the posting is impossible")]
    Posting(#[from] PostingError),
}

/// What a seller gives or gets: of which split, who, how much.
pub type Part = (i16, SellerId, Money);

/// What is to be held of a payment's sellers.
#[derive(Debug)]
pub struct Hold {
    /// The payment.
    pub payment_id: PaymentId,
    /// The posting that holds it, without a leg yet.
    pub posting: Builder,
    /// Whose money.
    pub parts: Vec<Part>,
}

/// What is held.
#[derive(Debug, Default)]
pub struct Held {
    /// What is to be posted; none where nothing was held.
    pub posting: Option<Posting>,
    /// What was taken of captures that are not settled: split, capture, minor units.
    pub draws: Vec<(i16, OperationId, i64)>,
}

/// What goes back to sellers.
#[derive(Debug)]
pub struct GiveBack {
    /// The other legs, with the debits that pay for it.
    pub posting: Builder,
    /// What each gets.
    pub parts: Vec<Part>,
}

/// Locks what the holds and `others` post to, and decides where each hold's money comes from. Answers in their order; the
/// caller posts all of it.
///
/// # Errors
/// When Postgres or the ledger fails.
pub async fn hold_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    holds: Vec<Hold>,
    others: &[Posting],
) -> Result<Vec<Held>, Error> {
    let parts = || holds.iter().flat_map(|hold| &hold.parts);
    if parts().next().is_none() {
        return Ok(holds.iter().map(|_| Held::default()).collect());
    }
    let mut purses = lock(tx, merchant, parts(), accounts(others)).await?;
    let payments: Vec<PaymentId> = holds.iter().map(|hold| hold.payment_id).collect();
    let mut pots = repo::unsettled(tx, merchant, &payments).await?;
    let mut held = Vec::with_capacity(holds.len());
    for Hold { payment_id, mut posting, parts } in holds {
        let mut draws = Vec::new();
        for (split_no, seller, amount) in parts {
            let pot = pots.get_mut(&(payment_id, split_no)).map(Vec::as_mut_slice).unwrap_or_default();
            let drawn = draw(pot, amount.minor);
            let pending = drawn.iter().map(|(_, minor)| minor).sum();
            let purse = purses.entry((seller.clone(), amount.currency)).or_default();
            posting = wallet::wallet::hold(posting, &seller, amount, pending, purse);
            draws.extend(drawn.into_iter().map(|(capture, minor)| (split_no, capture, minor)));
        }
        held.push(Held { posting: built(posting)?, draws });
    }
    Ok(held)
}

/// Locks what is given back and `others` post to, and decides where it goes: what was taken of a capture that is not settled
/// yet goes back there; everything else to the seller, debt first. `returns` are by who had taken it.
///
/// # Errors
/// When Postgres or the ledger fails.
pub async fn give_back_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    returns: Vec<(Uuid, GiveBack)>,
    others: &[Posting],
) -> Result<Vec<Posting>, Error> {
    let posted = returns.iter().flat_map(|(_, give_back)| give_back.posting.accounts());
    let posted = posted.chain(accounts(others));
    let parts = returns.iter().flat_map(|(_, give_back)| &give_back.parts);
    let mut purses = lock(tx, merchant, parts, posted).await?;
    let takers: Vec<Uuid> = returns.iter().map(|(taker, _)| *taker).collect();
    let unsettled = repo::take_back(tx, merchant, &takers).await?;
    let mut postings = Vec::with_capacity(returns.len());
    for (taker, GiveBack { mut posting, parts }) in returns {
        for (split_no, seller, amount) in parts {
            let pending = unsettled.get(&(taker, split_no)).copied().unwrap_or_default().min(amount.minor);
            let part = |minor| Money::new(minor, amount.currency);
            posting = posting.credit(Account::SellerPending(seller.clone()), part(pending));
            let purse = purses.entry((seller.clone(), amount.currency)).or_default();
            posting = wallet::wallet::give(posting, &seller, part(amount.minor - pending), purse);
        }
        postings.extend(built(posting)?);
    }
    Ok(postings)
}

/// Locks everything that a transaction posts to, in one go.
async fn lock<'a>(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    parts: impl Iterator<Item = &'a Part>,
    others: impl Iterator<Item = (Account, Currency)>,
) -> Result<Purses, ledger::Error> {
    let sellers: BTreeSet<_> = parts.map(|(_, seller, amount)| (seller.clone(), amount.currency)).collect();
    let others: BTreeSet<_> = others.collect();
    let (sellers, others): (Vec<_>, Vec<_>) = (sellers.into_iter().collect(), others.into_iter().collect());
    wallet::wallet::lock_in_tx(tx, merchant, &sellers, &others).await
}

fn accounts(postings: &[Posting]) -> impl Iterator<Item = (Account, Currency)> {
    postings.iter().flat_map(Posting::accounts).map(|(account, currency)| (account.clone(), currency))
}

/// The posting; none where all of it was the platform's, and nothing moves.
fn built(posting: Builder) -> Result<Option<Posting>, PostingError> {
    match posting.build() {
        Ok(posting) => Ok(Some(posting)),
        Err(PostingError::Empty) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is left of captures, by split.
type Pots = HashMap<(PaymentId, i16), Vec<(OperationId, i64)>>;

/// Takes up to `wanted` out of the pots, the first first, and answers how much of each.
fn draw(pots: &mut [(OperationId, i64)], wanted: i64) -> Vec<(OperationId, i64)> {
    let mut left = wanted;
    let mut drawn = Vec::new();
    for (capture, pot) in pots {
        let taken = left.min(*pot);
        if taken > 0 {
            *pot -= taken;
            left -= taken;
            drawn.push((*capture, taken));
        }
    }
    drawn
}
