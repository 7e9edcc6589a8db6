use std::collections::{BTreeMap, HashMap};

use ledger::account::Account;
use ledger::posting::{Builder, Posting, PostingError, Source};
use money::{BookingId, Currency, FileId, MerchantId, Money, PspAccountId, SellerId, TransactionId};
use time::Date;
use wallet::wallet::{Purses, Split};

use super::batch::Stored;
use crate::matching::{Decision, Difference};
use crate::statement::{Line, LineKind};

/// Which lines are booked together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub chunk_no: i32,
    pub payout_id: Option<String>,
    pub currency: Currency,
}

impl Key {
    fn is_of(&self, stored: &Stored) -> bool {
        self.chunk_no == stored.chunk_no
            && self.currency == stored.line.currency
            && self.payout_id == stored.line.payout_id
    }
}

/// The bookings of a batch.
#[derive(Default)]
pub(super) struct Bookings {
    all: Vec<Booking>,
    places: HashMap<Key, Place>,
    /// Where the last line was booked: the next mostly is as well.
    last: Option<Place>,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Bookings {
    /// Where a line is booked. The same lines always have the same bookings.
    pub fn place(&mut self, merchant: MerchantId, file: FileId, late: bool, stored: &Stored) -> Place {
        if let Some(last) = self.last.filter(|last| self.at(*last).key.is_of(stored)) {
            return last;
        }
        let line = &stored.line;
        let key =
            Key { chunk_no: stored.chunk_no, payout_id: line.payout_id.clone(), currency: line.currency };
        let next = Place(self.all.len());
        let place = *self.places.entry(key.clone()).or_insert(next);
        if place == next {
            // a line is settled once, so the first of these that waited tells them from all others
            let first_late = if late { line.line_no.to_string() } else { String::new() };
            let chunk_no = key.chunk_no.to_string();
            let payout = key.payout_id.as_deref().unwrap_or_default();
            let parts = [&file.to_string(), &chunk_no, payout, key.currency.code(), &first_late];
            self.all.push(Booking::new(BookingId::derive(merchant, &parts), key));
        }
        self.last = Some(place);
        place
    }

    #[expect(clippy::indexing_slicing, reason = "places are of bookings, of which none is ever taken away")]
    pub fn at(&self, place: Place) -> &Booking {
        &self.all[place.0]
    }

    #[expect(clippy::indexing_slicing, reason = "the same")]
    pub fn at_mut(&mut self, place: Place) -> &mut Booking {
        &mut self.all[place.0]
    }

    pub fn all(&self) -> &[Booking] {
        &self.all
    }

    pub fn all_mut(&mut self) -> &mut [Booking] {
        &mut self.all
    }
}

/// What lines of one key move, added up. Amounts are minor units of its currency.
pub(super) struct Booking {
    pub id: BookingId,
    pub key: Key,
    pub transaction: Option<TransactionId>,
    pub lines: i32,
    pub matched: i32,
    /// Sums of the lines' own columns, signed as they change our balance at the PSP.
    pub captures: i64,
    pub refunds: i64,
    pub chargebacks: i64,
    pub adjustments: i64,
    pub fee_lines: i64,
    /// To our bank.
    pub payouts: i64,
    /// To sellers, or taken for it.
    pub seller_payouts: i64,
    pub fees: i64,
    /// Credited to suspense.
    pub suspense: i64,
    /// Credited to the receivable.
    receivable: i64,
    /// Fees of lines that were booked when they arose.
    booked_fees: i64,
    sellers: BTreeMap<SellerId, i64>,
    effective: Option<Date>,
    /// The day its payout should be at the bank.
    pub payout_on: Option<Date>,
}

impl Booking {
    pub const fn new(id: BookingId, key: Key) -> Self {
        Self {
            id,
            key,
            transaction: None,
            lines: 0,
            matched: 0,
            captures: 0,
            refunds: 0,
            chargebacks: 0,
            adjustments: 0,
            fee_lines: 0,
            payouts: 0,
            seller_payouts: 0,
            fees: 0,
            suspense: 0,
            receivable: 0,
            booked_fees: 0,
            sellers: BTreeMap::new(),
            effective: None,
            payout_on: None,
        }
    }

