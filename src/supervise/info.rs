//! A task as people see it.

use super::{ExitPolicy, LastError, Stay, WaitPoint, component, registry::Task};
use crate::job::JobId;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

/// What a task does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It was never polled yet.
    Starting,
    /// Its thread works for it. One that does for long blocks its thread.
    Running,
    /// It waits.
    Waiting,
    /// It failed and waits for its next life.
    Restarting,
}

impl TaskState {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Restarting => "restarting",
        }
    }
}

/// One task, or a thread beside them.
#[derive(Debug, Clone)]
pub struct TaskInfo {
    task: Arc<Task>,
    /// When it was started.
    pub since: Instant,
    /// How often it was started again.
    pub restarts: u32,
    /// What it does.
    pub state: TaskState,
    /// How long ago it was polled last; nothing before the first time.
    pub last_run: Option<Duration>,
    /// Where it waits, where it has told.
    pub stay: Option<Stay>,
    /// For how long it has been in one step, where that is longer than it may.
    pub late: Option<Duration>,
    /// What went wrong last.
    pub last_error: Option<LastError>,
    /// The job that it runs.
    pub job: Option<JobId>,
}

impl TaskInfo {
    pub(super) fn of(task: Arc<Task>) -> Self {
        let (at, stay) = (&task.at, task.at.stay());
        let polled = at.polled();
        let state = match (stay, polled) {
            (_, None) => TaskState::Starting,
            (_, Some((_, true))) => TaskState::Running,
            (Some(Stay { place: WaitPoint::Restart, .. }), _) => TaskState::Restarting,
            _ => TaskState::Waiting,
        };
        Self {
            since: task.since,
            restarts: task.restarts.load(Relaxed),
            state,
            last_run: polled.map(|(ago, _)| ago),
            stay,
            late: task.steps.as_ref().and_then(|steps| steps.late()),
            last_error: at.last_error(),
            job: at.job(),
            task,
        }
    }

    /// Its number, which no other task of this daemon has had.
    pub fn id(&self) -> u64 {
        self.task.id
    }

    /// Its name, `room[queue]#n`.
    pub fn name(&self) -> &str {
        &self.task.name
    }

    /// Its name without what tells it from others like it.
    pub fn component(&self) -> &str {
        component(self.name())
    }

    /// What its unasked end means; nothing of a thread, which isn't the supervisor's.
    pub fn policy(&self) -> Option<ExitPolicy> {
        self.task.policy
    }
}
