//! Takes jobs from the queue: never more than there are slots for, in one round trip, from where
//! the last claim left off.
//!
//! One claimer for each claim group. It reserves slots, claims at most that many rows, and passes
//! them on. Wake-ups are hints: whatever happens to them, the poll finds every row, and a storm of
//! them costs no storm of claims; while nothing comes, one lookout polls for all claimers. A claim in
//! flight is never dropped, since its rows would then be held by nobody.

mod gate;
mod lookout;
mod marks;
mod pace;
mod sweeps;
mod wake;

pub use lookout::{Hints, Look, Lookout, Post, Seen};
pub use marks::{LEVELS, Marks, Probe};
pub use sweeps::Sweeps;
pub use wake::{Bell, Waker};

use crate::{
    config::Claim,
    heartbeat::Leases,
    job::{ClaimedJob, KindName, QueueName},
    supervise::{self, WaitPoint, at},
    telemetry::{
        events,
        health::Check,
        metrics::{Metrics, QueueMetrics, WakeSource},
        spans::Tracer,
    },
    trace::Phase,
    worker::{Assignment, Slots},
};
use pace::{POLL_RUNG_MIN, State};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// What one claim asks for.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Who claims.
    pub holder: i64,
    /// Where.
    pub queue: QueueName,
    /// What may be claimed.
    pub kinds: Arc<[KindName]>,
    /// Where to look.
    pub probe: Probe,
    /// Most rows.
    pub most: u32,
    /// Whether to give way to another claim of the queue that is on its way, and bring nothing then.
    pub in_turn: bool,
    /// Cancelled when nothing more is to be claimed: whoever waits to ask then brings nothing, since nothing was sent.
    pub halt: CancellationToken,
}

/// Why a claim failed.
#[derive(Debug, thiserror::Error)]
#[error("claiming jobs failed")]
pub struct ClaimError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where jobs are claimed.
pub trait ClaimSource: Send + Sync + 'static {
    /// Claims in one round trip; gives the rows in order of (priority, seq).
    fn claim(
        &self,
        request: &ClaimRequest,
    ) -> impl Future<Output = Result<Vec<ClaimedJob>, ClaimError>> + Send;

    /// Looks, in one round trip, which of these groups have something in line. Takes nothing.
    fn look(&self, looks: &[Look]) -> impl Future<Output = Result<Vec<Seen>, ClaimError>> + Send;
}

/// Kinds that are claimed together, and where they go.
pub struct ClaimGroup {
    /// The queue.
    pub queue: QueueName,
    /// All unthrottled kinds, or one that has a limit.
    pub kinds: Arc<[KindName]>,
    /// Most that one claim may take: what the group's limiter can start within a second.
    pub most: u32,
    /// The queue's slots.
    pub slots: Slots,
    /// To the group's dispatcher.
    pub outbox: mpsc::Sender<Vec<Assignment>>,
}

/// What claimers share.
pub struct ClaimerShared<S> {
    /// Where jobs are claimed.
    pub source: Arc<S>,
    /// `[claim]`
    pub settings: Claim,
    /// Who we are at the moment.
    pub leases: Leases,
    /// The seq sequence's last value, as it was read some time before.
    pub horizon: Arc<AtomicI64>,
    /// Cancelled when nothing more is to be claimed: with `stop`, or earlier.
    pub halt: CancellationToken,
    /// Cancelled when the claimers may end.
    pub stop: CancellationToken,
    /// Whether wake-ups arrive.
    pub hints: Arc<Hints>,
    /// The daemon's metrics.
    pub metrics: Arc<Metrics>,
    /// Readiness: whether claims are answered.
    pub check: Check,
    /// What makes spans, if anything does.
    pub tracer: Option<Arc<Tracer>>,
}

