use money::Currency;

/// The exact minor units of an amount written in major units, such as `-12.5` in EUR; or what was expected instead.
/// Nothing is rounded: more places than the currency has are an error unless they are zeros.
pub(crate) fn minor_units(text: &str, currency: Currency) -> Result<i64, String> {
    let exponent = currency.exponent() as usize;
    let unsigned = text.strip_prefix('-');
    let (whole, places) = split(unsigned.unwrap_or(text)).ok_or_else(|| {
        let example = if exponent == 0 { "-12".to_owned() } else { format!("-12.{:0>exponent$}", 5) };
        format!("an amount in {currency} such as {example}")
    })?;
    let (kept, beyond) = places.as_bytes().split_at(places.len().min(exponent));
    if beyond.iter().any(|digit| *digit != b'0') {
        return Err(format!("at most {exponent} decimal places, as {currency} has"));
    }
    let filled = std::iter::repeat_n(&b'0', exponent - kept.len());
    let sign = if unsigned.is_some() { -1 } else { 1 };
    let digits = whole.as_bytes().iter().chain(kept).chain(filled);
    let minor = digits.map(|digit| sign * i64::from(digit - b'0')).try_fold(0_i64, |minor, digit| {
        // towards the sign: the smallest number has no positive counterpart
        minor.checked_mul(10)?.checked_add(digit)
    });
    minor.ok_or_else(|| format!("an amount in {currency} that fits 64 bits of minor units"))
}

/// Digits, and those after a point if there is one; none where it is anything else.
fn split(unsigned: &str) -> Option<(&str, &str)> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match unsigned.split_once('.') {
        None => digits(unsigned).then_some((unsigned, "")),
        Some((whole, places)) => (digits(whole) && digits(places)).then_some((whole, places)),
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
