//! A whole second, which is as fine as a cron pattern is.

use jiff::Timestamp;
use std::fmt;

/// Seconds since 1970, by whoever's clock is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// The second that has begun at this time. A time beyond the years that can be reckoned with, infinity
    /// included, is the first or the last second of these.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is brought into range")]
    pub fn of(seconds: f64) -> Self {
        Self(seconds.floor() as i64).within()
    }

    fn within(self) -> Self {
        Self(self.0.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()))
    }

    /// As jiff has it.
    pub(super) fn timestamp(self) -> Timestamp {
        Timestamp::from_second(self.within().0).unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Moment {
    /// `2026-03-29T01:00:00Z`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}
