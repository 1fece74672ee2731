//! How often a wake may make a claimer look in vain.
//!
//! Any role of the database can NOTIFY, so a wake is a hint that may lie: without a gate, a storm of
//! them is a storm of claims, one after another as fast as Postgres answers. A wake that brings jobs
//! costs nothing here; one that finds nothing uses up a share, and shares come back at a rate. It
//! never holds up the poll, which finds every row however long the gate is shut.

use std::time::Duration;
use tokio::time::Instant;

/// In which a share comes back: a storm costs Postgres a hundred empty claims a second (0.14 ms of
/// CPU each) and honest wakes amid a storm 10 ms. Honest wakes alone come less than a thousand times
/// a second, for then the doorbell is silent, and few of them find nothing.
const SHARE: Duration = Duration::from_millis(10);
/// Shares that can be saved up: wakes that cross with a claim, or with another daemon's, come in runs.
const SAVED: u32 = 100;

/// One claimer's gate.
#[derive(Debug)]
pub(super) struct Gate {
    /// When every share is back.
    whole: Instant,
}

impl Gate {
    /// With every share.
    pub(super) fn new(now: Instant) -> Self {
        Self { whole: now }
    }

    /// A wake was followed and nothing was found.
    pub(super) fn in_vain(&mut self, now: Instant) {
        self.whole = self.whole.max(now) + SHARE;
    }

    /// How long a wake has to wait now.
    pub(super) fn shut_for(&self, now: Instant) -> Duration {
        self.whole.saturating_duration_since(now).saturating_sub(SHARE * SAVED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_open_until_the_shares_are_used_up_and_opens_once_a_share_is_back() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        for _ in 0..SAVED {
            assert_eq!(gate.shut_for(start), Duration::ZERO);
            gate.in_vain(start);
        }
        assert_eq!(gate.shut_for(start), Duration::ZERO);
        gate.in_vain(start);
        assert_eq!(gate.shut_for(start), SHARE);
        assert_eq!(gate.shut_for(start + SHARE), Duration::ZERO);
    }

    #[test]
    fn a_pause_brings_back_what_can_be_saved_and_no_more() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        for _ in 0..2 * SAVED {
            gate.in_vain(start);
        }
        let later = start + Duration::from_hours(1);
        for _ in 0..=SAVED {
            assert_eq!(gate.shut_for(later), Duration::ZERO);
            gate.in_vain(later);
        }
        assert_eq!(gate.shut_for(later), SHARE);
    }
}
