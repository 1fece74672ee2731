//! A heap profile for people to read, in the old form of Go's `debug=1`, which `go tool pprof` takes as well.
//!
//! Go writes what was sampled, `heap/` and twice the rate, and its reader makes up for that. Here the figures are what the samples
//! stand for, which the same reader leaves as they are for `heapprofile`; a comment says at what rate they were sampled.

use super::{Frame, Profile, Stack};
use std::{
    cmp::Reverse,
    fmt::{self, Write},
};

impl Profile {
    /// Its stacks, that with the most first.
    pub fn heap_text(&self) -> String {
        let mut stacks: Vec<&Stack> = self.stacks.iter().collect();
        stacks.sort_by_key(|stack| Reverse(stack.value(self.main)));
        let sum = |place| stacks.iter().map(|stack| stack.value(place)).sum();
        let mut text = format!(
            "heap profile: {} @ heapprofile\n\
             # objects: bytes that are kept [objects: bytes that were allocated], estimated from a sample each {} bytes\n",
            Counts([0, 1, 2, 3].map(sum)),
            self.period.1
        );
        for stack in stacks {
            // A String grows.
            self.lines_of(stack, &mut text).ok();
        }
        text
    }

    fn lines_of(&self, stack: &Stack, text: &mut String) -> fmt::Result {
        write!(text, "{} @", Counts([0, 1, 2, 3].map(|place| stack.value(place))))?;
        let calls = stack.frames.iter().filter_map(|frame| match frame {
            Frame::Code(address) => Some(*address),
            Frame::Named(_) => None,
        });
        for call in calls.clone() {
            // To where it returns: the reader goes back by one.
            write!(text, " {:#x}", call + 1)?;
        }
        writeln!(text)?;
        for call in calls {
            for line in self.places.known.get(&call).iter().flat_map(|(_, lines)| lines) {
                writeln!(text, "#\t{call:#x}\t{}\t{}:{}", line.function, line.file, line.number)?;
            }
        }
        writeln!(text)
    }
}

/// Kept `objects: bytes [allocated objects: bytes]`, of values in the file's order.
struct Counts([i64; 4]);

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [objects_ever, bytes_ever, objects, bytes] = self.0;
        write!(f, "{objects}: {bytes} [{objects_ever}: {bytes_ever}]")
    }
}
