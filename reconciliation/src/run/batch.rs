use std::collections::{BTreeMap, BTreeSet, HashMap};

use money::{BookingId, FileId, MerchantId, OperationId, PspAccountId};
use sqlx::PgTransaction;

use super::booking::{Booking, Key};
use super::{Error, repo};
use crate::break_::{self, BreakKind, NewBreak};
use crate::matching::{
    self, Candidates, Decision, Difference, Effect, Operation, Tie, Ties, Unexplained, decide, reference_of,
};
use crate::statement::Line;
use wallet::wallet::Purses;

/// Lines of one file that are settled in one commit.
pub(super) struct Batch {
    pub file_id: FileId,
    pub psp_account_id: PspAccountId,
    /// They had waited as evidence.
    pub late: bool,
    pub lines: Vec<Stored>,
}

impl Batch {
    /// The place of its last line.
    pub fn last_place(&self) -> repo::LinePlace {
        let line_no = self.lines.last().map_or(i32::MAX, |stored| stored.line.line_no);
        repo::LinePlace { file_id: self.file_id, line_no }
    }
}

/// A line as it is in the database.
pub(super) struct Stored {
    pub chunk_no: i32,
    pub line: Line,
    /// Why `payment-service` would not apply it as evidence.
    pub refused: Option<String>,
}

impl Stored {
    fn key(&self) -> Key<'_> {
        Key {
            chunk_no: self.chunk_no,
            payout_id: self.line.payout_id.as_deref(),
            currency: self.line.currency,
        }
    }
}

/// What a batch came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub lines: u64,
    pub matched: u64,
    pub waiting: u64,
    pub breaks: u64,
}

/// A line with what becomes of it.
struct Decided<'a> {
    stored: &'a Stored,
    decision: Decision<'a>,
}

/// Decides the lines, which the caller has locked, and books them.
pub(super) async fn book_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &Batch,
) -> Result<Done, Error> {
    let candidates = candidates(tx, merchant, batch).await?;
    let mut decided: Vec<Decided<'_>> = decide_all(batch, &candidates);
    let bookings = booking_ids(merchant, batch, &decided);
    tie_in_tx(tx, merchant, batch, &mut decided, &bookings).await?;
    let booked = post_in_tx(tx, merchant, batch, &decided, &bookings).await?;
    repo::insert_bookings(tx, merchant, batch, &booked).await?;
    let breaks: Vec<NewBreak> =
        decided.iter().filter_map(|decided| break_of(batch, decided, &bookings)).collect();
    let opened = break_::open_all_in_tx(tx, merchant, &breaks).await?;
    let waiting = note_evidence(tx, merchant, batch, &decided, &bookings).await?;
    Ok(Done {
        lines: batch.lines.len() as u64,
        matched: decided.iter().filter(|decided| matches!(decided.decision, Decision::Match(_))).count()
            as u64,
        waiting,
        breaks: opened,
    })
}

fn decide_all<'a>(batch: &'a Batch, candidates: &'a Candidates) -> Vec<Decided<'a>> {
    let mut ties = Ties::new();
    let mut decided = Vec::with_capacity(batch.lines.len());
    for stored in &batch.lines {
        let decision = decide(&stored.line, candidates, &ties, stored.refused.as_deref());
        ties.extend(tie_of(&decision).or(waits_for(&decision)).map(|tie| tie.key()));
        decided.push(Decided { stored, decision });
    }
    decided
}

/// The operations that the lines name. In the common case one statement: ours and the PSP's reference agree.
async fn candidates(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &Batch,
) -> Result<Candidates, Error> {
    let mut candidates = Candidates::default();
    // the payment of a refund or chargeback is looked up as well, for the person who looks at a break
    let mut references: Vec<&str> = batch
        .lines
        .iter()
        .flat_map(|stored| [reference_of(&stored.line), stored.line.psp_reference.as_deref()])
        .flatten()
        .collect();
    references.sort_unstable();
    references.dedup();
    if !references.is_empty() {
        candidates.add(repo::operations_by_reference(tx, merchant, batch.psp_account_id, &references).await?);
    }
    let mut named: Vec<OperationId> = batch
        .lines
        .iter()
        .filter_map(|stored| stored.line.operation_id)
        .filter(|id| !candidates.knows(*id))
        .collect();
    named.sort_unstable();
    named.dedup();
    if !named.is_empty() {
        candidates.add(repo::operations_by_name(tx, merchant, batch.psp_account_id, &named).await?);
    }
    Ok(candidates)
}

type BookingIds<'a> = HashMap<Key<'a>, BookingId>;

