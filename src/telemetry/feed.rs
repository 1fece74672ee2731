//! What happens in this daemon, for whoever listens at the admin port at the moment.
//!
//! A ring in memory: nobody who tells waits for anybody who listens, and who listens too slowly is told how much was
//! missed. While nobody listens, and for a minute after the last one left so that it can come back and miss nothing,
//! telling costs a relaxed load. Payloads are never in it. It isn't a record: `legwork.jobs` is.

use super::events;
use crate::job::{JobId, KindName, QueueName};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Occurrences that are kept for those who come back or read slowly: about half a megabyte.
pub const KEPT_MAX: usize = 4096;
/// Most listeners at once.
pub const LISTENERS_MAX: usize = 8;
/// Occurrences that a listener takes at once.
const READ_MAX: usize = 256;
/// How long it is listened on after the last listener left.
const LINGER: Duration = Duration::from_mins(1);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occurrence {
    /// An attempt ended, and what became of the job is committed.
    JobFinished {
        /// Which job.
        id: JobId,
        /// Of which kind, where that is known.
        kind: Option<KindName>,
        /// Of which queue.
        queue: QueueName,
        /// As metrics have it.
        outcome: &'static str,
        /// Which attempt, from 1.
        attempt: u16,
    },
    /// Operators paused a queue, drain it, or let it run again.
    Queue {
        /// Which.
        queue: QueueName,
        /// A name of [`QUEUE`].
        name: &'static str,
    },
    /// A batch of an operation on many jobs was done here, or the operation has ended.
    Operation {
        /// Which.
        id: i64,
        /// What it does to each job.
        action: &'static str,
        /// How it stands; that of one that goes on is [`RUNNING`].
        state: &'static str,
        /// Jobs that have been looked at.
        looked_at: i64,
        /// Jobs that have been changed.
        changed: i64,
    },
    /// The daemon itself: a name of [`DAEMON`].
    Daemon(&'static str),
}

/// What becomes of a queue.
pub const QUEUE: [&str; 3] = [events::QUEUE_PAUSED, events::QUEUE_DRAINING, events::QUEUE_RESUMED];
/// How far an operation on many jobs is, and that it has ended.
pub const OPERATION: [&str; 2] = ["operation.progress", events::OPERATION_ENDED];
/// The state of an operation that goes on.
pub const RUNNING: &str = "running";
/// What a daemon tells of itself.
pub const DAEMON: [&str; 4] = ["daemon.ready", "daemon.reloaded", "daemon.lost", "daemon.draining"];

impl Occurrence {
    /// Its stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::JobFinished { .. } => "job.finished",
            Self::Operation { state, .. } => OPERATION[usize::from(*state != RUNNING)],
            Self::Queue { name, .. } | Self::Daemon(name) => name,
        }
    }

    /// The queue that it is about.
    pub fn queue(&self) -> Option<&QueueName> {
        match self {
            Self::JobFinished { queue, .. } | Self::Queue { queue, .. } => Some(queue),
            Self::Operation { .. } | Self::Daemon(_) => None,
        }
    }

    /// The kind that it is about.
    pub fn kind(&self) -> Option<&KindName> {
        match self {
            Self::JobFinished { kind, .. } => kind.as_ref(),
            Self::Queue { .. } | Self::Operation { .. } | Self::Daemon(_) => None,
        }
    }
}

/// The place of an occurrence: of which daemon's life, and the how manyth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Drawn when the daemon starts.
    pub life: u64,
    /// From 1.
    pub number: u64,
}

/// The ring.
#[derive(Debug)]
pub struct Feed {
    life: u64,
    /// Whether anybody listens, or has a moment ago.
    listened_to: AtomicBool,
    ring: Mutex<Ring>,
    news: Notify,
    closed: CancellationToken,
}

#[derive(Debug)]
struct Ring {
    kept: VecDeque<Arc<Occurrence>>,
    /// The number of the next one.
    next: u64,
    listeners: usize,
    /// When the last listener left.
    left: Instant,
}

impl Default for Feed {
    fn default() -> Self {
        let ring = Ring { kept: VecDeque::new(), next: 1, listeners: 0, left: Instant::now() };
        Self {
            life: fastrand::u64(..),
            listened_to: AtomicBool::new(false),
            ring: Mutex::new(ring),
            news: Notify::new(),
            closed: CancellationToken::new(),
        }
    }
}

impl Feed {
    /// Tells of what happened.
    pub fn tell(&self, occurrence: impl FnOnce() -> Occurrence) {
        // What happens just as somebody begins to listen may be before that or behind it.
        if !self.listened_to.load(Relaxed) {
            return;
        }
        let occurrence = Arc::new(occurrence());
        let mut ring = self.ring();
        if ring.listeners == 0 && ring.left.elapsed() > LINGER {
            self.listened_to.store(false, Relaxed);
            ring.kept.clear();
            // A number that nothing has: who comes back from before it has missed something.
            ring.next += 1;
            return;
        }
        if ring.kept.len() == KEPT_MAX {
            ring.kept.pop_front();
        }
        ring.kept.push_back(occurrence);
        ring.next += 1;
        drop(ring);
        self.news.notify_waiters();
    }

    /// Listens from now on, or from behind this place on; nothing where enough others do.
    pub fn listen(self: &Arc<Self>, after: Option<Place>) -> Option<Listener> {
        let mut ring = self.ring();
        if ring.listeners == LISTENERS_MAX {
            return None;
        }
        ring.listeners += 1;
        self.listened_to.store(true, Relaxed);
        // Of another life, or of one to come, nothing is known but that something is missing.
        let next = match after {
            None => ring.next,
            Some(Place { life, number }) if life == self.life && number < ring.next => number + 1,
            Some(_) => 0,
        };
        Some(Listener { feed: Arc::clone(self), next })
    }

