//! How the daemon ends: an ordered list of phases, each with a deadline and a log line.
//!
//! Whatever handlers, database or disk do, the list comes to its end within one bound, which `budget`
//! shares out: a phase that isn't done by its deadline is left behind, and a second signal cuts all of
//! them short. What can't be given back is named, job by job, before the process ends.

mod budget;

pub(super) use budget::Budget;

use super::{Signals, wiring::Running};
use crate::{
    executor::Stop,
    job::JobId,
    telemetry::{events, feed::Occurrence, health::Phase},
    worker::{Running as Attempts, RunningJob},
};
use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How the daemon ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Jobs whose leases were left to run out.
    pub orphans: Vec<JobId>,
    /// How many jobs still ran when it was told to stop at once.
    pub cut_short: usize,
    /// Whether a claim had no answer: what it may have taken is rescued.
    pub in_doubt: bool,
    /// The task without which it couldn't go on, where that is why it ended.
    pub failed: Option<String>,
    /// Spans that the collector didn't take since it was told to end. That is no uncleanness: nothing depends on them.
    pub spans_lost: u64,
    last_lines_by: Option<Instant>,
}

impl Ended {
    /// Of a daemon that ended before it held any job.
    pub(super) fn before_any_job(spans_lost: u64) -> Self {
        Self { spans_lost, ..Self::default() }
    }

    /// Whether it ended because it was to, and nothing was cut short or abandoned.
    pub fn is_clean(&self) -> bool {
        let Self { orphans, cut_short, in_doubt, failed, .. } = self;
        orphans.is_empty() && *cut_short == 0 && !in_doubt && failed.is_none()
    }

    /// What its bound leaves for the last log lines to be written.
    pub fn time_left(&self) -> Duration {
        let left = |by: Instant| by.saturating_duration_since(Instant::now());
        self.last_lines_by.map_or(Duration::MAX, left)
    }
}

/// What any phase still gets after a second signal: eleven of them stay under three seconds.
const FORCED: Duration = Duration::from_millis(150);

/// A deadline for something small.
pub(super) fn soon() -> Instant {
    Instant::now() + budget::ADMIN
}

/// By when what was cut short is noted, at the end of a daemon that didn't start.
pub(super) fn noted() -> Instant {
    Instant::now() + budget::RETIRE
}

impl Running {
    /// Goes through the list.
    pub(super) async fn shut_down(mut self, budget: Budget, signals: &Signals) -> Ended {
        self.health.enter(Phase::Draining);
        let lost_before = self.lost_spans();
        self.metrics.feed.tell(|| Occurrence::Daemon("daemon.draining"));
        self.metrics.daemon.draining.set(1.0);
        self.supervisor.expect_ends();
        let phase = Phases::new(signals, budget, &self.attempts);
        #[cfg(legwork_seeded_bugs)]
        if crate::seeded::has(crate::seeded::Bug::BufferDroppedOnTerm) {
            self.supervisor.abort("completer");
        }

        self.stop_claiming.cancel();
        if !phase.wait("stop claiming", budget.claiming(), self.gone("claimer[")).await {
            self.supervisor.abort("claimer[");
        }
        self.stop_dispatching.cancel();
        let until = budget.releasing(Instant::now());
        phase.wait("release unstarted", until, self.release_unstarted()).await;
        phase.wait("wait for running jobs", budget.running(), self.gone("worker[")).await;
        self.attempts.stop_all(Stop::Shutdown);
        let until = budget.cancelled(Instant::now());
        phase.wait("cancel the rest", until, self.gone("worker[")).await;
        let hung = self.end_workers(&phase).await;
        self.lanes().close();
        phase.wait("flush verdicts", budget.flushing(), self.gone("completer")).await;
        self.completer_gives_up.cancel();
        let until = budget.settled(Instant::now());
        phase.wait("give up flushing", until, self.gone("completer")).await;
        self.supervisor.abort("completer");
        // The last span was that of a verdict. It sends what there is while the rest ends.
        self.stop_exporter.cancel();
        let unwritten = self.unwritten(&hung);
        report(&hung, &unwritten);
        let in_doubt = self.held.in_doubt();
        if in_doubt {
            tracing::error!(
                event = events::JOB_ORPHANED,
                "a claim had no answer; the jobs that it may have taken are rescued"
            );
        }

        // With hung handlers the row isn't retired: that would let others take their jobs at once,
        // while a handler is still working. It is renewed no more, so their leases run out.
        self.retire_at_end.store(hung.is_empty(), Ordering::Release);
        self.end_the_rest(&phase).await;
        let hung = hung.into_iter().map(|job| job.lease.job);
        let orphans = hung.chain(unwritten.into_iter().map(|(job, _)| job)).collect();
        let cut_short = phase.cut_short.get().copied().unwrap_or(0);
        let spans_lost = self.lost_spans() - lost_before;
        let last_lines_by = Some(budget.logged());
        Ended { orphans, cut_short, in_doubt, failed: None, spans_lost, last_lines_by }
    }

