//! What the benchmarks hold themselves to, tried on figures of our own.
//!
//! A benchmark has no test harness, and a comparison that can't fail would hold nothing: so its two pure
//! parts are tried here.

#[path = "../../benches/hot_paths/baseline.rs"]
mod baseline;
#[path = "../../benches/hot_paths/times.rs"]
mod times;

use baseline::{Cost, Costs, Fault, faults, is_better, table};

fn costs(paths: &[(&str, u32, u64)]) -> Costs {
    let cost = |jobs, allocations| Cost { jobs, allocations, bytes: 64, ns_per_job: Some(10.0) };
    paths.iter().map(|(path, jobs, count)| ((*path).to_owned(), cost(*jobs, *count))).collect()
}

#[test]
fn one_allocation_more_in_a_thousand_jobs_is_a_fault_and_one_less_is_none() {
    let baseline = costs(&[("claim", 1000, 1001)]);
    let found = |jobs, count| {
        let now = costs(&[("claim", jobs, count)]);
        (faults(&baseline, &now), is_better(&baseline, &now))
    };
    assert_eq!(found(1000, 1001), (vec![], false));
    assert_eq!(found(1000, 1002), (vec![Fault::MoreAllocations("claim".into())], false));
    assert_eq!(found(1000, 1000), (vec![], true));
    assert_eq!(found(2000, 2002), (vec![], false), "as many a job");
    assert_eq!(found(2000, 2003), (vec![Fault::MoreAllocations("claim".into())], false));
}

#[test]
fn a_path_that_only_one_side_knows_is_a_fault() {
    let (baseline, now) =
        (costs(&[("claim", 1, 1), ("gone", 1, 1)]), costs(&[("claim", 1, 1), ("new", 1, 0)]));
    let found = faults(&baseline, &now);
    assert_eq!(found, [Fault::Missing("gone".into()), Fault::Unknown("new".into())]);
    let told: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["gone is in the baseline and wasn't run", "new isn't in the baseline"]);
}

#[test]
fn the_table_says_what_moved_by_how_much() {
    let (baseline, mut now) = (costs(&[("claim", 1000, 1001)]), costs(&[("claim", 1000, 2001)]));
    now.entry("claim".into()).and_modify(|cost| cost.ns_per_job = Some(12.5));
    let table = table(&baseline, &now);
    let row: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    let allocations = ["1.001", "2.001", "+1.000"];
    assert_eq!(
        row,
        [&["claim"][..], &allocations, &["0.1", "0.1", "="], &["10.0", "12.5", "×1.25"]].concat()
    );
}

#[test]
fn medians_are_read_out_of_what_divan_draws() {
    let drawn = "\
hot_paths         fastest       │ slowest       │ median        │ mean          │ samples │ iters
├─ claim                        │               │               │               │         │
│  ├─ decode      373.7 µs      │ 484.5 µs      │ 377.8 µs      │ 383.2 µs      │ 100     │ 100
│  ╰─ probe       37 ns         │ 44.19 ns      │ 37.78 ns      │ 37.97 ns      │ 100     │ 6400
╰─ pipeline                     │               │               │               │         │
   ├─ completed   1.764 ms      │ 1.925 ms      │ 1.812 ms      │ 1.814 ms      │ 100     │ 100
   ╰─ slow        1 s           │ 3 s           │ 2 s           │ 2 s           │ 100     │ 100
";
    let read: Vec<_> = times::medians(drawn).into_iter().collect();
    let named = |path: &str, ns: f64| (path.to_owned(), ns);
    let expected = [
        named("claim::decode", 377.8 * 1e3),
        named("claim::probe", 37.78),
        named("pipeline::completed", 1.812 * 1e6),
        named("pipeline::slow", 2e9),
    ];
    assert_eq!(read, expected);
}
