use money::{Currency, Money};

use super::amount::{Amount, Source};
use super::columns::{Column, Columns, Fields};
use super::currency::CurrencyOf;
use super::entries::{MapError, Section, Value};
use super::writing::Writing;
use crate::statement::FeeParts;
use crate::statement::refusal::Refusal;

/// What `[amount]` says.
#[derive(Debug)]
pub(super) struct Amounts {
    writing: Writing,
    currency: CurrencyOf,
    gross: Option<Amount>,
    fee: Option<Amount>,
    fee_is_negative: bool,
    net: Option<Amount>,
    /// The names of `FeeParts`, in their order.
    parts: [Option<Amount>; 3],
    presented: Option<(Amount, CurrencyOf)>,
}

/// The amounts of a line: minor units, signed as they change our balance, and the fee as what was kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub gross: i64,
    pub fee: i64,
    pub net: i64,
    pub currency: Currency,
    pub parts: FeeParts,
    pub presented: Option<Money>,
}

impl Amounts {
    pub fn of(value: &Value<'_>, columns: &mut Columns) -> Result<Self, MapError> {
        let section = value.section(&[
            "unit",
            "decimal",
            "thousands",
            "negative",
            "affixes",
            "currency",
            "gross",
            "fee",
            "fee_sign",
            "net",
            "fee_parts",
            "presented",
        ])?;
        let mut amount = |key: &str| section.get(key).map(|value| Amount::of(&value, columns)).transpose();
        let (gross, fee, net) = (amount("gross")?, amount("fee")?, amount("net")?);
        if [&gross, &fee, &net].into_iter().flatten().count() < 2 {
            let missing = if gross.is_none() { "gross" } else { "net" };
            return Err(section.lacks(missing, "two of gross, fee and net: the third follows from them"));
        }
        if [&gross, &net].into_iter().flatten().any(|amount| matches!(amount.source, Source::Nothing)) {
            return Err(
                section.lacks("gross", "a column: of gross, fee and net only the fee may be 0 in all lines")
            );
        }
        let parts = section.get("fee_parts").map(|value| parts(&value, columns)).transpose()?;
        let parts = parts.unwrap_or_default();
        Ok(Self {
            writing: Writing::of(&section)?,
            currency: CurrencyOf::of(&section.needed("currency", CurrencyOf::EXPECTED)?, columns)?,
            fee_is_negative: fee_is_negative(&section, fee.as_ref(), &parts)?,
            gross,
            fee,
            net,
            parts,
            presented: section.get("presented").map(|value| presented(&value, columns)).transpose()?,
        })
    }

    /// The currency that every line is in, if the map says so.
    pub const fn only_currency(&self) -> Option<Currency> {
        match self.currency {
            CurrencyOf::Every(currency) => Some(currency),
            CurrencyOf::Column { .. } => None,
        }
    }

    pub const fn writing(&self) -> &Writing {
        &self.writing
    }

    /// The column that tells best what the line's amount is.
    pub fn telling(&self) -> Option<Column> {
        [&self.gross, &self.net, &self.fee].into_iter().flatten().find_map(Amount::column)
    }

    pub fn read(&self, fields: Fields<'_>) -> Result<Figures, Refusal> {
        let currency = self.currency.read(fields)?;
        let read = |amount: &Option<Amount>| {
            amount.as_ref().map(|amount| amount.read(fields, &self.writing, currency)).transpose()
        };
        let (gross, net) = (read(&self.gross)?, read(&self.net)?);
        let fee = self.charged(fields, self.fee.as_ref(), read(&self.fee)?)?;
        let [gross, fee, net] = match (gross, fee, net) {
            (Some(gross), Some(fee), net) => [Some(gross), Some(fee), net.or(gross.checked_sub(fee))],
            (Some(gross), None, Some(net)) => [Some(gross), gross.checked_sub(net), Some(net)],
            (None, Some(fee), Some(net)) => [net.checked_add(fee), Some(fee), Some(net)],
            // the map has two of them
            (gross, fee, net) => [gross, fee, net],
        };
        let (Some(gross), Some(fee), Some(net)) = (gross, fee, net) else {
            return Err(self.refuse(fields, None, "amounts that fit 64 bits of minor units"));
        };
        if gross.checked_sub(fee) != Some(net) {
            let (gross, fee) = (Money::new(gross, currency), Money::new(fee, currency));
            let expected = format!("gross {gross} less a fee of {fee}");
            return Err(self.refuse(fields, self.net.as_ref(), expected));
        }
        Ok(Figures {
            gross,
            fee,
            net,
            currency,
            parts: self.read_parts(fields, currency)?,
            presented: self.read_presented(fields, Money::new(gross, currency))?,
        })
    }

