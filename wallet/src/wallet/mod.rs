//! What moves a seller's money, as legs of ledger postings, and what the seller sees.

use std::collections::BTreeMap;

use ledger::account::Account;
use ledger::balance::{AccountFilter, AccountMovement};
use ledger::posting::Builder;
use money::{AccountId, Currency, MerchantId, Money, SellerId, TransactionId};
use sqlx::{PgPool, PgTransaction};

/// A seller's part of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Whose part it is.
    pub seller: SellerId,
    /// The part, in minor units; the parts of a payment add up to its amount.
    pub amount: i64,
    /// What of it the platform keeps, in minor units: at most `amount`.
    pub platform_fee: i64,
}

impl Split {
    /// What the seller gets of it, in minor units.
    pub const fn net(&self) -> i64 {
        self.amount - self.platform_fee
    }
}

/// A seller's money in one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// The currency of all of it.
    pub currency: String,
    /// Captured, and not settled by the PSP yet.
    pub pending: i64,
    /// Settled: the seller's to have.
    pub available: i64,
    /// Reserved for a refund, a dispute or a payout.
    pub held: i64,
    /// What the seller owes, repaid first from later settlements.
    pub debt: i64,
}

/// What a seller has and owes in one currency, locked: what postings of the transaction do to it is taken into account as
/// they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purse {
    /// Settled: the seller's to have.
    pub available: i64,
    /// What the seller owes.
    pub debt: i64,
}

/// Locked purses.
pub type Purses = BTreeMap<(SellerId, Currency), Purse>;

/// The credits of a capture: each seller's net to its pending money, the fees to the platform.
pub fn credit_capture(posting: Builder, currency: Currency, splits: &[Split]) -> Builder {
    splits.iter().fold(posting, |posting, split| {
        posting
            .credit(Account::SellerPending(split.seller.clone()), Money::new(split.net(), currency))
            .credit(Account::PlatformFees, Money::new(split.platform_fee, currency))
    })
}

/// What sellers have and owe, locked until the commit with all their accounts, and with `others`: all further accounts that
/// the caller will post to. A transaction locks or makes its accounts in one go, in one order; two that did so in steps
/// could wait for each other.
///
/// # Errors
/// When Postgres fails.
pub async fn lock_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    sellers: &[(SellerId, Currency)],
    others: &[(Account, Currency)],
) -> Result<Purses, ledger::Error> {
    let accounts: Vec<(Account, Currency)> = sellers
        .iter()
        .flat_map(|(seller, currency)| accounts_of(seller).map(|account| (account, *currency)))
        .chain(others.iter().cloned())
        .collect();
    ledger::posting::lock_in_tx(tx, merchant, &accounts).await?;
    let read: Vec<(Account, Currency)> = sellers
        .iter()
        .flat_map(|(seller, currency)| {
            [Account::SellerAvailable(seller.clone()), Account::SellerDebt(seller.clone())]
                .map(|account| (account, *currency))
        })
        .collect();
    let balances = ledger::balance::read_in_tx(tx, merchant, &read).await?;
    let purses = balances.chunks_exact(2).map(|pair| Purse { available: pair[0], debt: pair[1] });
    Ok(sellers.iter().cloned().zip(purses).collect())
}

/// The legs that make `amount` of a seller's pending money available, its debt first.
pub fn settle(posting: Builder, seller: &SellerId, amount: Money, purse: &mut Purse) -> Builder {
    let posting = posting.debit(Account::SellerPending(seller.clone()), amount);
    give(posting, seller, amount, purse)
}

/// The credits that give a seller `amount`: to its debt first, the rest is available.
pub fn give(posting: Builder, seller: &SellerId, amount: Money, purse: &mut Purse) -> Builder {
    let repaid = purse.debt.min(amount.minor);
    let rest = amount.minor - repaid;
    purse.debt -= repaid;
    purse.available += rest;
    posting
        .credit(Account::SellerDebt(seller.clone()), Money::new(repaid, amount.currency))
        .credit(Account::SellerAvailable(seller.clone()), Money::new(rest, amount.currency))
}

/// The legs that hold `amount` of a seller's: `pending` of it from what is not settled, then from what is available, and
/// what is not there becomes debt.
pub fn hold(posting: Builder, seller: &SellerId, amount: Money, pending: i64, purse: &mut Purse) -> Builder {
    let available = (amount.minor - pending).min(purse.available);
    let debt = amount.minor - pending - available;
    purse.available -= available;
    purse.debt += debt;
    let part = |minor| Money::new(minor, amount.currency);
    posting
        .debit(Account::SellerPending(seller.clone()), part(pending))
        .debit(Account::SellerAvailable(seller.clone()), part(available))
        .debit(Account::SellerDebt(seller.clone()), part(debt))
        .credit(Account::SellerHeld(seller.clone()), amount)
}

/// The wallet of a seller, one per currency it ever had money in; none for a seller we never heard of.
///
/// # Errors
/// When Postgres fails.
pub async fn read(
    pool: &PgPool,
    merchant: MerchantId,
    seller: &SellerId,
) -> Result<Vec<Wallet>, ledger::Error> {
    let accounts = accounts_of(seller);
    let codes = accounts.iter().map(ToString::to_string).collect();
    let filter = AccountFilter { codes: Some(codes), ..AccountFilter::default() };
    let mut wallets: BTreeMap<String, Wallet> = BTreeMap::new();
    for row in ledger::balance::list(pool, merchant, &filter, None).await? {
        let wallet = wallets.entry(row.currency.clone()).or_insert_with(|| Wallet {
            currency: row.currency.clone(),
            pending: 0,
            available: 0,
            held: 0,
            debt: 0,
        });
        let balance = row.balance * i64::from(row.normal_side);
        let [pending, available, held, debt] = &accounts;
        if row.code == pending.to_string() {
            wallet.pending = balance;
        } else if row.code == available.to_string() {
            wallet.available = balance;
        } else if row.code == held.to_string() {
            wallet.held = balance;
        } else if row.code == debt.to_string() {
            wallet.debt = balance;
        }
    }
    Ok(wallets.into_values().collect())
}

/// What moved a seller's wallet in `currency`, newest first: before the entry `before`, at most `limit`.
///
/// # Errors
/// When Postgres fails.
pub async fn entries(
    pool: &PgPool,
    merchant: MerchantId,
    seller: &SellerId,
    currency: Currency,
    before: Option<(TransactionId, i16)>,
    limit: u16,
) -> Result<Vec<AccountMovement>, ledger::Error> {
    let accounts: Vec<AccountId> =
        accounts_of(seller).iter().map(|account| account.id(merchant, currency)).collect();
    ledger::balance::movements(pool, merchant, &accounts, before, limit).await
}

fn accounts_of(seller: &SellerId) -> [Account; 4] {
    [
        Account::SellerPending(seller.clone()),
        Account::SellerAvailable(seller.clone()),
        Account::SellerHeld(seller.clone()),
        Account::SellerDebt(seller.clone()),
    ]
}
