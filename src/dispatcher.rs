//! Between claim and worker: refuses what may not run any more, and waits for the rate limits.
//!
//! One dispatcher for each claim group, so that a limited kind waits by itself and starves nobody.
//! It claims nothing and runs nothing.

mod limiter;

pub use limiter::Limiter;

use crate::{
    completer::Settled,
    job::{Verdict, refuse_before_running},
    worker::{Assignment, Pool},
};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// Batches that may wait between a claimer and its dispatcher. Claims then overlap with running and
/// completing: 4 beat 1 when it was measured, more gained nothing.
pub const BATCH_CAPACITY: usize = 4;

/// One claim group's way from claim to worker.
pub struct Dispatcher {
    /// Locked by the one task that runs, so that a restarted one finds it again.
    inbox: Mutex<mpsc::Receiver<Vec<Assignment>>>,
    limiters: Vec<Arc<Limiter>>,
    pool: Pool,
    /// Cancelled when nothing new may start.
    stop: CancellationToken,
}

impl Dispatcher {
    /// Takes batches from `inbox`, asks every limiter for each job, hands them to the pool.
    pub fn new(
        inbox: mpsc::Receiver<Vec<Assignment>>,
        limiters: Vec<Arc<Limiter>>,
        pool: Pool,
        stop: CancellationToken,
    ) -> Self {
        Self { inbox: Mutex::new(inbox), limiters, pool, stop }
    }

    /// Runs until its claimer is gone and every batch has gone somewhere.
    pub async fn run(self: Arc<Self>) {
        let mut inbox = self.inbox.lock().await;
        while let Some(batch) = inbox.recv().await {
            let allowed = self.gate(batch).await;
            if self.limiters.is_empty() && !self.stop.is_cancelled() {
                self.pool.give(allowed);
            } else {
                self.one_by_one(allowed).await;
            }
        }
    }

    /// Settles the jobs that may not run; gives the others.
    async fn gate(&self, batch: Vec<Assignment>) -> Vec<Assignment> {
        let mut allowed = Vec::with_capacity(batch.len());
        for Assignment { job, slot } in batch {
            let kind = self.pool.kind(&job.kind);
            match kind.and_then(|kind| refuse_before_running(&job, &kind.policy)) {
                None => allowed.push(Assignment { job, slot }),
                Some(reason) => {
                    let metrics = kind.map(|kind| Arc::clone(&kind.metrics));
                    let verdict = Verdict::Discard { reason };
                    let settled = Settled::unstarted(&job, verdict, metrics);
                    self.pool.verdicts().settle(settled, slot).await;
                }
            }
        }
        allowed
    }

    /// Waits for the limiters before each job; once told to stop, gives the rest back.
    async fn one_by_one(&self, jobs: Vec<Assignment>) {
        for assignment in jobs {
            if self.stop.run_until_cancelled(self.permitted()).await.is_some() {
                self.pool.give([assignment]);
            } else {
                self.pool.release(assignment.job, assignment.slot).await;
            }
        }
    }

    async fn permitted(&self) {
        for limiter in &self.limiters {
            limiter.ready().await;
        }
    }
}
