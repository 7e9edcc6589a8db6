//! Payouts of a PSP to our bank: how much left our balance there, and when it should arrive.
//!
//! A payout with a line of its own is what the line says. Where the file only names the payout that each line is part of, as
//! Stripe's does, the payout is what its lines come to, and is booked when all of a file's are ([`imply_in_tx`]).

mod repo;

use std::collections::BTreeMap;

use ledger::account::Account;
use ledger::posting::{Posting, Source};
use money::{BookingId, Currency, FileId, MerchantId, Money, PspAccountId};
use sqlx::PgTransaction;
use time::Date;

use crate::run::Error;
use crate::statement::{Format, Line, LineKind};

pub(crate) use repo::implied_in_tx;

/// What lines of their own say of payouts: by the PSP's name and the currency.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<(String, Currency), Sum>);

/// What lines say of one payout, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sum {
    /// Minor units that left our balance, less those that came back.
    minor: i64,
    /// Whether it is told that it was sent, and not only that it came back.
    has_line: bool,
    reference: Option<String>,
    arrives_on: Date,
}

impl Told {
    /// Adds the line of a payout; none when the sum does not fit.
    pub fn add(&mut self, line: &Line) -> Option<()> {
        // nothing can be told of a payout without a name
        let Some(name) = line.pays() else { return Some(()) };
        let sum = self.0.entry((name.to_owned(), line.currency)).or_insert_with(|| Sum {
            minor: 0,
            has_line: false,
            reference: None,
            arrives_on: line.value_date,
        });
        sum.minor = sum.minor.checked_sub(line.gross)?;
        if line.kind == LineKind::Payout {
            sum.has_line = true;
            sum.reference = sum.reference.take().or_else(|| line.psp_movement.clone());
            sum.arrives_on = line.value_date;
        }
        Some(())
    }

    /// Notes what was told.
    ///
    /// # Errors
    /// When one of the payouts has been implied meanwhile, or Postgres fails.
    pub async fn note_in_tx(
        self,
        tx: &mut PgTransaction<'_>,
        merchant: MerchantId,
        account: PspAccountId,
    ) -> Result<(), Error> {
        for ((name, currency), sum) in &self.0 {
            if !repo::tell(tx, merchant, account, (name, *currency), sum).await? {
                return Err(Error::PayoutTold(name.clone()));
            }
        }
        Ok(())
    }
}

/// A payout that the lines of a file are part of, and that has no line of its own.
struct Implied {
    payout_id: String,
    currency: Currency,
    /// Minor units that its lines come to and that are not booked as paid out.
    minor: i64,
    arrives_on: Date,
}

/// Books the payouts that the lines of a file come to, where its format tells payouts so. All of the file's lines must be
/// stored, and its row marked, so that nobody else does.
pub(crate) async fn imply_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    file: FileId,
    format: &str,
) -> Result<(), Error> {
    if format != Format::StripePayoutReconciliation.as_str() {
        return Ok(());
    }
    let implied = repo::open_by_lines(tx, merchant, account, file).await?;
    let (mut bookings, mut postings) = (Vec::with_capacity(implied.len()), Vec::with_capacity(implied.len()));
    for payout in &implied {
        let parts = [&file.to_string(), "implied", &payout.payout_id, payout.currency.code()];
        let id = BookingId::derive(merchant, &parts);
        bookings.push(id);
        postings.push(posting(account, id, payout)?);
    }
    let posted = ledger::posting::post_in_tx(tx, merchant, &postings).await?;
    for ((payout, id), posted) in implied.iter().zip(bookings).zip(posted) {
        let ledger::posting::Posted::Now(transaction) = posted else { return Err(Error::PostedBefore) };
        if !repo::imply(tx, merchant, account, payout).await? {
            return Err(Error::PayoutTold(payout.payout_id.clone()));
        }
        repo::insert_booking(tx, merchant, account, file, (id, transaction), payout).await?;
    }
    Ok(())
}

fn posting(account: PspAccountId, id: BookingId, payout: &Implied) -> Result<Posting, Error> {
    let size = i64::try_from(payout.minor.unsigned_abs()).map_err(|_| Error::Overflow)?;
    let amount = Money::new(size, payout.currency);
    let (in_transit, balance) = (Account::PayoutInTransit(account), Account::PspBalance(account));
    // a payout of less than nothing is taken from our bank
    let (debit, credit) = if payout.minor >= 0 { (in_transit, balance) } else { (balance, in_transit) };
    let source = Source { table: "settlement", id: id.as_uuid() };
    Ok(Posting::builder(source, "settle", payout.arrives_on)
        .debit(debit, amount)
        .credit(credit, amount)
        .build()?)
}
