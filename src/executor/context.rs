//! What a handler is told about its attempt: the job, its limits, and when to stop.

use crate::{
    job::ClaimedJob,
    telemetry::{
        Origin,
        spans::{AttemptSpan, Tracer},
    },
};
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

/// What came first to an attempt that hears its verdict from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// It was told to stop.
    Stopped(Stop),
    /// It has its verdict, and whoever gave it was told that it counts.
    Decided,
}

/// What an attempt was told: the reason why it has to stop, and whether its lease is lost meanwhile; or that it is
/// decided, and no stop counts any more.
#[derive(Debug, Default)]
pub struct StopOrder {
    first: OnceLock<First>,
    lost: CancellationToken,
}

impl StopOrder {
    /// Gives the order. The first reason counts, and none for an attempt that is decided; a lost lease is heard whenever
    /// it comes.
    pub fn give(&self, why: Stop) {
        // A second reason changes nothing: the attempt is already stopping, or has its verdict.
        self.first.set(First::Stopped(why)).ok();
        if why == Stop::LeaseLost {
            self.lost.cancel();
        }
    }

    /// The attempt ends by the verdict that it has, whatever it is told from now on; `false` where it was told to stop
    /// before, and the verdict comes too late.
    pub fn decide(&self) -> bool {
        self.first.set(First::Decided).is_ok()
    }

    /// Why it has to stop, if it has to.
    pub fn reason(&self) -> Option<Stop> {
        match self.first.get()? {
            First::Stopped(why) => Some(*why),
            First::Decided => None,
        }
    }

    /// Waits until the lease is lost.
    pub(super) async fn lease_lost(&self) {
        self.lost.cancelled().await;
    }
}

/// Where a handler can see why its attempt has to stop.
pub trait Stopped: std::fmt::Debug + Send + Sync {
    /// The reason, once there is one.
    fn reason(&self) -> Option<Stop>;

    /// As [`StopOrder::decide`] has it.
    fn decide(&self) -> bool;
}

/// The limits under which an attempt runs.
#[derive(Debug, Clone, Copy)]
pub struct AttemptLimits {
    /// The whole time that it has.
    pub timeout: Duration,
    /// Attempts that the job has in all.
    pub max_attempts: u16,
    /// Longest that its handler may take to stop once the lease is lost, whatever grace it asks for:
    /// soon after, another daemon may start the job.
    pub grace_without_lease: Duration,
}

/// One attempt, as its handler sees it. Clones share it and are cheap.
#[derive(Debug, Clone)]
pub struct Context {
    job: Arc<ClaimedJob>,
    limits: AttemptLimits,
    deadline: Instant,
    token: CancellationToken,
    origin: Option<Arc<Origin>>,
    span: Option<Arc<AttemptSpan>>,
    stopped: Option<Arc<dyn Stopped>>,
    /// Made when somebody reports or asks: few handlers do, and a channel for each attempt was a
    /// tenth of what a no-op job cost the daemon.
    progress: Arc<Progress>,
}

/// How far an attempt is, in its handler's words.
#[derive(Debug, Default)]
pub struct Progress(OnceLock<watch::Sender<Option<String>>>);

impl Progress {
    /// What was last reported.
    pub fn last(&self) -> Option<String> {
        self.0.get()?.borrow().clone()
    }

    fn sender(&self) -> &watch::Sender<Option<String>> {
        self.0.get_or_init(|| watch::Sender::new(None))
    }
}

impl Context {
    /// Starts the clock of an attempt. `token` is cancelled when it has to stop.
    pub fn new(job: ClaimedJob, limits: AttemptLimits, token: CancellationToken) -> Self {
        let far = Duration::from_hours(365 * 24);
        let deadline = Instant::now() + limits.timeout.min(far);
        let origin = Origin::shared(job.metadata.as_deref());
        let (job, progress) = (Arc::new(job), Arc::default());
        Self { job, limits, deadline, token, origin, span: None, stopped: None, progress }
    }

    /// Whoever stops the attempt says there why.
    #[must_use]
    pub fn stopped_by(mut self, stopped: Arc<dyn Stopped>) -> Self {
        self.stopped = Some(stopped);
        self
    }

    /// Begins the attempt's span: its trace is now what the attempt is told of, in the producer's place.
    #[must_use]
    pub fn traced_by(mut self, tracer: &Tracer) -> Self {
        let span = Arc::new(tracer.attempt(&self.job, self.origin.as_deref()));
        self.origin = Some(Arc::clone(span.origin()));
        self.span = Some(span);
        self
    }

    /// The attempt's span, where spans are made.
    pub fn span(&self) -> Option<&Arc<AttemptSpan>> {
        self.span.as_ref()
    }

    /// Gives the job back once its attempt is over.
    pub fn into_job(self) -> ClaimedJob {
        Arc::unwrap_or_clone(self.job)
    }

    /// The job.
    pub fn job(&self) -> &ClaimedJob {
        &self.job
    }

    /// The trace, the request and the user that its producer named; where spans are made, the attempt's
    /// own place in its trace.
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

    /// Longest that its handler may take to stop once the lease is lost.
    pub(super) fn grace_without_lease(&self) -> Duration {
        self.limits.grace_without_lease
    }

    /// Whether its time is up.
    pub fn is_overdue(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// When its time is up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Cancelled when the attempt has to stop.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.token
    }

    /// Why it has to stop, as far as whoever stops it has said.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.stopped.as_ref()?.reason()
    }

    /// The attempt ends by the verdict that it has, if it wasn't told to stop before. Whoever is to be told that a verdict
    /// counts is told so behind this, and then nothing may be waited for.
    pub(super) fn decide(&self) -> bool {
        self.stopped.as_ref().is_none_or(|stopped| stopped.decide())
    }

    /// Shows to downstream systems which attempt is writing; later attempts have higher tokens.
    pub fn lease_token(&self) -> i64 {
        self.job.lease.token
    }

    /// Says how far the work is; the last word counts and is shown with the running job.
    pub fn report_progress(&self, progress: impl Into<String>) {
        self.progress.sender().send_replace(Some(progress.into()));
    }

    /// What was last reported.
    pub fn progress(&self) -> watch::Receiver<Option<String>> {
        self.progress.sender().subscribe()
    }

    /// The same for who only looks now and then, without a channel where nothing is reported.
    pub fn progress_so_far(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}