/// The booking of each group of lines that do not wait. The same lines always have the same booking.
fn booking_ids<'a>(merchant: MerchantId, batch: &'a Batch, decided: &[Decided<'a>]) -> BookingIds<'a> {
    let mut ids = BookingIds::new();
    for Decided { stored, decision } in decided {
        if matches!(decision, Decision::Wait(_)) {
            continue;
        }
        ids.entry(stored.key()).or_insert_with(|| {
            // a line is settled once, so the first of these that waited tells them from all others
            let first_late = if batch.late { stored.line.line_no.to_string() } else { String::new() };
            let key = stored.key();
            BookingId::derive(
                merchant,
                &[
                    &batch.file_id.to_string(),
                    &key.chunk_no.to_string(),
                    key.payout_id.unwrap_or_default(),
                    key.currency.code(),
                    &first_late,
                ],
            )
        });
    }
    ids
}

/// Writes the matches. An operation that has one, here or from another line, gets no second: that line is a break.
async fn tie_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &Batch,
    decided: &mut [Decided<'_>],
    bookings: &BookingIds<'_>,
) -> Result<(), Error> {
    let mut ties: BTreeMap<(OperationId, Effect), repo::NewMatch> = BTreeMap::new();
    for Decided { stored, decision } in decided.iter() {
        let (Some(tie), Some(&booking_id)) = (tie_of(decision), bookings.get(&stored.key())) else {
            continue;
        };
        let allocated = match decision {
            Decision::Differs(_, Difference::Currency) => 0,
            _ => tie.operation.amount.minor,
        };
        ties.entry(tie.key()).or_insert(repo::NewMatch {
            line_no: stored.line.line_no,
            rule: tie.rule,
            released: settled_capture(decision).is_some(),
            allocated,
            booking_id,
        });
    }
    if ties.is_empty() {
        return Ok(());
    }
    let tied = repo::insert_matches(tx, merchant, batch.file_id, &ties).await?;
    for Decided { stored, decision } in decided {
        let Some(tie) = tie_of(decision) else { continue };
        if tied.get(&tie.key()) != Some(&stored.line.line_no) {
            *decision = Decision::Unexplained(Unexplained {
                kind: matching::twice(tie.effect),
                about: Some(tie.operation),
                because: "another line is about the same operation".to_owned(),
            });
        }
    }
    let awaited = tied.into_keys().filter(|(_, effect)| effect.is_awaited());
    let operations: Vec<OperationId> = awaited.map(|(operation, _)| operation).collect();
    break_::close_missing_in_tx(tx, merchant, &operations).await?;
    Ok(())
}

const fn tie_of<'a>(decision: &Decision<'a>) -> Option<Tie<'a>> {
    match decision {
        Decision::Match(tie) | Decision::Differs(tie, _) => Some(*tie),
        Decision::Plain | Decision::Wait(_) | Decision::Unexplained(_) => None,
    }
}

const fn waits_for<'a>(decision: &Decision<'a>) -> Option<Tie<'a>> {
    match decision {
        Decision::Wait(tie) => Some(*tie),
        Decision::Plain | Decision::Match(_) | Decision::Differs(..) | Decision::Unexplained(_) => None,
    }
}

/// Posts one ledger transaction per booking.
async fn post_in_tx<'a>(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &'a Batch,
    decided: &[Decided<'a>],
    bookings: &BookingIds<'a>,
) -> Result<Vec<Booking<'a>>, Error> {
    let captures: Vec<OperationId> =
        decided.iter().filter_map(|decided| Some(settled_capture(&decided.decision)?.operation_id)).collect();
    let splits = repo::splits(tx, merchant, &captures).await?;
    let mut groups: BTreeMap<Key<'a>, Booking<'a>> = BTreeMap::new();
    for Decided { stored, decision } in decided {
        let Some(&id) = bookings.get(&stored.key()) else { continue };
        if matches!(decision, Decision::Wait(_)) {
            continue;
        }
        let booking = groups.entry(stored.key()).or_insert_with(|| Booking::new(id, stored.key()));
        booking.add(&stored.line, decision).ok_or(Error::Overflow)?;
        if let Some(operation) = settled_capture(decision) {
            let parts = splits.get(&operation.operation_id).map(Vec::as_slice).unwrap_or_default();
            if parts.iter().map(|part| part.amount).sum::<i64>() != operation.amount.minor {
                return Err(Error::Splits(operation.operation_id));
            }
            booking.release(parts).ok_or(Error::Overflow)?;
        }
    }
    let mut purses = lock_purses(tx, merchant, batch, &groups).await?;
    withhold(tx, merchant, &captures, decided, &mut groups).await?;
    let mut booked: Vec<Booking<'a>> = groups.into_values().collect();
    post_all(tx, merchant, batch, &mut booked, &mut purses).await?;
    Ok(booked)
}

/// Locks all that will be posted to, where a seller's money is among it.
async fn lock_purses(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &Batch,
    groups: &BTreeMap<Key<'_>, Booking<'_>>,
) -> Result<Purses, Error> {
    let sellers: BTreeSet<_> = groups.values().flat_map(Booking::sellers).collect();
    if sellers.is_empty() {
        return Ok(Purses::new());
    }
    let others: BTreeSet<_> =
        groups.values().flat_map(|booking| booking.accounts(batch.psp_account_id)).collect();
    let (sellers, others): (Vec<_>, Vec<_>) = (sellers.into_iter().collect(), others.into_iter().collect());
    Ok(wallet::wallet::lock_in_tx(tx, merchant, &sellers, &others).await?)
}

