use std::collections::{BTreeSet, HashMap};

use money::{BookingId, FileId, MerchantId, OperationId, PspAccountId};
use sqlx::PgTransaction;

use super::booking::{Booking, Bookings, Place};
use super::candidates::Lookup;
use super::{Error, Progress, candidates, repo};
use crate::break_::{self, At, BreakKind, NewBreak};
use crate::matching::{
    self, Candidates, Decision, Difference, Effect, Operation, Tie, Ties, Unexplained, decide,
};
use crate::payout;
use crate::statement::{Line, LineKind};
use wallet::wallet::{Purses, Split};

/// What is booked in one commit: lines of one file, a slice of them at a time.
pub(crate) struct Batch {
    pub file_id: FileId,
    pub psp_account_id: PspAccountId,
    /// The lines had waited as evidence.
    pub late: bool,
    bookings: Bookings,
    /// Captures whose sellers' money becomes available, and where they are booked.
    released: Vec<(OperationId, Place)>,
    /// Lines that had waited and do not any longer.
    settled: Vec<(i32, Place)>,
    /// What lines say was paid out to our bank.
    payouts: payout::Told,
    progress: Progress,
    lookup: Lookup,
}

/// A line as it is in the database.
pub(crate) struct Stored {
    pub chunk_no: i32,
    pub line: Line,
    /// Why `payment-service` would not apply it as evidence.
    pub refused: Option<String>,
}

/// A line with what becomes of it, and where it is booked: nowhere while it waits.
struct Decided<'a> {
    stored: &'a Stored,
    decision: Decision<'a>,
    place: Option<Place>,
}

impl<'a> Decided<'a> {
    /// The operation that the line says something of which is in the books.
    const fn tie(&self) -> Option<Tie<'a>> {
        match &self.decision {
            Decision::Match(tie) | Decision::Differs(tie, _) => Some(*tie),
            Decision::Plain | Decision::Wait(_) | Decision::Unexplained(_) => None,
        }
    }

    /// The operation that the line waits for.
    const fn waits_for(&self) -> Option<Tie<'a>> {
        match &self.decision {
            Decision::Wait(tie) => Some(*tie),
            Decision::Plain | Decision::Match(_) | Decision::Differs(..) | Decision::Unexplained(_) => None,
        }
    }

    /// The capture that the line confirms to the cent: its sellers' money becomes available.
    fn settled_capture(&self) -> Option<&'a Operation> {
        match &self.decision {
            Decision::Match(tie) if tie.effect == Effect::Capture => Some(tie.operation),
            Decision::Match(_)
            | Decision::Plain
            | Decision::Wait(_)
            | Decision::Differs(..)
            | Decision::Unexplained(_) => None,
        }
    }

    /// The payout to our bank that the line says was sent.
    fn sends(&self) -> Option<&'a str> {
        let line = &self.stored.line;
        line.pays().filter(|_| self.decision == Decision::Plain && line.kind == LineKind::Payout)
    }

    const fn is_about_nothing(&self) -> bool {
        matches!(self.decision, Decision::Unexplained(Unexplained { about: None, .. }))
    }

    /// Names a payment for the person who looks, where the line is tied to nothing.
    fn look_at(&mut self, paid: &'a Candidates) {
        let line = &self.stored.line;
        if let Decision::Unexplained(unexplained) = &mut self.decision
            && unexplained.about.is_none()
            && let Some(operation) = matching::paid(line, paid)
        {
            unexplained.about = Some(operation);
            if unexplained.kind == BreakKind::UnknownToUs {
                unexplained.kind = matching::unseen(line.kind);
            }
        }
    }
}

impl Batch {
    pub fn new(file_id: FileId, psp_account_id: PspAccountId, late: bool) -> Self {
        Self {
            file_id,
            psp_account_id,
            late,
            bookings: Bookings::default(),
            released: Vec::new(),
            settled: Vec::new(),
            payouts: payout::Told::default(),
            progress: Progress::default(),
            lookup: Lookup::default(),
        }
    }

