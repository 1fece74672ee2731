//! What the paths cost when it was last decided to be right, and what has moved since. Pure.
//!
//! Allocations are held to it: one more a job is a fault, on whatever machine. Bytes and times are
//! told of and judged by whoever reads them.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// One path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// How many jobs one run of it takes.
    pub(crate) jobs: u32,
    /// What such a run asks of the allocator.
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
    /// The median for one job, on the machine that measured; nothing where only allocations were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ns_per_job: Option<f64>,
}

/// Every path, by its name.
pub(crate) type Costs = BTreeMap<String, Cost>;

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It allocates more for a job.
    MoreAllocations(String),
    /// It isn't in the baseline, so nothing holds it.
    Unknown(String),
    /// The baseline has it, and it wasn't run.
    Missing(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreAllocations(path) => write!(f, "{path} allocates more than the baseline"),
            Self::Unknown(path) => write!(f, "{path} isn't in the baseline"),
            Self::Missing(path) => write!(f, "{path} is in the baseline and wasn't run"),
        }
    }
}

/// Where the paths fail the baseline.
pub(crate) fn faults(baseline: &Costs, now: &Costs) -> Vec<Fault> {
    let gone = baseline.keys().filter(|path| !now.contains_key(*path)).cloned().map(Fault::Missing);
    let wrong = now.iter().filter_map(|(path, cost)| match baseline.get(path) {
        None => Some(Fault::Unknown(path.clone())),
        Some(before) => (allocated(cost, before) > 0).then(|| Fault::MoreAllocations(path.clone())),
    });
    gone.chain(wrong).collect()
}

/// Whether a path allocates less than the baseline lets it.
pub(crate) fn is_better(baseline: &Costs, now: &Costs) -> bool {
    now.iter()
        .any(|(path, cost)| baseline.get(path).is_some_and(|before| allocated(cost, before) < 0))
}

/// More than before (above 0) or less (below it), for as many jobs.
fn allocated(now: &Cost, before: &Cost) -> i128 {
    let of = |cost: &Cost, jobs: u32| i128::from(cost.allocations) * i128::from(jobs);
    of(now, before.jobs) - of(before, now.jobs)
}

/// What stands in the baseline, what is measured now, and what moved; a line a path.
pub(crate) fn table(baseline: &Costs, now: &Costs) -> String {
    let heads = ["allocations a job", "bytes a job", "ns a job"].map(|head| format!("{head:>29}"));
    let columns = [0; 3].map(|_| group("baseline", "now", "moved"));
    let mut rows = vec![row("", &heads), row("path", &columns)];
    rows.extend(now.iter().map(|(path, cost)| {
        let both = [baseline.get(path), Some(cost)];
        let allocations = both.map(|cost| Some(per_job(cost?.allocations, cost?)));
        let bytes = both.map(|cost| Some(per_job(cost?.bytes, cost?)));
        let times = both.map(|cost| cost?.ns_per_job);
        row(path, &[counts(allocations, 3), counts(bytes, 1), ratio(times)])
    }));
    rows.join("\n")
}

fn row(path: &str, groups: &[String; 3]) -> String {
    format!("{path:<32} {}", groups.join("   ")).trim_end().to_owned()
}

fn group(before: &str, now: &str, moved: &str) -> String {
    format!("{before:>9} {now:>9} {moved:>9}")
}

fn counts(both: [Option<f64>; 2], digits: usize) -> String {
    let [before, now] = both.map(|figure| shown(figure, digits));
    let moved = match both {
        [Some(_), Some(_)] if before == now => "=".into(),
        [Some(before), Some(now)] => format!("{:+.digits$}", now - before),
        _ => String::new(),
    };
    group(&before, &now, &moved)
}

fn ratio(both: [Option<f64>; 2]) -> String {
    let [before, now] = both.map(|figure| shown(figure, 1));
    let moved = match both {
        [Some(before), Some(now)] => format!("×{:.2}", now / before),
        _ => String::new(),
    };
    group(&before, &now, &moved)
}

fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "–".into(), |figure| format!("{figure:.digits$}"))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_job(count: u64, cost: &Cost) -> f64 {
    count as f64 / f64::from(cost.jobs)
}
