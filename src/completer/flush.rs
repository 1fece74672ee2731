//! The completer's loop: gather, write, report.

use super::{
    Back, Batch, Failure, Final, Part, Settled,
    aside::{Aside, end_of_rest},
    batch::Row,
    parts::{RETRY_MAX, RETRY_MIN, Receipt},
};
use crate::{
    config::{Complete, Kept},
    job::{JobId, Lease, Verdict},
    supervise::{self, WaitPoint, at},
    telemetry::{
        events,
        feed::Occurrence,
        health::Check,
        metrics::{AttemptEnd, FlushMetrics, LateReason, Metrics},
    },
    trace::Phase,
};
use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Why verdicts could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Nothing is wrong with the rows: the database is away, busy or restarting. The same rows can
    /// be written again; if they were written after all, the fence makes that a no-op.
    #[error("the database can't take verdicts now")]
    Unavailable {
        /// They may be written: the statement was sent, and nothing says that it came to nothing.
        sent: bool,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It may be one of the rows or the moment: something took too long or waited for a lock, or lacks a
    /// right or a table. Nothing was written.
    #[error("these verdicts can't be written now")]
    Stuck(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database refuses these rows.
    #[error("the database refuses these verdicts")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where verdicts are written. Each call is one statement, and gives the jobs it changed.
pub trait OutcomeSink: Send + Sync + 'static {
    /// Records failed attempts.
    fn record(&self, rows: &[Failure]) -> impl Future<Output = Result<(), SinkError>> + Send;
    /// Ends jobs.
    fn finish(&self, rows: &[Final]) -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
    /// Puts jobs back to wait.
    fn put_back(&self, rows: &[Back])
    -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
    /// Gives jobs back as they were.
    fn release(
        &self,
        rows: &[Settled],
    ) -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
    /// Which of these jobs somebody holds a lock on, without waiting for it.
    fn locked(&self, jobs: &[JobId]) -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
    /// Whose jobs somebody else has, or has ended: these leases can't have ended them.
    fn taken(&self, leases: &[Lease])
    -> impl Future<Output = Result<Vec<JobId>, SinkError>> + Send;
}

/// How long a job waits whose end history refuses: time for somebody to read the error line.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);

/// Gathers verdicts and writes them.
pub struct Completer<S> {
    pub(super) sink: S,
    settings: Complete,
    /// Looked up at each flush: a reload may have changed it.
    kept: watch::Receiver<Kept>,
    /// Locked by the one task that runs; behind a lock so that a restarted task finds it again.
    desk: Mutex<Desk>,
    metrics: Handles,
    /// Cancelled when waiting for the database has no sense any more.
    pub(super) give_up: CancellationToken,
    pub(super) links: Links,
}

/// Verdicts that aren't written yet.
struct Desk {
    inbox: mpsc::Receiver<Settled>,
    gathered: Vec<Settled>,
    aside: Aside,
}

/// What happened to the verdicts of a flush before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    /// They may be written already.
    pub(super) uncertain: bool,
    /// Their failures are recorded.
    pub(super) recorded: bool,
    /// They were in one statement that could not be written, and nobody knows which of them it was.
    pub(super) one_by_one: bool,
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
    /// Called with each lease whose verdict came too late and counts for nothing.
    pub late: Arc<dyn Fn(Lease) + Send + Sync>,
}

struct Handles {
    all: Arc<Metrics>,
    record: FlushMetrics,
    finish: FlushMetrics,
    back: FlushMetrics,
    release: FlushMetrics,
    /// What handlers write themselves.
    sql: FlushMetrics,
}

impl<S: OutcomeSink> Completer<S> {
    /// Writes what comes out of `inbox` into `sink`.
    pub fn new(
        sink: S,
        inbox: mpsc::Receiver<Settled>,
        settings: (Complete, watch::Receiver<Kept>),
        links: Links,
    ) -> Self {
        let metrics = &links.metrics;
        let handles = Handles {
            record: metrics.flush("record"),
            finish: metrics.flush("finish"),
            back: metrics.flush("back"),
            release: metrics.flush("release"),
            sql: metrics.flush("sql"),
            all: Arc::clone(metrics),
        };
        Self {
            sink,
            settings: settings.0,
            kept: settings.1,
            desk: Mutex::new(Desk { inbox, gathered: Vec::new(), aside: Aside::default() }),
            metrics: handles,
            give_up: CancellationToken::new(),
            links,
        }
    }

    /// Cancel it to end waiting for a database that is away.
    pub fn give_up(&self) -> CancellationToken {
        self.give_up.clone()
    }

    /// Runs until every sender is gone and everything is written that can be, or until it gives up.
    pub async fn run(self: Arc<Self>) {
        let desk = &mut *self.desk.lock().await;
        // What a task that failed, or stood still, had gathered is written first. It can't be told from
        // what another daemon took whether that task had written it.
        let mut again = !desk.gathered.is_empty();
        while again || supervise::waiting(self.gather(desk)).await {
            self.count_pending(desk);
            let before = Before { uncertain: std::mem::take(&mut again), ..Before::default() };
            self.flush(&mut desk.gathered, &mut desk.aside, before).await;
            if !desk.gathered.is_empty() || !self.retry(&mut desk.aside, Instant::now()).await {
                return;
            }
            self.count_pending(desk);
        }
        self.end(desk).await;
    }

