//! What people do about breaks, each in one commit with what it comes to.

use ledger::account::Account;
use ledger::posting::{Posted, Posting, Source};
use money::{BreakId, Currency, MerchantId, Money, TransactionId};
use sqlx::PgTransaction;
use time::Date;
use uuid::Uuid;

use super::act::{Act, Actor, Target};
use super::decide::{How, Outcome, Refused, decide};
use super::{Error, work_repo};
use crate::bank;

/// Does something about a break, in the caller's transaction, which a refusal leaves as it was. Asked again, nothing more
/// happens, but for comments and the like.
///
/// # Errors
/// When Postgres or the ledger fails; the caller's transaction is then to be rolled back.
pub async fn act_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    break_id: BreakId,
    act: &Act,
    actor: &Actor,
) -> Result<Result<Outcome, Refused>, Error> {
    // whoever matches takes the bank accounts first, then what is open
    bank::lock_in_tx(tx, merchant).await.map_err(Box::new)?;
    let Some(locked) = work_repo::lock(tx, merchant, break_id).await? else {
        return Ok(Err(Refused::NotFound));
    };
    let actor = actor.to_string();
    let outcome = match decide(&locked.standing, act, &actor) {
        Ok(outcome) => outcome,
        Err(refused) => return Ok(Err(refused)),
    };
    match (outcome, act) {
        (Outcome::Already, _) => return Ok(Ok(outcome)),
        (Outcome::Proposed, Act::Adjust { to, .. })
            if !is_known(tx, merchant, to, locked.standing.weight.currency).await? =>
        {
            return Ok(Err(Refused::NoSuchAccount));
        }
        (Outcome::Closed(How::Adjusted), Act::Adjust { to, .. }) => {
            if let Err(refused) = adjust_in_tx(tx, merchant, &locked, to).await? {
                return Ok(Err(refused));
            }
        }
        (Outcome::Reopened, _) => reverse_in_tx(tx, merchant, &locked).await?,
        _ => {}
    }
    work_repo::note(tx, merchant, break_id, act, outcome, &actor).await?;
    Ok(Ok(outcome))
}

/// What a break's money was moved for is there after all: it is moved back, and the break was closed by itself.
pub(crate) async fn undo_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    break_id: BreakId,
    because: &str,
) -> Result<(), Error> {
    if let Some(locked) = work_repo::lock(tx, merchant, break_id).await? {
        reverse_in_tx(tx, merchant, &locked).await?;
        work_repo::note_undone(tx, merchant, break_id, because).await?;
    }
    Ok(())
}

async fn adjust_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    locked: &work_repo::Locked,
    to: &Target,
) -> Result<Result<(), Refused>, Error> {
    let Some((from, held)) = &locked.standing.held else { return Ok(Err(Refused::HoldsNothing)) };
    let Some(from_account) = held_by(from) else { return Err(Error::Corrupt(from.clone())) };
    if !is_known(tx, merchant, to, held.currency).await? {
        return Ok(Err(Refused::NoSuchAccount));
    }
    let to_account = to.account();
    if !has_enough(tx, merchant, &to_account, *held).await? {
        return Ok(Err(Refused::BelowFloor));
    }
    let id = Uuid::now_v7();
    let transaction = post(
        tx,
        merchant,
        posting((id, "adjust"), locked.standing.today, &from_account, &to_account, *held)?,
    )
    .await?;
    let adjustment = work_repo::Adjustment {
        id,
        from_account: from.clone(),
        to_account: to.to_string(),
        amount: *held,
        transaction,
    };
    work_repo::insert_adjustment(tx, merchant, locked, &adjustment).await?;
    Ok(Ok(()))
}

/// Moves the money back, where it was moved.
async fn reverse_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    locked: &work_repo::Locked,
) -> Result<(), Error> {
    let Some(adjustment) = work_repo::active_adjustment(tx, merchant, locked.break_id).await? else {
        return Ok(());
    };
    let from =
        held_by(&adjustment.from_account).ok_or_else(|| Error::Corrupt(adjustment.from_account.clone()))?;
    let to: Target =
        adjustment.to_account.parse().map_err(|_| Error::Corrupt(adjustment.to_account.clone()))?;
    let back = posting(
        (adjustment.id, "adjust_reversed"),
        locked.standing.today,
        &to.account(),
        &from,
        adjustment.amount,
    )?;
    let transaction = post(tx, merchant, back).await?;
    work_repo::reverse_adjustment(tx, merchant, locked, &adjustment, transaction).await?;
    Ok(())
}

async fn post(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    posting: Posting,
) -> Result<TransactionId, Error> {
    let posted = ledger::posting::post_in_tx(tx, merchant, &[posting]).await?;
    match posted.as_slice() {
        [Posted::Now(transaction)] => Ok(*transaction),
        _ => Err(Error::PostedBefore),
    }
}

/// Moves what is debited to `from` on to `to`.
fn posting(
    (id, kind): (Uuid, &'static str),
    day: Date,
    from: &Account,
    to: &Account,
    amount: Money,
) -> Result<Posting, Error> {
    let size = i64::try_from(amount.minor.unsigned_abs()).map_err(|_| Error::Overflow)?;
    let size = Money::new(size, amount.currency);
    let (debit, credit) = if amount.minor > 0 { (to, from) } else { (from, to) };
    let posting = Posting::builder(Source { table: "break", id }, kind, day);
    Ok(posting.debit(debit.clone(), size).credit(credit.clone(), size).build()?)
}

/// The account in which a break's money stands, by its code.
fn held_by(code: &str) -> Option<Account> {
    match code.split_once('/') {
        None if code == "suspense" => Some(Account::Suspense),
        Some(("psp_receivable", psp)) => psp.parse().ok().map(Account::PspReceivable),
        Some(("payout_in_transit", psp)) => psp.parse().ok().map(Account::PayoutInTransit),
        _ => None,
    }
}

/// Whether the account that is named is one of the merchant's: a slip of the pen makes no seller.
async fn is_known(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    to: &Target,
    currency: Currency,
) -> Result<bool, Error> {
    match to {
        Target::PspFees | Target::PlatformFees | Target::Disputes => Ok(true),
        Target::PspReceivable(psp) | Target::PayoutInTransit(psp) => {
            Ok(work_repo::is_psp_account(tx, merchant, *psp).await?)
        }
        Target::SellerAvailable(seller) | Target::SellerDebt(seller) => {
            let pending = Account::SellerPending(seller.clone());
            Ok(ledger::account::exists_in_tx(tx, merchant, &pending, currency).await?)
        }
    }
}

/// Whether the account stays at or above its floor, if it has one, when `held` is debited to it. It is locked then.
async fn has_enough(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: &Account,
    held: Money,
) -> Result<bool, Error> {
    if !account.is_floored() {
        return Ok(true);
    }
    let accounts = [(account.clone(), held.currency)];
    ledger::posting::lock_in_tx(tx, merchant, &accounts).await?;
    let balance: i64 = ledger::balance::read_in_tx(tx, merchant, &accounts).await?.into_iter().sum();
    let added = i128::from(held.minor) * i128::from(account.kind().normal_side());
    Ok(i128::from(balance) + added >= 0)
}
