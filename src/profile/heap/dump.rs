//! What jemalloc writes down of its samples, `heap_v2`, and what they stand for.
//!
//! ```text
//! heap_v2/524288
//!   t*: 28: 56637 [403: 1000000]
//!   t1: …
//! @ 0x55d0c1 0x55d0a0
//!   t*: 12: 24000 [100: 200000]
//!   t1: …
//!
//! MAPPED_LIBRARIES:
//! …
//! ```

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader},
};

/// Longest file that is read: a hundred thousand stacks have less. How long jemalloc makes it can't be bounded, and how long
/// it will be isn't known before: what is longer was written, to memory that is free again once it is refused.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It isn't there to read.
    #[error("reading it failed")]
    Io(#[from] io::Error),
    /// It is none.
    #[error("it isn't heap_v2, or line {0} isn't as that has it")]
    Form(usize),
    /// Too much.
    #[error(
        "it has {} MiB and at most {} are read, which is known only once it is written: POST /debug/pprof/heap/deactivate \
         forgets what was sampled, and a profile soon after activate is short",
        .bytes.div_ceil(1 << 20), BYTES_MAX >> 20
    )]
    TooLong {
        /// How long it is.
        bytes: u64,
    },
}

/// What was sampled.
#[derive(Debug, Default)]
pub(super) struct Dump {
    /// One sample in so many bytes.
    pub(super) interval: u64,
    /// The calls, from the innermost to the outermost, and what was sampled of them.
    stacks: HashMap<Vec<u64>, Counts>,
}

/// Of one stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    kept: Amount,
    allocated: Amount,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    objects: i64,
    bytes: i64,
}

impl Counts {
    /// In the order of the file for `go tool pprof`.
    pub(super) fn values(self) -> [i64; 4] {
        let Self { kept, allocated } = self;
        [allocated.objects, allocated.bytes, kept.objects, kept.bytes]
    }

    /// What these have more than those.
    pub(super) fn without(self, other: Self) -> Self {
        let less = |a: Amount, b: Amount| Amount {
            objects: a.objects - b.objects,
            bytes: a.bytes - b.bytes,
        };
        Self { kept: less(self.kept, other.kept), allocated: less(self.allocated, other.allocated) }
    }

    fn and(self, other: Self) -> Self {
        let nothing = Self::default();
        self.without(nothing.without(other))
    }

    /// `12: 24000 [100: 200000]`
    fn of(text: &str) -> Option<Self> {
        let (kept, allocated) = text.trim().strip_suffix(']')?.split_once(" [")?;
        Some(Self { kept: Amount::of(kept)?, allocated: Amount::of(allocated)? })
    }

    fn estimated(self, interval: u64) -> Self {
        Self { kept: self.kept.estimated(interval), allocated: self.allocated.estimated(interval) }
    }
}

impl Amount {
    fn of(text: &str) -> Option<Self> {
        let (objects, bytes) = text.split_once(": ")?;
        Some(Self { objects: objects.parse().ok()?, bytes: bytes.parse().ok()? })
    }

    /// An allocation of s bytes is sampled with the probability 1 − e^(−s/interval), so that each that was stands for
    /// as many as that is the inverse of. jemalloc writes its counts so that this gives what it has summed up exactly,
    /// size by size, also where one stack allocates in many sizes.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate of what is far below 2^52"
    )]
    fn estimated(self, interval: u64) -> Self {
        if self.objects == 0 || self.bytes == 0 {
            return Self::default();
        }
        let size = self.bytes as f64 / self.objects as f64;
        let odds = 1.0 - (-size / interval as f64).exp();
        let scaled = |count: i64| (count as f64 / odds).round() as i64;
        Self { objects: scaled(self.objects), bytes: scaled(self.bytes) }
    }
}

impl Dump {
    /// Of what the samples stand for, stack by stack.
    pub(super) fn estimated(&self) -> impl Iterator<Item = (Vec<u64>, Counts)> {
        let interval = self.interval;
        self.stacks.iter().map(move |(frames, counts)| (frames.clone(), counts.estimated(interval)))
    }
}

/// Reads the whole of one.
pub(super) fn read(file: File) -> Result<Dump, DumpError> {
    let bytes = file.metadata()?.len();
    if bytes > BYTES_MAX {
        return Err(DumpError::TooLong { bytes });
    }
    parse(BufReader::new(file))
}