    /// Adds a line that does not wait; none when a sum does not fit.
    pub fn add(&mut self, line: &Line, decision: &Decision<'_>) -> Option<()> {
        let by_kind = match line.kind {
            LineKind::Capture => &mut self.captures,
            LineKind::Refund | LineKind::RefundFailure => &mut self.refunds,
            LineKind::Chargeback | LineKind::ChargebackReversal => &mut self.chargebacks,
            LineKind::Fee => &mut self.fee_lines,
            LineKind::Payout | LineKind::PayoutReversal => match decision {
                Decision::Plain => &mut self.payouts,
                _ => &mut self.seller_payouts,
            },
            LineKind::Adjustment => &mut self.adjustments,
        };
        *by_kind = by_kind.checked_add(line.gross)?;
        self.fees = self.fees.checked_add(line.fee)?;
        let (receivable, suspense) = match decision {
            Decision::Plain | Decision::Wait(_) => (0, 0),
            Decision::Match(_) => (line.gross, 0),
            Decision::Differs(tie, Difference::Amount) => {
                let ours = tie.expected()?;
                (ours, line.gross.checked_sub(ours)?)
            }
            Decision::Differs(_, Difference::Currency) | Decision::Unexplained(_) => (0, line.gross),
        };
        let booked_fee = match decision {
            Decision::Match(tie) | Decision::Differs(tie, Difference::Amount) => tie.booked_fee(),
            Decision::Plain
            | Decision::Wait(_)
            | Decision::Differs(_, Difference::Currency)
            | Decision::Unexplained(_) => 0,
        };
        self.booked_fees = self.booked_fees.checked_add(booked_fee)?;
        self.receivable = self.receivable.checked_add(receivable)?.checked_sub(booked_fee)?;
        self.suspense = self.suspense.checked_add(suspense)?;
        self.lines += 1;
        self.matched += i32::from(matches!(decision, Decision::Match(_)));
        self.effective = self.effective.max(Some(line.value_date));
        self.payout_on = self.payout_on.max(line.payout_on.or(Some(line.value_date)));
        Some(())
    }

    /// Adds what a settled capture brings its sellers; none when a sum does not fit.
    pub fn release(&mut self, splits: &[Split]) -> Option<()> {
        for split in splits {
            match self.sellers.get_mut(&split.seller) {
                Some(sum) => *sum = sum.checked_add(split.net())?,
                None => drop(self.sellers.insert(split.seller.clone(), split.net())),
            }
        }
        Some(())
    }

    /// Whose money it makes available.
    pub fn sellers(&self) -> impl Iterator<Item = (SellerId, Currency)> {
        self.sellers.keys().map(|seller| (seller.clone(), self.key.currency))
    }

    /// Takes away what refunds had taken of a settled capture before; none where that is more than it brought.
    pub fn withhold(&mut self, seller: &SellerId, minor: i64) -> Option<()> {
        let sum = self.sellers.get_mut(seller)?;
        *sum = sum.checked_sub(minor).filter(|sum| *sum >= 0)?;
        Some(())
    }

    /// The posting; none when everything comes to nothing. Takes what it repays from `purses`.
    pub fn posting(&self, psp: PspAccountId, purses: &mut Purses) -> Result<Option<Posting>, PostingError> {
        let Some(effective) = self.effective else { return Ok(None) };
        let source = Source { table: "settlement", id: self.id.as_uuid() };
        let currency = self.key.currency;
        let mut posting = Posting::builder(source, "settle", effective);
        for (account, minor) in self.sums(psp) {
            posting = debit_signed(posting, account, minor, currency)?;
        }
        for (seller, &minor) in &self.sellers {
            let purse = purses.entry((seller.clone(), currency)).or_default();
            posting = wallet::wallet::settle(posting, seller, Money::new(minor, currency), purse);
        }
        match posting.build() {
            Ok(posting) => Ok(Some(posting)),
            Err(PostingError::Empty) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The accounts that it moves beside the sellers'.
    pub fn accounts(&self, psp: PspAccountId) -> impl Iterator<Item = (Account, Currency)> {
        let moved = self.sums(psp).into_iter().filter(|(_, minor)| *minor != 0);
        moved.map(|(account, _)| (account, self.key.currency))
    }

    /// By how much it debits each account beside the sellers'.
    fn sums(&self, psp: PspAccountId) -> [(Account, i128); 5] {
        [
            (Account::PspBalance(psp), self.balance_change()),
            (
                Account::PspFees,
                i128::from(self.fees) - i128::from(self.fee_lines) - i128::from(self.booked_fees),
            ),
            (Account::PayoutInTransit(psp), -i128::from(self.payouts)),
            (Account::PspReceivable(psp), -i128::from(self.receivable)),
            (Account::Suspense, -i128::from(self.suspense)),
        ]
    }

    /// By how much it changes our balance at the PSP.
    fn balance_change(&self) -> i128 {
        [
            self.captures,
            self.refunds,
            self.chargebacks,
            self.adjustments,
            self.fee_lines,
            self.payouts,
            self.seller_payouts,
        ]
        .into_iter()
        .map(i128::from)
        .sum::<i128>()
            - i128::from(self.fees)
    }
}

/// Debits `minor`, or credits it where it is negative.
fn debit_signed(
    posting: Builder,
    account: Account,
    minor: i128,
    currency: Currency,
) -> Result<Builder, PostingError> {
    let amount =
        Money::new(i64::try_from(minor.unsigned_abs()).map_err(|_| PostingError::Overflow)?, currency);
    Ok(if minor < 0 { posting.credit(account, amount) } else { posting.debit(account, amount) })
}

#[cfg(test)]
mod tests;