    fn count_pending(&self, desk: &Desk) {
        let rows = desk.inbox.len() + desk.gathered.len() + desk.aside.len();
        self.metrics.all.daemon.flush_pending_rows.set(count(rows));
    }

    /// Waits for a first verdict, then a little for its company, or until one that is aside is due;
    /// `false` when no more will come.
    async fn gather(&self, desk: &mut Desk) -> bool {
        let Desk { inbox, gathered: into, aside } = desk;
        let most = self.settings.flush_max_rows;
        let due = aside.next_due();
        if let Some(due) = due.filter(|_| aside.is_full()) {
            // Workers wait with their slots, so that nothing grows.
            self.links.check.failing("too many verdicts can't be written");
            at(WaitPoint::RetryPause, sleep_until(due)).await;
            return true;
        }
        let first = inbox.recv_many(into, most);
        let first = match due {
            Some(due) => at(WaitPoint::ChannelReceive, timeout_at(due, first)).await,
            None => Ok(at(WaitPoint::ChannelReceive, first).await),
        };
        match first {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
        let until = Instant::now() + self.settings.flush_interval;
        while into.len() < most {
            let more = timeout_at(until, inbox.recv_many(into, most - into.len()));
            match at(WaitPoint::ChannelReceive, more).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }

    /// Tries once more what is aside and due; `false` when it was given up. What is still locked is left
    /// where it is, for the price of one statement that waits for nobody.
    async fn retry(&self, aside: &mut Aside, due: Instant) -> bool {
        let mut jobs = aside.due(due);
        if jobs.is_empty() {
            return true;
        }
        let list: Vec<_> = jobs.iter().copied().collect();
        let locked = match self.sink.locked(&list).await {
            Ok(locked) => locked.into_iter().collect(),
            // It is the whole table, or the database.
            Err(_) => jobs.clone(),
        };
        aside.rest(&locked, Instant::now());
        jobs.retain(|job| !locked.contains(job));
        for recorded in [false, true] {
            let (mut tried, before) = aside.try_again(&jobs, recorded);
            self.flush(&mut tried, aside, before).await;
            if !tried.is_empty() {
                return false;
            }
            aside.answered();
        }
        true
    }

    /// No more will come: what is locked is tried for until there is no sense in it. What the database
    /// refuses stays aside, and the daemon's end names it.
    async fn end(&self, desk: &mut Desk) {
        let mut pause = RETRY_MIN;
        desk.aside.leave_refused();
        while desk.aside.len() > 0 && self.retry(&mut desk.aside, end_of_rest()).await {
            self.count_pending(desk);
            let rest = self.give_up.run_until_cancelled(sleep(pause));
            if at(WaitPoint::RetryPause, rest).await.is_none() {
                return;
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Writes what was gathered, or sets it aside; what is left there afterwards was given up. Since this
    /// may be ended at any await, a verdict leaves `gathered` when it is written, or at one stroke with being
    /// set aside.
    async fn flush(&self, gathered: &mut Vec<Settled>, aside: &mut Aside, before: Before) {
        let batch = Batch::sort(gathered.iter().cloned(), &self.kept.borrow());
        let Batch { failures, mut finals, mut backs, releases, written } = batch;
        self.tell_of_written(&written);
        gathered.retain(|settled| Part::of(&settled.verdict) != Part::Nothing);
        if !before.recorded {
            let waits = self.record(&failures, aside, before).await;
            finals.retain(|row| !waits.contains(&row.settled.lease));
            backs.retain(|row| !waits.contains(&row.settled.lease));
            gathered.retain(|settled| !waits.contains(&settled.lease));
        }
        let m = &self.metrics;
        let mut written =
            self.write(("finish", &m.finish), &finals, before, |rows| self.sink.finish(rows)).await;
        self.clear_up(&finals, &mut written).await;
        self.report(("finish", &m.finish), finals.iter().map(|f| &f.settled), &written);
        self.settle_refused(&written.refused, aside, before).await;
        aside.add(written.stuck());
        written.answered(Part::Final, gathered);
        let written =
            self.write(("back", &m.back), &backs, before, |rows| self.sink.put_back(rows)).await;
        self.report(("back", &m.back), backs.iter().map(|b| &b.settled), &written);
        aside.add(written.stuck_or_refused());
        written.answered(Part::Back, gathered);
        let release = ("release", &m.release);
        let written = self.write(release, &releases, before, |rows| self.sink.release(rows)).await;
        self.report(release, releases.iter(), &written);
        aside.add(written.stuck_or_refused());
        written.answered(Part::Release, gathered);
        if !(backs.is_empty() && releases.is_empty()) {
            (self.links.came_back)();
        }
    }

    /// Records failed attempts. A verdict doesn't go before the record that explains it: where that can't
    /// be written now, both are set aside, and these are their leases.
    async fn record(
        &self,
        failures: &[Failure],
        aside: &mut Aside,
        before: Before,
    ) -> HashSet<Lease> {
        let record = ("record", &self.metrics.record);
        let written = self.write(record, failures, before, |rows| async {
            let recorded = self.sink.record(rows).await;
            recorded.map(|()| rows.iter().map(|f| f.settled.lease.job).collect())
        });
        let mut stuck = written.await.stuck();
        for row in &mut stuck {
            row.before.recorded = false;
        }
        let leases = stuck.iter().map(|row| row.settled.lease).collect();
        aside.add(stuck);
        leases
    }

    /// What history refuses doesn't stay held by a daemon that is done with it: a result that can't be
    /// stored is left out, and what is refused without one comes back after a while, since whatever
    /// refuses it (a trigger, a full disk's tablespace) has to be mended first. What may not come back
    /// either is set aside as it came.
    async fn settle_refused(&self, refused: &[&Final], aside: &mut Aside, before: Before) {
        if refused.is_empty() {
            return;
        }
        let (with, without): (Vec<&Final>, Vec<_>) =
            refused.iter().partition(|row| row.result().is_some());
        let bare: Vec<_> = with.into_iter().map(Final::without_result).collect();
        let m = &self.metrics;
        let mut written =
            self.write(("finish", &m.finish), &bare, before, |rows| self.sink.finish(rows)).await;
        self.clear_up(&bare, &mut written).await;
        self.report(("finish", &m.finish), bare.iter().map(|f| &f.settled), &written);
        let mut stuck = written.stuck();
        let backs = without.into_iter().chain(written.refused);
        let backs: Vec<_> = backs.map(|row| Back::of_refused(row, REFUSED_PAUSE)).collect();
        let written =
            self.write(("back", &m.back), &backs, before, |rows| self.sink.put_back(rows)).await;
        self.report(("back", &m.back), backs.iter().map(|b| &b.settled), &written);
        stuck.extend(written.stuck_or_refused());
        for row in &mut stuck {
            let as_it_came = refused.iter().find(|f| f.settled.lease == row.settled.lease);
            row.settled.verdict =
                as_it_came.map_or(Verdict::Release, |f| f.settled.verdict.clone());
        }
        aside.add(stuck);
    }

    /// Counts and tells of what handlers wrote themselves, and of what came too late for that.
    fn tell_of_written(&self, written: &[Settled]) {
        const OP: &str = "sql";
        for settled in written {
            let outcome = if settled.verdict == Verdict::Written { OP } else { "late" };
            supervise::traced(|trace| trace.phase(Phase::Flushed, settled.subject(), outcome));
            if let Some(job) = &settled.metrics {
                job.finished(settled.end(), settled.attempt);
            }
            if settled.verdict == Verdict::Written {
                self.tell_ended(settled, settled.end());
                say_ended(settled, settled.end());
            } else {
                self.metrics.sql.late(self.tell_late(OP, settled));
            }
        }
    }

    /// Counts and tells what is durable now, and what the fence refused.
    fn report<'s, R: Row>(
        &self,
        (op, metrics): (&'static str, &FlushMetrics),
        settled: impl Iterator<Item = &'s Settled>,
        written: &Receipt<'_, R>,
    ) {
        let refused = written.refused.iter().copied();
        let unwritten = refused.chain(written.aside.iter().map(|(row, _)| *row));
        let unwritten: HashSet<_> = unwritten.map(|row| row.settled().lease.job).collect();
        // What was refused or set aside isn't over yet, and what was given up is named at the daemon's end.
        let settled = settled.filter(|settled| {
            let id = settled.lease.job;
            !unwritten.contains(&id) && (!written.gave_up || written.jobs.contains(&id))
        });
        for settled in settled {
            let id = settled.lease.job;
            let durable = written.is_durable(id);
            let end = if durable { settled.end() } else { AttemptEnd::Lost };
            if let Some(job) = &settled.metrics {
                job.finished(end, settled.attempt);
            }
            let outcome = if durable { op } else { "late" };
            supervise::traced(|trace| trace.phase(Phase::Flushed, settled.subject(), outcome));
            if let Some(span) = &settled.span {
                span.settled(op, (!durable).then_some("late"));
            }
            if durable {
                self.tell_ended(settled, end);
                say_ended(settled, end);
            } else {
                metrics.late(self.tell_late(op, settled));
            }
        }
    }

    /// For whoever listens: what became of the job is committed.
    fn tell_ended(&self, settled: &Settled, end: AttemptEnd) {
        self.links.metrics.feed.tell(|| Occurrence::JobFinished {
            id: settled.lease.job,
            kind: settled.kind.clone(),
            queue: settled.queue.clone(),
            outcome: end.as_str(),
            attempt: settled.attempt,
        });
    }

    fn tell_late(&self, op: &'static str, settled: &Settled) -> LateReason {
        (self.links.late)(settled.lease);
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
                duration_ms = settled.fractional_ms(),
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

#[expect(clippy::cast_precision_loss, reason = "a few thousand rows at most")]
fn count(rows: usize) -> f64 {
    rows as f64
}
