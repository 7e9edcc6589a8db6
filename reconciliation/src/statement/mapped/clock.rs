use std::fmt::Write as _;

use time::macros::datetime;
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

use super::entries::{MapError, Value};
use super::zone::offset;

/// How a file writes a day or a moment: directives as of `strptime`, read to the letter.
#[derive(Debug)]
pub(super) struct Clock(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Letter(char),
    /// A number of two digits, or of one where it begins with no 0.
    Number {
        of: Part,
        is_padded: bool,
    },
    Year,
    MonthName {
        is_short: bool,
    },
    Fraction,
    Half,
    Offset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    YearOfCentury,
    Month,
    Day,
    Hour,
    HourOfHalf,
    Minute,
    Second,
}

/// What a directive is about, of which a moment has one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Half,
    Offset,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a text of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub clock: PrimitiveDateTime,
    pub offset: Option<UtcOffset>,
}

const EXPECTED: &str =
    "a text with %Y-%m-%d, or other directives of a year, a month and a day, such as \"%d.%m.%Y %H:%M:%S\"";

impl Clock {
    pub fn of(value: &Value<'_>) -> Result<Self, MapError> {
        let mut rest = value.text(EXPECTED)?.chars();
        let mut pieces = Vec::new();
        while let Some(letter) = rest.next() {
            let piece = if letter == '%' { directive(&mut rest) } else { Some(Piece::Letter(letter)) };
            pieces.push(piece.ok_or_else(|| {
                value.refuse("directives among %Y %y %m %-m %b %B %d %-d %H %-H %I %-I %M %S %f %p %z %%")
            })?);
        }
        let clock = Self(pieces);
        clock.check().map_err(|expected| value.refuse(expected))?;
        Ok(clock)
    }

    fn check(&self) -> Result<(), &'static str> {
        let told: Vec<Tells> = self.0.iter().filter_map(|piece| piece.tells()).collect();
        let has = |what| told.contains(&what);
        if !(has(Tells::Year) && has(Tells::Month) && has(Tells::Day)) {
            return Err(EXPECTED);
        }
        if told.iter().enumerate().any(|(at, what)| told.iter().skip(at + 1).any(|other| other == what)) {
            return Err("each part of a moment once");
        }
        let is_of_half = self.has(|piece| matches!(piece, Piece::Number { of: Part::HourOfHalf, .. }));
        if is_of_half != has(Tells::Half) {
            return Err("%I and %p together");
        }
        let is_whole = has(Tells::Hour) == has(Tells::Minute)
            && (has(Tells::Minute) || !has(Tells::Second))
            && (has(Tells::Second) || !has(Tells::Fraction));
        if !is_whole {
            return Err("%M with the hour, %S only with %M, and %f only with %S");
        }
        let runs_into = |pair: &[Piece]| matches!(pair, [before, after] if before.may_go_on_with(*after));
        if self.0.windows(2).any(runs_into) {
            return Err("a letter other than a digit after what has no fixed length");
        }
        Ok(())
    }

    fn has(&self, is_it: impl Fn(&Piece) -> bool) -> bool {
        self.0.iter().any(is_it)
    }

    /// Whether it says how far from UTC it is.
    pub fn tells_offset(&self) -> bool {
        self.has(|piece| *piece == Piece::Offset)
    }

    /// Whether it tells no more than the day.
    pub fn is_of_day(&self) -> bool {
        !self.has(|piece| matches!(piece, Piece::Number { of: Part::Minute, .. }))
    }

    /// What `text` says; none where it is not written so, or there is no such day or time.
    pub fn read(&self, text: &str) -> Option<Told> {
        let mut parts = Parts::default();
        let mut rest = text;
        for piece in &self.0 {
            rest = parts.take(*piece, rest)?;
        }
        rest.is_empty().then(|| parts.told()).flatten()
    }

    /// How the afternoon of a day in January is written.
    pub fn example(&self) -> String {
        let moment = datetime!(2026-01-31 13:45:00);
        let mut text = String::new();
        for piece in &self.0 {
            // writing to a string does not fail
            let _ = match *piece {
                Piece::Letter(letter) => write!(text, "{letter}"),
                Piece::Year => write!(text, "{}", moment.year()),
                Piece::MonthName { is_short } => write!(text, "{}", if is_short { "Jan" } else { "January" }),
                Piece::Fraction => write!(text, "000"),
                Piece::Half => write!(text, "PM"),
                Piece::Offset => write!(text, "+01:00"),
                Piece::Number { of, is_padded } => {
                    let number = match of {
                        Part::YearOfCentury => 26,
                        Part::Month => 1,
                        Part::Day => 31,
                        Part::Hour => 13,
                        Part::HourOfHalf => 1,
                        Part::Minute => 45,
                        Part::Second => 0,
                    };
                    if is_padded { write!(text, "{number:02}") } else { write!(text, "{number}") }
                }
            };
        }
        text
    }
}

