//! Ends that were sent and got no answer: the connection broke, or the database fell silent.
//!
//! Sent again they change nothing, whether they were written the first time or another daemon has taken the job
//! meanwhile. So it is asked once, which of the two it was: who is told that a job is done believes it.

use super::{
    Completer, OutcomeSink, SinkError,
    batch::Row,
    parts::{RETRY_MAX, RETRY_MIN, Receipt},
};
use crate::{
    job::Lease,
    supervise::{self, WaitPoint, at},
};
use std::collections::HashSet;
use tokio::time::sleep;

impl<S: OutcomeSink> Completer<S> {
    /// Learns whose jobs were somebody else's by then. Where that can't be asked they count as written.
    pub(super) async fn clear_up<R: Row>(&self, rows: &[R], written: &mut Receipt<'_, R>) {
        let doubtful = doubtful(rows, written);
        let mut pause = RETRY_MIN;
        while !doubtful.is_empty() {
            supervise::step();
            let error = match self.sink.taken(&doubtful).await {
                Ok(jobs) => {
                    self.links.check.ok();
                    return written.lost.extend(jobs);
                }
                Err(SinkError::Unavailable { source, .. }) => source,
                // It answers, and won't say.
                Err(SinkError::Stuck(error) | SinkError::Refused(error)) => {
                    self.links.check.ok();
                    return supervise::failed(&*error);
                }
            };
            supervise::failed(&*error);
            self.links.check.failing("verdicts can't be written");
            let rest = self.give_up.run_until_cancelled(sleep(pause));
            if at(WaitPoint::RetryPause, rest).await.is_none() {
                return;
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

/// Those of which nothing is known, once everything was sent.
fn doubtful<R: Row>(rows: &[R], written: &Receipt<'_, R>) -> Vec<Lease> {
    if !written.uncertain || written.gave_up {
        return Vec::new();
    }
    let told = written.refused.iter().copied().chain(written.aside.iter().map(|(row, _)| *row));
    let told: HashSet<_> = told.map(|row| row.settled().lease.job).collect();
    let leases = rows.iter().map(|row| row.settled().lease);
    leases.filter(|of| !told.contains(&of.job) && !written.jobs.contains(&of.job)).collect()
}
