//! What a handler is told about its attempt: the job, its limits, and when to stop.

use crate::{job::ClaimedJob, telemetry::Origin};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Why an attempt was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled the job.
    Cancelled,
    /// The daemon shuts down.
    Shutdown,
    /// The lease could not be renewed in time; whatever this attempt does is no longer ours.
    LeaseLost,
}

/// The limits under which an attempt runs.
#[derive(Debug, Clone, Copy)]
pub struct AttemptLimits {
    /// The whole time that it has.
    pub timeout: Duration,
    /// Attempts that the job has in all.
    pub max_attempts: u16,
}

/// One attempt, as its handler sees it.
#[derive(Debug)]
pub struct Context {
    job: ClaimedJob,
    limits: AttemptLimits,
    deadline: Instant,
    token: CancellationToken,
    origin: Option<Arc<Origin>>,
    /// Made when somebody reports or asks: few handlers do, and a channel for each attempt was a
    /// tenth of what a no-op job cost the daemon.
    progress: OnceLock<watch::Sender<Option<String>>>,
}

impl Context {
    /// Starts the clock of an attempt. `token` is cancelled when it has to stop.
    pub fn new(job: ClaimedJob, limits: AttemptLimits, token: CancellationToken) -> Self {
        let far = Duration::from_hours(365 * 24);
        let deadline = Instant::now() + limits.timeout.min(far);
        let origin = Origin::shared(job.metadata.as_deref());
        Self { job, limits, deadline, token, origin, progress: OnceLock::new() }
    }

    /// Gives the job back once its attempt is over.
    pub fn into_job(self) -> ClaimedJob {
        self.job
    }

    /// The job.
    pub fn job(&self) -> &ClaimedJob {
        &self.job
    }

    /// The trace, the request and the user that its producer named.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        self.origin.as_ref()
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u16 {
        self.job.attempt()
    }

    /// How many attempts the job has.
    pub fn max_attempts(&self) -> u16 {
        self.limits.max_attempts
    }

    /// Whether a failure now is the last.
    pub fn is_final_attempt(&self) -> bool {
        self.attempt() >= self.limits.max_attempts
    }

    /// The whole time that the attempt has.
    pub fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// When its time is up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Cancelled when the attempt has to stop.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.token
    }

    /// Shows to downstream systems which attempt is writing; later attempts have higher tokens.
    pub fn lease_token(&self) -> i64 {
        self.job.lease.token
    }

    /// Says how far the work is; the last word counts and is shown with the running job.
    pub fn report_progress(&self, progress: impl Into<String>) {
        self.progress_sender().send_replace(Some(progress.into()));
    }

    /// What was last reported.
    pub fn progress(&self) -> watch::Receiver<Option<String>> {
        self.progress_sender().subscribe()
    }

    fn progress_sender(&self) -> &watch::Sender<Option<String>> {
        self.progress.get_or_init(|| watch::Sender::new(None))
    }
}
