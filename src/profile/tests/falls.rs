//! What a profiler's interrupt likes least: a deep stack that a panic unwinds. Tests of the library and of whole daemons
//! have it from here.

use std::{
    hint::black_box,
    panic::{catch_unwind, resume_unwind},
};

/// As deep as every storm goes.
const DEPTH: u32 = 40;

/// Ends deep down, by a panic that unwinds all of it.
pub(crate) fn falls() -> u64 {
    fall(black_box(DEPTH))
}

/// The same, caught.
pub(crate) fn falls_and_is_caught() {
    assert!(catch_unwind(falls).is_err(), "it ends by a panic");
}

#[inline(never)]
fn fall(depth: u32) -> u64 {
    let held = black_box(vec![u64::from(depth); 8]);
    if depth == 0 {
        resume_unwind(Box::new("on purpose"));
    }
    fall(depth - 1) + held[0]
}