/// What refunds took of the captures while they were not settled does not become available. Read after the sellers'
/// accounts are locked, as refunds take it: no refund can come in between.
async fn withhold<'a>(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    captures: &[OperationId],
    decided: &[Decided<'a>],
    groups: &mut BTreeMap<Key<'a>, Booking<'a>>,
) -> Result<(), Error> {
    if captures.is_empty() {
        return Ok(());
    }
    let draws = repo::draws(tx, merchant, captures).await?;
    if draws.is_empty() {
        return Ok(());
    }
    for Decided { stored, decision } in decided {
        let Some(operation) = settled_capture(decision) else { continue };
        let Some(booking) = groups.get_mut(&stored.key()) else { continue };
        for (seller, minor) in draws.get(&operation.operation_id).into_iter().flatten() {
            booking.withhold(seller, *minor).ok_or(Error::Splits(operation.operation_id))?;
        }
    }
    Ok(())
}

async fn post_all(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &Batch,
    booked: &mut [Booking<'_>],
    purses: &mut Purses,
) -> Result<(), Error> {
    let mut postings = Vec::with_capacity(booked.len());
    let mut posted = Vec::with_capacity(booked.len());
    for (index, booking) in booked.iter().enumerate() {
        if let Some(posting) = booking.posting(batch.psp_account_id, purses)? {
            postings.push(posting);
            posted.push(index);
        }
    }
    let outcomes = ledger::posting::post_in_tx(tx, merchant, &postings).await?;
    for (index, outcome) in posted.into_iter().zip(outcomes) {
        let ledger::posting::Posted::Now(transaction) = outcome else { return Err(Error::PostedBefore) };
        if let Some(booking) = booked.get_mut(index) {
            booking.transaction = Some(transaction);
        }
    }
    Ok(())
}

/// The capture that a line confirms to the cent: its sellers' money becomes available.
fn settled_capture<'a>(decision: &Decision<'a>) -> Option<&'a Operation> {
    match decision {
        Decision::Match(tie) if tie.effect == Effect::Capture => Some(tie.operation),
        Decision::Match(_)
        | Decision::Plain
        | Decision::Wait(_)
        | Decision::Differs(..)
        | Decision::Unexplained(_) => None,
    }
}

fn break_of(batch: &Batch, decided: &Decided<'_>, bookings: &BookingIds<'_>) -> Option<NewBreak> {
    let line = &decided.stored.line;
    let (kind, about, currency, expected, detail) = match &decided.decision {
        Decision::Plain | Decision::Match(_) | Decision::Wait(_) => return None,
        Decision::Differs(tie, difference) => {
            let kind = match difference {
                Difference::Amount => BreakKind::Amount,
                Difference::Currency => BreakKind::Currency,
            };
            let amount = tie.operation.amount;
            let detail = format!("expected {amount}, found {}", matching::found(line));
            (kind, Some(tie.operation), amount.currency, Some(amount.minor), detail)
        }
        Decision::Unexplained(unexplained) => {
            (unexplained.kind, unexplained.about, line.currency, None, unexplained.because.clone())
        }
    };
    let subject = format!("{}/{}", batch.psp_account_id, line.psp_line_id);
    let order_id = about.and_then(|operation| operation.order_id.clone()).or_else(|| line.order_id.clone());
    Some(NewBreak {
        expected,
        found: Some(matching::found(line)),
        line: Some((batch.file_id, line.line_no)),
        psp_line_id: Some(line.psp_line_id.clone()),
        psp_reference: line.psp_reference.clone(),
        operation_id: about.map(|operation| operation.operation_id).or(line.operation_id),
        payment_id: about.and_then(|operation| operation.payment_id),
        order_id,
        booking_id: bookings.get(&decided.stored.key()).copied(),
        detail,
        ..NewBreak::new(kind, batch.psp_account_id, subject, currency)
    })
}

/// Notes which lines wait, and which had. Answers how many are new.
async fn note_evidence(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    batch: &Batch,
    decided: &[Decided<'_>],
    bookings: &BookingIds<'_>,
) -> Result<u64, Error> {
    if batch.late {
        let settled: Vec<(i32, BookingId)> = decided
            .iter()
            .filter(|decided| !matches!(decided.decision, Decision::Wait(_)))
            .filter_map(|Decided { stored, .. }| {
                bookings.get(&stored.key()).map(|booking| (stored.line.line_no, *booking))
            })
            .collect();
        repo::evidence_settled(tx, merchant, batch.file_id, &settled).await?;
        return Ok(0);
    }
    let waiting: Vec<(&Stored, OperationId)> = decided
        .iter()
        .filter_map(|Decided { stored, decision }| match decision {
            Decision::Wait(tie) => Some((*stored, tie.operation.operation_id)),
            Decision::Plain | Decision::Match(_) | Decision::Differs(..) | Decision::Unexplained(_) => None,
        })
        .collect();
    if !waiting.is_empty() {
        repo::insert_evidence(tx, merchant, batch.file_id, &waiting).await?;
    }
    Ok(waiting.len() as u64)
}
