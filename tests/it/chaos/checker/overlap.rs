//! Overlap: two handlers run one job at a time only where the older one's daemon couldn't help it.
//!
//! It couldn't while it stood still: then its lease was rescued, its handler may be at work yet, and
//! the result will be refused. A daemon that is merely cut off from Postgres stops its handlers by
//! its own clock before anybody else takes it for dead, and after every other end of a lease the
//! handler is over as well. A run is over at its end line; without one it is over where its process
//! was gone, and one that its living daemon gave back is taken to be over then, since nobody saw its
//! end.

use super::harm::{NEVER, Process};
use super::moves::Move;
use super::view::{Life, Line, Run, View};
use super::{Rule, Violation};

/// Two runs of one job that overlapped, the older lease first.
pub(super) struct Overlap<'v, 'h> {
    life: &'v Life<'h>,
    older: &'v Run<'h>,
    newer: &'v Run<'h>,
    pub allowed: bool,
}

pub(super) fn overlaps<'v, 'h>(view: &'v View<'h>) -> Vec<Overlap<'v, 'h>> {
    let mut found = Vec::new();
    for life in view.lives.values() {
        for (at, newer) in life.runs.iter().enumerate() {
            for older in &life.runs[..at] {
                let apart =
                    over(view, life, older) < newer.start || over(view, life, newer) < older.start;
                if !apart {
                    let allowed = lost(life, older) && stood_still(view, life, older, newer);
                    found.push(Overlap { life, older, newer, allowed });
                }
            }
        }
    }
    found
}

/// Where a run was over; its start, where nobody can say more.
fn over(view: &View<'_>, life: &Life<'_>, run: &Run<'_>) -> Line {
    if let Some((line, _)) = run.end {
        return line;
    }
    let ended = life.lease(run.token).and_then(|lease| lease.ended_by());
    if ended.is_some() {
        return run.start;
    }
    view.process(run).and_then(Process::gone).map_or(NEVER, |gone| gone.max(run.start))
}

/// Whether a run's lease was taken from a holder that was dead.
fn lost(life: &Life<'_>, run: &Run<'_>) -> bool {
    life.lease(run.token).and_then(|lease| lease.ended_by()) == Some(Move::Rescue)
}

/// Whether the older run's daemon stood still, under the boot id that it ran under, before the
/// newer one began.
fn stood_still(view: &View<'_>, life: &Life<'_>, older: &Run<'_>, newer: &Run<'_>) -> bool {
    let began = view.boot_began(life, older);
    let pauses = view.process(older).into_iter().flat_map(|process| &process.pauses);
    pauses.into_iter().any(|(from, to)| *from < newer.start && began < *to)
}

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let overlaps = overlaps(view);
    overlaps.iter().filter(|overlap| !overlap.allowed).map(|overlap| overlap.shown(view)).collect()
}

