//! The verdict on how an attempt ended.

use crate::{
    jobs::{failure, job, policy},
    measure::measure,
};
use divan::Bencher;
use legwork::job::{Ending, Outcome, rule};

#[divan::bench]
fn complete(bencher: Bencher<'_, '_>) {
    decide(bencher, "verdict::complete", || Outcome::Complete { result: None });
}

/// With its backoff.
#[divan::bench]
fn retry(bencher: Bencher<'_, '_>) {
    decide(bencher, "verdict::retry", failure);
}

fn decide(bencher: Bencher<'_, '_>, path: &'static str, outcome: fn() -> Outcome) {
    let (job, policy) = (job(1), policy());
    let ending = || Ending::Decided(outcome());
    measure(bencher, (path, 1), ending, |ending| rule(ending, &job, &policy, 0.5));
}
