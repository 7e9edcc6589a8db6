//! Claiming payouts: idempotency key, payout, operation, hold and event in one commit, before anything is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use ledger::account::Account;
use ledger::posting::{Posting, PostingError, Source};
use money::{Currency, MerchantId, Money, PayoutId, PspAccountId, SellerId};
use sqlx::{PgPool, PgTransaction};
use time::OffsetDateTime;
use wallet::wallet::{Purse, Purses};

use super::{PayoutStatus, PayoutView, operation_id, repo};
use crate::failpoint::Failpoint;
use crate::http::error::{Code, Problem};
use crate::http::request_id::RequestId;
use crate::http::stored;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::operation::{self, Begun, Error, OperationKind};
use crate::psp::{Aim, AmountRefused, Errand, Expected, Psp, PspReference};

/// A checked request for a payout, with the id it will have.
#[derive(Debug, Clone)]
pub struct NewPayout {
    /// The client's key.
    pub key: IdempotencyKey,
    /// What the request was.
    pub fingerprint: Fingerprint,
    /// Its id, made before anything is sent.
    pub payout_id: PayoutId,
    /// Whose money it is.
    pub seller: SellerId,
    /// How much, in minor units; positive. All that is available, as far as the PSP can send it, where it is not said.
    pub amount: Option<i64>,
    /// Of the amount.
    pub currency: Currency,
    /// The PSP's name of the seller's bank account or card.
    pub destination: PspReference,
    /// Which PSP that is.
    pub psp: Psp,
    /// The account it is sent from.
    pub psp_account_id: PspAccountId,
    /// What the seller's statement is to show.
    pub statement_descriptor: Option<String>,
    /// The merchant's own notes.
    pub metadata: BTreeMap<String, String>,
    /// How long the claimer may send.
    pub lease: Duration,
    /// The request's own id, for the answer of a refusal.
    pub request_id: Option<RequestId>,
}

/// What became of a claim.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// It is ours to send.
    Fresh(Box<Begun>),
    /// It was answered before, or is refused as the wallet now is: the answer, byte for byte.
    Answered {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// Whether an earlier request had it.
        replayed: bool,
    },
    /// It was accepted before and is still being worked on.
    Accepted {
        /// The payout that it made.
        payout_id: PayoutId,
    },
    /// Somebody is working on it now, and nobody has been answered.
    InFlight,
    /// The key belongs to another request.
    OtherRequest {
        /// The first field that differs.
        field: &'static str,
    },
    /// The PSP cannot send exactly this amount. The key is not used up.
    AmountRefused(AmountRefused),
}

/// What is to be done about a request whose key was new.
pub(super) enum Verdict {
    /// It is claimed.
    Accepted(Box<Accepted>),
    /// The wallet does not allow it as it is.
    Refused(Box<Problem>),
    /// It was claimed before, and its key forgotten since.
    Known { payout_id: PayoutId, answer: Option<(u16, String)> },
    /// It was claimed before otherwise: the first field that differs.
    OtherRequest(&'static str),
    /// The PSP cannot do it exactly.
    AmountRefused(AmountRefused),
}

/// A claim.
pub(super) struct Accepted {
    pub begun: Begun,
    pub view: PayoutView,
}

/// Claims all of `wanted`, which are one merchant's, in one transaction, and answers in their order.
///
/// # Errors
/// When Postgres fails. What was committed before is found by whoever claims again.
pub async fn claim(pool: &PgPool, merchant: MerchantId, wanted: &[NewPayout]) -> Result<Vec<Claimed>, Error> {
    let mut tx = pool.begin().await?;
    let claimed = claim_in_tx(&mut tx, merchant, wanted).await?;
    Failpoint::Claiming.pass_for(OperationKind::Payout.as_str()).await?;
    tx.commit().await?;
    Ok(claimed)
}

/// Claims all of `wanted`, likewise.
///
/// # Errors
/// When Postgres fails; the caller's transaction is then to be rolled back.
pub async fn claim_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    wanted: &[NewPayout],
) -> Result<Vec<Claimed>, Error> {
    let fresh = repo::insert_keys(tx, merchant, wanted).await?;
    let mut results: Vec<Option<Claimed>> = Vec::with_capacity(wanted.len());
    let mut chosen = Vec::new();
    for new in wanted {
        if fresh.contains(&new.payout_id) {
            chosen.push(new);
            results.push(None);
        } else {
            results.push(Some(taken(tx, merchant, new).await?));
        }
    }
    let mut decided = claim_fresh(tx, merchant, &chosen).await?.into_iter();
    Ok(results.into_iter().filter_map(|result| result.or_else(|| decided.next())).collect())
}

