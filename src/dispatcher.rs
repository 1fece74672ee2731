//! Between claim and worker: refuses what may not run any more, and waits for the rate limits.
//!
//! One dispatcher for each claim group, so that a limited kind waits by itself and starves nobody.
//! It claims nothing and runs nothing.

mod limiter;

pub use limiter::Limiter;

use crate::{
    completer::Settled,
    job::{Verdict, refuse_before_running},
    supervise,
    worker::{Assignment, Pool, Slot, Slots},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Batches that may wait between a claimer and its dispatcher. Claims then overlap with running and
/// completing: 4 beat 1 when it was measured, more gained nothing.
pub const BATCH_CAPACITY: usize = 4;

/// Longest that a claimed job waits for its limiter here. Then it goes back to its place in line, where a
/// pause, a cancel and its expiry reach it and other daemons may take it; the next claim brings it
/// back. It costs a kind that can't start once in that time one statement each time.
pub const STAY_MAX: Duration = Duration::from_secs(5);

/// One claim group's way from claim to worker.
pub struct Dispatcher {
    /// Locked by the one task that runs, so that a restarted one finds it again.
    desk: Mutex<Desk>,
    limits: Limits,
    pool: Pool,
    /// Cancelled when nothing new may start.
    stop: CancellationToken,
}

/// What lies before the one task that runs. A job that is claimed and known to nobody would never run:
/// so it lies here until the step that gives it away, whatever becomes of the task.
struct Desk {
    inbox: mpsc::Receiver<Vec<Assignment>>,
    /// Jobs that may run, in their order, and wait for the limiters.
    allowed: VecDeque<Assignment>,
    turn: Turn,
}

/// What each start of a group waits for.
pub struct Limits {
    /// The kind's and then the queue's, so that a kind that waits takes none of its queue's permits;
    /// none where neither has a limit.
    pub limiters: Vec<Arc<Limiter>>,
    /// The queue's slots. A job that waits for a limiter holds none of them, or a kind of one start
    /// an hour could keep a whole queue from running for that hour.
    pub slots: Slots,
}

impl Dispatcher {
    /// Takes batches from `inbox`, asks every limiter for each job, hands them to the pool. Where
    /// there are limiters, jobs come with slots of the group's own waiting room.
    pub fn new(
        inbox: mpsc::Receiver<Vec<Assignment>>,
        limits: Limits,
        pool: Pool,
        stop: CancellationToken,
    ) -> Self {
        let desk = Desk { inbox, allowed: VecDeque::new(), turn: Turn::default() };
        Self { desk: Mutex::new(desk), limits, pool, stop }
    }

    /// Runs until its claimer is gone and every batch has gone somewhere.
    pub async fn run(self: Arc<Self>) {
        let Desk { inbox, allowed, turn } = &mut *self.desk.lock().await;
        loop {
            // First what a task that failed has left.
            self.one_by_one(allowed, turn).await;
            let Some(batch) = supervise::waiting(inbox.recv()).await else { return };
            let jobs = self.gate(batch).await;
            if self.limits.limiters.is_empty() && !self.stop.is_cancelled() {
                self.pool.give(jobs);
            } else {
                allowed.extend(jobs);
            }
        }
    }

    /// Settles the jobs that may not run; gives the others.
    async fn gate(&self, batch: Vec<Assignment>) -> Vec<Assignment> {
        let mut allowed = Vec::with_capacity(batch.len());
        for Assignment { job, slot } in batch {
            let kind = self.pool.kind(&job.kind);
            let refused = kind.and_then(|kind| refuse_before_running(&job, &kind.policy));
            let verdict = match refused {
                _ if job.cancel_requested => Verdict::Cancel,
                Some(reason) => Verdict::Discard { reason },
                None => {
                    allowed.push(Assignment { job, slot });
                    continue;
                }
            };
            let metrics = kind.map(|kind| Arc::clone(&kind.metrics));
            let settled = Settled::unstarted(&job, verdict, metrics);
            self.pool.verdicts().settle(settled, slot).await;
        }
        allowed
    }

    /// Waits for the limiters before each job; gives back what may not start in time, and once told to
    /// stop the rest.
    async fn one_by_one(&self, jobs: &mut VecDeque<Assignment>, turn: &mut Turn) {
        let since = Instant::now();
        while let Some(next) = jobs.front() {
            supervise::step();
            let left = next.job.expires_in.unwrap_or(Duration::MAX);
            let permitted = async {
                if since.elapsed() >= left {
                    return None;
                }
                let until = since + left.min(STAY_MAX);
                timeout_at(until, self.limits.permitted(turn)).await.ok().flatten()
            };
            let permitted = self.stop.run_until_cancelled(permitted).await;
            let Some(Assignment { job, slot: waiting }) = jobs.pop_front() else { return };
            match permitted {
                Some(Some(slot)) => self.pool.give([Assignment { job, slot }]),
                Some(None) => {
                    // Not counted as an end: it is as it was, and comes again at once. Its place here
                    // is free once it is back in line, or those behind it would be claimed before it.
                    let mut settled = Settled::unstarted(&job, Verdict::Release, None);
                    settled.keeps = Some(Arc::new(waiting));
                    self.pool.verdicts().settle(settled, ()).await;
                }
                None => self.pool.release(job, waiting).await,
            }
        }
    }
}

/// How far the next start of a group has come. It outlives the job that waits for it: a permit that was
/// taken isn't given back, so it mustn't be lost either.
#[derive(Debug, Default)]
struct Turn {
    /// How many of the limiters have given their permit.
    passed: usize,
    /// Which limiter was told that it holds the start back.
    told: Option<usize>,
}

impl Limits {
    /// A slot first and then the permits, so that the last permit never ages; the slot goes back while
    /// a limiter says not yet. It may be dropped while it waits.
    async fn permitted(&self, turn: &mut Turn) -> Option<Slot> {
        let since = Instant::now();
        loop {
            let slot = self.slots.reserve(1, false).await?.take()?;
            let not_yet = loop {
                let Some(limiter) = self.limiters.get(turn.passed) else {
                    *turn = Turn::default();
                    return Some(slot);
                };
                match limiter.permit(since) {
                    Ok(()) => turn.passed += 1,
                    Err(not_yet) => {
                        if turn.told.replace(turn.passed) != Some(turn.passed) {
                            limiter.throttled();
                        }
                        break not_yet;
                    }
                }
            };
            drop(slot);
            sleep(not_yet).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        completer::verdict_channel,
        job::{ClaimedJob, JobId, KindName, Lease, QueueName},
        supervise::Supervisor,
        telemetry::metrics::Metrics,
        worker::{Kinds, PoolParts},
    };
    use tokio::time::timeout;

    #[tokio::test]
    async fn jobs_that_wait_for_a_limiter_outlive_the_task_that_held_them() {
        let (queue, kind) = (QueueName::new("q").expect("a name"), KindName::new("k"));
        let kind = kind.expect("a name");
        let metrics = Metrics::default();
        let (verdicts, mut inbox) = verdict_channel();
        let parts = PoolParts {
            queue: queue.clone(),
            concurrency: 3,
            kinds: Kinds::default(),
            running: Arc::default(),
            verdicts,
            metrics: metrics.queue(&queue),
            grace_without_lease: Duration::ZERO,
        };
        let pool = Pool::new(parts, Supervisor::default());
        let shut = Limiter::new("1/h".parse().expect("a limit"), metrics.limiter("kind:k"));
        let limits = Limits { limiters: vec![Arc::new(shut)], slots: Slots::new(3) };
        let (outbox, batches) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let dispatcher = Arc::new(Dispatcher::new(batches, limits, pool, stop.clone()));

        let mut places = Slots::new(3).reserve(3, false).await.expect("three are free");
        let job = |id| {
            let lease = Lease { job: JobId(id), token: 1, holder: 1 };
            ClaimedJob::new(lease, queue.clone(), kind.clone(), "{}")
        };
        let batch: Vec<_> = (1..=3)
            .filter_map(|id| Some(Assignment { job: job(id), slot: places.take()? }))
            .collect();
        outbox.send(batch).await.expect("it is there");
        drop(outbox);
        let ended = timeout(Duration::from_millis(10), Arc::clone(&dispatcher).run()).await;
        assert!(ended.is_err(), "they wait for the limiter");
        stop.cancel();
        dispatcher.run().await;
        let mut released = Vec::new();
        while let Ok(settled) = inbox.try_recv() {
            assert_eq!(settled.verdict, Verdict::Release);
            released.push(settled.lease.job.0);
        }
        assert_eq!(released, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_permit_that_was_taken_is_kept_for_the_next_job_where_its_job_goes_back() {
        let limiter = |limit: &str| {
            let metrics = Metrics::default().limiter("kind:k");
            Arc::new(Limiter::new(limit.parse().expect("a limit"), metrics))
        };
        let (free, shut) = (limiter("1000000000/s"), limiter("1/h"));
        let slots = Slots::new(1);
        let (mut turn, since) = (Turn::default(), Instant::now());
        let limits = Limits { limiters: vec![Arc::clone(&free), shut], slots: slots.clone() };
        for _ in 0..2 {
            let gone = timeout(Duration::ZERO, limits.permitted(&mut turn)).await;
            assert!(gone.is_err(), "the second limiter holds it back");
            assert_eq!((turn.passed, turn.told), (1, Some(1)));
            assert_eq!(slots.in_use(), 0, "who waits holds no slot");
        }
        let limits = Limits { limiters: vec![limiter("1/h"), free], slots };
        let slot = timeout(Duration::ZERO, limits.permitted(&mut turn)).await;
        assert!(slot.is_ok_and(|slot| slot.is_some()), "the first isn't asked again");
        assert_eq!((turn.passed, turn.told), (0, None), "the next start begins anew");
        assert!(since.elapsed() < Duration::from_secs(1), "nobody waited");
    }
}