    /// What no job needs any more.
    async fn end_the_rest(&mut self, phase: &Phases<'_>) {
        self.stop_cancelling.cancel();
        self.stop_heartbeat.cancel();
        let until = phase.budget.retired(Instant::now());
        let ended = async {
            self.gone("ender").await;
            self.heartbeat_ended().await;
            // Notes a reload that was cut short.
            self.gone("reload").await;
        };
        phase.wait("retire", until, ended).await;
        if self.makes_spans() {
            let until = phase.budget.retired(Instant::now());
            phase.wait("send spans", until, self.gone("exporter")).await;
            self.give_spans_up().await;
        }
        self.health.enter(Phase::Stopped);
        self.stop_admin.cancel();
        let until = phase.budget.answered(Instant::now());
        phase.wait("end admin requests", until, self.gone("admin")).await;
    }

    /// What was claimed and neither runs any more nor is known to be written down: verdicts that the
    /// completer gave up or was ended over, and those that never reached it.
    fn unwritten(&self, hung: &[Arc<RunningJob>]) -> Vec<(JobId, i64)> {
        #[cfg(legwork_seeded_bugs)]
        if crate::seeded::has(crate::seeded::Bug::BufferDroppedOnTerm) {
            return Vec::new();
        }
        let hung: HashSet<_> = hung.iter().map(|job| (job.lease.job, job.lease.token)).collect();
        let mut unwritten = self.held.jobs();
        unwritten.retain(|held| !hung.contains(held));
        unwritten
    }

    async fn gone(&self, tasks: &str) {
        const LONG: Duration = Duration::from_hours(24);
        self.supervisor.ended(tasks, Instant::now() + LONG).await;
    }

    async fn release_unstarted(&self) {
        self.gone("dispatcher[").await;
        let pools = self.lanes().pools();
        for pool in pools {
            pool.release_unstarted().await;
        }
    }

    /// Ends workers where they stand. What ended is given back, for its handler is gone; what didn't
    /// (a handler that blocks its thread) may still be working, so its lease is left to run out.
    async fn end_workers(&self, phase: &Phases<'_>) -> Vec<Arc<RunningJob>> {
        let cut_off = self.attempts.list();
        self.supervisor.abort("worker[");
        let until = phase.budget.settled(Instant::now());
        phase.wait("end handlers", until, self.gone("worker[")).await;
        let hung: HashSet<_> = self.attempts.list().iter().map(|job| job.lease).collect();
        let (hung, ended): (Vec<_>, Vec<_>) =
            cut_off.into_iter().partition(|job| hung.contains(&job.lease));
        let verdicts = self.lanes().verdicts();
        if let Some(verdicts) = verdicts {
            let give_back = async {
                for job in &ended {
                    verdicts.release(job.lease, job.scope()).await;
                }
            };
            let until = phase.budget.interrupted(Instant::now());
            phase.wait("release interrupted", until, give_back).await;
        }
        hung
    }

