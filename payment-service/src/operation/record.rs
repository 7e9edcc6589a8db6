//! Recording: the one way in which an operation changes after its claim.

use std::collections::{HashMap, HashSet};

use money::{MerchantId, OperationId};
use reconciliation::break_::{self, At, BreakKind, NewBreak};
use sqlx::{PgPool, PgTransaction};

use super::decide::{Change, Decision, Known, Stand, decide};
use super::{Error, OperationKind, OperationStatus, Subject};
use super::{record_repo as repo, record_write_repo};
use crate::failpoint::Failpoint;
use crate::psp::{Attempt, Outcome};
use crate::{draw, payout};

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The sender or resolver that holds this fence. Superseded when it no longer does.
    Owner {
        /// The fence it was given.
        fence: i64,
    },
    /// Proof from elsewhere (a webhook, a settlement line): counts whoever owns the operation, and takes it from them.
    Evidence,
    /// The word of a person: counts while the operation needs review, and takes it from whoever asks about it.
    Review,
}

impl By {
    /// The fence of an operation that had `fence` and that this changed: evidence from elsewhere takes it from its owner.
    pub(crate) const fn fence_after(self, fence: i64) -> i64 {
        match self {
            Self::Evidence | Self::Review => fence + 1,
            Self::Owner { .. } => fence,
        }
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Finding {
    /// The PSP's word, however it reached us.
    Answer(Outcome),
    /// Every way to find out is used up.
    GiveUp {
        /// Why, as a code.
        reason: String,
    },
}

/// A finding about an operation, to be recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What it is about.
    pub operation_id: OperationId,
    /// Who says so.
    pub by: By,
    /// What was found out.
    pub finding: Finding,
    /// The evidence, kept whatever comes of the finding.
    pub attempts: Vec<Attempt>,
    /// The fence under which the evidence was gathered; 0 where it was without one.
    pub attempt_fence: i64,
}

/// What came of a recording.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// What it did.
    pub effect: Effect,
    /// What was to be done.
    pub kind: OperationKind,
    /// What it is for.
    pub subject: Subject,
    /// The final answer to the client, as stored; none while there is none yet.
    pub answer: Option<(u16, String)>,
}

/// What a recording did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The operation is now in this status.
    Now(OperationStatus),
    /// A payout that had been sent is there.
    Arrived,
    /// Somebody else owns the operation: only the evidence was kept.
    Superseded,
    /// It said nothing new.
    Stale,
    /// It says that an operation was done that had ended without: a break.
    LateSuccess,
    /// It says that an operation was done once more: a break.
    Twice,
}

/// An operation and what it is for, as they are under the lock.
pub(super) enum Locked {
    Payment(Box<Known>),
    Payout(Box<payout::Known>),
}

impl Locked {
    fn stand(&self) -> Stand<'_> {
        match self {
            Self::Payment(known) => known.stand(),
            Self::Payout(known) => known.stand(),
        }
    }

    pub fn operation_id(&self) -> OperationId {
        match self {
            Self::Payment(known) => known.operation_id,
            Self::Payout(known) => known.operation_id,
        }
    }

    pub fn status(&self) -> OperationStatus {
        self.stand().status
    }

    pub fn fence(&self) -> i64 {
        self.stand().fence
    }

    /// The client's key whose stored response the operation completes.
    pub fn key(&self) -> &str {
        match self {
            Self::Payment(known) => &known.key,
            Self::Payout(known) => &known.key,
        }
    }

    pub fn subject(&self) -> Subject {
        match self {
            Self::Payment(known) => Subject::Payment(known.payment.payment_id),
            Self::Payout(known) => Subject::Payout(known.payout.payout_id),
        }
    }

    pub fn payment(&self) -> Option<&Known> {
        match self {
            Self::Payment(known) => Some(known),
            Self::Payout(_) => None,
        }
    }

    fn payment_mut(&mut self) -> Option<&mut Known> {
        match self {
            Self::Payment(known) => Some(known),
            Self::Payout(_) => None,
        }
    }

    fn payout(&self) -> Option<&payout::Known> {
        match self {
            Self::Payment(_) => None,
            Self::Payout(known) => Some(known),
        }
    }

    fn decide(&self, recording: &Recording) -> Result<Decision, Error> {
        Ok(match self {
            Self::Payment(known) => decide(known, recording.by, &recording.finding)?,
            Self::Payout(known) => payout::decide(known, recording.by, &recording.finding)?,
        })
    }
}

