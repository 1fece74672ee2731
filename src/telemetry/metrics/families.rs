//! Handles for statements, flushes, programs and the admin port's requests.

use super::{OTHER, catalogue as c, registry::Registry};
use metrics::{Counter, Gauge, Histogram};
use std::time::Duration;

/// Handles of one way of writing verdicts.
#[derive(Debug, Clone)]
pub struct FlushMetrics {
    rows: Histogram,
    ok: (Histogram, Counter),
    error: (Histogram, Counter),
    lease_lost: Counter,
    daemon_lost: Counter,
}

impl FlushMetrics {
    pub(super) fn new(registry: &Registry, op: &'static str) -> Self {
        let ended = |result| {
            let labels = [op, result];
            let duration = registry.histogram(&c::FLUSH_DURATION, &labels);
            (duration, registry.counter(&c::FLUSHED_VERDICTS, &labels))
        };
        let rows = registry.histogram(&c::FLUSH_ROWS, &[op]);
        let late = |why: LateReason| registry.counter(&c::LATE_RESULTS, &[op, why.as_str()]);
        Self {
            rows,
            ok: ended("ok"),
            error: ended("error"),
            lease_lost: late(LateReason::LeaseLost),
            daemon_lost: late(LateReason::DaemonLost),
        }
    }

    /// A fence refused a result.
    pub fn late(&self, reason: LateReason) {
        match reason {
            LateReason::LeaseLost => self.lease_lost.increment(1),
            LateReason::DaemonLost => self.daemon_lost.increment(1),
        }
    }

    /// A statement that wrote `rows`, or tried to.
    pub fn flushed(&self, rows: usize, took: Duration, ok: bool) {
        let (duration, total) = if ok { &self.ok } else { &self.error };
        duration.record(took.as_secs_f64());
        total.increment(rows as u64);
        #[expect(clippy::cast_precision_loss, reason = "a flush is far below 2^52 rows")]
        self.rows.record(rows as f64);
    }
}

/// The handle of one statement.
#[derive(Debug, Clone)]
pub struct DbOperation(Histogram);

/// Classes of SQLSTATE that have a series of their own, and what stands for the rest: `io` is a
/// connection that broke, `deadline` one that we gave up on.
const SQLSTATE_CLASSES: [&str; 14] =
    ["08", "22", "23", "25", "28", "40", "42", "53", "54", "55", "57", "58", "io", "deadline"];

impl DbOperation {
    pub(super) fn new(registry: &Registry, operation: &'static str) -> Self {
        Self(registry.histogram(&c::DB_OPERATION, &[operation, "ok"]))
    }

    /// It answered.
    pub fn succeeded(&self, took: Duration) {
        self.0.record(took.as_secs_f64());
    }
}

/// Why a fence refused a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateReason {
    /// The row shows another token or holder, or is gone.
    LeaseLost,
    /// The daemon gave its leases up before it came to write.
    DaemonLost,
}

impl LateReason {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaseLost => "lease_lost",
            Self::DaemonLost => "daemon_lost",
        }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandExit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal that wasn't ours.
    Signal,
    /// We ended it: its time was up.
    Timeout,
    /// We ended it for another reason: cancel, shutdown, a lease that was lost.
    Stopped,
    /// It couldn't be started.
    NotStarted,
}

impl CommandExit {
    const LABELS: [&str; 12] = [
        "0",
        "64",
        "65",
        "69",
        "75",
        "77",
        "78",
        "signal",
        "timeout",
        "stopped",
        "not_started",
        OTHER,
    ];

    /// The code, where it ended by itself.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }

    /// What was wrong, where something was.
    pub fn error(self) -> Option<&'static str> {
        (self.code() != Some(0)).then(|| self.as_str())
    }

    /// The label's value: codes without a meaning of their own are `other`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code(0) => "0",
            Self::Code(64) => "64",
            Self::Code(65) => "65",
            Self::Code(69) => "69",
            Self::Code(75) => "75",
            Self::Code(77) => "77",
            Self::Code(78) => "78",
            Self::Code(_) => OTHER,
            Self::Signal => "signal",
            Self::Timeout => "timeout",
            Self::Stopped => "stopped",
            Self::NotStarted => "not_started",
        }
    }
}

