//! One rate limit, by governor's GCRA.
//!
//! A bucket starts empty: a daemon that restarts in a loop mustn't send a burst each time. A
//! permit, once taken, isn't given back, so no window ever holds more starts than it may. That holds
//! only if a permit is stamped when its start happens: who waits for two limits looks at both without
//! taking, and takes from both at once when both are ready.

use crate::{job::RateLimit, telemetry::metrics::LimiterMetrics};
use governor::{
    Quota,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use std::{convert::Infallible, time::Duration};
use tokio::time::Instant;

type Bucket = governor::RateLimiter<Ask, Level, Ticks, NoOpMiddleware<Duration>>;

/// What a bucket is asked for: governor's key, although there is one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    /// Whether there is a permit.
    Look,
    /// A permit.
    Take,
}

/// How full the bucket is: governor's own state, that a look leaves as it was.
#[derive(Debug, Default)]
struct Level(InMemoryState);

impl StateStore for Level {
    type Key = Ask;

    fn measure_and_replace<T, F, E>(&self, ask: &Ask, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let one = &NotKeyed::NonKey;
        match ask {
            Ask::Take => self.0.measure_and_replace(one, decide),
            Ask::Look => {
                // Whatever is an error is not stored.
                let seen: Result<Infallible, _> = self.0.measure_and_replace(one, |level| {
                    Err(decide(level).map(|(answer, _next)| answer))
                });
                match seen {
                    Err(answer) => answer,
                }
            }
        }
    }
}

/// The clock that waits are slept by, so that both agree, in paused time too.
#[derive(Debug, Clone)]
struct Ticks {
    start: Instant,
}

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Lets starts through at a rate.
pub struct Limiter {
    bucket: Bucket,
    interval: Duration,
    metrics: LimiterMetrics,
}

/// A wait shorter than this is waited out in full; longer ones are looked at again in between, so
/// that a clock that was suspended can't hold a queue up.
const LONGEST_NAP: Duration = Duration::from_secs(1);

impl Limiter {
    /// An empty bucket.
    pub fn new(limit: RateLimit, metrics: LimiterMetrics) -> Self {
        let interval = limit.interval();
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(limit.starts));
        let clock = Ticks { start: Instant::now() };
        let bucket = Bucket::new(quota.allow_burst(limit.burst), Level::default(), clock);
        // A full burst taken at once leaves the bucket empty; it can't fail on a fresh one. Start by
        // start, a rate of a start a nanosecond would refill it as fast as it is emptied.
        bucket.check_key_n(&Ask::Take, limit.burst).ok();
        Self { bucket, interval, metrics }
    }

    /// The time in which one start becomes free.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// A start was held back by it; told once a start.
    pub fn throttled(&self) {
        self.metrics.throttled();
    }

    /// A job that has waited since then starts.
    pub fn passed(&self, since: Instant) {
        self.metrics.passed(since.elapsed());
    }

    /// Whether there is a permit now, else for how long to wait at most before asking again.
    pub fn ready(&self) -> Result<(), Duration> {
        self.ask(Ask::Look)
    }

    /// Takes a permit, if there is one.
    pub fn take(&self) -> Result<(), Duration> {
        self.ask(Ask::Take)
    }

    fn ask(&self, ask: Ask) -> Result<(), Duration> {
        self.bucket
            .check_key(&ask)
            .map_err(|not_yet| not_yet.wait_time_from(self.bucket.clock().now()).min(LONGEST_NAP))
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
        while limiter.take().is_err() {}
    }

    #[test]
    fn a_fresh_bucket_is_empty() {
        let limit: RateLimit = "1/h burst 5".parse().expect("a limit");
        let limiter = Limiter::new(limit, Metrics::default().limiter("kind:k"));
        assert_eq!(limiter.take(), Err(LONGEST_NAP));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_takes_nothing_and_a_take_takes_one() {
        let limit: RateLimit = "1/s".parse().expect("a limit");
        let limiter = Limiter::new(limit, Metrics::default().limiter("kind:k"));
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(limiter.ready(), Err(Duration::from_millis(600)), "it started empty");
        tokio::time::advance(Duration::from_millis(600)).await;
        assert_eq!([limiter.ready(), limiter.ready(), limiter.take()], [Ok(()); 3]);
        assert_eq!([limiter.ready(), limiter.take()], [Err(Duration::from_secs(1)); 2]);
    }
}
