//! The chart of accounts: which accounts a merchant has, and how each behaves.

mod repo;

use std::fmt;

use money::{AccountId, Currency, MerchantId, PspAccountId, SellerId};
use sqlx::PgTransaction;

/// An account of a merchant's books. With a currency it is a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Captured and not settled: the PSP owes it to us.
    PspReceivable(PspAccountId),
    /// Settled and not paid out: our balance at the PSP.
    PspBalance(PspAccountId),
    /// Paid out by the PSP and not yet seen at the bank.
    PayoutInTransit(PspAccountId),
    /// What the bank has confirmed.
    BankCash,
    /// What a seller owes us; repaid first from its later settlements.
    SellerDebt(SellerId),
    /// Taken back by cardholders and not decided.
    Disputes,
    /// A seller's captured, not yet settled money.
    SellerPending(SellerId),
    /// A seller's settled money.
    SellerAvailable(SellerId),
    /// A seller's money reserved for a refund, dispute or payout.
    SellerHeld(SellerId),
    /// Sent to sellers and not yet seen at the bank.
    PayoutClearing,
    /// What the platform earns.
    PlatformFees,
    /// What the PSPs charge.
    PspFees,
    /// Settlement lines that nothing of ours explains, until their break is resolved.
    Suspense,
    /// One leg of an exchange; the only way currencies meet in a transaction.
    Fx(Currency),
}

/// What an account is, in the accountant's sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What we have or are owed.
    Asset,
    /// What we owe.
    Liability,
    /// What we earn.
    Income,
    /// What we spend.
    Cost,
    /// What must return to zero.
    Clearing,
}

impl Kind {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Liability => "liability",
            Self::Income => "income",
            Self::Cost => "cost",
            Self::Clearing => "clearing",
        }
    }

    /// 1 where a debit adds, -1 where a credit adds.
    pub const fn normal_side(self) -> i16 {
        match self {
            Self::Asset | Self::Cost | Self::Clearing => 1,
            Self::Liability | Self::Income => -1,
        }
    }
}

impl Account {
    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::PspReceivable(_)
            | Self::PspBalance(_)
            | Self::PayoutInTransit(_)
            | Self::BankCash
            | Self::SellerDebt(_)
            | Self::Disputes => Kind::Asset,
            Self::SellerPending(_)
            | Self::SellerAvailable(_)
            | Self::SellerHeld(_)
            | Self::PayoutClearing => Kind::Liability,
            Self::PlatformFees => Kind::Income,
            Self::PspFees => Kind::Cost,
            Self::Suspense | Self::Fx(_) => Kind::Clearing,
        }
    }

    /// Whether it may never go below zero on its normal side. Such an account is locked by each posting; the others
    /// are appended to and rolled up.
    pub const fn is_floored(&self) -> bool {
        match self {
            Self::SellerDebt(_) | Self::SellerPending(_) | Self::SellerAvailable(_) | Self::SellerHeld(_) => {
                true
            }
            Self::PspReceivable(_)
            | Self::PspBalance(_)
            | Self::PayoutInTransit(_)
            | Self::BankCash
            | Self::Disputes
            | Self::PayoutClearing
            | Self::PlatformFees
            | Self::PspFees
            | Self::Suspense
            | Self::Fx(_) => false,
        }
    }

    /// The row it is in `currency`.
    pub fn id(&self, merchant: MerchantId, currency: Currency) -> AccountId {
        AccountId::derive(merchant, &self.to_string(), currency)
    }
}

impl fmt::Display for Account {
    /// Its code: `seller_pending/s-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PspReceivable(psp) => write!(f, "psp_receivable/{psp}"),
            Self::PspBalance(psp) => write!(f, "psp_balance/{psp}"),
            Self::PayoutInTransit(psp) => write!(f, "payout_in_transit/{psp}"),
            Self::BankCash => f.write_str("bank_cash"),
            Self::SellerDebt(seller) => write!(f, "seller_debt/{seller}"),
            Self::Disputes => f.write_str("disputes"),
            Self::SellerPending(seller) => write!(f, "seller_pending/{seller}"),
            Self::SellerAvailable(seller) => write!(f, "seller_available/{seller}"),
            Self::SellerHeld(seller) => write!(f, "seller_held/{seller}"),
            Self::PayoutClearing => f.write_str("payout_clearing"),
            Self::PlatformFees => f.write_str("platform_fees"),
            Self::PspFees => f.write_str("psp_fees"),
            Self::Suspense => f.write_str("suspense"),
            Self::Fx(currency) => write!(f, "fx/{currency}"),
        }
    }
}

/// Whether the account is there: something was posted to it once.
///
/// # Errors
/// When Postgres fails.
pub async fn exists_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: &Account,
    currency: Currency,
) -> Result<bool, sqlx::Error> {
    repo::exists(tx, merchant, account.id(merchant, currency)).await
}

/// Makes the accounts and their zero balances where they are missing.
pub(crate) async fn open_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    accounts: &[(Account, Currency)],
) -> Result<(), sqlx::Error> {
    let mut rows: Vec<_> =
        accounts.iter().map(|(account, currency)| repo::Row::of(merchant, account, *currency)).collect();
    // rivals insert in one order
    rows.sort_by_key(|row| row.account_id);
    repo::insert_missing(tx, merchant, &rows).await
}
