//! Unexpected: nothing exists or runs that nobody enqueued, or whose producer rolled back.
//!
//! A job whose producer was cut at COMMIT may exist: that is a recovery, which is counted, and no
//! violation. It may exist only once, as may every other.

use std::collections::BTreeMap;

use super::view::{Fate, Life, View};
use super::{Rule, Violation};

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let mut found: Vec<_> = view.lives.values().filter_map(|life| uninvited(view, life)).collect();
    found.extend(twice(view));
    found
}

fn uninvited(view: &View<'_>, life: &Life<'_>) -> Option<Violation> {
    let told = view.enqueues.get(life.uid).map(|enqueue| (enqueue.invoked, enqueue.fate));
    let (says, producer) = match told {
        None => ("nobody enqueued it", vec![]),
        Some((asked, Fate::Failed(answer))) => ("its producer rolled back", vec![asked, answer]),
        Some((_, Fate::Ok(_) | Fate::Unknown)) => return None,
    };
    let starts = life.runs.iter().map(|run| run.start);
    let violation = life.breaks(Rule::Unexpected, says).events(view, producer).events(view, starts);
    Some(violation.steps(life.steps.first()).at_end(view, life))
}

/// Second jobs of one uid.
fn twice(view: &View<'_>) -> Vec<Violation> {
    let mut first: BTreeMap<&str, &Life<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    for life in view.lives.values() {
        let Some(other) = first.insert(life.uid, life) else { continue };
        let says = format!("job {} is the same enqueue", other.job);
        let violation = life.breaks(Rule::Unexpected, says);
        found.push(violation.steps(other.steps.first()).steps(life.steps.first()));
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome;

    #[rstest]
    #[case::nobody_enqueued_it(
        "nobody enqueued it",Story::plain().inserted("u2"))]
    #[case::nobody_enqueued_what_ran(
        "nobody enqueued it",Story::plain().starts_as("u2", 1, 1, "d1"))]
    #[case::rolled_back_and_there(
        "its producer rolled back",Story::plain().rolled_back("u2").inserted("u2"))]
    #[case::rolled_back_and_run(
        "its producer rolled back",
        Story::plain().rolled_back("u2").inserted("u2").does("u2", "d1", Outcome::Ok)
    )]
    #[case::there_twice(
        "job 100 is the same enqueue",Story::plain().inserted_again("u1"))]
    fn what_nobody_asked_for_is_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Unexpected, says);
    }

    #[rstest]
    #[case::rolled_back_and_not_there(Story::plain().rolled_back("u2"))]
    #[case::cut_at_commit_and_not_there(Story::plain().cut_at_commit("u2"))]
    #[case::cut_at_commit_and_there(
        Story::plain().cut_at_commit("u2").inserted("u2").does("u2", "d1", Outcome::Ok)
    )]
    #[case::never_answered_and_there(
        Story::plain().invoked("u2").inserted("u2").does("u2", "d1", Outcome::Ok)
    )]
    fn what_somebody_may_have_asked_for_is_left_alone(#[case] story: Story) {
        story.does("u1", "d1", Outcome::Ok).drained().keeps_every_rule();
    }

    #[test]
    fn a_recovery_is_counted() {
        let story = Story::plain().cut_at_commit("u2").inserted("u2").cut_at_commit("u3");
        let counts = story.report().counts;
        assert_eq!((counts.unknown, counts.recovered), (2, 1));
    }
}
