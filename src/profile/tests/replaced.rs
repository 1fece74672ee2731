//! Libraries that are replaced on the disk while they run, as an upgrade does it.

use super::{HERTZ, LEAST_CPU, PATIENCE, TURN, Workers, cpu_of, has_label, take};
use crate::{
    profile::{
        Frame, Profile,
        modules::{self, Module},
        symbols,
        unwind::Unwinder,
    },
    sys::{
        library::Caller,
        sampler::{Refused, Sampler},
    },
};
use std::{
    collections::BTreeSet,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Calls what it is given from a function without a frame pointer, whose register has something else in it.
const LIBRARY: &str = "
void NAME(void (*work)(void)) {
    volatile char room[200];
    room[0] = 1;
    __asm__ volatile(FRAME, \"memory\");
    work();
    room[1] = 2;
}
";

/// Compiles it, as what is linked here is linked.
fn compiled(folder: &Path, file: &str, function: &str) -> PathBuf {
    let frame = if cfg!(target_arch = "x86_64") {
        r#""xor %%ebp, %%ebp" : : : "rbp""#
    } else {
        r#""" : : : "x19""#
    };
    let source = folder.join(format!("{function}.c"));
    let text = LIBRARY.replace("NAME", function).replace("FRAME", frame);
    fs::write(&source, text).expect("a file");
    let library = folder.join(file);
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-Wl,--build-id", "-o"]);
    let made = cc.arg(&library).arg(&source).status().expect("a compiler");
    assert!(made.success(), "{made}");
    library
}

/// A library whose function is `lib_calls`, replaced by one that has `lib_other` in its place.
fn replaced(folder: &Path) -> (Caller, PathBuf, String) {
    let library = compiled(folder, "libcalls.so", "lib_calls");
    let caller = Caller::load(&library, "lib_calls").expect("a library");
    let build_id = module(&library).build_id;
    fs::rename(compiled(folder, "libnew.so", "lib_other"), &library).expect("it is replaced");
    (caller, library, build_id)
}

fn module(library: &Path) -> Module {
    let modules = modules::loaded().expect("a list");
    modules.into_iter().find(|module| module.name == library).expect("it is mapped")
}

#[inline(never)]
extern "C" fn called_back() {
    for _ in 0..200 {
        black_box((0..2000_u64).fold(0, |sum, next| black_box(sum + next)));
    }
}

#[inline(never)]
fn calls_the_library(caller: Caller) {
    caller.call(called_back);
    black_box(());
}

fn is_whole(names: &[&str]) -> bool {
    let place = |function: &str| names.iter().position(|name| name.contains(function));
    let order = ["calls_the_library", "lib_calls", "called_back"].map(place);
    order[0].is_some() && order.is_sorted() && place("lib_other").is_none()
}

#[tokio::test]
async fn calls_through_a_library_that_was_replaced_are_seen_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (caller, library, build_id) = replaced(folder.path());
    let workers = Workers::start(&["replaced"], move || calls_the_library(caller));
    let _turn = TURN.lock().await;
    let (mut whole, mut all, began) = (0.0, 0.0, Instant::now());
    let mut seen = String::new();
    while all < LEAST_CPU {
        assert!(began.elapsed() < PATIENCE, "{all} s of it seen: {seen}");
        let profile = take(Duration::from_millis(600)).await;
        let own = || profile.stacks.iter().filter(|stack| has_label(stack, "thread", "replaced"));
        whole += cpu_of(own().filter(|stack| is_whole(&profile.names(stack))));
        all += cpu_of(own());
        seen += &profile.folded();
        let mapped = profile.places.modules.iter().find(|module| module.name == library);
        let mapped = mapped.unwrap_or_else(|| panic!("{:?}", profile.places.modules));
        assert_eq!(mapped.build_id, build_id);
        assert!(!build_id.is_empty());
    }
    workers.stop();
    assert!(whole / all > 0.9, "{whole} of {all}: {seen}");
}

/// As it is for a daemon without privileges, which can't open a file that has no name any more.
#[tokio::test]
async fn what_cant_be_opened_is_read_from_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let (caller, library, build_id) = replaced(folder.path());
    let mut modules = modules::loaded().expect("a list");
    let module = modules.iter_mut().find(|module| module.name == library).expect("it is mapped");
    module.files.retain(|file| !file.starts_with("/proc"));
    assert!(module.opened().is_none(), "another file has its name");
    *module = module.clone().read().expect("it lies in memory");
    assert_eq!(module.build_id, build_id);
    let _turn = TURN.lock().await;
    let workers = Workers::start(&["in memory"], move || calls_the_library(caller));
    let stacks = sampled(&mut Unwinder::of(&modules));
    workers.stop();
    let addresses: BTreeSet<u64> = stacks.iter().flatten().copied().collect();
    let places = symbols::look_up(modules, &addresses);
    let frames = |stack: Vec<u64>| stack.into_iter().map(Frame::Code).collect();
    let stacks = stacks.into_iter().map(|stack| super::Stack {
        frames: frames(stack),
        labels: Vec::new(),
        values: vec![1],
    });
    let profile = Profile { places, ..super::counted(false, stacks.collect()) };
    let own = profile.stacks.iter().map(|stack| profile.names(stack));
    let own: Vec<_> =
        own.filter(|names| names.iter().any(|it| it.contains("called_back"))).collect();
    assert!(!own.is_empty() && own.iter().all(|names| is_whole(names)), "{}", profile.folded());
}

/// Stacks of the process, until there are some tens.
fn sampled(unwinder: &mut Unwinder) -> Vec<Vec<u64>> {
    let began = Instant::now();
    let mut sampler = loop {
        match Sampler::start(Duration::from_secs(1) / HERTZ) {
            Err(Refused::Busy) if began.elapsed() < PATIENCE => thread::yield_now(),
            started => break started.expect("a sampler"),
        }
    };
    let mut stacks = Vec::new();
    while stacks.len() < 40 {
        assert!(began.elapsed() < PATIENCE, "{} samples", stacks.len());
        thread::sleep(sampler.every());
        sampler.collect(|sample, _| stacks.push(unwinder.frames(sample))).expect("timers");
    }
    stacks
}
