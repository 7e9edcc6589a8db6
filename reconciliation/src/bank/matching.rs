//! Which entries of our bank accounts are which payouts: pure, in one order, and never a guess.
//!
//! 1. By name: the entry's references or text hold the payout's name, in whatever dress the bank gave it. One that names
//!    several is all of them, if they come to its amount to the cent.
//! 2. By amount: the amount is the payout's to the cent and the day is near; each is the other's only candidate.
//! 3. By day: the amount is what all payouts of one PSP account come to that should arrive on one day, and no other day's.
//!
//! Each rule sees what those before it left, and all go on until nothing more follows, so that running them again finds
//! nothing.

use std::collections::{BTreeMap, HashMap};

use time::{Date, Duration};

use super::Rule;

/// How many characters a payout's name must have to be looked for in a text by itself: less may be anything there.
const TELLING_CHARACTERS: usize = 8;
/// How many words of a text are taken together for a name, because banks set spaces for signs that they do not carry.
const WORDS_OF_NAME: usize = 4;

/// How far apart the days of a payout and its entry may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Days that the bank may be before the PSP's word.
    pub days_before: u16,
    /// Days that it may be after it.
    pub days_after: u16,
}

impl Default for Window {
    /// A payout may be told with the day it was sent, and weekends and holidays come between.
    fn default() -> Self {
        Self { days_before: 2, days_after: 7 }
    }
}

impl Window {
    fn holds(self, arrives_on: Date, booked_on: Date) -> bool {
        let late = booked_on - arrives_on;
        late <= Duration::days(self.days_after.into()) && late >= -Duration::days(self.days_before.into())
    }
}

/// An entry, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenEntry {
    /// Minor units that no payout explains yet; positive for money that came.
    pub left: i64,
    /// The day the bank booked it.
    pub booked_on: Date,
    /// All that it says.
    pub texts: Vec<String>,
}

/// A payout, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPayout {
    /// Which of the PSP accounts it is of: those of one share a number.
    pub account: usize,
    /// Minor units that should still come; negative for what the PSP should take.
    pub left: i64,
    /// The day it should be at the bank.
    pub arrives_on: Date,
    /// What it may be called.
    pub names: Vec<String>,
}

/// A part of an entry that is a part of a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tie {
    /// Which of the entries.
    pub entry: usize,
    /// Which of the payouts.
    pub payout: usize,
    /// How much of both, in minor units, signed as both.
    pub allocated: i64,
    /// What tied them.
    pub rule: Rule,
}

/// Ties entries to payouts of their currency.
pub fn tie(entries: &[OpenEntry], payouts: &[OpenPayout], window: Window) -> Vec<Tie> {
    let mut matching = Matching {
        entries: entries.iter().map(|entry| entry.left).collect(),
        payouts: payouts.iter().map(|payout| payout.left).collect(),
        ties: Vec::new(),
    };
    let named = Names::of(payouts).named_by(entries);
    while matching.by_name(&named)
        || matching.by_amount(entries, payouts, window, &named)
        || matching.by_day(entries, payouts, window)
    {}
    matching.ties.sort_unstable();
    matching.ties
}

/// What is left of entries and payouts, and what was tied.
struct Matching {
    entries: Vec<i64>,
    payouts: Vec<i64>,
    ties: Vec<Tie>,
}

impl Matching {
    fn left(&self, entry: usize) -> i64 {
        self.entries.get(entry).copied().unwrap_or_default()
    }

    fn left_of(&self, payout: usize) -> i64 {
        self.payouts.get(payout).copied().unwrap_or_default()
    }

    /// Ties as much as both have left.
    fn tie(&mut self, entry: usize, payout: usize, rule: Rule) {
        let (Some(left), Some(left_of)) = (self.entries.get_mut(entry), self.payouts.get_mut(payout)) else {
            return;
        };
        if left.signum() != left_of.signum() || *left == 0 {
            return;
        }
        let allocated = if left.unsigned_abs() < left_of.unsigned_abs() { *left } else { *left_of };
        *left -= allocated;
        *left_of -= allocated;
        self.ties.push(Tie { entry, payout, allocated, rule });
    }

    fn by_name(&mut self, named: &[Named]) -> bool {
        let before = self.ties.len();
        for (entry, named) in named.iter().enumerate() {
            let sum: i128 = named.telling.iter().map(|payout| i128::from(self.left_of(*payout))).sum();
            match named.telling.as_slice() {
                [one] => self.tie(entry, *one, Rule::Reference),
                all if sum == i128::from(self.left(entry)) => {
                    all.iter().for_each(|payout| self.tie(entry, *payout, Rule::Reference));
                }
                _ => {}
            }
        }
        self.ties.len() > before
    }

