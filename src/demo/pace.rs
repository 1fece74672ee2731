//! When the demo looks at its rows, and what was finished in between.
//!
//! Counting reads every row, so a demo that has run for hours takes longer for a look; the longer, the
//! longer until the next one. So it costs a small share of the machine whatever has piled up, and
//! the page still shows every row.

use tokio::time::Instant;

/// Of this much time at most one part goes into looking.
const PARTS: u32 = 10;

/// The looks at the rows.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
    /// When rows were last looked at, and how many were over by then.
    last: (Instant, usize),
}

impl Pace {
    /// Nothing is finished yet, and the first look is due.
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, last: (now, 0) }
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Takes note of a look that began at `began` and has ended `now`, and of how many jobs it found to be
    /// over; gives how many finished a second since the look before.
    pub(super) fn looked(&mut self, began: Instant, now: Instant, finished: usize) -> f64 {
        self.next = began + (now - began) * PARTS;
        let (before, were) = std::mem::replace(&mut self.last, (now, finished));
        let seconds = (now - before).as_secs_f64();
        // History may have been pruned in between.
        let more = finished.saturating_sub(were);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 jobs")]
        if seconds > 0.0 { more as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rate_is_jobs_a_second_between_two_looks() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let looks =
            [(0, 0, 0.0), (1, 30, 30.0), (3, 31, 0.5), (4, 31, 0.0), (5, 7, 0.0), (9, 47, 10.0)];
        for (at, finished, rate) in looks {
            let now = start + SECOND * at;
            assert!((pace.looked(now, now, finished) - rate).abs() < 1e-9, "after {at} s");
        }
    }

    #[test]
    fn a_look_that_takes_long_is_followed_by_a_longer_pause() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!(pace.is_due(start));
        pace.looked(start, start + SECOND / 10, 0);
        assert!(!pace.is_due(start + SECOND - SECOND / 100));
        assert!(pace.is_due(start + SECOND));
    }
}