    fn refuse(&self, fields: Fields<'_>, amount: Option<&Amount>, expected: impl Into<String>) -> Refusal {
        fields.refuse_some(amount.and_then(Amount::column).or(self.telling()), expected)
    }

    /// What the PSP kept, of an amount that has the sign of the map.
    fn charged(
        &self,
        fields: Fields<'_>,
        of: Option<&Amount>,
        amount: Option<i64>,
    ) -> Result<Option<i64>, Refusal> {
        let Some(amount) = amount.filter(|_| self.fee_is_negative) else { return Ok(amount) };
        let charged = amount.checked_neg().map(Some);
        charged.ok_or_else(|| self.refuse(fields, of, "an amount that fits 64 bits of minor units"))
    }

    fn read_parts(&self, fields: Fields<'_>, currency: Currency) -> Result<FeeParts, Refusal> {
        let read = |part: &Option<Amount>| {
            let Some(part) = part.as_ref().filter(|part| part.is_told(fields)) else { return Ok(None) };
            self.charged(fields, Some(part), Some(part.read(fields, &self.writing, currency)?))
        };
        let [interchange, scheme, markup] = &self.parts;
        Ok(FeeParts { interchange: read(interchange)?, scheme: read(scheme)?, markup: read(markup)? })
    }

    /// What the buyer paid: kept where it is in another currency, and the gross otherwise.
    fn read_presented(&self, fields: Fields<'_>, gross: Money) -> Result<Option<Money>, Refusal> {
        let told = self.presented.as_ref().filter(|(amount, _)| amount.is_told(fields));
        let Some((amount, currency)) = told else { return Ok(None) };
        let currency = currency.read(fields)?;
        let presented = Money::new(amount.read(fields, &self.writing, currency)?, currency);
        if presented == gross {
            return Ok(None);
        }
        if currency == gross.currency {
            let expected = format!("the gross of {gross}, as it is in the same currency");
            return Err(self.refuse(fields, Some(amount), expected));
        }
        Ok(Some(presented))
    }
}

/// A sign that is wrong would turn what we paid into what we got, so there is none by default.
fn fee_is_negative(
    section: &Section<'_>,
    fee: Option<&Amount>,
    parts: &[Option<Amount>; 3],
) -> Result<bool, MapError> {
    let all = fee.into_iter().chain(parts.iter().flatten());
    let is_needed = all.into_iter().any(|amount| !matches!(amount.source, Source::Nothing));
    let signs = [("positive_is_charged", false), ("negative_is_charged", true)];
    match section.get("fee_sign") {
        Some(sign) if is_needed => sign.choice(&signs),
        Some(sign) => Err(sign.refuse_key("none, as no column has a fee")),
        None if is_needed => {
            Err(section.lacks("fee_sign", "\"positive_is_charged\" or \"negative_is_charged\""))
        }
        None => Ok(false),
    }
}

fn parts(value: &Value<'_>, columns: &mut Columns) -> Result<[Option<Amount>; 3], MapError> {
    let section = value.section(&["interchange", "scheme", "markup"])?;
    let mut part = |key: &str| section.get(key).map(|value| Amount::of(&value, columns)).transpose();
    Ok([part("interchange")?, part("scheme")?, part("markup")?])
}

fn presented(value: &Value<'_>, columns: &mut Columns) -> Result<(Amount, CurrencyOf), MapError> {
    let section = value.section(&["amount", "currency"])?;
    let amount = Amount::of(&section.needed("amount", Amount::EXPECTED)?, columns)?;
    Ok((amount, CurrencyOf::of(&section.needed("currency", CurrencyOf::EXPECTED)?, columns)?))
}