impl<S> Clone for ClaimerShared<S> {
    fn clone(&self) -> Self {
        Self {
            source: Arc::clone(&self.source),
            settings: self.settings.clone(),
            leases: self.leases.clone(),
            horizon: Arc::clone(&self.horizon),
            halt: self.halt.clone(),
            stop: self.stop.clone(),
            hints: Arc::clone(&self.hints),
            metrics: Arc::clone(&self.metrics),
            check: self.check.clone(),
            tracer: self.tracer.clone(),
        }
    }
}

/// Longest pause after failed claims.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Pause after so many failures in a row.
fn failure_pause(failures: u32) -> Duration {
    let pause = Duration::from_millis(100) * 2u32.pow(failures.min(6));
    pause.min(FAILURE_PAUSE_MAX).mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// One claim group's claimer.
pub struct Claimer<S> {
    shared: ClaimerShared<S>,
    group: ClaimGroup,
    queue_metrics: Arc<QueueMetrics>,
    post: Arc<Post>,
    /// Locked by the one task that runs; survives its restart.
    state: Mutex<State>,
}

impl<S: ClaimSource> Claimer<S> {
    /// A claimer that listens to `waker`.
    pub fn new(shared: ClaimerShared<S>, group: ClaimGroup, waker: Waker) -> Self {
        let queue_metrics = shared.metrics.queue(&group.queue);
        let pause = shared.settings.poll_interval;
        let state = State::new(waker, pause, Instant::now());
        let post = Post::new(group.queue.clone(), Arc::clone(&group.kinds));
        Self { shared, group, queue_metrics, post, state: Mutex::new(state) }
    }

    /// Where it waits while it has nothing to do.
    pub fn post(&self) -> Arc<Post> {
        Arc::clone(&self.post)
    }

    /// Claims until told to halt, and ends when told to stop.
    pub async fn run(self: Arc<Self>) {
        let mut state = self.state.lock().await;
        self.claim_until_halted(&mut state).await;
        if self.shared.halt.is_cancelled() && !self.shared.stop.is_cancelled() {
            self.shared.check.failing("told to claim nothing more");
            supervise::waiting(at(WaitPoint::ClaimHalted, self.shared.stop.cancelled())).await;
        }
    }

    async fn claim_until_halted(&self, state: &mut State) {
        while !self.shared.halt.is_cancelled() {
            supervise::step();
            // Interest is registered before the look, so that a wake in between isn't lost.
            if state.waker.register() {
                state.marks.sweep_now(Instant::now());
            }
            let most = self.group.most.min(self.shared.settings.batch);
            let reserve = self.group.slots.reserve(most, state.backlog);
            let lease = at(WaitPoint::Lease, self.shared.leases.current());
            let ready = async { (lease.await, reserve.await) };
            let ready = supervise::waiting(self.shared.halt.run_until_cancelled(ready));
            let Some((boot, Some(mut slots))) = ready.await else {
                return;
            };
            let probe = state.marks.probe(Instant::now());
            let request = ClaimRequest {
                holder: boot,
                queue: self.group.queue.clone(),
                kinds: Arc::clone(&self.group.kinds),
                // A sweep that brings nothing has to be known for one that looked.
                in_turn: !probe.is_sweep && state.takes_turns(slots.count()),
                probe,
                most: slots.count(),
                halt: self.shared.halt.clone(),
            };
            let batch = match self.claim(state, &request).await {
                Ok(jobs) => jobs
                    .into_iter()
                    .map_while(|job| slots.take().map(|slot| Assignment { job, slot }))
                    .collect::<Vec<_>>(),
                Err(error) => {
                    drop(slots);
                    self.complain(state, &error).await;
                    continue;
                }
            };
            drop(slots);
            if !batch.is_empty() && !self.pass_on(batch).await {
                return;
            }
            supervise::waiting(self.rest(state)).await;
        }
    }

    /// Gives a batch to the dispatcher, waiting while it has enough; `false` once it is gone.
    async fn pass_on(&self, batch: Vec<Assignment>) -> bool {
        let since = Instant::now();
        // A batch that waits here is nobody else's, so the watchdog mustn't end this.
        let passed = at(WaitPoint::ChannelSend, supervise::waiting(self.group.outbox.send(batch)))
            .await
            .is_ok();
        self.queue_metrics.channel_send_wait_seconds.record(since.elapsed().as_secs_f64());
        passed
    }

    /// One claim, and what it teaches about where to look next.
    async fn claim(
        &self,
        state: &mut State,
        request: &ClaimRequest,
    ) -> Result<Vec<ClaimedJob>, ClaimError> {
        let horizon = self.shared.horizon.load(Ordering::Acquire);
        let started = Instant::now();
        let mut claimed = self.shared.source.claim(request).await;
        let took = started.elapsed();
        match &mut claimed {
            Ok(jobs) => {
                if let Some(tracer) = &self.shared.tracer {
                    tracer.received(&request.queue, jobs, took);
                }
                self.queue_metrics.poll.answered(jobs.len(), took);
                supervise::traced(|trace| {
                    for job in &*jobs {
                        trace.phase(Phase::Claimed, job.into(), "");
                    }
                });
                state.learn(request, jobs, horizon, took);
                state.pace(jobs.len(), self.rung_pause());
            }
            Err(_) => self.queue_metrics.poll.failed(took),
        }
        claimed
    }

    /// The pause after a claim that brought jobs while wake-ups arrive; shorter than what a claimer waits before it
    /// leaves polling to the lookout.
    fn rung_pause(&self) -> Option<Duration> {
        let pause = POLL_RUNG_MIN.min(self.shared.settings.poll_interval / 2);
        self.shared.hints.arrive().then_some(pause)
    }

    /// Waits for a wake or the next poll, unless there is more to claim right now. Once polls have
    /// become as rare as they get, the lookout makes them.
    async fn rest(&self, state: &mut State) {
        state.failures = 0;
        state.woken = false;
        self.shared.check.ok();
        if state.backlog {
            return;
        }
        let jitter = self.shared.settings.poll_jitter * (2.0 * fastrand::f64() - 1.0);
        let idle = state.pause >= self.shared.settings.poll_interval;
        state.pause = state.pause.min(self.shared.settings.poll_interval);
        let pause = state.pause.mul_f64((1.0 + jitter).max(0.0));
        let shut = state.gate.shut_for(Instant::now());
        let wake = async {
            state.waker.woken().await;
            // A sleep of nothing would still wait for the timer's next millisecond.
            if !shut.is_zero() {
                sleep(shut).await;
            }
        };
        let rest = async {
            tokio::select! {
                () = self.shared.halt.cancelled() => None,
                () = wake => Some(true),
                () = sleep(pause), if !idle => Some(false),
                seen = self.post.stand(), if idle => {
                    state.marks.reach(&seen);
                    Some(false)
                }
            }
        };
        let place = if idle { WaitPoint::ClaimCall } else { WaitPoint::ClaimRest };
        let Some(woken) = at(place, rest).await else { return };
        state.woken = woken;
        let source = if state.woken { WakeSource::Notify } else { WakeSource::Poll };
        self.queue_metrics.woke(source);
    }

    /// Says once that claiming fails, and tries again ever more slowly.
    async fn complain(&self, state: &mut State, error: &ClaimError) {
        state.backlog = false;
        state.woken = false;
        supervise::failed(error);
        self.shared.check.failing("claims aren't answered");
        if state.failures == 0 {
            let error: &dyn std::error::Error = error;
            tracing::warn!(event = events::CLAIM_FAILED, error, job.queue = %self.group.queue, "claiming failed and is tried again until it works");
        }
        state.failures = state.failures.saturating_add(1);
        let pause = failure_pause(state.failures);
        // Told to stop or not, the loop looks at the token next.
        at(WaitPoint::RetryPause, self.shared.halt.run_until_cancelled(sleep(pause))).await;
    }
}
