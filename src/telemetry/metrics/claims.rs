//! How long each claim took, one by one, where a benchmark asks for it.
//!
//! The buckets of a histogram are too wide to tell a claim that takes a third longer. A daemon keeps
//! nothing here: it looks at one flag a claim.

use std::{
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

/// One claim that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimTime {
    /// The jobs that it brought.
    pub jobs: usize,
    /// From its sending to its answer.
    pub took: Duration,
}

/// The claims of one daemon. Empty until somebody asks for them.
#[derive(Debug, Default)]
pub struct ClaimTimes(OnceLock<Mutex<Vec<ClaimTime>>>);

impl ClaimTimes {
    /// From now on each claim is kept until it is taken.
    pub fn keep(&self) {
        self.0.set(Mutex::default()).ok();
    }

    /// What was kept since it was last taken.
    pub fn take(&self) -> Vec<ClaimTime> {
        self.kept().map(|mut kept| mem::take(&mut *kept)).unwrap_or_default()
    }

    pub(super) fn note(&self, jobs: usize, took: Duration) {
        if let Some(mut kept) = self.kept() {
            kept.push(ClaimTime { jobs, took });
        }
    }

    fn kept(&self) -> Option<MutexGuard<'_, Vec<ClaimTime>>> {
        self.0.get().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_kept_once_asked_for_and_given_once() {
        let (times, took) = (ClaimTimes::default(), Duration::from_millis(3));
        times.note(1, took);
        assert_eq!(times.take(), []);
        times.keep();
        times.note(2, took);
        assert_eq!(times.take(), [ClaimTime { jobs: 2, took }]);
        assert_eq!(times.take(), []);
    }
}
