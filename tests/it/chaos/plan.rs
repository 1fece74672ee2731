//! What will happen in a run: every job, every fault and every pause, drawn from one seed.
//!
//! It is written to `plan.json` before anything starts, so that a run that fails says what it was
//! made of. A seed gives the same plan again; it can't give the same scheduling of processes, so
//! the same seed may pass the next time. Nothing is drawn while the run goes on.

use std::ops::RangeInclusive;

use fastrand::Rng;
use serde::Serialize;

use super::shape::Shape;

/// How many daemon processes there are at a time.
pub(crate) const DAEMONS: usize = 3;
/// How many producers work side by side.
const PRODUCERS: usize = 4;
/// Nothing is done to a daemon in the first of its milliseconds: it would only delay its start.
const CALM_MS: u64 = 500;
/// How long a daemon stands still: at least until lease, margin and a round of rescue are over.
const HOLD_MS: RangeInclusive<u64> = 3000..=3600;
/// How long one of three stands still: about until its lease runs out, where it is decided whether
/// it is still its own.
const DOUBT_MS: RangeInclusive<u64> = 1400..=2800;
/// How long Postgres is away at one of its restarts: longer than a lease.
const AWAY_MS: RangeInclusive<u64> = 2100..=3000;
/// How long after its end a daemon is started again.
const ABSENCE_MS: RangeInclusive<u64> = 0..=500;
/// How long after it was sent a COMMIT is cut off. It takes a fraction of a millisecond, more
/// where the machine is busy, so both ends of this happen.
const CUT_US: RangeInclusive<u64> = 0..=1500;

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Plan {
    pub seed: u64,
    pub shape: Shape,
    /// One list of faults for each daemon, in their order.
    pub daemons: Vec<Vec<Fault>>,
    /// What is done to Postgres, in its order.
    pub postgres: Vec<Upset>,
    /// One list of transactions for each producer, in their order.
    pub producers: Vec<Vec<Transaction>>,
}

/// Something that is done to a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub at_ms: u64,
    pub verb: Harm,
    /// Until it is started or continued.
    pub for_ms: u64,
}

/// What is done to a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Harm {
    Kill,
    Stop,
    Term,
}

/// Something that is done to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Upset {
    pub at_ms: u64,
    pub blow: Blow,
    /// Until it is started again.
    pub for_ms: u64,
}

/// What is done to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Blow {
    RestartFast,
    RestartImmediate,
    /// Ends the sessions of all daemons that have this role, all roles where it is empty.
    Terminate(&'static str),
}

/// The roles of the daemon's sessions, each with its own way to be hurt.
const ROLES: [&str; 7] =
    ["", "claim", "completer", "heartbeat", "listener", "maintenance", "survey"];

/// What a producer does at a time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Transaction {
    pub at_ms: u64,
    pub way: Way,
    pub ending: Ending,
    pub jobs: Vec<Job>,
}

/// How jobs are inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// One statement, its own transaction.
    Bare,
    /// A statement for each job, one transaction.
    Single,
    /// One statement of many rows.
    MultiRow,
    Copy,
}

/// How a transaction ends, unless Postgres decides otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    Commit,
    Rollback,
    /// The connection is cut so long after COMMIT was sent.
    Cut {
        after_us: u64,
    },
}

/// A job.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Job {
    pub uid: String,
    pub kind: &'static str,
    pub max_attempts: u16,
    /// How long each run takes.
    pub ms: u64,
    /// What the run under the n-th lease token decides; the last for all that come after.
    pub outcomes: &'static [&'static str],
}

impl Job {
    /// What the program reads, as a JSON string: who it is, how long it takes, what it decides.
    pub(crate) fn payload(&self) -> String {
        let seconds = format!("{}.{:03}", self.ms / 1000, self.ms % 1000);
        let seconds = if self.ms == 0 { "0" } else { &seconds };
        format!("\"{} {seconds} {}\"", self.uid, self.outcomes.join(" "))
    }
}

impl Plan {
    /// Draws a plan of this shape.
    pub(crate) fn draw(seed: u64, shape: Shape) -> Self {
        let mut rng = Rng::with_seed(seed);
        let daemons = daemons(&mut rng, &shape);
        let postgres = postgres(&mut rng, &shape);
        let mut uids = 1..=shape.jobs;
        let each = usize::try_from(shape.jobs).expect("jobs can be counted").div_ceil(PRODUCERS);
        let producers = (0..PRODUCERS)
            .map(|_| {
                let mine: Vec<u32> = uids.by_ref().take(each).collect();
                transactions(&mut rng, &shape, &mine)
            })
            .collect();
        Self { seed, shape, daemons, postgres, producers }
    }
}

/// Deals the shape's harms out to the daemons, each of which gets as many, in turns of equal length.
fn daemons(rng: &mut Rng, shape: &Shape) -> Vec<Vec<Fault>> {
    let mut harms = shape.harms.to_vec();
    rng.shuffle(&mut harms);
    let turns = harms.len().div_ceil(DAEMONS).max(1);
    let turn_ms = (shape.lasts_ms - CALM_MS) / u64::try_from(turns).expect("turns can be counted");
    let mut lists = vec![Vec::new(); DAEMONS];
    for (place, verb) in harms.into_iter().enumerate() {
        let nth = u64::try_from(place / DAEMONS).expect("turns can be counted");
        let for_ms = match verb {
            Harm::Stop if rng.u32(..3) == 0 => rng.u64(DOUBT_MS),
            Harm::Stop => rng.u64(HOLD_MS),
            Harm::Kill | Harm::Term => rng.u64(ABSENCE_MS),
        };
        let latest = turn_ms.saturating_sub(for_ms).max(1);
        let at_ms = CALM_MS + nth * turn_ms + rng.u64(0..latest);
        lists[place % DAEMONS].push(Fault { at_ms, verb, for_ms });
    }
    lists
}

