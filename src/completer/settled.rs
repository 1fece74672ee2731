//! A verdict on its way to the database, and the channel that it takes.

use super::Part;
use crate::{
    job::{
        Cause, ClaimedJob, FailedAttempt, JobResult, KindName, Lease, Place, QueueName, Ruling,
        Verdict,
    },
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
use tokio::sync::{Semaphore, mpsc};

/// Verdicts that may wait: eight full flushes, enough to ride out one slow commit. A full channel
/// makes workers wait with their slots, and so stops claiming.
pub(crate) const VERDICT_CAPACITY: usize = 4096;

/// Kibibytes of results that may wait to be written. Beyond it workers wait with their slots, as where the channel is full:
/// what runs fast and leaves much would else fill the memory.
const RESULTS_MAX_KIB: u32 = 64 * 1024;
/// Results up to this many bytes aren't counted: of those the channel's capacity is bound enough.
const SMALL_RESULT_BYTES: usize = 4 * 1024;

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

    /// What the job leaves behind.
    pub fn result(&self) -> Option<&str> {
        let Verdict::Complete { result } = &self.verdict else { return None };
        result.as_ref().map(JobResult::as_str)
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
pub struct Verdicts {
    sender: mpsc::Sender<Settled>,
    results: Arc<Semaphore>,
}

impl Verdicts {
    /// Waits until the completer has accepted the verdict, then frees the job's slot.
    pub async fn settle<Slot>(&self, mut settled: Settled, slot: Slot) {
        if let Some(kib) = large(&settled) {
            // Nobody closes it. The place is there until the result is written.
            let room = Arc::clone(&self.results).acquire_many_owned(kib);
            let room = at(WaitPoint::ChannelSend, supervise::waiting(room)).await.ok();
            settled.keeps = Some(Arc::new((room, settled.keeps.take())));
        }
        // Refused only when the completer is gone, at the very end: the lease then runs out, and
        // the job is among the orphans that shutdown names.
        drop(at(WaitPoint::ChannelSend, supervise::waiting(self.sender.send(settled))).await);
        drop(slot);
    }

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

/// How many kibibytes a result has, where they count.
fn large(settled: &Settled) -> Option<u32> {
    let bytes = settled.result().map_or(0, str::len);
    let kib = || u32::try_from(bytes.div_ceil(1024)).unwrap_or(RESULTS_MAX_KIB);
    (bytes > SMALL_RESULT_BYTES).then(|| kib().min(RESULTS_MAX_KIB))
}

/// Makes the channel.
pub fn verdict_channel() -> (Verdicts, mpsc::Receiver<Settled>) {
    let (sender, receiver) = mpsc::channel(VERDICT_CAPACITY);
    let results = Arc::new(Semaphore::new(RESULTS_MAX_KIB as usize));
    (Verdicts { sender, results }, receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;
    use futures::FutureExt;

    fn leaving(bytes: usize) -> Settled {
        let job = ClaimedJob::new(
            Lease { job: JobId(1), token: 1, holder: 1 },
            QueueName::default(),
            KindName::new("k").expect("a name"),
            "{}",
        );
        let result = JobResult::new(format!("\"{}\"", "x".repeat(bytes - 2)));
        let verdict = Verdict::Complete { result };
        Settled::unstarted(&job, verdict, None)
    }

    #[tokio::test]
    async fn large_results_that_wait_are_bounded_and_small_ones_pass() {
        let (verdicts, mut inbox) = verdict_channel();
        for _ in 0..RESULTS_MAX_KIB / 1024 {
            verdicts.settle(leaving(1024 * 1024), ()).await;
        }
        let mut next = Box::pin(verdicts.settle(leaving(SMALL_RESULT_BYTES + 1), ()));
        assert!(next.as_mut().now_or_never().is_none(), "there is no room");
        verdicts.settle(leaving(SMALL_RESULT_BYTES), ()).await;
        let written = inbox.recv().await;
        assert!(next.as_mut().now_or_never().is_none(), "it isn't written yet");
        drop(written);
        next.await;
    }
}
