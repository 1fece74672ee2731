//! Record: the three files tell one story. Where they don't, no other rule can be trusted.
//!
//! A missing line, a trigger that was off or a mix-up of uids would make other rules pass for want of
//! evidence, so it is a violation of its own.

use std::collections::BTreeSet;

use super::view::{Life, View};
use super::{Rule, Violation};
use crate::chaos::history::{Event, Op, State, Verb};

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let mut found = unpaired_ends(view);
    found.extend(signals_to_nobody(view));
    found.extend(unordered(view));
    for life in view.lives.values() {
        found.extend(unnoted(view, life));
        found.extend(mixed_up(view, life));
        found.extend(disagreeing(view, life));
    }
    found
}

fn of_the_run(says: &str) -> Violation {
    let (about, says) = ("the run".to_owned(), says.to_owned());
    Violation { rule: Rule::Record, about, says, evidence: Vec::new() }
}

/// Ends without a start, and second ends.
fn unpaired_ends(view: &View<'_>) -> Vec<Violation> {
    let runs = view.lives.values().flat_map(|life| &life.runs);
    let paired: BTreeSet<_> = runs.filter_map(|run| run.end).map(|(line, _)| line).collect();
    let events = view.history.events.iter().enumerate().map(|(at, event)| (at + 1, event));
    let ends = events.filter(|(_, event)| matches!(event, Event::End { .. }));
    ends.filter(|(line, _)| !paired.contains(line))
        .map(|(line, _)| of_the_run("a handler ended that hadn't started").events(view, [line]))
        .collect()
}

/// Signals and exits of daemons that were never started.
fn signals_to_nobody(view: &View<'_>) -> Vec<Violation> {
    let started = |daemon: &str| view.processes.iter().any(|process| process.daemon == daemon);
    let to_nobody = |event: &Event| match event {
        Event::Fault { verb: Verb::PgRestart | Verb::PgTerminate, .. } => false,
        Event::Fault { daemon, .. } => daemon.as_ref().is_none_or(|daemon| !started(daemon)),
        Event::Exit { daemon, .. } | Event::Start { daemon, .. } => !started(daemon),
        _ => false,
    };
    let events = view.history.events.iter().enumerate();
    events
        .filter(|(_, event)| to_nobody(event))
        .map(|(at, _)| {
            of_the_run("a daemon is named that was never started").events(view, [at + 1])
        })
        .collect()
}

/// Transitions whose sequence doesn't rise.
fn unordered(view: &View<'_>) -> Option<Violation> {
    let seqs = view.history.transitions.windows(2);
    let unordered = seqs.into_iter().any(|pair| pair[1].seq <= pair[0].seq);
    unordered.then(|| of_the_run("the transitions aren't in the order of their sequence"))
}

/// A job of which the trigger knows nothing.
fn unnoted(view: &View<'_>, life: &Life<'_>) -> Option<Violation> {
    life.steps.is_empty().then(|| {
        let starts = life.runs.iter().map(|run| run.start);
        let violation = life.breaks(Rule::Record, "the trigger has no line of it");
        violation.events(view, starts).at_end(view, life)
    })
}

/// A job that is somebody else's in another file, or under two uids.
fn mixed_up(view: &View<'_>, life: &Life<'_>) -> Option<Violation> {
    let of_job = |event: &Event| match event {
        Event::Start { uid, job, .. } | Event::End { uid, job, .. } => {
            *job == life.job && uid != life.uid
        }
        _ => false,
    };
    let in_events = view.first(1, of_job);
    let step = life.steps.iter().find(|step| step.seen.uid != life.uid);
    let at_end = life.at_end.is_some_and(|job| job.uid != life.uid);
    (in_events.is_some() || step.is_some() || at_end).then(|| {
        let violation = life.breaks(Rule::Record, "the files give it two uids");
        violation.events(view, in_events).steps(step).at_end(view, life)
    })
}

/// A job that stands otherwise than its last transition left it.
fn disagreeing(view: &View<'_>, life: &Life<'_>) -> Option<Violation> {
    let (last, at_end) = (life.steps.last()?, life.at_end?);
    let state = if last.seen.op == Op::Delete { None } else { last.seen.to };
    let stood = |state: State| (state, last.seen.token, last.seen.attempt);
    (state.map(stood) != Some((at_end.state, at_end.token, at_end.attempt))).then(|| {
        let violation = life.breaks(Rule::Record, "its last transition doesn't lead to its end");
        violation.steps([last]).at_end(view, life)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome;

    #[rstest]
    #[case::an_end_without_a_start(
        "a handler ended that hadn't started",Story::plain().claimed("u1", "d1").says("u1", Outcome::Ok))]
    #[case::a_second_end(
        "a handler ended that hadn't started",
        Story::plain().runs("u1", "d1").says("u1", Outcome::Ok).says("u1", Outcome::Ok)
    )]
    #[case::a_signal_to_a_daemon_that_was_never_started(
        "a daemon is named that was never started",Story::plain().told_to_stop("d9"))]
    #[case::a_run_on_a_daemon_that_was_never_started(
        "a daemon is named that was never started",
        Story::plain().claimed("u1", "d1").starts_as("u1", 1, 1, "d9")
    )]
    #[case::a_job_that_the_trigger_did_not_see(
        "the trigger has no line of it",
        Story::plain().runs("u1", "d1").says("u1", Outcome::Ok).unseen_by_the_trigger()
    )]
    #[case::two_uids_of_one_job(
        "the files give it two uids",
        Story::plain().claimed("u1", "d1").last_change(|change| change.uid.replace_range(.., "u2"))
    )]
    #[case::a_sequence_that_falls(
        "aren't in the order of their sequence",
        Story::plain().claimed("u1", "d1").last_change(|change| change.seq = 1)
    )]
    #[case::an_end_that_nothing_led_to(
        "doesn't lead to its end",
        Story::plain().does("u1", "d1", Outcome::Ok).at_end("u1", |job| job.token = 7)
    )]
    #[case::an_attempt_too_many_at_the_end(
        "doesn't lead to its end",
        Story::plain().does("u1", "d1", Outcome::Ok).at_end("u1", |job| job.attempt = 2)
    )]
    fn files_that_disagree_are_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Record, says);
    }

    #[test]
    fn files_that_agree_are_left_alone() {
        Story::plain().does("u1", "d1", Outcome::Ok).drained().keeps_every_rule();
    }
}
