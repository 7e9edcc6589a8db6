//! What `:86:` says about an entry, in the three ways that banks have: subfields with numbers (`166?20SVWZ+...`), with names
//! (`/EREF/.../REMI/...`), or plain text. All of it is kept; what is known by its name is told besides.

use crate::bank_statement::draft::{Said, name};

/// What is told by name.
#[derive(Default)]
pub(super) struct Told {
    pub end_to_end: Option<String>,
    pub counterparty: Option<String>,
}

/// The words within the purpose of a payment that German banks put references behind.
const PURPOSES: [&str; 14] = [
    "EREF+", "KREF+", "MREF+", "CRED+", "DEBT+", "COAM+", "OAMT+", "SVWZ+", "ABWA+", "ABWE+", "IBAN+",
    "BIC+", "PURP+", "RREF+",
];
/// The names between slashes, in SWIFT's and the Dutch banks' way.
const NAMES: [&str; 33] = [
    "ACCW",
    "ADDR",
    "BENM",
    "BIC",
    "CDTRREF",
    "CDTRREFTP",
    "CHGS",
    "CITY",
    "CNTP",
    "CREF",
    "CSID",
    "EREF",
    "EXCH",
    "IBAN",
    "ID",
    "INIT",
    "IREF",
    "ISDT",
    "KREF",
    "MARF",
    "NAME",
    "OCMT",
    "ORDP",
    "PREF",
    "PURP",
    "REMI",
    "RTRN",
    "SVCL",
    "TRCD",
    "TRTP",
    "ULTB",
    "ULTC",
    "ULTD",
];

/// Keeps what the lines say.
///
/// # Errors
/// What was expected, where they say too much.
pub(super) fn read(lines: &[String], said: &mut Said) -> Result<Told, String> {
    let joined = lines.concat();
    match numbered(&joined) {
        Some((code, separator)) => of_numbers(&joined, code, separator, said),
        None => {
            for line in lines {
                said.words(line)?;
            }
            of_names(&joined, said)
        }
    }
}

/// The code before the first subfield, and the sign before each.
fn numbered(text: &str) -> Option<(&str, char)> {
    let (code, rest) = text.split_at_checked(3)?;
    let mut signs = rest.chars();
    let separator = signs.next().filter(|sign| !sign.is_alphanumeric() && *sign != ' ' && *sign != '/')?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit());
    let is_subfield = signs.take(2).filter(char::is_ascii_digit).count() == 2;
    (is_code && is_subfield).then_some((code, separator))
}

fn of_numbers(text: &str, code: &str, separator: char, said: &mut Said) -> Result<Told, String> {
    let mut told = Told::default();
    let mut purpose: Vec<String> = Vec::new();
    let mut name_of_other = String::new();
    said.words(code)?;
    for (number, value) in subfields(text.get(code.len()..).unwrap_or_default(), separator) {
        said.words(&value)?;
        match number {
            20..=29 | 60..=63 => purpose.push(value),
            32 | 33 => name_of_other.push_str(&value),
            _ => {}
        }
    }
    for (word, value) in purposes(&purpose) {
        match word {
            "EREF+" if told.end_to_end.is_none() => told.end_to_end = name(&value)?,
            "EREF+" | "KREF+" | "MREF+" | "RREF+" => said.reference(&value)?,
            _ => {}
        }
    }
    if let Some(end_to_end) = &told.end_to_end {
        said.reference(end_to_end)?;
    }
    told.counterparty = name(&name_of_other)?;
    Ok(told)
}

/// The numbers and values of `?20...?21...`; a separator without a number after it is part of a value.
fn subfields(text: &str, separator: char) -> Vec<(u8, String)> {
    let mut fields: Vec<(u8, String)> = Vec::new();
    for piece in text.split(separator).skip(1) {
        let number = piece.get(..2).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        match (number.and_then(|number| number.parse().ok()), fields.last_mut()) {
            (Some(number), _) => fields.push((number, piece.get(2..).unwrap_or_default().to_owned())),
            (None, Some((_, value))) => {
                value.push(separator);
                value.push_str(piece);
            }
            (None, None) => {}
        }
    }
    fields
}

/// What stands behind each word of a purpose: a value goes on in the subfields that begin with no such word.
fn purposes(lines: &[String]) -> Vec<(&'static str, String)> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for line in lines {
        let word = PURPOSES.into_iter().find(|word| line.starts_with(word));
        match (word, found.last_mut()) {
            (Some(word), _) => found.push((word, line.get(word.len()..).unwrap_or_default().to_owned())),
            (None, Some((_, value))) => value.push_str(line),
            (None, None) => {}
        }
    }
    found
}

fn of_names(text: &str, said: &mut Said) -> Result<Told, String> {
    let mut told = Told::default();
    for (word, value) in names(text) {
        let value = value.trim_matches('/');
        match word {
            "EREF" if told.end_to_end.is_none() => {
                told.end_to_end = name(value)?;
                said.reference(value)?;
            }
            "EREF" | "PREF" | "IREF" | "KREF" | "CREF" | "MARF" | "CDTRREF" => said.reference(value)?,
            "NAME" => told.counterparty = told.counterparty.or(name(value)?),
            // account, bank and name
            "CNTP" => {
                let other = value.split('/').nth(2).unwrap_or_default();
                told.counterparty = told.counterparty.or(name(other)?);
            }
            _ => {}
        }
    }
    Ok(told)
}

/// The names and values of `/EREF/.../REMI/...`; none where the text does not begin with one.
fn names(text: &str) -> Vec<(&'static str, String)> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    let Some(mut rest) = text.trim_start().strip_prefix('/') else { return found };
    loop {
        let (piece, after) = rest.split_once('/').unwrap_or((rest, ""));
        let word = NAMES.into_iter().find(|word| *word == piece);
        match (word, found.last_mut()) {
            (Some(word), _) => found.push((word, String::new())),
            (None, Some((_, value))) => {
                if !value.is_empty() {
                    value.push('/');
                }
                value.push_str(piece);
            }
            (None, None) => return found,
        }
        if after.is_empty() {
            return found;
        }
        rest = after;
    }
}
