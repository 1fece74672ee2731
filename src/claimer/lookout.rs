//! One look for every claimer that has nothing to do: the net under the wake-ups.
//!
//! An idle claimer that polled for itself would cost a statement each quarter of a second, and a
//! daemon has as many claimers as it has queues and limited kinds. So a claimer whose claims come
//! back empty takes up its post, and one statement looks for all of them; whoever has something in
//! line is called and claims as ever.
//!
//! It has low-water marks of its own, and sweeps, since an idle claimer does neither. It claims
//! nothing.

use super::{ClaimError, ClaimSource, ClaimerShared, Marks, Probe, failure_pause};
use crate::{
    job::{KindName, QueueName},
    supervise::{self, WaitPoint, at},
    telemetry::events,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::{Instant, sleep},
};

/// What a look asks of one claim group.
#[derive(Debug, Clone)]
pub struct Look {
    /// Where.
    pub queue: QueueName,
    /// What may be claimed.
    pub kinds: Arc<[KindName]>,
    /// From where on.
    pub probe: Probe,
}

/// A job that a look saw in line, the first of its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which of the looks.
    pub look: usize,
    /// Its level.
    pub priority: i16,
    /// Its place in line.
    pub seq: i64,
}

/// Where a claimer waits while it has nothing to do.
#[derive(Debug)]
pub struct Post {
    queue: QueueName,
    kinds: Arc<[KindName]>,
    occupied: AtomicBool,
    called: Notify,
    /// At most one of each level, and read before the next call.
    seen: Mutex<Vec<(i16, i64)>>,
}

impl Post {
    pub(super) fn new(queue: QueueName, kinds: Arc<[KindName]>) -> Arc<Self> {
        let (occupied, called) = (AtomicBool::new(false), Notify::new());
        Arc::new(Self { queue, kinds, occupied, called, seen: Mutex::default() })
    }

    /// Waits to be called; gives what was seen in line, as (priority, seq).
    pub(super) async fn stand(&self) -> Vec<(i16, i64)> {
        let _occupied = Occupied::of(&self.occupied);
        self.called.notified().await;
        std::mem::take(&mut *self.seen())
    }

    fn is_occupied(&self) -> bool {
        self.occupied.load(Ordering::Acquire)
    }

    fn call(&self, seen: Vec<(i16, i64)>) {
        *self.seen() = seen;
        self.called.notify_one();
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(i16, i64)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the post when the claimer stops waiting, however that comes.
struct Occupied<'p>(&'p AtomicBool);

impl<'p> Occupied<'p> {
    fn of(post: &'p AtomicBool) -> Self {
        post.store(true, Ordering::Release);
        Self(post)
    }
}

impl Drop for Occupied<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Whether wake-ups arrive: then the net may be looked into half as often.
#[derive(Debug, Default)]
pub struct Hints {
    /// Producers ring.
    pub ringing: AtomicBool,
    /// Somebody listens.
    pub heard: AtomicBool,
    /// Rings since producers were last asked for them.
    rings: AtomicU32,
    /// Notified when they have become many.
    pub many: Arc<Notify>,
}

/// Rings after which it is looked at once whether producers should go on: they wait for each other meanwhile, at
/// five thousand a second.
const MANY_RINGS: u32 = 250;

impl Hints {
    /// A producer rang.
    pub fn rang(&self) {
        if self.rings.fetch_add(1, Ordering::AcqRel) + 1 == MANY_RINGS {
            self.many.notify_one();
        }
    }

    /// Whether many rings came since this was last asked.
    pub fn take_many(&self) -> bool {
        self.rings.swap(0, Ordering::AcqRel) >= MANY_RINGS
    }

    pub(super) fn arrive(&self) -> bool {
        self.ringing.load(Ordering::Acquire) && self.heard.load(Ordering::Acquire)
    }
}

/// Looks for all claimers that wait.
pub struct Lookout<S> {
    shared: ClaimerShared<S>,
    /// Of claimers that began since the last look.
    arrived: Mutex<Vec<Weak<Post>>>,
    /// Locked by the one task that runs; survives its restart. Whose claimer has ended goes with it.
    posts: AsyncMutex<Vec<(Weak<Post>, Marks)>>,
}

impl<S: ClaimSource> Lookout<S> {
    /// A lookout that knows no post yet.
    pub fn new(shared: ClaimerShared<S>) -> Self {
        Self { shared, arrived: Mutex::default(), posts: AsyncMutex::default() }
    }

