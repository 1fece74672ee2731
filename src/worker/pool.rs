//! The workers of one queue: started when they are needed, each running one job after another.

use super::{Assignment, Handoff, Running, Slot, Summons, aside::step_aside, running::Listed};
use crate::{
    completer::{Settled, Verdicts},
    executor::{AttemptLimits, Context, Handler, Stopped, execute},
    job::{ClaimedJob, Ending, KindName, KindPolicy, QueueName, Verdict, rule},
    profile::Label,
    supervise::{self, ExitPolicy, Supervisor, WaitPoint, at},
    telemetry::{
        events,
        logs::JobScope,
        metrics::{JobMetrics, QueueMetrics},
        spans::Tracer,
    },
    trace::{Phase, Subject},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a worker needs to know of a kind.
pub struct KindRuntime {
    /// Its limits.
    pub policy: KindPolicy,
    /// What runs it.
    pub handler: Arc<dyn Handler>,
    /// Whose CPU time its attempts take.
    pub label: Label,
    /// Its handles, of this queue.
    pub metrics: Arc<JobMetrics>,
}

/// The kinds that a queue's workers can run.
pub type Kinds = HashMap<KindName, Arc<KindRuntime>>;

/// The workers of one queue. Clones share it.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    queue: QueueName,
    /// Replaced whole; an attempt keeps what it began with.
    kinds: RwLock<Kinds>,
    handoff: Handoff<Assignment>,
    running: Arc<Running>,
    verdicts: Verdicts,
    metrics: Arc<QueueMetrics>,
    supervisor: Supervisor,
    grace_without_lease: Duration,
    tracer: Option<Arc<Tracer>>,
    numbers: AtomicU32,
}

/// What a pool is built from.
pub struct PoolParts {
    /// The queue.
    pub queue: QueueName,
    /// Jobs at once.
    pub concurrency: u32,
    /// What can run.
    pub kinds: Kinds,
    /// Where attempts are listed while they run.
    pub running: Arc<Running>,
    /// Where verdicts go.
    pub verdicts: Verdicts,
    /// The queue's handles.
    pub metrics: Arc<QueueMetrics>,
    /// Longest that a handler may take to stop once its lease is lost.
    pub grace_without_lease: Duration,
    /// What makes spans, if anything does.
    pub tracer: Option<Arc<Tracer>>,
}

impl Pool {
    /// A pool without workers: the first job starts the first.
    pub fn new(parts: PoolParts, supervisor: Supervisor) -> Self {
        let PoolParts { queue, concurrency, kinds, running, verdicts, metrics, .. } = parts;
        let (grace_without_lease, tracer) = (parts.grace_without_lease, parts.tracer);
        metrics.channel_capacity.set(f64::from(concurrency));
        let (handoff, kinds) = (Handoff::new(concurrency), RwLock::new(kinds));
        let numbers = AtomicU32::new(0);
        Self(Arc::new(Inner {
            queue,
            kinds,
            handoff,
            running,
            verdicts,
            metrics,
            supervisor,
            grace_without_lease,
            tracer,
            numbers,
        }))
    }

    /// Hands jobs to the workers.
    pub fn give(&self, jobs: impl IntoIterator<Item = Assignment>) {
        let is_traced = supervise::is_traced();
        let queued = |given: &Assignment| {
            if is_traced {
                let job = Subject::from(&given.job);
                supervise::traced(|trace| trace.phase(Phase::Queued, job, ""));
            }
        };
        let summons = self.0.handoff.put(jobs.into_iter().inspect(queued));
        self.answer(&summons);
    }

