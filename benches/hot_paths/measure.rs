//! Measures one hot path: first its allocations, counted in one run, then its time, by divan.

use crate::allocations::Allocations;
use divan::Bencher;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Runs before the one that is counted: buffers then have their size, workers have been started.
const WARM_UP: usize = 3;

/// What one run of each path asked of the allocator, for so many jobs.
pub(crate) type Counts = BTreeMap<&'static str, (u32, Allocations)>;

static COUNTS: Mutex<Counts> = Mutex::new(Counts::new());

/// Measures `work`, which one run does for so many `jobs`. What goes into it is made by `input`, and
/// what comes out of it is dropped, outside of the measurement. `path` is what divan calls it.
pub(crate) fn measure<Given, Made>(
    bencher: Bencher<'_, '_>,
    (path, jobs): (&'static str, u32),
    input: impl FnMut() -> Given,
    work: impl FnMut(Given) -> Made,
) {
    measure_roughly(bencher, (path, jobs, 1), input, work);
}

/// The same of what allocates a little more or less from one process to the next: counted up to the next multiple
/// of `grain`.
pub(crate) fn measure_roughly<Given, Made>(
    bencher: Bencher<'_, '_>,
    (path, jobs, grain): (&'static str, u32, u64),
    mut input: impl FnMut() -> Given,
    mut work: impl FnMut(Given) -> Made,
) {
    for _ in 0..WARM_UP {
        drop(work(input()));
    }
    let given = input();
    let (made, mut allocations) = Allocations::of(|| work(given));
    drop(made);
    allocations.count = allocations.count.next_multiple_of(grain);
    let before = counts().insert(path, (jobs, allocations));
    assert!(before.is_none(), "two benchmarks are called {path}");
    bencher.with_inputs(input).bench_local_values(work);
}

/// The counts of every path that was run.
pub(crate) fn counts() -> MutexGuard<'static, Counts> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}
