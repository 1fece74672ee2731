//! The last lines of the log, kept in memory for whoever asks what happened just now.
//!
//! Where the log goes, whoever is on call may not reach it, or it may take nothing at the moment. So each line is
//! copied once more where it is rendered already, into room that was made at the start. The oldest give way.

use std::{
    collections::VecDeque,
    fmt,
    io::BufRead,
    sync::{Arc, Mutex, PoisonError},
};

/// How much is kept, in bytes: some 600 lines as a daemon usually writes them, and four of the longest.
const RECENT_MAX_BYTES: usize = 256 * 1024;

/// Whole lines, the oldest first; together at most [`RECENT_MAX_BYTES`].
pub(super) struct Ring(Mutex<VecDeque<u8>>);

impl Default for Ring {
    fn default() -> Self {
        Self::of(RECENT_MAX_BYTES)
    }
}

impl Ring {
    fn of(bytes: usize) -> Self {
        Self(Mutex::new(VecDeque::with_capacity(bytes)))
    }

    /// Keeps a line with its end. One that is longer than all there is room for isn't kept.
    pub(super) fn keep(&self, line: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It never grows, so that no line costs an allocation.
        let room = kept.capacity();
        if line.len() > room {
            return;
        }
        while kept.len() + line.len() > room {
            // The oldest goes, with its end. Memory gives no errors.
            kept.skip_until(b'\n').ok();
        }
        kept.extend(line.as_bytes());
    }

    fn text(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (older, newer) = kept.as_slices();
        [older, newer].concat()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

/// By which the last lines are read.
#[derive(Debug, Clone)]
pub struct Recent {
    ring: Arc<Ring>,
    is_json: bool,
}

impl Recent {
    pub(super) fn new(ring: Arc<Ring>, is_json: bool) -> Self {
        Self { ring, is_json }
    }

    /// They, as they were written.
    pub fn lines(&self) -> Vec<u8> {
        self.ring.text()
    }

    /// Whether each is an object of JSON.
    pub fn is_json(&self) -> bool {
        self.is_json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(ring: &Ring) -> Vec<String> {
        let text = String::from_utf8(ring.text()).expect("whole lines of text");
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_gives_way_as_a_whole() {
        let ring = Ring::of(20);
        let room = ring.0.lock().unwrap().capacity();
        for number in 0..1000 {
            ring.keep(&format!("line {number}\n"));
            let kept = lines(&ring);
            let bytes: usize = kept.iter().map(String::len).sum();
            assert!(bytes <= room && ring.0.lock().unwrap().capacity() == room);
            let first = number + 1 - kept.len();
            let newest: Vec<_> = (first..=number).map(|one| format!("line {one}\n")).collect();
            assert_eq!(kept, newest);
        }
    }

    #[test]
    fn a_line_as_long_as_all_room_takes_it_and_a_longer_one_costs_nobody_his() {
        let ring = Ring::of(20);
        let room = ring.0.lock().unwrap().capacity();
        let line = |bytes: usize| "x".repeat(bytes - 1) + "\n";
        for long in [line(room), line(room - 1)] {
            ring.keep("short\n");
            ring.keep(&long);
            assert_eq!(lines(&ring), [long]);
        }
        let before = lines(&ring);
        ring.keep(&line(room + 1));
        assert_eq!(lines(&ring), before);
    }
}