    async fn heartbeat_ended(&mut self) {
        const LOOK: Duration = Duration::from_millis(10);
        while self.heartbeat.as_ref().is_some_and(|thread| !thread.is_finished()) {
            sleep(LOOK).await;
        }
    }
}

/// Most bytes of ids in one line.
const IDS_MAX_BYTES: usize = 8000;

/// Most orphans that get a line of their own: a quarter of the lines that may wait to be written.
const ORPHAN_LINES_MAX: usize = 1000;

/// Names every orphan, many ids a line, then tells more of those whose handler didn't stop. The log
/// leaves none of these lines out, so their number is bounded here.
fn report(hung: &[Arc<RunningJob>], unwritten: &[(JobId, i64)]) {
    for ids in lines_of(hung.iter().map(|job| job.lease.job)) {
        tracing::error!(
            event = events::SHUTDOWN_ORPHANS,
            jobs = hung.len(),
            job.ids = ids,
            "handlers didn't stop; their leases are left to run out"
        );
    }
    for ids in lines_of(unwritten.iter().map(|(job, _)| *job)) {
        tracing::error!(
            event = events::JOB_ORPHANED,
            jobs = unwritten.len(),
            job.ids = ids,
            "no answer says that these jobs' verdicts were written; those that weren't are rescued"
        );
    }
    for job in hung.iter().take(ORPHAN_LINES_MAX) {
        job.scope().say(|| {
            tracing::error!(
                event = events::SHUTDOWN_ORPHANS,
                lease.token = job.lease.token,
                running_seconds = job.since.elapsed().as_secs(),
                "a handler didn't stop; its lease is left to run out"
            );
        });
    }
}

/// The ids, separated by commas, in lines of bounded length.
fn lines_of(jobs: impl Iterator<Item = JobId>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for JobId(id) in jobs {
        let id = id.to_string();
        match lines.last_mut() {
            Some(line) if line.len() + id.len() < IDS_MAX_BYTES => {
                line.push(',');
                line.push_str(&id);
            }
            _ => lines.push(id),
        }
    }
    lines
}

/// Runs phases under their deadlines.
struct Phases<'s> {
    signals: &'s Signals,
    budget: Budget,
    attempts: Arc<Attempts>,
    /// How many of them there were when a second signal came: none gets the time that it would have had.
    cut_short: OnceLock<usize>,
}

impl<'s> Phases<'s> {
    fn new(signals: &'s Signals, budget: Budget, attempts: &Arc<Attempts>) -> Self {
        let (attempts, cut_short) = (Arc::clone(attempts), OnceLock::new());
        Self { signals, budget, attempts, cut_short }
    }

    /// `false` when the deadline or a second signal came first.
    async fn wait(&self, name: &str, until: Instant, work: impl Future<Output = ()>) -> bool {
        let started = Instant::now();
        let mut work = std::pin::pin!(work);
        let done = tokio::select! {
            biased;
            () = &mut work => true,
            () = sleep_until(until) => false,
            () = self.signals.forced() => {
                self.cut_short.get_or_init(|| self.attempts.list().len());
                timeout_at(until.min(Instant::now() + FORCED), work).await.is_ok()
            }
        };
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            event = events::SHUTDOWN_PHASE,
            phase = name,
            done,
            duration_ms = took_ms,
            "a phase of the shutdown is over"
        );
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_in_one_line_of_bounded_length() {
        let jobs: Vec<_> = (i64::MAX - 5000..i64::MAX).map(JobId).collect();
        let lines = lines_of(jobs.iter().copied());
        assert!(lines.iter().all(|line| line.len() <= IDS_MAX_BYTES), "{}", lines.len());
        let ids = lines.iter().flat_map(|line| line.split(','));
        let back: Vec<_> = ids.map(|id| JobId(id.parse().expect("a number"))).collect();
        assert_eq!(back, jobs);
        assert_eq!(lines_of(std::iter::empty()), Vec::<String>::new());
    }
}
