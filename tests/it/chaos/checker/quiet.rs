//! Quiet end: once the faults are over, everything comes to an end, and stays there.
//!
//! It is the rule of liveness: the driver waits for it under a generous deadline and writes down
//! that it came true. A job that nobody claims, or a lease that nobody rescues, shows here.

use super::view::{Life, View};
use super::{Rule, Violation};
use crate::chaos::history::{Event, State};

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let mut found: Vec<_> = view.lives.values().filter_map(|life| unfinished(view, life)).collect();
    match view.first(1, |event| matches!(event, Event::Drained {})) {
        None => found.push(of_the_run("the driver waited for the end of all jobs in vain")),
        Some(drained) => found.extend(restless(view, drained)),
    }
    found
}

fn of_the_run(says: &str) -> Violation {
    let (about, says) = ("the run".to_owned(), says.to_owned());
    Violation { rule: Rule::QuietEnd, about, says, evidence: Vec::new() }
}

fn unfinished(view: &View<'_>, life: &Life<'_>) -> Option<Violation> {
    let state = life.at_end?.state;
    (!matches!(state, State::Completed | State::Cancelled | State::Discarded)).then(|| {
        let starts = life.runs.iter().map(|run| run.start);
        let violation = life.breaks(Rule::QuietEnd, "it isn't finished");
        violation.events(view, starts).steps(life.steps.last()).at_end(view, life)
    })
}

/// A handler that started when everything was over.
fn restless(view: &View<'_>, drained: usize) -> Option<Violation> {
    let start = view.first(drained, |event| matches!(event, Event::Start { .. }))?;
    Some(of_the_run("a handler ran after the end of all jobs").events(view, [drained, start]))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome;

    #[rstest]
    #[case::nobody_drained(
        "waited for the end of all jobs in vain",Story::plain().does("u1", "d1", Outcome::Ok))]
    #[case::a_job_in_line(
        "it isn't finished",Story::plain().drained())]
    #[case::a_job_that_is_held(
        "it isn't finished",Story::plain().claimed("u1", "d1").drained())]
    #[case::a_job_that_waits(
        "it isn't finished",Story::plain().does("u1", "d1", Outcome::Retry).drained())]
    #[case::a_job_that_was_cut_at_commit_and_waits(
        "it isn't finished",
        Story::plain().does("u1", "d1", Outcome::Ok).cut_at_commit("u2").inserted("u2").drained()
    )]
    #[case::a_handler_after_the_end(
        "a handler ran after the end of all jobs",
        Story::plain().does("u1", "d1", Outcome::Ok).drained().starts_as("u1", 2, 1, "d1")
    )]
    fn what_does_not_come_to_rest_is_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::QuietEnd, says);
    }

    #[test]
    fn what_comes_to_rest_is_left_alone() {
        Story::plain().does("u1", "d1", Outcome::Ok).drained().keeps_every_rule();
    }
}
