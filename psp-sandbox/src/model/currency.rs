//! Currencies as Stripe counts them, which is not always as ISO 4217 does.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Charged without minor units.
const ZERO_DECIMAL: [&[u8; 3]; 16] = [
    b"bif", b"clp", b"djf", b"gnf", b"jpy", b"kmf", b"krw", b"mga", b"pyg", b"rwf", b"ugx", b"vnd", b"vuv",
    b"xaf", b"xof", b"xpf",
];
/// Charged in thousandths, of which the last digit must be 0.
const THREE_DECIMAL: [&[u8; 3]; 5] = [b"bhd", b"jod", b"kwd", b"omr", b"tnd"];
/// The least that may be charged where it is not 50 minor units.
const MINIMUM: [(&[u8; 3], i64); 15] = [
    (b"aed", 200),
    (b"bgn", 100),
    (b"czk", 1500),
    (b"dkk", 250),
    (b"gbp", 30),
    (b"hkd", 400),
    (b"huf", 17_500),
    (b"mxn", 1000),
    (b"myr", 200),
    (b"nok", 300),
    (b"pln", 200),
    (b"ron", 200),
    (b"sek", 300),
    (b"thb", 1000),
    (b"isk", 10_000),
];
/// Eight digits.
const MAXIMUM: i64 = 99_999_999;

/// A currency by its lower-case ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// Why an amount cannot be charged in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountFault {
    /// Below the least chargeable amount.
    TooSmall {
        /// That amount, in minor units.
        minimum: i64,
    },
    /// More than eight digits.
    TooLarge,
    /// The last digit of a three-decimal currency is not 0, or ISK is not divisible by 100.
    Indivisible {
        /// What it must be divisible by.
        by: i64,
    },
}

impl Currency {
    /// Reads a three-letter code in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut code: [u8; 3] = text.as_bytes().try_into().ok()?;
        code.make_ascii_uppercase();
        let upper = std::str::from_utf8(&code).ok()?;
        iso_currency::Currency::from_code(upper)?;
        code.make_ascii_lowercase();
        Some(Self(code))
    }

    /// The lower-case code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Decimal digits between the minor and the major unit.
    pub fn exponent(self) -> u32 {
        if ZERO_DECIMAL.contains(&&self.0) {
            0
        } else if THREE_DECIMAL.contains(&&self.0) {
            3
        } else {
            2
        }
    }

    /// Whether a charge of `amount` minor units is possible at all.
    pub fn check(self, amount: i64) -> Result<(), AmountFault> {
        let minimum = MINIMUM.iter().find(|(code, _)| **code == self.0).map_or(50, |(_, minimum)| *minimum);
        let by = match &self.0 {
            b"isk" => 100,
            code if THREE_DECIMAL.contains(&code) => 10,
            _ => 1,
        };
        if amount < minimum {
            Err(AmountFault::TooSmall { minimum })
        } else if amount > MAXIMUM {
            Err(AmountFault::TooLarge)
        } else if amount % by != 0 {
            Err(AmountFault::Indivisible { by })
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl TryFrom<String> for Currency {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a currency code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, amount: i64) -> Result<(), AmountFault> {
        Currency::parse(code).expect("a currency").check(amount)
    }

    #[test]
    fn amounts_follow_the_rules_of_their_currency() {
        assert_eq!(check("EUR", 50), Ok(()));
        assert_eq!(check("eur", 49), Err(AmountFault::TooSmall { minimum: 50 }));
        assert_eq!(check("eur", 99_999_999), Ok(()));
        assert_eq!(check("eur", 100_000_000), Err(AmountFault::TooLarge));
        assert_eq!(check("kwd", 1230), Ok(()));
        assert_eq!(check("kwd", 1234), Err(AmountFault::Indivisible { by: 10 }));
        assert_eq!(check("isk", 10_050), Err(AmountFault::Indivisible { by: 100 }));
        assert_eq!(Currency::parse("xyz"), None);
        assert_eq!(Currency::parse("eu"), None);
    }

    #[test]
    fn exponents_are_those_of_the_psp() {
        for (code, exponent) in [("jpy", 0), ("mga", 0), ("isk", 2), ("kwd", 3), ("usd", 2)] {
            assert_eq!(Currency::parse(code).map(Currency::exponent), Some(exponent));
        }
    }
}
