//! The record of a run, put in the order in which the rules ask for it: by job, by uid, by lease.
//!
//! It judges nothing. What doesn't fit together is left as it is for the rules to find.

use std::collections::BTreeMap;

use serde::Serialize;

use super::harm::{self, Process};
use super::moves::{Move, classify};
use super::{Rule, Violation};
use crate::chaos::history::{
    EVENTS, Event, History, JOBS, JobAtEnd, Op, Outcome, TRANSITIONS, Transition,
};

/// The number of a line in `events.jsonl`, from 1: the time, for whatever happened outside the
/// database.
pub(super) type Line = usize;

/// All of a run.
pub(super) struct View<'h> {
    pub history: &'h History,
    pub lives: BTreeMap<i64, Life<'h>>,
    pub enqueues: BTreeMap<&'h str, Enqueue>,
    /// Each process of each daemon, in the order in which they were started.
    pub processes: Vec<Process<'h>>,
}

/// What a producer was told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enqueue {
    pub invoked: Line,
    pub max_attempts: u16,
    pub fate: Fate,
}

/// How an enqueue ended for its producer. One that was never answered is unknown too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Ok(Line),
    Failed(Line),
    Unknown,
}

/// What is known of a job.
#[derive(Debug, Default)]
pub(super) struct Life<'h> {
    pub job: i64,
    pub uid: &'h str,
    /// By token, and by line where one token ran twice.
    pub runs: Vec<Run<'h>>,
    /// In the trigger's order.
    pub steps: Vec<Step<'h>>,
    pub at_end: Option<&'h JobAtEnd>,
}

/// One execution of a handler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'h> {
    pub token: i64,
    pub attempt: i64,
    pub daemon: &'h str,
    pub start: Line,
    pub end: Option<(Line, Outcome)>,
}

/// One change of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'h> {
    /// Its line in `transitions.jsonl`.
    pub line: usize,
    pub seen: &'h Transition,
    pub what: Result<Move, &'static str>,
}

/// A lease, from its claim to what ended it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease<'v, 'h> {
    pub claim: &'v Step<'h>,
    pub end: Option<&'v Step<'h>>,
    /// The job in history, where the lease ended so.
    pub kept: Option<&'v Step<'h>>,
}

impl Lease<'_, '_> {
    /// The step that ended it.
    pub(super) fn ended_by(&self) -> Option<Move> {
        self.end.and_then(|step| step.what.ok())
    }
}

impl<'h> View<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        Self {
            history,
            lives: lives(history),
            enqueues: enqueues(history),
            processes: harm::processes(history),
        }
    }

    /// A line of `events.jsonl` for people.
    pub(super) fn event(&self, line: Line) -> String {
        show(EVENTS, line, &self.history.events[line - 1])
    }

    /// The first line of `events.jsonl` that is so, from `from` on.
    pub(super) fn first(&self, from: Line, is: impl Fn(&Event) -> bool) -> Option<Line> {
        let rest = self.history.events.iter().enumerate().skip(from.saturating_sub(1));
        rest.map(|(at, event)| (at + 1, event)).find(|(_, event)| is(event)).map(|(line, _)| line)
    }
}

impl<'h> Life<'h> {
    /// The lease of this token, where a claim gave it.
    pub(super) fn lease(&self, token: i64) -> Option<Lease<'_, 'h>> {
        let claimed = |step: &Step<'_>| step.seen.token == token && step.what == Ok(Move::Claim);
        let at = self.steps.iter().position(claimed)?;
        let rest = &self.steps[at + 1..];
        // A change that is forbidden ends it too, where it leaves no holder.
        let ends = |step: &Step<'_>| match step.what {
            Ok(what) => what.ends_lease(),
            Err(_) => step.seen.holder.is_none() || step.seen.op == Op::Delete,
        };
        let end = rest.iter().position(ends);
        let finished = end.filter(|at| rest[*at].what == Ok(Move::Finish));
        let kept = finished.and_then(|at| rest.get(at + 1)).filter(|s| s.what == Ok(Move::Keep));
        Some(Lease { claim: &self.steps[at], end: end.map(|at| &rest[at]), kept })
    }

    /// The run under this token.
    pub(super) fn run(&self, token: i64) -> Option<&Run<'h>> {
        self.runs.iter().find(|run| run.token == token)
    }

    /// Whether a handler said that it did its work.
    pub(super) fn was_done(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.end, Some((_, Outcome::Ok))))
    }

    /// Says what is wrong with this job.
    pub(super) fn breaks(&self, rule: Rule, says: impl Into<String>) -> Violation {
        let about = format!("job {} ({})", self.job, self.uid);
        Violation { rule, about, says: says.into(), evidence: Vec::new() }
    }
}

