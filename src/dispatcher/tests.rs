//! Two limits at once, in paused time: no window of either holds more starts than it may, whoever shares
//! them, and whoever has them alone loses nothing.

use super::*;
use crate::{
    completer::verdict_channel,
    job::{ClaimedJob, JobId, KindName, Lease, QueueName, RateLimit},
    supervise::Supervisor,
    telemetry::metrics::Metrics,
    worker::{Kinds, PoolParts},
};
use futures::future::join_all;
use proptest::prelude::*;
use std::{cell::RefCell, num::NonZeroU32};
use tokio::time::{advance, timeout};

fn limiter(limit: RateLimit) -> Arc<Limiter> {
    Arc::new(Limiter::new(limit, Metrics::default().limiter("kind:k")))
}

fn limit(text: &str) -> RateLimit {
    text.parse().expect("a limit")
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waits_for_one_limit_takes_nothing_of_the_other_and_no_slot() {
    let (open, shut) = (limiter(limit("1/s")), limiter(limit("1/m")));
    advance(Duration::from_secs(1)).await;
    let slots = Slots::new(1);
    let mut turn = Turn::default();
    let both = vec![Arc::clone(&open), Arc::clone(&shut)];
    let limits = Limits { limiters: both, slots: slots.clone() };
    for _ in 0..2 {
        let gone = timeout(Duration::from_secs(5), limits.permitted(&mut turn)).await;
        assert!(gone.is_err(), "the second limiter holds it back");
        assert_eq!(turn.told, [1], "once, however many jobs come in its place");
        assert_eq!(slots.in_use(), 0, "who waits holds no slot");
        assert_eq!(open.ready(), Ok(()), "the first has its permit still");
    }
    let slot = timeout(Duration::from_mins(1), limits.permitted(&mut turn)).await;
    assert!(slot.is_ok_and(|slot| slot.is_some()));
    assert!(turn.told.is_empty(), "the next start begins anew");
    assert_eq!((open.ready().is_err(), shut.ready().is_err()), (true, true), "both were taken");
}

/// Of at most 50 starts a second: the clock of sleeps ticks in milliseconds, and rounds up.
fn any_limit() -> impl Strategy<Value = RateLimit> {
    let per = prop_oneof![Just(1u64), Just(60)];
    (1u32..=50, per, 1u32..=6).prop_map(|(starts, seconds, burst)| {
        let n = |n: u32| NonZeroU32::new(n).expect("not zero");
        RateLimit { starts: n(starts), per: Duration::from_secs(seconds), burst: n(burst) }
    })
}

/// A claim group: whether the kind's limit is its own, whether the queue's is, and the pauses that it makes
/// after its starts, as jobs come.
fn any_group() -> impl Strategy<Value = (bool, bool, Vec<u64>)> {
    let limits = prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))];
    (limits, proptest::collection::vec(0u64..200, 1..8))
        .prop_map(|((kinds, queues), pauses)| (kinds, queues, pauses))
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(work)
}

/// At most burst + rate × window in every window, and a bucket that is empty at first.
fn exceeded(starts: &[Duration], limit: RateLimit) -> Option<String> {
    let interval = limit.interval().as_nanos();
    let late = starts.iter().enumerate().find(|(i, at)| *i as u128 >= at.as_nanos() / interval);
    if let Some((i, at)) = late {
        return Some(format!("{} starts {at:?} after the limiter was made", i + 1));
    }
    for (i, first) in starts.iter().enumerate() {
        for (j, last) in starts.iter().enumerate().skip(i) {
            let most =
                u128::from(limit.burst.get()) + last.saturating_sub(*first).as_nanos() / interval;
            if (j - i + 1) as u128 > most {
                return Some(format!("{} starts between {first:?} and {last:?}", j - i + 1));
            }
        }
    }
    None
}

/// When starts of the kind and of the queue happened, within this time.
async fn contend(
    (kind, queue): (RateLimit, RateLimit),
    groups: &[(bool, bool, Vec<u64>)],
    time: Duration,
) -> (Vec<Duration>, Vec<Duration>) {
    let (begin, starts) = (Instant::now(), RefCell::new((Vec::new(), Vec::new())));
    let (of_kind, of_queue) = (limiter(kind), limiter(queue));
    let slots = Slots::new(2);
    let group = async |(kinds, queues, pauses): &(bool, bool, Vec<u64>)| {
        let mut limiters = Vec::new();
        limiters.extend(kinds.then(|| Arc::clone(&of_kind)));
        limiters.extend(queues.then(|| Arc::clone(&of_queue)));
        let limits = Limits { limiters, slots: slots.clone() };
        let mut turn = Turn::default();
        for pause in pauses.iter().cycle() {
            // Jobs that wait too long go back, and others come.
            let permitted = timeout(STAY_MAX, limits.permitted(&mut turn)).await;
            if begin.elapsed() >= time {
                return;
            }
            if permitted.is_ok_and(|slot| slot.is_some()) {
                let mut starts = starts.borrow_mut();
                starts.0.extend(kinds.then(|| begin.elapsed()));
                starts.1.extend(queues.then(|| begin.elapsed()));
            }
            sleep(Duration::from_millis(*pause)).await;
        }
    };
    join_all(groups.iter().map(group)).await;
    starts.into_inner()
}

