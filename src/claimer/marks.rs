//! The low-water marks: where in line the next claim starts looking.
//!
//! Finished jobs leave dead entries at the left edge of the index, and with a pinned horizon they
//! stay: a claim that starts at the very left gets slower with every job ever run (91 → 10 k/s over
//! a million). So a claim starts a margin below the lowest row that can still be in line. A row
//! that committed later than the margin allows is found by the sweep, which starts at the left.
//!
//! Pure but for the instants it is given.

use super::sweeps::Sweeps;
use std::time::Duration;
use tokio::time::Instant;

/// The five priorities, the one that runs first first.
pub const LEVELS: [i16; 5] = [-2, -1, 0, 1, 2];
/// How far a mark trails what was seen. A transaction that commits after more than this many later
/// inserts were claimed waits for the next sweep.
pub(crate) const MARGIN: i64 = 4096;
/// Where one claim looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Priorities, in the order in which they are served.
    pub levels: Vec<i16>,
    /// For each, the seq to start at.
    pub marks: Vec<i64>,
    /// Whether it starts at the left for all of them.
    pub is_sweep: bool,
}

/// The marks of one claim group.
#[derive(Debug)]
pub struct Marks {
    marks: [i64; LEVELS.len()],
    sweeps: Sweeps,
}

impl Marks {
    /// The first claim is a sweep.
    pub fn new(now: Instant) -> Self {
        Self { marks: [0; LEVELS.len()], sweeps: Sweeps::new(now) }
    }

    /// Where to look now.
    pub fn probe(&self, now: Instant) -> Probe {
        let is_sweep = self.sweeps.is_due(now);
        let marks = if is_sweep { vec![0; LEVELS.len()] } else { self.marks.to_vec() };
        Probe { levels: LEVELS.to_vec(), marks, is_sweep }
    }

    /// Asks for a sweep at the next claim: something was released, rescued or resumed.
    pub fn sweep_now(&mut self, now: Instant) {
        self.sweeps.ask(now);
    }

    /// What a claim saw: rows by (priority, seq), whether there may be more, and the sequence's last
    /// value as it was before the claim.
    pub fn learn(
        &mut self,
        probe: &Probe,
        rows: impl Iterator<Item = (i16, i64)>,
        full: bool,
        horizon: i64,
    ) {
        let mut lowest = [None::<i64>; LEVELS.len()];
        for (priority, seq) in rows {
            if let Some(level) = LEVELS.iter().position(|level| *level == priority) {
                lowest[level] = Some(lowest[level].map_or(seq, |low| low.min(seq)));
            }
        }
        for (mark, lowest) in self.marks.iter_mut().zip(lowest) {
            match lowest {
                // A sweep found rows below the mark: there may be more beside them.
                Some(low) if probe.is_sweep && low < *mark => *mark = low,
                Some(low) => *mark = (*mark).max(low - MARGIN),
                None => {}
            }
            // Fewer came than were asked for, so nothing is in line below what existed before,
            // but for commits that are late.
            if !full {
                *mark = (*mark).max(horizon - MARGIN);
            }
        }
    }

    /// A sweep took so long. What it found is behind the marks now, so claims go on there, and the
    /// next sweep can wait even when this one didn't see the end of the line.
    pub fn swept(&mut self, now: Instant, took: Duration) {
        self.sweeps.done(now, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claimer::sweeps::SWEEP_MAX;

    fn swept_marks() -> (Marks, Instant) {
        let now = Instant::now();
        let mut marks = Marks::new(now);
        marks.swept(now, Duration::ZERO);
        (marks, now)
    }

    fn at_default(marks: &Marks, now: Instant) -> i64 {
        marks.probe(now).marks[2]
    }

    #[tokio::test]
    async fn the_first_claim_is_a_sweep_and_the_next_comes_after_its_pause() {
        let now = Instant::now();
        let mut marks = Marks::new(now);
        assert!(marks.probe(now).is_sweep);
        marks.swept(now, Duration::from_millis(100));
        assert!(!marks.probe(now + Duration::from_secs(4)).is_sweep);
        assert!(marks.probe(now + Duration::from_secs(5)).is_sweep, "2 % of the time");
        marks.swept(now, Duration::from_mins(1));
        assert!(marks.probe(now + SWEEP_MAX).is_sweep, "however long it takes");
    }

    #[tokio::test]
    async fn a_full_claim_moves_the_mark_to_a_margin_below_its_lowest_row() {
        let (mut marks, now) = swept_marks();
        let probe = marks.probe(now);
        marks.learn(&probe, [(0, 10_000), (0, 10_001)].into_iter(), true, 50_000);
        assert_eq!(at_default(&marks, now), 10_000 - MARGIN);
    }

    #[tokio::test]
    async fn a_short_claim_moves_the_mark_up_to_the_horizon() {
        let (mut marks, now) = swept_marks();
        let probe = marks.probe(now);
        marks.learn(&probe, std::iter::empty(), false, 1_000_000);
        assert_eq!(at_default(&marks, now), 1_000_000 - MARGIN, "unserved kinds stay behind it");
    }

    #[tokio::test]
    async fn what_a_sweep_finds_below_the_mark_sets_it_back() {
        let (mut marks, now) = swept_marks();
        let probe = marks.probe(now);
        marks.learn(&probe, std::iter::empty(), false, 1_000_000);
        marks.sweep_now(now);
        let sweep = marks.probe(now);
        marks.learn(&sweep, [(0, 77)].into_iter(), true, 1_000_000);
        marks.swept(now, Duration::ZERO);
        assert_eq!(at_default(&marks, now), 77);
    }

    #[tokio::test]
    async fn a_mark_never_falls_without_a_sweep() {
        let (mut marks, now) = swept_marks();
        let probe = marks.probe(now);
        marks.learn(&probe, [(0, 100_000)].into_iter(), true, 0);
        marks.learn(&probe, [(0, 96_000)].into_iter(), true, 0);
        assert_eq!(at_default(&marks, now), 100_000 - MARGIN);
    }
}
