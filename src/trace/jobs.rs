//! How far each job was: its phases, one after another.

use super::{Event, Phase, Subject, Trace};
use crate::job::JobId;
use std::collections::BTreeMap;

/// What was seen of one attempt.
#[derive(Debug)]
pub(super) struct Course<'t> {
    pub(super) job: &'t Subject,
    /// In their order.
    pub(super) steps: Vec<Step>,
}

/// When it came to a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) at: u64,
    pub(super) phase: Phase,
    pub(super) outcome: &'static str,
    /// Whether that was before the trace.
    pub(super) before: bool,
}

/// That of every attempt.
pub(super) fn courses(trace: &Trace) -> Vec<Course<'_>> {
    let mut courses: BTreeMap<(JobId, i64), Course<'_>> = BTreeMap::new();
    for job in &trace.running {
        let step = Step { at: trace.span.0, phase: Phase::Handler, outcome: "", before: true };
        courses.insert((job.job, job.token), Course { job, steps: vec![step] });
    }
    for event in trace.events() {
        let Event::Phase { job, phase, outcome, at } = event else { continue };
        let step = Step { at: *at, phase: *phase, outcome, before: false };
        let course = courses.entry((job.job, job.token));
        course.or_insert_with(|| Course { job, steps: Vec::new() }).steps.push(step);
    }
    let mut courses: Vec<_> = courses.into_values().collect();
    for course in &mut courses {
        course.steps.sort_unstable();
    }
    courses
}
