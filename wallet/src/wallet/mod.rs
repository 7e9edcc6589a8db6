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

/// The credits of a capture: each seller's net to its pending money, the fees to the platform.
pub fn credit_capture(posting: Builder, currency: Currency, splits: &[Split]) -> Builder {
    splits.iter().fold(posting, |posting, split| {
        posting
            .credit(Account::SellerPending(split.seller.clone()), Money::new(split.net(), currency))
            .credit(Account::PlatformFees, Money::new(split.platform_fee, currency))
    })
}

/// What sellers owe, locked until the commit, together with the other accounts of theirs that a settlement moves, and with
/// `others`: all further accounts that the caller will post to. A transaction locks or makes its accounts in one go, in one
/// order; two that did so in steps could wait for each other.
///
/// # Errors
/// When Postgres fails.
pub async fn lock_debts_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    sellers: &[(SellerId, Currency)],
    others: &[(Account, Currency)],
) -> Result<BTreeMap<(SellerId, Currency), i64>, ledger::Error> {
    type MakeAccount = fn(SellerId) -> Account;
    let accounts: Vec<(Account, Currency)> = sellers
        .iter()
        .flat_map(|(seller, currency)| {
            [Account::SellerDebt as MakeAccount, Account::SellerPending, Account::SellerAvailable]
                .map(|account| (account(seller.clone()), *currency))
        })
        .chain(others.iter().cloned())
        .collect();
    ledger::posting::lock_in_tx(tx, merchant, &accounts).await?;
    let debts: Vec<(Account, Currency)> =
        sellers.iter().map(|(seller, currency)| (Account::SellerDebt(seller.clone()), *currency)).collect();
    let owed = ledger::balance::read_in_tx(tx, merchant, &debts).await?;
    Ok(sellers.iter().cloned().zip(owed).collect())
}

/// The legs that make `amount` of a seller's pending money available, the seller's `debt` (as locked) first.
pub fn settle(posting: Builder, seller: &SellerId, amount: Money, debt: i64) -> Builder {
    let repaid = debt.min(amount.minor);
    posting
        .debit(Account::SellerPending(seller.clone()), amount)
        .credit(Account::SellerDebt(seller.clone()), Money::new(repaid, amount.currency))
        .credit(Account::SellerAvailable(seller.clone()), Money::new(amount.minor - repaid, amount.currency))
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