/// What became of a request whose key is taken, perhaps by itself, in a commit that was not confirmed.
async fn taken(tx: &mut PgTransaction<'_>, merchant: MerchantId, new: &NewPayout) -> Result<Claimed, Error> {
    let earlier = repo::read_earlier(&mut **tx, merchant, &new.key, &new.fingerprint).await?;
    match earlier {
        Some(Claimed::InFlight) if repo::get(&mut **tx, merchant, new.payout_id).await?.is_some() => {
            let begun = operation::begun_in_tx(tx, merchant, operation_id(merchant, &new.key)).await?;
            Ok(begun.map_or(Claimed::InFlight, |begun| Claimed::Fresh(Box::new(begun))))
        }
        Some(earlier) => Ok(earlier),
        None => Ok(Claimed::InFlight),
    }
}

/// Decides and writes requests whose keys were new.
async fn claim_fresh(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    wanted: &[&NewPayout],
) -> Result<Vec<Claimed>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (mut known, now) = repo::known(tx, merchant, wanted).await?;
    let mut purses = lock(tx, merchant, wanted).await?;
    let (mut verdicts, mut holds) = (Vec::with_capacity(wanted.len()), Vec::new());
    for &new in wanted {
        let purse = purses.entry((new.seller.clone(), new.currency)).or_default();
        let verdict = match known.remove(&new.payout_id) {
            Some((view, has_ended)) => again(new, &view, has_ended),
            None => decide(merchant, new, purse, now)?,
        };
        if let Verdict::Accepted(accepted) = &verdict {
            // the next of the seller's is decided on what this one leaves
            holds.push(hold(new, &accepted.view, purse)?);
        }
        verdicts.push((new, verdict));
    }
    ledger::posting::post_in_tx(tx, merchant, &holds).await?;
    repo::write_claims(tx, merchant, &verdicts).await?;
    let answer = |(new, verdict): (&NewPayout, Verdict)| match verdict {
        Verdict::Accepted(accepted) => Claimed::Fresh(Box::new(accepted.begun)),
        Verdict::Refused(problem) => {
            let (status, body) = stored::refusal(&problem, new.request_id.as_ref());
            Claimed::Answered { status, body, replayed: false }
        }
        Verdict::Known { answer: Some((status, body)), .. } => {
            Claimed::Answered { status, body, replayed: true }
        }
        Verdict::Known { payout_id, answer: None } => Claimed::Accepted { payout_id },
        Verdict::OtherRequest(field) => Claimed::OtherRequest { field },
        Verdict::AmountRefused(why) => Claimed::AmountRefused(why),
    };
    Ok(verdicts.into_iter().map(answer).collect())
}

/// Locks the wallets that have or owe something. One that has nothing is not made for a request that is refused anyway.
async fn lock(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    wanted: &[&NewPayout],
) -> Result<Purses, Error> {
    let mut sellers: Vec<(SellerId, Currency)> =
        wanted.iter().map(|new| (new.seller.clone(), new.currency)).collect();
    sellers.sort();
    sellers.dedup();
    let parts: Vec<(Account, Currency)> = sellers
        .iter()
        .flat_map(|(seller, currency)| {
            [Account::SellerAvailable(seller.clone()), Account::SellerDebt(seller.clone())]
                .map(|account| (account, *currency))
        })
        .collect();
    let balances = ledger::balance::read_in_tx(tx, merchant, &parts).await?;
    let mut has_something = balances.chunks_exact(2).map(|pair| pair.iter().any(|balance| *balance != 0));
    sellers.retain(|_| has_something.next().unwrap_or_default());
    Ok(wallet::wallet::lock_in_tx(tx, merchant, &sellers, &[]).await?)
}

