//! The delay before the next restart: a pure function of the number of failed attempts.

use std::time::Duration;

/// Exponential back-off with a cap, and jitter so that children that crashed together do not restart together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Delay before the first retry.
    pub base: Duration,
    /// Longest delay, before jitter is applied.
    pub cap: Duration,
    /// Share of the delay that is random, 0 to 1: the delay lies between `1 - jitter` and `1 + jitter` of its nominal
    /// value.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(100), cap: Duration::from_secs(10), jitter: 0.2 }
    }
}

impl Backoff {
    /// Returns the delay before retry number `retry` (the first is 0), given a random number from 0 to 1.
    pub fn delay(&self, retry: u32, random: f64) -> Duration {
        let nominal = self.base.saturating_mul(2_u32.saturating_pow(retry.min(31))).min(self.cap);
        nominal.mul_f64(1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * random.clamp(0.0, 1.0) - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_with_jitter_around_it() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1), jitter: 0.5 };
        let nominal: Vec<u128> = (0..6).map(|retry| backoff.delay(retry, 0.5).as_millis()).collect();
        assert_eq!(nominal, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.delay(0, 0.0), Duration::from_millis(50));
        assert_eq!(backoff.delay(400, 1.0), Duration::from_millis(1500));
    }
}
