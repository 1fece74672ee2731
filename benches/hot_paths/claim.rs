//! The claim: where it looks, what its rows become, what it teaches.

use crate::{
    jobs::{JOBS, claimed, request},
    measure::measure,
};
use divan::{Bencher, black_box};
use legwork::{
    claimer::{LEVELS, Marks},
    postgres::decode_claimed_row,
};
use tokio::time::Instant;

#[divan::bench]
fn decode_bare(bencher: Bencher<'_, '_>) {
    decode(bencher, "claim::decode_bare", false);
}

#[divan::bench]
fn decode_rich(bencher: Bencher<'_, '_>) {
    decode(bencher, "claim::decode_rich", true);
}

fn decode(bencher: Bencher<'_, '_>, path: &'static str, rich: bool) {
    let (rows, request, began) = (claimed(rich), request(JOBS), Instant::now());
    measure(
        bencher,
        (path, JOBS),
        || (),
        |()| {
            let decode = |row| decode_claimed_row(black_box(row), &request, began).expect("a row");
            rows.iter().copied().map(decode).collect::<Vec<_>>()
        },
    );
}

#[divan::bench]
fn probe(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let marks = Marks::new(now);
    measure(bencher, ("claim::probe", 1), || (), |()| marks.probe(black_box(now)));
}

/// What a full claim teaches, with every level in use.
#[divan::bench]
fn learn(bencher: Bencher<'_, '_>) {
    let now = Instant::now();
    let mut marks = Marks::new(now);
    let probe = marks.probe(now);
    let rows: Vec<(i16, i64)> = LEVELS.iter().copied().cycle().zip(0..i64::from(JOBS)).collect();
    measure(
        bencher,
        ("claim::learn", JOBS),
        || (),
        |()| {
            marks.learn(&probe, black_box(&rows).iter().copied(), true, i64::from(JOBS));
        },
    );
}
