//! Claiming what follows an authorisation: captures, voids and refunds. Idempotency key, operation, reserve and event in
//! one commit, before anything is sent.
//!
//! Everything is decided under the lock of the payment's row: what is captured, let go or given back never exceeds what
//! there is, at any interleaving. A refund's sellers hold what it takes of them from here on.

mod decide;
mod repo;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ledger::posting::Posting;
use money::{ClaimId, MerchantId, Money, OperationId, PaymentId, PspAccountId, SellerId};
use sqlx::{PgPool, PgTransaction};

use super::Error;
use crate::draw;
use crate::failpoint::Failpoint;
use crate::http::request_id::RequestId;
use crate::http::stored;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::psp::Errand;
use decide::{Accepted, Verdict, decide};

/// What is wanted of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// To take what is held.
    Capture {
        /// How much, in minor units; all that is held where it is not said.
        amount: Option<i64>,
        /// Whether what is left after it is let go.
        last: bool,
        /// Whose money it is; in proportion to the payment's splits where it is not said.
        parts: Option<Vec<WantedPart>>,
    },
    /// To let go what is held, or to end what waits for its buyer.
    Void,
    /// To give back.
    Refund {
        /// How much, in minor units; all that is left where it is not said.
        amount: Option<i64>,
        /// Whose money it is; in proportion to what was captured of each where it is not said.
        parts: Option<Vec<WantedPart>>,
        /// Whether the platform gives back its fee on it; otherwise the sellers bear all of it.
        returns_fee: bool,
    },
}

/// What of a capture or refund falls on a seller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPart {
    /// Whose part it is.
    pub seller: SellerId,
    /// The part, in minor units; positive.
    pub amount: i64,
}

/// A request to be claimed.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The client's key.
    pub key: IdempotencyKey,
    /// What the request was.
    pub fingerprint: Fingerprint,
    /// Whose the key becomes, if nobody has it.
    pub claim_id: ClaimId,
    /// Which payment.
    pub payment_id: PaymentId,
    /// What is wanted.
    pub want: Want,
    /// How long the claimer may send.
    pub lease: Duration,
    /// The request's own id, for the answer of a refusal.
    pub request_id: Option<RequestId>,
}

/// What became of a claim.
#[derive(Debug, Clone)]
pub enum Followed {
    /// It is ours to send.
    Fresh(Box<Begun>),
    /// It was answered before, or is refused as the payment now is: the answer, byte for byte.
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
        /// The operation that it made.
        operation_id: OperationId,
    },
    /// Somebody is working on it now, and nobody has been answered.
    InFlight,
    /// The key belongs to another request.
    OtherRequest {
        /// The first field that differs.
        field: &'static str,
    },
    /// The merchant has no such payment. The key is not used up.
    NoPayment,
    /// The amount has no exact form on the PSP's wire. The key is not used up.
    AmountRefused(crate::psp::AmountRefused),
}

/// An operation that was claimed and is to be sent.
#[derive(Debug, Clone)]
pub struct Begun {
    /// What is to be done.
    pub errand: Errand,
    /// Our fence.
    pub fence: i64,
    /// Where it is sent.
    pub psp_account_id: PspAccountId,
}

/// The id that the same intent always gets.
fn operation_id(merchant: MerchantId, order: &str, ordinal: i32, kind: &str, key: &str) -> OperationId {
    OperationId::derive(merchant, &[order, &ordinal.to_string(), kind, key])
}

impl Want {
    /// The kind of operation that does it.
    pub const fn kind(&self) -> super::OperationKind {
        match self {
            Self::Capture { .. } => super::OperationKind::Capture,
            Self::Void => super::OperationKind::Void,
            Self::Refund { .. } => super::OperationKind::Refund,
        }
    }
}

