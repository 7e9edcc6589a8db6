//! How the sandbox is started, and what may be changed while it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use rand::Rng;
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::model::currency::Currency;

/// How a sandbox is started.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where state is kept; without it, in a folder that goes away with the sandbox.
    pub state_dir: Option<PathBuf>,
    /// What every random decision is drawn from.
    pub seed: u64,
    /// What holds until it is changed or a state directory remembers something else.
    pub behaviour: Behaviour,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            state_dir: None,
            seed: 1,
            behaviour: Behaviour::default(),
        }
    }
}

/// What may be read and changed at `/_sandbox/config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Added to every API call, between claiming its key and executing it.
    pub latency_ms: Span,
    /// How long a new PaymentIntent is kept from search.
    pub search_lag_ms: u32,
    /// How long an idempotency key is remembered.
    pub idempotency_ttl_seconds: u32,
    /// What the PSP keeps of a charge.
    pub fees: Fees,
    /// What the PSP charges for disputes.
    pub disputes: Disputes,
    /// How long the PSP keeps a charge's money before it may be paid out.
    pub settlement_days: u16,
    /// Whether a payout that a call asks for waits for `POST payouts/{id}/advance`; it is paid at once otherwise.
    pub payouts_wait: bool,
    /// How many events are kept; the oldest go first.
    pub events_kept: usize,
    /// How many accounts there may be, and how many keys beside those that opened them.
    pub most_accounts: usize,
    /// How webhooks are delivered.
    pub webhooks: Delivery,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency_ms: Span::default(),
            search_lag_ms: 1000,
            idempotency_ttl_seconds: 86_400,
            fees: Fees::default(),
            disputes: Disputes::default(),
            settlement_days: 2,
            payouts_wait: false,
            events_kept: 1_000_000,
            most_accounts: 10_000,
            webhooks: Delivery::default(),
        }
    }
}

/// A span of milliseconds to draw from, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// At least.
    pub min: u32,
    /// At most; anything less than `min` counts as `min`.
    #[serde(default)]
    pub max: u32,
}

impl Span {
    /// Draws from the span.
    pub fn draw(self, rng: &mut impl Rng) -> u32 {
        rng.random_range(self.min..=self.max.max(self.min))
    }

    /// Whether it is always zero.
    pub const fn is_zero(self) -> bool {
        self.min == 0 && self.max == 0
    }
}

/// How webhooks are delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Before the first try.
    pub delay_ms: Span,
    /// How often (0 to 1) an event is delivered twice.
    pub duplicate_rate: f64,
    /// How often (0 to 1) an event is held back so that later ones overtake it.
    pub reorder_rate: f64,
    /// For how long it is held back.
    pub reorder_delay_ms: Span,
    /// How often (0 to 1) an event is never delivered, though it is listed.
    pub lose_rate: f64,
    /// Tries before giving up.
    pub max_attempts: u32,
    /// Before the second try; doubled for each one after it.
    pub retry_initial_ms: u32,
    /// Between two tries at most.
    pub retry_max_ms: u32,
    /// How long an endpoint may take to answer.
    pub timeout_ms: u32,
    /// Deliveries under way at once.
    pub concurrency: usize,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            delay_ms: Span::default(),
            duplicate_rate: 0.0,
            reorder_rate: 0.0,
            reorder_delay_ms: Span { min: 50, max: 500 },
            lose_rate: 0.0,
            max_attempts: 16,
            retry_initial_ms: 200,
            retry_max_ms: 30_000,
            timeout_ms: 10_000,
            concurrency: 16,
        }
    }
}

/// What the PSP keeps of each charge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fees {
    /// Where the currency has no fee of its own.
    pub default: Fee,
    /// By currency code.
    pub currencies: BTreeMap<Currency, Fee>,
}

impl Fees {
    /// The fee on a charge, in minor units of its currency.
    pub fn on(&self, currency: Currency, amount: i64) -> i64 {
        self.currencies.get(&currency).unwrap_or(&self.default).on(amount)
    }
}

/// What the PSP charges for each dispute, and how long the merchant has to answer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disputes {
    /// Minor units, taken with the money.
    pub fee_minor: i64,
    /// Whether that comes back with what is won.
    pub fee_returned: bool,
    /// How long the merchant has.
    pub answer_days: u16,
}

impl Default for Disputes {
    fn default() -> Self {
        Self { fee_minor: 2000, fee_returned: false, answer_days: 7 }
    }
}

/// A percentage and a fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// Of the amount, as in `"1.4"`.
    pub percent: Decimal,
    /// Minor units.
    pub fixed_minor: i64,
}

impl Default for Fee {
    fn default() -> Self {
        Self { percent: Decimal::new(14, 1), fixed_minor: 25 }
    }
}

impl Fee {
    /// The percentage is rounded half away from zero to whole minor units, then the fixed part is added.
    pub fn on(&self, amount: i64) -> i64 {
        let share = Decimal::from(amount)
            .saturating_mul(self.percent)
            .checked_div(Decimal::ONE_HUNDRED)
            .unwrap_or_default();
        share
            .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero)
            .to_i64()
            .unwrap_or_default()
            .saturating_add(self.fixed_minor)
    }
}

/// A time in which the PSP serves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// How it refuses.
    #[serde(default)]
    pub mode: OutageMode,
    /// Until when, in milliseconds since 1970; without it, until it is lifted.
    #[serde(default)]
    pub until_ms: Option<i64>,
}

/// How an outage refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageMode {
    /// Answers 503.
    #[default]
    Refuse,
    /// Resets the connection.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_a_rounded_percentage_plus_a_fixed_part() {
        let fee = Fee::default();
        for (amount, expected) in [(10_000, 165), (1099, 40), (50, 26), (250, 29), (249, 28)] {
            assert_eq!(fee.on(amount), expected, "on {amount}");
        }
    }

    #[test]
    fn a_currency_may_have_its_own_fee() {
        let fees: Fees = serde_json::from_str(r#"{"currencies":{"jpy":{"percent":"3.6","fixed_minor":0}}}"#)
            .expect("fees");
        let jpy = Currency::parse("jpy").expect("a currency");
        let eur = Currency::parse("eur").expect("a currency");
        assert_eq!(fees.on(jpy, 1000), 36);
        assert_eq!(fees.on(eur, 1000), 39);
    }
}