    /// Ends all listening; nobody listens from now on.
    pub fn close(&self) {
        self.closed.cancel();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// The number of the first one that is kept.
    fn first(&self) -> u64 {
        self.next - self.kept.len() as u64
    }
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listener {
    feed: Arc<Feed>,
    next: u64,
}

/// What a listener gets at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Something before it is missing.
    pub gap: bool,
    /// What happened, in order, each with its number.
    pub occurrences: Vec<(u64, Arc<Occurrence>)>,
}

impl Listener {
    /// Waits for what comes next; nothing once the feed is closed.
    pub async fn hear(&mut self) -> Option<Heard> {
        let feed = Arc::clone(&self.feed);
        loop {
            let mut news = std::pin::pin!(feed.news.notified());
            // Before the look, so that nothing that comes meanwhile is missed.
            news.as_mut().enable();
            let heard = self.take();
            if heard != Heard::default() {
                return Some(heard);
            }
            feed.closed.run_until_cancelled(news).await?;
        }
    }

    /// Whether something is missing before what comes next, which is to be told yet.
    pub fn misses(&self) -> bool {
        self.next < self.feed.ring().first()
    }

    /// The place up to which everything was heard.
    pub fn place(&self) -> Place {
        Place { life: self.feed.life, number: self.next.saturating_sub(1) }
    }

    fn take(&mut self) -> Heard {
        let ring = self.feed.ring();
        let first = ring.first();
        let gap = self.next < first;
        let from = self.next.max(first);
        let skipped = usize::try_from(from - first).unwrap_or(usize::MAX);
        let kept = ring.kept.iter().skip(skipped).take(READ_MAX).cloned();
        let occurrences: Vec<_> = (from..).zip(kept).collect();
        self.next = from + occurrences.len() as u64;
        Heard { gap, occurrences }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut ring = self.feed.ring();
        ring.listeners -= 1;
        ring.left = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::time::advance;

    fn tell(feed: &Feed, id: i64) {
        feed.tell(|| Occurrence::JobFinished {
            id: JobId(id),
            kind: None,
            queue: QueueName::new("q").unwrap(),
            outcome: "completed",
            attempt: 1,
        });
    }

    /// Everything that is there, as whether something is missing and the jobs' ids.
    fn heard(listener: &mut Listener) -> (bool, Vec<i64>) {
        let (mut gap, mut ids) = (false, Vec::new());
        while let Some(Some(heard)) = listener.hear().now_or_never() {
            gap |= heard.gap;
            ids.extend(heard.occurrences.iter().filter_map(|(_, it)| match &**it {
                Occurrence::JobFinished { id, .. } => Some(id.0),
                _ => None,
            }));
        }
        (gap, ids)
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_hears_what_happens_from_when_it_came_in_order() {
        let feed = Arc::new(Feed::default());
        tell(&feed, 1);
        let mut listener = feed.listen(None).unwrap();
        assert_eq!(heard(&mut listener), (false, vec![]));
        (2..=300).for_each(|id| tell(&feed, id));
        assert_eq!(heard(&mut listener), (false, (2..=300).collect()));
        feed.close();
        assert_eq!(listener.hear().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_too_slowly_has_a_gap_and_then_the_newest() {
        let feed = Arc::new(Feed::default());
        let mut slow = feed.listen(None).unwrap();
        let most = i64::try_from(KEPT_MAX).unwrap();
        (1..=most).for_each(|id| tell(&feed, id));
        let mut other = feed.listen(Some(slow.place())).unwrap();
        assert_eq!(heard(&mut other), (false, (1..=most).collect()), "just in time");
        tell(&feed, most + 1);
        assert_eq!(heard(&mut slow), (true, (2..=most + 1).collect()));
        assert_eq!(feed.ring().kept.len(), KEPT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_soon_misses_nothing_and_later_is_told_so() {
        let feed = Arc::new(Feed::default());
        let listener = feed.listen(None).unwrap();
        let place = listener.place();
        drop(listener);
        tell(&feed, 1);
        advance(LINGER / 2).await;
        let mut again = feed.listen(Some(place)).unwrap();
        assert_eq!(heard(&mut again), (false, vec![1]));
        let place = again.place();
        drop(again);
        advance(LINGER * 2).await;
        tell(&feed, 2);
        assert!(!feed.listened_to.load(Relaxed), "nothing is kept for nobody");
        assert!(feed.ring().kept.is_empty());
        let mut late = feed.listen(Some(place)).unwrap();
        tell(&feed, 3);
        assert_eq!(heard(&mut late), (true, vec![3]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_of_another_life_or_one_to_come_is_a_gap() {
        type Stranger = fn(Place) -> Place;
        let strangers: [Stranger; 3] = [
            |here| Place { life: here.life.wrapping_add(1), ..here },
            |here| Place { number: here.number + 1, ..here },
            |here| Place { number: u64::MAX, ..here },
        ];
        for stranger in strangers {
            let feed = Arc::new(Feed::default());
            let place = stranger(feed.listen(None).unwrap().place());
            let mut listener = feed.listen(Some(place)).unwrap();
            assert_eq!(heard(&mut listener), (true, vec![]), "{place:?}");
            tell(&feed, 7);
            assert_eq!(heard(&mut listener), (false, vec![7]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_listeners_and_no_more() {
        let feed = Arc::new(Feed::default());
        let mut all: Vec<_> = (0..LISTENERS_MAX).map(|_| feed.listen(None).unwrap()).collect();
        assert!(feed.listen(None).is_none());
        all.pop();
        assert!(feed.listen(None).is_some());
    }
}