/// Handles of one command kind; the default counts nothing.
#[derive(Debug, Clone, Default)]
pub struct CommandMetrics {
    exits: Vec<(&'static str, Counter)>,
}

impl CommandMetrics {
    pub(super) fn new(registry: &Registry, kind: &str) -> Self {
        let exit = |code| (code, registry.counter(&c::COMMAND_EXITS, &[kind, code]));
        Self { exits: CommandExit::LABELS.into_iter().map(exit).collect() }
    }

    /// A program ended.
    pub fn exited(&self, exit: CommandExit) {
        if let Some((_, counter)) = self.exits.iter().find(|(code, _)| *code == exit.as_str()) {
            counter.increment(1);
        }
    }
}

/// Handles of one rate limiter.
#[derive(Debug, Clone)]
pub struct LimiterMetrics {
    wait_seconds: Histogram,
    throttled: Counter,
}

impl LimiterMetrics {
    pub(super) fn new(registry: &Registry, limiter: &str) -> Self {
        Self {
            wait_seconds: registry.histogram(&c::RATE_LIMIT_WAIT, &[limiter]),
            throttled: registry.counter(&c::RATE_LIMIT_THROTTLED, &[limiter]),
        }
    }

    /// It let a job start that had waited so long.
    pub fn passed(&self, waited: Duration) {
        self.wait_seconds.record(waited.as_secs_f64());
    }

    /// It held a start back.
    pub fn throttled(&self) {
        self.throttled.increment(1);
    }
}

/// Handles of one schedule.
#[derive(Debug, Clone)]
pub struct ScheduleMetrics {
    enqueued: Counter,
    overlap: Counter,
    missed: Counter,
}

impl ScheduleMetrics {
    pub(super) fn new(registry: &Registry, schedule: &str, queue: &str) -> Self {
        let skips = |reason| registry.counter(&c::SCHEDULE_SKIPS, &[schedule, reason]);
        Self {
            enqueued: registry.counter(&c::JOBS_ENQUEUED, &[queue, "schedule"]),
            overlap: skips("overlap"),
            missed: skips("missed"),
        }
    }

    /// It enqueued a job.
    pub fn enqueued(&self) {
        self.enqueued.increment(1);
    }

    /// The job before was unfinished.
    pub fn overlapped(&self) {
        self.overlap.increment(1);
    }

    /// So many instants passed while nobody looked.
    pub fn missed(&self, instants: usize) {
        self.missed.increment(instants as u64);
    }
}

/// Something that is under way, from when it is made until it is dropped, however it ends.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl InFlight {
    pub(super) fn enter(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The methods that have a series of their own.
pub(super) fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or(OTHER)
}

impl super::Metrics {
    /// A statement failed. `class` is SQLSTATE's first two characters, `io`, or `deadline`. A series
    /// begins with its first error: thirty statements times fifteen classes would be a long page.
    pub fn db_failed(&self, operation: &'static str, class: &str, took: Duration) {
        let class = SQLSTATE_CLASSES.into_iter().find(|known| *known == class).unwrap_or(OTHER);
        self.registry.counter(&c::DB_ERRORS, &[operation, class]).increment(1);
        let duration = self.registry.histogram(&c::DB_OPERATION, &[operation, "error"]);
        duration.record(took.as_secs_f64());
    }

    /// A request of the admin port is being answered. `route` is the template, never the path.
    pub fn http_in_flight(&self, method: &str, route: &str) -> InFlight {
        let labels = [method_label(method), route];
        InFlight::enter(&self.registry.gauge(&c::HTTP_IN_FLIGHT, &labels))
    }

    /// A request of the admin port was answered. `route` is the template, never the path.
    pub fn http_answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = method_label(method);
        let status = status.to_string();
        self.registry.counter(&c::HTTP_REQUESTS, &[method, route, &status]).increment(1);
        self.registry.histogram(&c::HTTP_DURATION, &[method, route]).record(took.as_secs_f64());
    }
}
