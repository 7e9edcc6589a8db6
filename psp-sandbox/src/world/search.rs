//! Search over PaymentIntents, which learns of them late.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::World;
use crate::model::currency::Currency;
use crate::model::{Intent, IntentStatus};
use crate::wire::ApiError;

/// PaymentIntents by metadata pair. It is brought up to date by searches, so that payments cost nothing.
#[derive(Default)]
pub struct SearchIndex {
    by_pair: HashMap<u64, Vec<u32>>,
    indexed: usize,
    hasher: RandomState,
}

impl SearchIndex {
    fn learn(&mut self, intents: &[Arc<Intent>], until_ms: i64) {
        let news = intents[self.indexed..].iter();
        for intent in news.take_while(|intent| intent.created_ms <= until_ms) {
            for pair in intent.metadata.iter() {
                let hash = self.hasher.hash_one(pair);
                let found = self.by_pair.entry(hash).or_default();
                found.push(u32::try_from(intent.seq).unwrap_or(u32::MAX));
            }
            self.indexed += 1;
        }
    }

    fn candidates(&self, key: &str, value: &str) -> &[u32] {
        let hash = self.hasher.hash_one((key, value));
        self.by_pair.get(&hash).map_or(&[], Vec::as_slice)
    }
}

/// A search: clauses that must all hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Query(Vec<Clause>);

#[derive(Debug, PartialEq, Eq)]
enum Clause {
    Metadata(String, String),
    Status(IntentStatus),
    Currency(Currency),
    Number(Field, Order, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Amount,
    Created,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Above,
    Below,
    AtLeast,
    AtMost,
}

impl Query {
    /// Reads `metadata['k']:'v' AND status:'succeeded' AND amount>100`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut rest = text.trim();
        let mut clauses = Vec::new();
        while !rest.is_empty() {
            let (clause, left) = clause(rest).ok_or_else(|| {
                let message = format!("We could not understand the search query at: {rest}");
                ApiError::invalid("query", "", message)
            })?;
            clauses.push(clause);
            let left = left.trim_start();
            rest =
                left.strip_prefix("AND ").or_else(|| left.strip_prefix("and ")).unwrap_or(left).trim_start();
        }
        if clauses.is_empty() {
            let message = "The search query is empty".to_owned();
            return Err(ApiError::invalid("query", "", message));
        }
        Ok(Self(clauses))
    }

    fn matches(&self, intent: &Intent) -> bool {
        self.0.iter().all(|clause| match clause {
            Clause::Metadata(key, value) => intent.metadata.get(key) == Some(value),
            Clause::Status(status) => intent.status == *status,
            Clause::Currency(currency) => intent.currency == *currency,
            Clause::Number(field, order, number) => {
                let value = match field {
                    Field::Amount => intent.amount,
                    Field::Created => intent.created_ms.div_euclid(1000),
                };
                match order {
                    Order::Equal => value == *number,
                    Order::Above => value > *number,
                    Order::Below => value < *number,
                    Order::AtLeast => value >= *number,
                    Order::AtMost => value <= *number,
                }
            }
        })
    }
}

/// One clause and what follows it.
fn clause(text: &str) -> Option<(Clause, &str)> {
    if let Some(rest) = text.strip_prefix("metadata[") {
        let (key, rest) = quoted(rest)?;
        let (value, rest) = quoted(rest.strip_prefix("]:")?)?;
        return Some((Clause::Metadata(key, value), rest));
    }
    if let Some(rest) = text.strip_prefix("status:") {
        let (value, rest) = quoted(rest)?;
        return Some((Clause::Status(IntentStatus::parse(&value)?), rest));
    }
    if let Some(rest) = text.strip_prefix("currency:") {
        let (value, rest) = quoted(rest)?;
        return Some((Clause::Currency(Currency::parse(&value)?), rest));
    }
    let (field, rest) = if let Some(rest) = text.strip_prefix("amount") {
        (Field::Amount, rest)
    } else {
        (Field::Created, text.strip_prefix("created")?)
    };
    let orders = [
        (">=", Order::AtLeast),
        ("<=", Order::AtMost),
        (">", Order::Above),
        ("<", Order::Below),
        (":", Order::Equal),
    ];
    let (order, rest) =
        orders.into_iter().find_map(|(sign, order)| Some((order, rest.strip_prefix(sign)?)))?;
    let end = rest.find(|it: char| !it.is_ascii_digit());
    let (number, rest) = rest.split_at(end.unwrap_or(rest.len()));
    Some((Clause::Number(field, order, number.parse().ok()?), rest))
}

/// A string in quotes of either kind, with backslash escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|it| matches!(it, '\'' | '"'))?;
    let mut out = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => out.push(letters.next()?.1),
            _ if letter == quote => return Some((out, &text[at + 1..])),
            _ => out.push(letter),
        }
    }
    None
}

impl World {
    /// PaymentIntents that match, newest first, from those created until `until_ms`.
    pub fn search_intents(&mut self, query: &Query, until_ms: i64) -> Vec<Arc<Intent>> {
        self.search.learn(&self.intents, until_ms);
        let matching = |intent: &&Arc<Intent>| query.matches(intent);
        let by_pair = query.0.iter().find_map(|clause| match clause {
            Clause::Metadata(key, value) => Some(self.search.candidates(key, value)),
            _ => None,
        });
        let Some(candidates) = by_pair else {
            let known = self.intents[..self.search.indexed].iter().rev();
            return known.filter(matching).cloned().collect();
        };
        let intents = candidates.iter().rev();
        let intents = intents.filter_map(|seq| self.intents.get(*seq as usize));
        intents.filter(matching).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_clause_by_clause() {
        let query = Query::parse("metadata['order_id']:'o\\'1' AND status:\"succeeded\" AND amount>=100");
        let expected = [
            Clause::Metadata("order_id".into(), "o'1".into()),
            Clause::Status(IntentStatus::Succeeded),
            Clause::Number(Field::Amount, Order::AtLeast, 100),
        ];
        assert_eq!(query.expect("a query").0, expected);
        for nonsense in ["", "metadata[order]:'x'", "status:'paid'", "hello"] {
            assert!(Query::parse(nonsense).is_err(), "{nonsense}");
        }
    }
}