/// Claims all of `follows`, which are one merchant's, and answers in their order. In one transaction where they are about
/// different payments: one about a payment of another's is claimed in the next, on what that one has made. So each
/// transaction locks the accounts that it posts to in one go.
///
/// # Errors
/// When Postgres fails. What was committed before is found by whoever claims again.
pub async fn follow(pool: &PgPool, merchant: MerchantId, follows: &[Follow]) -> Result<Vec<Followed>, Error> {
    let mut results: Vec<Option<Followed>> = follows.iter().map(|_| None).collect();
    while let round = next_round(follows, &results)
        && !round.is_empty()
    {
        let chosen: Vec<&Follow> = round.iter().map(|&index| &follows[index]).collect();
        let mut tx = pool.begin().await?;
        let followed = follow_in_tx(&mut tx, merchant, &chosen).await?;
        for follow in &chosen {
            Failpoint::Claiming.pass_for(follow.want.kind().as_str()).await?;
        }
        tx.commit().await?;
        for (index, followed) in round.into_iter().zip(followed) {
            results[index] = Some(followed);
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// Those not claimed yet, but only the first of each payment.
fn next_round(follows: &[Follow], results: &[Option<Followed>]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let open = follows.iter().zip(results).enumerate().filter(|(_, (_, result))| result.is_none());
    open.filter(|(_, (follow, _))| seen.insert(follow.payment_id)).map(|(index, _)| index).collect()
}

/// Claims requests about different payments, and answers in their order. Round trips: five for any number of them, three to
/// five more for refunds, and one for each that is a repeat.
///
/// # Errors
/// When Postgres fails; the caller's transaction is then to be rolled back.
pub async fn follow_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    follows: &[&Follow],
) -> Result<Vec<Followed>, Error> {
    let fresh = repo::insert_keys(tx, merchant, follows).await?;
    let mut results: Vec<Option<Followed>> = follows.iter().map(|_| None).collect();
    let (mut places, mut chosen) = (Vec::new(), Vec::new());
    for (index, &follow) in follows.iter().enumerate() {
        if fresh.contains(&index) {
            places.push(index);
            chosen.push(follow);
        } else {
            results[index] = Some(repo::read_earlier(tx, merchant, follow).await?);
        }
    }
    if !chosen.is_empty() {
        for (index, followed) in places.into_iter().zip(follow_fresh(tx, merchant, &chosen).await?) {
            results[index] = Some(followed);
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// Decides and writes requests whose keys were new.
async fn follow_fresh(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    follows: &[&Follow],
) -> Result<Vec<Followed>, Error> {
    let mut states = repo::lock_and_read(tx, merchant, follows).await?;
    let mut verdicts = Vec::with_capacity(follows.len());
    for &follow in follows {
        let state = states.remove(&follow.payment_id).ok_or(Error::PaymentLost(follow.payment_id))?;
        let verdict = decide(&state, follow);
        verdicts.push((follow, state, verdict));
    }
    let mut accepted: Vec<&mut Accepted> = verdicts
        .iter_mut()
        .filter_map(|(_, _, verdict)| match verdict {
            Verdict::Accepted(accepted) => Some(&mut **accepted),
            _ => None,
        })
        .collect();
    hold(tx, merchant, &mut accepted).await?;
    drop(accepted);
    repo::write(tx, merchant, &verdicts).await?;
    let answer = |(follow, _, verdict): (&Follow, _, Verdict)| match verdict {
        Verdict::Accepted(accepted) => Followed::Fresh(Box::new(accepted.begun)),
        Verdict::Refused(problem) => {
            let (status, body) = stored::refusal(&problem, follow.request_id.as_ref());
            Followed::Answered { status, body, replayed: false }
        }
        Verdict::Known { answer: Some((status, body)), .. } => {
            Followed::Answered { status, body, replayed: true }
        }
        Verdict::Known { operation_id, answer: None } => Followed::Accepted { operation_id },
        Verdict::AmountRefused(why) => Followed::AmountRefused(why),
        Verdict::OtherRequest(field) => Followed::OtherRequest { field },
    };
    Ok(verdicts.into_iter().map(answer).collect())
}

/// Holds what refunds take of their sellers.
async fn hold(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    accepted: &mut [&mut Accepted],
) -> Result<(), Error> {
    let holds = accepted.iter().map(|accepted| draw::Hold {
        payment_id: accepted.payment_id,
        posting: Posting::builder(accepted.source(), "refund_reserve", accepted.day),
        parts: accepted.holds(),
    });
    let held = draw::hold_in_tx(tx, merchant, holds.collect(), &[]).await?;
    let mut postings = Vec::with_capacity(held.len());
    for (accepted, held) in accepted.iter_mut().zip(held) {
        accepted.draws = held.draws;
        postings.extend(held.posting);
    }
    ledger::posting::post_in_tx(tx, merchant, &postings).await?;
    Ok(())
}

impl Accepted {
    /// What is held of which seller: none but for a refund.
    fn holds(&self) -> Vec<draw::Part> {
        if self.kind != super::OperationKind::Refund {
            return Vec::new();
        }
        let held = |part: &decide::Part| {
            (part.split_no, part.seller.clone(), Money::new(part.amount - part.platform_fee, self.currency))
        };
        self.parts.iter().map(held).filter(|(_, _, amount)| amount.minor > 0).collect()
    }
}

type States = HashMap<PaymentId, decide::State>;