    /// The limits of a kind.
    pub fn kind(&self, kind: &KindName) -> Option<Arc<KindRuntime>> {
        self.0.kinds.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    /// Attempts that begin from now on run by these. Those that run go on as they began.
    pub fn replace_kinds(&self, kinds: Kinds) {
        *self.0.kinds.write().unwrap_or_else(PoisonError::into_inner) = kinds;
    }

    /// From now on this many jobs at once. It is their slots that bound them; here are the workers, of which
    /// those that are too many end once they have no job.
    pub fn resize(&self, concurrency: u32) {
        self.0.metrics.channel_capacity.set(f64::from(concurrency));
        let summons = self.0.handoff.resize(concurrency);
        self.answer(&summons);
    }

    /// Its queue.
    pub fn queue(&self) -> &QueueName {
        &self.0.queue
    }

    /// Where verdicts go.
    pub fn verdicts(&self) -> &Verdicts {
        &self.0.verdicts
    }

    /// No job is in it and none will come: its workers end.
    pub fn close(&self) {
        self.0.handoff.close();
        let QueueMetrics { channel_capacity, channel_depth, workers_busy, .. } = &*self.0.metrics;
        let QueueMetrics { workers_idle, workers_stopping, oldest_running_age_seconds, .. } =
            &*self.0.metrics;
        let pool = [channel_capacity, channel_depth, oldest_running_age_seconds];
        for gauge in pool.into_iter().chain([workers_busy, workers_idle, workers_stopping]) {
            gauge.set(0.0);
        }
    }

    /// Shows the pool in its queue's gauges.
    pub fn show(&self) {
        self.0.show();
    }

    /// Nothing more comes: gives back what no worker has taken, and lets workers end.
    pub async fn release_unstarted(&self) {
        self.0.handoff.close();
        for Assignment { job, slot } in self.0.handoff.drain() {
            self.release(job, slot).await;
        }
    }

    /// Gives a job back as it was.
    pub async fn release(&self, job: ClaimedJob, slot: Slot) {
        let metrics = self.kind(&job.kind).map(|kind| Arc::clone(&kind.metrics));
        self.0.verdicts.settle(Settled::unstarted(&job, Verdict::Release, metrics), slot).await;
    }

    fn answer(&self, summons: &Summons) {
        if *summons == Summons::StartWorker {
            let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
            let name = format!("worker[{}]#{number}", self.0.queue);
            let pool = self.clone();
            let mut summoned = true;
            // It ends by itself only where the hand-off has no more work for it, and says so here.
            let leave = self.0.supervisor.leave();
            let supervisor = self.0.supervisor.until(leave.clone());
            supervisor.spawn(name, ExitPolicy::Restart, move || {
                pool.clone().work(std::mem::take(&mut summoned), leave.clone())
            });
        }
    }

    /// A worker's life.
    async fn work(self, mut summoned: bool, leave: CancellationToken) {
        loop {
            let next = self.0.handoff.take(std::mem::take(&mut summoned));
            let taken = at(WaitPoint::WorkerIdle, next).await;
            let Some((Assignment { job, slot }, summons)) = taken else { return leave.cancel() };
            self.answer(&summons);
            if summons != Summons::Nobody {
                // Whom we called lies where only this thread finds it. It goes before us, lest a handler that
                // blocks the thread keep it, and with it every job behind it, from starting.
                step_aside().await;
            }
            self.run(job, slot).await;
        }
    }

    /// One attempt, from start to verdict.
    async fn run(&self, job: ClaimedJob, slot: Slot) {
        let Some(kind) = self.kind(&job.kind) else {
            // The claim names the kinds that we serve, so this is a row that changed since.
            return self.release(job, slot).await;
        };
        let names = (job.queue.clone(), job.kind.clone());
        let Some(listed) = self.0.running.begin(job.lease, names) else {
            return self.release(job, slot).await;
        };
        supervise::traced(|trace| trace.phase(Phase::Started, Subject::from(&job), ""));
        self.0.metrics.queue_wait_seconds.record(job.due_for().as_secs_f64());
        let in_flight = kind.metrics.begins(|| job.age());
        let limits = AttemptLimits {
            timeout: kind.policy.timeout_of(&job),
            max_attempts: kind.policy.max_attempts_of(&job),
            grace_without_lease: self.0.grace_without_lease,
        };
        let mut context = Context::new(job, limits, listed.job.token.clone())
            .stopped_by(Arc::clone(&listed.job) as Arc<dyn Stopped>);
        if let Some(tracer) = &self.0.tracer {
            context = context.traced_by(tracer);
        }
        listed.job.follow(&context);
        let settled = about(&context).over(attempt(&kind, context, listed)).await;
        self.0.verdicts.settle(settled, slot).await;
        drop(in_flight);
    }
}

impl Inner {
    fn show(&self) {
        #[expect(clippy::cast_precision_loss, reason = "workers and jobs are far below 2^52")]
        let count = |count: usize| count as f64;
        let census = self.handoff.census();
        let (stopping, oldest) = self.running.census(&self.queue);
        let age = oldest.map_or(0.0, |since| since.elapsed().as_secs_f64());
        self.metrics.channel_depth.set(count(census.jobs));
        self.metrics.workers_idle.set(count(census.idle));
        self.metrics.workers_stopping.set(count(stopping));
        let busy = census.workers.saturating_sub(census.idle + stopping);
        self.metrics.workers_busy.set(count(busy));
        self.metrics.oldest_running_age_seconds.set(age);
    }
}

/// Whom lines about the attempt name.
fn about(context: &Context) -> JobScope {
    let job = context.job();
    JobScope {
        id: job.lease.job,
        kind: Some(job.kind.clone()),
        queue: job.queue.clone(),
        attempt: context.attempt(),
        max_attempts: Some(context.max_attempts()),
        origin: context.origin().cloned(),
    }
}

/// Runs the handler and rules on how it ended.
async fn attempt(kind: &KindRuntime, context: Context, listed: Listed) -> Settled {
    tracing::debug!(event = events::JOB_STARTED, "an attempt starts");
    let started = Instant::now();
    supervise::traced(|trace| trace.phase(Phase::Handler, Subject::from(context.job()), ""));
    let execution = execute(kind.handler.as_ref(), &context, &listed.job.stop);
    let execution = supervise::polled_for(context.job(), at(WaitPoint::Handler, execution));
    let ending = kind.label.over(execution).await;
    let took = started.elapsed();
    let (origin, span) = (context.origin().cloned(), context.span().cloned());
    let job = context.into_job();
    drop(listed);
    kind.metrics.ran(took, origin.as_deref());
    if matches!(ending, Ending::Panicked(_)) {
        kind.metrics.panicked();
    }
    let ruling = rule(ending, &job, &kind.policy, fastrand::f64());
    let mut settled = Settled::ran(&job, ruling, took, Arc::clone(&kind.metrics));
    if let Some(span) = span {
        let error = settled.failure.as_ref().map(|failure| failure.cause.as_str());
        span.ended(settled.end().as_str(), error);
        settled = settled.traced_by(&span);
    }
    let outcome = settled.end().as_str();
    supervise::traced(|trace| trace.phase(Phase::Verdict, Subject::from(&job), outcome));
    tell_of_failure(&settled);
    Settled { origin, ..settled }
}

fn tell_of_failure(settled: &Settled) {
    let Some(failure) = &settled.failure else { return };
    tracing::warn!(
        event = events::JOB_FAILED,
        job.outcome = settled.end().as_str(),
        duration_ms = settled.fractional_ms(),
        error.type = failure.cause.as_str(),
        error.message = failure.error.for_logs(),
        "an attempt failed"
    );
}
