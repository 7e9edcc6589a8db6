//! Stripe's units of money, where they differ from ISO 4217's minor units.

use money::{Currency, Money};

use crate::psp::AmountRefused;

/// The most digits of an amount on the wire.
const DIGITS: u32 = 8;

/// How an amount in ISO minor units becomes Stripe's.
#[derive(Clone, Copy)]
enum Unit {
    /// The same, in multiples of this.
    Same { multiple: i64 },
    /// Stripe's unit is this many times as fine.
    Finer { factor: i64 },
    /// Stripe's unit is this many ISO minor units.
    Coarser { factor: i64 },
    /// Not known for sure: not charged.
    Unverified,
}

/// Stripe's unit for `currency`.
fn unit(currency: Currency) -> Unit {
    match (currency.code(), currency.exponent()) {
        // listed as without decimals, seen in the field with two
        ("UGX", _) => Unit::Unverified,
        // kept with two decimals that must be zero
        ("ISK", _) => Unit::Finer { factor: 100 },
        // without decimals, against ISO 4217
        ("MGA", _) => Unit::Coarser { factor: 100 },
        (
            "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "VND" | "VUV" | "XAF"
            | "XOF" | "XPF",
            0,
        ) => Unit::Same { multiple: 1 },
        ("BHD" | "JOD" | "KWD" | "OMR" | "TND", 3) => Unit::Same { multiple: 10 },
        (_, 2) => Unit::Same { multiple: 1 },
        _ => Unit::Unverified,
    }
}

/// Whether Stripe can charge exactly this amount.
pub(in crate::psp) fn validate_amount(amount: Money) -> Result<(), AmountRefused> {
    to_wire(amount).map(|_| ())
}

/// Whether Stripe can pay out exactly this amount.
pub(in crate::psp) fn validate_payout(amount: Money) -> Result<(), AmountRefused> {
    if amount.minor > 0 {
        divisible(amount.minor, payout_unit(amount.currency), amount.currency)?;
    }
    validate_amount(amount)
}

/// The most of `amount` that Stripe can pay out exactly.
pub(in crate::psp) fn payable(amount: Money) -> Money {
    let step = payout_unit(amount.currency);
    let most = 10_i64.pow(DIGITS) - 1;
    let most = match unit(amount.currency) {
        Unit::Finer { factor } => most / factor,
        Unit::Coarser { factor } => most * factor,
        Unit::Same { .. } | Unit::Unverified => most,
    };
    let minor = amount.minor.min(most);
    Money::new(minor - minor.rem_euclid(step), amount.currency)
}

/// The least amount, in ISO minor units, that payouts are multiples of.
fn payout_unit(currency: Currency) -> i64 {
    match (currency.code(), unit(currency)) {
        // charged with two decimals, paid out without
        ("HUF" | "TWD", _) => 100,
        (_, Unit::Same { multiple }) => multiple,
        (_, Unit::Coarser { factor }) => factor,
        (_, Unit::Finer { .. } | Unit::Unverified) => 1,
    }
}

/// The number that Stripe knows this amount by.
pub(super) fn to_wire(amount: Money) -> Result<i64, AmountRefused> {
    let Money { minor, currency } = amount;
    if minor <= 0 {
        return Err(AmountRefused::NotPositive);
    }
    let too_large = AmountRefused::TooLarge { digits: DIGITS, currency };
    let wire = match unit(currency) {
        Unit::Same { multiple } => divisible(minor, multiple, currency)?,
        Unit::Finer { factor } => minor.checked_mul(factor).ok_or(too_large)?,
        Unit::Coarser { factor } => divisible(minor, factor, currency)? / factor,
        Unit::Unverified => return Err(AmountRefused::Currency(currency)),
    };
    if wire < 10_i64.pow(DIGITS) { Ok(wire) } else { Err(too_large) }
}

fn divisible(minor: i64, unit: i64, currency: Currency) -> Result<i64, AmountRefused> {
    if minor % unit == 0 { Ok(minor) } else { Err(AmountRefused::TooFine { unit, currency }) }
}

/// The amount that Stripe means; in words, what it says, if that is no amount of ours.
pub(super) fn from_wire(wire: i64, currency: &str) -> Result<Money, String> {
    read_amount(wire, currency).ok_or_else(|| {
        let shown: String = currency.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{wire} in Stripe's units of `{shown}`")
    })
}

