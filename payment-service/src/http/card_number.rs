//! Card numbers have no place here: cards are entered at the PSP, whose token we get. Whatever looks like a card number
//! in a request is refused before anything of it is logged or kept.
//!
//! What looks like one: 13 to 19 digits that begin as an issuer's cards of that length do and pass the Luhn check,
//! together or in groups with one separator (a space, dash or dot of any kind) between two. Every sequence of whole
//! groups is looked at, so a number beside another is found; a part of a longer group is not, because one in eleven
//! order numbers of 20 digits would have such a part. No issuer's range begins with 1, so no time stamp in seconds to
//! nanoseconds is mistaken for a card before 2033 (in milliseconds: 2040, and then by no length that is issued).
//! UUIDs, hex digests and decimal fractions are let through: by chance alone some of them would be refused.

use std::ops::Range;

use percent_encoding::percent_decode_str;

mod json;

pub use json::find_in_json;

/// The fewest digits of a card number.
const SHORTEST: usize = 13;
/// The most digits of a card number.
const LONGEST: usize = 19;

/// The lengths that a range's numbers have.
type Lengths = &'static [usize];

const FROM_13: Lengths = &[13, 14, 15, 16, 17, 18, 19];
const FROM_14: Lengths = &[14, 15, 16, 17, 18, 19];
const FROM_16: Lengths = &[16, 17, 18, 19];

/// Issuers' ranges by their first six digits, and how long their numbers are.
#[rustfmt::skip]
const RANGES: &[(Range<u32>, Lengths)] = &[
    (400_000..500_000, &[13, 16, 19]), // Visa
    (510_000..560_000, &[16]),         // Mastercard
    (222_100..272_100, &[16]),         // Mastercard
    (340_000..350_000, &[15]),         // American Express
    (370_000..380_000, &[15]),         // American Express
    (601_100..601_200, FROM_16),       // Discover
    (644_000..660_000, FROM_16),       // Discover, Elo
    (300_000..306_000, FROM_14),       // Diners Club
    (309_500..309_600, FROM_14),       // Diners Club
    (360_000..370_000, FROM_14),       // Diners Club
    (380_000..400_000, FROM_14),       // Diners Club
    (352_800..359_000, FROM_16),       // JCB
    (620_000..630_000, FROM_16),       // UnionPay
    (810_000..830_000, FROM_16),       // UnionPay, RuPay
    (500_000..510_000, FROM_13),       // Maestro, Elo, RuPay, Verve
    (560_000..590_000, FROM_13),       // Maestro
    (600_000..640_000, FROM_13),       // Maestro, Hipercard, RuPay
    (670_000..680_000, FROM_13),       // Maestro
    (220_000..220_600, FROM_16),       // Mir, Borica
    (353_000..354_000, &[16]),         // RuPay
    (356_000..357_000, &[16]),         // RuPay
    (979_200..979_300, &[16]),         // Troy
];

/// Where in the text something looks like a card number: the first such place, in bytes.
pub fn find_card_number(text: &str) -> Option<Range<usize>> {
    if text.is_ascii() {
        scan(text, text.bytes().enumerate().map(|(at, byte)| (at, Kind::of_byte(byte))))
    } else {
        scan(text, text.char_indices().map(|(at, character)| (at, Kind::of_char(character))))
    }
}

/// Whether anything in the text looks like a card number.
pub fn found_in(text: &str) -> bool {
    find_card_number(text).is_some()
}

/// Whether anything in a path or a query looks like a card number, also when it is percent-encoded several times.
pub fn found_in_encoded(text: &str) -> bool {
    let mut text = text.replace('+', " ");
    // A bound, because each round reads the whole text.
    for _ in 0..4 {
        if found_in(&text) {
            return true;
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    found_in(&text)
}

/// What a character is to a card number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit(u8),
    Separator,
    Other,
}

impl Kind {
    fn of_byte(byte: u8) -> Self {
        match byte {
            b'0'..=b'9' => Self::Digit(byte - b'0'),
            b' ' | b'\t' | b'-' | b'.' => Self::Separator,
            _ => Self::Other,
        }
    }

    fn of_char(character: char) -> Self {
        if let Ok(byte) = u8::try_from(character)
            && byte.is_ascii()
        {
            return Self::of_byte(byte);
        }
        match character {
            // spaces of every width, hyphens and dashes, and what takes no width at all
            '\u{a0}' | '\u{ad}' | '\u{1680}' | '\u{2000}'..='\u{2015}' | '\u{202f}' | '\u{205f}' | '\u{2060}'
            | '\u{2212}' | '\u{3000}' | '\u{feff}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '\u{ff0e}'
            // dots
            | '\u{b7}' | '\u{2022}' | '\u{2024}' | '\u{2027}' | '\u{30fb}' => Self::Separator,
            _ => digit_of_another_script(character).map_or(Self::Other, Self::Digit),
        }
    }
}

/// The zeros of the decimal digits that are not ASCII (Unicode 14, `Nd`); each is followed by its one to nine.
#[rustfmt::skip]
const ZEROS: [u32; 65] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0,
    0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066,
    0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50,
    0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0,
    0x1E950, 0x1FBF0,
];

fn digit_of_another_script(character: char) -> Option<u8> {
    let code = u32::from(character);
    let next = ZEROS.partition_point(|&zero| zero <= code);
    let zero = ZEROS.get(next.checked_sub(1)?)?;
    u8::try_from(code - zero).ok().filter(|&digit| digit < 10)
}

/// Digits that stand together.
struct Group {
    /// Its bytes in the text.
    span: Range<usize>,
    /// Where its digits begin in the run's.
    first: usize,
}

