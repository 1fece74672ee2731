//! Starts every task there is: each has a name, an owner and a declared end.
//!
//! A task that ends when nobody asked it to is a fault, and its policy says what follows: start it
//! again within a budget, or shut the daemon down. Panics are caught here, so that one loop's bug
//! can't take another loop along. The registry tells who runs, for how long and how often again.
//!
//! It doesn't decide when the daemon stops: it says that something failed, and the daemon acts.

mod census;
mod registry;

pub use registry::{Registry, TaskInfo};

use crate::telemetry::{events, metrics::Metrics};
use futures::FutureExt;
use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

/// What a task's unasked end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitPolicy {
    /// The daemon can't go on without it.
    Shutdown,
    /// Start it again; when the budget is used up, as `Shutdown`.
    Restart,
    /// Say so and go on without it.
    Log,
}

/// Restarts that one task may have within [`RESTART_WINDOW`]. A loop that fails more often than
/// this isn't hit by chance, and a supervisor above us (systemd, Kubernetes) starts all of it anew.
pub const RESTART_BUDGET: usize = 5;
/// See [`RESTART_BUDGET`].
pub const RESTART_WINDOW: Duration = Duration::from_mins(1);
/// Wait before the first restart; it doubles with each further one in the window.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Owns every task of one daemon. Clones share it.
#[derive(Debug, Clone)]
pub struct Supervisor {
    registry: Arc<Registry>,
    stopping: Arc<watch::Sender<bool>>,
    failed: Arc<watch::Sender<Option<String>>>,
    metrics: Option<Arc<Metrics>>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            registry: Arc::default(),
            stopping: Arc::new(watch::Sender::new(false)),
            failed: Arc::new(watch::Sender::new(None)),
            metrics: None,
        }
    }
}

impl Supervisor {
    /// A supervisor that shows its tasks, and what else lives in this runtime, in the metrics.
    pub fn shown_in(metrics: &Arc<Metrics>) -> Self {
        let supervisor = Self { metrics: Some(Arc::clone(metrics)), ..Self::default() };
        metrics.at_scrape(census::of(Arc::clone(&supervisor.registry)));
        supervisor
    }

    /// Starts a task. `make` makes its future, anew for each restart.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
    pub fn spawn<Make, Task>(&self, name: impl Into<String>, policy: ExitPolicy, make: Make)
    where
        Make: FnMut() -> Task + Send + 'static,
        Task: Future<Output = ()> + Send + 'static,
    {
        let name = name.into();
        let entry = self.registry.enter(&name);
        let supervisor = self.clone();
        let id = entry.id();
        let task = tokio::spawn(async move {
            supervisor.keep(&name, id, policy, make).await;
            drop(entry);
        });
        self.registry.owns(id, task.abort_handle());
    }

    /// From now on tasks may end.
    pub fn expect_ends(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until a task failed that the daemon can't go on without; gives its name.
    pub async fn failure(&self) -> String {
        let mut failed = self.failed.subscribe();
        // Cloned at once: a guard that is held over an await would keep the daemon's future from
        // being sent to another thread, and so from being spawned.
        let name = failed.wait_for(Option::is_some).await.map(|name| name.clone());
        match name {
            Ok(name) => name.unwrap_or_default(),
            // The sender lives in `self`, so this can't be; waiting is right all the same.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until no task with this prefix runs; `false` when the deadline came first.
    pub async fn ended(&self, prefix: &str, deadline: Instant) -> bool {
        timeout_at(deadline, self.registry.until_none(prefix)).await.is_ok()
    }

    /// Ends the tasks with this prefix where they stand.
    pub fn abort(&self, prefix: &str) {
        self.registry.abort(prefix);
    }

    /// Who runs.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.registry.tasks()
    }

    async fn keep<Make, Task>(&self, name: &str, id: u64, policy: ExitPolicy, mut make: Make)
    where
        Make: FnMut() -> Task,
        Task: Future<Output = ()>,
    {
        let mut restarts: Vec<Instant> = Vec::new();
        loop {
            let end = AssertUnwindSafe(async { make().await }).catch_unwind().await;
            if *self.stopping.borrow() && end.is_ok() {
                return;
            }
            let how = if end.is_ok() { "ended" } else { "panicked" };
            let now = Instant::now();
            restarts.retain(|at| now.duration_since(*at) < RESTART_WINDOW);
            if policy == ExitPolicy::Log {
                tracing::error!(
                    event = events::TASK_FAILED,
                    task = name,
                    how,
                    "a task {how}; the daemon goes on without it"
                );
                return;
            }
            if policy == ExitPolicy::Shutdown || restarts.len() >= RESTART_BUDGET {
                tracing::error!(
                    event = events::TASK_FAILED,
                    task = name,
                    how,
                    "a task {how} that the daemon can't go on without"
                );
                self.failed.send_replace(Some(name.to_owned()));
                return;
            }
            tracing::warn!(
                event = events::TASK_RESTARTED,
                task = name,
                how,
                "a task {how} and is started again"
            );
            sleep(RESTART_PAUSE * 2u32.pow(u32::try_from(restarts.len()).unwrap_or(0))).await;
            restarts.push(now);
            self.registry.restarted(id);
            if let Some(metrics) = &self.metrics {
                let reason = if end.is_ok() { "exit" } else { "panic" };
                metrics.worker_restarts(registry::component(name), reason).increment(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
