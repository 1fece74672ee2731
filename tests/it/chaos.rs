//! Chaos: real daemons are killed, stopped and cut off, and an oracle says whether a promise broke.
//!
//! What happened is written down by those who know it at first hand: producers what they were told
//! at COMMIT, handlers that they started and ended, the driver what it did to whom, and a trigger
//! of the test's own each change of a row. The daemon is never asked. From that record alone, the
//! [`history`], the [`checker`] decides. `docs/chaos.md` explains the rules, ADR 0012 why it is made so
//! and what it can't show.
//!
//! `LEGWORK_CHAOS_SEED` repeats a plan, `LEGWORK_CHAOS_PROFILE=standard` makes it a longer one.
//! `LEGWORK_CHAOS_DAEMON` runs another binary than the one just built, and `LEGWORK_CHAOS_BUG` seeds
//! a bug into it, which then has to be caught.

mod checker;
mod cluster;
mod fleet;
mod history;
mod journal;
mod plan;
mod producers;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};

use checker::check;
use cluster::Cluster;
use fleet::{Ground, Member};
use history::{Event, History};
use journal::Journal;
use plan::{DAEMONS, Plan, Upset};
use shape::{SEEDED_BUGS, SeededBug, Shape};

use crate::support;

/// How many seeds a bug may survive.
const SEEDS_PER_BUG: u64 = 5;
/// How long nothing may happen to any row before the rest is given up: six leases, on
/// whatever machine, since what is waited for isn't the end but the next step.
const QUIET: Duration = Duration::from_secs(12);
/// How often it is looked whether something happened.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[test]
fn a_fleet_keeps_its_promises_in_chaos_unless_a_bug_is_seeded() {
    let seed = variable("LEGWORK_CHAOS_SEED").map_or_else(
        || fastrand::u64(..1_000_000),
        |seed| seed.parse().expect("LEGWORK_CHAOS_SEED is a number"),
    );
    let bug = variable("LEGWORK_CHAOS_BUG").map(|name| {
        let bug = SEEDED_BUGS.into_iter().find(|bug| bug.name == name);
        bug.unwrap_or_else(|| panic!("LEGWORK_CHAOS_BUG={name}: no such bug"))
    });
    support::run(async |_db| match bug {
        None => keeps_its_promises(profile(), seed).await,
        Some(bug) => is_caught(bug, seed).await,
    });
}

/// What clean runs are like.
fn profile() -> Shape {
    let Some(name) = variable("LEGWORK_CHAOS_PROFILE") else { return Shape::SMOKE };
    let shape = Shape::PROFILES.into_iter().find(|shape| shape.name == name);
    shape.unwrap_or_else(|| panic!("LEGWORK_CHAOS_PROFILE={name}: no such profile"))
}

/// A run in which nothing may break.
async fn keeps_its_promises(shape: Shape, seed: u64) {
    let dir = directory(shape.name, seed);
    say(&format!("LEGWORK_CHAOS_SEED={seed}, recorded in {}", dir.display()));
    let report = check(&run(&Plan::draw(seed, shape), &dir, None).await);
    say(&report.to_string());
    let told = || format!("LEGWORK_CHAOS_SEED={seed} breaks promises; see {}", dir.display());
    assert!(report.violations.is_empty(), "{}\n{report}", told());
    fs::remove_dir_all(&dir).expect("the record can be removed");
}

/// Runs in which something has to break, and what breaks is what the bug breaks.
async fn is_caught(bug: SeededBug, seed: u64) {
    for seed in seed..seed + SEEDS_PER_BUG {
        let dir = directory(bug.name, seed);
        say(&format!("LEGWORK_CHAOS_SEED={seed}, recorded in {}", dir.display()));
        let report = check(&run(&Plan::draw(seed, bug.shape), &dir, Some(bug.name)).await);
        say(&report.to_string());
        let by = bug.breaks.iter().find(|rule| report.broken().contains(rule));
        if let Some(rule) = by {
            say(&format!("{} is caught by seed {seed}: {}", bug.name, rule.name()));
            fs::remove_dir_all(&dir).expect("the record can be removed");
            return;
        }
    }
    panic!("{} isn't caught by any of the seeds from {seed} on", bug.name);
}

/// Does what the plan says, ends everything and reads what was recorded.
async fn run(plan: &Plan, dir: &Path, bug: Option<&'static str>) -> History {
    let text = serde_json::to_string_pretty(plan).expect("a plan can be written as JSON");
    fs::write(dir.join("plan.json"), text).expect("the plan can be written");
    fs::write(dir.join("handler.sh"), include_str!("chaos/handler.sh")).expect("so can a script");
    let (opened, journal) = (Instant::now(), Journal::create(dir));
    let mut cluster = Cluster::start().await;
    let url = cluster.url().to_owned();
    let program = variable("LEGWORK_CHAOS_DAEMON").unwrap_or(env!("CARGO_BIN_EXE_legwork").into());
    let ground =
        Ground { dir: dir.into(), url: &url, journal: &journal, program: program.into(), bug };
    let mut fleet: Vec<Member<'_>> = (1..=DAEMONS).map(|n| Member::new(&ground, n)).collect();
    for member in &mut fleet {
        member.start().await;
    }
    for member in &fleet {
        member.is_up().await;
    }

    say(&format!("ready after {:.1} s", opened.elapsed().as_secs_f64()));

    let began = Instant::now();
    let produced =
        plan.producers.iter().map(|list| producers::produce(list, &url, began, &journal));
    let suffered = fleet.iter_mut().zip(&plan.daemons).map(|(m, faults)| m.suffer(faults, began));
    tokio::join!(
        join_all(produced),
        join_all(suffered),
        strike(&mut cluster, &plan.postgres, began, &journal),
    );
    // All is healed: each timeline ends with its daemon, and Postgres, in service.
    say(&format!("healed after {:.1} s", began.elapsed().as_secs_f64()));
    drain(&cluster).await;
    say(&format!("drained after {:.1} s", began.elapsed().as_secs_f64()));
    join_all(fleet.iter_mut().map(Member::quiesce)).await;
    if cluster.progress().await.1 == 0 {
        journal.note(&Event::Drained {});
    }
    cluster.export(dir).await;
    cluster.stop().await;
    History::read(dir).expect("what was recorded can be read")
}

/// Strikes Postgres as planned.
async fn strike(cluster: &mut Cluster, upsets: &[Upset], began: Instant, journal: &Journal) {
    for upset in upsets {
        // The plan's times are the workload.
        sleep_until(began + Duration::from_millis(upset.at_ms)).await;
        cluster.strike(*upset, journal).await;
    }
}

/// Waits until no job is left, or nothing happens any more.
async fn drain(cluster: &Cluster) {
    let mut last = (0, Instant::now());
    loop {
        let (reached, unfinished) = cluster.progress().await;
        if reached > last.0 {
            last = (reached, Instant::now());
        }
        if unfinished == 0 || last.1.elapsed() > QUIET {
            return;
        }
        // Between two looks: Postgres says nothing when a table is empty.
        sleep(LOOK_EVERY).await;
    }
}

/// A new directory for a run's record. It stays when the run fails.
fn directory(what: &str, seed: u64) -> PathBuf {
    let name = format!("chaos-{what}-{seed}-{}", std::process::id());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).expect("a directory can be made");
    dir
}

/// Tells of a run, for whoever asks with `--nocapture`, and where it fails.
#[expect(clippy::print_stdout, reason = "the test's harness shows it with a failure")]
fn say(text: &str) {
    println!("{text}");
}

/// A variable of the test run's environment.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
