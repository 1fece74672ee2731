//! Which tasks run: the list behind shutdown's waiting, the metrics, the leak check and readiness.

use super::{
    ExitPolicy, Steps, WaitPoint, info::TaskInfo, recorded::Track, whereabouts::Whereabouts,
};
use crate::trace::{PROCESSES, Recorder};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, task::AbortHandle, time::Instant};

/// The tasks that run. Invariant: a task is in it exactly once, from before its first poll until
/// after its last.
#[derive(Debug, Default)]
pub struct Registry {
    tasks: Mutex<Tasks>,
    changed: watch::Sender<u64>,
    pub(super) recorder: Arc<Recorder>,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    running: BTreeMap<u64, Arc<Task>>,
}

/// One task. Shared, so that whoever shows thousands of them holds the lock for a copy of the list.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) name: String,
    /// None where it is a thread beside the runtime.
    pub(super) policy: Option<ExitPolicy>,
    pub(super) since: Instant,
    pub(super) restarts: AtomicU32,
    pub(super) steps: Option<Arc<Steps>>,
    pub(super) at: Arc<Whereabouts>,
    abort: OnceLock<AbortHandle>,
}

/// Takes the task off the list when it is dropped, however the task ended.
pub(super) struct Entry {
    registry: Arc<Registry>,
    task: Arc<Task>,
}

impl Entry {
    pub(super) fn task(&self) -> &Arc<Task> {
        &self.task
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.at.track.waits(WaitPoint::Unnamed, 0);
        self.registry.lock().running.remove(&self.task.id);
        self.registry.changed.send_modify(|count| *count += 1);
    }
}

/// What metrics call a task: `claimer[default/all]` and `worker[default]#7` without what tells one
/// from the next.
pub fn component(name: &str) -> &str {
    name.split(['[', '#']).next().unwrap_or_default()
}

impl Registry {
    pub(super) fn enter(
        self: &Arc<Self>,
        name: String,
        policy: Option<ExitPolicy>,
        steps: Option<Arc<Steps>>,
    ) -> Entry {
        self.enter_on(&self.recorder, (name, policy, steps))
    }

    /// Of a task that has no row of its own in a trace: there are several for each request.
    pub(super) fn enter_unrecorded(self: &Arc<Self>, name: String) -> Entry {
        self.enter_on(&Arc::default(), (name, Some(ExitPolicy::Log), None))
    }

    fn enter_on(
        self: &Arc<Self>,
        recorder: &Arc<Recorder>,
        (name, policy, steps): (String, Option<ExitPolicy>, Option<Arc<Steps>>),
    ) -> Entry {
        let (restarts, abort) = (AtomicU32::new(0), OnceLock::new());
        let since = Instant::now();
        let mut tasks = self.lock();
        tasks.next += 1;
        let id = PROCESSES + tasks.next;
        let track = Track::of(recorder, id, &name);
        let at = Arc::new(Whereabouts::on(track, Arc::downgrade(self)));
        let task = Task { id, name, policy, since, restarts, steps, at, abort };
        let task = Arc::new(task);
        tasks.running.insert(id, Arc::clone(&task));
        Entry { registry: Arc::clone(self), task }
    }

    pub(super) fn abort(&self, prefix: &str) {
        for task in self.lock().running.values().filter(|task| task.name.starts_with(prefix)) {
            if let Some(abort) = task.abort.get() {
                abort.abort();
            }
        }
    }

    pub(super) async fn until_none(&self, prefix: &str) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if !self.lock().running.values().any(|task| task.name.starts_with(prefix)) {
                return;
            }
            // The sender is ours, so this can't fail while we are here.
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many tasks run in the runtime, by component.
    pub(super) fn census(&self) -> BTreeMap<String, u32> {
        let mut components = BTreeMap::new();
        for task in self.lock().running.values().filter(|task| task.policy.is_some()) {
            let component = component(&task.name);
            match components.get_mut(component) {
                Some(tasks) => *tasks += 1,
                None => drop(components.insert(component.to_owned(), 1)),
            }
        }
        components
    }

    /// Which loops have been in one step for longer than they may, and for how long.
    pub(super) fn late(&self) -> Vec<(String, Duration)> {
        let late = |task: &Arc<Task>| Some((task.name.clone(), task.steps.as_ref()?.late()?));
        self.lock().running.values().filter_map(late).collect()
    }

    /// Every task, the oldest first. What is told of each is gathered once the list is free again.
    pub(super) fn tasks(&self) -> Vec<TaskInfo> {
        let tasks: Vec<_> = self.lock().running.values().cloned().collect();
        tasks.into_iter().map(TaskInfo::of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    pub(super) fn owned_by(&self, abort: AbortHandle) {
        // A task is spawned once.
        self.abort.set(abort).ok();
    }

    pub(super) fn was_restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }
}
