//! Verdicts that can't be written now, set aside so that they hold up no others.
//!
//! It exists because one row can be stuck for as long as somebody likes: an open transaction holds it, a
//! trigger refuses it, a right is missing. Each is tried again by itself, ever less often, until it is
//! written or the daemon ends and names it. It decides when; it writes nothing.

use super::{Settled, flush::Before, settled::VERDICT_CAPACITY};
use crate::job::JobId;
use std::{collections::HashSet, time::Duration};
use tokio::time::Instant;

/// With so many aside no more verdicts are taken: workers then wait with their slots, and claiming stops.
const ASIDE_MAX: usize = VERDICT_CAPACITY;
/// How long one rests after its first try; doubles with each.
const REST_MIN: Duration = Duration::from_secs(1);
/// The longest rest of a row that somebody has locked: a look at it costs next to nothing.
const LOCKED_REST_MAX: Duration = Duration::from_secs(5);
/// The longest rest of one whose try may cost the others a statement's limit.
const REST_MAX: Duration = Duration::from_mins(1);

/// Why a verdict is aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody holds its row.
    Locked,
    /// It took too long, or met a right or a table that is missing, alone.
    Unknown,
    /// Nobody knows: it was in one statement with such a row, and trying each alone would have kept
    /// those that come later waiting.
    Behind,
    /// The database refuses it, and the job may not go back either.
    Refused,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Unknown => "unknown",
            Self::Behind => "behind",
            Self::Refused => "refused",
        }
    }

    fn rest(self, tries: u32) -> Duration {
        let most = if self == Self::Locked { LOCKED_REST_MAX } else { REST_MAX };
        REST_MIN.saturating_mul(2_u32.saturating_pow(tries)).min(most)
    }
}

/// A verdict that has to be set aside.
#[derive(Debug)]
pub(super) struct Stuck {
    /// As it came from the worker.
    pub(super) settled: Settled,
    pub(super) why: Why,
    pub(super) before: Before,
}

struct Entry {
    stuck: Stuck,
    tries: u32,
    due: Instant,
    /// A flush has it, and hasn't set it aside again.
    in_flush: bool,
}

impl Entry {
    fn rest(&mut self, now: Instant) {
        self.in_flush = false;
        if self.stuck.why == Why::Behind {
            // It wasn't tried. Others have as long as those before it had.
            self.due = now + REST_MIN;
            return;
        }
        self.due = now + self.stuck.why.rest(self.tries);
        self.tries = self.tries.saturating_add(1);
    }

    /// Who hasn't been tried alone comes first, so that each has his turn.
    fn place(&self) -> (bool, Instant) {
        (self.stuck.why != Why::Behind, self.due)
    }
}

/// A `due` that every entry has reached.
pub(super) fn end_of_rest() -> Instant {
    Instant::now() + 2 * REST_MAX
}

/// The verdicts that are aside: at most [`ASIDE_MAX`] and those of one flush.
#[derive(Default)]
pub(super) struct Aside(Vec<Entry>);

