//! The async runtime, by the part of `tokio-metrics` that needs no unstable build.
//!
//! The monitor tells what happened between two looks; Prometheus wants totals, so they are added
//! up here.

use super::{catalogue as c, registry::Registry};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::runtime::Handle;
use tokio_metrics::{RuntimeIntervals, RuntimeMonitor};

/// What was seen of the runtime; nothing until it is handed in.
#[derive(Default)]
pub(super) struct Runtime(Mutex<Option<Observed>>);

struct Observed {
    intervals: RuntimeIntervals,
    parks: u64,
    busy: Duration,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    pub(super) fn observe(&self, handle: &Handle) {
        let intervals = RuntimeMonitor::new(handle).intervals();
        let observed = Observed { intervals, parks: 0, busy: Duration::ZERO };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(observed);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of tasks are far below 2^52")]
    pub(super) fn show(&self, registry: &Registry) {
        let mut observed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(observed) = observed.as_mut() else { return };
        let Some(seen) = observed.intervals.next() else { return };
        observed.parks += seen.total_park_count;
        observed.busy += seen.total_busy_duration;
        registry.figure(&c::TOKIO_WORKERS, Some(seen.workers_count as f64));
        registry.figure(&c::TOKIO_LIVE_TASKS, Some(seen.live_tasks_count as f64));
        registry.figure(&c::TOKIO_GLOBAL_QUEUE, Some(seen.global_queue_depth as f64));
        registry.figure(&c::TOKIO_PARKS, Some(observed.parks as f64));
        registry.figure(&c::TOKIO_BUSY, Some(observed.busy.as_secs_f64()));
    }
}
