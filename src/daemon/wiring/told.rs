//! What of the settings tasks look up anew each time, since a reload may change it.

use crate::{
    config::{Kept, ScheduleSettings, Settings},
    postgres::Load,
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
}

impl Told {
    /// From now on this holds.
    pub(super) fn tell(&self, settings: &Settings, load: Load) {
        self.load.send_replace(load);
        let kept: Kept = settings.queues.iter().map(|q| (q.name.clone(), q.retention)).collect();
        let differs = |before: &mut Kept| std::mem::replace(before, kept.clone()) != kept;
        self.kept.send_if_modified(differs);
        self.schedules.send_replace(settings.schedules.clone());
        self.scheduler.notify_one();
    }
}
