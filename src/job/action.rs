//! What a receiver of jobs asks for by a word: in a header of its answer, or when it calls back.

use super::{DiscardReason, JobError, JobResult, Outcome};
use std::time::Duration;

/// The least and the most that a receiver can put a job off for: it may not make us spin, nor have
/// a job forgotten.
const DELAY_MIN: Duration = Duration::from_secs(1);
/// See above; more is as good as this.
pub const ACTION_DELAY_MAX: Duration = Duration::from_hours(24);

/// A verdict as receivers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Done.
    Complete,
    /// Failed: try again.
    Retry,
    /// Failed for good.
    Discard,
    /// Not now.
    Snooze,
    /// Called off.
    Cancel,
}

impl Action {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Complete, Self::Retry, Self::Discard, Self::Snooze, Self::Cancel];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Snooze => "snooze",
            Self::Cancel => "cancel",
        }
    }

    /// The one with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// How long a job is put off where a receiver asks for this.
    pub fn delay(asked: Duration) -> Duration {
        asked.clamp(DELAY_MIN, ACTION_DELAY_MAX)
    }

    /// What it decides; of result, error and delay each action takes what it has a place for.
    pub fn outcome(
        self,
        result: Option<JobResult>,
        error: JobError,
        after: Option<Duration>,
    ) -> Outcome {
        match self {
            Self::Complete => Outcome::Complete { result },
            Self::Retry => Outcome::Retry { error, after },
            Self::Discard => Outcome::Discard { reason: DiscardReason::PermanentError, error },
            Self::Snooze => Outcome::Snooze { delay: after },
            Self::Cancel => Outcome::Cancel,
        }
    }
}
