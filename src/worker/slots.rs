//! A queue's concurrency, as slots that are reserved before jobs are claimed for them.

use crate::supervise::{WaitPoint, at};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// One job's place; returns when it is dropped.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "it is held, not read")] Reserved);

/// The slots of one queue. Invariant: free + reserved + travelling with jobs = concurrency + owed.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    concurrency: u32,
    /// Slots in use that are too many since there are fewer: each goes instead of coming back. None are
    /// free as long as any is owed.
    owed: usize,
}

/// Slots that a claimer holds for jobs that it is about to claim.
#[derive(Debug)]
pub struct Reserved {
    permits: Option<OwnedSemaphorePermit>,
    of: Arc<Shared>,
}

/// How long a claimer with a backlog waits for a worthwhile number of slots: shorter than a claim's
/// round trip, so that waiting never costs more than it saves.
const PATIENCE: Duration = Duration::from_millis(2);

impl Slots {
    /// As many slots as jobs may run at once.
    pub fn new(concurrency: u32) -> Self {
        let free = Arc::new(Semaphore::new(concurrency as usize));
        Self(Arc::new(Shared { free, size: Mutex::new(Size { concurrency, owed: 0 }) }))
    }

    /// From now on there are this many. Jobs that hold one more run on; nothing starts until as many
    /// have ended as there are too many.
    pub fn resize(&self, concurrency: u32) {
        let mut size = self.0.size();
        let before = size.concurrency as usize + size.owed;
        size.concurrency = concurrency;
        let now = concurrency as usize;
        let free = self.0.free.forget_permits(before.saturating_sub(now));
        size.owed = before.saturating_sub(now) - free;
        self.0.free.add_permits(now.saturating_sub(before));
    }

    /// How many there are in all.
    pub fn concurrency(&self) -> u32 {
        self.0.size().concurrency
    }

    /// How many are reserved or travelling.
    pub fn in_use(&self) -> usize {
        let size = self.0.size();
        (size.concurrency as usize + size.owed).saturating_sub(self.0.free.available_permits())
    }

    /// Waits for at least one slot and takes up to `most`.
    ///
    /// With a backlog it is worth waiting a moment for a quarter of what could be had: claiming the
    /// first slot that falls free would make a round trip for every job.
    pub async fn reserve(&self, most: u32, backlog: bool) -> Option<Reserved> {
        let free = &self.0.free;
        loop {
            let most = most.min(self.concurrency()).max(1);
            let worthwhile = if backlog { (most / 4).max(1) } else { 1 };
            let many = Arc::clone(free).acquire_many_owned(worthwhile);
            let some = async {
                match timeout(PATIENCE, many).await {
                    Ok(permit) => permit,
                    Err(_) => Arc::clone(free).acquire_owned().await,
                }
            };
            let mut permit = at(WaitPoint::Slot, some).await.ok()?;
            let held = u32::try_from(permit.num_permits()).unwrap_or(most);
            let left = u32::try_from(free.available_permits()).unwrap_or(u32::MAX);
            let more = most.saturating_sub(held).min(left);
            if let Ok(more) = Arc::clone(free).try_acquire_many_owned(more) {
                permit.merge(more);
            }
            // What was gathered for somebody who lost his patience came back past the debt.
            self.0.size().pay(&mut permit);
            if permit.num_permits() > 0 {
                return Some(Reserved { permits: Some(permit), of: Arc::clone(&self.0) });
            }
        }
    }
}

impl Shared {
    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Size {
    /// Takes what is owed out of these.
    fn pay(&mut self, permits: &mut OwnedSemaphorePermit) {
        let paid = self.owed.min(permits.num_permits());
        if let Some(permits) = permits.split(paid) {
            permits.forget();
            self.owed -= paid;
        }
    }
}

impl Drop for Reserved {
    /// Pays what is owed; the rest comes back.
    fn drop(&mut self) {
        let Some(mut permits) = self.permits.take() else { return };
        let mut size = self.of.size();
        size.pay(&mut permits);
        // Before anybody may look at the size again, or these would count as owed and as free.
        drop(permits);
        drop(size);
    }
}

impl Reserved {
    /// How many slots are held.
    pub fn count(&self) -> u32 {
        let permits = self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(permits).unwrap_or(u32::MAX)
    }

    /// Takes one slot out for a job.
    pub fn take(&mut self) -> Option<Slot> {
        let one = self.permits.as_mut()?.split(1)?;
        Some(Slot(Self { permits: Some(one), of: Arc::clone(&self.of) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slot_comes_back_when_its_job_is_dropped_and_only_once() {
        let slots = Slots::new(3);
        let mut reserved = slots.reserve(10, false).await.expect("free slots");
        assert_eq!(reserved.count(), 3);
        let slot = reserved.take().expect("a slot");
        drop(reserved);
        assert_eq!(slots.in_use(), 1);
        drop(slot);
        assert_eq!(slots.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn slots_that_became_too_many_go_when_their_jobs_end_and_more_come_at_once() {
        let slots = Slots::new(4);
        let mut reserved = slots.reserve(3, false).await.expect("free slots");
        let mut held: Vec<_> = (0..3).filter_map(|_| reserved.take()).collect();
        slots.resize(1);
        assert_eq!((slots.concurrency(), slots.in_use()), (1, 3));
        held.pop();
        held.pop();
        assert_eq!(slots.in_use(), 1, "two were owed and are gone");
        let waits = timeout(Duration::from_secs(1), slots.reserve(1, false)).await;
        assert!(waits.is_err(), "the one there is runs");
        held.pop();
        assert_eq!(slots.reserve(9, false).await.expect("it is back").count(), 1);
        let one = slots.reserve(1, false).await.expect("free again");
        slots.resize(3);
        assert_eq!(slots.reserve(9, false).await.expect("two more").count(), 2);
        drop(one);
        assert_eq!((slots.in_use(), slots.reserve(9, false).await.expect("all").count()), (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn slots_that_are_owed_are_taken_back_when_there_are_more_again() {
        let slots = Slots::new(4);
        let all = slots.reserve(4, false).await.expect("free slots");
        slots.resize(1);
        slots.resize(3);
        assert_eq!((slots.concurrency(), slots.in_use()), (3, 4));
        drop(all);
        assert_eq!((slots.in_use(), slots.reserve(9, false).await.expect("all").count()), (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_backlog_a_claim_waits_for_a_worthwhile_number_but_not_for_ever() {
        let slots = Slots::new(8);
        let mut all = slots.reserve(8, false).await.expect("free slots");
        let held: Vec<_> = (0..7).filter_map(|_| all.take()).collect();
        drop(all);
        let few = slots.reserve(8, true).await.expect("one after patience ran out");
        assert_eq!(few.count(), 1);
        drop((few, held));
        assert_eq!(slots.reserve(8, true).await.expect("all").count(), 8);
    }
}
