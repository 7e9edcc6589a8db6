use std::fmt;

use crate::Currency;
use serde::{Deserialize, Serialize};

/// An amount in whole minor units of a currency. May be negative; what may not, says so where it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units: cents for EUR, yen for JPY.
    pub minor: i64,
    /// What they are units of.
    pub currency: Currency,
}

/// Two amounts could not be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Different currencies are never added.
    #[error("{0} and {1} cannot be added")]
    CurrencyMismatch(Currency, Currency),
    /// The result does not fit 64 bits.
    #[error("the amount does not fit 64 bits of minor units")]
    Overflow,
}

impl Money {
    /// `minor` minor units of `currency`.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// The sum of two amounts of one currency.
    ///
    /// # Errors
    /// When the currencies differ or the sum does not fit.
    pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference of two amounts of one currency.
    ///
    /// # Errors
    /// When the currencies differ or the difference does not fit.
    pub fn checked_sub(self, other: Self) -> Result<Self, AmountError> {
        self.combine(other, i64::checked_sub)
    }

    fn combine(self, other: Self, op: fn(i64, i64) -> Option<i64>) -> Result<Self, AmountError> {
        if self.currency != other.currency {
            return Err(AmountError::CurrencyMismatch(self.currency, other.currency));
        }
        let minor = op(self.minor, other.minor).ok_or(AmountError::Overflow)?;
        Ok(Self { minor, currency: self.currency })
    }
}

impl fmt::Display for Money {
    /// In major units, for people: `12.50 EUR`, `-3 JPY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let scale = 10_u64.pow(exponent);
        let (whole, part) = (self.minor.unsigned_abs() / scale, self.minor.unsigned_abs() % scale);
        let sign = if self.minor < 0 { "-" } else { "" };
        if exponent == 0 {
            return write!(f, "{sign}{whole} {}", self.currency);
        }
        write!(f, "{sign}{whole}.{part:0width$} {}", self.currency, width = exponent as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_never_mix_and_sums_never_wrap() {
        let euro = Money::new(1, Currency::EUR);
        assert_eq!(
            euro.checked_add(Money::new(1, Currency::USD)),
            Err(AmountError::CurrencyMismatch(Currency::EUR, Currency::USD))
        );
        assert_eq!(euro.checked_add(Money::new(i64::MAX, Currency::EUR)), Err(AmountError::Overflow));
        assert_eq!(euro.checked_sub(Money::new(3, Currency::EUR)), Ok(Money::new(-2, Currency::EUR)));
    }

    #[test]
    fn people_read_major_units() {
        for (minor, currency, text) in [
            (1250, Currency::EUR, "12.50 EUR"),
            (-5, Currency::EUR, "-0.05 EUR"),
            (-3, Currency::JPY, "-3 JPY"),
            (1, Currency::KWD, "0.001 KWD"),
            (i64::MIN, Currency::EUR, "-92233720368547758.08 EUR"),
        ] {
            assert_eq!(Money::new(minor, currency).to_string(), text);
        }
    }
}
