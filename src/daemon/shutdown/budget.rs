//! Until when each phase of the shutdown may take: instants on one clock that starts when it begins.
//!
//! Phases don't have limits that add up: whatever the earlier ones took, the process is gone within
//! `grace + cancel_grace + FLUSH + LAST`. A phase that ends early leaves its time to those after it.
//! Pure: it is told what time it is.

use crate::config::Shutdown;
use std::time::Duration;
use tokio::time::Instant;

/// Longest for the claim in flight; a database that is black-holed doesn't answer at all.
const CLAIM: Duration = Duration::from_secs(2);
/// Longest for batches and hand-offs to be given back.
const RELEASE: Duration = Duration::from_secs(1);
/// What the claim in flight and the giving back have together where the grace is shorter: a claim
/// that a healthy database answers is no orphan even with a grace of zero. It is taken from the
/// flush, which is then that much shorter, and not from who is cancelled.
const BORROWED: Duration = Duration::from_secs(1);
/// For futures that were ended where they stood, and for what is left once we gave up.
const SETTLE: Duration = Duration::from_millis(300);
/// Longest for the daemon's row.
pub(in crate::daemon) const RETIRE: Duration = Duration::from_millis(1200);
/// Longest for open admin requests.
pub(super) const ADMIN: Duration = Duration::from_millis(500);
/// Of the last second, for admin requests and all after them.
const FROM_ADMIN: Duration = Duration::from_millis(600);
/// … for the last log lines and all after them.
const FROM_LOG: Duration = Duration::from_millis(500);
/// … for what is said on standard error, and for the process to be taken apart.
const EXIT: Duration = Duration::from_millis(350);

/// What the whole shutdown may take, shared out.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct Budget {
    begun: Instant,
    grace: Duration,
    cancel_grace: Duration,
}

impl Budget {
    /// The clock starts here.
    pub(in crate::daemon) fn new(settings: &Shutdown, begun: Instant) -> Self {
        Self { begun, grace: settings.grace, cancel_grace: settings.cancel_grace }
    }

    /// Phase 2: leaves phase 3 a quarter of what they share.
    pub(super) fn claiming(&self) -> Instant {
        self.begun + CLAIM.min(self.opening() * 3 / 4)
    }

    /// Phase 3.
    pub(super) fn releasing(&self, now: Instant) -> Instant {
        (now + RELEASE).min(self.begun + self.opening())
    }

    /// Phase 4.
    pub(super) fn running(&self) -> Instant {
        self.begun + self.grace
    }

    /// Phase 5: whoever is cancelled has his time, also where the phases before it had borrowed.
    pub(super) fn cancelled(&self, now: Instant) -> Instant {
        now.clamp(self.running(), self.begun + self.opening()) + self.cancel_grace
    }

    /// Phase 6, and the end of giving up in phase 8.
    pub(super) fn settled(&self, now: Instant) -> Instant {
        (now + SETTLE).min(self.flushed())
    }

    /// Phase 7: half of what is left for it and for the flush, which goes on meanwhile.
    pub(super) fn interrupted(&self, now: Instant) -> Instant {
        now + self.flushing().saturating_duration_since(now) / 2
    }

    /// Phase 8, until it gives up.
    pub(super) fn flushing(&self) -> Instant {
        self.flushed() - SETTLE
    }

    /// Phases 9 and 10.
    pub(super) fn retired(&self, now: Instant) -> Instant {
        (now + RETIRE).min(self.end() - FROM_ADMIN)
    }

    /// Phase 11.
    pub(super) fn answered(&self, now: Instant) -> Instant {
        (now + ADMIN).min(self.end() - FROM_LOG)
    }

    /// The last log lines.
    pub(super) fn logged(&self) -> Instant {
        self.end() - EXIT
    }

    /// How much is left of the whole: then the process is gone.
    pub(in crate::daemon) fn left(&self, now: Instant) -> Duration {
        self.end().saturating_duration_since(now)
    }

