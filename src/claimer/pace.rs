//! When to claim again, and how: often while jobs trickle in, rarer as each claim brings more, at once while there
//! is a backlog, and then in turn with the other daemons'.
//!
//! Pure but for the instants it is given.

use super::{ClaimRequest, Marks, Waker, gate::Gate};
use crate::job::ClaimedJob;
use std::time::Duration;
use tokio::time::Instant;

/// Shortest pause between two polls while jobs trickle in.
const POLL_MIN: Duration = Duration::from_millis(1);
/// The same while producers ring for each job, where a poll is but the net: a poll each millisecond or two after every
/// job would find nothing, at half the price of the job.
pub(super) const POLL_RUNG_MIN: Duration = Duration::from_millis(20);
/// Longest one between two polls that bring jobs.
const POLL_BUSY_MAX: Duration = Duration::from_millis(25);
/// What each job that a poll brought adds to the pause after it. Below some thousand jobs a second polls are
/// as frequent as they get; above, where a claim of a few rows costs each of them several times what a claim
/// of many does, they soon bring some hundred at a time.
const POLL_PER_JOB: Duration = Duration::from_micros(100);
/// From so many rows on a claim waits for its turn: they are what others would have to walk over.
const TURN_FROM: u32 = 100;
/// How often it does so in vain before it claims all the same: some 120 ms in all.
const TURNS: u32 = 6;
/// Any role can hold that lock for ever. Who so often had to claim without a turn, for a second or so, asks but once
/// before each claim until one comes. Among eight daemons one in a row is common: giving up after it costs a fleet a fifth.
const VAIN_MOST: u32 = 8;

/// What a claimer remembers from claim to claim.
pub(super) struct State {
    pub(super) marks: Marks,
    pub(super) waker: Waker,
    pub(super) gate: Gate,
    /// Whether it was a wake that made it look.
    pub(super) woken: bool,
    pub(super) pause: Duration,
    pub(super) backlog: bool,
    /// How many more claims give way to others'.
    pub(super) turns: u32,
    /// How many in a row had to be made without a turn.
    vain: u32,
    pub(super) failures: u32,
}

impl State {
    pub(super) fn new(waker: Waker, pause: Duration, now: Instant) -> Self {
        Self {
            marks: Marks::new(now),
            waker,
            gate: Gate::new(now),
            woken: false,
            pause,
            backlog: false,
            turns: 0,
            vain: 0,
            failures: 0,
        }
    }

    /// Whether a claim of so many rows is to give way to others.
    pub(super) fn takes_turns(&self, most: u32) -> bool {
        self.turns > 0 && most >= TURN_FROM
    }

    /// What a claim brought says where the next one starts, when it comes and whether it gives way.
    pub(super) fn learn(
        &mut self,
        request: &ClaimRequest,
        jobs: &[ClaimedJob],
        horizon: i64,
        took: Duration,
    ) {
        let full = jobs.len() >= request.most as usize;
        self.backlog = full;
        if request.in_turn && jobs.is_empty() {
            // It was another's turn, or nothing is in line: this says nothing about the line.
            self.turns -= 1;
            self.vain = self.vain.saturating_add(u32::from(self.turns == 0));
            return;
        }
        if request.in_turn || !full {
            self.vain = 0;
        }
        self.turns = match (full, self.vain < VAIN_MOST) {
            (true, true) => TURNS,
            (true, false) => 1,
            (false, _) => 0,
        };
        let seen = jobs.iter().map(|job| (job.priority, job.seq));
        self.marks.learn(&request.probe, seen, full, horizon);
        if request.probe.is_sweep {
            self.marks.swept(Instant::now(), took);
        }
        if self.woken && jobs.is_empty() {
            self.gate.in_vain(Instant::now());
        }
    }

