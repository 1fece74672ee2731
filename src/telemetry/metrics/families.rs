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
}

impl FlushMetrics {
    pub(super) fn new(registry: &Registry, op: &'static str) -> Self {
        let ended = |result| {
            let labels = [op, result];
            let duration = registry.histogram(&c::FLUSH_DURATION, &labels);
            (duration, registry.counter(&c::FLUSH_ROWS_TOTAL, &labels))
        };
        let rows = registry.histogram(&c::FLUSH_ROWS, &[op]);
        Self { rows, ok: ended("ok"), error: ended("error") }
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

/// Handles of one statement.
#[derive(Debug, Clone)]
pub struct DbOperation {
    ok: Histogram,
    error: Histogram,
    errors: Vec<(&'static str, Counter)>,
}

/// Classes of SQLSTATE that have a series of their own, and what stands for the rest: `io` is a
/// connection that broke, `deadline` one that we gave up on.
const SQLSTATE_CLASSES: [&str; 14] =
    ["08", "22", "23", "25", "28", "40", "42", "53", "54", "55", "57", "58", "io", "deadline"];

impl DbOperation {
    pub(super) fn new(registry: &Registry, operation: &'static str) -> Self {
        let duration = |result| registry.histogram(&c::DB_OPERATION, &[operation, result]);
        let error = |class| (class, registry.counter(&c::DB_ERRORS, &[operation, class]));
        let errors = SQLSTATE_CLASSES.into_iter().chain([OTHER]).map(error).collect();
        Self { ok: duration("ok"), error: duration("error"), errors }
    }

    /// It answered.
    pub fn succeeded(&self, took: Duration) {
        self.ok.record(took.as_secs_f64());
    }

    /// It failed. `class` is SQLSTATE's first two characters, `io`, or `deadline`.
    pub fn failed(&self, class: &str, took: Duration) {
        self.error.record(took.as_secs_f64());
        let known = self.errors.iter().find(|(name, _)| *name == class);
        if let Some((_, counter)) = known.or(self.errors.last()) {
            counter.increment(1);
        }
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
    /// It couldn't be started.
    NotStarted,
}

impl CommandExit {
    const LABELS: [&str; 11] =
        ["0", "64", "65", "69", "75", "77", "78", "signal", "timeout", "not_started", OTHER];

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
            Self::NotStarted => "not_started",
        }
    }
}

/// Handles of one command kind.
#[derive(Debug, Clone)]
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

/// Handles of the admin port.
#[derive(Debug)]
pub struct HttpMetrics {
    /// Requests that are being answered.
    pub in_flight: Gauge,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        Self { in_flight: registry.gauge(&c::HTTP_IN_FLIGHT, &[]) }
    }
}

/// The methods that have a series of their own.
pub(super) fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or(OTHER)
}

impl super::Metrics {
    /// A request of the admin port was answered. `route` is the template, never the path.
    pub fn http_answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = method_label(method);
        let status = status.to_string();
        self.registry.counter(&c::HTTP_REQUESTS, &[method, route, &status]).increment(1);
        self.registry.histogram(&c::HTTP_DURATION, &[method, route]).record(took.as_secs_f64());
    }
}
