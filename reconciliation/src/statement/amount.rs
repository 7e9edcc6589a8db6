use money::Currency;
use rust_decimal::Decimal;

/// The exact minor units of an amount written in major units, such as `-12.5` in EUR; or what was expected instead.
/// Nothing is rounded: more places than the currency has are an error unless they are zeros.
pub(super) fn minor_units(text: &str, currency: Currency) -> Result<i64, String> {
    let exponent = currency.exponent();
    let expected = || {
        format!(
            "an amount in {currency} such as {}",
            if exponent == 0 { "-12".to_owned() } else { format!("-12.{:0>1$}", 5, exponent as usize) }
        )
    };
    if !is_plain(text) {
        return Err(expected());
    }
    let too_large = || format!("an amount in {currency} that fits 64 bits of minor units");
    let major = Decimal::from_str_exact(text).map_err(|_| too_large())?;
    let minor = major.checked_mul(Decimal::from(10_u64.pow(exponent))).ok_or_else(too_large)?;
    if !minor.fract().is_zero() {
        return Err(format!("at most {exponent} decimal places, as {currency} has"));
    }
    i64::try_from(minor).map_err(|_| too_large())
}

/// `-`, digits, and perhaps a point and digits. The decimal crate takes more than a PSP writes.
fn is_plain(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        None => digits(unsigned),
        Some((whole, places)) => digits(whole) && digits(places),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_units_become_exact_minor_units() {
        for (text, currency, minor) in [
            ("12.50", Currency::EUR, 1250),
            ("12.5", Currency::EUR, 1250),
            ("-0.05", Currency::EUR, -5),
            ("0", Currency::EUR, 0),
            ("-0.00", Currency::EUR, 0),
            ("12.5000", Currency::EUR, 1250),
            ("500", Currency::JPY, 500),
            ("500.00", Currency::JPY, 500),
            ("1.234", Currency::KWD, 1234),
            ("92233720368547758.07", Currency::EUR, i64::MAX),
            ("-92233720368547758.08", Currency::EUR, i64::MIN),
        ] {
            assert_eq!(minor_units(text, currency), Ok(minor), "{text} {currency}");
        }
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for (text, currency, expected) in [
            ("12.345", Currency::EUR, "at most 2 decimal places, as EUR has"),
            ("0.5", Currency::JPY, "at most 0 decimal places, as JPY has"),
            ("1.2345", Currency::KWD, "at most 3 decimal places, as KWD has"),
            ("92233720368547758.08", Currency::EUR, "an amount in EUR that fits 64 bits of minor units"),
            (
                "9999999999999999999999999999999",
                Currency::EUR,
                "an amount in EUR that fits 64 bits of minor units",
            ),
            ("", Currency::EUR, "an amount in EUR such as -12.05"),
            ("12,50", Currency::EUR, "an amount in EUR such as -12.05"),
            ("1_000", Currency::EUR, "an amount in EUR such as -12.05"),
            ("1e3", Currency::EUR, "an amount in EUR such as -12.05"),
            ("+1", Currency::EUR, "an amount in EUR such as -12.05"),
            (".5", Currency::EUR, "an amount in EUR such as -12.05"),
            ("5.", Currency::EUR, "an amount in EUR such as -12.05"),
            ("--5", Currency::JPY, "an amount in JPY such as -12"),
            ("NaN", Currency::JPY, "an amount in JPY such as -12"),
        ] {
            assert_eq!(minor_units(text, currency), Err(expected.to_owned()), "{text} {currency}");
        }
    }
}
