//! From how an attempt ended to what becomes of the job.
//!
//! One pure function, so that the whole policy can be read on a page and tried by a table.

use super::{ClaimedJob, DiscardReason, Ending, JobError, JobResult, KindPolicy, Outcome, Written};
use std::time::Duration;

/// Longest delay that a handler may ask for; the same limit as a backoff's.
pub(crate) const DELAY_MAX: Duration = super::backoff::BACKOFF_MAX;

/// Shortest snooze, unless the kind's backoff begins with less: a job that is put off as often as it takes
/// mustn't run in a circle.
const SNOOZE_MIN: Duration = Duration::from_secs(1);

/// What becomes of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Finished well.
    Complete {
        /// What it leaves behind.
        result: Option<JobResult>,
    },
    /// Finished: stopped on request.
    Cancel,
    /// Finished: will not run again.
    Discard {
        /// Why.
        reason: DiscardReason,
    },
    /// Back to waiting, attempt charged.
    Retry {
        /// For how long.
        delay: Duration,
    },
    /// Back to waiting, attempt not charged.
    Snooze {
        /// For how long.
        delay: Duration,
    },
    /// Back to waiting, nothing counted: it wasn't even tried.
    Park {
        /// For how long.
        delay: Duration,
    },
    /// Back to its place in line, nothing charged.
    Release,
    /// Finished well, and written down already by who ran it.
    Written,
    /// Nothing: its handler found that the lease is gone, and kept nothing of what it did.
    Late,
}

/// What kind of failure an attempt's record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The handler said so.
    Failed,
    /// Its time was up.
    TimedOut,
    /// It panicked.
    Panicked,
}

impl Cause {
    /// The word in `failed_attempt.cause`, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
        }
    }
}

/// The record of an attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    /// What kind of failure.
    pub cause: Cause,
    /// In its own words.
    pub error: JobError,
}

/// A verdict, with the record of the failure that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What becomes of the job.
    pub verdict: Verdict,
    /// What to write down, where the attempt failed.
    pub failure: Option<FailedAttempt>,
}

/// Decides what becomes of `job` after an attempt ended. `random` is uniform in 0..1.
pub fn rule(ending: Ending, job: &ClaimedJob, policy: &KindPolicy, random: f64) -> Ruling {
    let plain = |verdict| Ruling { verdict, failure: None };
    match ending {
        Ending::Decided(Outcome::Complete { result }) => plain(Verdict::Complete { result }),
        Ending::Decided(Outcome::Cancel) | Ending::Cancelled => plain(Verdict::Cancel),
        Ending::Decided(Outcome::Snooze { delay }) => plain(snooze(job, policy, delay, random)),
        Ending::Decided(Outcome::Park { delay }) => {
            plain(Verdict::Park { delay: put_off(policy, delay) })
        }
        Ending::Decided(Outcome::Retry { error, after }) => {
            failed(Cause::Failed, error, retry(job, policy, after, random))
        }
        Ending::Decided(Outcome::Discard { reason, error }) => {
            failed(Cause::Failed, error, Verdict::Discard { reason })
        }
        Ending::Decided(Outcome::Written(Written::Completed)) => plain(Verdict::Written),
        Ending::Decided(Outcome::Written(Written::Late)) => plain(Verdict::Late),
        Ending::TimedOut { limit, told } => {
            let error = overdue(limit, told.as_ref());
            failed(Cause::TimedOut, error, retry(job, policy, None, random))
        }
        Ending::Panicked(error) => failed(Cause::Panicked, error, retry(job, policy, None, random)),
        // If what is in doubt was committed, the fence finds nothing to give back.
        Ending::Interrupted | Ending::Decided(Outcome::Written(Written::Unknown)) => {
            plain(Verdict::Release)
        }
        Ending::Refused(reason) => plain(Verdict::Discard { reason }),
    }
}

fn overdue(limit: Duration, told: Option<&JobError>) -> JobError {
    let error = format!("the attempt took longer than its limit of {limit:?}");
    told.map_or_else(|| JobError::new(&error), |told| told.behind(&error))
}

fn failed(cause: Cause, error: JobError, verdict: Verdict) -> Ruling {
    Ruling { verdict, failure: Some(FailedAttempt { cause, error }) }
}

fn retry(job: &ClaimedJob, policy: &KindPolicy, after: Option<Duration>, random: f64) -> Verdict {
    if job.attempt() >= policy.max_attempts_of(job) {
        return Verdict::Discard { reason: DiscardReason::AttemptsExhausted };
    }
    let delay = after.unwrap_or_else(|| policy.backoff.delay(job.attempt(), random));
    Verdict::Retry { delay: delay.min(DELAY_MAX) }
}

fn snooze(job: &ClaimedJob, policy: &KindPolicy, delay: Option<Duration>, random: f64) -> Verdict {
    if policy.max_snoozes.is_some_and(|most| job.snoozes >= most) {
        return Verdict::Discard { reason: DiscardReason::SnoozesExhausted };
    }
    // What says "not now" without a time waits ever longer, as what fails does.
    let nth = job.snoozes.saturating_add(1);
    let delay = delay.unwrap_or_else(|| policy.backoff.delay(nth, random));
    Verdict::Snooze { delay: put_off(policy, delay) }
}

fn put_off(policy: &KindPolicy, delay: Duration) -> Duration {
    let least = SNOOZE_MIN.min(policy.backoff.base());
    delay.max(least).min(DELAY_MAX)
}

#[cfg(test)]
mod tests;
