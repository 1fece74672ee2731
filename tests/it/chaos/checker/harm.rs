//! What was done to whom, and for how long it may excuse what came of it.
//!
//! A daemon's name lives on over many processes, so signals are told apart by process: from one
//! `start` to the next. Blows to Postgres hit every daemon, or the one that is named, and last until
//! a transaction that began after them was acknowledged, and a little longer.

use super::view::{Life, Line, Run, View};
use crate::chaos::history::{Event, History, Verb};

/// The end of what never ended.
pub(super) const NEVER: Line = Line::MAX;

/// How long after Postgres is back a daemon may still find its leases lost, in microseconds: its
/// claims work again before its heartbeat does, which waits between two tries.
const AFTERMATH_US: i64 = 3_000_000;

/// How a run came to its lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// By the database's clock.
    pub at_us: i64,
    /// The first run under the same boot id.
    pub boot_began: Line,
}

/// One process of a daemon.
#[derive(Debug)]
pub(super) struct Process<'h> {
    pub daemon: &'h str,
    pub from: Line,
    /// The next process of its name was started here.
    pub until: Line,
    pub sigterm: Option<Line>,
    pub sigkill: Option<Line>,
    /// From SIGSTOP to SIGCONT.
    pub pauses: Vec<(Line, Line)>,
    pub exit: Option<Exit>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exit {
    pub line: Line,
    pub code: Option<i32>,
    pub took_ms: u64,
    pub bound_ms: u64,
}

/// Each process that was started, in the order of their starts.
pub(super) fn processes(history: &History) -> Vec<Process<'_>> {
    let mut all: Vec<Process<'_>> = Vec::new();
    for (at, event) in history.events.iter().enumerate() {
        let line = at + 1;
        match event {
            Event::Fault { verb, daemon: Some(daemon), .. } => note(&mut all, line, *verb, daemon),
            Event::Exit { daemon, code, took_ms, bound_ms, .. } => {
                let (code, took_ms, bound_ms) = (*code, *took_ms, *bound_ms);
                if let Some(process) = newest(&mut all, daemon) {
                    process.exit = Some(Exit { line, code, took_ms, bound_ms });
                }
            }
            _ => {}
        }
    }
    all
}

fn newest<'p, 'h>(all: &'p mut [Process<'h>], daemon: &str) -> Option<&'p mut Process<'h>> {
    all.iter_mut().rfind(|process| process.daemon == daemon)
}

fn note<'h>(all: &mut Vec<Process<'h>>, line: Line, verb: Verb, daemon: &'h str) {
    let newest = newest(all, daemon);
    if verb == Verb::Start {
        if let Some(before) = newest {
            before.until = line;
        }
        let (from, until, pauses) = (line, NEVER, Vec::new());
        let process =
            Process { daemon, from, until, sigterm: None, sigkill: None, pauses, exit: None };
        return all.push(process);
    }
    let Some(process) = newest else { return };
    match verb {
        Verb::Sigkill => process.sigkill = process.sigkill.or(Some(line)),
        Verb::Sigterm => process.sigterm = process.sigterm.or(Some(line)),
        Verb::Sigstop => process.pauses.push((line, NEVER)),
        Verb::Sigcont => {
            if let Some(pause) = process.pauses.last_mut() {
                pause.1 = line;
            }
        }
        Verb::Start | Verb::PgRestart | Verb::PgTerminate => {}
    }
}

impl Process<'_> {
    /// Where it was certainly gone.
    pub(super) fn gone(&self) -> Option<Line> {
        self.sigkill.or(self.exit.map(|exit| exit.line))
    }

    /// Whether it ended by itself, or said that it left something behind.
    fn failed(&self) -> Option<Line> {
        let exit = self.exit.filter(|exit| exit.code != Some(0))?;
        Some(self.sigterm.unwrap_or(exit.line))
    }
}

impl<'h> View<'h> {
    /// The process that a run belongs to.
    pub(super) fn process(&self, run: &Run<'_>) -> Option<&Process<'h>> {
        let mut all = self.processes.iter();
        all.find(|p| p.daemon == run.daemon && (p.from..p.until).contains(&run.start))
    }

    /// The first run under the boot id that a run has its lease from.
    pub(super) fn boot_began(&self, life: &Life<'_>, run: &Run<'_>) -> Line {
        let holder = |life: &Life<'_>, run: &Run<'_>| life.lease(run.token)?.claim.seen.holder;
        let Some(ours) = holder(life, run) else { return run.start };
        let runs =
            self.lives.values().flat_map(|life| life.runs.iter().map(move |run| (life, run)));
        let same = runs.filter(|(life, run)| holder(life, run) == Some(ours));
        same.map(|(_, run)| run.start).min().unwrap_or(run.start)
    }

    /// What was done, before `next`, to the daemon of a run and may have cost it its lease, or its
    /// verdict the way to the database. Who stands still too long wakes under a new boot id.
    pub(super) fn blow(&self, run: &Run<'_>, claim: &Claim, next: Line) -> Option<Line> {
        let process = self.process(run)?;
        let began = claim.boot_began;
        let pause = process.pauses.iter().find(|(_, woke)| began < *woke).map(|(at, _)| *at);
        let deadly = [process.sigkill, process.failed(), pause];
        let deadly = deadly.into_iter().flatten().find(|line| *line < next);
        deadly.or_else(|| self.outage(run, claim, next))
    }

    /// A blow to Postgres before `next` that wasn't over when the run began, or hardly.
    fn outage(&self, run: &Run<'_>, claim: &Claim, next: Line) -> Option<Line> {
        let wore_on = |blow: &Line| {
            let Some((recovered, at_us)) = self.recovered(*blow) else { return true };
            recovered > run.start || claim.at_us < at_us.saturating_add(AFTERMATH_US)
        };
        let process = self.process(run)?;
        let blows = self.blows(run.daemon).filter(|line| (process.from..next).contains(line));
        blows.into_iter().find(wore_on)
    }

    /// The blows to Postgres that hit a daemon.
    pub(super) fn blows(&self, daemon: &str) -> impl Iterator<Item = Line> {
        let events = self.history.events.iter().enumerate();
        events
            .filter(move |(_, event)| match event {
                Event::Fault { verb: Verb::PgRestart | Verb::PgTerminate, daemon: hit, .. } => {
                    hit.as_ref().is_none_or(|hit| hit == daemon)
                }
                _ => false,
            })
            .map(|(at, _)| at + 1)
    }

    /// The first acknowledgement to somebody who began after `blow`, and when that was by the
    /// database's clock.
    fn recovered(&self, blow: Line) -> Option<(Line, i64)> {
        let began_after = |uid: &String| {
            self.enqueues.get(uid.as_str()).is_some_and(|enqueue| enqueue.invoked > blow)
        };
        let answered = |event: &Event| matches!(event, Event::Ok { uid } if began_after(uid));
        let line = self.first(blow, answered)?;
        let Event::Ok { uid } = &self.history.events[line - 1] else { return None };
        let inserted = self.history.transitions.iter().find(|change| change.uid == *uid)?;
        Some((line, inserted.at_us))
    }
}
