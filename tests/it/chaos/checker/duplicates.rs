//! Duplicates: a handler that runs again needs a cause, and faults may cause only so many.
//!
//! The cause is read from how the lease before was ended, and has to agree with what its handler
//! said and with what was done to its daemon. A rescue, say, explains a second run only where
//! something had happened to the first one's daemon: a daemon that stopped cleanly and left a lease
//! to be rescued had lost a verdict. A release is its own daemon's: because it was told to stop, or
//! because its lease had run out by its own clock. Whether two runs overlapped is another rule.

use std::collections::BTreeMap;

use super::harm::{Claim, NEVER, Process};
use super::moves::Move;
use super::view::{Life, Line, Run, View};
use super::{Rule, Violation};
use crate::chaos::history::Outcome;

/// Why a handler ran again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Cause {
    /// The run before asked for it.
    Retry,
    /// The run before put it off.
    Snooze,
    /// The run before was cut short by its daemon's end.
    Interrupted,
    /// The run before had decided, and its daemon was hit before that was written.
    LostResult,
    /// The run before hadn't decided when its daemon was hit.
    LeaseLost,
    /// An operator wanted it.
    Redrive,
}

impl Cause {
    /// Every cause, for `docs/chaos.md`.
    #[cfg(test)]
    pub(super) const ALL: [Self; 6] = [
        Self::Retry,
        Self::Snooze,
        Self::Interrupted,
        Self::LostResult,
        Self::LeaseLost,
        Self::Redrive,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Snooze => "snooze",
            Self::Interrupted => "interrupted",
            Self::LostResult => "lost_result",
            Self::LeaseLost => "lease_lost",
            Self::Redrive => "redrive",
        }
    }
}

/// A run that wasn't the first of its job.
pub(super) struct Rerun<'v, 'h> {
    life: &'v Life<'h>,
    before: &'v Run<'h>,
    again: &'v Run<'h>,
    pub cause: Result<Cause, &'static str>,
}

/// Every run that wasn't the first of its job.
pub(super) fn reruns<'v, 'h>(view: &'v View<'h>) -> Vec<Rerun<'v, 'h>> {
    let pairs = view.lives.values().flat_map(|life| life.runs.windows(2).map(move |w| (life, w)));
    pairs
        .map(|(life, pair)| {
            let (before, again) = (&pair[0], &pair[1]);
            let cause = cause(view, life, before, again);
            Rerun { life, before, again, cause }
        })
        .collect()
}

fn cause(
    view: &View<'_>,
    life: &Life<'_>,
    before: &Run<'_>,
    again: &Run<'_>,
) -> Result<Cause, &'static str> {
    if before.token == again.token {
        return Err("one lease ran twice");
    }
    let lease = life.lease(before.token).ok_or("nobody had claimed it for the run before")?;
    let decided = before.end.filter(|(line, _)| *line < again.start).map(|(_, outcome)| outcome);
    match lease.ended_by() {
        Some(Move::Retry) if decided == Some(Outcome::Retry) => Ok(Cause::Retry),
        Some(Move::Retry) => Err("it was retried, and the run before hadn't asked for that"),
        Some(Move::Snooze) if decided == Some(Outcome::Snooze) => Ok(Cause::Snooze),
        Some(Move::Snooze) => Err("it was put off, and the run before hadn't asked for that"),
        Some(Move::Release) if cut_short(view, before, again) => Ok(Cause::Interrupted),
        Some(how @ (Move::Release | Move::Rescue)) => {
            let claim =
                Claim { at_us: lease.claim.seen.at_us, boot_began: view.boot_began(life, before) };
            let blow = view.blow(before, &claim, again.start);
            let cause = if decided.is_some() { Cause::LostResult } else { Cause::LeaseLost };
            blow.map(|_| cause).ok_or(match how {
                Move::Rescue => "it was rescued, and nothing had happened to its daemon",
                _ => "it was given back, and nothing had happened to its daemon",
            })
        }
        Some(Move::Finish) if redriven(life) => Ok(Cause::Redrive),
        Some(Move::Finish) => Err("it had been finished"),
        _ => Err("the lease before had not been given back"),
    }
}

