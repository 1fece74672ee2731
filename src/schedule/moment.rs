//! A whole second, which is as fine as a cron pattern is.

use jiff::Timestamp;
use std::fmt;

/// Seconds since 1970, by whoever's clock is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// The second that has begun at this time.
    #[expect(clippy::cast_possible_truncation, reason = "saturates; years beyond don't come")]
    pub fn of(seconds: f64) -> Self {
        Self(seconds.floor() as i64)
    }

    /// As jiff has it; moments beyond its years become its last one.
    pub(super) fn timestamp(self) -> Timestamp {
        let within = self.0.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        Timestamp::from_second(within).unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Moment {
    /// `2026-03-29T01:00:00Z`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}
