//! What a kind allows its jobs, and the gate that a claimed job passes before it runs.
//!
//! Whoever claims a job decides its policy; whoever rescued it needn't know its kind.

use super::{Backoff, ClaimedJob, DiscardReason};
use std::time::Duration;

/// The limits of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct KindPolicy {
    /// Charged attempts, where the row says nothing.
    pub max_attempts: u16,
    /// How long to wait after a failure.
    pub backoff: Backoff,
    /// How long an attempt may take, where the row says nothing.
    pub timeout: Duration,
    /// How many dead daemons a job may leave behind.
    pub max_rescues: u16,
    /// How often a job may be put off; without a number, as often as it takes.
    pub max_snoozes: Option<u16>,
}

impl KindPolicy {
    /// The attempts that this job has.
    pub fn max_attempts_of(&self, job: &ClaimedJob) -> u16 {
        job.max_attempts.unwrap_or(self.max_attempts)
    }

    /// The time that this attempt has.
    pub fn timeout_of(&self, job: &ClaimedJob) -> Duration {
        job.timeout.unwrap_or(self.timeout)
    }
}

/// Says why a claimed job must not run, if it mustn't.
pub fn refuse_before_running(job: &ClaimedJob, policy: &KindPolicy) -> Option<DiscardReason> {
    if job.expired {
        Some(DiscardReason::Expired)
    } else if job.rescues > policy.max_rescues {
        Some(DiscardReason::RescuesExhausted)
    } else if job.charged >= policy.max_attempts_of(job) {
        Some(DiscardReason::AttemptsExhausted)
    } else {
        None
    }
}
