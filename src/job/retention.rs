//! How long a finished job is kept.

use std::time::Duration;

/// The longest time that finished jobs are kept; partitions are made one a day.
pub const RETENTION_MAX: Duration = Duration::from_hours(3650 * 24);

/// What happens to a job's row once it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Nothing is kept: the row is deleted and no history written.
    None,
    /// Kept for this long, in whole days rounded up, then dropped with its partition.
    For(Duration),
}

impl Retention {
    /// Days that are added to the finishing day; `None` keeps nothing.
    pub fn days(&self) -> Option<i32> {
        const DAY_SECONDS: u64 = 24 * 3600;
        match self {
            Self::None => None,
            Self::For(time) => {
                let days = time.as_secs().div_ceil(DAY_SECONDS).max(1);
                Some(i32::try_from(days).unwrap_or(i32::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_rounded_up_to_whole_days_and_none_keeps_nothing() {
        let hours = |h: u64| Retention::For(Duration::from_secs(h * 3600)).days();
        assert_eq!(
            [hours(1), hours(24), hours(25), hours(0)],
            [Some(1), Some(1), Some(2), Some(1)]
        );
        assert_eq!(Retention::None.days(), None);
    }
}