/// A recording, what is known under the lock, and what was decided.
pub(super) struct Decided<'a> {
    pub recording: &'a Recording,
    pub locked: Locked,
    pub decision: Decision,
    pub stored: Option<(u16, String)>,
}

impl Decided<'_> {
    pub fn change(&self) -> Option<&Change> {
        match &self.decision {
            Decision::Change(change) => Some(change),
            Decision::Superseded | Decision::Stale | Decision::LateSuccess | Decision::Twice => None,
        }
    }

    fn recorded(self) -> Recorded {
        let (Stand { kind, status, .. }, subject) = (self.locked.stand(), self.locked.subject());
        let (effect, response) = match self.decision {
            Decision::Change(change)
                if change.status == OperationStatus::Succeeded && status == change.status =>
            {
                (Effect::Arrived, change.response)
            }
            Decision::Change(change) => (Effect::Now(change.status), change.response),
            Decision::Superseded => (Effect::Superseded, None),
            Decision::Stale => (Effect::Stale, None),
            Decision::LateSuccess => (Effect::LateSuccess, None),
            Decision::Twice => (Effect::Twice, None),
        };
        let is_final = |answer: &(u16, String)| answer.0 != 202;
        Recorded { effect, kind, subject, answer: self.stored.filter(is_final).or(response.filter(is_final)) }
    }
}