/// Whether the run before may have been cut short: its daemon was told to stop before it ran again,
/// and it hadn't decided by then. A stop lets handlers finish that are about to, and flushes what
/// they decided.
fn cut_short(view: &View<'_>, before: &Run<'_>, again: &Run<'_>) -> bool {
    let told = view.process(before).and_then(|process| process.sigterm);
    let undecided = |told: Line| before.end.is_none_or(|(line, _)| line > told);
    told.is_some_and(|line| line < again.start && undecided(line))
}

fn redriven(life: &Life<'_>) -> bool {
    life.steps.iter().any(|step| step.what == Ok(Move::Redrive))
}

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let reruns = reruns(view);
    let unexplained = reruns.iter().filter_map(|rerun| Some((rerun, rerun.cause.err()?)));
    let mut found: Vec<_> = unexplained.map(|(rerun, says)| rerun.shown(view, says)).collect();
    found.extend(over_budget(view, &reruns));
    found
}

impl Rerun<'_, '_> {
    fn shown(&self, view: &View<'_>, says: &str) -> Violation {
        let says = format!("it ran again under token {}: {says}", self.again.token);
        let process = view.process(self.before);
        let told = process.map(|process| [process.sigterm, process.exit.map(|exit| exit.line)]);
        let ends = [self.before.end, self.again.end].map(|end| end.map(|(line, _)| line));
        let mut lines = vec![self.before.start, self.again.start];
        lines.extend(told.into_iter().flatten().chain(ends).flatten());
        lines.sort_unstable();
        let end = self.life.lease(self.before.token).and_then(|lease| lease.end);
        self.life.breaks(Rule::Duplicates, says).events(view, lines).steps(end)
    }
}

/// A blow may cost what its daemon had in hand: as many runs as it ever had at a time, as many
/// again whose verdict was on its way, and as many that took their places meanwhile.
const HANDFULS_A_BLOW: usize = 3;

fn over_budget(view: &View<'_>, reruns: &[Rerun<'_, '_>]) -> Option<Violation> {
    let by_blows = [Ok(Cause::LostResult), Ok(Cause::LeaseLost)];
    let spent = reruns.iter().filter(|rerun| by_blows.contains(&rerun.cause)).count();
    let hands = hands(view);
    let cost = |process: &Process<'_>| {
        let most = hands.get(process.daemon).copied().unwrap_or_default();
        HANDFULS_A_BLOW * most * blows(view, process)
    };
    let budget: usize = view.processes.iter().map(cost).sum();
    (spent > budget).then(|| {
        let says =
            format!("{spent} runs are blamed on faults, which can't have cost over {budget}");
        Violation { rule: Rule::Duplicates, about: "the run".to_owned(), says, evidence: vec![] }
    })
}

/// How often something happened to a process that may have cost it leases.
fn blows(view: &View<'_>, process: &Process<'_>) -> usize {
    let failed = process.exit.is_some_and(|exit| exit.code != Some(0));
    let deadly = usize::from(failed || process.sigkill.is_some()) + process.pauses.len();
    let life = process.from..process.gone().unwrap_or(process.until);
    deadly + view.blows(process.daemon).filter(|line| life.contains(line)).count()
}

/// The most runs that each daemon had at a time.
fn hands<'h>(view: &View<'h>) -> BTreeMap<&'h str, usize> {
    let mut turns: BTreeMap<&str, Vec<(Line, bool)>> = BTreeMap::new();
    for run in view.lives.values().flat_map(|life| &life.runs) {
        let gone = view.process(run).and_then(Process::gone);
        let end = run.end.map(|(line, _)| line).or(gone).unwrap_or(NEVER);
        turns.entry(run.daemon).or_default().extend([(run.start, true), (end, false)]);
    }
    turns.into_iter().map(|(daemon, turns)| (daemon, most_at_once(turns))).collect()
}

