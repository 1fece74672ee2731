//! Who asked for memory: not the allocator, nor the containers of Rust's library, by whose hands nearly all of it goes.
//! A profile that named them would say of every program that it keeps its memory in `Vec`.

use super::super::{Frame, Profile, symbols::Line};

/// Crates that allocate on somebody's behalf.
const ON_BEHALF: [&str; 7] = [
    "alloc::",
    "core::",
    "std::alloc::",
    "std::collections::",
    "hashbrown::",
    "tikv_jemallocator::",
    // What the compiler puts between a program and its allocator.
    "__rust",
];

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
    // Of C there is the allocator alone, as far inside.
    let is_of_c = !line.function.contains("::");
    let name = line.function.trim_start_matches(['<', '&', '[', '(']);
    is_of_c || ON_BEHALF.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Places, Stack, ValueType};
    use std::{collections::HashMap, time::Duration};

    fn line(function: &str) -> Line {
        Line { function: function.to_owned(), file: String::new(), number: 0 }
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

    #[test]
    fn where_nobody_else_is_the_allocator_stays() {
        assert_eq!(named(&[&["_rjem_malloc"], &["main"]]), ["main", "_rjem_malloc"]);
    }
}
