//! A shop's day of orders: drawn from a seed, the same every time.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// How many sellers the shop has.
const SELLERS: usize = 12;
/// Cards that pay.
pub const CARDS: [&str; 4] = ["pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_visa_debit"];
/// Cards that do not.
pub const DECLINING: [&str; 4] = [
    "pm_card_visa_chargeDeclined",
    "pm_card_visa_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_chargeDeclinedFraudulent",
];
/// Of a hundred buyers, how many come with a card that is declined.
const DECLINED_PERCENT: u32 = 3;

/// A seller's part of an order, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Whose it is.
    pub seller: String,
    /// The part.
    pub amount: i64,
    /// What of it the platform keeps.
    pub platform_fee: i64,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// Of the amount.
    pub currency: &'static str,
    /// Whose money it is.
    pub parts: Vec<Part>,
    /// The buyer's cards, in the order in which they are tried.
    pub cards: Vec<&'static str>,
}

impl Order {
    /// The order of this number.
    pub fn draw(rng: &mut SmallRng, number: usize) -> Self {
        let currency = if rng.random_ratio(1, 4) { "USD" } else { "EUR" };
        let sellers: Vec<String> = Day::sellers().collect();
        let several = [1, 1, 1, 2, 3].choose(rng).copied().unwrap_or(1);
        let chosen = sellers.choose_multiple(rng, several);
        let parts: Vec<Part> = chosen
            .map(|seller| {
                let amount = rng.random_range(199..=15_000);
                Part { seller: seller.clone(), amount, platform_fee: amount * rng.random_range(0..=12) / 100 }
            })
            .collect();
        let mut cards = Vec::new();
        if rng.random_ratio(DECLINED_PERCENT, 100) {
            cards.extend(DECLINING.choose(rng));
        }
        // half of those who are declined have another card
        if cards.is_empty() || rng.random_bool(0.5) {
            cards.extend(CARDS.choose(rng));
        }
        let amount = parts.iter().map(|part| part.amount).sum();
        Self { id: format!("order-{number:06}"), amount, currency, parts, cards }
    }

    /// The request that pays it with one of its cards.
    pub fn request(&self, card: &str) -> Value {
        let splits: Vec<Value> = self
            .parts
            .iter()
            .map(|part| {
                json!({"seller": part.seller, "amount": part.amount, "platform_fee": part.platform_fee})
            })
            .collect();
        json!({
            "order_id": self.id, "amount": self.amount, "currency": self.currency, "payment_method": card,
            "splits": splits, "metadata": {"channel": "web"},
        })
    }
}

/// The orders of a day, by id.
#[derive(Debug)]
pub struct Day(BTreeMap<String, Order>);

impl Day {
    /// So many orders, drawn from `seed`.
    pub fn draw(seed: u64, count: usize) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        Self(
            (1..=count)
                .map(|number| Order::draw(&mut rng, number))
                .map(|order| (order.id.clone(), order))
                .collect(),
        )
    }

    /// All of them.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.0.values()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Order> {
        self.0.get(id)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The names of all sellers.
    pub fn sellers() -> impl Iterator<Item = String> {
        (1..=SELLERS).map(|number| format!("seller-{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_same_for_the_same_seed() {
        let days = [1, 1, 2].map(|seed| Day::draw(seed, 200).orders().cloned().collect::<Vec<_>>());
        assert_eq!(days[0], days[1]);
        assert_ne!(days[0], days[2]);
    }

    #[test]
    fn parts_add_up_and_some_cards_are_declined() {
        let day = Day::draw(7, 2000);
        assert!(
            day.orders().all(|order| order.parts.iter().map(|part| part.amount).sum::<i64>() == order.amount)
        );
        let declined = day.orders().filter(|order| DECLINING.contains(&order.cards[0])).count();
        assert!((30..=90).contains(&declined), "{declined}");
        assert!(day.orders().any(|order| order.cards.len() == 2));
        assert!(day.orders().any(|order| order.currency == "USD"));
    }
}
