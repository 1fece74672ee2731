//! One kind of statement over the verdicts of a flush: whole where that works, and in parts where some
//! of them can't be written, so that one row costs its batch a few statements and nobody else a delay.

use super::{
    Completer, OutcomeSink, Part, Settled, SinkError,
    aside::{Stuck, Why},
    batch::Row,
    flush::Before,
};
use crate::{
    job::JobId,
    supervise::{self, WaitPoint, at},
    telemetry::{events, metrics::FlushMetrics},
};
use rustc_hash::FxHashSet;
use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Wait after the first failed flush; doubles up to [`RETRY_MAX`].
pub(super) const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two tries of a flush: what a database that comes back costs at most.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(1);
/// Most bytes of results, or of errors, that one statement carries: a server that stores a few megabytes a second
/// answers for it in time. A row that has more goes alone.
const STATEMENT_MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long it is looked for rows that can't be written before the others have their turn: two waits for
/// a lock. What is left by then waits aside.
const SEARCH_MAX: Duration = Duration::from_secs(1);

impl<S: OutcomeSink> Completer<S> {
    /// Writes rows, all of them or, where the database won't have some, all but those. Rows that are
    /// refused are found by halving. Rows that somebody has locked are asked for by name, since finding
    /// them by halving would cost a wait for the lock at each step.
    pub(super) async fn write<'r, R, Written, F>(
        &self,
        (op, metrics): (&'static str, &FlushMetrics),
        rows: &'r [R],
        before: Before,
        statement: F,
    ) -> Receipt<'r, R>
    where
        R: Row,
        F: Fn(&'r [R]) -> Written,
        Written: Future<Output = Result<Vec<JobId>, SinkError>>,
    {
        let mut written = Receipt::new(before);
        let mut parts = cut(rows, if before.one_by_one { 1 } else { rows.len() });
        let mut searching = before.one_by_one.then(Instant::now);
        let mut pause = RETRY_MIN;
        while let Some(part) = parts.pop_front() {
            supervise::step();
            let started = Instant::now();
            let result = statement(part).await;
            metrics.flushed(part.len(), started.elapsed(), result.is_ok());
            let (error, may_be_a_row) = match result {
                Ok(jobs) => {
                    self.links.check.ok();
                    pause = RETRY_MIN;
                    written.jobs.extend(jobs);
                    written.leave(&mut parts, searching);
                    continue;
                }
                Err(SinkError::Refused(error)) => {
                    if let Some([left, right]) = halves(part) {
                        parts.push_front(right);
                        parts.push_front(left);
                    } else {
                        say_refused(op, part[0].settled(), &*error);
                        written.refused.push(&part[0]);
                    }
                    continue;
                }
                Err(SinkError::Stuck(error)) => (error, true),
                Err(SinkError::Unavailable { sent, source }) => {
                    // Once may be the moment. Twice it may be one of the rows, or more than the database, or the way
                    // there, can do in the time that it has.
                    let is_again = sent && written.uncertain;
                    written.uncertain |= sent;
                    (source, is_again)
                }
            };
            if may_be_a_row {
                match self.set_aside((op, &*error), part, &mut parts, &mut written).await {
                    Blamed::Locked => continue,
                    Blamed::Unclear => {
                        pause = RETRY_MIN;
                        let since = *searching.get_or_insert(started);
                        written.leave(&mut parts, Some(since));
                    }
                    Blamed::All => {}
                }
            } else {
                parts.push_front(part);
            }
            supervise::failed(&*error);
            say_waiting(&*error, part.len());
            self.links.check.failing("verdicts can't be written");
            #[cfg(legwork_seeded_bugs)]
            if crate::seeded::has(crate::seeded::Bug::AckBeforeCommit) {
                written.uncertain = true;
                parts.clear();
                continue;
            }
            let rest = self.give_up.run_until_cancelled(sleep(pause));
            if at(WaitPoint::RetryPause, rest).await.is_none() {
                written.gave_up = true;
                return written;
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
        written
    }

    /// Sets aside what of `part` is locked, and puts the rest back first: the others needn't wait.
    /// Otherwise it is a row that nothing tells from the others, or all of them: halves are tried after
    /// all that waits already, down to the row that is alone with it.
    async fn set_aside<'r, R: Row>(
        &self,
        (op, error): (&'static str, &Cause),
        part: &'r [R],
        parts: &mut VecDeque<&'r [R]>,
        written: &mut Receipt<'r, R>,
    ) -> Blamed {
        let jobs: Vec<_> = part.iter().map(|row| row.settled().lease.job).collect();
        let Ok(locked) = self.sink.locked(&jobs).await else {
            // It isn't about rows: the whole table is locked, or more is missing.
            parts.push_front(part);
            return Blamed::All;
        };
        let locked: HashSet<_> = locked.into_iter().collect();
        let is_locked = |row: &R| locked.contains(&row.settled().lease.job);
        if !locked.is_empty() {
            for row in part.iter().filter(|row| is_locked(row)) {
                say_aside(op, row.settled(), error, Why::Locked);
                written.aside.push((row, Why::Locked));
            }
            part.split(is_locked).filter(|rest| !rest.is_empty()).for_each(|r| parts.push_front(r));
            return Blamed::Locked;
        }
        if let Some(halves) = halves(part) {
            parts.extend(halves);
        } else {
            say_aside(op, part[0].settled(), error, Why::Unknown);
            written.aside.push((&part[0], Why::Unknown));
        }
        Blamed::Unclear
    }
}

/// To whom it is put down that some verdicts can't be written now.
enum Blamed {
    /// Rows that somebody has locked.
    Locked,
    /// One row or more, or all of them.
    Unclear,
    /// No row: the whole table is locked, or more is missing.
    All,
}

/// What the database said.
type Cause = dyn std::error::Error + Send + Sync;

/// All rows in their order, in parts of at most so many and of what one statement carries.
fn cut<R: Row>(rows: &[R], most: usize) -> VecDeque<&[R]> {
    // Most flushes are one part, or one for each row.
    let mut parts = VecDeque::with_capacity(rows.len().div_ceil(most.max(1)));
    let (mut from, mut bytes) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        let with_it = bytes + row.bytes();
        if at > from && (at - from >= most || with_it > STATEMENT_MAX_BYTES) {
            parts.push_back(&rows[from..at]);
            (from, bytes) = (at, row.bytes());
        } else {
            bytes = with_it;
        }
    }
    if from < rows.len() {
        parts.push_back(&rows[from..]);
    }
    parts
}

/// Nothing where there is one row.
fn halves<R>(part: &[R]) -> Option<[&[R]; 2]> {
    (part.len() > 1).then(|| part.split_at(part.len() / 2).into())
}

fn say_waiting(error: &(dyn std::error::Error + 'static), rows: usize) {
    tracing::warn!(event = events::FLUSH_FAILED, error, rows, "verdicts wait for the database");
}

fn say_refused(op: &'static str, settled: &Settled, error: &(dyn std::error::Error + 'static)) {
    settled.scope().say(|| {
        tracing::error!(
            event = events::FLUSH_ROW_REFUSED,
            op,
            error,
            "the database refuses a verdict as it stands"
        );
    });
}

fn say_aside(op: &'static str, settled: &Settled, error: &Cause, why: Why) {
    let error: &dyn std::error::Error = error;
    settled.scope().say(|| {
        tracing::warn!(
            event = events::FLUSH_ROW_ASIDE,
            op,
            error,
            reason = why.as_str(),
            "a verdict can't be written now; it waits alone and is tried again"
        );
    });
}

/// What a statement did, over its tries and parts.
#[derive(Debug)]
pub(super) struct Receipt<'r, R> {
    /// What the database has answered for.
    pub(super) jobs: FxHashSet<JobId>,
    /// What it refuses.
    pub(super) refused: Vec<&'r R>,
    /// What can't be written now.
    pub(super) aside: Vec<(&'r R, Why)>,
    /// Some may be written without our learning of it.
    pub(super) uncertain: bool,
    /// What somebody else had by then, of those.
    pub(super) lost: FxHashSet<JobId>,
    /// What the other fields don't tell of was given up.
    pub(super) gave_up: bool,
}

impl<'r, R: Row> Receipt<'r, R> {
    /// Leaves what hasn't been tried for another time, where the search has taken long enough.
    fn leave(&mut self, parts: &mut VecDeque<&'r [R]>, searching: Option<Instant>) {
        if searching.is_some_and(|since| since.elapsed() >= SEARCH_MAX) {
            let left = parts.drain(..).flatten();
            self.aside.extend(left.map(|row| (row, Why::Behind)));
        }
    }

    fn new(before: Before) -> Self {
        let (jobs, refused, aside, lost) = Default::default();
        Self { jobs, refused, aside, uncertain: before.uncertain, lost, gave_up: false }
    }

    /// Whether the verdict on a job is committed.
    pub(super) fn is_durable(&self, job: JobId) -> bool {
        self.jobs.contains(&job) || (self.uncertain && !self.lost.contains(&job))
    }

    /// Takes out of `gathered` what the database has answered for.
    pub(super) fn answered(&self, part: Part, gathered: &mut Vec<Settled>) {
        if !self.gave_up {
            gathered.retain(|settled| Part::of(&settled.verdict) != part);
        }
    }

    /// What has to be set aside.
    pub(super) fn stuck(&self) -> Vec<Stuck> {
        self.aside.iter().map(|(row, why)| self.stuck_row(row, *why)).collect()
    }

    /// The same, with what is refused and has no other way.
    pub(super) fn stuck_or_refused(&self) -> Vec<Stuck> {
        let refused = self.refused.iter().map(|row| self.stuck_row(row, Why::Refused));
        self.stuck().into_iter().chain(refused).collect()
    }

    fn stuck_row(&self, row: &R, why: Why) -> Stuck {
        let before = Before { uncertain: self.uncertain, recorded: true, ..Before::default() };
        Stuck { settled: row.settled().clone(), why, before }
    }
}
