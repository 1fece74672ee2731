//! Starts every task there is: each has a name, an owner and a declared end.
//!
//! A task that ends when nobody asked it to is a fault, and its policy says what follows: start it
//! again within a budget, or shut the daemon down. Panics are caught here, so that one loop's bug
//! can't take another loop along. The registry tells who runs, for how long and how often again. A
//! loop with a limit for its steps is started again when it stands still, too.
//!
//! It doesn't decide when the daemon stops: it says that something failed, and the daemon acts.

mod beside;
mod census;
mod info;
mod recorded;
mod registry;
mod steps;
mod wait_point;
mod whereabouts;

pub use beside::{Work, http_client};
pub use info::{TaskInfo, TaskState};
pub use recorded::{is_traced, polled_for, traced};
pub use registry::{Registry, component};
pub use steps::{step, waiting};
pub use wait_point::WaitPoint;
pub use whereabouts::{At, LastError, Stay, Whereabouts, at, at_process, failed, here};

use crate::telemetry::{events, health::Check, metrics::Metrics};
use futures::FutureExt;
use registry::{Entry, Task};
use std::{any::Any, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use steps::Steps;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

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

impl ExitPolicy {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Restart => "restart",
            Self::Log => "log",
        }
    }
}

/// Restarts that one task may have within [`RESTART_WINDOW`]. A loop that fails more often than
/// this isn't hit by chance, and a supervisor above us (systemd, Kubernetes) starts all of it anew.
pub const RESTART_BUDGET: usize = 5;
/// See [`RESTART_BUDGET`].
pub const RESTART_WINDOW: Duration = Duration::from_mins(1);
/// Wait before the first restart; it doubles with each further one in the window.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Loops that a reason of readiness names.
const LATE_NAMED: usize = 5;

/// Owns every task of one daemon. Clones share it.
#[derive(Debug, Clone)]
pub struct Supervisor {
    registry: Arc<Registry>,
    stopping: Arc<watch::Sender<bool>>,
    failed: Arc<watch::Sender<Option<String>>>,
    metrics: Option<Arc<Metrics>>,
    /// Cancelled once what this one starts may end.
    leave: CancellationToken,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            registry: Arc::default(),
            stopping: Arc::new(watch::Sender::new(false)),
            failed: Arc::new(watch::Sender::new(None)),
            metrics: None,
            leave: CancellationToken::new(),
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

    /// The same one. A task that it starts may end once `leave` is cancelled, and isn't started again then.
    #[must_use]
    pub fn until(&self, leave: CancellationToken) -> Self {
        Self { leave, ..self.clone() }
    }

    /// For one task of those that it starts: cancelled once they may end, or by that task's own doing before.
    pub fn leave(&self) -> CancellationToken {
        self.leave.child_token()
    }

    /// Starts a task. `make` makes its future, anew for each restart.
    pub fn spawn<Make, Task>(&self, name: impl Into<String>, policy: ExitPolicy, make: Make)
    where
        Make: FnMut() -> Task + Send + 'static,
        Task: Future<Output = ()> + Send + 'static,
    {
        self.start(name.into(), policy, None, make);
    }

