//! A verdict on its way to the database, and the channel that it takes.

use super::Part;
use crate::{
    job::{Cause, ClaimedJob, FailedAttempt, KindName, Lease, Place, QueueName, Ruling, Verdict},
    supervise::{self, WaitPoint, at},
    telemetry::{
        Origin,
        logs::JobScope,
        metrics::{AttemptEnd, JobMetrics},
        spans::{AttemptSpan, CallSpan},
    },
    trace::Subject,
};
use std::{any::Any, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Verdicts that may wait: eight full flushes, enough to ride out one slow commit. A full channel
/// makes workers wait with their slots, and so stops claiming.
pub(crate) const VERDICT_CAPACITY: usize = 4096;

/// What becomes of one job, with all that writing it down takes.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Proves that the attempt is ours.
    pub lease: Lease,
    /// Where its row lay when it was claimed.
    pub place: Option<Place>,
    /// Decides how long history keeps it.
    pub queue: QueueName,
    /// What runs it, where that is known.
    pub kind: Option<KindName>,
    /// Where it comes from, for log lines.
    pub origin: Option<Arc<Origin>>,
    /// Ends once it is written, where its attempt is sampled.
    pub span: Option<Arc<CallSpan>>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The record of the failure, where there is one.
    pub failure: Option<FailedAttempt>,
    /// The attempt's number, from 1.
    pub attempt: u16,
    /// Whether the attempt counts.
    pub charged: bool,
    /// How long it ran, where it did.
    pub took: Option<Duration>,
    /// Where it is counted once it is durable.
    pub metrics: Option<Arc<JobMetrics>>,
    /// Dropped once it is written: a slot that mustn't be free before.
    pub keeps: Option<Arc<dyn Any + Send + Sync>>,
}

impl Settled {
    /// A job that ran.
    pub fn ran(job: &ClaimedJob, ruling: Ruling, took: Duration, metrics: Arc<JobMetrics>) -> Self {
        let charged = match ruling.verdict {
            Verdict::Complete { .. } | Verdict::Retry { .. } | Verdict::Written => true,
            Verdict::Discard { .. } => ruling.failure.is_some(),
            Verdict::Cancel
            | Verdict::Snooze { .. }
            | Verdict::Park { .. }
            | Verdict::Release
            | Verdict::Late => false,
        };
        Self {
            lease: job.lease,
            place: job.place,
            queue: job.queue.clone(),
            kind: Some(job.kind.clone()),
            origin: None,
            span: None,
            verdict: ruling.verdict,
            failure: ruling.failure,
            attempt: job.attempt(),
            charged,
            took: Some(took),
            metrics: Some(metrics),
            keeps: None,
        }
    }

    /// From now on the verdict waits to be written. Where it is already there is nothing to be told of.
    #[must_use]
    pub fn traced_by(self, attempt: &AttemptSpan) -> Self {
        let waits = Part::of(&self.verdict) != Part::Nothing;
        let settling = || attempt.settling(&self.queue, self.lease.job);
        Self { span: waits.then(settling).flatten(), ..self }
    }

    /// A job that didn't run.
    pub fn unstarted(job: &ClaimedJob, verdict: Verdict, metrics: Option<Arc<JobMetrics>>) -> Self {
        Self {
            lease: job.lease,
            place: job.place,
            queue: job.queue.clone(),
            kind: Some(job.kind.clone()),
            origin: Origin::shared(job.metadata.as_deref()),
            span: None,
            verdict,
            failure: None,
            attempt: job.attempt(),
            charged: false,
            took: None,
            metrics,
            keeps: None,
        }
    }

    /// Whom a trace shows.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            job: self.lease.job,
            token: self.lease.token,
            attempt: self.attempt,
            kind: self.kind.clone(),
            queue: self.queue.clone(),
        }
    }

    /// Whom lines about it name.
    pub fn scope(&self) -> JobScope {
        JobScope {
            id: self.lease.job,
            kind: self.kind.clone(),
            queue: self.queue.clone(),
            attempt: self.attempt,
            max_attempts: None,
            origin: self.origin.clone(),
        }
    }

    /// How long it ran, for a column.
    pub fn duration_ms(&self) -> Option<i32> {
        self.took.map(milliseconds)
    }

    /// For a line.
    pub fn fractional_ms(&self) -> Option<f64> {
        self.took.map(|took| took.as_secs_f64() * 1e3)
    }

    /// How metrics and logs call its end.
    pub fn end(&self) -> AttemptEnd {
        let timed_out = self.failure.as_ref().is_some_and(|f| f.cause == Cause::TimedOut);
        AttemptEnd::of(&self.verdict, timed_out)
    }
}

/// As history has it: as many as its column holds.
pub fn milliseconds(took: Duration) -> i32 {
    i32::try_from(took.as_millis()).unwrap_or(i32::MAX)
}

/// The workers' end of the channel.
#[derive(Debug, Clone)]
pub struct Verdicts(mpsc::Sender<Settled>);

impl Verdicts {
    /// Waits until the completer has accepted the verdict, then frees the job's slot.
    pub async fn settle<Slot>(&self, settled: Settled, slot: Slot) {
        // Refused only when the completer is gone, at the very end: the lease then runs out, and
        // the job is among the orphans that shutdown names.
        drop(at(WaitPoint::ChannelSend, supervise::waiting(self.0.send(settled))).await);
        drop(slot);
    }
}

impl Verdicts {
    /// Gives back a job whose handler was ended before it could decide.
    pub async fn release(&self, lease: Lease, about: JobScope) {
        let settled = Settled {
            lease,
            place: None,
            queue: about.queue,
            kind: about.kind,
            origin: about.origin,
            span: None,
            verdict: Verdict::Release,
            failure: None,
            attempt: about.attempt,
            charged: false,
            took: None,
            metrics: None,
            keeps: None,
        };
        self.settle(settled, ()).await;
    }
}

/// Makes the channel.
pub fn verdict_channel() -> (Verdicts, mpsc::Receiver<Settled>) {
    let (sender, receiver) = mpsc::channel(VERDICT_CAPACITY);
    (Verdicts(sender), receiver)
}
