//! The pipeline's ends, in memory: what it takes for the real loops to run without a database.
//!
//! They do what Postgres's do with rows, and nothing of what it takes to send them: columns,
//! statements and answers are the driver's.

use crate::jobs::HOLDER;
use divan::black_box;
use legwork::{
    claimer::{ClaimError, ClaimRequest, ClaimSource, Look, Seen},
    completer::{Back, Failure, Final, OutcomeSink, Settled, SinkError},
    heartbeat::{KeeperError, LeaseKeeper},
    job::{ClaimedJob, JobId, Lease},
    postgres::{decode_claimed_row, failures_as_text},
};
use sqlx::postgres::PgRow;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::{sync::Notify, time::Instant};

/// Jobs in line: the first so many of these rows.
pub(crate) struct Source {
    rows: Vec<&'static PgRow>,
    waiting: AtomicUsize,
}

impl Source {
    /// An empty one.
    pub(crate) fn of(rows: Vec<&'static PgRow>) -> Self {
        Self { rows, waiting: AtomicUsize::new(0) }
    }

    /// Puts every job in line.
    pub(crate) fn fill(&self) {
        self.waiting.store(self.rows.len(), SeqCst);
    }
}

impl ClaimSource for Source {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<ClaimedJob>, ClaimError> {
        let began = Instant::now();
        let taken = self.waiting.load(SeqCst).min(request.most as usize);
        let left = self.waiting.fetch_sub(taken, SeqCst) - taken;
        let mut jobs = Vec::with_capacity(taken);
        for row in &self.rows[left..left + taken] {
            let mut job = decode_claimed_row(row, request, began)
                .map_err(|error| ClaimError(error.into()))?;
            // A boot id is random, and the text of a failed attempt is as long as it.
            job.lease.holder = HOLDER;
            jobs.push(job);
        }
        jobs.sort_unstable_by_key(|job| (job.priority, job.seq));
        Ok(jobs)
    }

    async fn look(&self, _looks: &[Look]) -> Result<Vec<Seen>, ClaimError> {
        Ok(Vec::new())
    }
}

/// Counts verdicts, which are as good as written.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<(AtomicUsize, Notify)>);

impl Written {
    /// Waits until so many more are written.
    pub(crate) async fn reach(&self, jobs: u32) {
        let (written, more) = &*self.0;
        while written.load(SeqCst) < jobs as usize {
            more.notified().await;
        }
        written.fetch_sub(jobs as usize, SeqCst);
    }

    fn note<'s>(&self, rows: impl ExactSizeIterator<Item = &'s Settled>) -> Vec<JobId> {
        let (written, more) = &*self.0;
        written.fetch_add(rows.len(), SeqCst);
        more.notify_one();
        rows.map(|settled| settled.lease.job).collect()
    }
}

impl OutcomeSink for Written {
    async fn record(&self, rows: &[Failure]) -> Result<(), SinkError> {
        black_box(failures_as_text(rows, 9_800));
        Ok(())
    }

    async fn finish(&self, rows: &[Final]) -> Result<Vec<JobId>, SinkError> {
        Ok(self.note(rows.iter().map(|row| &row.settled)))
    }

    async fn put_back(&self, rows: &[Back]) -> Result<Vec<JobId>, SinkError> {
        Ok(self.note(rows.iter().map(|row| &row.settled)))
    }

    async fn release(&self, rows: &[Settled]) -> Result<Vec<JobId>, SinkError> {
        Ok(self.note(rows.iter()))
    }

    async fn locked(&self, _jobs: &[JobId]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }

    async fn taken(&self, _leases: &[Lease]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }
}

/// Whose leases are always renewed.
pub(crate) struct Ours;

impl LeaseKeeper for Ours {
    async fn register(&mut self, _boot: i64) -> Result<(), KeeperError> {
        Ok(())
    }

    async fn renew(&mut self, _boot: i64) -> Result<bool, KeeperError> {
        Ok(true)
    }

    async fn retire(&mut self, _boot: i64) -> Result<(), KeeperError> {
        Ok(())
    }
}