    /// From the next look on it looks for this claimer as well, as long as there is one.
    pub fn look_for(&self, post: &Arc<Post>) {
        self.arrived().push(Arc::downgrade(post));
    }

    fn arrived(&self) -> MutexGuard<'_, Vec<Weak<Post>>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until told to halt, and ends when told to stop.
    pub async fn run(self: Arc<Self>) {
        let mut posts = self.posts.lock().await;
        let mut failures = 0;
        let mut pause = self.pause();
        let rest = async |pause| {
            let rest = self.shared.halt.run_until_cancelled(sleep(pause));
            at(WaitPoint::LookoutPause, supervise::waiting(rest)).await.is_some()
        };
        while rest(pause).await {
            pause = match self.round(&mut posts).await {
                Ok(()) => {
                    failures = 0;
                    self.pause()
                }
                Err(error) => self.complain(&error, &mut failures),
            };
        }
        supervise::waiting(at(WaitPoint::ClaimHalted, self.shared.stop.cancelled())).await;
    }

    fn pause(&self) -> Duration {
        let settings = &self.shared.settings;
        let times = if self.shared.hints.arrive() { 2 } else { 1 };
        let jitter = settings.poll_jitter * (2.0 * fastrand::f64() - 1.0);
        (settings.poll_interval * times).mul_f64((1.0 + jitter).max(0.0))
    }

    async fn round(&self, posts: &mut Vec<(Weak<Post>, Marks)>) -> Result<(), ClaimError> {
        let now = Instant::now();
        let arrived = std::mem::take(&mut *self.arrived());
        posts.extend(arrived.into_iter().map(|post| (post, Marks::new(now))));
        posts.retain(|(post, _)| post.strong_count() > 0);
        let there = posts.iter_mut().filter_map(|(post, marks)| Some((post.upgrade()?, marks)));
        let waiting: Vec<_> = there.filter(|(post, _)| post.is_occupied()).collect();
        // Without a lease nothing may be claimed, so there is nothing to look for.
        if waiting.is_empty() || self.shared.leases.now().is_none() {
            return Ok(());
        }
        let looks: Vec<_> = waiting.iter().map(|(post, marks)| look(post, marks, now)).collect();
        let horizon = self.shared.horizon.load(Ordering::Acquire);
        let seen = self.shared.source.look(&looks).await?;
        self.shared.check.ok();
        let took = now.elapsed();
        for (index, ((post, marks), look)) in waiting.into_iter().zip(looks).enumerate() {
            let of_this = seen.iter().filter(|seen| seen.look == index);
            let found: Vec<_> = of_this.map(|seen| (seen.priority, seen.seq)).collect();
            if look.probe.is_sweep {
                marks.swept(Instant::now(), took);
            }
            if found.is_empty() {
                marks.learn(&look.probe, std::iter::empty(), false, horizon);
            } else {
                post.call(found);
            }
        }
        Ok(())
    }

    /// Says once that nobody can claim, and gives the time until the next look.
    fn complain(&self, error: &ClaimError, failures: &mut u32) -> Duration {
        self.shared.check.failing("claims aren't answered");
        supervise::failed(error);
        if *failures == 0 {
            let error: &dyn std::error::Error = error;
            tracing::warn!(
                event = events::CLAIM_FAILED,
                error,
                "looking for jobs failed and is tried again until it works"
            );
        }
        *failures = failures.saturating_add(1);
        failure_pause(*failures)
    }
}

fn look(post: &Post, marks: &Marks, now: Instant) -> Look {
    let (queue, kinds) = (post.queue.clone(), Arc::clone(&post.kinds));
    Look { queue, kinds, probe: marks.probe(now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn many_rings_ask_for_a_look_once_and_few_never_do() {
        let hints = Hints::default();
        let asked = || hints.many.notified().now_or_never().is_some();
        (1..MANY_RINGS).for_each(|_| hints.rang());
        assert!(!asked() && !hints.take_many());
        (0..3 * MANY_RINGS).for_each(|_| hints.rang());
        assert!(asked() && !asked());
        assert!(hints.take_many() && !hints.take_many());
    }
}
