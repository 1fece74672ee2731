//! What a profiler's interrupt likes least: a deep stack that a panic unwinds. Tests of the library and of whole daemons
//! have it from here.

use std::{
    backtrace::Backtrace,
    hint::black_box,
    panic::{catch_unwind, resume_unwind, set_hook, take_hook},
    sync::Once,
};

/// As deep as every storm goes.
const DEPTH: u32 = 40;
/// How a panic begins that is ours, and told by our hook alone.
const ALOUD: &str = "aloud, on purpose";

/// Ends deep down, by a panic that unwinds all of it.
pub(crate) fn falls() -> u64 {
    fall(black_box(DEPTH), || resume_unwind(Box::new("on purpose")))
}

/// The same, caught.
pub(crate) fn falls_and_is_caught() {
    assert!(catch_unwind(falls).is_err(), "it ends by a panic");
}

/// Ends as a mistake does: with a message, a hook that is told, and a backtrace with its names. That walks the stack, takes
/// locks of the standard library and of the loader, and reads the program's file, before anything is unwound.
pub(crate) fn falls_aloud() -> u64 {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if panic.payload_as_str().is_some_and(|said| said.starts_with(ALOUD)) {
                black_box(format!("{panic}\n{}", Backtrace::force_capture()));
            } else {
                before(panic);
            }
        }));
    });
    fall(black_box(DEPTH), || panic!("{ALOUD}, {DEPTH} calls deep"))
}

/// The same, caught.
pub(crate) fn falls_aloud_and_is_caught() {
    assert!(catch_unwind(falls_aloud).is_err(), "it ends by a panic");
}

#[inline(never)]
fn fall(depth: u32, end: fn() -> u64) -> u64 {
    let held = black_box(vec![u64::from(depth); 8]);
    if depth == 0 {
        return end();
    }
    fall(depth - 1, end) + held[0]
}