impl Step<'_> {
    /// The line of `transitions.jsonl` for people.
    pub(super) fn shown(&self) -> String {
        show(TRANSITIONS, self.line, self.seen)
    }
}

impl Violation {
    /// With lines of `events.jsonl`.
    pub(super) fn events(mut self, view: &View<'_>, lines: impl IntoIterator<Item = Line>) -> Self {
        self.evidence.extend(lines.into_iter().map(|line| view.event(line)));
        self
    }

    /// With both ends of a run.
    pub(super) fn run(self, view: &View<'_>, run: &Run<'_>) -> Self {
        self.events(view, [Some(run.start), run.end.map(|(line, _)| line)].into_iter().flatten())
    }

    /// With lines of `transitions.jsonl`.
    pub(super) fn steps<'s>(mut self, steps: impl IntoIterator<Item = &'s Step<'s>>) -> Self {
        self.evidence.extend(steps.into_iter().map(Step::shown));
        self
    }

    /// With how the job stands at the end.
    pub(super) fn at_end(mut self, view: &View<'_>, life: &Life<'_>) -> Self {
        let all = view.history.jobs.iter().enumerate().filter(|(_, job)| job.job == life.job);
        self.evidence.extend(all.map(|(at, job)| show(JOBS, at + 1, job)));
        self
    }
}

fn show(file: &str, line: usize, what: &impl Serialize) -> String {
    let text = serde_json::to_string(what).expect("what was read can be written");
    format!("{file}:{line} {text}")
}

fn numbered(history: &History) -> impl Iterator<Item = (Line, &Event)> {
    history.events.iter().enumerate().map(|(at, event)| (at + 1, event))
}

fn enqueues(history: &History) -> BTreeMap<&str, Enqueue> {
    let mut enqueues = BTreeMap::new();
    for (line, event) in numbered(history) {
        let (uid, fate) = match event {
            Event::Invoke { uid, max_attempts } => {
                let (max_attempts, fate) = (*max_attempts, Fate::Unknown);
                enqueues.insert(uid.as_str(), Enqueue { invoked: line, max_attempts, fate });
                continue;
            }
            Event::Ok { uid } => (uid, Fate::Ok(line)),
            Event::Fail { uid } => (uid, Fate::Failed(line)),
            _ => continue,
        };
        if let Some(enqueue) = enqueues.get_mut(uid.as_str()) {
            enqueue.fate = fate;
        }
    }
    enqueues
}

fn lives(history: &History) -> BTreeMap<i64, Life<'_>> {
    let mut lives: BTreeMap<i64, Life<'_>> = BTreeMap::new();
    for (at, seen) in history.transitions.iter().enumerate() {
        let life = named(&mut lives, seen.job, &seen.uid);
        let what = classify(life.steps.last().map(|step| step.seen), seen);
        life.steps.push(Step { line: at + 1, seen, what });
    }
    for job in &history.jobs {
        named(&mut lives, job.job, &job.uid).at_end = Some(job);
    }
    for (line, event) in numbered(history) {
        match event {
            Event::Start { uid, job, token, attempt, daemon } => {
                let (token, attempt) = (*token, *attempt);
                let run = Run { token, attempt, daemon, start: line, end: None };
                named(&mut lives, *job, uid).runs.push(run);
            }
            Event::End { uid, job, token, outcome, .. } => {
                let runs = &mut named(&mut lives, *job, uid).runs;
                let ours = |run: &&mut Run<'_>| run.token == *token && run.end.is_none();
                // Where a lease ran twice, more likely the newer of them.
                if let Some(run) = runs.iter_mut().rfind(ours) {
                    run.end = Some((line, *outcome));
                }
            }
            _ => {}
        }
    }
    for life in lives.values_mut() {
        life.runs.sort_by_key(|run| (run.token, run.start));
    }
    lives
}

fn named<'l, 'h>(
    lives: &'l mut BTreeMap<i64, Life<'h>>,
    job: i64,
    uid: &'h str,
) -> &'l mut Life<'h> {
    lives.entry(job).or_insert_with(|| Life { job, uid, ..Life::default() })
}
