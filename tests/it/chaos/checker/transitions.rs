//! Transitions: every change of a row is one of the table's, and tokens only rise, by claims alone.
//!
//! [`super::moves`] knows the table. A rescue from a daemon that lives is forbidden here too, since
//! only the trigger saw whether its holder had been declared dead.

use super::view::{Life, View};
use super::{Rule, Violation};

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    view.lives.values().flat_map(forbidden).collect()
}

fn forbidden<'v>(life: &'v Life<'_>) -> impl Iterator<Item = Violation> + 'v {
    let steps = life.steps.iter().enumerate();
    steps.filter_map(|(at, step)| {
        let says = step.what.err()?;
        let violation = life.breaks(Rule::Transitions, says);
        Some(violation.steps(at.checked_sub(1).map(|before| &life.steps[before])).steps([step]))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome::{Discard, Ok as Done, Retry, Snooze};
    use crate::chaos::history::{Op, State};

    /// A job that d1 runs.
    fn running() -> Story {
        Story::plain().runs("u1", "d1")
    }

    /// A job that failed and waits.
    fn waiting() -> Story {
        Story::plain().does("u1", "d1", Retry)
    }

    #[rstest]
    #[case::inserted_with_a_token("inserted with a token",
        Story::plain().inserted("u2").last_change(|c| c.token = 1))]
    #[case::inserted_held("inserted with a holder",
        Story::plain().inserted("u2").last_change(|c| c.holder = Some(1)))]
    #[case::inserted_with_attempts("inserted with an attempt behind it",
        Story::plain().inserted("u2").last_change(|c| c.attempt = 1))]
    #[case::inserted_over_itself("inserted a second time",
        Story::plain().changed("u1", |c| c.op = Op::Insert))]
    #[case::redriven_with_a_new_token("redriven without carrying its token on",
        Story::plain().does("u1", "d1", Done).redriven("u1").last_change(|c| c.token = 0))]
    #[case::redriven_with_its_attempts("redriven, but not into line as a new job",
        Story::plain().does("u1", "d1", Done).redriven("u1").last_change(|c| c.attempt = 1))]
    #[case::changed_after_its_end("doesn't follow from what the row was before",
        Story::plain().does("u1", "d1", Done).changed("u1", |c| c.token_before = None))]
    #[case::never_inserted("changed before it was inserted",
        Story::plain().claimed("u1", "d1").last_change(|c| c.job = 999))]
    #[case::a_change_that_is_missing("doesn't follow from what the row was before",
        running().last_change_unseen().released("u1"))]
    #[case::in_history_while_it_lives("in history without having left the live table",
        Story::plain().changed("u1", |c| c.op = Op::Finished))]
    #[case::in_history_under_another_token("in history under another token than it had",
        Story::plain().does("u1", "d1", Done).last_change(|c| c.token = 2))]
    #[case::charged_twice_on_its_way_to_history(
        "in history with another number of attempts than it had",
        Story::plain().does("u1", "d1", Done).last_change(|c| c.attempt = 2))]
    #[case::removed_under_another_token("removed with another token than it had",
        running().changed("u1", |c| { c.op = Op::Delete; c.token = 2; c.to = None; }))]
    #[case::claimed_before_it_was_promoted("claimed though it wasn't in line",
        waiting().claimed("u1", "d2"))]
    #[case::claimed_without_a_new_token("claimed without taking the next token",
        Story::plain().claimed("u1", "d1").last_change(|c| c.token = 0))]
    #[case::claimed_two_tokens_on("claimed without taking the next token",
        Story::plain().claimed("u1", "d1").last_change(|c| c.token = 2))]
    #[case::charged_by_a_claim("charged by a claim",
        Story::plain().claimed("u1", "d1").last_change(|c| c.attempt = 1))]
    #[case::claimed_from_its_holder("handed from one holder to another",
        running().claimed("u1", "d2"))]
    #[case::a_new_token_for_its_holder("changed under its holder",
        running().changed("u1", |c| c.token += 1))]
    #[case::charged_while_it_runs("changed under its holder",
        running().changed("u1", |c| c.attempt += 1))]
    #[case::token_lowered_by_a_release("its token was lowered",
        running().released("u1").last_change(|c| c.token -= 1))]
    #[case::token_lowered_by_a_retry("its token was lowered",
        waiting().last_change(|c| c.token -= 1))]
    #[case::token_raised_by_a_release("its token changed as it was given back",
        running().released("u1").last_change(|c| c.token += 1))]
    #[case::rescued_from_a_daemon_that_lives("rescued from a daemon that lives",
        running().rescued("u1"))]
    #[case::rescued_and_put_off("given back in a way that no statement has",
        running().killed("d1").declared_dead("d1").rescued("u1")
            .last_change(|c| c.to = Some(State::Retryable)))]
    #[case::released_and_put_off("given back in a way that no statement has",
        running().released("u1").last_change(|c| c.to = Some(State::Retryable)))]
    #[case::charged_twice_by_a_retry("given back in a way that no statement has",
        waiting().last_change(|c| c.attempt += 1))]
    #[case::attempts_forgotten("given back in a way that no statement has",
        waiting().promoted("u1").runs("u1", "d2").released("u1").last_change(|c| c.attempt = 0))]
    #[case::charged_while_it_waited("was charged or put off while it waited",
        waiting().promoted("u1").last_change(|c| c.attempt += 1))]
    #[case::a_new_token_while_it_waited("took another token while it waited",
        waiting().promoted("u1").last_change(|c| c.token += 1))]
    #[case::completed_by_a_late_result_while_it_waited("finished by a result while nobody held it",
        running().released("u1").says("u1", Done).completed("u1"))]
    #[case::discarded_by_a_late_result_while_it_waited("finished by a result while nobody held it",
        running().released("u1").says("u1", Discard).discarded("u1", "permanent_error"))]
    #[case::retried_by_a_late_result_while_it_waited("was charged or put off while it waited",
        running().released("u1").retried("u1"))]
    #[case::put_off_by_a_late_result_while_it_waited("was charged or put off while it waited",
        running().released("u1").snoozed("u1"))]
    #[case::given_back_by_a_late_result_while_it_waited("given back while nobody held it",
        running().released("u1").released("u1"))]
    fn a_forbidden_change_is_found(#[case] says: &str, #[case] story: Story) {
        let report = story.report();
        let found: Vec<_> =
            report.violations.iter().filter(|v| v.rule == Rule::Transitions).collect();
        assert!(found.iter().any(|violation| violation.says == says), "{report}");
        assert!(found.iter().all(|violation| !violation.evidence.is_empty()), "{report}");
    }

    #[rstest]
    #[case::completed(running().says("u1", Done).completed("u1"))]
    #[case::cancelled_while_it_waited(Story::plain().cancelled("u1"))]
    #[case::cancelled_while_it_ran(running().asked_to_stop("u1").cancelled("u1"))]
    #[case::retried_and_put_off_and_discarded(
        waiting().promoted("u1").does("u1", "d2", Snooze).promoted("u1").does("u1", "d1", Discard)
    )]
    #[case::released_and_rescued(
        Story::plain().claimed("u1", "d1").released("u1").claimed("u1", "d2").killed("d2")
            .declared_dead("d2").rescued("u1").does("u1", "d1", Done)
    )]
    #[case::redriven(Story::plain().does("u1", "d1", Discard).redriven("u1").does("u1", "d2", Done))]
    fn the_table_of_transitions_is_left_alone(#[case] story: Story) {
        story.drained().keeps_every_rule();
    }
}
