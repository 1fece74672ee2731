//! What happened in a run, in numbers: a run in which nothing happened proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use super::moves::Move;
use super::view::{Fate, View};
use super::{duplicates, overlap};
use crate::chaos::history::{Event, Verb};

/// How often what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Enqueues that were acknowledged, rolled back, and not answered.
    pub ok: usize,
    pub failed: usize,
    pub unknown: usize,
    /// Of those that weren't answered, how many exist.
    pub recovered: usize,
    /// Handlers that started.
    pub runs: usize,
    /// Runs beyond the first of a job, by cause.
    pub reruns: BTreeMap<&'static str, usize>,
    /// Handlers that ran side by side with one whose lease had been lost.
    pub overlaps: usize,
    /// Decisions of handlers that came to nothing, since their lease or their daemon was lost.
    pub unused_results: usize,
    pub rescues: usize,
    pub releases: usize,
    pub faults: BTreeMap<&'static str, usize>,
    /// The slowest stop.
    pub stop_ms_max: u64,
}

impl Counts {
    pub(super) fn of(view: &View<'_>) -> Self {
        let fates = || view.enqueues.values().map(|enqueue| enqueue.fate);
        let exists = |uid: &&str| view.lives.values().any(|life| life.uid == *uid);
        let unknown = view.enqueues.iter().filter(|(_, enqueue)| enqueue.fate == Fate::Unknown);
        let unused = view.lives.values().flat_map(|life| {
            life.runs.iter().filter(|run| run.end.is_some()).filter(|run| {
                let lease = life.lease(run.token);
                let ended = lease.and_then(|lease| lease.ended_by());
                !matches!(ended, Some(Move::Retry | Move::Snooze | Move::Finish))
            })
        });
        Self {
            ok: fates().filter(|fate| matches!(fate, Fate::Ok(_))).count(),
            failed: fates().filter(|fate| matches!(fate, Fate::Failed(_))).count(),
            unknown: unknown.clone().count(),
            recovered: unknown.map(|(uid, _)| uid).filter(|uid| exists(uid)).count(),
            runs: view.lives.values().map(|life| life.runs.len()).sum(),
            reruns: tally(
                duplicates::reruns(view)
                    .iter()
                    .filter_map(|rerun| rerun.cause.ok())
                    .map(duplicates::Cause::name),
            ),
            overlaps: overlap::overlaps(view).iter().filter(|overlap| overlap.allowed).count(),
            unused_results: unused.count(),
            rescues: moves(view, Move::Rescue),
            releases: moves(view, Move::Release),
            faults: tally(view.history.events.iter().filter_map(fault)),
            stop_ms_max: slowest_stop(view),
        }
    }
}

fn moves(view: &View<'_>, what: Move) -> usize {
    let steps = view.lives.values().flat_map(|life| &life.steps);
    steps.filter(|step| step.what == Ok(what)).count()
}

fn fault(event: &Event) -> Option<&'static str> {
    let Event::Fault { verb, .. } = event else { return None };
    Some(match verb {
        Verb::Start => "start",
        Verb::Sigkill => "sigkill",
        Verb::Sigstop => "sigstop",
        Verb::Sigcont => "sigcont",
        Verb::Sigterm => "sigterm",
        Verb::PgRestart => "pg_restart",
        Verb::PgTerminate => "pg_terminate",
    })
}

fn slowest_stop(view: &View<'_>) -> u64 {
    let told = view.processes.iter().filter(|process| process.sigterm.is_some());
    told.filter_map(|process| process.exit).map(|exit| exit.took_ms).max().unwrap_or(0)
}

fn tally(names: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    names.fold(BTreeMap::new(), |mut tally, name| {
        *tally.entry(name).or_default() += 1;
        tally
    })
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, failed, unknown, recovered, runs, .. } = self;
        writeln!(
            f,
            "enqueues: {ok} acknowledged, {failed} rolled back, {unknown} unknown of which \
             {recovered} exist"
        )?;
        write!(f, "runs: {runs}")?;
        self.reruns.iter().try_for_each(|(cause, count)| write!(f, ", {cause} {count}"))?;
        let Self { overlaps, unused_results, rescues, releases, stop_ms_max, .. } = self;
        writeln!(f)?;
        writeln!(
            f,
            "leases: {rescues} rescued, {releases} released, {unused_results} results came to \
             nothing, {overlaps} overlaps after a rescue"
        )?;
        write!(f, "faults:")?;
        self.faults.iter().try_for_each(|(verb, count)| write!(f, " {verb} {count}"))?;
        write!(f, "\nslowest stop: {stop_ms_max} ms")
    }
}