impl Aside {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= ASIDE_MAX
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.iter().map(|entry| entry.due).min()
    }

    /// Sets these aside, for the first time or once more.
    pub(super) fn add(&mut self, stuck: Vec<Stuck>) {
        let now = Instant::now();
        for stuck in stuck {
            let lease = stuck.settled.lease;
            let known = self.0.iter().position(|entry| entry.stuck.settled.lease == lease);
            let tries = known.map_or(0, |place| self.0.swap_remove(place).tries);
            let mut entry = Entry { stuck, tries, due: now, in_flush: false };
            entry.rest(now);
            self.0.push(entry);
        }
    }

    /// The jobs of those that are due. No flush has any: one that was ended before it had its answer is
    /// over.
    pub(super) fn due(&mut self, at: Instant) -> HashSet<JobId> {
        self.0.iter_mut().for_each(|entry| entry.in_flush = false);
        let due = self.0.iter().filter(|entry| entry.due <= at);
        due.map(|entry| entry.stuck.settled.lease.job).collect()
    }

    /// Lets these rest once more.
    pub(super) fn rest(&mut self, jobs: &HashSet<JobId>, now: Instant) {
        let is_one = |entry: &&mut Entry| jobs.contains(&entry.stuck.settled.lease.job);
        self.0.iter_mut().filter(is_one).for_each(|entry| entry.rest(now));
    }

    /// Those of these jobs, for a flush, in the order in which they are to be tried, and what happened to
    /// them before. They stay here, as ones that may be written, until they are
    /// [`answered`](Self::answered).
    pub(super) fn try_again(
        &mut self,
        jobs: &HashSet<JobId>,
        recorded: bool,
    ) -> (Vec<Settled>, Before) {
        let mut before = Before { recorded, ..Before::default() };
        let mut again = Vec::new();
        self.0.sort_by_key(Entry::place);
        for entry in &mut self.0 {
            let stuck = &mut entry.stuck;
            if stuck.before.recorded == recorded && jobs.contains(&stuck.settled.lease.job) {
                before.uncertain |= std::mem::replace(&mut stuck.before.uncertain, true);
                before.one_by_one |= stuck.why == Why::Behind;
                entry.in_flush = true;
                again.push(stuck.settled.clone());
            }
        }
        (again, before)
    }

    /// The flush is over: what it hasn't set aside again is written.
    pub(super) fn answered(&mut self) {
        self.0.retain(|entry| !entry.in_flush);
    }

    /// Forgets those for which another try has no sense before the database is mended.
    pub(super) fn leave_refused(&mut self) {
        self.0.retain(|entry| entry.stuck.why != Why::Refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Lease, QueueName, Verdict};

    fn stuck(job: i64, why: Why) -> Stuck {
        let settled = Settled {
            lease: Lease { job: JobId(job), token: 1, holder: 1 },
            place: None,
            queue: QueueName::new("default").expect("a name"),
            kind: None,
            origin: None,
            span: None,
            verdict: Verdict::Complete { result: None },
            failure: None,
            attempt: 1,
            charged: true,
            took: None,
            metrics: None,
            keeps: None,
        };
        let before = Before { recorded: true, ..Before::default() };
        Stuck { settled, why, before }
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_rests_longer_each_time_and_a_locked_one_never_long() {
        for (why, rests) in [(Why::Locked, [1, 2, 4, 5, 5]), (Why::Unknown, [1, 2, 4, 8, 16])] {
            let mut aside = Aside::default();
            for rest in rests {
                aside.add(vec![stuck(7, why)]);
                let due = aside.next_due().expect("one is aside");
                assert_eq!(due - Instant::now(), Duration::from_secs(rest), "{why:?}");
            }
            assert_eq!(aside.len(), 1, "it is there once");
        }
        assert_eq!(Why::Refused.rest(u32::MAX), REST_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_flush_had_that_was_ended_is_tried_again_as_one_that_may_be_written() {
        let mut aside = Aside::default();
        aside.add(vec![stuck(7, Why::Locked), stuck(8, Why::Locked)]);
        let jobs = aside.due(end_of_rest());
        let (tried, before) = aside.try_again(&jobs, true);
        assert_eq!((tried.len(), before.uncertain), (2, false));

        // Nothing was answered; meanwhile somebody has locked one of them.
        let mut jobs = aside.due(end_of_rest());
        assert_eq!(jobs.len(), 2);
        jobs.remove(&JobId(7));
        let (tried, before) = aside.try_again(&jobs, true);
        assert_eq!((tried[0].lease.job, before.uncertain), (JobId(8), true));
        aside.answered();
        assert_eq!(aside.due(end_of_rest()), HashSet::from([JobId(7)]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_stuck_again_stays_and_what_was_written_goes() {
        let mut aside = Aside::default();
        aside.add(vec![stuck(7, Why::Unknown), stuck(8, Why::Unknown)]);
        let jobs = aside.due(end_of_rest());
        assert!(aside.try_again(&jobs, false).0.is_empty(), "their failures are recorded");
        let (tried, _) = aside.try_again(&jobs, true);
        assert_eq!(tried.len(), 2);
        aside.add(vec![stuck(8, Why::Refused)]);
        aside.answered();
        assert_eq!(aside.due(end_of_rest()), HashSet::from([JobId(8)]));
        aside.leave_refused();
        assert_eq!(aside.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_been_tried_alone_comes_first_and_one_by_one() {
        let mut aside = Aside::default();
        aside.add(vec![stuck(7, Why::Unknown), stuck(8, Why::Behind), stuck(9, Why::Behind)]);
        let in_order = |aside: &mut Aside| {
            let jobs = aside.due(end_of_rest());
            let (tried, before) = aside.try_again(&jobs, true);
            (tried.iter().map(|settled| settled.lease.job.0).collect::<Vec<_>>(), before.one_by_one)
        };
        assert_eq!(in_order(&mut aside), (vec![8, 9, 7], true));
        aside.add(vec![stuck(8, Why::Unknown), stuck(9, Why::Behind), stuck(7, Why::Behind)]);
        assert_eq!(in_order(&mut aside), (vec![9, 7, 8], true));
        aside.add(vec![stuck(9, Why::Unknown), stuck(7, Why::Unknown)]);
        assert!(!in_order(&mut aside).1, "each has been");
    }
}
