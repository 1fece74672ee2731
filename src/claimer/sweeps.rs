//! When to look from the far left again: often enough that a late commit waits briefly, rarely enough
//! that looking costs 2 % of the time at most.
//!
//! Pure but for the instants it is given; low-water marks of every sort go by it.

use std::time::Duration;
use tokio::time::Instant;

/// Sweeps come at least this far apart.
pub(super) const SWEEP_MIN: Duration = Duration::from_secs(1);
/// … and at most this far: the longest that a late commit waits.
pub(super) const SWEEP_MAX: Duration = Duration::from_secs(30);
/// Share of the time that sweeps may take: 2 %.
const SWEEP_DUTY: u32 = 50;

/// The instants of the sweeps.
#[derive(Debug)]
pub struct Sweeps {
    next: Instant,
}

impl Sweeps {
    /// The first look is a sweep.
    pub fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// Whether to look from the far left now.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Asks for one at the next look.
    pub fn ask(&mut self, now: Instant) {
        self.next = now;
    }

    /// One ended that took so long.
    pub fn done(&mut self, now: Instant, took: Duration) {
        self.next = now + (took * SWEEP_DUTY).clamp(SWEEP_MIN, SWEEP_MAX);
    }
}
