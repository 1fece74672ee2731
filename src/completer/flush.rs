//! The completer's loop: gather, write, report.

use super::{Back, Batch, Final, Part, Settled, batch::Row};
use crate::{
    config::{Complete, Retentions},
    job::{JobId, QueueName, Verdict},
    supervise,
    telemetry::{
        events,
        health::Check,
        metrics::{AttemptEnd, FlushMetrics, LateReason, Metrics},
    },
};
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Why verdicts could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Nothing is wrong with the rows: the database is away, busy or restarting. The same rows can
    /// be written again; if they were written after all, the fence makes that a no-op.
    #[error("the database can't take verdicts now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database refuses these rows.
    #[error("the database refuses these verdicts")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where verdicts are written. Each call is one statement, and gives the jobs it changed.
pub trait OutcomeSink: Send + Sync + 'static {
    /// Records failed attempts.
    fn record(&self, rows: &[super::Failure])
    -> impl Future<Output = Result<(), SinkError>> + Send;
    /// Ends jobs.
    fn finish(
        &self,
        rows: &[super::Final],
    ) -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
    /// Puts jobs back to wait.
    fn put_back(
        &self,
        rows: &[super::Back],
    ) -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
    /// Gives jobs back as they were.
    fn release(
        &self,
        rows: &[Settled],
    ) -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
}

/// Wait after the first failed flush; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two tries of a flush: what a database that comes back costs at most.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long a job waits whose end history refuses: time for somebody to read the error line.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);

/// Gathers verdicts and writes them.
pub struct Completer<S> {
    sink: S,
    settings: Complete,
    retention: HashMap<QueueName, Retentions>,
    /// Locked by the one task that runs; behind a lock so that a restarted task finds both again.
    inbox: Mutex<(mpsc::Receiver<Settled>, Vec<Settled>)>,
    metrics: Handles,
    /// Cancelled when waiting for the database has no sense any more.
    give_up: CancellationToken,
    links: Links,
}

/// What the completer reports to.
pub struct Links {
    /// The daemon's metrics.
    pub metrics: Arc<Metrics>,
    /// Readiness: whether verdicts can be written.
    pub check: Check,
    /// Called when jobs came back that may be claimed at once.
    pub came_back: Arc<dyn Fn() + Send + Sync>,
    /// Whether this boot id is still the daemon's.
    pub is_ours: Arc<dyn Fn(i64) -> bool + Send + Sync>,
}

struct Handles {
    all: Arc<Metrics>,
    record: FlushMetrics,
    finish: FlushMetrics,
    back: FlushMetrics,
    release: FlushMetrics,
}

impl<S: OutcomeSink> Completer<S> {
    /// Writes what comes out of `inbox` into `sink`.
    pub fn new(
        sink: S,
        inbox: mpsc::Receiver<Settled>,
        settings: (Complete, HashMap<QueueName, Retentions>),
        links: Links,
    ) -> Self {
        let metrics = &links.metrics;
        let handles = Handles {
            record: metrics.flush("record"),
            finish: metrics.flush("finish"),
            back: metrics.flush("back"),
            release: metrics.flush("release"),
            all: Arc::clone(metrics),
        };
        Self {
            sink,
            settings: settings.0,
            retention: settings.1,
            inbox: Mutex::new((inbox, Vec::new())),
            metrics: handles,
            give_up: CancellationToken::new(),
            links,
        }
    }

    /// Cancel it to end waiting for a database that is away.
    pub fn give_up(&self) -> CancellationToken {
        self.give_up.clone()
    }

    /// Runs until every sender is gone and everything is written, or until it gives up.
    pub async fn run(self: Arc<Self>) {
        let mut inbox = self.inbox.lock().await;
        let (inbox, gathered) = &mut *inbox;
        // What a task that failed, or stood still, had gathered is written first.
        let mut again = !gathered.is_empty();
        loop {
            if !again && !supervise::waiting(self.gather(inbox, gathered)).await {
                return;
            }
            let pending = &self.metrics.all.daemon.flush_pending_rows;
            pending.set(count(inbox.len() + gathered.len()));
            self.flush(gathered, std::mem::take(&mut again)).await;
            pending.set(count(inbox.len() + gathered.len()));
            if !gathered.is_empty() {
                return;
            }
        }
    }

