//! What is open at our banks and on the way there: tied where it can be, and a break where it should have been.

use std::collections::BTreeMap;

use ledger::account::Account;
use ledger::posting::{Posted, Posting, Source};
use money::{BankMatchId, Currency, MerchantId, Money, PspAccountId, TransactionId};
use sqlx::{PgPool, PgTransaction};

use super::matching::{self, OpenEntry, OpenPayout, Tie, Window};
use super::{Error, repo};
use crate::break_::{self, At, BreakKind, NewBreak};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Parts of entries that were tied to payouts.
    pub matched: u64,
    /// Breaks that were opened.
    pub breaks: u64,
    /// Breaks that were closed, because what they were about was tied.
    pub closed: u64,
}

/// Ties entries of the merchant's bank accounts to payouts, and opens and closes breaks. Does nothing for a merchant
/// without bank accounts.
///
/// # Errors
/// When Postgres fails.
pub async fn settle(pool: &PgPool, merchant: MerchantId) -> Result<Progress, Error> {
    let mut tx = pool.begin().await?;
    if repo::lock_accounts(&mut tx, merchant).await?.is_empty() {
        return Ok(Progress::default());
    }
    let progress = settle_in_tx(&mut tx, merchant).await?;
    tx.commit().await?;
    Ok(progress)
}

/// Locks the merchant's bank accounts: nobody else matches before our commit.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn lock_in_tx(tx: &mut PgTransaction<'_>, merchant: MerchantId) -> Result<(), Error> {
    repo::lock_accounts(tx, merchant).await?;
    Ok(())
}

/// The same, where the merchant's bank accounts are locked.
pub(super) async fn settle_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
) -> Result<Progress, Error> {
    let mut progress = Progress::default();
    for currency in repo::open_currencies(tx, merchant).await? {
        progress.matched += tie_in_tx(tx, merchant, currency).await?;
        progress.breaks += open_breaks_in_tx(tx, merchant, currency).await?;
    }
    progress.closed += break_::close_banked_in_tx(tx, merchant).await?;
    Ok(progress)
}

async fn tie_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
) -> Result<u64, Error> {
    let entries = repo::open_entries(tx, merchant, currency).await?;
    let payouts = repo::open_payouts(tx, merchant, currency).await?;
    let mut numbers: BTreeMap<PspAccountId, usize> = BTreeMap::new();
    let open_entries: Vec<OpenEntry> = entries.iter().map(repo::EntryRow::open).collect();
    let open_payouts = payouts.iter().map(|payout| {
        let next = numbers.len();
        let account = *numbers.entry(payout.psp_account_id).or_insert(next);
        let names = [Some(&payout.payout_id), payout.reference.as_ref()];
        let names = names.into_iter().flatten().cloned().collect();
        OpenPayout { account, left: payout.open, arrives_on: payout.arrives_on, names }
    });
    let open_payouts: Vec<OpenPayout> = open_payouts.collect();
    let mut ties = Vec::new();
    for tie in matching::tie(&open_entries, &open_payouts, Window::default()) {
        if let (Some(entry), Some(payout)) = (entries.get(tie.entry), payouts.get(tie.payout)) {
            ties.push((entry, payout, tie));
        }
    }
    note_in_tx(tx, merchant, currency, ties).await
}

async fn note_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
    mut ties: Vec<(&repo::EntryRow, &repo::PayoutRow, Tie)>,
) -> Result<u64, Error> {
    // those who book lines of these payouts take them in this order
    ties.sort_by_key(|(entry, payout, _)| (payout.psp_account_id, &payout.payout_id, entry.entry_id));
    let mut postings = Vec::with_capacity(ties.len());
    let mut matches = Vec::with_capacity(ties.len());
    for (entry, payout, tie) in &ties {
        let match_id = BankMatchId::new();
        postings.push(posting(match_id, entry, payout, Money::new(tie.allocated, currency))?);
        matches.push(repo::NewMatch { match_id, entry, payout, tie });
    }
    let posted = ledger::posting::post_in_tx(tx, merchant, &postings).await?;
    let transactions = posted.into_iter().map(|posted| match posted {
        Posted::Now(transaction) => Ok(transaction),
        Posted::Before => Err(Error::PostedBefore),
    });
    let transactions: Vec<TransactionId> = transactions.collect::<Result<_, _>>()?;
    repo::insert_matches(tx, merchant, currency, &matches, &transactions).await?;
    Ok(matches.len() as u64)
}

fn posting(
    id: BankMatchId,
    entry: &repo::EntryRow,
    payout: &repo::PayoutRow,
    amount: Money,
) -> Result<Posting, Error> {
    let size = i64::try_from(amount.minor.unsigned_abs()).map_err(|_| Error::Overflow)?;
    let size = Money::new(size, amount.currency);
    let in_transit = Account::PayoutInTransit(payout.psp_account_id);
    let (debit, credit) =
        if amount.minor >= 0 { (Account::Suspense, in_transit) } else { (in_transit, Account::Suspense) };
    let source = Source { table: "bank_match", id: id.as_uuid() };
    Ok(Posting::builder(source, "bank_match", entry.booked_on)
        .debit(debit, size)
        .credit(credit, size)
        .build()?)
}

/// Opens a break for each entry that is no payout, and for each payout that should be at a bank by now.
async fn open_breaks_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    currency: Currency,
) -> Result<u64, Error> {
    let entries = repo::entries_without_break(tx, merchant, currency).await?;
    let payouts = repo::overdue_payouts(tx, merchant, currency).await?;
    let mut breaks: Vec<NewBreak> = entries.iter().map(|entry| unexplained(entry, currency)).collect();
    breaks.extend(payouts.iter().map(|payout| overdue(payout, currency)));
    Ok(break_::open_all_in_tx(tx, merchant, &breaks).await?)
}

fn unexplained(entry: &repo::EntryRow, currency: Currency) -> NewBreak {
    let kind =
        if entry.amount > 0 { BreakKind::BankCreditWithoutPayout } else { BreakKind::BankDebitWithoutPayout };
    let rest = match entry.amount == entry.open {
        true => String::new(),
        false => format!("; {} of it is a payout", Money::new(entry.amount - entry.open, currency)),
    };
    let detail = format!("booked on {}: {}{rest}", entry.booked_on, entry.shown());
    NewBreak {
        found: Some(Money::new(entry.open, currency)),
        bank_entry_id: Some(entry.entry_id),
        detail,
        ..NewBreak::new(
            kind,
            At::Bank(entry.bank_account_id),
            entry.entry_id.to_string(),
            currency,
            entry.booked_on,
        )
    }
}

fn overdue(payout: &repo::PayoutRow, currency: Currency) -> NewBreak {
    let banked = payout.amount - payout.open;
    let kind = if banked == 0 { BreakKind::PayoutNotInBank } else { BreakKind::Amount };
    let detail = match banked {
        0 => format!("it should have been there on {}", payout.arrives_on),
        _ => format!("the bank has {} of it", Money::new(banked, currency)),
    };
    let subject = format!("payout {}/{}", payout.psp_account_id, payout.payout_id);
    NewBreak {
        expected: Some(payout.amount),
        found: (banked != 0).then_some(Money::new(banked, currency)),
        payout_id: Some(payout.payout_id.clone()),
        psp_reference: payout.reference.clone(),
        detail,
        ..NewBreak::new(kind, At::Psp(payout.psp_account_id), subject, currency, payout.arrives_on)
    }
}
