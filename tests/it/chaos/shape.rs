//! What plans are made to a measure of: the smoke profile, and one for each bug that can be seeded.
//!
//! A directed shape does more of what its bug can't bear and leaves out the rest, so that the bug
//! shows within a few seeds in a few seconds. What the checker has to say about it stands here too:
//! a run that breaks for another reason has caught nothing.

use serde::Serialize;

use super::checker::Rule;
use super::plan::Harm::{self, Kill, Stop, Term};

/// How much of what happens in a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Shape {
    pub name: &'static str,
    pub jobs: u32,
    /// From the first transaction to the last fault.
    pub lasts_ms: u64,
    /// Of a hundred jobs.
    pub slow_percent: u32,
    /// How long those take, from and to.
    pub slow_ms: (u64, u64),
    /// Dealt out to the daemons.
    pub harms: &'static [Harm],
    /// Of Postgres.
    pub restarts: u32,
    /// Of daemons' sessions, of these roles.
    pub terminations: u32,
    /// Any where empty.
    pub roles: &'static [&'static str],
}

impl Shape {
    /// Some of everything.
    pub(crate) const SMOKE: Self = Self {
        name: "smoke",
        jobs: 1500,
        lasts_ms: 12_000,
        slow_percent: 15,
        slow_ms: (50, 1500),
        harms: &[Kill, Kill, Stop, Stop, Term, Term],
        restarts: 2,
        terminations: 4,
        roles: &[],
    };

    /// The same for a minute and more: for whoever looks for what is rare. Some jobs take longer than
    /// a lease and a rescue, so that a daemon which doesn't stop them in time is seen to overlap.
    pub(crate) const STANDARD: Self = Self {
        name: "standard",
        jobs: 6000,
        lasts_ms: 60_000,
        slow_percent: 12,
        slow_ms: (50, 4500),
        harms: &[
            Kill, Kill, Kill, Kill, Kill, Kill, Kill, Kill, Kill, Kill, Stop, Stop, Stop, Stop,
            Stop, Stop, Stop, Stop, Stop, Stop, Term, Term, Term, Term, Term, Term, Term, Term,
            Term, Term,
        ],
        restarts: 8,
        terminations: 60,
        ..Self::SMOKE
    };

    /// Those that a clean run can have.
    pub(crate) const PROFILES: [Self; 2] = [Self::SMOKE, Self::STANDARD];
}

/// A bug that a daemon built with `--cfg legwork_seeded_bugs` can be told to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeededBug {
    /// As `src/seeded.rs` calls it.
    pub name: &'static str,
    /// What brings it out.
    pub shape: Shape,
    /// The rules that it breaks, one at least.
    pub breaks: &'static [Rule],
}

/// What directed shapes have in common: short, and nothing but work.
const DIRECTED: Shape = Shape {
    name: "directed",
    jobs: 200,
    lasts_ms: 5_000,
    slow_percent: 40,
    slow_ms: (100, 1500),
    harms: &[],
    restarts: 0,
    terminations: 0,
    roles: &[],
};

/// All of them.
pub(crate) const SEEDED_BUGS: [SeededBug; 5] = [
    // Daemons that stand still beyond their lease, with programs that end meanwhile.
    SeededBug {
        name: "finish_without_token",
        shape: Shape { harms: &[Stop, Stop, Stop], slow_percent: 80, ..DIRECTED },
        breaks: &[Rule::Fencing],
    },
    // Two that rescue what a third left, while jobs are claimed at once.
    SeededBug {
        name: "rescue_by_stale_list",
        shape: Shape { harms: &[Kill, Kill, Kill], slow_percent: 80, ..DIRECTED },
        breaks: &[Rule::Transitions],
    },
    // Ends with a grace that many jobs exceed.
    SeededBug {
        name: "release_lowers_token",
        shape: Shape {
            jobs: 120,
            harms: &[Term, Term, Term],
            slow_percent: 80,
            slow_ms: (500, 2000),
            ..DIRECTED
        },
        breaks: &[Rule::Transitions],
    },
    // A completer whose connection breaks again and again. No outage: one as long as a lease would
    // have every job rescued, and be the excuse for it.
    SeededBug {
        name: "ack_before_commit",
        shape: Shape { restarts: 1, terminations: 14, roles: &["completer"], ..DIRECTED },
        breaks: &[Rule::QuietEnd, Rule::Lost, Rule::Duplicates],
    },
    // Ends with a grace that most jobs keep.
    SeededBug {
        name: "buffer_dropped_on_term",
        shape: Shape { harms: &[Term, Term, Term], slow_ms: (100, 700), ..DIRECTED },
        breaks: &[Rule::Duplicates, Rule::Lost],
    },
];

#[test]
fn seeded_bugs_have_names_of_their_own_and_rules_to_break() {
    for (number, bug) in SEEDED_BUGS.iter().enumerate() {
        assert!(!bug.breaks.is_empty(), "{}", bug.name);
        assert!(SEEDED_BUGS[..number].iter().all(|other| other.name != bug.name));
    }
}
