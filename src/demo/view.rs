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

/// Kinds and ids that a line names of what runs; a demo's programs run four at a time.
const RUNNING_SHOWN: usize = 4;

impl fmt::Display for Frame {
    /// One line of any length, for a pipe.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(Detail::ALL[0]))
    }
}

/// What a line has room for.
#[derive(Debug, Clone, Copy)]
struct Detail {
    queues: bool,
    /// How many of the jobs that run are named; otherwise they are among the counts alone.
    running: usize,
    /// States in which no job is.
    empty_states: bool,
    rate: bool,
    names: Names,
}

/// How the states are called.
#[derive(Debug, Clone, Copy)]
enum Names {
    Whole,
    Short,
    /// Short, and close together.
    Dense,
}

impl Detail {
    const WHOLE: Self = Self {
        queues: true,
        running: RUNNING_SHOWN,
        empty_states: true,
        rate: true,
        names: Names::Whole,
    };
    const FILLED: Self = Self { empty_states: false, ..Self::WHOLE };
    const LONE: Self = Self { queues: false, running: 0, ..Self::FILLED };
    /// From the most to the least. What a job's life is about, the states, goes last.
    const ALL: [Self; 8] = [
        Self::WHOLE,
        Self::FILLED,
        Self { queues: false, ..Self::FILLED },
        Self { running: 1, ..Self::LONE },
        Self::LONE,
        Self { names: Names::Short, ..Self::LONE },
        Self { names: Names::Short, rate: false, ..Self::LONE },
        Self { names: Names::Dense, rate: false, ..Self::LONE },
    ];
}

/// As much of a state's name as tells it from the others.
fn short(state: &'static str) -> &'static str {
    match state {
        "scheduled" => "sched",
        "available" => "avail",
        "running" => "run",
        "retryable" => "retry",
        "completed" => "compl",
        "cancelled" => "canc",
        "discarded" => "disc",
        other => other,
    }
}

impl Frame {
    /// One line of at most so many columns, with as much in it as fits. States that no job is in go
    /// first, then the queues, then what runs by name; then names are shortened, at last the line is.
    pub fn fitted(&self, columns: usize) -> String {
        let fits = |line: &String| line.chars().count() <= columns;
        let lines = Detail::ALL.map(|detail| self.line(detail));
        let [.., least] = &lines;
        match lines.iter().find(|line| fits(line)) {
            Some(line) => line.clone(),
            None if columns == 0 => String::new(),
            None => least.chars().take(columns - 1).chain(['…']).collect(),
        }
    }

    fn line(&self, detail: Detail) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let states = self.states.iter().filter(|(_, count)| detail.empty_states || *count > 0);
        let states = states.map(|(state, count)| match detail.names {
            Names::Whole => format!("  {state} {count}"),
            Names::Short => format!("  {} {count}", short(state)),
            Names::Dense => format!(" {} {count}", short(state)),
        });
        let rate = format!("  | {:.0}/s", self.rate);
        let queues = self.queues.iter().map(|(queue, jobs)| format!(" {queue} {jobs}"));
        let queues = format!(" | queues:{}", queues.collect::<String>());
        let shown = |shown, part| if shown { part } else { String::new() };
        [
            format!("{seconds:>5.1}s"),
            states.collect(),
            shown(detail.rate, rate),
            shown(detail.queues, queues),
            shown(detail.running > 0, self.running(detail.running)),
        ]
        .concat()
    }

    /// What runs, at most so many of them by name.
    fn running(&self, shown: usize) -> String {
        let named = self.running.iter().take(shown).map(|(kind, id)| format!(" {kind}#{id}"));
        let named: String = named.collect();
        match self.running.len() {
            0 => " | running: nothing".into(),
            all if all > shown => format!(" | running:{named} +{}", all - shown),
            _ => format!(" | running:{named}"),
        }
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

    /// Something of everything.
    fn busy() -> Frame {
        let states =
            State::ALL.map(|state| (state.as_str(), usize::from(state != State::Available)));
        let queues = [("default".to_owned(), 12), ("programs".to_owned(), 3)].into();
        let running = (1..=6).map(|id| ("demo.resize".to_owned(), id)).collect();
        let elapsed = Duration::from_millis(12_340);
        Frame { states: states.into(), queues, running, finished: 3, rate: 41.6, elapsed }
    }

    #[rstest::rstest]
    #[case::wide(
        250,
        " 12.3s  scheduled 1  available 0  running 1  retryable 1  completed 1  cancelled 1  \
         discarded 1  | 42/s | queues: default 12 programs 3 | running: demo.resize#1 \
         demo.resize#2 demo.resize#3 demo.resize#4 +2"
    )]
    #[case::without_empty_states(
        192,
        " 12.3s  scheduled 1  running 1  retryable 1  completed 1  cancelled 1  discarded 1  | 42/s \
         | queues: default 12 programs 3 | running: demo.resize#1 demo.resize#2 demo.resize#3 \
         demo.resize#4 +2"
    )]
    #[case::without_queues(
        165,
        " 12.3s  scheduled 1  running 1  retryable 1  completed 1  cancelled 1  discarded 1  | 42/s \
         | running: demo.resize#1 demo.resize#2 demo.resize#3 demo.resize#4 +2"
    )]
    #[case::with_one_that_runs(
        120,
        " 12.3s  scheduled 1  running 1  retryable 1  completed 1  cancelled 1  discarded 1  | 42/s \
         | running: demo.resize#1 +5"
    )]
    #[case::with_the_rate(
        93,
        " 12.3s  scheduled 1  running 1  retryable 1  completed 1  cancelled 1  discarded 1  | 42/s"
    )]
    #[case::with_short_names(
        80,
        " 12.3s  sched 1  run 1  retry 1  compl 1  canc 1  disc 1  | 42/s"
    )]
    #[case::with_states_alone(60, " 12.3s  sched 1  run 1  retry 1  compl 1  canc 1  disc 1")]
    #[case::close_together(55, " 12.3s sched 1 run 1 retry 1 compl 1 canc 1 disc 1")]
    #[case::cut(40, " 12.3s sched 1 run 1 retry 1 compl 1 ca…")]
    #[case::one(1, "…")]
    #[case::none(0, "")]
    fn a_line_drops_what_matters_least_until_it_fits(#[case] columns: usize, #[case] line: &str) {
        assert_eq!(busy().fitted(columns), line);
    }

    #[test]
    fn a_short_name_tells_every_state_from_the_others() {
        let names: std::collections::BTreeSet<_> =
            State::ALL.map(|state| short(state.as_str())).into();
        assert_eq!(names.len(), State::ALL.len());
        assert!(names.iter().all(|name| name.len() <= 5), "{names:?}");
    }

    #[test]
    fn a_line_is_never_longer_than_the_terminal_is_wide() {
        for columns in 0..300 {
            let long = busy().fitted(columns).chars().count();
            assert!(long <= columns, "{long} in {columns}");
        }
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