    fn end(&self) -> Instant {
        self.flushed() + Shutdown::LAST
    }

    fn flushed(&self) -> Instant {
        self.running() + self.cancel_grace + Shutdown::FLUSH
    }

    fn opening(&self) -> Duration {
        self.grace.max(BORROWED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The phases' ends, in ms, where each takes all that it may; the last log lines are the last.
    fn ends_of_what_hangs(grace: u64, cancel_grace: u64) -> [u128; 10] {
        let settings =
            Shutdown { grace: ms(grace), cancel_grace: ms(cancel_grace), stop_timeout: None };
        let begun = Instant::now();
        let budget = Budget::new(&settings, begun);
        let mut now = begun;
        let mut then = |until: Instant| {
            now = now.max(until);
            now
        };
        let (claiming, running) = (then(budget.claiming()), budget.running());
        let released = then(budget.releasing(claiming));
        let ran = then(running);
        let cancelled = then(budget.cancelled(ran));
        let ended = then(budget.settled(cancelled));
        let interrupted = then(budget.interrupted(ended));
        let flushed = then(budget.flushing());
        let gave_up = then(budget.settled(flushed));
        let retired = then(budget.retired(gave_up));
        let answered = then(budget.answered(retired));
        let last = then(budget.logged());
        let ends = [
            claiming,
            released,
            ran,
            cancelled,
            ended,
            interrupted,
            gave_up,
            retired,
            answered,
            last,
        ];
        ends.map(|end| (end - begun).as_millis())
    }

    #[rstest]
    #[case::defaults(25_000, 3000, [2000, 3000, 25_000, 28_000, 28_300, 29_000, 30_000, 30_400, 30_500, 30_650])]
    #[case::short(500, 500, [750, 1000, 1000, 1500, 1800, 2250, 3000, 3400, 3500, 3650])]
    #[case::a_second(1000, 0, [750, 1000, 1000, 1000, 1300, 2000, 3000, 3400, 3500, 3650])]
    #[case::none_at_all(0, 0, [750, 1000, 1000, 1000, 1300, 1500, 2000, 2400, 2500, 2650])]
    fn phases_that_all_hang_share_one_bound(
        #[case] grace: u64,
        #[case] cancel_grace: u64,
        #[case] ends: [u128; 10],
    ) {
        assert_eq!(ends_of_what_hangs(grace, cancel_grace), ends);
    }

    proptest! {
        #[test]
        fn whatever_each_phase_takes_the_end_stays_where_it_was(
            grace in 0u64..86_400_000,
            cancel_grace in 0u64..600_000,
            early in 0u64..100_000,
        ) {
            let settings =
                Shutdown { grace: ms(grace), cancel_grace: ms(cancel_grace), stop_timeout: None };
            let begun = Instant::now();
            let budget = Budget::new(&settings, begun);
            let bound = ms(grace + cancel_grace) + Shutdown::FLUSH + Shutdown::LAST;
            prop_assert_eq!(budget.end() - begun, bound);
            prop_assert_eq!(bound, settings.bound());
            let ends = ends_of_what_hangs(grace, cancel_grace);
            prop_assert!(ends.is_sorted(), "{:?}", ends);
            prop_assert!(ends[9] < bound.as_millis(), "{:?}", ends);
            let flush = ms(grace + cancel_grace) + Shutdown::FLUSH;
            prop_assert_eq!(ends[6], flush.as_millis(), "no phase after the flush takes of it");
            // A phase that began early gives what it didn't need to the flush.
            prop_assert_eq!(budget.flushing() + SETTLE, begun + flush);
            let now = begun + ms(early);
            prop_assert!(budget.interrupted(now) >= now);
            prop_assert!(budget.cancelled(now) - begun <= ms(grace).max(BORROWED) + ms(cancel_grace));
            prop_assert!(budget.cancelled(now) - begun >= ms(grace + cancel_grace));
        }
    }
}
