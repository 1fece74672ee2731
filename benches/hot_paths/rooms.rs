//! The pipeline's rooms, put together as the daemon does it, on a runtime that can be counted: one
//! thread, and a clock that moves only while there is nothing to do, so that no timer falls into one
//! run and not into the next.

use crate::{
    jobs::{JOBS, kinds, policy, queue},
    seams::{Source, Written},
};
use legwork::{
    claimer::{Bell, ClaimGroup, Claimer, ClaimerShared},
    completer::{Completer, Links, Settled, Verdicts},
    config::{Claim, Complete, Kept, Settings},
    dispatcher::{BATCH_CAPACITY, Dispatcher, Limiter, Limits},
    executor::Handler,
    heartbeat::Leases,
    profile::Label,
    supervise::{ExitPolicy, Supervisor},
    telemetry::{health::Health, metrics::Metrics},
    worker::{Assignment, KindRuntime, Pool, PoolParts, Slots},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// More than any benchmark holds at a time.
pub(crate) const SLOTS: u32 = 100_000;
/// How long anything may take: nothing does, where time passes only in waiting.
const STEP: Duration = Duration::from_mins(1);

pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

/// Waits for what the rooms do. The clock jumps where nothing is left to do, so that a loop which stands
/// still, or tries again and again, is found at once. Keep `work` small: what a runtime blocks on is boxed
/// from 2 KiB on in a debug build and from 16 KiB on in a release, and counts would differ.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(STEP, work).await.expect("the rooms go on")
}

/// What every room needs. Rooms are opened inside of a runtime.
pub(crate) struct Rooms {
    pub(crate) metrics: Arc<Metrics>,
    supervisor: Supervisor,
    health: Arc<Health>,
    settings: Settings,
}

/// A dispatcher with its workers.
pub(crate) struct Lane {
    pub(crate) outbox: mpsc::Sender<Vec<Assignment>>,
    slots: Slots,
}

impl Rooms {
    pub(crate) fn new() -> Self {
        let mut settings = Settings::default();
        settings.claim = Claim { batch: JOBS, poll_jitter: 0.0, ..settings.claim };
        settings.complete = Complete { flush_max_rows: JOBS as usize, ..settings.complete };
        let health = Health::new(STEP);
        Self { metrics: Arc::default(), supervisor: Supervisor::default(), health, settings }
    }

    /// Opens a dispatcher, and behind it the pool whose every kind has this handler.
    pub(crate) fn dispatcher(
        &self,
        handler: &Arc<dyn Handler>,
        limiters: Vec<Arc<Limiter>>,
        verdicts: Verdicts,
    ) -> Lane {
        let runtime = |kind| {
            let (handler, metrics) = (Arc::clone(handler), self.metrics.job(&queue(), kind));
            let (policy, label) = (policy(), Label::of(kind, &queue()));
            let runtime = KindRuntime { policy, handler, label, metrics };
            (kind.clone(), Arc::new(runtime))
        };
        let parts = PoolParts {
            queue: queue(),
            concurrency: SLOTS,
            kinds: kinds().iter().map(runtime).collect(),
            running: Arc::default(),
            verdicts,
            metrics: self.metrics.queue(&queue()),
            grace_without_lease: Duration::from_secs(6),
            tracer: None,
        };
        let pool = Pool::new(parts, self.supervisor.clone());
        let slots = Slots::new(SLOTS);
        let limits = Limits { limiters, slots: slots.clone() };
        let (outbox, inbox) = mpsc::channel(BATCH_CAPACITY);
        let dispatcher = Dispatcher::new(inbox, limits, pool, CancellationToken::new());
        let dispatcher = Arc::new(dispatcher);
        self.supervisor.spawn_watched("dispatcher", ExitPolicy::Restart, STEP, move || {
            Arc::clone(&dispatcher).run()
        });
        Lane { outbox, slots }
    }

    /// Opens a completer that writes what comes out of `inbox`.
    pub(crate) fn completer(&self, written: Written, inbox: mpsc::Receiver<Settled>) {
        let (_, kept) = watch::channel(Kept::new());
        let links = Links {
            metrics: Arc::clone(&self.metrics),
            check: self.health.check("completer"),
            came_back: Arc::new(|| {}),
            is_ours: Arc::new(|_| true),
            late: Arc::new(|_| {}),
        };
        let settings = (self.settings.complete.clone(), kept);
        let completer = Arc::new(Completer::new(written, inbox, settings, links));
        self.supervisor.spawn_watched("completer", ExitPolicy::Restart, STEP, move || {
            Arc::clone(&completer).run()
        });
    }

    /// Opens a claimer that takes jobs from `source` into the lane when the bell rings.
    pub(crate) fn claimer(&self, source: &Arc<Source>, lane: Lane, bell: &Bell, leases: Leases) {
        let shared = ClaimerShared {
            source: Arc::clone(source),
            settings: self.settings.claim.clone(),
            leases,
            horizon: Arc::default(),
            halt: CancellationToken::new(),
            stop: CancellationToken::new(),
            hints: Arc::default(),
            metrics: Arc::clone(&self.metrics),
            check: self.health.check("claimer"),
            tracer: None,
        };
        let Lane { outbox, slots } = lane;
        let group = ClaimGroup { queue: queue(), kinds: kinds(), most: JOBS, slots, outbox };
        let claimer = Arc::new(Claimer::new(shared, group, bell.waker()));
        self.supervisor.spawn_watched("claimer", ExitPolicy::Restart, STEP, move || {
            Arc::clone(&claimer).run()
        });
    }
}