fn directive(rest: &mut std::str::Chars<'_>) -> Option<Piece> {
    let first = rest.next()?;
    let (letter, is_padded) = if first == '-' { (rest.next()?, false) } else { (first, true) };
    let number = |of| Piece::Number { of, is_padded };
    let piece = match letter {
        'm' => number(Part::Month),
        'd' => number(Part::Day),
        'H' => number(Part::Hour),
        'I' => number(Part::HourOfHalf),
        _ if !is_padded => return None,
        'y' => number(Part::YearOfCentury),
        'M' => number(Part::Minute),
        'S' => number(Part::Second),
        'Y' => Piece::Year,
        'b' => Piece::MonthName { is_short: true },
        'B' => Piece::MonthName { is_short: false },
        'f' => Piece::Fraction,
        'p' => Piece::Half,
        'z' => Piece::Offset,
        '%' => Piece::Letter('%'),
        _ => return None,
    };
    Some(piece)
}

impl Piece {
    const fn tells(self) -> Option<Tells> {
        Some(match self {
            Self::Letter(_) => return None,
            Self::Year | Self::Number { of: Part::YearOfCentury, .. } => Tells::Year,
            Self::MonthName { .. } | Self::Number { of: Part::Month, .. } => Tells::Month,
            Self::Number { of: Part::Day, .. } => Tells::Day,
            Self::Number { of: Part::Hour | Part::HourOfHalf, .. } => Tells::Hour,
            Self::Number { of: Part::Minute, .. } => Tells::Minute,
            Self::Number { of: Part::Second, .. } => Tells::Second,
            Self::Fraction => Tells::Fraction,
            Self::Half => Tells::Half,
            Self::Offset => Tells::Offset,
        })
    }

    /// Whether nobody could tell where it ends and the next begins.
    const fn may_go_on_with(self, next: Self) -> bool {
        let is_number = matches!(next, Self::Number { .. } | Self::Year | Self::Fraction);
        match self {
            Self::Number { is_padded: false, .. } | Self::Fraction => {
                is_number || matches!(next, Self::Letter('0'..='9'))
            }
            Self::Offset => is_number || matches!(next, Self::Letter('+' | '-' | ':' | 'Z' | '0'..='9')),
            _ => false,
        }
    }
}

/// What was read of a moment so far.
#[derive(Debug, Default)]
struct Parts {
    year: i32,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
    is_afternoon: Option<bool>,
    offset: Option<UtcOffset>,
}

impl Parts {
    /// Reads one piece, and answers what follows.
    fn take<'t>(&mut self, piece: Piece, text: &'t str) -> Option<&'t str> {
        match piece {
            Piece::Letter(letter) => text.strip_prefix(letter),
            Piece::Year => {
                let (year, rest) = number(text, 4, 4)?;
                self.year = i32::try_from(year).ok()?;
                Some(rest)
            }
            Piece::Number { of, is_padded } => {
                let (number, rest) = number(text, if is_padded { 2 } else { 1 }, 2)?;
                self.set(of, u8::try_from(number).ok()?)?;
                Some(rest)
            }
            Piece::MonthName { is_short } => {
                let names = (1..)
                    .zip(MONTHS)
                    .map(|(no, name)| (no, if is_short { name.get(..3).unwrap_or(name) } else { name }));
                let is =
                    |name: &str| text.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
                let (month, name) = names.into_iter().find(|(_, name)| is(name))?;
                self.month = month;
                text.get(name.len()..)
            }
            Piece::Fraction => {
                let (fraction, rest) = number(text, 1, 9)?;
                let places = u32::try_from(text.len() - rest.len()).ok()?;
                self.nanosecond = fraction * 10_u32.pow(9 - places);
                Some(rest)
            }
            Piece::Half => {
                let half = text.get(..2)?;
                self.is_afternoon = Some(half.eq_ignore_ascii_case("pm"));
                (half.eq_ignore_ascii_case("am") || half.eq_ignore_ascii_case("pm")).then(|| text.get(2..))?
            }
            Piece::Offset => {
                let end = text.find(|letter: char| !matches!(letter, '+' | '-' | ':' | 'Z' | '0'..='9'));
                let (told, rest) = text.split_at(end.unwrap_or(text.len()));
                self.offset = Some(offset(told)?);
                Some(rest)
            }
        }
    }

    fn set(&mut self, part: Part, number: u8) -> Option<()> {
        match part {
            Part::YearOfCentury => self.year = 2000 + i32::from(number),
            Part::Month => self.month = number,
            Part::Day => self.day = number,
            Part::Hour => self.hour = number,
            Part::HourOfHalf if (1..=12).contains(&number) => self.hour = number % 12,
            Part::HourOfHalf => return None,
            Part::Minute => self.minute = number,
            Part::Second => self.second = number,
        }
        Some(())
    }

    fn told(&self) -> Option<Told> {
        let month = Month::try_from(self.month).ok()?;
        let date = Date::from_calendar_date(self.year, month, self.day).ok()?;
        let hour = self.hour + if self.is_afternoon == Some(true) { 12 } else { 0 };
        let time = Time::from_hms_nano(hour, self.minute, self.second, self.nanosecond).ok()?;
        Some(Told { clock: PrimitiveDateTime::new(date, time), offset: self.offset })
    }
}

/// The number at the beginning, as long as it can be, and what follows it.
fn number(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    let number = (digits >= least).then(|| number.parse().ok()).flatten()?;
    Some((number, rest))
}

#[cfg(test)]
mod tests;
