//! How long the relay leaves a merchant alone whose events it cannot publish, and how often it says so.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::Duration;

use money::MerchantId;
use tokio::time::Instant;

use super::relay::{Error, Outcome};

/// The longest pause: one payment's trouble is not to keep the merchant's others waiting for long.
const LONGEST: Duration = Duration::from_secs(2);

/// What went wrong lately. Holds merchants in trouble only.
pub(super) struct Patience {
    first: Duration,
    troubled: HashMap<MerchantId, Trouble>,
    lists_failed: u32,
}

struct Trouble {
    failures: u32,
    until: Instant,
}

impl Patience {
    /// The first pause is as long as the one between two looks at an empty outbox, and each next is twice the last.
    pub(super) fn new(first: Duration) -> Self {
        Self { first, troubled: HashMap::new(), lists_failed: 0 }
    }

    /// Those of the merchants that are not being left alone. A merchant that has nothing to publish is in no trouble.
    pub(super) fn due(&mut self, merchants: &[MerchantId], now: Instant) -> Vec<MerchantId> {
        self.lists_failed = 0;
        self.troubled.retain(|merchant, _| merchants.contains(merchant));
        let alone = |merchant| self.troubled.get(merchant).is_some_and(|trouble| now < trouble.until);
        merchants.iter().filter(|merchant| !alone(*merchant)).copied().collect()
    }

    /// Takes note of a run, and says what went wrong the first, second, fourth, eighth ... time in a row. Answers
    /// whether the merchant has more to do at once.
    pub(super) fn learn(
        &mut self,
        merchant: MerchantId,
        outcome: &Result<Outcome, Error>,
        now: Instant,
    ) -> bool {
        let published = match outcome {
            Ok(Outcome::Page(page)) if page.undelivered.is_empty() => {
                self.troubled.remove(&merchant);
                return page.more;
            }
            Ok(Outcome::Held | Outcome::Superseded) => return false,
            Ok(Outcome::Page(page)) => page.published,
            Err(_) => 0,
        };
        let trouble = self.troubled.entry(merchant).or_insert(Trouble { failures: 0, until: now });
        trouble.failures = trouble.failures.saturating_add(1);
        if trouble.failures.is_power_of_two() {
            say(merchant, outcome, trouble.failures);
        }
        if published > 0 {
            return matches!(outcome, Ok(Outcome::Page(page)) if page.more);
        }
        let doublings = trouble.failures.saturating_sub(1).min(16);
        trouble.until = now + self.first.saturating_mul(1 << doublings).min(LONGEST);
        false
    }

    /// Takes note that nobody knows whose events are to be published.
    pub(super) fn cannot_list(&mut self, error: &sqlx::Error) {
        self.lists_failed = self.lists_failed.saturating_add(1);
        if self.lists_failed.is_power_of_two() {
            let failures = self.lists_failed;
            tracing::warn!(failures, error = error as &dyn StdError, "the outbox cannot be read");
        }
    }
}

fn say(merchant: MerchantId, outcome: &Result<Outcome, Error>, failures: u32) {
    match outcome {
        Ok(Outcome::Page(page)) => {
            let Some(first) = page.undelivered.first() else { return };
            tracing::warn!(
                merchant_id = %merchant,
                failures,
                published = page.published,
                payments_waiting = page.undelivered.len(),
                event_id = %first.event_id,
                error = &first.error as &dyn StdError,
                "events could not be published and wait"
            );
        }
        Ok(Outcome::Held | Outcome::Superseded) => {}
        Err(error) => tracing::warn!(
            merchant_id = %merchant,
            failures,
            error = error as &dyn StdError,
            "a run of the relay failed"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::relay::{DeliveryError, Page, Undelivered};
    use super::*;
    use money::EventId;
    use uuid::Uuid;

    fn page(published: usize, undelivered: usize, more: bool) -> Result<Outcome, Error> {
        let problem = || Undelivered {
            subject_id: Uuid::now_v7(),
            version: 1,
            event_id: EventId::new(),
            error: DeliveryError::Dropped,
        };
        let undelivered: Vec<_> = std::iter::repeat_with(problem).take(undelivered).collect();
        Ok(Outcome::Page(Page { read: published + undelivered.len(), published, undelivered, more }))
    }

    #[tokio::test]
    async fn a_merchant_that_gets_nowhere_is_left_alone_twice_as_long_each_time_up_to_a_bound() {
        let (merchant, other, start) = (MerchantId::new(), MerchantId::new(), Instant::now());
        let mut patience = Patience::new(Duration::from_millis(500));
        for pause_ms in [500, 1000, 2000, 2000] {
            assert!(!patience.learn(merchant, &page(0, 1, true), start));
            let pause = Duration::from_millis(pause_ms);
            let almost = start + pause - Duration::from_millis(1);
            assert_eq!(patience.due(&[merchant, other], almost), [other]);
            assert_eq!(patience.due(&[merchant, other], start + pause), [merchant, other]);
        }
        assert!(patience.learn(merchant, &page(1, 0, true), start));
        assert_eq!(patience.due(&[merchant], start), [merchant], "what works is not punished");
    }

    #[tokio::test]
    async fn a_payment_that_waits_does_not_hold_up_a_merchant_whose_others_are_published() {
        let (merchant, now) = (MerchantId::new(), Instant::now());
        let mut patience = Patience::new(Duration::from_millis(500));
        assert!(patience.learn(merchant, &page(9, 1, true), now));
        assert_eq!(patience.due(&[merchant], now), [merchant]);
        assert!(!patience.learn(merchant, &page(9, 1, false), now));
        assert_eq!(patience.due(&[merchant], now), [merchant]);
    }

    #[tokio::test]
    async fn trouble_is_forgotten_with_the_last_event_that_waited() {
        let (merchant, now) = (MerchantId::new(), Instant::now());
        let mut patience = Patience::new(Duration::from_millis(500));
        patience.learn(merchant, &page(0, 1, false), now);
        assert!(patience.due(&[], now).is_empty());
        assert!(patience.troubled.is_empty());
        patience.learn(merchant, &Err(Error::Database(sqlx::Error::PoolTimedOut)), now);
        assert!(patience.due(&[merchant], now).is_empty(), "a failed run counts too");
    }
}
