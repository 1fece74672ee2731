//! What exists once a daemon: supervision, rescue, schema, draining, sessions and ages.

use super::{catalogue as c, process, registry::Registry};
use crate::telemetry::build;
use metrics::{Counter, Gauge, Histogram};
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Handles that exist once.
#[derive(Debug)]
pub struct DaemonMetrics {
    /// 1 while LISTEN is up.
    pub listener_connected: Gauge,
    /// Verdicts that aren't yet durable.
    pub flush_pending_rows: Gauge,
    /// Live tasks that the supervisor doesn't own.
    pub unsupervised_tasks: Gauge,
    /// Due jobs that this daemon doesn't serve.
    pub unserved_jobs: Gauge,
    /// Version of the schema in the database.
    pub schema_version: Gauge,
    /// Version that this daemon was built for.
    pub schema_version_expected: Gauge,
    /// Whether and when the configuration was last read.
    pub configuration: Configuration,
    /// 1 while the daemon stops.
    pub draining: Gauge,
    /// How late timers fire.
    pub event_loop_lag: Histogram,
    /// When the leases were last renewed.
    pub heartbeat: Freshness,
    /// When the figures about queues were last counted.
    pub queue_stats: Freshness,
    pub(super) log_lines_dropped: Counter,
    pub(super) log_lines_suppressed: Counter,
}

impl DaemonMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |metric| registry.counter(metric, &[]);
        let gauge = |metric| registry.gauge(metric, &[]);
        registry.gauge(&c::BUILD_INFO, &[build::VERSION, build::COMMIT]).set(1.0);
        Self {
            listener_connected: gauge(&c::LISTENER_CONNECTED),
            flush_pending_rows: gauge(&c::FLUSH_PENDING),
            unsupervised_tasks: gauge(&c::UNSUPERVISED_TASKS),
            unserved_jobs: gauge(&c::UNSERVED_JOBS),
            schema_version: gauge(&c::SCHEMA_VERSION),
            schema_version_expected: gauge(&c::SCHEMA_EXPECTED),
            configuration: Configuration::new(registry),
            draining: gauge(&c::DRAINING),
            event_loop_lag: registry.histogram(&c::EVENT_LOOP_LAG, &[]),
            heartbeat: Freshness::new(gauge(&c::HEARTBEAT_AGE)),
            queue_stats: Freshness::new(gauge(&c::QUEUE_STATS_AGE)),
            log_lines_dropped: counter(&c::LOG_LINES_DROPPED),
            log_lines_suppressed: counter(&c::LOG_LINES_SUPPRESSED),
        }
    }

    pub(super) fn show_ages(&self) {
        self.heartbeat.show();
        self.queue_stats.show();
    }
}

/// How the configuration was last read.
#[derive(Debug)]
pub struct Configuration {
    successful: Gauge,
    read_at: Gauge,
}

impl Configuration {
    fn new(registry: &Registry) -> Self {
        let gauge = |metric| registry.gauge(metric, &[]);
        let read = Self {
            successful: gauge(&c::CONFIG_RELOAD_OK),
            read_at: gauge(&c::CONFIG_RELOADED_AT),
        };
        // Whoever has metrics has a configuration that was right.
        read.succeeded();
        read
    }

    /// It was right, and holds.
    pub fn succeeded(&self) {
        self.successful.set(1.0);
        self.read_at.set(process::now().unwrap_or_default());
    }

    /// It was wrong; the one before holds.
    pub fn failed(&self) {
        self.successful.set(0.0);
    }
}

/// The age of something, told truly even when the task that refreshes it hangs: it is computed at
/// the scrape. Until the first refresh it counts from when the daemon started.
#[derive(Debug)]
pub struct Freshness {
    gauge: Gauge,
    refreshed: Mutex<Instant>,
}

impl Freshness {
    fn new(gauge: Gauge) -> Self {
        Self { gauge, refreshed: Mutex::new(Instant::now()) }
    }

    /// It was refreshed now.
    pub fn refreshed(&self) {
        *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn show(&self) {
        let refreshed = *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauge.set(refreshed.elapsed().as_secs_f64());
    }
}

/// One of the daemon's own database sessions.
#[derive(Debug)]
pub struct Session {
    connected: Gauge,
    connecting: Gauge,
}

impl Session {
    pub(super) fn new(registry: &Registry, role: &'static str) -> Self {
        let gauge = |state| registry.gauge(&c::DB_CONNECTIONS, &[role, state]);
        Self { connected: gauge("connected"), connecting: gauge("connecting") }
    }

    /// It is up.
    pub fn connected(&self) {
        self.connected.set(1.0);
        self.connecting.set(0.0);
    }

    /// It is down and tries again.
    pub fn connecting(&self) {
        self.connected.set(0.0);
        self.connecting.set(1.0);
    }

    /// It was closed and stays so.
    pub fn closed(&self) {
        self.connected.set(0.0);
        self.connecting.set(0.0);
    }
}