fn postgres(rng: &mut Rng, shape: &Shape) -> Vec<Upset> {
    let mut blows = Vec::new();
    for number in 0..shape.restarts {
        // Both ways in every plan that has two.
        let fast = if number == 1 { blows[0] == Blow::RestartImmediate } else { rng.bool() };
        blows.push(if fast { Blow::RestartFast } else { Blow::RestartImmediate });
    }
    for _ in 0..shape.terminations {
        let roles = if shape.roles.is_empty() { &ROLES } else { shape.roles };
        blows.push(Blow::Terminate(roles[rng.usize(..roles.len())]));
    }
    let mut upset = |(number, blow)| {
        // The first restart is the long one; it may come second.
        let for_ms = if number == 0 && shape.restarts > 1 { rng.u64(AWAY_MS) } else { 0 };
        Upset { at_ms: rng.u64(CALM_MS..shape.lasts_ms), blow, for_ms }
    };
    let mut upsets: Vec<Upset> = blows.into_iter().enumerate().map(&mut upset).collect();
    upsets.sort_by_key(|upset| upset.at_ms);
    upsets
}

fn transactions(rng: &mut Rng, shape: &Shape, mut uids: &[u32]) -> Vec<Transaction> {
    let mut drawn = Vec::new();
    while !uids.is_empty() {
        let way = [Way::Bare, Way::Single, Way::MultiRow, Way::Copy][rng.usize(..4)];
        let most = match way {
            Way::Bare => 1,
            Way::Single => 3,
            Way::MultiRow => 12,
            Way::Copy => 20,
        };
        let (now, later) = uids.split_at(rng.usize(1..=most).min(uids.len()));
        uids = later;
        let ending = match rng.u32(..100) {
            // What is one statement has no other end.
            _ if way == Way::Bare => Ending::Commit,
            0..10 => Ending::Rollback,
            10..15 => Ending::Cut { after_us: rng.u64(CUT_US) },
            _ => Ending::Commit,
        };
        let at_ms = rng.u64(..shape.lasts_ms);
        let jobs = now.iter().map(|uid| job(rng, shape, *uid)).collect();
        drawn.push(Transaction { at_ms, way, ending, jobs });
    }
    drawn.sort_by_key(|transaction| transaction.at_ms);
    drawn
}

fn job(rng: &mut Rng, shape: &Shape, uid: u32) -> Job {
    let slow = rng.u32(..100) < shape.slow_percent;
    let outcomes: &[&str] = match rng.u32(..100) {
        0..66 => &["ok"],
        66..76 => &["retry", "ok"],
        76..80 => &["retry", "retry", "ok"],
        80..86 => &["snooze", "ok"],
        86..90 => &["ok", "retry", "ok"],
        90..94 => &["discard"],
        94..98 => &["retry", "snooze", "discard"],
        _ => &["retry"],
    };
    Job {
        uid: format!("u{uid}"),
        kind: if rng.u32(..100) < 8 { "limited" } else { "work" },
        max_attempts: rng.u16(3..=8),
        ms: if slow { rng.u64(shape.slow_ms.0..=shape.slow_ms.1) } else { 0 },
        outcomes,
    }
}

#[test]
fn a_seed_gives_the_same_plan_again_and_another_seed_another() {
    let text = |seed| format!("{:?}", Plan::draw(seed, Shape::SMOKE));
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}

#[test]
fn every_plan_has_each_family_of_faults_and_each_job_once() {
    for seed in 0..50 {
        let plan = Plan::draw(seed, Shape::SMOKE);
        let harms: Vec<Harm> = plan.daemons.iter().flatten().map(|fault| fault.verb).collect();
        for harm in [Harm::Kill, Harm::Stop, Harm::Term] {
            assert!(harms.contains(&harm), "{harm:?} in plan {seed}");
        }
        let blows: Vec<Blow> = plan.postgres.iter().map(|upset| upset.blow).collect();
        assert!(blows.contains(&Blow::RestartFast) && blows.contains(&Blow::RestartImmediate));
        assert!(blows.iter().any(|blow| matches!(blow, Blow::Terminate(_))));
        let transactions = plan.producers.iter().flatten();
        let mut uids: Vec<&str> = transactions.flat_map(|t| &t.jobs).map(|job| &*job.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        assert_eq!(uids.len(), usize::try_from(plan.shape.jobs).unwrap());
    }
}

#[test]
fn a_daemon_is_never_hurt_while_it_is_away() {
    for seed in 0..50 {
        for faults in Plan::draw(seed, Shape::SMOKE).daemons {
            for pair in faults.windows(2) {
                assert!(pair[0].at_ms + pair[0].for_ms <= pair[1].at_ms, "{pair:?} of plan {seed}");
            }
        }
    }
}
