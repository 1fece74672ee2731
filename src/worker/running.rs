//! The attempts that run now, and the one way to stop them.

use crate::{
    executor::{Context, Progress, Stop, StopOrder, Stopped},
    job::{JobId, KindName, Lease, QueueName},
    supervise::{self, Stay, Whereabouts},
    telemetry::{Origin, logs::JobScope},
};
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Holders whose leases were lost that are remembered. Losing one takes a lease's length at least,
/// and a job waits for its start as long as a rate limit says; nothing waits that many leases.
const LOST_MAX: usize = 1024;

/// Running attempts by job. Invariants: an entry is here exactly while its handler runs, there is
/// never more than one of a job, and none begins under a holder whose leases were lost.
#[derive(Debug, Default)]
pub struct Running {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: FxHashMap<JobId, Arc<RunningJob>>,
    lost: VecDeque<i64>,
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
    /// The same by the database's clock, for people: as it was reckoned when somebody first asked, so that everybody is
    /// told the same moment, and a job that nobody asks of costs nothing.
    pub started_at: OnceLock<String>,
    /// Cancelled when it has to stop.
    pub token: CancellationToken,
    /// Why it has to.
    pub stop: StopOrder,
    attempt: OnceLock<Attempt>,
    /// The notes of the worker that runs it.
    at: Option<Arc<Whereabouts>>,
}

/// What is known once an attempt has its context.
#[derive(Debug)]
struct Attempt {
    number: u16,
    deadline: Instant,
    origin: Option<Arc<Origin>>,
    progress: Arc<Progress>,
}

impl RunningJob {
    /// From now on its progress is shown, and lines about it tell where it comes from.
    pub(super) fn follow(&self, context: &Context) {
        let (number, origin) = (context.attempt(), context.origin().cloned());
        let (deadline, progress) = (context.deadline(), context.progress_so_far());
        // An attempt has one context, so this is the first time.
        self.attempt.set(Attempt { number, deadline, origin, progress }).ok();
    }

    /// Whom lines about it name.
    pub fn scope(&self) -> JobScope {
        let attempt = self.attempt.get();
        JobScope {
            id: self.lease.job,
            kind: Some(self.kind.clone()),
            queue: self.queue.clone(),
            attempt: attempt.map_or(0, |attempt| attempt.number),
            max_attempts: None,
            origin: attempt.and_then(|attempt| attempt.origin.clone()),
        }
    }

    /// The attempt's number, from 1, and when its time is up, once it has begun.
    pub fn attempt(&self) -> Option<(u16, Instant)> {
        self.attempt.get().map(|attempt| (attempt.number, attempt.deadline))
    }

    /// Where it waits, where its worker has told.
    pub fn stay(&self) -> Option<Stay> {
        self.at.as_ref()?.stay()
    }

    /// What its handler last reported.
    pub fn progress(&self) -> Option<String> {
        self.attempt.get()?.progress.last()
    }

    fn stop(&self, why: Stop) {
        self.stop.give(why);
        self.token.cancel();
    }
}

impl Stopped for RunningJob {
    fn reason(&self) -> Option<Stop> {
        self.stop.reason()
    }

    fn decide(&self) -> bool {
        self.stop.decide()
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
        if let Some(at) = &self.job.at {
            at.runs(None);
        }
    }
}

impl Running {
    /// An attempt begins; it is on the list until the entry is dropped, also when its worker is
    /// ended where it stands. `None` when its lease was lost while it waited to begin: another
    /// daemon may run the job by now.
    pub fn begin(
        self: &Arc<Self>,
        lease: Lease,
        (queue, kind): (QueueName, KindName),
    ) -> Option<Listed> {
        let job = Arc::new(RunningJob {
            lease,
            queue,
            kind,
            since: Instant::now(),
            started_at: OnceLock::new(),
            token: CancellationToken::new(),
            stop: StopOrder::default(),
            attempt: OnceLock::new(),
            at: supervise::here(),
        });
        let mut state = self.lock();
        if state.lost.contains(&lease.holder) {
            return None;
        }
        state.jobs.insert(lease.job, Arc::clone(&job));
        drop(state);
        if let Some(at) = &job.at {
            at.runs(Some(lease.job));
        }
        Some(Listed { job, running: Arc::clone(self) })
    }

    /// It ended. A newer attempt of the same job stays.
    fn end(&self, lease: Lease) {
        let jobs = &mut self.lock().jobs;
        if jobs.get(&lease.job).is_some_and(|job| job.lease == lease) {
            jobs.remove(&lease.job);
        }
    }

    /// Stops one attempt; `false` when it isn't running.
    pub fn stop(&self, job: JobId, token: i64, why: Stop) -> bool {
        let found = self.lock().jobs.get(&job).filter(|job| job.lease.token == token).cloned();
        found.inspect(|job| job.stop(why)).is_some()
    }

    /// Stops everything.
    pub fn stop_all(&self, why: Stop) {
        self.list().iter().for_each(|job| job.stop(why));
    }

    /// The leases of this holder are lost: what runs under them is stopped, and nothing more begins.
    pub fn lease_lost(&self, holder: i64) {
        let mut state = self.lock();
        if state.lost.len() >= LOST_MAX {
            state.lost.pop_front();
        }
        state.lost.push_back(holder);
        let held: Vec<_> =
            state.jobs.values().filter(|job| job.lease.holder == holder).cloned().collect();
        // Stopping wakes tasks, which mustn't find the list locked.
        drop(state);
        for job in held {
            job.stop(Stop::LeaseLost);
        }
    }

    /// The attempt of this lease, while it runs here.
    pub fn find(&self, job: JobId, token: i64) -> Option<Arc<RunningJob>> {
        let found = self.lock().jobs.get(&job).cloned();
        found.filter(|found| found.lease.token == token)
    }

    /// Everything that runs, oldest first.
    pub fn list(&self) -> Vec<Arc<RunningJob>> {
        let mut jobs: Vec<_> = self.lock().jobs.values().cloned().collect();
        jobs.sort_by_key(|job| job.since);
        jobs
    }

    /// Of this queue: how many attempts were told to stop, and since when the oldest runs.
    pub fn census(&self, queue: &QueueName) -> (usize, Option<Instant>) {
        let state = self.lock();
        let of_queue = || state.jobs.values().filter(|job| job.queue == *queue);
        let stopping = of_queue().filter(|job| job.token.is_cancelled()).count();
        (stopping, of_queue().map(|job| job.since).min())
    }

    /// Whether nothing runs.
    pub fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (QueueName, KindName) {
        (QueueName::new("q").expect("a name"), KindName::new("k").expect("a name"))
    }

    fn lease(job: i64, holder: i64) -> Lease {
        Lease { job: JobId(job), token: 1, holder }
    }

    #[test]
    fn a_lost_lease_stops_what_runs_and_lets_nothing_of_its_holder_begin() {
        let running = Arc::new(Running::default());
        let ours = running.begin(lease(1, 7), names()).expect("the lease lives");
        let newer = running.begin(lease(2, 8), names()).expect("the lease lives");
        running.lease_lost(7);
        assert_eq!(ours.job.stop.reason(), Some(Stop::LeaseLost));
        assert_eq!(newer.job.stop.reason(), None);
        assert!(running.begin(lease(3, 7), names()).is_none(), "claimed before the loss");
        assert!(running.begin(lease(3, 8), names()).is_some(), "claimed after it");
    }
}