fn most_at_once(mut turns: Vec<(Line, bool)>) -> usize {
    turns.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in turns {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome::{Discard, Ok as Done, Retry, Snooze};
    use crate::chaos::history::Verb;

    /// A job that ended well on d1 and was rescued all the same.
    fn rescued_after_its_end() -> Story {
        Story::plain().runs("u1", "d1").says("u1", Done).declared_dead("d1").rescued("u1")
    }

    #[rstest]
    #[case::one_lease_ran_twice(
        "one lease ran twice",
        Story::plain().runs("u1", "d1").says("u1", Done).completed("u1").starts_as("u1", 1, 1, "d1")
    )]
    #[case::finished_before(
        "it had been finished",
        Story::plain().does("u1", "d1", Done).starts_as("u1", 2, 1, "d2")
    )]
    #[case::never_given_back(
        "had not been given back",Story::plain().runs("u1", "d1").starts_as("u1", 2, 1, "d2"))]
    #[case::retried_though_it_was_done(
        "was retried, and the run before hadn't asked",
        Story::plain().runs("u1", "d1").says("u1", Done).retried("u1").promoted("u1")
            .does("u1", "d2", Done)
    )]
    #[case::retried_though_it_had_decided_nothing(
        "was retried, and the run before hadn't asked",
        Story::plain().runs("u1", "d1").retried("u1").promoted("u1").does("u1", "d2", Done)
    )]
    #[case::put_off_though_it_had_failed(
        "was put off, and the run before hadn't asked",
        Story::plain().runs("u1", "d1").says("u1", Retry).snoozed("u1").promoted("u1")
            .does("u1", "d2", Done)
    )]
    #[case::given_back_by_a_daemon_that_goes_on(
        "was given back, and nothing had happened",
        Story::plain().runs("u1", "d1").released("u1").does("u1", "d2", Done)
    )]
    #[case::given_back_after_another_daemon_was_told_to_stop(
        "was given back, and nothing had happened",
        Story::plain().runs("u1", "d1").told_to_stop("d2").released("u1").does("u1", "d1", Done)
    )]
    #[case::given_back_by_a_stop_though_it_had_decided_before(
        "was given back, and nothing had happened",
        Story::plain().runs("u1", "d1").says("u1", Done).told_to_stop("d1").released("u1")
            .exits("d1", Some(0)).does("u1", "d2", Done)
    )]
    #[case::rescued_without_a_fault(
        "was rescued, and nothing had happened",
        Story::plain().runs("u1", "d1").declared_dead("d1").rescued("u1").does("u1", "d2", Done)
    )]
    #[case::rescued_after_another_daemon_was_killed(
        "was rescued, and nothing had happened",
        Story::plain().runs("u1", "d1").killed("d2").declared_dead("d1").rescued("u1")
            .does("u1", "d2", Done)
    )]
    #[case::a_verdict_dropped_by_a_clean_stop(
        "was rescued, and nothing had happened",
        rescued_after_its_end().told_to_stop("d1").exits("d1", Some(0)).does("u1", "d2", Done)
    )]
    #[case::rescued_before_the_blow(
        "was rescued, and nothing had happened",
        rescued_after_its_end().runs("u1", "d2").killed("d1").says("u1", Done).completed("u1")
    )]
    #[case::an_outage_before_its_daemon_was_there(
        "was rescued, and nothing had happened",
        Story::plain().postgres(Verb::PgRestart).told_to_stop("d1").exits("d1", Some(0))
            .started_again("d1").runs("u1", "d1").declared_dead("d1").rescued("u1")
            .does("u1", "d2", Done)
    )]
    #[case::postgres_had_long_recovered(
        "was rescued, and nothing had happened",
        Story::plain().postgres(Verb::PgRestart).enqueued("u2").later().runs("u1", "d1")
            .says("u1", Done).declared_dead("d1").rescued("u1").does("u1", "d2", Done)
    )]
    fn a_run_without_a_cause_is_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Duplicates, says);
    }

    #[rstest]
    #[case::retry(Story::plain().does("u1", "d1", Retry).promoted("u1"), Cause::Retry)]
    #[case::retry_at_once(
        Story::plain().runs("u1", "d1").says("u1", Retry).retried("u1")
            .last_change(|change| change.to = Some(crate::chaos::history::State::Available)),
        Cause::Retry
    )]
    #[case::snooze(Story::plain().does("u1", "d1", Snooze).promoted("u1"), Cause::Snooze)]
    #[case::interrupted(
        Story::plain().runs("u1", "d1").told_to_stop("d1").released("u1").exits("d1", Some(0)),
        Cause::Interrupted
    )]
    #[case::interrupted_between_its_last_line_and_its_end(
        Story::plain().runs("u1", "d1").told_to_stop("d1").says("u1", Done).released("u1")
            .exits("d1", Some(0)),
        Cause::Interrupted
    )]
    #[case::killed_while_it_ran(
        Story::plain().runs("u1", "d1").killed("d1").declared_dead("d1").rescued("u1"),
        Cause::LeaseLost
    )]
    #[case::killed_as_it_started(
        Story::plain().claimed("u1", "d1").sent("d1", Verb::Sigkill).starts("u1")
            .exits("d1", None).declared_dead("d1").rescued("u1"),
        Cause::LeaseLost
    )]
    #[case::killed_before_its_verdict_was_written(
        Story::plain().runs("u1", "d1").says("u1", Done).killed("d1").declared_dead("d1")
            .rescued("u1"),
        Cause::LostResult
    )]
    #[case::stood_still_too_long(
        Story::plain().runs("u1", "d1").stopped("d1").declared_dead("d1").rescued("u1")
            .continued("d1"),
        Cause::LeaseLost
    )]
    #[case::stood_still_and_gave_back_what_nobody_had_rescued(
        Story::plain().runs("u1", "d1").stopped("d1").continued("d1").released("u1"),
        Cause::LeaseLost
    )]
    #[case::stood_still_over_its_handlers_end_and_did_not_trust_it(
        Story::plain().runs("u1", "d1").stopped("d1").says("u1", Retry).continued("d1")
            .released("u1"),
        Cause::LostResult
    )]
    #[case::started_by_a_daemon_that_woke_under_a_lost_lease(
        Story::plain().enqueued("u2").does("u2", "d1", Done).claimed("u1", "d1").stopped("d1")
            .declared_dead("d1").rescued("u1").continued("d1").starts("u1"),
        Cause::LeaseLost
    )]
    #[case::an_outage_of_postgres(
        Story::plain().runs("u1", "d1").says("u1", Done).postgres(Verb::PgRestart)
            .declared_dead("d1").rescued("u1"),
        Cause::LostResult
    )]
    #[case::an_outage_that_had_begun_before(
        Story::plain().claimed("u1", "d1").postgres(Verb::PgTerminate).starts("u1")
            .declared_dead("d1").rescued("u1").enqueued("u2").does("u2", "d2", Done),
        Cause::LeaseLost
    )]
    #[case::an_outage_that_was_hardly_over(
        Story::plain().postgres(Verb::PgRestart).enqueued("u2").does("u2", "d2", Done)
            .runs("u1", "d1").declared_dead("d1").rescued("u1"),
        Cause::LeaseLost
    )]
    #[case::a_stop_that_left_a_lease_and_said_so(
        Story::plain().runs("u1", "d1").says("u1", Done).told_to_stop("d1").exits("d1", Some(1))
            .declared_dead("d1").rescued("u1"),
        Cause::LostResult
    )]
    fn a_second_run_is_explained(#[case] before: Story, #[case] cause: Cause) {
        let story = before.does("u1", "d2", Done).drained();
        assert_eq!(story.report().counts.reruns.get(cause.name()), Some(&1));
        story.keeps_every_rule();
    }

    #[test]
    fn an_operator_may_have_a_job_run_again() {
        let story = Story::plain().does("u1", "d1", Discard).redriven("u1");
        story.does("u1", "d2", Done).drained().keeps_every_rule();
    }

    #[test]
    fn one_fault_explains_no_more_runs_than_its_daemon_had_in_hand() {
        // One at a time on d1, so its death can have cost three.
        let ran = |story: Story, uid: &str| story.enqueued(uid).runs(uid, "d1").says(uid, Done);
        let uids = ["u2", "u3", "u4", "u5"];
        let with = |uids: &[&str]| {
            let story =
                uids.iter().fold(Story::plain().does("u1", "d1", Done), |s, uid| ran(s, uid));
            let story = story.killed("d1").declared_dead("d1");
            let again = |story: Story, uid: &&str| story.rescued(uid).does(uid, "d2", Done);
            uids.iter().fold(story, again).drained()
        };
        with(&uids[..3]).keeps_every_rule();
        with(&uids).breaks(Rule::Duplicates, "4 runs are blamed on faults");
    }
}
