use std::collections::BTreeMap;

use money::{Currency, Money};
use time::Date;
use uuid::Uuid;

use crate::account::Account;

/// What a posting is about: with its kind, what makes it the same posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The sort of row it comes from: `operation`, `settlement`, ...
    pub table: &'static str,
    /// Which one.
    pub id: Uuid,
}

/// One movement of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    pub(crate) account: Account,
    pub(crate) currency: Currency,
    /// Signed: a debit is positive. Never zero.
    pub(crate) minor: i64,
}

/// A balanced set of legs: per currency they sum to zero. There is no other way to make one than [`Builder::build`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    source: Source,
    kind: &'static str,
    effective: Date,
    legs: Vec<Leg>,
}

/// Why legs make no posting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostingError {
    /// The debits and credits of a currency differ.
    #[error("the posting does not balance: {0} remains")]
    Unbalanced(Money),
    /// There is nothing to post.
    #[error("the posting has no legs")]
    Empty,
    /// A debit or credit of a negative amount.
    #[error("a leg of {0} is negative: swap its side")]
    Negative(Money),
    /// Currencies meet otherwise than through fx legs.
    #[error("the posting mixes currencies without fx legs")]
    MixedCurrencies,
    /// The sum does not fit 64 bits.
    #[error("the posting's amounts do not fit 64 bits")]
    Overflow,
}

/// Collects legs; those of one account and currency become one, those that come to nothing vanish.
#[derive(Debug)]
pub struct Builder {
    source: Source,
    kind: &'static str,
    effective: Date,
    legs: BTreeMap<(Account, Currency), i128>,
    negative: Option<Money>,
}

impl Posting {
    /// A posting of `kind` about `source` that counts on `effective`.
    pub const fn builder(source: Source, kind: &'static str, effective: Date) -> Builder {
        Builder { source, kind, effective, legs: BTreeMap::new(), negative: None }
    }

    /// What it is about.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Which posting of its source it is.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The day it counts.
    pub const fn effective(&self) -> Date {
        self.effective
    }

    pub(crate) fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The accounts that it moves.
    pub fn accounts(&self) -> impl Iterator<Item = (&Account, Currency)> {
        self.legs.iter().map(|leg| (&leg.account, leg.currency))
    }
}

impl Builder {
    /// Debits `account`.
    #[must_use]
    pub fn debit(self, account: Account, amount: Money) -> Self {
        self.add(account, amount, 1)
    }

    /// Credits `account`.
    #[must_use]
    pub fn credit(self, account: Account, amount: Money) -> Self {
        self.add(account, amount, -1)
    }

    /// The accounts that it moves so far.
    pub fn accounts(&self) -> impl Iterator<Item = (Account, Currency)> {
        self.legs.keys().cloned()
    }

    fn add(mut self, account: Account, amount: Money, sign: i128) -> Self {
        if amount.minor < 0 {
            self.negative.get_or_insert(amount);
        }
        *self.legs.entry((account, amount.currency)).or_default() += sign * i128::from(amount.minor);
        self
    }

    /// The posting.
    ///
    /// # Errors
    /// When the legs do not balance per currency, mix currencies without fx legs, are negative or too large, or are
    /// none.
    pub fn build(self) -> Result<Posting, PostingError> {
        if let Some(amount) = self.negative {
            return Err(PostingError::Negative(amount));
        }
        let mut remainder: BTreeMap<Currency, i128> = BTreeMap::new();
        let mut legs = Vec::with_capacity(self.legs.len());
        for ((account, currency), minor) in self.legs {
            *remainder.entry(currency).or_default() += minor;
            let minor = i64::try_from(minor).map_err(|_| PostingError::Overflow)?;
            if minor != 0 {
                legs.push(Leg { account, currency, minor });
            }
        }
        if legs.is_empty() {
            return Err(PostingError::Empty);
        }
        for (&currency, &minor) in &remainder {
            if minor != 0 {
                let minor = i64::try_from(minor).map_err(|_| PostingError::Overflow)?;
                return Err(PostingError::Unbalanced(Money::new(minor, currency)));
            }
        }
        let through_fx = |currency: &Currency| {
            legs.iter().any(|leg| leg.currency == *currency && matches!(leg.account, Account::Fx(_)))
        };
        if remainder.len() > 1 && !remainder.keys().all(through_fx) {
            return Err(PostingError::MixedCurrencies);
        }
        Ok(Posting { source: self.source, kind: self.kind, effective: self.effective, legs })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::date;

    use super::*;

    const SOURCE: Source = Source { table: "operation", id: Uuid::nil() };

    fn euro(minor: i64) -> Money {
        Money::new(minor, Currency::EUR)
    }

    fn builder() -> Builder {
        Posting::builder(SOURCE, "capture", date!(2026 - 01 - 01))
    }

    #[test]
    fn only_a_balanced_set_of_legs_is_a_posting() {
        let check = |builder: Builder, expected: Result<usize, PostingError>| {
            assert_eq!(builder.build().map(|posting| posting.legs().len()), expected);
        };
        check(builder().debit(Account::BankCash, euro(5)).credit(Account::Suspense, euro(5)), Ok(2));
        check(builder().debit(Account::BankCash, euro(5)), Err(PostingError::Unbalanced(euro(5))));
        check(builder(), Err(PostingError::Empty));
        check(builder().debit(Account::BankCash, euro(0)), Err(PostingError::Empty));
        check(builder().debit(Account::BankCash, euro(-5)), Err(PostingError::Negative(euro(-5))));
        let dollar = Money::new(6, Currency::USD);
        check(
            builder().debit(Account::BankCash, euro(5)).credit(Account::Suspense, dollar),
            Err(PostingError::Unbalanced(euro(5))),
        );
        check(
            builder()
                .debit(Account::BankCash, euro(5))
                .credit(Account::Suspense, euro(5))
                .debit(Account::BankCash, dollar)
                .credit(Account::Suspense, dollar),
            Err(PostingError::MixedCurrencies),
        );
        check(
            builder()
                .debit(Account::BankCash, euro(5))
                .credit(Account::Fx(Currency::USD), euro(5))
                .debit(Account::Fx(Currency::EUR), dollar)
                .credit(Account::Suspense, dollar),
            Ok(4),
        );
    }

    proptest! {
        #[test]
        fn a_posting_that_exists_sums_to_zero(amounts in prop::collection::vec((any::<bool>(), 0..4_u8, any::<i64>()), 0..8)) {
            let mut builder = builder();
            for (debit, account, minor) in amounts {
                let account = [Account::BankCash, Account::Suspense, Account::PspFees, Account::PlatformFees][usize::from(account)].clone();
                builder = if debit { builder.debit(account, euro(minor)) } else { builder.credit(account, euro(minor)) };
            }
            if let Ok(posting) = builder.build() {
                prop_assert_eq!(posting.legs().iter().map(|leg| i128::from(leg.minor)).sum::<i128>(), 0);
                prop_assert!(posting.legs().iter().all(|leg| leg.minor != 0));
            }
        }
    }
}
