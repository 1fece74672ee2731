//! What the demo shows: a frame while it runs, a summary at the end. Both are read from rows.

use super::samples::{Sample, row_of};
use crate::{
    job::State,
    postgres::{ObservedCount, ObservedJob},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, time::Duration};

/// The state of things at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Jobs by state, in the order of a job's life.
    pub states: Vec<(&'static str, usize)>,
    /// Unfinished jobs by queue.
    pub queues: BTreeMap<String, usize>,
    /// What runs: kind and id.
    pub running: Vec<(String, i64)>,
    /// Jobs that are over.
    pub finished: usize,
    /// Finished per second since the frame before.
    pub rate: f64,
    /// Since the start.
    pub elapsed: Duration,
}

impl Frame {
    /// Of what was counted and runs; nothing has a rate by itself.
    pub(super) fn of(
        counts: &[ObservedCount],
        running: Vec<(String, i64)>,
        elapsed: Duration,
    ) -> Self {
        let count = |state: State| {
            let in_it = counts.iter().filter(|count| count.state == state.as_str());
            in_it.map(|count| count.jobs).sum()
        };
        let states: Vec<_> = State::ALL.map(|state| (state.as_str(), count(state))).into();
        let over: Vec<_> = State::ALL.into_iter().filter(|state| state.is_final()).collect();
        let mut queues = BTreeMap::new();
        for count in counts {
            let unfinished = over.iter().all(|state| count.state != state.as_str());
            *queues.entry(count.queue.clone()).or_default() +=
                if unfinished { count.jobs } else { 0 };
        }
        let finished = over.into_iter().map(count).sum();
        Self { states, queues, running, finished, rate: 0.0, elapsed }
    }
}

impl fmt::Display for Frame {
    /// One line, for a terminal and for a pipe alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5.1}s", self.elapsed.as_secs_f64())?;
        for (state, count) in &self.states {
            write!(f, "  {state} {count}")?;
        }
        write!(f, "  | {:.0}/s | queues:", self.rate)?;
        self.queues.iter().try_for_each(|(queue, jobs)| write!(f, " {queue} {jobs}"))?;
        write!(f, " | running:")?;
        let few = self.running.iter().take(4);
        few.clone().try_for_each(|(kind, id)| write!(f, " {kind}#{id}"))?;
        if self.running.is_empty() { write!(f, " nothing") } else { Ok(()) }
    }
}

/// How it ended, from `legwork.jobs`.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Rows that exist.
    pub enqueued: usize,
    /// Rows by state.
    pub by_outcome: BTreeMap<String, usize>,
    /// Charged attempts of all.
    pub attempts: i64,
    /// From the first row to the daemon's end, in milliseconds.
    pub duration_ms: u128,
    /// Samples that didn't end as they should, and how.
    pub wrong: Vec<String>,
}

impl Summary {
    /// `rows` are the samples', `counts` are of all jobs.
    pub(super) fn of(
        samples: &[Sample],
        rows: &[ObservedJob],
        counts: &[ObservedCount],
        took: Duration,
    ) -> Self {
        let mut by_outcome = BTreeMap::new();
        for count in counts {
            *by_outcome.entry(count.state.clone()).or_default() += count.jobs;
        }
        let wrong = samples.iter().filter_map(|sample| {
            let found = row_of(sample, rows).map(|row| (row.state.as_str(), row.attempt));
            let expected = (sample.ends.as_str(), sample.attempts);
            let differs = |found: (&str, i16)| found != expected;
            let (state, attempts) = expected;
            found.is_none_or(differs).then(|| {
                format!(
                    "{:?} should be {state} after {attempts} attempts, not {found:?}",
                    sample.name
                )
            })
        });
        Self {
            enqueued: counts.iter().map(|count| count.jobs).sum(),
            by_outcome,
            attempts: counts.iter().map(|count| count.attempts).sum(),
            duration_ms: took.as_millis(),
            wrong: wrong.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<ObservedJob> {
        let row = |(id, sample): (i64, &Sample)| ObservedJob {
            id,
            state: sample.ends.as_str().into(),
            queue: "default".into(),
            kind: "k".into(),
            attempt: sample.attempts,
            tags: vec![sample.name.clone()],
        };
        (1..).zip(&super::super::samples::all()).map(row).collect()
    }

    fn count(state: State, queue: &str, jobs: usize) -> ObservedCount {
        let (state, queue) = (state.as_str().into(), queue.into());
        ObservedCount { state, queue, jobs, attempts: 2 * i64::try_from(jobs).unwrap() }
    }

    #[test]
    fn samples_that_end_as_they_should_leave_nothing_wrong() {
        let summary = Summary::of(&super::super::samples::all(), &rows(), &[], Duration::ZERO);
        assert_eq!(summary.wrong, Vec::<String>::new());
    }

    #[test]
    fn a_summary_counts_all_jobs_and_not_the_samples_alone() {
        let counts = [
            count(State::Completed, "default", 70_000),
            count(State::Completed, "programs", 6),
            count(State::Available, "default", 1),
        ];
        let summary = Summary::of(&[], &[], &counts, Duration::ZERO);
        assert_eq!((summary.enqueued, summary.attempts), (70_007, 140_014));
        let by_outcome = [("available".to_owned(), 1), ("completed".to_owned(), 70_006)];
        assert_eq!(summary.by_outcome, by_outcome.into());
    }

    #[test]
    fn a_frame_tells_each_queue_what_is_left_in_it() {
        let counts = [
            count(State::Available, "default", 1),
            count(State::Cancelled, "default", 2),
            count(State::Completed, "default", 3),
            count(State::Completed, "programs", 4),
        ];
        let frame = Frame::of(&counts, Vec::new(), Duration::ZERO);
        assert_eq!(frame.finished, 9);
        let frame = frame.to_string();
        assert!(frame.contains("  available 1  running 0  retryable 0  completed 7  "), "{frame}");
        assert!(frame.contains("| queues: default 1 programs 0 | running: nothing"), "{frame}");
    }

    #[test]
    fn one_wrong_outcome_and_one_missing_row_are_both_named() {
        let mut rows = rows();
        rows[0].state = "discarded".into();
        rows.pop();
        let summary = Summary::of(&super::super::samples::all(), &rows, &[], Duration::ZERO);
        assert_eq!(summary.wrong.len(), 2, "{:?}", summary.wrong);
    }
}
