//! Attempts: no handler runs more often than its job allows, and only what failed is charged.
//!
//! An attempt is charged by a failure and by a rescue; a release, a snooze and an interruption
//! charge nothing. A job that is claimed for the last time and lost unstarted is charged as well, so
//! the count of the row may exceed the limit by refusals; the handler's number never does.

use super::moves::Move;
use super::view::{Lease, Life, Run, View};
use super::{Rule, Violation};
use crate::chaos::history::State;

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for life in view.lives.values() {
        found.extend(life.runs.iter().filter_map(|run| misnumbered(view, life, run)));
        found.extend(life.runs.iter().filter_map(|run| too_many(view, life, run)));
        let claims = life.steps.iter().filter(|step| step.what == Ok(Move::Claim));
        let leases = claims.filter_map(|step| life.lease(step.seen.token));
        found.extend(leases.filter_map(|lease| mischarged(view, life, lease)));
    }
    found
}

/// A handler that was told another number than its row says.
fn misnumbered(view: &View<'_>, life: &Life<'_>, run: &Run<'_>) -> Option<Violation> {
    let claim = life.lease(run.token)?.claim;
    let right = claim.seen.attempt + 1;
    (run.attempt != right).then(|| {
        let says = format!("its handler was told of attempt {}, and it was {right}", run.attempt);
        life.breaks(Rule::Attempts, says).steps([claim]).run(view, run)
    })
}

/// A handler that ran though the job had been tried as often as it may.
fn too_many(view: &View<'_>, life: &Life<'_>, run: &Run<'_>) -> Option<Violation> {
    let enqueue = view.enqueues.get(life.uid)?;
    let most = enqueue.max_attempts;
    (run.attempt > i64::from(most)).then(|| {
        let says = format!("attempt {} of at most {most} ran", run.attempt);
        life.breaks(Rule::Attempts, says).events(view, [enqueue.invoked]).run(view, run)
    })
}

/// A lease whose end charged what hadn't failed, or didn't charge what ran to its end.
fn mischarged(view: &View<'_>, life: &Life<'_>, lease: Lease<'_, '_>) -> Option<Violation> {
    let run = life.run(lease.claim.seen.token);
    let decided = run.and_then(|run| run.end).is_some();
    let charge = lease.kept.map(|kept| kept.seen.attempt - lease.claim.seen.attempt);
    let says = match (lease.ended_by()?, lease.kept.and_then(|kept| kept.seen.to), charge) {
        (Move::Retry, ..) if !decided => "it was charged with a failure that no handler reported",
        (Move::Finish, Some(State::Completed), Some(0)) => "its completion wasn't charged",
        (Move::Finish, Some(State::Discarded), Some(1)) if run.is_none() => {
            "it was charged with an attempt that never ran"
        }
        (Move::Finish, Some(State::Cancelled), Some(1)) => "its cancellation was charged",
        _ => return None,
    };
    let violation = life.breaks(Rule::Attempts, says).steps([lease.claim]).steps(lease.end);
    let violation = violation.steps(lease.kept);
    Some(run.into_iter().fold(violation, |violation, run| violation.run(view, run)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome::{Discard, Ok as Done, Retry, Snooze};

    /// A job that failed so often and is in line again.
    fn failed(times: usize) -> Story {
        (0..times).fold(Story::plain(), |story, _| story.does("u1", "d1", Retry).promoted("u1"))
    }

    #[rstest]
    #[case::a_sixth_of_five(
        "attempt 6 of at most 5 ran",failed(5).does("u1", "d1", Done))]
    #[case::a_sixth_after_rescues(
        "attempt 6 of at most 5 ran",
        failed(4).claimed("u1", "d1").killed("d1").declared_dead("d1").rescued("u1")
            .does("u1", "d2", Done)
    )]
    #[case::told_the_wrong_number(
        "was told of attempt 2, and it was 1",Story::plain().claimed("u1", "d1").starts_as("u1", 1, 2, "d1"))]
    #[case::told_the_first_number_again(
        "was told of attempt 1, and it was 2",failed(1).claimed("u1", "d1").starts_as("u1", 2, 1, "d1"))]
    #[case::an_interruption_that_was_charged(
        "a failure that no handler reported",
        Story::plain().runs("u1", "d1").told_to_stop("d1").retried("u1")
    )]
    #[case::a_failure_without_a_run(
        "a failure that no handler reported",Story::plain().claimed("u1", "d1").retried("u1"))]
    #[case::a_refusal_that_was_charged(
        "an attempt that never ran",
        Story::plain().claimed("u1", "d1").discarded("u1", "expired")
            .last_change(|change| change.attempt = 1)
    )]
    #[case::a_completion_that_was_not(
        "its completion wasn't charged",
        Story::plain().does("u1", "d1", Done).last_change(|change| change.attempt = 0)
    )]
    #[case::a_cancellation_that_was_charged(
        "its cancellation was charged",
        Story::plain().runs("u1", "d1").asked_to_stop("u1").cancelled("u1")
            .last_change(|change| change.attempt = 1)
    )]
    fn an_attempt_too_many_or_wrongly_charged_is_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Attempts, says);
    }

    #[rstest]
    #[case::the_last_of_five(failed(4).does("u1", "d1", Done))]
    #[case::the_last_of_five_failed(
        failed(4).runs("u1", "d1").says("u1", Retry).discarded("u1", "attempts_exhausted")
    )]
    #[case::lost_unstarted_at_the_last(
        failed(4).claimed("u1", "d1").killed("d1").declared_dead("d1").rescued("u1")
            .claimed("u1", "d2").discarded("u1", "attempts_exhausted")
    )]
    #[case::snoozes_and_interruptions_cost_nothing(
        failed(4).does("u1", "d1", Snooze).promoted("u1").runs("u1", "d1").told_to_stop("d1")
            .released("u1").exits("d1", Some(0)).does("u1", "d2", Done)
    )]
    #[case::discarded_by_its_handler(failed(2).does("u1", "d1", Discard))]
    fn what_a_job_allows_is_left_alone(#[case] story: Story) {
        story.drained().keeps_every_rule();
    }
}
