//! A rate limit as people write it: `100/s burst 20`.
//!
//! Burst is explicit and 1 unless said: a bare "60 per minute" must not start 60 at once and as
//! many again a moment later, as limiters do that take the burst from the rate.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// At most `burst + rate × window` starts in any window, per daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Starts per `per`.
    pub starts: NonZeroU32,
    /// The unit of time in which they were written.
    pub per: Duration,
    /// How many may start at once after a pause.
    pub burst: NonZeroU32,
}

/// Why a rate limit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} isn't a rate limit: write `100/s`, `30/m` or `5/h`, with `burst N` if needed")]
pub struct RateLimitError {
    text: String,
}

impl RateLimit {
    /// The time in which one start becomes free.
    pub fn interval(&self) -> Duration {
        // At least a nanosecond, so that a limiter can be built from it.
        (self.per / self.starts.get()).max(Duration::from_nanos(1))
    }

    /// How many starts one second allows, at least one: what a claim may take at a time.
    pub fn starts_within_a_second(&self) -> u32 {
        let per_second = Duration::from_secs(1).as_nanos() / self.interval().as_nanos();
        u32::try_from(per_second).unwrap_or(u32::MAX).max(1)
    }
}

impl FromStr for RateLimit {
    type Err = RateLimitError;

    fn from_str(text: &str) -> Result<Self, RateLimitError> {
        parse(text).ok_or_else(|| RateLimitError { text: text.into() })
    }
}

fn parse(text: &str) -> Option<RateLimit> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (rate, burst) = match words.as_slice() {
        [rate] => (*rate, NonZeroU32::MIN),
        [rate, "burst", burst] => (*rate, burst.parse().ok()?),
        _ => return None,
    };
    let (starts, unit) = rate.split_once('/')?;
    let per = Duration::from_secs(match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    });
    Some(RateLimit { starts: starts.parse().ok()?, per, burst })
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit} burst {}", self.starts, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("100/s", "100/s burst 1", 100)]
    #[case::burst("30/m burst 5", "30/m burst 5", 1)]
    #[case::hour("7200/h", "7200/h burst 1", 2)]
    fn a_limit_reads_as_written(#[case] text: &str, #[case] shown: &str, #[case] second: u32) {
        let limit: RateLimit = text.parse().expect("a limit");
        assert_eq!((limit.to_string().as_str(), limit.starts_within_a_second()), (shown, second));
    }

    #[rstest]
    #[case::zero("0/s")]
    #[case::zero_burst("1/s burst 0")]
    #[case::unit("5/day")]
    #[case::nothing("")]
    #[case::negative("-1/s")]
    #[case::tail("1/s burst 2 please")]
    #[case::huge("99999999999/s")]
    fn nonsense_is_refused_with_the_form_to_use(#[case] text: &str) {
        let error = text.parse::<RateLimit>().expect_err("refused");
        assert!(error.to_string().contains("burst N"));
    }
}
