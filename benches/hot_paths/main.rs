//! The steps that every job passes in the daemon, each by itself and all of them in a row.
//!
//! They exist so that an allocation or a slow path that creeps in is seen before it is felt. Nothing
//! waits for a database while it is measured: a claim's rows are fetched once, from a private Postgres
//! that lives for that moment. What the daemon does as a whole is measured by `legwork bench`.
//!
//! - `cargo test` runs each path once and holds its allocations to `benches/baseline.json`.
//! - `make bench` measures times as well and says what moved; `make bench-baseline` writes that down.
//! - `cargo bench -- NAME` is divan, for a closer look at one.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod allocations;
mod baseline;
mod claim;
mod completer;
mod copy;
mod dispatch;
mod jobs;
mod measure;
mod metrics;
mod pipeline;
mod rate_limit;
mod rooms;
mod seams;
mod times;
mod unwatched;
mod verdict;

use allocations::{Allocations, Counted};
use baseline::{Cost, Costs, Fault, faults, is_better, table};
use divan::Divan;
use std::{
    env,
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Whether more allocations are a fault: elsewhere a mutex of the standard library is one as well.
const HELD: bool = cfg!(target_os = "linux");

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/baseline.json");

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--bench"] => compare(&with_times(count())?),
        ["--rewrite", "--bench"] => rewrite(&with_times(count())?),
        // Cargo says so last when it benchmarks, and nothing when it tests.
        [.., "--bench"] => {
            divan::main();
            Ok(ExitCode::SUCCESS)
        }
        _ if arguments.iter().any(|argument| !argument.starts_with('-')) => {
            println!("hot paths: not run, since other tests were asked for by name");
            Ok(ExitCode::SUCCESS)
        }
        _ => compare(&count()),
    }
}

/// Runs every path once for its allocations.
fn count() -> Costs {
    Divan::default().test_benches();
    let mut costs = Costs::new();
    for (path, (jobs, Allocations { count, bytes })) in std::mem::take(&mut *measure::counts()) {
        let cost = Cost { jobs, allocations: count, bytes, ns_per_job: None };
        costs.insert(path.to_owned(), cost);
    }
    costs
}

/// Measures the times of every path in a process of its own, whose output is divan's table.
fn with_times(mut costs: Costs) -> Result<Costs, Box<dyn Error>> {
    let mut divan = Command::new(env::current_exe()?);
    let mut divan = divan.args(["--color=never", "--bench"]).stdout(Stdio::piped()).spawn()?;
    let mut table = String::new();
    for line in BufReader::new(divan.stdout.take().ok_or("no output")?).lines() {
        let line = line?;
        println!("{line}");
        table.extend([&line, "\n"]);
    }
    if !divan.wait()?.success() {
        return Err("measuring the times failed".into());
    }
    let medians = times::medians(&table);
    for (path, cost) in &mut costs {
        let median = medians.get(path).ok_or_else(|| format!("divan has no time of {path}"))?;
        cost.ns_per_job = Some((median / f64::from(cost.jobs) * 1e3).round() / 1e3);
    }
    Ok(costs)
}

fn compare(now: &Costs) -> Result<ExitCode, Box<dyn Error>> {
    let baseline: Costs = serde_json::from_str(&fs::read_to_string(BASELINE)?)?;
    println!("{}", table(&baseline, now));
    println!("Times compare on one machine and within an hour; allocations on every Linux.");
    if is_better(&baseline, now) {
        println!("Some paths allocate less: `make bench-baseline` holds them to it from now on.");
    }
    let faults = faults(&baseline, now);
    for fault in &faults {
        println!("RED: {fault}");
    }
    if !faults.is_empty() {
        println!("Where it is meant, `make bench-baseline` writes it down.");
    }
    let red = faults.iter().any(|fault| HELD || !matches!(fault, Fault::MoreAllocations(_)));
    Ok(if red { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn rewrite(now: &Costs) -> Result<ExitCode, Box<dyn Error>> {
    fs::write(BASELINE, serde_json::to_string_pretty(now)? + "\n")?;
    println!("written to {BASELINE}");
    Ok(ExitCode::SUCCESS)
}
