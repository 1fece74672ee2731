//! What is recorded: moments in nanoseconds of the recorder's clock.

use crate::job::{ClaimedJob, JobId, KindName, QueueName};
use std::sync::Arc;

/// Something that happened on one thread.
#[derive(Debug)]
pub(super) enum Event {
    /// A task was polled; `flow` is the wake-up that led to it, where that was seen.
    Poll { task: u64, job: Option<JobId>, flow: u64, began: u64, ended: u64 },
    /// An attempt was polled, by its worker.
    Attempt { job: Subject, began: u64, ended: u64 },
    /// A task was woken.
    Wake { task: u64, flow: u64, began: u64, ended: u64 },
    /// From now on a task waits there, or nowhere that has a name.
    Place { task: u64, place: Option<&'static str>, process: u32, at: u64 },
    /// A task was started.
    Started { task: u64, name: Arc<str>, at: u64 },
    /// A job came to this phase.
    Phase { job: Subject, phase: Phase, outcome: &'static str, at: u64 },
}

impl Event {
    /// When it was over.
    pub(super) fn ended(&self) -> u64 {
        match self {
            Self::Poll { ended, .. } | Self::Attempt { ended, .. } | Self::Wake { ended, .. } => {
                *ended
            }
            Self::Place { at, .. } | Self::Started { at, .. } | Self::Phase { at, .. } => *at,
        }
    }
}

/// How far a job is, in the daemon that claimed it. Each lasts until the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The claim was answered: it goes to the dispatcher and waits for its limits.
    Claimed,
    /// It lies in the hand-off and waits for a worker.
    Queued,
    /// A worker has taken it.
    Started,
    /// Its handler runs.
    Handler,
    /// What becomes of it is decided, and waits to be written.
    Verdict,
    /// That is written, or was refused.
    Flushed,
}

impl Phase {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Handler => "handler",
            Self::Verdict => "verdict",
            Self::Flushed => "flushed",
        }
    }
}

/// Which attempt of which job: nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The job.
    pub job: JobId,
    /// Tells one claim of it from the next.
    pub token: i64,
    /// The attempt's number, from 1; 0 where it isn't known.
    pub attempt: u16,
    /// What runs it, where that is known.
    pub kind: Option<KindName>,
    /// Where it waited.
    pub queue: QueueName,
}

impl From<&ClaimedJob> for Subject {
    fn from(job: &ClaimedJob) -> Self {
        Self {
            job: job.lease.job,
            token: job.lease.token,
            attempt: job.attempt(),
            kind: Some(job.kind.clone()),
            queue: job.queue.clone(),
        }
    }
}

impl Subject {
    /// What it is called where people see it.
    pub(super) fn name(&self) -> &str {
        self.kind.as_ref().map_or("job", KindName::as_str)
    }
}
