//! Which tasks run: the list behind shutdown's waiting, the metrics, the leak check and readiness.

use super::Steps;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::AbortHandle, time::Instant};

/// The tasks that run. Invariant: a task is in it exactly once, from before its first poll until
/// after its last.
#[derive(Debug, Default)]
pub struct Registry {
    tasks: Mutex<Tasks>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    running: BTreeMap<u64, Task>,
}

#[derive(Debug)]
struct Task {
    name: String,
    since: Instant,
    restarts: u32,
    steps: Option<Arc<Steps>>,
    abort: Option<AbortHandle>,
}

/// One task, as people see it.
#[derive(Debug, Clone)]
pub struct TaskInfo {
    /// Its name, `room[queue]#n`.
    pub name: String,
    /// When it was started.
    pub since: Instant,
    /// How often it was started again.
    pub restarts: u32,
}

/// Takes the task off the list when it is dropped, however the task ended.
pub(super) struct Entry {
    registry: Arc<Registry>,
    id: u64,
}

impl Entry {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().running.remove(&self.id);
        self.registry.changed.send_modify(|count| *count += 1);
    }
}

/// What metrics call a task: `claimer[default/all]` and `worker[default]#7` without what tells one
/// from the next.
pub(super) fn component(name: &str) -> &str {
    name.split(['[', '#']).next().unwrap_or_default()
}

impl Registry {
    pub(super) fn enter(self: &Arc<Self>, name: &str, steps: Option<Arc<Steps>>) -> Entry {
        let mut tasks = self.lock();
        tasks.next += 1;
        let id = tasks.next;
        let (name, since) = (name.into(), Instant::now());
        let task = Task { name, since, restarts: 0, steps, abort: None };
        tasks.running.insert(id, task);
        Entry { registry: Arc::clone(self), id }
    }

    pub(super) fn owns(&self, id: u64, abort: AbortHandle) {
        if let Some(task) = self.lock().running.get_mut(&id) {
            task.abort = Some(abort);
        }
    }

    pub(super) fn restarted(&self, id: u64) {
        if let Some(task) = self.lock().running.get_mut(&id) {
            task.restarts += 1;
        }
    }

    pub(super) fn abort(&self, prefix: &str) {
        for task in self.lock().running.values().filter(|task| task.name.starts_with(prefix)) {
            if let Some(abort) = &task.abort {
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

    /// How many tasks run, by component.
    pub(super) fn census(&self) -> BTreeMap<String, u32> {
        let mut components = BTreeMap::new();
        for task in self.lock().running.values() {
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
        let late = |task: &Task| Some((task.name.clone(), task.steps.as_ref()?.late()?));
        self.lock().running.values().filter_map(late).collect()
    }

    pub(super) fn tasks(&self) -> Vec<TaskInfo> {
        let shown = |task: &Task| TaskInfo {
            name: task.name.clone(),
            since: task.since,
            restarts: task.restarts,
        };
        self.lock().running.values().map(shown).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