fn parse(text: impl BufRead) -> Result<Dump, DumpError> {
    let mut lines = text.lines().enumerate();
    let first = lines.next().map(|(_, line)| line).transpose()?.unwrap_or_default();
    let interval = first.strip_prefix("heap_v2/").and_then(|text| text.parse().ok());
    let mut dump = Dump { interval: interval.ok_or(DumpError::Form(1))?, ..Dump::default() };
    while let Some((_, line)) = lines.next() {
        let line = line?;
        if line.starts_with("MAPPED_LIBRARIES") {
            break;
        }
        // Of all threads; each of them follows, and is passed over.
        let Some(frames) = line.strip_prefix('@') else { continue };
        let Some((number, total)) = lines.next() else { break };
        let wrong = || DumpError::Form(number + 1);
        let counts = total?.trim().strip_prefix("t*: ").and_then(Counts::of).ok_or_else(wrong)?;
        let frames =
            frames.split_whitespace().map(call).collect::<Option<_>>().ok_or_else(wrong)?;
        let sum = dump.stacks.entry(frames).or_default();
        *sum = sum.and(counts);
    }
    Ok(dump)
}

/// The call that returns to an address: what is called last may be the last that a function does.
fn call(text: &str) -> Option<u64> {
    let address = u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()?;
    Some(address.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "heap_v2/524288\n  t*: 3: 1573376 [4: 1573504]\n  t1: 1: 2 [3: 4] main\n\
        @ 0x55d0c1 0x55d0a0\n  t*: 3: 1573376 [4: 1573504]\n  t1: 3: 1573376 [4: 1573504]\n\
        @ 0x1\n  t*: 0: 0 [1: 128]\n  t7: 0: 0 [1: 128]\n\nMAPPED_LIBRARIES:\n55d000-55e000 r-xp 0 00:00 0 @ /x\n";

    fn parsed(text: &str) -> Result<Dump, DumpError> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_dump_is_read_as_calls_and_the_sums_of_all_threads() {
        let dump = parsed(DUMP).expect("a dump");
        assert_eq!((dump.interval, dump.stacks.len()), (524_288, 2));
        let of = |frames: &[u64]| dump.stacks[frames].values();
        assert_eq!(of(&[0x55_d0c0, 0x55_d09f]), [4, 1_573_504, 3, 1_573_376]);
        assert_eq!(of(&[0]), [1, 128, 0, 0]);
    }

    #[test]
    fn a_sample_stands_for_as_many_as_its_odds_say() {
        let of = |objects, bytes| Amount { objects, bytes }.estimated(524_288);
        // Hardly one of 128 bytes is sampled, and hardly one of 8 MiB isn't.
        assert_eq!(of(1, 128), Amount { objects: 4097, bytes: 524_352 });
        assert_eq!(of(2, 16 << 20), Amount { objects: 2, bytes: (16 << 20) + 2 });
        // e / (e − 1) of those of just the interval.
        assert_eq!(of(1000, 524_288_000), Amount { objects: 1582, bytes: 829_411_404 });
        assert_eq!(of(0, 0), Amount::default());
    }

    #[test]
    fn a_dump_beyond_the_bound_is_refused_unread_with_the_way_out() {
        let file = tempfile::tempfile().expect("a file");
        // Of nothing but holes, so that it takes no place.
        file.set_len(BYTES_MAX + 1).expect("it is ours");
        let error = read(file).expect_err("it is too long");
        assert!(matches!(error, DumpError::TooLong { bytes } if bytes == BYTES_MAX + 1), "{error}");
        let said = error.to_string();
        assert!(said.starts_with("it has 257 MiB and at most 256 are read"), "{said}");
        assert!(said.contains("POST /debug/pprof/heap/deactivate"), "{said}");
    }

    #[test]
    fn what_is_none_is_refused_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("heap profile: 1: 2 [3: 4] @ heap/1\n", 1),
            ("heap_v2/1\n@ 0x1\n  t1: 1: 2 [3: 4]\n", 3),
            ("heap_v2/1\n@ 0x1 x\n  t*: 1: 2 [3: 4]\n", 3),
            ("heap_v2/1\n@ 0x1\n  t*: 1: 2 3: 4\n", 3),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(matches!(error, DumpError::Form(at) if at == line), "{text}: {error}");
        }
    }
}
