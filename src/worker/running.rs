//! The attempts that run now, and the one way to stop them.

use crate::{
    executor::Stop,
    job::{JobId, KindName, Lease, QueueName},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Running attempts by job. Invariant: an entry is here exactly while its handler runs, and there
/// is never more than one of a job.
#[derive(Debug, Default)]
pub struct Running {
    jobs: Mutex<HashMap<JobId, Arc<RunningJob>>>,
}

/// One attempt that runs.
#[derive(Debug)]
pub struct RunningJob {
    /// Its lease.
    pub lease: Lease,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: KindName,
    /// Since when.
    pub since: Instant,
    /// Cancelled when it has to stop.
    pub token: CancellationToken,
    /// Why it has to.
    pub stop: OnceLock<Stop>,
}

impl RunningJob {
    /// The first reason counts.
    fn stop(&self, why: Stop) {
        // A second reason changes nothing: the attempt is already stopping.
        self.stop.set(why).ok();
        self.token.cancel();
    }
}

/// An attempt's place on the list.
#[derive(Debug)]
pub struct Listed {
    /// The attempt.
    pub job: Arc<RunningJob>,
    running: Arc<Running>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.running.end(self.job.lease);
    }
}

impl Running {
    /// An attempt begins; it is on the list until the entry is dropped, also when its worker is
    /// ended where it stands.
    pub fn begin(self: &Arc<Self>, lease: Lease, (queue, kind): (QueueName, KindName)) -> Listed {
        let job = Arc::new(RunningJob {
            lease,
            queue,
            kind,
            since: Instant::now(),
            token: CancellationToken::new(),
            stop: OnceLock::new(),
        });
        self.lock().insert(lease.job, Arc::clone(&job));
        Listed { job, running: Arc::clone(self) }
    }

    /// It ended. A newer attempt of the same job stays.
    fn end(&self, lease: Lease) {
        let mut jobs = self.lock();
        if jobs.get(&lease.job).is_some_and(|job| job.lease == lease) {
            jobs.remove(&lease.job);
        }
    }

    /// Stops one attempt; `false` when it isn't running.
    pub fn stop(&self, job: JobId, token: i64, why: Stop) -> bool {
        let found = self.lock().get(&job).filter(|job| job.lease.token == token).cloned();
        found.inspect(|job| job.stop(why)).is_some()
    }

    /// Stops everything.
    pub fn stop_all(&self, why: Stop) {
        self.list().iter().for_each(|job| job.stop(why));
    }

    /// Stops what runs under the lease of this holder.
    pub fn stop_holder(&self, holder: i64, why: Stop) {
        self.list().iter().filter(|job| job.lease.holder == holder).for_each(|job| job.stop(why));
    }

    /// Everything that runs, oldest first.
    pub fn list(&self) -> Vec<Arc<RunningJob>> {
        let mut jobs: Vec<_> = self.lock().values().cloned().collect();
        jobs.sort_by_key(|job| job.since);
        jobs
    }

    /// Of this queue: how many attempts were told to stop, and since when the oldest runs.
    pub fn census(&self, queue: &QueueName) -> (usize, Option<Instant>) {
        let jobs = self.lock();
        let of_queue = || jobs.values().filter(|job| job.queue == *queue);
        let stopping = of_queue().filter(|job| job.token.is_cancelled()).count();
        (stopping, of_queue().map(|job| job.since).min())
    }

    /// Whether nothing runs.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<RunningJob>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
