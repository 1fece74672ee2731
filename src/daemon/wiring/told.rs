//! What of the settings tasks look up anew each time, since a reload may change it.

use crate::{
    admin::Configured,
    config::{
        AdminTokens, HandlerSettings, HeapProfiling, Kept, Overrides, QueueSettings,
        ScheduleSettings, Settings, SqlSettings,
    },
    postgres::Load,
    profile::heap,
};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The newest of everything. Nothing before the start.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// For the heartbeat.
    pub(super) load: watch::Sender<Load>,
    /// For completer, pruner and the kinds that write history themselves.
    pub(super) kept: watch::Sender<Kept>,
    /// For the scheduler, which may sleep for long.
    pub(super) schedules: watch::Sender<Vec<ScheduleSettings>>,
    pub(super) scheduler: Arc<Notify>,
    /// For who goes on with operations on many jobs, which the admin port begins.
    pub(super) bulk: Arc<Notify>,
    /// For the ender, which tells whether functions can be called.
    pub(super) called: watch::Sender<Vec<SqlSettings>>,
    /// For the admin port.
    pub(super) tokens: watch::Sender<AdminTokens>,
    /// For the same: what it shows of the file.
    pub(super) configured: watch::Sender<Configured>,
    /// What operators decided, as the controller last read it; then it is adopted as a file is.
    pub(super) overrides: watch::Sender<Overrides>,
    /// Wakes the controller.
    pub(super) controller: Arc<Notify>,
}

impl Told {
    /// From now on this holds.
    pub(super) fn tell(&self, settings: &Settings, load: Load, kept: Kept) {
        self.load.send_replace(load);
        change(&self.kept, kept);
        change(&self.called, called(settings));
        self.configure(settings);
        self.schedules.send_replace(settings.schedules.clone());
        self.scheduler.notify_one();
    }

    /// How long jobs of these queues are kept, beside those of all that there were before: of a queue that is new they may
    /// end before the rest holds.
    pub(super) fn keep_as_well(&self, queues: &[QueueSettings]) {
        let mut kept = self.kept.borrow().clone();
        kept.extend(queues.iter().map(|queue| (queue.name.clone(), queue.retention)));
        change(&self.kept, kept);
    }

    /// What the admin port goes by, which it needs before anything else runs.
    pub(super) fn configure(&self, settings: &Settings) {
        change(&self.tokens, settings.admin.tokens.clone());
        let (queues, schedules) = (settings.queues.clone(), settings.schedules.clone());
        let heap = settings.profiling.heap;
        let before = self.configured.send_replace(Configured { queues, schedules, heap }).heap;
        if heap != before {
            sample_allocations(heap);
        }
    }
}

/// Switches heap profiling as the file has it. What somebody switched over the port stays until the file says
/// something else.
fn sample_allocations(wanted: HeapProfiling) {
    let switched = match wanted {
        HeapProfiling::On => heap::activate(),
        HeapProfiling::Armed | HeapProfiling::Off => heap::deactivate(),
    };
    // Where there is nothing that samples, nothing has to be switched off.
    if let (Err(error), HeapProfiling::On) = (switched, wanted) {
        tracing::warn!("profiling.heap is \"on\", and nothing is sampled: {error}");
    }
}

/// Tells nobody of what is as it was.
fn change<T: PartialEq>(told: &watch::Sender<T>, new: T) {
    told.send_if_modified(|old| {
        let differs = *old != new;
        if differs {
            *old = new;
        }
        differs
    });
}

fn called(settings: &Settings) -> Vec<SqlSettings> {
    let of = |handler: &HandlerSettings| match handler {
        HandlerSettings::Sql(settings) => Some(settings.clone()),
        _ => None,
    };
    settings.kinds.iter().filter_map(|kind| of(&kind.handler)).collect()
}