/// A request under a key that was forgotten: the same is answered from what it made, another is told what differs.
fn again(new: &NewPayout, view: &PayoutView, has_ended: bool) -> Verdict {
    let differs = [
        ("seller", new.seller.as_str() != view.seller),
        ("amount", new.amount.is_some_and(|amount| amount != view.amount)),
        ("currency", new.currency != view.currency),
        ("destination", new.destination.as_str() != view.destination),
        ("psp_account_id", new.psp_account_id != view.psp_account_id),
        ("statement_descriptor", new.statement_descriptor != view.statement_descriptor),
        ("metadata", new.metadata != view.metadata),
    ];
    if let Some((field, _)) = differs.into_iter().find(|(_, differs)| *differs) {
        return Verdict::OtherRequest(field);
    }
    Verdict::Known { payout_id: view.payout_id, answer: has_ended.then(|| stored::payout(view)) }
}

/// Whether a seller's wallet has what is wanted.
fn decide(
    merchant: MerchantId,
    new: &NewPayout,
    purse: &Purse,
    now: OffsetDateTime,
) -> Result<Verdict, Error> {
    let available = Money::new(purse.available, new.currency);
    let amount =
        new.amount.map_or_else(|| new.psp.payable(available), |minor| Money::new(minor, new.currency));
    if amount.minor > available.minor || amount.minor <= 0 {
        return Ok(Verdict::Refused(Box::new(too_much(new, purse))));
    }
    if let Err(why) = new.psp.validate_payout(amount) {
        return Ok(Verdict::AmountRefused(why));
    }
    let operation_id = operation_id(merchant, &new.key);
    let aim = Aim::Payout {
        to: new.destination.clone(),
        statement_descriptor: new.statement_descriptor.clone(),
        asked_at: now,
    };
    let errand = Errand {
        expected: Expected { operation_id, amount, aim },
        order_id: (new.payout_id.to_string().try_into())
            .map_err(|_| Error::UnknownWord("payout.payout_id"))?,
        method: None,
    };
    let view = PayoutView {
        payout_id: new.payout_id,
        operation_id,
        seller: new.seller.to_string(),
        status: PayoutStatus::Processing,
        amount: amount.minor,
        currency: new.currency,
        destination: new.destination.to_string(),
        psp_account_id: new.psp_account_id,
        psp_reference: None,
        statement_descriptor: new.statement_descriptor.clone(),
        metadata: new.metadata.clone(),
        failure: None,
        created_at: now,
        updated_at: now,
    };
    let begun = Begun { errand, fence: 1, psp_account_id: new.psp_account_id };
    Ok(Verdict::Accepted(Box::new(Accepted { begun, view })))
}

fn too_much(new: &NewPayout, purse: &Purse) -> Problem {
    let available = purse.available;
    Problem::new(Code::PayoutExceedsAvailable)
        .detail(match new.amount {
            Some(amount) if available > 0 => {
                format!("{amount} is more than the {available} {} that are available", new.currency)
            }
            _ => format!("no {} that could be paid out are available", new.currency),
        })
        .extension("available_amount", available)
        .extension("debt_amount", purse.debt)
}

/// Holds what is claimed, and takes it out of the purse.
fn hold(new: &NewPayout, view: &PayoutView, purse: &mut Purse) -> Result<Posting, PostingError> {
    let source = Source { table: "operation", id: view.operation_id.as_uuid() };
    let posting = Posting::builder(source, "payout_hold", view.created_at.date());
    wallet::wallet::hold(posting, &new.seller, Money::new(view.amount, new.currency), 0, purse).build()
}
