//! Profiles of the running daemon, as `go tool pprof` reads them.
//!
//! A profile is stacks, and what was counted in each. `cpu` takes one from the sampler of `sys`: it finds out from
//! the copied stacks what called what, and `symbols` says what that is called. `heap` takes one from what jemalloc
//! sampled. `pprof`, `folded`, `speedscope` and `text` write it down for their readers. Labels, which tell one kind's CPU time from another's, are set by whoever
//! polls a job (`label`).

pub mod cpu;
mod drawn;
mod folded;
pub mod heap;
mod label;
mod modules;
pub mod pprof;
mod speedscope;
mod symbols;
mod text;
mod unwind;

pub use label::Label;
pub use symbols::names_of;

use crate::sys::heap as memory;
use modules::Module;
use std::{collections::HashMap, time::Duration};
use symbols::Line;

/// Does what takes more memory than most of a daemon's work, and would be all that a heap profile shows: none has it, and the
/// memory goes back to the system at once.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    let done = memory::unsampled(work);
    memory::give_back();
    done
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueType {
    /// What: `cpu`.
    pub name: &'static str,
    /// In what unit: `nanoseconds`.
    pub unit: &'static str,
}

/// Stacks, and what was counted in each.
#[derive(Debug)]
pub struct Profile {
    /// What is counted.
    pub values: Vec<ValueType>,
    /// Which of that is meant where one alone is shown.
    pub main: usize,
    /// Whether stacks are drawn below the kind whose they are.
    pub by_kind: bool,
    /// What a picture shows where there is nothing to draw.
    pub nothing: &'static str,
    /// What lies between two samples.
    pub period: (ValueType, i64),
    /// How long it was counted.
    pub duration: Duration,
    /// The stacks.
    pub stacks: Vec<Stack>,
    /// What the addresses in them are.
    pub places: Places,
}

/// What called what, and how often.
#[derive(Debug)]
pub struct Stack {
    /// From the innermost to the outermost.
    pub frames: Vec<Frame>,
    /// What else is known of it.
    pub labels: Vec<(&'static str, String)>,
    /// For each type one.
    pub values: Vec<i64>,
}

impl Stack {
    /// Of what is counted, this.
    fn value(&self, place: usize) -> i64 {
        self.values.get(place).copied().unwrap_or(0)
    }
}

/// One step of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Frame {
    /// An instruction of the process.
    Code(u64),
    /// Something that isn't code.
    Named(String),
}

/// What addresses are.
#[derive(Debug, Default)]
pub struct Places {
    modules: Vec<Module>,
    /// By address: its module and its lines, the innermost first where functions were inlined.
    known: HashMap<u64, (Option<usize>, Vec<Line>)>,
}

impl Profile {
    /// What is meant where one alone is shown.
    fn main(&self) -> ValueType {
        self.values[self.main]
    }

    /// The names of a stack's functions, from the outermost to the innermost.
    fn names<'a>(&'a self, stack: &'a Stack) -> Vec<&'a str> {
        let lines = |frame: &'a Frame| -> Vec<&'a str> {
            match frame {
                Frame::Named(name) => vec![name],
                Frame::Code(address) => {
                    let known = self.places.known.get(address);
                    known.map_or(vec!["?"], |(_, lines)| {
                        lines.iter().rev().map(|line| &*line.function).collect()
                    })
                }
            }
        };
        stack.frames.iter().rev().flat_map(lines).collect()
    }
}

#[cfg(test)]
mod tests;
