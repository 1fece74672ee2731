//! Who asked for memory: not the allocator, nor the containers of Rust's library, by whose hands nearly all of it goes.
//! A profile that named them would say of every program that it keeps its memory in `Vec`.

use super::super::{
    Frame, Profile,
    symbols::{Line, has_path, is_rust, without_arguments},
};

/// Files of crates that allocate on somebody's behalf. Rust's own lie where its build had them, `/rustc/…/library`, or where
/// their sources are installed.
const FILES_ON_BEHALF: [&str; 6] = [
    "/library/alloc/src/",
    "/library/core/src/",
    "/library/std/src/alloc",
    "/library/std/src/collections/",
    "/hashbrown-",
    "/tikv-jemallocator-",
];

/// The same crates, where there is a name alone.
const CRATES_ON_BEHALF: [&str; 6] = [
    "alloc::",
    "core::",
    "std::alloc::",
    "std::collections::",
    "hashbrown::",
    "tikv_jemallocator::",
];

/// What the compiler puts between a program and its allocator. It is said to be in the file that names the allocator, and is
/// inlined or isn't.
const BETWEEN: [&str; 4] = ["__rust_alloc", "__rust_realloc", "__rdl_", "__rg_"];

/// Stacks begin with whoever asked. One in which nobody else is stays as it is.
pub(super) fn leave_out_the_allocator(profile: &mut Profile) {
    let known = &mut profile.places.known;
    for stack in &mut profile.stacks {
        let place = stack.frames.iter().position(|frame| {
            let Frame::Code(address) = frame else { return true };
            known.get(address).is_none_or(|(_, lines)| !lines.iter().all(is_on_behalf))
        });
        let Some(place) = place else { continue };
        stack.frames.drain(..place);
        // What was inlined there, the innermost first.
        if let Some(Frame::Code(address)) = stack.frames.first()
            && let Some((_, lines)) = known.get_mut(address)
        {
            let inlined = lines.iter().take_while(|line| is_on_behalf(line)).count();
            lines.drain(..inlined);
        }
    }
}

fn is_on_behalf(line: &Line) -> bool {
    let Line { function, file, .. } = line;
    let last = without_arguments(function).rsplit("::").next().unwrap_or_default();
    if BETWEEN.iter().any(|start| last.starts_with(start)) {
        return true;
    }
    // Of C there is the allocator alone, as far inside.
    if !is_rust(file) && !has_path(function) {
        return true;
    }
    // The name of a type or trait doesn't say whose the function is: anyone's trait may be for `Vec`, and `T` is nobody's.
    if function.starts_with('<') && is_rust(file) {
        return FILES_ON_BEHALF.iter().any(|part| file.contains(part));
    }
    let name = function.trim_start_matches(['<', '&', '[', '(']);
    CRATES_ON_BEHALF.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Places, Stack, ValueType, symbols::with_path};
    use std::{collections::HashMap, time::Duration};

    /// A function, or `function|file`.
    fn line(text: &str) -> Line {
        let (function, file) = text.split_once('|').unwrap_or((text, ""));
        Line { function: with_path(function.to_owned(), file).into(), file: file.into(), number: 0 }
    }

    /// A stack of one frame for each list, the innermost first, as it is named afterwards, the outermost first.
    fn named(frames: &[&[&str]]) -> Vec<String> {
        let address = |place: usize| u64::try_from(place).expect("few");
        let lines = |names: &[&str]| names.iter().map(|name| line(name)).collect();
        let known: HashMap<_, _> = frames
            .iter()
            .enumerate()
            .map(|(place, names)| (address(place), (None, lines(names))))
            .collect();
        let count = ValueType { name: "objects", unit: "count" };
        let frames = (0..frames.len()).map(|place| Frame::Code(address(place))).collect();
        let mut profile = Profile {
            values: vec![count],
            main: 0,
            by_kind: false,
            nothing: "[no objects]",
            period: (count, 1),
            duration: Duration::ZERO,
            stacks: vec![Stack { frames, labels: Vec::new(), values: vec![1] }],
            places: Places { modules: Vec::new(), known },
        };
        leave_out_the_allocator(&mut profile);
        profile.names(&profile.stacks[0]).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_stack_begins_with_whoever_asked_for_the_memory() {
        let frames: &[&[&str]] = &[
            &["prof_backtrace_impl"],
            &["prof_alloc_prep", "_rjem_malloc"],
            &["<tikv_jemallocator::Jemalloc as core::alloc::global::GlobalAlloc>::alloc"],
            &["__rustc[3a]::__rust_alloc"],
            &["alloc::raw_vec::finish_grow", "<alloc::vec::Vec<T>>::push", "app::cache::fill"],
            &["core::ops::function::FnOnce::call_once"],
            &["app::main"],
        ];
        let callers = ["app::main", "core::ops::function::FnOnce::call_once", "app::cache::fill"];
        assert_eq!(named(frames), callers);
    }

    /// What is inlined, and called how, is as a release build's tables have it.
    #[test]
    fn what_is_inlined_round_the_allocator_is_left_out_of_a_release_build() {
        let frames: &[&[&str]] = &[
            &[
                "prof_backtrace_impl|/x/out/build/src/prof_sys.c",
                "_rjem_je_prof_tctx_create|/x/out/build/src/prof.c",
            ],
            &[
                "tikv_jemallocator::alloc|/x/tikv-jemallocator-0.7.0/src/lib.rs",
                "__rust_alloc|/x/legwork/src/sys/allocator.rs",
                "alloc|/rustc/5980/library/alloc/src/alloc.rs",
                "<alloc::alloc::Global>::alloc_impl|/rustc/5980/library/alloc/src/alloc.rs",
                "try_allocate_in<alloc::alloc::Global>|/rustc/5980/library/alloc/src/raw_vec/mod.rs",
                "with_capacity<app::Job>|/rustc/5980/library/alloc/src/vec/mod.rs",
                "<T as core::convert::Into<U>>::into|/rustc/5980/library/core/src/convert/mod.rs",
                "do_alloc<alloc::alloc::Global>|/rust/deps/hashbrown-0.16.1/src/raw/alloc.rs",
                "{async_fn#0}<alloc::vec::Vec<u8>>|/x/app-1.2.0/src/claim.rs",
                "<alloc::vec::Vec<u8> as app::Buffer>::put|/x/app-1.2.0/src/lib.rs",
            ],
        ];
        let callers = [
            "<alloc::vec::Vec<u8> as app::Buffer>::put",
            "app::claim::{async_fn#0}<alloc::vec::Vec<u8>>",
        ];
        assert_eq!(named(frames), callers);
        let grown: &[&[&str]] = &[
            &[
                "__rust_realloc|/x/legwork/src/sys/allocator.rs",
                "realloc|/rustc/5980/library/alloc/src/alloc.rs",
                "alloc::raw_vec::RawVecInner<A>::finish_grow|/rustc/5980/library/alloc/src/raw_vec/mod.rs",
            ],
            &["<alloc::vec::Vec<u8> as app::Buffer>::put|/x/app-1.2.0/src/lib.rs"],
        ];
        assert_eq!(named(grown), ["<alloc::vec::Vec<u8> as app::Buffer>::put"]);
    }

    #[test]
    fn where_nobody_else_is_the_allocator_stays() {
        assert_eq!(named(&[&["_rjem_malloc"], &["main"]]), ["main", "_rjem_malloc"]);
    }
}
