//! What is counted once a kind in a queue: how attempts ended and how long they took.
//!
//! A pair of them has some forty lines of the page, and a file may have thousands of pairs of which few are ever used. So
//! beyond the first of them a pair's lines come with its first attempt, and those beyond a bound are counted as `other`.

use super::{
    InFlight, OTHER, canary::CanaryMetrics, catalogue as c, registry::Registry,
    series::Distribution,
};
use crate::{job::Verdict, telemetry::Origin};
use metrics::{Counter, Gauge, Histogram};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
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

/// How many pairs of a queue and a kind have lines of their own.
#[derive(Debug, Default)]
pub(super) struct Pairs(AtomicUsize);

impl Pairs {
    /// How long a page of so many takes is measured: `metrics::page` of the benchmarks.
    pub(super) const MOST: usize = 1000;
    /// So many have them before their first attempt, so that a rate over it begins at 0.
    const AT_ONCE: usize = 100;

    fn take(&self, most: usize) -> bool {
        let more = |taken| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

/// Handles of one kind in one queue.
#[derive(Debug)]
pub struct JobMetrics {
    registry: Arc<Registry>,
    queue: String,
    kind: String,
    lines: OnceLock<Lines>,
    /// Of the canary's kind, in the queue through which it goes.
    canary: OnceLock<CanaryMetrics>,
}

#[derive(Debug)]
struct Lines {
    finished: [Counter; AttemptEnd::ALL.len()],
    attempts: Histogram,
    in_flight: Gauge,
    duration_seconds: Arc<Distribution>,
    panics: Counter,
    is_own: bool,
}

impl Lines {
    fn new(registry: &Registry, queue: &str, (kind, is_own): (&str, bool)) -> Self {
        let finished =
            |end: AttemptEnd| registry.counter(&c::JOBS_FINISHED, &[queue, kind, end.as_str()]);
        Self {
            finished: AttemptEnd::ALL.map(finished),
            in_flight: registry.gauge(&c::JOBS_IN_FLIGHT, &[queue, kind]),
            attempts: registry.histogram(&c::JOB_ATTEMPTS, &[queue, kind]),
            duration_seconds: registry.with_exemplars(&c::JOB_DURATION, &[queue, kind]),
            panics: registry.counter(&c::JOB_PANICS, &[queue, kind]),
            is_own,
        }
    }
}

impl Drop for JobMetrics {
    fn drop(&mut self) {
        if self.lines.get().is_some_and(|lines| lines.is_own) {
            self.registry.pairs.0.fetch_sub(1, Relaxed);
        }
    }
}

impl JobMetrics {
    pub(super) fn new(registry: &Arc<Registry>, queue: &str, kind: &str) -> Self {
        let (queue, kind) = (queue.to_owned(), kind.to_owned());
        let (lines, canary) = (OnceLock::new(), OnceLock::new());
        let made = Self { registry: Arc::clone(registry), queue, kind, lines, canary };
        if registry.pairs.take(Pairs::AT_ONCE) {
            made.lines.get_or_init(|| Lines::new(registry, &made.queue, (&made.kind, true)));
        }
        made
    }

    fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| {
            let of = if self.registry.pairs.take(Pairs::MOST) {
                (&*self.kind, true)
            } else {
                (OTHER, false)
            };
            Lines::new(&self.registry, &self.queue, of)
        })
    }

    /// An attempt at a job that was enqueued so long ago runs until what this gives is dropped.
    pub fn begins(&self, age: impl FnOnce() -> Duration) -> InFlight {
        if let Some(canary) = self.canary.get() {
            canary.began(age());
        }
        InFlight::enter(&self.lines().in_flight)
    }

    pub(super) fn expect_canaries(&self, registry: &Registry, queue: &str) {
        self.canary.get_or_init(|| CanaryMetrics::new(registry, queue));
    }

    /// A handler ran so long. The trace that its lines name is the exemplar, where it is sampled: of others
    /// there is nothing to be seen.
    pub fn ran(&self, took: Duration, origin: Option<&Origin>) {
        let trace = origin.and_then(|origin| origin.trace).filter(|trace| trace.flags & 1 == 1);
        self.lines().duration_seconds.observe(took.as_secs_f64(), trace);
    }

    /// A handler panicked, and that was caught.
    pub fn panicked(&self) {
        self.lines().panics.increment(1);
    }

    /// An attempt ended. Call it once its verdict is committed, or refused.
    pub fn finished(&self, end: AttemptEnd, attempt: u16) {
        let lines = self.lines();
        lines.finished[end as usize].increment(1);
        if end.is_final() {
            lines.attempts.record(f64::from(attempt));
        }
        if let Some(canary) = self.canary.get().filter(|_| end == AttemptEnd::Completed) {
            canary.succeeded();
        }
    }
}