    /// Decides lines, which the caller has locked or just stored, and adds them to what will be booked.
    pub async fn add_in_tx(
        &mut self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        lines: &[Stored],
    ) -> Result<(), Error> {
        let known = candidates::of_lines(tx, merchant, self.psp_account_id, lines, &mut self.lookup).await?;
        let mut decided = decide_all(lines, &known.candidates);
        self.refuse_implied_in_tx(tx, merchant, &mut decided).await?;
        for decided in decided.iter_mut().filter(|decided| decided.waits_for().is_none()) {
            decided.place = Some(self.bookings.place(merchant, self.file_id, self.late, decided.stored));
        }
        self.tie_in_tx(tx, merchant, &mut decided).await?;
        let wondered_at = decided.iter().filter(|decided| decided.is_about_nothing());
        let wondered_at = wondered_at.map(|decided| &decided.stored.line);
        let paid = candidates::of_payments(tx, merchant, self.psp_account_id, wondered_at).await?;
        for decided in &mut decided {
            decided.look_at(&paid);
        }
        self.open_breaks_in_tx(tx, merchant, &decided).await?;
        self.note_evidence_in_tx(tx, merchant, &decided).await?;
        self.add_up(tx, merchant, &decided, &known.splits).await
    }

    /// A payout that is booked as what its lines come to is not booked again by a line of its own.
    async fn refuse_implied_in_tx(
        &self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        decided: &mut [Decided<'_>],
    ) -> Result<(), Error> {
        let names: Vec<&str> = decided.iter().filter_map(Decided::sends).collect();
        let implied = payout::implied_in_tx(tx, merchant, self.psp_account_id, &names).await?;
        for decided in decided.iter_mut() {
            let Some(name) = decided.sends().filter(|name| implied.contains(*name)) else { continue };
            decided.decision = Decision::Unexplained(Unexplained {
                kind: BreakKind::Duplicate,
                about: None,
                because: format!("payout {name} is booked as what its lines come to"),
            });
        }
        Ok(())
    }

    /// Writes the matches. An operation that has one, here or from another line, gets no second: that line is a break.
    async fn tie_in_tx(
        &self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        decided: &mut [Decided<'_>],
    ) -> Result<(), Error> {
        let mut ties: Vec<repo::NewMatch> =
            decided.iter().filter_map(|decided| self.match_of(decided)).collect();
        // rivals insert in one order; of those about the same, the first in the file comes first and is kept
        ties.sort_unstable_by_key(|new| (new.about, new.key(), new.line_no));
        let lines = ties.len();
        ties.dedup_by_key(|new| new.key());
        // what waited is little, and booked by a service, whose connections outlive whoever gives up waiting for a copy
        if !self.late && lines == ties.len() && repo::copy_matches(tx, merchant, self.file_id, &ties).await? {
            return Ok(());
        }
        let tied = repo::insert_matches(tx, merchant, self.file_id, &ties).await?;
        for decided in decided.iter_mut() {
            let Some(tie) = decided.tie() else { continue };
            if !tied.contains(&decided.stored.line.line_no) {
                decided.decision = Decision::Unexplained(Unexplained {
                    kind: matching::twice(tie.effect),
                    about: Some(tie.operation),
                    because: "another line is about the same operation".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn match_of(&self, decided: &Decided<'_>) -> Option<repo::NewMatch> {
        let (tie, place) = (decided.tie()?, decided.place?);
        let allocated = match &decided.decision {
            Decision::Differs(_, Difference::Currency) => 0,
            _ => tie.operation.amount.minor,
        };
        Some(repo::NewMatch {
            about: tie.about(),
            operation_id: tie.operation.operation_id,
            effect: tie.effect,
            line_no: decided.stored.line.line_no,
            rule: tie.rule,
            released: decided.settled_capture().is_some(),
            allocated,
            booking_id: self.bookings.at(place).id,
            at_once: !self.late,
        })
    }

    async fn open_breaks_in_tx(
        &mut self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        decided: &[Decided<'_>],
    ) -> Result<(), Error> {
        let breaks: Vec<NewBreak> = decided.iter().filter_map(|decided| self.break_of(decided)).collect();
        if !breaks.is_empty() {
            self.progress.breaks += break_::open_all_in_tx(tx, merchant, &breaks).await?;
        }
        Ok(())
    }

    fn break_of(&self, decided: &Decided<'_>) -> Option<NewBreak> {
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
        let subject = format!("{}/{}", self.psp_account_id, line.psp_line_id);
        let order_id =
            about.and_then(|operation| operation.order_id.clone()).or_else(|| line.order_id.clone());
        Some(NewBreak {
            expected,
            found: Some(matching::found(line)),
            line: Some((self.file_id, line.line_no)),
            psp_line_id: Some(line.psp_line_id.clone()),
            psp_reference: line.psp_reference.clone(),
            operation_id: about.map(|operation| operation.operation_id).or(line.operation_id),
            payment_id: about.and_then(|operation| operation.payment_id),
            order_id,
            booking_id: decided.place.map(|place| self.bookings.at(place).id),
            detail,
            ..NewBreak::new(kind, At::Psp(self.psp_account_id), subject, currency, line.value_date)
        })
    }

    /// Notes which lines wait, and which had.
    async fn note_evidence_in_tx(
        &mut self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        decided: &[Decided<'_>],
    ) -> Result<(), Error> {
        if self.late {
            let settled =
                decided.iter().filter_map(|decided| Some((decided.stored.line.line_no, decided.place?)));
            self.settled.extend(settled);
            // of lines that did not wait they are closed when all of their file is booked
            let awaited = decided.iter().filter_map(Decided::tie).filter(|tie| tie.effect.is_awaited());
            let operations: Vec<OperationId> = awaited.map(|tie| tie.operation.operation_id).collect();
            break_::close_missing_in_tx(tx, merchant, &operations).await?;
            return Ok(());
        }
        let waiting = decided
            .iter()
            .filter_map(|decided| Some((decided.stored, decided.waits_for()?.operation.operation_id)));
        let waiting: Vec<(&Stored, OperationId)> = waiting.collect();
        if !waiting.is_empty() {
            repo::insert_evidence(tx, merchant, self.psp_account_id, self.file_id, &waiting).await?;
        }
        self.progress.waiting += waiting.len() as u64;
        Ok(())
    }

    async fn add_up(
        &mut self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        decided: &[Decided<'_>],
        known: &HashMap<OperationId, Vec<Split>>,
    ) -> Result<(), Error> {
        let captures = decided.iter().filter_map(|decided| Some(decided.settled_capture()?.operation_id));
        let others: Vec<OperationId> = captures.filter(|id| !known.contains_key(id)).collect();
        let others = repo::splits(tx, merchant, &others).await?;
        for decided in decided {
            self.progress.lines += 1;
            let Some(place) = decided.place else { continue };
            let booking = self.bookings.at_mut(place);
            booking.add(&decided.stored.line, &decided.decision).ok_or(Error::Overflow)?;
            if decided.decision == Decision::Plain {
                self.payouts.add(&decided.stored.line).ok_or(Error::Overflow)?;
            }
            self.progress.matched += u64::from(matches!(decided.decision, Decision::Match(_)));
            let Some(operation) = decided.settled_capture() else { continue };
            let id = operation.operation_id;
            let parts = known.get(&id).or_else(|| others.get(&id)).map(Vec::as_slice).unwrap_or_default();
            if parts.iter().map(|part| part.amount).sum::<i64>() != operation.amount.minor {
                return Err(Error::Splits(id));
            }
            booking.release(parts).ok_or(Error::Overflow)?;
            self.released.push((id, place));
        }
        Ok(())
    }

    /// Posts one ledger transaction per booking: the last thing before the commit, because whoever pays waits for the
    /// sellers' accounts from here on.
    pub async fn book_in_tx(
        mut self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
    ) -> Result<Progress, Error> {
        let mut purses = self.lock_purses(tx, merchant).await?;
        self.withhold(tx, merchant).await?;
        self.post_all(tx, merchant, &mut purses).await?;
        repo::insert_bookings(tx, merchant, &self, self.bookings.all()).await?;
        std::mem::take(&mut self.payouts).note_in_tx(tx, merchant, self.psp_account_id).await?;
        if !self.settled.is_empty() {
            let settled = self.settled.iter().map(|(line_no, place)| (*line_no, self.bookings.at(*place).id));
            let settled: Vec<(i32, BookingId)> = settled.collect();
            repo::evidence_settled(tx, merchant, self.file_id, &settled).await?;
        }
        Ok(self.progress)
    }

    /// Locks all that will be posted to, where a seller's money is among it.
    async fn lock_purses(&self, tx: &mut PgTransaction<'_>, merchant: MerchantId) -> Result<Purses, Error> {
        let bookings = self.bookings.all();
        let sellers: BTreeSet<_> = bookings.iter().flat_map(Booking::sellers).collect();
        if sellers.is_empty() {
            return Ok(Purses::new());
        }
        let others = bookings.iter().flat_map(|booking| booking.accounts(self.psp_account_id));
        let others: BTreeSet<_> = others.collect();
        let (sellers, others): (Vec<_>, Vec<_>) =
            (sellers.into_iter().collect(), others.into_iter().collect());
        Ok(wallet::wallet::lock_in_tx(tx, merchant, &sellers, &others).await?)
    }

    /// What refunds took of the captures while they were not settled does not become available. Read after the sellers'
    /// accounts are locked, as refunds take it: no refund can come in between.
    async fn withhold(&mut self, tx: &mut PgTransaction<'_>, merchant: MerchantId) -> Result<(), Error> {
        let captures: Vec<OperationId> = self.released.iter().map(|(capture, _)| *capture).collect();
        let draws = repo::draws(tx, merchant, &captures).await?;
        if draws.is_empty() {
            return Ok(());
        }
        for (capture, place) in &self.released {
            for (seller, minor) in draws.get(capture).into_iter().flatten() {
                let booking = self.bookings.at_mut(*place);
                booking.withhold(seller, *minor).ok_or(Error::Splits(*capture))?;
            }
        }
        Ok(())
    }

    async fn post_all(
        &mut self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        purses: &mut Purses,
    ) -> Result<(), Error> {
        let (mut postings, mut posted) = (Vec::new(), Vec::new());
        for booking in self.bookings.all_mut() {
            if let Some(posting) = booking.posting(self.psp_account_id, purses)? {
                postings.push(posting);
                posted.push(booking);
            }
        }
        let outcomes = ledger::posting::post_in_tx(tx, merchant, &postings).await?;
        for (booking, outcome) in posted.into_iter().zip(outcomes) {
            let ledger::posting::Posted::Now(transaction) = outcome else { return Err(Error::PostedBefore) };
            booking.transaction = Some(transaction);
        }
        Ok(())
    }
}

fn decide_all<'a>(lines: &'a [Stored], candidates: &'a Candidates) -> Vec<Decided<'a>> {
    let mut ties = Ties::new();
    let mut all = Vec::with_capacity(lines.len());
    for stored in lines {
        let decision = decide(&stored.line, candidates, &ties, stored.refused.as_deref());
        let decided = Decided { stored, decision, place: None };
        ties.extend(decided.tie().or(decided.waits_for()).map(|tie| tie.key()));
        all.push(decided);
    }
    all
}
