//! Numbers that are measured and shown. Nothing here is money.
#![expect(clippy::float_arithmetic, reason = "rates and ratios for people to read; none of them is money")]

use std::time::Duration;

/// Latencies of answered requests.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Sorts them for [`Self::at`].
    pub fn new(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        Self(latencies)
    }

    /// As they are, sorted.
    pub fn into_inner(self) -> Vec<Duration> {
        self.0
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The latency that this share of them, in thousandths, does not exceed.
    pub fn at(&self, thousandths: usize) -> Duration {
        let rank = (self.0.len() * thousandths).div_ceil(1000);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// So many in so long.
pub fn per_second(count: u64, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64().max(f64::EPSILON)
}

/// Milliseconds of CPU for each of so many.
pub fn cpu_ms_each(cpu: Duration, count: u64) -> f64 {
    ms(cpu) / (count.max(1) as f64)
}

/// In milliseconds.
pub fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// One measurement over another.
pub fn ratio(ours: f64, theirs: f64) -> f64 {
    ours / theirs
}

/// The one in the middle of an odd number of figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// What a payment takes beyond the PSP's call and its two commits, in milliseconds; negative when less.
pub fn added_ms(payment: Duration, call: Duration, commit: Duration) -> f64 {
    ms(payment) - ms(call) - 2.0 * ms(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_measurements() {
        let of = |count: u64| Latencies::new((1..=count).rev().map(Duration::from_millis).collect());
        assert_eq!(of(0).at(500), Duration::ZERO);
        assert_eq!(of(1).at(990), Duration::from_millis(1));
        assert_eq!(of(100).at(500), Duration::from_millis(50));
        assert_eq!(of(100).at(990), Duration::from_millis(99));
        assert_eq!(of(1000).at(990), Duration::from_millis(990));
    }
}
