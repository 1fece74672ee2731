//! What is counted once a kind in a queue: how attempts ended and how long they took.

use super::{
    InFlight, canary::CanaryMetrics, catalogue as c, registry::Registry, series::Distribution,
};
use crate::{job::Verdict, telemetry::Origin};
use metrics::{Counter, Gauge, Histogram};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// What became of an attempt; the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The job is done.
    Completed,
    /// Failed; it will be tried again.
    Retried,
    /// Ran out of time; it will be tried again.
    TimedOut,
    /// Will not run again.
    Discarded,
    /// Stopped on request.
    Cancelled,
    /// Put off by its handler.
    Snoozed,
    /// Given back uncharged.
    Released,
    /// The lease was no longer ours when the verdict came to be written.
    Lost,
}

impl AttemptEnd {
    /// Every end, in the order of the handles.
    pub const ALL: [Self; 8] = [
        Self::Completed,
        Self::Retried,
        Self::TimedOut,
        Self::Discarded,
        Self::Cancelled,
        Self::Snoozed,
        Self::Released,
        Self::Lost,
    ];

    /// The end that a verdict stands for. A timeout is told apart by `timed_out`.
    pub fn of(verdict: &Verdict, timed_out: bool) -> Self {
        match verdict {
            Verdict::Complete { .. } | Verdict::Written => Self::Completed,
            Verdict::Late => Self::Lost,
            Verdict::Cancel => Self::Cancelled,
            Verdict::Discard { .. } => Self::Discarded,
            Verdict::Retry { .. } if timed_out => Self::TimedOut,
            Verdict::Retry { .. } => Self::Retried,
            Verdict::Snooze { .. } | Verdict::Park { .. } => Self::Snoozed,
            Verdict::Release => Self::Released,
        }
    }

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Retried => "retried",
            Self::TimedOut => "timed_out",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
            Self::Snoozed => "snoozed",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Discarded | Self::Cancelled)
    }
}

/// Handles of one kind in one queue.
#[derive(Debug)]
pub struct JobMetrics {
    finished: [Counter; AttemptEnd::ALL.len()],
    attempts: Histogram,
    in_flight: Gauge,
    duration_seconds: Arc<Distribution>,
    /// Handler panics that were caught.
    pub panics: Counter,
    /// Of the canary's kind, in the queue through which it goes.
    canary: OnceLock<CanaryMetrics>,
}

impl JobMetrics {
    pub(super) fn new(registry: &Registry, queue: &str, kind: &str) -> Self {
        let finished =
            |end: AttemptEnd| registry.counter(&c::JOBS_FINISHED, &[queue, kind, end.as_str()]);
        Self {
            finished: AttemptEnd::ALL.map(finished),
            in_flight: registry.gauge(&c::JOBS_IN_FLIGHT, &[queue, kind]),
            attempts: registry.histogram(&c::JOB_ATTEMPTS, &[queue, kind]),
            duration_seconds: registry.with_exemplars(&c::JOB_DURATION, &[queue, kind]),
            panics: registry.counter(&c::JOB_PANICS, &[queue, kind]),
            canary: OnceLock::new(),
        }
    }

    /// An attempt at a job that was enqueued so long ago runs until what this gives is dropped.
    pub fn begins(&self, age: impl FnOnce() -> Duration) -> InFlight {
        if let Some(canary) = self.canary.get() {
            canary.began(age());
        }
        InFlight::enter(&self.in_flight)
    }

    pub(super) fn expect_canaries(&self, registry: &Registry, queue: &str) {
        self.canary.get_or_init(|| CanaryMetrics::new(registry, queue));
    }

    /// A handler ran so long. The trace that its lines name is the exemplar, where it is sampled: of others
    /// there is nothing to be seen.
    pub fn ran(&self, took: Duration, origin: Option<&Origin>) {
        let trace = origin.and_then(|origin| origin.trace).filter(|trace| trace.flags & 1 == 1);
        self.duration_seconds.observe(took.as_secs_f64(), trace);
    }

    /// An attempt ended. Call it once its verdict is committed, or refused.
    pub fn finished(&self, end: AttemptEnd, attempt: u16) {
        self.finished[end as usize].increment(1);
        if end.is_final() {
            self.attempts.record(f64::from(attempt));
        }
        if let Some(canary) = self.canary.get().filter(|_| end == AttemptEnd::Completed) {
            canary.succeeded();
        }
    }
}