    /// Waits for a first verdict, then a little for its company; `false` when no more will come.
    async fn gather(&self, inbox: &mut mpsc::Receiver<Settled>, into: &mut Vec<Settled>) -> bool {
        let most = self.settings.flush_max_rows;
        if inbox.recv_many(into, most).await == 0 {
            return false;
        }
        let until = Instant::now() + self.settings.flush_interval;
        while into.len() < most {
            match timeout_at(until, inbox.recv_many(into, most - into.len())).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }

    /// Writes what was gathered; what is left there afterwards was given up. A flush that is made
    /// `again` can't tell what the one before it wrote from what another daemon took.
    async fn flush(&self, gathered: &mut Vec<Settled>, again: bool) {
        let batch = Batch::sort(gathered.iter().cloned(), &self.retention);
        let Batch { failures, finals, backs, releases } = batch;
        let m = &self.metrics;
        self.write(("record", &m.record), &failures, again, |rows| async {
            self.sink
                .record(rows)
                .await
                .map(|()| rows.iter().map(|f| f.settled.lease.job).collect())
        })
        .await;
        let written =
            self.write(("finish", &m.finish), &finals, again, |rows| self.sink.finish(rows)).await;
        self.report(("finish", &m.finish), finals.iter().map(|f| &f.settled), &written);
        // They stay among what was gathered for as long as this may still fail.
        self.settle_refused(written.refused.clone(), again).await;
        written.answered(Part::Final, gathered);
        let written =
            self.write(("back", &m.back), &backs, again, |rows| self.sink.put_back(rows)).await;
        self.report(("back", &m.back), backs.iter().map(|b| &b.settled), &written);
        written.answered(Part::Back, gathered);
        let written = self
            .write(("release", &m.release), &releases, again, |rows| self.sink.release(rows))
            .await;
        self.report(("release", &m.release), releases.iter(), &written);
        written.answered(Part::Release, gathered);
        if !(backs.is_empty() && releases.is_empty()) {
            (self.links.came_back)();
        }
    }

    /// What history refuses doesn't stay held by a daemon that is done with it: a result that can't be
    /// stored is left out, and what is refused without one comes back after a while, since whatever
    /// refuses it (a trigger, a full disk's tablespace) has to be mended first.
    async fn settle_refused(&self, refused: Vec<&Final>, again: bool) {
        if refused.is_empty() {
            return;
        }
        let (with, without): (Vec<_>, Vec<_>) =
            refused.into_iter().partition(|row| row.result().is_some());
        let bare: Vec<_> = with.into_iter().map(Final::without_result).collect();
        let m = &self.metrics;
        let written =
            self.write(("finish", &m.finish), &bare, again, |rows| self.sink.finish(rows)).await;
        self.report(("finish", &m.finish), bare.iter().map(|f| &f.settled), &written);
        let refused = without.into_iter().chain(written.refused);
        let backs: Vec<_> = refused.map(|row| Back::of_refused(row, REFUSED_PAUSE)).collect();
        let written =
            self.write(("back", &m.back), &backs, again, |rows| self.sink.put_back(rows)).await;
        self.report(("back", &m.back), backs.iter().map(|b| &b.settled), &written);
    }

    /// Writes rows, all of them or, where the database refuses some, all but those: halves are
    /// tried in turn, so that one bad row costs its batch a few statements and nobody else a delay.
    async fn write<'r, R, Written, F>(
        &self,
        (op, metrics): (&'static str, &FlushMetrics),
        rows: &'r [R],
        again: bool,
        statement: F,
    ) -> Receipt<'r, R>
    where
        R: Row,
        F: Fn(&'r [R]) -> Written,
        Written: Future<Output = Result<Vec<JobId>, SinkError>>,
    {
        let mut written = Receipt { uncertain: again, ..Receipt::default() };
        let mut parts = if rows.is_empty() { vec![] } else { vec![rows] };
        let mut pause = RETRY_MIN;
        while let Some(part) = parts.pop() {
            supervise::step();
            let started = Instant::now();
            let result = statement(part).await;
            metrics.flushed(part.len(), started.elapsed(), result.is_ok());
            match result {
                Ok(jobs) => {
                    self.links.check.ok();
                    written.jobs.extend(jobs);
                }
                Err(SinkError::Refused(error)) if part.len() == 1 => {
                    say_refused(op, part[0].settled(), &*error);
                    written.refused.push(&part[0]);
                }
                Err(SinkError::Refused(_)) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                }
                Err(SinkError::Unavailable(error)) => {
                    say_waiting(&*error, part.len());
                    self.links.check.failing("verdicts can't be written");
                    #[cfg(legwork_seeded_bugs)]
                    if crate::seeded::has(crate::seeded::Bug::AckBeforeCommit) {
                        written.uncertain = true;
                        continue;
                    }
                    if self.give_up.run_until_cancelled(sleep(pause)).await.is_none() {
                        written.gave_up = true;
                        return written;
                    }
                    // What was written without our learning of it can't be told from what another
                    // daemon took: it is reported as late only when the first answer said so.
                    written.uncertain = true;
                    pause = (pause * 2).min(RETRY_MAX);
                    parts.push(part);
                }
            }
        }
        written
    }

    /// Counts and tells what is durable now, and what the fence refused.
    fn report<'s, R: Row>(
        &self,
        (op, metrics): (&'static str, &FlushMetrics),
        settled: impl Iterator<Item = &'s Settled>,
        written: &Receipt<'_, R>,
    ) {
        let refused: HashSet<_> =
            written.refused.iter().map(|row| row.settled().lease.job).collect();
        // What was refused isn't over yet, and what was given up is named at the daemon's end.
        let settled = settled.filter(|settled| {
            let id = settled.lease.job;
            !refused.contains(&id) && (!written.gave_up || written.jobs.contains(&id))
        });
        for settled in settled {
            let id = settled.lease.job;
            let durable = written.jobs.contains(&id) || written.uncertain;
            let end = if durable { settled.end() } else { AttemptEnd::Lost };
            if let Some(job) = &settled.metrics {
                job.finished(end, settled.attempt);
            }
            if durable {
                say_ended(settled, end);
            } else {
                metrics.late(self.tell_late(op, settled));
            }
        }
    }

    fn tell_late(&self, op: &'static str, settled: &Settled) -> LateReason {
        let ours = (self.links.is_ours)(settled.lease.holder);
        let reason = if ours { LateReason::LeaseLost } else { LateReason::DaemonLost };
        settled.scope().say(|| {
            tracing::warn!(
                event = events::JOB_LATE,
                op,
                reason = reason.as_str(),
                "a result came after its lease was lost and changes nothing"
            );
        });
        reason
    }
}

fn say_ended(settled: &Settled, end: AttemptEnd) {
    if tracing::event_enabled!(tracing::Level::DEBUG) {
        settled.scope().say(|| {
            tracing::debug!(
                event = events::JOB_FINISHED,
                job.outcome = end.as_str(),
                duration_ms = settled.took.as_secs_f64() * 1e3,
                "an attempt ended"
            );
        });
    }
    if let Verdict::Discard { reason } = &settled.verdict {
        settled.scope().say(|| {
            tracing::warn!(
                event = events::JOB_DISCARDED,
                job.outcome = end.as_str(),
                reason = reason.as_str(),
                "a job is discarded: it will not run again"
            );
        });
    }
}

fn say_waiting(error: &(dyn std::error::Error + 'static), rows: usize) {
    tracing::warn!(event = events::FLUSH_FAILED, error, rows, "verdicts wait for the database");
}

fn say_refused(op: &'static str, settled: &Settled, error: &(dyn std::error::Error + 'static)) {
    settled.scope().say(|| {
        tracing::error!(
            event = events::FLUSH_ROW_REFUSED,
            op,
            error,
            "the database refuses a verdict as it stands"
        );
    });
}

/// What a statement did, over its tries and parts.
#[derive(Debug)]
struct Receipt<'r, R> {
    jobs: HashSet<JobId>,
    refused: Vec<&'r R>,
    uncertain: bool,
    gave_up: bool,
}

impl<R> Default for Receipt<'_, R> {
    fn default() -> Self {
        Self { jobs: HashSet::new(), refused: Vec::new(), uncertain: false, gave_up: false }
    }
}

impl<R> Receipt<'_, R> {
    /// Takes out of `gathered` what the database has answered for.
    fn answered(&self, part: Part, gathered: &mut Vec<Settled>) {
        if !self.gave_up {
            gathered.retain(|settled| Part::of(&settled.verdict) != part);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand rows at most")]
fn count(rows: usize) -> f64 {
    rows as f64
}
