//! What a canary tells: when one last came through, and how long it was on its way.
//!
//! There is at most one of a queue at a time, in all daemons together, so one place is enough to remember when it
//! was enqueued.

use super::{catalogue as c, process, registry::Registry};
use metrics::{Gauge, Histogram};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Handles of the canary of one queue.
#[derive(Debug)]
pub(super) struct CanaryMetrics {
    /// When the one that runs was enqueued, on our clock.
    enqueued: Mutex<Option<Instant>>,
    last_success: Gauge,
    roundtrip_seconds: Histogram,
}

impl CanaryMetrics {
    /// A start counts as a success, or each would be an alert.
    pub(super) fn new(registry: &Registry, queue: &str) -> Self {
        let canary = Self {
            enqueued: Mutex::default(),
            last_success: registry.gauge(&c::CANARY_LAST_SUCCESS, &[queue]),
            roundtrip_seconds: registry.histogram(&c::CANARY_ROUNDTRIP, &[queue]),
        };
        canary.show_now();
        canary
    }

    /// One that was enqueued so long ago begins.
    pub(super) fn began(&self, age: Duration) {
        *self.lock() = Instant::now().checked_sub(age);
    }

    /// Its completion is committed.
    pub(super) fn succeeded(&self) {
        if let Some(enqueued) = self.lock().take() {
            self.roundtrip_seconds.record(enqueued.elapsed().as_secs_f64());
        }
        self.show_now();
    }

    fn show_now(&self) {
        self.last_success.set(process::now().unwrap_or_default());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.enqueued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
