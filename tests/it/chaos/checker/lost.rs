//! Lost: what was acknowledged is there, and what is finished was done.
//!
//! A job that its producer saw committed ends completed, after a handler said so, or cancelled, or
//! discarded for a reason that programs can read. Unfinished jobs of a run that didn't drain are the
//! quiet end's affair: they are still there.

use super::view::{Fate, Life, View};
use super::{Rule, Violation};
use crate::chaos::history::{JobAtEnd, State};

/// What may stand in the reason of a job that was discarded; no operator is part of a run.
const REASONS: [&str; 7] = [
    "attempts_exhausted",
    "rescues_exhausted",
    "snoozes_exhausted",
    "invalid_payload",
    "permanent_error",
    "expired",
    "unknown_kind_expired",
];

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let lives = view.lives.values();
    let mut found: Vec<_> = lives.filter_map(|life| lost_or_undone(view, life)).collect();
    found.extend(never_seen(view));
    found
}

fn lost_or_undone(view: &View<'_>, life: &Life<'_>) -> Option<Violation> {
    let says = match life.at_end {
        // A job that only handlers saw is the record's affair.
        None if life.steps.is_empty() => return None,
        None => "it was there, and is neither live nor in history",
        Some(job) => undone(life, job)?,
    };
    let starts = life.runs.iter().map(|run| run.start);
    let violation = life.breaks(Rule::Lost, says).events(view, starts);
    Some(violation.steps(life.steps.last()).at_end(view, life))
}

fn undone(life: &Life<'_>, job: &JobAtEnd) -> Option<&'static str> {
    let known = |reason: &String| REASONS.contains(&reason.as_str());
    match job.state {
        State::Completed if !life.was_done() => {
            Some("it is completed, and no handler said that it was done")
        }
        State::Discarded if !job.reason.as_ref().is_some_and(known) => {
            Some("it is discarded for no reason that is known")
        }
        _ => None,
    }
}

/// Jobs that were acknowledged and of which nobody ever saw a trace.
fn never_seen<'v>(view: &'v View<'_>) -> impl Iterator<Item = Violation> + 'v {
    let traced = |uid: &str| view.lives.values().any(|life| life.uid == uid);
    view.enqueues.iter().filter_map(move |(uid, enqueue)| match enqueue.fate {
        Fate::Ok(line) if !traced(uid) => {
            let says = "it was acknowledged, and there is no trace of it".to_owned();
            let about = format!("enqueue of {uid}");
            let violation = Violation { rule: Rule::Lost, about, says, evidence: Vec::new() };
            Some(violation.events(view, [enqueue.invoked, line]))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome;

    #[rstest]
    #[case::no_trace_of_what_was_acknowledged(
        "there is no trace of it",Story::plain().acknowledged("u2"))]
    #[case::gone_while_it_waited(
        "neither live nor in history",Story::plain().vanishes("u1"))]
    #[case::gone_with_its_completion(
        "neither live nor in history",Story::plain().does("u1", "d1", Outcome::Ok).vanishes("u1"))]
    #[case::gone_though_nobody_knew_that_it_was_there(
        "neither live nor in history",
        Story::plain().cut_at_commit("u2").inserted("u2").vanishes("u2")
    )]
    #[case::completed_without_a_run(
        "no handler said that it was done",Story::plain().claimed("u1", "d1").completed("u1"))]
    #[case::completed_by_a_run_that_never_ended(
        "no handler said that it was done",
        Story::plain().runs("u1", "d1").completed("u1")
    )]
    #[case::completed_by_a_run_that_failed(
        "no handler said that it was done",
        Story::plain().runs("u1", "d1").says("u1", Outcome::Retry).completed("u1")
    )]
    #[case::discarded_for_no_reason(
        "for no reason that is known",
        Story::plain().does("u1", "d1", Outcome::Discard).at_end("u1", |job| job.reason = None)
    )]
    #[case::discarded_for_a_reason_nobody_knows(
        "for no reason that is known",
        Story::plain().runs("u1", "d1").says("u1", Outcome::Discard).discarded("u1", "bad luck")
    )]
    fn what_is_lost_or_was_never_done_is_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Lost, says);
    }

    #[rstest]
    #[case::completed(Story::plain().does("u1", "d1", Outcome::Ok))]
    #[case::discarded(Story::plain().does("u1", "d1", Outcome::Discard))]
    #[case::cancelled_while_it_waited(Story::plain().cancelled("u1"))]
    #[case::cut_at_commit_and_not_there(
        Story::plain().cut_at_commit("u2").does("u1", "d1", Outcome::Ok)
    )]
    fn what_came_to_an_end_is_not_lost(#[case] story: Story) {
        story.drained().keeps_every_rule();
    }
}
