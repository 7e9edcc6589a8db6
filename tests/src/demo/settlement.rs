//! The PSP's settlement reports, read independently of the program that reconciles them.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::Error;

/// A line of a report, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What it is about: `charge`, …
    pub category: String,
    /// The order it was for.
    pub order_id: String,
    /// In capital letters.
    pub currency: String,
    /// What the buyer paid.
    pub gross: i64,
    /// What the PSP kept.
    pub fee: i64,
    /// The rest.
    pub net: i64,
}

/// Reads the lines of a report in a currency with two decimals.
///
/// # Errors
/// When it is not such a report.
pub fn read(csv: &str) -> Result<Vec<Settled>, Error> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let wrong = |error: csv::Error| Error::Unexpected(format!("a settlement report: {error}"));
    let headers = reader.headers().map_err(wrong)?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header == name);
        found.ok_or_else(|| Error::Unexpected(format!("a settlement report without the column {name}")))
    };
    let [category, order_id, currency, gross, fee, net] =
        ["reporting_category", "payment_metadata[order_id]", "currency", "gross", "fee", "net"].map(column);
    let (category, order_id, currency) = (category?, order_id?, currency?);
    let (gross, fee, net) = (gross?, fee?, net?);
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let text = |at: usize| record.get(at).unwrap_or_default().to_owned();
        lines.push(Settled {
            category: text(category),
            order_id: text(order_id),
            currency: text(currency).to_ascii_uppercase(),
            gross: minor(&text(gross))?,
            fee: minor(&text(fee))?,
            net: minor(&text(net))?,
        });
    }
    Ok(lines)
}

fn minor(major: &str) -> Result<i64, Error> {
    let wrong = || Error::Unexpected(format!("{major:?} is not an amount with two decimals"));
    let amount: Decimal = major.parse().map_err(|_| wrong())?;
    let amount = amount.checked_mul(Decimal::ONE_HUNDRED).ok_or_else(wrong)?;
    if amount.fract().is_zero() { amount.to_i64().ok_or_else(wrong) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_by_the_names_of_its_columns() {
        let csv = "net,fee,gross,currency,reporting_category,payment_metadata[order_id],x\n\
                   9.59,0.40,9.99,eur,charge,o-1,y\n";
        let expected = Settled {
            category: "charge".to_owned(),
            order_id: "o-1".to_owned(),
            currency: "EUR".to_owned(),
            gross: 999,
            fee: 40,
            net: 959,
        };
        assert_eq!(read(csv).unwrap(), [expected]);
        assert!(read("net,fee\n1,2\n").is_err());
        assert!(read(&csv.replace("9.59", "9.595")).is_err());
    }
}
