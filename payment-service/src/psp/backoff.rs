//! How long to wait before a resend.
//!
//! The only place that names the `backoff` crate, which is unmaintained, and of it only the delay policy: its retry
//! loop takes every error for transient and would repeat a charge.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use super::Settings;

/// The pauses of one call, each about twice the last.
#[derive(Debug)]
pub(super) struct Pauses(ExponentialBackoff);

impl Pauses {
    pub(super) fn new(settings: &Settings) -> Self {
        Self(ExponentialBackoff {
            current_interval: settings.first_pause,
            initial_interval: settings.first_pause,
            max_interval: settings.longest_pause,
            randomization_factor: 0.5,
            multiplier: 2.0,
            // the call's own deadline bounds it
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// The next pause, on top of what the PSP asked for: those that it turned away together do not come back
    /// together.
    pub(super) fn next(&mut self, asked_for: Option<Duration>) -> Duration {
        let pause = self.0.next_backoff().unwrap_or(self.0.max_interval);
        asked_for.unwrap_or_default().saturating_add(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_with_jitter_of_a_half() {
        let settings = Settings {
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(350),
            ..Settings::default()
        };
        let mut pauses = Pauses::new(&settings);
        for mean in [100, 200, 350, 350, 350] {
            let pause = pauses.next(None).as_millis();
            assert!((mean / 2..=mean * 3 / 2).contains(&pause), "{pause} ms around {mean} ms");
        }
    }

    #[test]
    fn a_pause_is_never_shorter_than_the_psp_asked_for() {
        let mut pauses = Pauses::new(&Settings::default());
        for _ in 0..20 {
            assert!(pauses.next(Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        }
        assert_eq!(pauses.next(Some(Duration::MAX)), Duration::MAX);
    }
}