proptest! {
    #[test]
    fn no_window_of_either_limit_is_exceeded_whoever_contends_for_them(
        limits in (any_limit(), any_limit()),
        mut groups in proptest::collection::vec(any_group(), 1..5),
    ) {
        groups.push((true, true, vec![0]));
        let time = Duration::from_secs(20);
        let (of_kind, of_queue) = paused(contend(limits, &groups, time));
        prop_assert_eq!(exceeded(&of_kind, limits.0), None);
        prop_assert_eq!(exceeded(&of_queue, limits.1), None);
    }

    #[test]
    fn who_has_both_limits_alone_starts_as_often_as_the_tighter_one_lets_it(
        limits in (any_limit(), any_limit()),
    ) {
        let tighter = limits.0.interval().max(limits.1.interval());
        let (of_kind, of_queue) = paused(contend(limits, &[(true, true, vec![0])], tighter * 101));
        prop_assert_eq!(exceeded(&of_kind, limits.0), None);
        prop_assert_eq!(exceeded(&of_queue, limits.1), None);
        prop_assert!(of_kind.len() >= 90, "{} of 100", of_kind.len());
    }
}

/// The same limiter twice stands for a group that takes the permit between another's look and its taking.
#[tokio::test(start_paused = true)]
async fn who_is_outrun_between_look_and_taking_loses_a_permit_and_gains_no_start() {
    let shared = limiter(limit("1/s"));
    advance(Duration::from_secs(1)).await;
    let both = vec![Arc::clone(&shared), Arc::clone(&shared)];
    let limits = Limits { limiters: both, slots: Slots::new(1) };
    let mut turn = Turn::default();
    assert_eq!(limits.permits(&mut turn), Err(Duration::from_secs(1)), "both looked ready");
    assert_eq!(shared.ready(), Err(Duration::from_secs(1)), "what was taken isn't given back");
}

/// A dispatcher with these limits, and where its batches go in and its verdicts come out. Its pool serves
/// no kind, so a worker gives back what it gets.
struct Bench {
    queue: QueueName,
    kind: KindName,
    outbox: mpsc::Sender<Vec<Assignment>>,
    inbox: mpsc::Receiver<Settled>,
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
}

impl Bench {
    fn new(rate: &str, slots: Slots) -> Self {
        let queue = QueueName::new("q").expect("a name");
        let metrics = Metrics::default();
        let (verdicts, inbox) = verdict_channel();
        let parts = PoolParts {
            queue: queue.clone(),
            concurrency: 3,
            kinds: Kinds::default(),
            running: Arc::default(),
            verdicts,
            metrics: metrics.queue(&queue),
            grace_without_lease: Duration::ZERO,
            tracer: None,
        };
        let pool = Pool::new(parts, Supervisor::default());
        let limits = Limits { limiters: vec![limiter(limit(rate))], slots };
        let (outbox, batches) = mpsc::channel(BATCH_CAPACITY);
        let stop = CancellationToken::new();
        let dispatcher = Arc::new(Dispatcher::new(batches, limits, pool, stop.clone()));
        let kind = KindName::new("k").expect("a name");
        Self { queue, kind, outbox, inbox, dispatcher, stop }
    }

    fn job(&self, id: i64) -> ClaimedJob {
        let lease = Lease { job: JobId(id), token: 1, holder: 1 };
        ClaimedJob::new(lease, self.queue.clone(), self.kind.clone(), "{}")
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_expires_behind_another_batch_is_not_started() {
    let slots = Slots::new(2);
    let taken = slots.reserve(2, false).await.expect("two are free");
    let mut bench = Bench::new("1000/s", slots);
    let mut places = Slots::new(2).reserve(2, false).await.expect("two are free");
    let mut expiring = bench.job(2);
    expiring.expires_in = Some(Duration::from_secs(1));
    expiring.claim_began = Some(Instant::now().into_std());
    for job in [bench.job(1), expiring] {
        let slot = places.take().expect("a place");
        bench.outbox.send(vec![Assignment { job, slot }]).await.expect("it is there");
    }
    let frees = async {
        sleep(Duration::from_secs(3)).await;
        drop(taken);
        let settled = [bench.inbox.recv().await, bench.inbox.recv().await];
        settled.map(|settled| settled.map(|s| (s.lease.job.0, s.keeps.is_some())))
    };
    let dispatcher = Arc::clone(&bench.dispatcher);
    let (mut settled, _) = tokio::join!(frees, timeout(Duration::from_secs(4), dispatcher.run()));
    settled.sort_unstable();
    // The first came by a worker; the second went back with its place.
    assert_eq!(settled, [Some((1, false)), Some((2, true))]);
}

#[tokio::test]
async fn jobs_that_wait_for_a_limiter_outlive_the_task_that_held_them() {
    let mut bench = Bench::new("1/h", Slots::new(3));
    let mut places = Slots::new(3).reserve(3, false).await.expect("three are free");
    let batch: Vec<_> = (1..=3)
        .filter_map(|id| Some(Assignment { job: bench.job(id), slot: places.take()? }))
        .collect();
    bench.outbox.send(batch).await.expect("it is there");
    drop(bench.outbox);
    let ended = timeout(Duration::from_millis(10), Arc::clone(&bench.dispatcher).run()).await;
    assert!(ended.is_err(), "they wait for the limiter");
    bench.stop.cancel();
    bench.dispatcher.run().await;
    let mut released = Vec::new();
    while let Ok(settled) = bench.inbox.try_recv() {
        assert_eq!(settled.verdict, Verdict::Release);
        released.push(settled.lease.job.0);
    }
    assert_eq!(released, [1, 2, 3]);
}