    fn by_amount(
        &mut self,
        entries: &[OpenEntry],
        payouts: &[OpenPayout],
        window: Window,
        named: &[Named],
    ) -> bool {
        let mut of_amount: HashMap<i64, Vec<usize>> = HashMap::new();
        for payout in (0..payouts.len()).filter(|payout| self.left_of(*payout) != 0) {
            of_amount.entry(self.left_of(payout)).or_default().push(payout);
        }
        let mut wanted_by = vec![0_usize; payouts.len()];
        let mut found = Vec::new();
        for (index, entry) in entries.iter().enumerate().filter(|(index, _)| self.left(*index) != 0) {
            let near = of_amount.get(&self.left(index)).into_iter().flatten().copied();
            let near = near.filter(|payout| {
                payouts.get(*payout).is_some_and(|payout| window.holds(payout.arrives_on, entry.booked_on))
            });
            let near: Vec<usize> = near.collect();
            // a short name does not tell by itself, but between payouts that both may be
            let hinted: Vec<usize> = named.get(index).map_or_else(Vec::new, |named| {
                near.iter().copied().filter(|payout| named.hinted.contains(payout)).collect()
            });
            let candidates = if hinted.is_empty() { near } else { hinted };
            for payout in &candidates {
                if let Some(count) = wanted_by.get_mut(*payout) {
                    *count += 1;
                }
            }
            if let [one] = candidates.as_slice() {
                found.push((index, *one));
            }
        }
        let before = self.ties.len();
        for (entry, payout) in found {
            if wanted_by.get(payout) == Some(&1) {
                self.tie(entry, payout, Rule::Amount);
            }
        }
        self.ties.len() > before
    }

    fn by_day(&mut self, entries: &[OpenEntry], payouts: &[OpenPayout], window: Window) -> bool {
        let mut days: BTreeMap<(usize, Date), Vec<usize>> = BTreeMap::new();
        for (index, payout) in payouts.iter().enumerate().filter(|(index, _)| self.left_of(*index) != 0) {
            days.entry((payout.account, payout.arrives_on)).or_default().push(index);
        }
        let sum = |of_day: &[usize]| of_day.iter().map(|payout| i128::from(self.left_of(*payout))).sum();
        let mut of_sum: HashMap<i128, Vec<(Date, &[usize])>> = HashMap::new();
        for ((_, day), of_day) in days.iter().filter(|(_, of_day)| of_day.len() > 1) {
            of_sum.entry(sum(of_day)).or_default().push((*day, of_day));
        }
        let mut found: Vec<(usize, &[usize])> = Vec::new();
        for (index, entry) in entries.iter().enumerate().filter(|(index, _)| self.left(*index) != 0) {
            let near = of_sum.get(&i128::from(self.left(index))).into_iter().flatten();
            let near: Vec<_> = near.filter(|(day, _)| window.holds(*day, entry.booked_on)).collect();
            if let [(_, of_day)] = near.as_slice() {
                found.push((index, of_day));
            }
        }
        let before = self.ties.len();
        for (entry, of_day) in &found {
            let wanted_by = found.iter().filter(|(_, other)| other == of_day).count();
            if wanted_by == 1 {
                of_day.iter().for_each(|payout| self.tie(*entry, *payout, Rule::Day));
            }
        }
        self.ties.len() > before
    }
}

/// The payouts that an entry names.
#[derive(Debug, Default)]
struct Named {
    /// By names that can be nothing else.
    telling: Vec<usize>,
    /// By short ones.
    hinted: Vec<usize>,
}

/// Payouts by their names: letters and digits alone, because banks leave out other signs and the case.
struct Names(HashMap<String, Vec<usize>>);

impl Names {
    fn of(payouts: &[OpenPayout]) -> Self {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, payout) in payouts.iter().enumerate() {
            for name in &payout.names {
                let bare: String = words(name).collect();
                let of_name = names.entry(bare).or_default();
                if !of_name.contains(&index) {
                    of_name.push(index);
                }
            }
        }
        names.remove("");
        Self(names)
    }

    fn named_by(&self, entries: &[OpenEntry]) -> Vec<Named> {
        entries.iter().map(|entry| self.named_in(&entry.texts)).collect()
    }

    fn named_in(&self, texts: &[String]) -> Named {
        let mut named = Named::default();
        for text in texts {
            let words: Vec<String> = words(text).collect();
            for first in 0..words.len() {
                let mut name = String::new();
                for word in words.iter().skip(first).take(WORDS_OF_NAME) {
                    name.push_str(word);
                    let Some(of_name) = self.0.get(&name) else { continue };
                    let list = match name.chars().count() {
                        ..TELLING_CHARACTERS => &mut named.hinted,
                        // a name of several payouts tells none
                        _ if of_name.len() > 1 => &mut named.hinted,
                        _ => &mut named.telling,
                    };
                    list.extend(of_name);
                }
            }
        }
        for list in [&mut named.telling, &mut named.hinted] {
            list.sort_unstable();
            list.dedup();
        }
        named
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_uppercase)
}

#[cfg(test)]
mod tests;
