//! Where each task waited: a row of its own, on which one wait follows another.

use super::{Event, Trace};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A task that was there, and where it waited when the trace began.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its number.
    pub task: u64,
    /// Its name.
    pub name: Arc<str>,
    /// Where it waited, if it had told.
    pub place: Option<&'static str>,
    /// For which process, 0 for none.
    pub process: u32,
    /// For how many milliseconds already.
    pub waited_ms: u64,
}

/// A wait of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) task: u64,
    pub(super) place: &'static str,
    pub(super) process: u32,
    pub(super) began: u64,
    pub(super) ended: u64,
    /// How much of it lies before the trace.
    pub(super) before_ms: u64,
}

/// Where a task waits from a moment on.
#[derive(Clone, Copy)]
struct Turn {
    at: u64,
    place: Option<&'static str>,
    process: u32,
    before_ms: u64,
}

/// Every task's name, and its waits in their order.
pub(super) fn waits(trace: &Trace) -> (BTreeMap<u64, Arc<str>>, Vec<Wait>) {
    let (began, ended) = (trace.span.0, trace.seen_until());
    let mut names: BTreeMap<_, _> =
        trace.tasks.iter().map(|known| (known.task, Arc::clone(&known.name))).collect();
    let mut turns: BTreeMap<u64, Vec<Turn>> = BTreeMap::new();
    for event in trace.events() {
        match event {
            Event::Place { task, place, process, at } => {
                let turn = Turn { at: *at, place: *place, process: *process, before_ms: 0 };
                turns.entry(*task).or_default().push(turn);
            }
            Event::Started { task, name, .. } => {
                names.insert(*task, Arc::clone(name));
            }
            _ => {}
        }
    }
    // They were asked a moment after the trace began: what is that young may be what they have told since.
    let told: BTreeSet<_> = turns.keys().copied().collect();
    for known in &trace.tasks {
        let Known { task, place, process, waited_ms, .. } = *known;
        if !told.contains(&task) || waited_ms > 0 {
            let first = Turn { at: began, place, process, before_ms: waited_ms };
            turns.entry(task).or_default().insert(0, first);
        }
    }
    let mut waits = Vec::new();
    for (task, mut turns) in turns {
        turns.sort_by_key(|turn| turn.at);
        let ends = turns.iter().skip(1).map(|next| next.at).chain([ended]).collect::<Vec<_>>();
        for (turn, ended) in turns.into_iter().zip(ends) {
            let Turn { at: began, place, process, before_ms } = turn;
            let wait = place.filter(|_| ended > began);
            waits.extend(wait.map(|place| Wait { task, place, process, began, ended, before_ms }));
        }
    }
    (names, waits)
}
