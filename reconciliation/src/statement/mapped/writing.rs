use money::Currency;

use super::currency::currency;
use super::entries::{MapError, Section, Value};
use crate::statement::amount::minor_units;

/// How a file writes an amount.
#[derive(Debug)]
pub(super) struct Writing {
    unit: Unit,
    thousands: Option<char>,
    negative: Negative,
    /// What may stand before or after it, and the currency that it says.
    affixes: Vec<(String, Currency)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Major { decimal: char },
    Minor,
}

#[derive(Debug, Clone, Copy)]
enum Negative {
    Leading,
    Trailing,
    Parentheses,
}

const THOUSANDS: [char; 7] = ['.', ',', ' ', '\'', '’', '\u{a0}', '\u{202f}'];

impl Writing {
    pub fn of(amount: &Section<'_>) -> Result<Self, MapError> {
        let is_minor =
            amount.needed("unit", "\"major\" or \"minor\"")?.choice(&[("major", false), ("minor", true)])?;
        let unit = match (is_minor, amount.get("decimal")) {
            (true, None) => Unit::Minor,
            (true, Some(decimal)) => {
                return Err(decimal.refuse_key("none, as minor units are whole numbers"));
            }
            (false, None) => return Err(amount.lacks("decimal", "\",\" or \".\"")),
            (false, Some(decimal)) => Unit::Major { decimal: decimal.choice(&[(",", ','), (".", '.')])? },
        };
        let negatives = [
            ("leading", Negative::Leading),
            ("trailing", Negative::Trailing),
            ("parentheses", Negative::Parentheses),
        ];
        let negative = amount.get("negative").map(|value| value.choice(&negatives)).transpose()?;
        Ok(Self {
            thousands: amount.get("thousands").map(|value| thousands(&value, unit)).transpose()?,
            unit,
            negative: negative.unwrap_or(Negative::Leading),
            affixes: amount.get("affixes").map(|value| affixes(&value)).transpose()?.unwrap_or_default(),
        })
    }

    /// The exact minor units of what is written with its sign, or what was expected instead.
    pub fn signed(&self, text: &str, currency: Currency) -> Result<i64, String> {
        let (bare, was_affixed) = self.without_affix(text, currency)?;
        let (bare, is_negative) = self.sign(bare);
        let (bare, _) = if was_affixed { (bare, true) } else { self.without_affix(bare, currency)? };
        self.exact(bare, is_negative, currency).unwrap_or_else(|| Err(self.expected(currency, true)))
    }

    /// The same of what is written without a sign, since something else tells it.
    pub fn unsigned(&self, text: &str, currency: Currency) -> Result<i64, String> {
        let (bare, _) = self.without_affix(text, currency)?;
        self.exact(bare, false, currency).unwrap_or_else(|| Err(self.expected(currency, false)))
    }

    fn without_affix<'t>(&self, text: &'t str, currency: Currency) -> Result<(&'t str, bool), String> {
        for (affix, of) in &self.affixes {
            if let Some(bare) = text.strip_prefix(affix).or_else(|| text.strip_suffix(affix)) {
                if *of != currency {
                    return Err(format!("an amount in {currency}, where {affix:?} says {of}"));
                }
                return Ok((bare.trim(), true));
            }
        }
        Ok((text, false))
    }

    /// The amount without its sign, and whether it is less than nothing.
    fn sign<'t>(&self, text: &'t str) -> (&'t str, bool) {
        let minus = ['-', '\u{2212}'];
        let (negative, positive) = match self.negative {
            Negative::Leading => (text.strip_prefix(minus), text.strip_prefix('+')),
            Negative::Trailing => (text.strip_suffix(minus), text.strip_suffix('+')),
            Negative::Parentheses => (text.strip_prefix('(').and_then(|text| text.strip_suffix(')')), None),
        };
        (negative.or(positive).unwrap_or(text).trim(), negative.is_some())
    }

    /// None where it is not written as the map says.
    fn exact(&self, text: &str, is_negative: bool, currency: Currency) -> Option<Result<i64, String>> {
        let mut plain = String::with_capacity(text.len() + 1);
        if is_negative {
            plain.push('-');
        }
        let (whole, places) = match self.unit {
            Unit::Major { decimal } => {
                text.split_once(decimal).map_or((text, None), |(whole, places)| (whole, Some(places)))
            }
            Unit::Minor => (text, None),
        };
        self.add_whole(whole, &mut plain)?;
        if let Some(places) = places {
            are_digits(places).then_some(())?;
            plain.push('.');
            plain.push_str(places);
        }
        Some(match self.unit {
            Unit::Major { .. } => minor_units(&plain, currency),
            Unit::Minor => {
                plain.parse().map_err(|_| format!("an amount in {currency} that fits 64 bits of minor units"))
            }
        })
    }

    /// Digits, all of them or none in groups of three.
    fn add_whole(&self, whole: &str, plain: &mut String) -> Option<()> {
        let Some(separator) = self.thousands.filter(|separator| whole.contains(*separator)) else {
            plain.push_str(whole);
            return are_digits(whole).then_some(());
        };
        for (group_no, group) in whole.split(separator).enumerate() {
            let is_long_enough = if group_no == 0 { group.len() <= 3 } else { group.len() == 3 };
            (are_digits(group) && is_long_enough).then_some(())?;
            plain.push_str(group);
        }
        Some(())
    }

    fn expected(&self, currency: Currency, is_signed: bool) -> String {
        let separator = self.thousands.map(String::from).unwrap_or_default();
        let places = match (self.unit, currency.exponent() as usize) {
            (Unit::Minor, _) | (_, 0) => String::new(),
            (Unit::Major { decimal }, exponent) => format!("{decimal}{:0>exponent$}", 5),
        };
        let amount = format!("1{separator}234{places}");
        let unit = if self.unit == Unit::Minor { "an amount in minor units of" } else { "an amount in" };
        if !is_signed {
            return format!("{unit} {currency} without a sign, such as {amount}");
        }
        let example = match self.negative {
            Negative::Leading => format!("-{amount}"),
            Negative::Trailing => format!("{amount}-"),
            Negative::Parentheses => format!("({amount})"),
        };
        format!("{unit} {currency} such as {example}")
    }
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn thousands(value: &Value<'_>, unit: Unit) -> Result<char, MapError> {
    let expected = "one of \".\", \",\", \" \", \"'\", \"\u{2019}\", \"\\u00a0\" and \"\\u202f\"";
    let separator = value.character(expected)?;
    if !THOUSANDS.contains(&separator) {
        return Err(value.refuse(expected));
    }
    if unit == (Unit::Major { decimal: separator }) {
        return Err(value.refuse("another character than decimal has"));
    }
    Ok(separator)
}

/// The longest first, since one may end in another.
fn affixes(value: &Value<'_>) -> Result<Vec<(String, Currency)>, MapError> {
    let mut affixes = Vec::new();
    for (affix, code) in value.table()?.entries() {
        let has_meaning =
            |character: char| character.is_ascii_digit() || ".,-+()'\u{2212}".contains(character);
        if affix.is_empty() || affix != affix.trim() || affix.contains(has_meaning) {
            return Err(code.refuse_key("a symbol or code without digits, signs and spaces around it"));
        }
        affixes.push((affix.to_owned(), currency(&code)?));
    }
    affixes.sort_by_key(|(affix, _)| std::cmp::Reverse(affix.len()));
    Ok(affixes)
}
