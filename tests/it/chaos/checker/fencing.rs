//! Fencing: a lease is ended only by its own holder's result, and only its own handler's.
//!
//! The row that a late result reaches carries the newer token by then, so the row alone can't tell.
//! Two things can: the result itself, in which the handler left its token, and the handler of the
//! newer lease, which decided something else, or nothing yet.

use super::moves::Move;
use super::view::{Lease, Life, Run, View};
use super::{Rule, Violation};
use crate::chaos::history::{Outcome, State};

/// Reasons with which a job is discarded before it runs.
const REFUSALS: [&str; 3] = ["attempts_exhausted", "rescues_exhausted", "expired"];

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for life in view.lives.values() {
        let claims = life.steps.iter().filter(|step| step.what == Ok(Move::Claim));
        let leases = claims.filter_map(|step| life.lease(step.seen.token));
        found.extend(leases.filter_map(|lease| foreign_end(view, life, lease)));
        found.extend(life.runs.iter().filter_map(|run| unclaimed(view, life, run)));
    }
    found
}

/// A lease that was ended by what its own handler hadn't decided.
fn foreign_end(view: &View<'_>, life: &Life<'_>, lease: Lease<'_, '_>) -> Option<Violation> {
    let token = lease.claim.seen.token;
    let run = life.run(token);
    let says = match lease.kept.and_then(|kept| kept.seen.result_token) {
        Some(other) if other != token => format!("the result of token {other} ended token {token}"),
        _ => format!("token {token} was {}", another_decision(life, run, lease)?),
    };
    let violation = life.breaks(Rule::Fencing, says);
    let runs = life.runs.iter().filter(|run| run.token <= token);
    let violation = runs.fold(violation, |violation, run| violation.run(view, run));
    Some(violation.steps([lease.claim]).steps(lease.end).steps(lease.kept))
}

fn another_decision(
    life: &Life<'_>,
    run: Option<&Run<'_>>,
    lease: Lease<'_, '_>,
) -> Option<&'static str> {
    let decided = run.and_then(|run| run.end).map(|(_, outcome)| outcome);
    let outcome = lease.kept.and_then(|kept| kept.seen.to);
    match (lease.ended_by()?, outcome) {
        (Move::Retry, _) if decided.is_some_and(|decided| decided != Outcome::Retry) => {
            Some("retried, and its handler decided otherwise")
        }
        (Move::Snooze, _) if decided != Some(Outcome::Snooze) => {
            Some("put off, and its handler hadn't decided so")
        }
        (Move::Finish, Some(State::Completed)) if decided != Some(Outcome::Ok) => {
            Some("completed, and its handler hadn't decided so")
        }
        (Move::Finish, Some(State::Discarded)) if !discards(life, run, decided) => {
            Some("discarded, and its handler hadn't decided so")
        }
        _ => None,
    }
}

/// Whether a discard may follow: of what its handler decided, or of what never ran.
fn discards(life: &Life<'_>, run: Option<&Run<'_>>, decided: Option<Outcome>) -> bool {
    let reason = life.at_end.and_then(|job| job.reason.as_deref());
    match (run, decided) {
        // A job that ran again later has another reason by now.
        _ if life.at_end.is_none_or(|job| job.state != State::Discarded) => true,
        (None, _) => reason.is_some_and(|reason| REFUSALS.contains(&reason)),
        (_, Some(Outcome::Retry)) => reason == Some("attempts_exhausted"),
        (_, Some(Outcome::Snooze)) => reason == Some("snoozes_exhausted"),
        (_, Some(Outcome::Discard)) => {
            matches!(reason, Some("permanent_error" | "invalid_payload"))
        }
        (Some(_), Some(Outcome::Ok) | None) => false,
    }
}

/// A handler that ran under a lease that no claim gave: its claim never committed.
fn unclaimed(view: &View<'_>, life: &Life<'_>, run: &Run<'_>) -> Option<Violation> {
    life.lease(run.token).is_none().then(|| {
        let says = format!("a handler ran under token {}, which no claim gave", run.token);
        life.breaks(Rule::Fencing, says).run(view, run).steps(life.steps.last())
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome::{Discard, Ok as Done, Retry, Snooze};

    /// The first run stands on a daemon that stood still, the second runs.
    fn two_runs() -> Story {
        let story = Story::plain().runs("u1", "d1").stopped("d1").declared_dead("d1");
        story.rescued("u1").runs("u1", "d2")
    }

    #[rstest]
    #[case::a_late_result_completed_the_newer_lease(
        "the result of token 1 ended token 2",
        two_runs().says_as("u1", 1, Done).completed_by("u1", Some(1)).says("u1", Done)
    )]
    #[case::a_late_result_without_a_token_completed_a_lease_that_failed(
        "token 2 was completed, and its handler",
        two_runs().says_as("u1", 1, Done).completed_by("u1", None).says("u1", Retry)
    )]
    #[case::a_late_failure_gave_back_the_newer_lease(
        "token 2 was retried, and its handler",
        two_runs().says_as("u1", 1, Retry).retried("u1").says("u1", Done)
    )]
    #[case::a_late_snooze_put_off_the_newer_lease(
        "token 2 was put off, and its handler",
        two_runs().says_as("u1", 1, Snooze).snoozed("u1").says("u1", Done)
    )]
    #[case::a_late_discard_ended_the_newer_lease(
        "token 2 was discarded, and its handler",
        two_runs().says_as("u1", 1, Discard).discarded("u1", "permanent_error").says("u1", Done)
    )]
    #[case::completed_before_its_handler_decided(
        "token 2 was completed, and its handler",two_runs().completed("u1"))]
    #[case::discarded_before_its_handler_decided(
        "token 2 was discarded, and its handler",
        two_runs().discarded("u1", "attempts_exhausted")
    )]
    #[case::discarded_for_another_reason(
        "token 2 was discarded, and its handler",
        two_runs().says("u1", Retry).discarded("u1", "permanent_error")
    )]
    #[case::discarded_unstarted_for_what_only_a_handler_can_say(
        "token 1 was discarded, and its handler",
        Story::plain().claimed("u1", "d1").discarded("u1", "permanent_error")
    )]
    #[case::ran_under_a_claim_that_never_committed(
        "under token 1, which no claim gave",Story::plain().starts_as("u1", 1, 1, "d1"))]
    fn a_result_that_ended_another_lease_is_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Fencing, says);
    }

    #[rstest]
    #[case::a_late_result_that_was_refused(
        two_runs().says_as("u1", 1, Done).says("u1", Done).completed("u1"), 1
    )]
    #[case::a_late_failure_that_was_refused(
        two_runs().says_as("u1", 1, Retry).says("u1", Done).completed("u1"), 1
    )]
    #[case::a_result_that_holds_no_token(
        Story::plain().runs("u1", "d1").says("u1", Done).completed_by("u1", None), 0
    )]
    #[case::discarded_at_the_last_attempt(
        Story::plain().runs("u1", "d1").says("u1", Retry).discarded("u1", "attempts_exhausted"), 0
    )]
    #[case::refused_unstarted(
        Story::plain().claimed("u1", "d1").discarded("u1", "rescues_exhausted"), 0
    )]
    fn each_lease_ended_by_its_own_result_is_left_alone(#[case] story: Story, #[case] late: usize) {
        let story = story.drained();
        assert_eq!(story.report().counts.unused_results, late);
        story.keeps_every_rule();
    }
}