    /// Starts a loop with a watchdog. A step of it, see [`step`] and [`waiting`], that takes longer than
    /// `limit` is a reason of readiness; one that takes three times as long is ended where it stands, as
    /// if the loop had failed. So the limit is longer than every deadline in a step.
    pub fn spawn_watched<Make, Task>(
        &self,
        name: impl Into<String>,
        policy: ExitPolicy,
        limit: Duration,
        make: Make,
    ) where
        Make: FnMut() -> Task + Send + 'static,
        Task: Future<Output = ()> + Send + 'static,
    {
        self.start(name.into(), policy, Some(Steps::new(limit)), make);
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts tasks")]
    fn start<Make, Task>(
        &self,
        name: String,
        policy: ExitPolicy,
        steps: Option<Arc<Steps>>,
        make: Make,
    ) where
        Make: FnMut() -> Task + Send + 'static,
        Task: Future<Output = ()> + Send + 'static,
    {
        let entry = self.registry.enter(name, Some(policy), steps);
        let task = Arc::clone(entry.task());
        let (supervisor, at) = (self.clone(), Arc::clone(&task.at));
        let spawned = tokio::spawn(at.over(async move {
            supervisor.keep(entry.task(), policy, make).await;
            drop(entry);
        }));
        task.owned_by(spawned.abort_handle());
    }

    /// Shows a thread that has a runtime of its own among the tasks, as long as the value lives.
    pub fn thread(&self, name: &str) -> Thread {
        Thread(self.registry.enter(name.to_owned(), None, None))
    }

    /// Tells readiness of the loops that have been in one step for too long.
    pub fn tell_late(&self, check: &Check) {
        let late = self.registry.late();
        if late.is_empty() {
            return check.ok();
        }
        let named = late
            .iter()
            .take(LATE_NAMED)
            .map(|(name, taken)| format!("{name} has been in one step for {} s", taken.as_secs()));
        let mut reason = named.collect::<Vec<_>>().join(", ");
        if let Some(more) = late.len().checked_sub(LATE_NAMED).filter(|more| *more > 0) {
            reason = format!("{reason}, and {more} more");
        }
        check.failing(reason);
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

    /// Who runs, the oldest first.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.registry.tasks()
    }

    /// How many tasks live in the runtime that this is called in, and how many of them are ours. What is
    /// above ours was started by a library, or by a handler and forgotten.
    pub fn alive(&self) -> Alive {
        // Registered first: one that ends in between shows once too little rather than too much.
        let registered = self.registry.census().values().map(|tasks| *tasks as usize).sum();
        Alive { registered, tokio: Handle::current().metrics().num_alive_tasks() }
    }

    async fn keep<Make, Life>(&self, task: &Task, policy: ExitPolicy, mut make: Make)
    where
        Make: FnMut() -> Life,
        Life: Future<Output = ()>,
    {
        let name = task.name.as_str();
        let mut restarts: Vec<Instant> = Vec::new();
        loop {
            let (end, panic) = live(&mut make, task.steps.as_ref()).await;
            let asked = *self.stopping.borrow() || self.leave.is_cancelled();
            if asked && end == End::Returned {
                return;
            }
            task.at.failed(&end.in_words(panic.as_deref()));
            if let End::Stalled(stood) = end {
                // The time in which it stood still doesn't count, or who stands still again and again
                // would never use its budget up.
                for at in &mut restarts {
                    *at += stood;
                }
            }
            let now = Instant::now();
            restarts.retain(|at| now.duration_since(*at) < RESTART_WINDOW);
            if policy == ExitPolicy::Log {
                end.say_failed(name, "; the daemon goes on without it");
                return;
            }
            if policy == ExitPolicy::Shutdown || restarts.len() >= RESTART_BUDGET {
                end.say_failed(name, " that the daemon can't go on without");
                self.failed.send_replace(Some(name.to_owned()));
                return;
            }
            end.say_restarted(name);
            let pause = RESTART_PAUSE * 2u32.pow(u32::try_from(restarts.len()).unwrap_or(0));
            at(WaitPoint::Restart, sleep(pause)).await;
            restarts.push(now);
            task.was_restarted();
            if let Some(metrics) = &self.metrics {
                metrics.worker_restarts(component(name), end.reason()).increment(1);
            }
        }
    }
}

/// A thread that is shown among the tasks.
pub struct Thread(Entry);

impl Thread {
    /// Its work, which notes where it waits.
    pub async fn over<Work: Future>(self, work: Work) -> Work::Output {
        self.0.task().at.over(work).await
    }
}

/// The tasks of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive {
    /// Those that were started and haven't ended.
    pub tokio: usize,
    /// Those of them that the supervisor knows.
    pub registered: usize,
}

impl Alive {
    /// Those that nobody here knows.
    pub fn unregistered(self) -> usize {
        self.tokio.saturating_sub(self.registered)
    }
}

/// Runs a task to its end, whichever that is; gives what it said where it panicked.
async fn live<Make, Life>(
    make: &mut Make,
    steps: Option<&Arc<Steps>>,
) -> (End, Option<Box<dyn Any + Send>>)
where
    Make: FnMut() -> Life,
    Life: Future<Output = ()>,
{
    let life = async {
        let life = async { make().await };
        let Some(steps) = steps else {
            life.await;
            return None;
        };
        steps.watch(life).await.map(End::Stalled)
    };
    match AssertUnwindSafe(life).catch_unwind().await {
        Ok(stalled) => (stalled.unwrap_or(End::Returned), None),
        Err(panic) => (End::Panicked, Some(panic)),
    }
}

/// How a task came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Returned,
    Panicked,
    /// Its last step took this long and was ended.
    Stalled(Duration),
}

impl End {
    fn how(self) -> &'static str {
        match self {
            Self::Returned => "ended",
            Self::Panicked => "panicked",
            Self::Stalled(_) => "stalled",
        }
    }

    /// What is remembered of it.
    fn in_words(self, panic: Option<&(dyn Any + Send)>) -> String {
        match self {
            Self::Returned => "it ended, and nobody had asked it to".to_owned(),
            Self::Stalled(stood) => format!("it was in one step for {} s", stood.as_secs()),
            Self::Panicked => {
                let text = panic.and_then(|panic| {
                    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                    literal.or_else(|| panic.downcast_ref::<String>().cloned())
                });
                format!("it panicked: {}", text.unwrap_or_default())
            }
        }
    }

    /// What the metrics call it.
    fn reason(self) -> &'static str {
        match self {
            Self::Returned => "exit",
            Self::Panicked => "panic",
            Self::Stalled(_) => "stalled",
        }
    }

    fn step_seconds(self) -> Option<u64> {
        match self {
            Self::Stalled(stood) => Some(stood.as_secs()),
            Self::Returned | Self::Panicked => None,
        }
    }

    fn say_restarted(self, name: &str) {
        tracing::warn!(
            event = events::TASK_RESTARTED,
            task = name,
            how = self.how(),
            step_seconds = self.step_seconds(),
            "a task {} and is started again",
            self.how()
        );
    }

    fn say_failed(self, name: &str, then: &str) {
        tracing::error!(
            event = events::TASK_FAILED,
            task = name,
            how = self.how(),
            step_seconds = self.step_seconds(),
            "a task {}{then}",
            self.how()
        );
    }
}

#[cfg(test)]
mod tests;