    /// While work arrives polls are frequent, or as they are where wake-ups tell of it; each empty one doubles the
    /// pause.
    pub(super) fn pace(&mut self, jobs: usize, rung: Option<Duration>) {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        self.pause = match (jobs, rung) {
            (0, _) => self.pause * 2,
            // It isn't waited for, but doubled where the next claim has to give way.
            _ if self.backlog => POLL_MIN,
            (_, Some(pause)) => pause,
            _ => POLL_PER_JOB.saturating_mul(jobs).clamp(POLL_MIN, POLL_BUSY_MAX),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        claimer::{Bell, LEVELS},
        job::{JobId, KindName, Lease, QueueName},
    };
    use rstest::rstest;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    const MOST: u32 = 500;

    fn state() -> State {
        let now = Instant::now();
        let mut state = State::new(Bell::default().waker(), POLL_MIN, now);
        state.marks.swept(now, Duration::ZERO);
        state
    }

    fn names() -> (QueueName, KindName) {
        (QueueName::new("q").expect("a name"), KindName::new("k").expect("a name"))
    }

    impl State {
        fn claimed(&mut self, in_turn: bool, jobs: u32) {
            let (queue, kind) = names();
            let probe = self.marks.probe(Instant::now());
            let kinds = Arc::from([kind.clone()]);
            let (queue_name, halt) = (queue.clone(), CancellationToken::new());
            let request = ClaimRequest {
                holder: 1,
                queue: queue_name,
                kinds,
                probe,
                most: MOST,
                in_turn,
                halt,
            };
            let lease = |job| Lease { job: JobId(job), token: 1, holder: 1 };
            let job = |id| ClaimedJob::new(lease(id), queue.clone(), kind.clone(), "{}");
            let jobs: Vec<_> = (0..i64::from(jobs)).map(|n| job(1_000_000 + n)).collect();
            self.learn(&request, &jobs, 2_000_000, Duration::ZERO);
            self.pace(jobs.len(), None);
        }

        fn mark(&self) -> i64 {
            let level = LEVELS.iter().position(|level| *level == 0).expect("the default's");
            self.marks.probe(Instant::now()).marks[level]
        }
    }

    #[rstest]
    #[case::one(1, POLL_MIN)]
    #[case::a_few(20, Duration::from_millis(2))]
    #[case::many(400, POLL_BUSY_MAX)]
    #[case::as_many_as_it_may(MOST, POLL_MIN)]
    #[tokio::test]
    async fn the_more_a_poll_brought_the_later_comes_the_next(
        #[case] jobs: u32,
        #[case] pause: Duration,
    ) {
        let mut state = state();
        state.claimed(false, jobs);
        assert_eq!(state.pause, pause);
        assert_eq!(state.backlog, jobs == MOST);
        state.claimed(false, 0);
        assert_eq!(state.pause, 2 * pause);
    }

    #[rstest]
    #[case::one(1, POLL_RUNG_MIN)]
    #[case::as_many_as_it_may(MOST, POLL_MIN)]
    #[tokio::test]
    async fn while_producers_ring_polls_are_rare(#[case] jobs: u32, #[case] pause: Duration) {
        let mut state = state();
        state.claimed(false, jobs);
        state.pace(jobs as usize, Some(POLL_RUNG_MIN));
        assert_eq!(state.pause, pause);
    }

    #[tokio::test]
    async fn what_brought_nothing_in_turn_says_nothing_about_the_line_and_ends_after_a_while() {
        let mut state = state();
        state.claimed(false, MOST);
        let mark = state.mark();
        for left in (0..TURNS).rev() {
            state.claimed(true, 0);
            assert_eq!((state.turns, state.mark()), (left, mark));
        }
        state.claimed(false, 0);
        assert!(state.mark() > mark, "a claim that gives way to nobody has seen the line's end");
    }

    #[tokio::test]
    async fn who_never_gets_a_turn_asks_but_once_until_one_comes() {
        let mut state = state();
        state.claimed(false, MOST);
        for _ in 0..VAIN_MOST {
            assert_eq!(state.turns, TURNS);
            for _ in 0..TURNS {
                state.claimed(true, 0);
            }
            state.claimed(false, MOST);
        }
        assert_eq!(state.turns, 1);
        state.claimed(true, 0);
        state.claimed(false, MOST);
        assert_eq!(state.turns, 1);
        state.claimed(true, MOST);
        assert_eq!(state.turns, TURNS);
    }

    #[tokio::test]
    async fn turns_are_taken_for_as_long_as_there_is_a_backlog() {
        let mut state = state();
        state.claimed(false, MOST);
        state.claimed(true, 0);
        state.claimed(true, MOST);
        assert_eq!(state.turns, TURNS);
        state.claimed(true, MOST - 1);
        assert_eq!(state.turns, 0);
    }
}