/// Records all of `recordings`, which are one merchant's, and answers in their order. In one transaction where they are about
/// different payments: one that is about a payment of another's is recorded in the next, on what that one has made. So each
/// transaction locks the accounts that it posts to in one go. Costs a round trip to lock and read, two for the ledger where
/// something was captured, and one to write.
///
/// # Errors
/// When an operation does not exist, or Postgres or the ledger fails. What was committed before is found by whoever records
/// again.
pub async fn record(
    pool: &PgPool,
    merchant: MerchantId,
    recordings: &[Recording],
) -> Result<Vec<Recorded>, Error> {
    let mut results: Vec<Option<Recorded>> = recordings.iter().map(|_| None).collect();
    while let round = next_round(recordings, &results)
        && !round.is_empty()
    {
        let chosen: Vec<&Recording> = round.iter().map(|&index| &recordings[index]).collect();
        let mut tx = pool.begin().await?;
        let recorded = record_round(&mut tx, merchant, &chosen).await?;
        for recorded in recorded.iter().flatten() {
            Failpoint::Recording.pass_for(recorded.kind.as_str()).await?;
        }
        tx.commit().await?;
        for (index, recorded) in round.iter().zip(recorded) {
            results[*index] = recorded;
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// Records one finding in the caller's transaction.
///
/// # Errors
/// When the operation does not exist, or Postgres or the ledger fails.
pub async fn record_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    recording: &Recording,
) -> Result<Recorded, Error> {
    let recorded = record_round(tx, merchant, &[recording]).await?;
    recorded.into_iter().flatten().next().ok_or(Error::NotFound(recording.operation_id))
}

/// Those not recorded yet, but only the first of each operation: the second is decided on what the first has made.
fn next_round(recordings: &[Recording], results: &[Option<Recorded>]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let open = recordings.iter().zip(results).enumerate().filter(|(_, (_, result))| result.is_none());
    open.filter(|(_, (recording, _))| seen.insert(recording.operation_id)).map(|(index, _)| index).collect()
}

/// Money that the PSP moved although it cannot be: never dropped, never booked as if it could.
fn break_of(decided: &Decided<'_>) -> Option<NewBreak> {
    let Finding::Answer(Outcome::Succeeded(success)) = &decided.recording.finding else { return None };
    let Stand { kind: of, status, .. } = decided.locked.stand();
    let operation_id = decided.locked.operation_id();
    let (kind, subject, detail) = match decided.decision {
        Decision::LateSuccess => (
            BreakKind::LateSuccess,
            operation_id.to_string(),
            format!("the PSP did what had ended as {}: {}", status.as_str(), of.as_str()),
        ),
        Decision::Twice => (
            match of {
                OperationKind::Refund => BreakKind::RefundedTwice,
                OperationKind::Payout => BreakKind::PaidOutTwice,
                OperationKind::Authorize | OperationKind::Capture | OperationKind::Void => {
                    BreakKind::CapturedTwice
                }
            },
            success.reference.to_string(),
            format!("the PSP did once more what it had done: {}", of.as_str()),
        ),
        Decision::Superseded | Decision::Stale | Decision::Change(_) => return None,
    };
    let payment = decided.locked.payment().map(|known| &known.payment);
    let (account, currency) = match &decided.locked {
        Locked::Payment(known) => (known.payment.psp_account_id, known.payment.currency),
        Locked::Payout(known) => (known.payout.psp_account_id, known.payout.currency),
    };
    Some(NewBreak {
        expected: Some(0),
        found: Some(success.amount),
        psp_reference: Some(success.reference.to_string()),
        operation_id: Some(operation_id),
        payment_id: payment.map(|payment| payment.payment_id),
        order_id: payment.map(|payment| payment.order_id.clone()),
        detail,
        ..NewBreak::new(kind, At::Psp(account), subject, currency, time::OffsetDateTime::now_utc().date())
    })
}

/// Records the first of each payment or payout, and answers those; the rest are for a round of their own, on what this one makes.
async fn record_round(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    recordings: &[&Recording],
) -> Result<Vec<Option<Recorded>>, Error> {
    let operations: Vec<OperationId> = recordings.iter().map(|recording| recording.operation_id).collect();
    let mut rows = lock_and_read(tx, merchant, &operations).await?;
    let mut subjects = HashSet::new();
    let mut chosen = Vec::with_capacity(recordings.len());
    let mut is_chosen = Vec::with_capacity(recordings.len());
    for &recording in recordings {
        let (locked, stored) =
            rows.remove(&recording.operation_id).ok_or(Error::NotFound(recording.operation_id))?;
        is_chosen.push(subjects.insert(locked.subject()));
        if is_chosen.last() == Some(&true) {
            chosen.push((recording, locked, stored));
        }
    }
    let of_payments = chosen.iter_mut().filter_map(|(_, locked, _)| locked.payment_mut());
    repo::read_open_changes(tx, merchant, of_payments).await?;
    let of_payments = chosen.iter_mut().filter_map(|(_, locked, _)| locked.payment_mut());
    repo::read_shares(tx, merchant, of_payments).await?;
    let mut decided = Vec::with_capacity(chosen.len());
    for (recording, locked, stored) in chosen {
        let decision = locked.decide(recording)?;
        decided.push(Decided { recording, locked, decision, stored });
    }
    post(tx, merchant, &mut decided).await?;
    break_::open_all_in_tx(tx, merchant, &decided.iter().filter_map(break_of).collect::<Vec<_>>()).await?;
    record_write_repo::write(tx, merchant, &decided).await?;
    let payouts = decided.iter().filter_map(|item| Some((item.locked.payout()?, item.change()?)));
    let payouts: Vec<_> = payouts.collect();
    if !payouts.is_empty() {
        payout::write_in_tx(tx, merchant, &payouts).await?;
    }
    let mut recorded = decided.into_iter().map(Decided::recorded);
    Ok(is_chosen.into_iter().map(|chosen| if chosen { recorded.next() } else { None }).collect())
}

type LockedRows = HashMap<OperationId, (Locked, Option<(u16, String)>)>;

/// Locks and reads operations with what they are for: payments before payouts.
async fn lock_and_read(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[OperationId],
) -> Result<LockedRows, Error> {
    let payments = repo::lock_and_read(tx, merchant, operations).await?.into_iter();
    let mut rows: LockedRows =
        payments.map(|(id, (known, stored))| (id, (Locked::Payment(Box::new(known)), stored))).collect();
    let rest: Vec<OperationId> = operations.iter().copied().filter(|id| !rows.contains_key(id)).collect();
    if !rest.is_empty() {
        let payouts = payout::lock_and_read(tx, merchant, &rest).await?.into_iter();
        rows.extend(payouts.map(|(id, (known, stored))| (id, (Locked::Payout(Box::new(known)), stored))));
    }
    Ok(rows)
}

/// Posts the books of what was decided.
async fn post(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    decided: &mut [Decided<'_>],
) -> Result<(), Error> {
    let (mut postings, mut returns) = (Vec::new(), Vec::new());
    for Decided { locked, decision, .. } in decided {
        let Decision::Change(change) = decision else { continue };
        let taker = locked.operation_id().as_uuid();
        postings.append(&mut change.postings);
        returns.extend(change.give_back.take().map(|give_back| (taker, give_back)));
    }
    if !returns.is_empty() {
        postings.extend(draw::give_back_in_tx(tx, merchant, returns, &postings).await?);
    }
    ledger::posting::post_in_tx(tx, merchant, &postings).await?;
    Ok(())
}