/// The amount that Stripe means, if it is one of ours.
pub(in crate::psp) fn read_amount(wire: i64, currency: &str) -> Option<Money> {
    let mut code: [u8; 3] = currency.as_bytes().try_into().ok()?;
    code.make_ascii_uppercase();
    let currency: Currency = str::from_utf8(&code).ok()?.parse().ok()?;
    let minor = match unit(currency) {
        Unit::Same { .. } => wire,
        Unit::Finer { factor } => (wire % factor == 0).then_some(wire / factor)?,
        Unit::Coarser { factor } => wire.checked_mul(factor)?,
        Unit::Unverified => return None,
    };
    Some(Money::new(minor, currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, code.parse().unwrap())
    }

    #[test]
    fn amounts_go_out_in_stripes_units_and_come_back_the_same() {
        for (minor, code, wire) in [
            (1099, "EUR", 1099),
            (1, "USD", 1),
            (99_999_999, "USD", 99_999_999),
            (500, "JPY", 500),
            (99_999_999, "JPY", 99_999_999),
            (12_340, "KWD", 12_340),
            (70, "ISK", 7000),
            (999_999, "ISK", 99_999_900),
            (1_299, "HUF", 1_299),
            (50_000, "MGA", 500),
            (9_999_999_900, "MGA", 99_999_999),
            (10, "MRU", 10),
        ] {
            assert_eq!(to_wire(money(minor, code)), Ok(wire), "{minor} {code}");
            assert_eq!(from_wire(wire, &code.to_lowercase()), Ok(money(minor, code)), "{wire} {code}");
        }
    }

    #[test]
    fn an_amount_without_an_exact_form_is_refused_with_the_reason() {
        for (minor, code, reason) in [
            (0, "EUR", "amount must be positive"),
            (-5, "EUR", "amount must be positive"),
            (100_000_000, "EUR", "amount must have at most 8 digits in EUR"),
            (1_000_000, "ISK", "amount must have at most 8 digits in ISK"),
            (i64::MAX, "ISK", "amount must have at most 8 digits in ISK"),
            (1_234, "KWD", "amount must be divisible by 10 in KWD"),
            (150, "MGA", "amount must be divisible by 100 in MGA"),
            (1000, "UGX", "UGX is not supported by this PSP account"),
            (1000, "UYI", "UYI is not supported by this PSP account"),
            (1000, "CLF", "CLF is not supported by this PSP account"),
            (1000, "IQD", "IQD is not supported by this PSP account"),
        ] {
            assert_eq!(
                validate_amount(money(minor, code)).unwrap_err().to_string(),
                reason,
                "{minor} {code}"
            );
        }
    }

    #[test]
    fn a_payout_is_of_what_can_be_paid_out_exactly() {
        for (minor, code, most) in [
            (1099, "EUR", 1099),
            (1_299, "HUF", 1_200),
            (1_299, "TWD", 1_200),
            (1_234, "KWD", 1_230),
            (150, "MGA", 100),
            (70, "ISK", 70),
            (500, "JPY", 500),
            (99, "HUF", 0),
            (100_000_000, "EUR", 99_999_999),
            (100_000_000, "HUF", 99_999_900),
            (1_000_000, "ISK", 999_999),
        ] {
            let (amount, most) = (money(minor, code), money(most, code));
            assert_eq!(payable(amount), most, "{minor} {code}");
            assert_eq!(validate_payout(amount).is_ok(), amount == most, "{minor} {code}");
            assert_eq!(validate_payout(most).is_ok(), most.minor > 0, "{most}");
        }
        assert_eq!(
            validate_payout(money(150, "HUF")).unwrap_err().to_string(),
            "amount must be divisible by 100 in HUF"
        );
    }

    #[test]
    fn an_amount_of_stripes_that_is_none_of_ours_is_told_in_words() {
        for (wire, currency) in [(7050, "isk"), (1, "ugx"), (1, "xau"), (1, "e"), (1, "€"), (i64::MAX, "mga")]
        {
            let words = from_wire(wire, currency).unwrap_err();
            assert!(words.starts_with(&wire.to_string()), "{words}");
        }
    }
}