impl Overlap<'_, '_> {
    fn shown(&self, view: &View<'_>) -> Violation {
        let (older, newer) = (self.older, self.newer);
        let why = if lost(self.life, older) {
            "the older one's daemon could have stopped it"
        } else {
            "the older lease wasn't lost"
        };
        let (first, second) = (older.token, newer.token);
        let says =
            format!("two handlers ran it at a time, under tokens {first} and {second}, and {why}");
        let end = self.life.lease(older.token).and_then(|lease| lease.end);
        let violation = self.life.breaks(Rule::Overlap, says);
        violation.run(view, older).steps(end).run(view, newer)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome::{Ok as Done, Retry};
    use crate::chaos::history::Verb;

    #[rstest]
    #[case::given_back_while_it_ran(
        "under tokens 1 and 2",
        Story::plain().runs("u1", "d1").told_to_stop("d1").released("u1").runs("u1", "d2")
            .says_as("u1", 1, Done)
    )]
    #[case::retried_while_it_ran(
        "under tokens 1 and 2",
        Story::plain().runs("u1", "d1").retried("u1").promoted("u1").runs("u1", "d2")
            .says_as("u1", 1, Retry)
    )]
    #[case::rescued_from_a_daemon_that_lives(
        "under tokens 1 and 2",
        Story::plain().runs("u1", "d1").rescued("u1").runs("u1", "d2").says_as("u1", 1, Done)
    )]
    #[case::taken_from_a_daemon_that_lives_and_never_ended(
        "under tokens 1 and 2",
        Story::plain().runs("u1", "d1").rescued("u1").runs("u1", "d2").says("u1", Done)
    )]
    #[case::two_under_one_lease(
        "under tokens 1 and 1",
        Story::plain().runs("u1", "d1").starts_as("u1", 1, 1, "d1").says("u1", Done)
    )]
    #[case::older_lease_started_last(
        "under tokens 1 and 2",
        Story::plain().claimed("u1", "d1").told_to_stop("d1").released("u1").runs("u1", "d2")
            .starts_as("u1", 1, 1, "d1").says_as("u1", 1, Done).says("u1", Done)
    )]
    #[case::older_than_the_run_before(
        "under tokens 1 and 3",
        Story::plain().runs("u1", "d1").told_to_stop("d1").released("u1")
            .does("u1", "d2", Retry).promoted("u1").runs("u1", "d2").says_as("u1", 1, Done)
    )]
    #[case::not_stopped_by_a_daemon_that_was_cut_off(
        "the older one's daemon could have stopped it",
        Story::plain().runs("u1", "d1").postgres(Verb::PgRestart).declared_dead("d1").rescued("u1")
            .runs("u1", "d2").says_as("u1", 1, Done).says("u1", Done)
    )]
    #[case::not_stopped_by_a_daemon_that_had_long_been_awake(
        "the older one's daemon could have stopped it",
        Story::plain().stopped("d1").continued("d1").runs("u1", "d1").postgres(Verb::PgRestart)
            .declared_dead("d1").rescued("u1").runs("u1", "d2").says_as("u1", 1, Done)
    )]
    fn two_at_a_time_under_a_live_lease_are_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Overlap, says);
    }

    #[rstest]
    #[case::stood_still_and_went_on(
        Story::plain().runs("u1", "d1").stopped("d1").declared_dead("d1").rescued("u1")
            .runs("u1", "d2").says_as("u1", 1, Done).says("u1", Done).completed("u1"),
        1
    )]
    #[case::woke_after_another_had_begun(
        Story::plain().enqueued("u2").does("u2", "d1", Done).claimed("u1", "d1").stopped("d1")
            .declared_dead("d1").rescued("u1").runs("u1", "d2").continued("d1").starts_as("u1", 1, 1, "d1").says("u1", Done)
            .completed("u1").says_as("u1", 1, Done),
        1
    )]
    #[case::cut_off_and_over_in_time(
        Story::plain().runs("u1", "d1").postgres(Verb::PgRestart).declared_dead("d1").rescued("u1")
            .says_as("u1", 1, Done).does("u1", "d2", Done),
        0
    )]
    #[case::killed(
        Story::plain().runs("u1", "d1").killed("d1").declared_dead("d1").rescued("u1")
            .does("u1", "d2", Done),
        0
    )]
    #[case::interrupted(
        Story::plain().runs("u1", "d1").told_to_stop("d1").released("u1").runs("u1", "d2")
            .exits("d1", Some(0)).says("u1", Done).completed("u1"),
        0
    )]
    #[case::one_after_the_other(
        Story::plain().does("u1", "d1", Retry).promoted("u1").does("u1", "d1", Done),
        0
    )]
    fn what_may_overlap_is_left_alone(#[case] story: Story, #[case] overlaps: usize) {
        let story = story.drained();
        assert_eq!(story.report().counts.overlaps, overlaps);
        story.keeps_every_rule();
    }
}