/// Groups joined by single separators.
#[derive(Default)]
struct Run {
    digits: Vec<u8>,
    groups: Vec<Group>,
}

impl Run {
    fn clear(&mut self) {
        self.digits.clear();
        self.groups.clear();
    }

    /// The sequence of whole groups, up to the last one, that looks like a card number.
    fn card_at_end(&self, text: &str) -> Option<Range<usize>> {
        if self.digits.len() < SHORTEST {
            return None;
        }
        let last = self.groups.last()?;
        for (index, group) in self.groups.iter().enumerate().rev() {
            let digits = self.digits.get(group.first..)?;
            if digits.len() > LONGEST {
                return None;
            }
            if is_card_number(digits)
                && !self.groups.get(index..)?.iter().any(|group| exempt(text, &group.span))
            {
                return Some(group.span.start..last.span.end);
            }
        }
        None
    }
}

fn scan(text: &str, kinds: impl Iterator<Item = (usize, Kind)>) -> Option<Range<usize>> {
    let mut run = Run::default();
    let mut before = Kind::Other;
    for (at, kind) in kinds.chain([(text.len(), Kind::Other)]) {
        match (kind, before) {
            (Kind::Digit(digit), _) => {
                if !matches!(before, Kind::Digit(_)) {
                    run.groups.push(Group { span: at..at, first: run.digits.len() });
                }
                run.digits.push(digit);
            }
            (_, Kind::Digit(_)) => {
                if let Some(group) = run.groups.last_mut() {
                    group.span.end = at;
                }
                if let Some(found) = run.card_at_end(text) {
                    return Some(found);
                }
                if kind == Kind::Other {
                    run.clear();
                }
            }
            // a second separator, or none between digits
            _ => run.clear(),
        }
        before = kind;
    }
    None
}

fn is_card_number(digits: &[u8]) -> bool {
    (SHORTEST..=LONGEST).contains(&digits.len()) && passes_luhn(digits) && is_issued(digits)
}

fn is_issued(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(6).fold(0, |prefix, &digit| prefix * 10 + u32::from(digit));
    RANGES.iter().any(|(range, lengths)| range.contains(&prefix) && lengths.contains(&digits.len()))
}

fn passes_luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit < 5 { 2 * digit } else { 2 * digit - 9 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| u32::from(if place % 2 == 1 { doubled(digit) } else { digit }))
        .sum();
    sum.is_multiple_of(10)
}

/// Whether these digits belong to a UUID, to a digest in hex or to a decimal fraction.
fn exempt(text: &str, group: &Range<usize>) -> bool {
    in_uuid(text.as_bytes(), group) || in_digest(text.as_bytes(), group) || is_fraction(text, group)
}

/// Inside of 8-4-4-4-12 hex digits that no letter or digit touches.
fn in_uuid(text: &[u8], group: &Range<usize>) -> bool {
    const LENGTH: usize = 36;
    let earliest = group.end.saturating_sub(LENGTH);
    (earliest..=group.start).any(|start| {
        let Some(token) = text.get(start..start + LENGTH) else { return false };
        let shaped = token.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        shaped && stands_alone(text, &(start..start + LENGTH))
    })
}

/// Inside of 32 to 128 hex digits, at least one of them a letter, that no other letter touches.
fn in_digest(text: &[u8], group: &Range<usize>) -> bool {
    const LONGEST: usize = 128;
    let hex = |at: &usize| text.get(*at).is_some_and(u8::is_ascii_hexdigit);
    let start = (0..group.start).rev().take(LONGEST).take_while(hex).last().unwrap_or(group.start);
    let end = (group.end..text.len()).take(LONGEST).take_while(hex).last().map_or(group.end, |last| last + 1);
    let token = text.get(start..end).unwrap_or_default();
    (32..=LONGEST).contains(&token.len())
        && token.iter().any(u8::is_ascii_alphabetic)
        && stands_alone(text, &(start..end))
}

/// Part of a number such as `0.9138461538461538`: up to three digits, a dot and more than five digits, to which no
/// other group is joined.
fn is_fraction(text: &str, group: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: &usize| bytes.get(*at).is_some_and(u8::is_ascii_digit);
    let dot = match (group.start.checked_sub(1), group.end) {
        (Some(before), _) if bytes.get(before) == Some(&b'.') => before,
        (_, after) if bytes.get(after) == Some(&b'.') => after,
        _ => return false,
    };
    let start = (0..dot).rev().take(LONGEST).take_while(digit).last().unwrap_or(dot);
    let end = (dot + 1..bytes.len()).take(LONGEST).take_while(digit).last().map_or(dot, |last| last + 1);
    let before = text.get(..start).unwrap_or_default().chars().rev();
    let after = text.get(end..).unwrap_or_default().chars();
    (1..=3).contains(&(dot - start))
        && end - dot > 6
        && stands_alone(bytes, &(start..end))
        && !joins_a_group(before)
        && !joins_a_group(after)
}

/// Whether a separator and then a digit come next.
fn joins_a_group(characters: impl Iterator<Item = char>) -> bool {
    let mut kinds = characters.map(Kind::of_char);
    kinds.next() == Some(Kind::Separator) && matches!(kinds.next(), Some(Kind::Digit(_)))
}

fn stands_alone(text: &[u8], token: &Range<usize>) -> bool {
    let touches = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    !touches(token.start.checked_sub(1).and_then(|at| text.get(at))) && !touches(text.get(token.end))
}

#[cfg(test)]
mod tests;
