//! How long a failed job waits before its next attempt: exponential, capped, jittered.
//!
//! Pure: randomness comes in as a number, so that a property test can try all of them.

use std::time::Duration;

/// The longest wait that any configuration may ask for.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_hours(30 * 24);

/// `base × factor^(attempt − 1)`, at most `max`, spread by ± `jitter`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    base: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
}

/// Why a backoff was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum BackoffError {
    /// Base above max.
    #[error("base must not be longer than max")]
    BaseAboveMax,
    /// Max above the limit.
    #[error("max must be at most 30 days")]
    MaxTooLong,
    /// Factor out of range.
    #[error("factor must be between 1 and 10")]
    Factor,
    /// Jitter out of range.
    #[error("jitter must be between 0 and 1")]
    Jitter,
}

impl Backoff {
    /// Accepts `base ≤ max ≤ 30 d`, `1 ≤ factor ≤ 10`, `0 ≤ jitter ≤ 1`.
    pub fn new(
        base: Duration,
        factor: f64,
        max: Duration,
        jitter: f64,
    ) -> Result<Self, BackoffError> {
        if max > BACKOFF_MAX {
            Err(BackoffError::MaxTooLong)
        } else if base > max {
            Err(BackoffError::BaseAboveMax)
        } else if !(1.0..=10.0).contains(&factor) {
            Err(BackoffError::Factor)
        } else if !(0.0..=1.0).contains(&jitter) {
            Err(BackoffError::Jitter)
        } else {
            Ok(Self { base, factor, max, jitter })
        }
    }

    /// The first wait.
    pub fn base(&self) -> Duration {
        self.base
    }

    /// By how much each wait is longer than the one before.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The longest wait.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// How far waits are spread, as a share.
    pub fn jitter(&self) -> f64 {
        self.jitter
    }

    /// The wait after `attempt` (from 1) failed. `random` is uniform in 0..1.
    ///
    /// Never above `max`, jitter included, and never a panic: at attempt 1,000 the power is
    /// infinite, which the cap turns into `max`.
    pub fn delay(&self, attempt: u16, random: f64) -> Duration {
        let exponent = i32::from(attempt.saturating_sub(1));
        let grown = self.base.as_secs_f64() * self.factor.powi(exponent);
        let max = self.max.as_secs_f64();
        let spread = 1.0 + self.jitter * (2.0 * random.clamp(0.0, 1.0) - 1.0);
        let seconds = (grown.min(max) * spread).min(max);
        Duration::from_secs_f64(if seconds.is_finite() { seconds.max(0.0) } else { max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backoff(base: u64, factor: f64, max: u64, jitter: f64) -> Backoff {
        Backoff::new(Duration::from_secs(base), factor, Duration::from_secs(max), jitter)
            .expect("a legal backoff")
    }

    #[test]
    fn without_jitter_the_waits_double_up_to_the_cap() {
        let b = backoff(2, 2.0, 3600, 0.0);
        let waits: Vec<_> = [1, 2, 3, 12, 1000].map(|n| b.delay(n, 0.5).as_secs()).into();
        assert_eq!(waits, [2, 4, 8, 3600, 3600]);
    }

    #[test]
    fn each_refusal_names_its_rule() {
        let s = Duration::from_secs;
        assert_eq!(Backoff::new(s(2), 2.0, s(1), 0.0), Err(BackoffError::BaseAboveMax));
        assert_eq!(Backoff::new(s(2), 0.5, s(3), 0.0), Err(BackoffError::Factor));
        assert_eq!(Backoff::new(s(2), f64::NAN, s(3), 0.0), Err(BackoffError::Factor));
        assert_eq!(Backoff::new(s(2), 2.0, s(3), 1.5), Err(BackoffError::Jitter));
        assert_eq!(Backoff::new(s(2), 2.0, BACKOFF_MAX * 2, 0.0), Err(BackoffError::MaxTooLong));
    }

    proptest! {
        #[test]
        fn a_delay_is_never_above_max_and_never_below_the_jittered_base(
            base in 0u32..1000, extra in 0u32..100_000, factor in 1.0f64..10.0,
            jitter in 0.0f64..1.0, attempt in 0u16..=1000, random in 0.0f64..1.0,
        ) {
            let b = backoff(u64::from(base), factor, u64::from(base + extra), jitter);
            let delay = b.delay(attempt, random).as_secs_f64();
            prop_assert!(delay <= f64::from(base + extra) + 1e-6);
            prop_assert!(delay >= f64::from(base) * (1.0 - jitter) - 1e-6);
        }

        #[test]
        fn without_jitter_a_later_attempt_never_waits_less(
            factor in 1.0f64..10.0, attempt in 1u16..1000,
        ) {
            let b = backoff(1, factor, 3600, 0.0);
            prop_assert!(b.delay(attempt + 1, 0.5) >= b.delay(attempt, 0.5));
        }
    }
}
