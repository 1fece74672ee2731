//! Between claim and worker: refuses what may not run any more, and waits for the rate limits.
//!
//! One dispatcher for each claim group, so that a limited kind waits by itself and starves nobody.
//! It claims nothing and runs nothing.

mod limiter;

pub use limiter::Limiter;

use crate::{
    completer::Settled,
    job::{Verdict, refuse_before_running},
    supervise::{self, WaitPoint, at},
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
    /// The kind's and the queue's, the looser one first; none where neither has a limit.
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
            let next = at(WaitPoint::ChannelReceive, supervise::waiting(inbox.recv()));
            let Some(batch) = next.await else { return };
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
            let refused = kind.as_ref().and_then(|kind| refuse_before_running(&job, &kind.policy));
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
        let began = Instant::now();
        while let Some(next) = jobs.front() {
            supervise::step();
            // Since its claim: it may have waited behind another batch.
            let since = next.job.claim_began.map_or(began, Instant::from_std);
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

/// What the next start of a group has met so far. It outlives the job that waits for it: the one that
/// comes in its place is the same start to a limiter that has held it back.
#[derive(Debug, Default)]
struct Turn {
    /// Limiters that were told that they hold the start back.
    told: Vec<usize>,
}

impl Limits {
    /// A slot first and then the permits, so that no permit ages; the slot goes back while a limiter
    /// says not yet. It may be dropped while it waits.
    async fn permitted(&self, turn: &mut Turn) -> Option<Slot> {
        let since = Instant::now();
        loop {
            let slot = self.slots.reserve(1, false).await?.take()?;
            match self.permits(turn) {
                Ok(()) => {
                    *turn = Turn::default();
                    self.limiters.iter().for_each(|limiter| limiter.passed(since));
                    return Some(slot);
                }
                Err(not_yet) => {
                    drop(slot);
                    at(WaitPoint::Limiter, sleep(not_yet)).await;
                }
            }
        }
    }

    /// Every permit of one start at one instant, or none and for how long to wait at most.
    ///
    /// Another group that shares a limiter may be quicker between the look and the taking. What this one
    /// has taken by then is lost: a start less than allowed, where a permit that is kept for a later
    /// moment would be a start more. The looser limit comes first, so that what is lost is the cheaper.
    fn permits(&self, turn: &mut Turn) -> Result<(), Duration> {
        let mut longest = None;
        for (place, limiter) in self.limiters.iter().enumerate() {
            let Err(not_yet) = limiter.ready() else { continue };
            if !turn.told.contains(&place) {
                turn.told.push(place);
                limiter.throttled();
            }
            longest = longest.max(Some(not_yet));
        }
        match longest {
            Some(not_yet) => Err(not_yet),
            None => self.limiters.iter().try_for_each(|limiter| limiter.take()),
        }
    }
}

#[cfg(test)]
mod tests;
