//! One rate limit, by governor's GCRA.
//!
//! A bucket starts empty: a daemon that restarts in a loop mustn't send a burst each time. A
//! permit, once taken, isn't given back, so no window ever holds more starts than it may.

use crate::{job::RateLimit, telemetry::metrics::LimiterMetrics};
use governor::{
    Quota,
    clock::{Clock, QuantaClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use std::time::Duration;
use tokio::time::Instant;

type Bucket = governor::RateLimiter<
    NotKeyed,
    InMemoryState,
    QuantaClock,
    NoOpMiddleware<<QuantaClock as Clock>::Instant>,
>;

/// Lets starts through at a rate.
pub struct Limiter {
    bucket: Bucket,
    clock: QuantaClock,
    metrics: LimiterMetrics,
}

/// A wait shorter than this is waited out in full; longer ones are looked at again in between, so
/// that a clock that was suspended can't hold a queue up.
const LONGEST_NAP: Duration = Duration::from_secs(1);

impl Limiter {
    /// An empty bucket.
    pub fn new(limit: RateLimit, metrics: LimiterMetrics) -> Self {
        let clock = QuantaClock::default();
        let interval = limit.interval();
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(limit.starts));
        let bucket = Bucket::direct_with_clock(quota.allow_burst(limit.burst), clock.clone());
        // A full burst taken at once leaves the bucket empty; it can't fail on a fresh one. Start by
        // start, a rate of a start a nanosecond would refill it as fast as it is emptied.
        bucket.check_n(limit.burst).ok();
        Self { bucket, clock, metrics }
    }

    /// A start was held back by it; told once a start.
    pub fn throttled(&self) {
        self.metrics.throttled();
    }

    /// Takes a permit for a job that has waited since then, or says for how long to wait at most
    /// before asking again.
    pub fn permit(&self, since: Instant) -> Result<(), Duration> {
        match self.bucket.check() {
            Ok(()) => {
                self.metrics.passed(since.elapsed());
                Ok(())
            }
            Err(not_yet) => Err(not_yet.wait_time_from(self.clock.now()).min(LONGEST_NAP)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    proptest! {
        /// The bound that we promise, on governor's own algorithm with a clock of ours: in every
        /// window at most burst + rate × window starts.
        #[test]
        fn no_window_holds_more_starts_than_burst_plus_rate(
            starts in 1u32..1000, burst in 1u32..20,
            steps in proptest::collection::vec(0u64..5_000_000, 1..300),
        ) {
            let n = |n: u32| NonZeroU32::new(n).expect("not zero");
            let limit = RateLimit { starts: n(starts), per: Duration::from_secs(1), burst: n(burst) };
            let clock = FakeRelativeClock::default();
            let quota = Quota::with_period(limit.interval()).expect("a period").allow_burst(n(burst));
            let bucket = governor::RateLimiter::direct_with_clock(quota, clock.clone());
            let mut at = Vec::new();
            let mut now = 0u128;
            for step in steps {
                clock.advance(Duration::from_nanos(step));
                now += u128::from(step);
                if bucket.check().is_ok() {
                    at.push(now);
                }
            }
            let interval = limit.interval().as_nanos();
            for (i, first) in at.iter().enumerate() {
                for (j, last) in at.iter().enumerate().skip(i) {
                    let most = u128::from(burst) + (last - first) / interval;
                    prop_assert!((j - i + 1) as u128 <= most);
                }
            }
        }
    }

    #[test]
    fn a_rate_beyond_any_clock_makes_a_limiter_like_any_other() {
        let limit: RateLimit = "4000000000/s burst 4000000000".parse().expect("a limit");
        let limiter = Limiter::new(limit, Metrics::default().limiter("kind:k"));
        while limiter.permit(Instant::now()).is_err() {}
    }

    #[test]
    fn a_fresh_bucket_is_empty() {
        let limit: RateLimit = "1/h burst 5".parse().expect("a limit");
        let limiter = Limiter::new(limit, Metrics::default().limiter("kind:k"));
        assert_eq!(limiter.permit(Instant::now()), Err(LONGEST_NAP));
    }
}
