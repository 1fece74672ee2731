//! A queue's concurrency, as slots that are reserved before jobs are claimed for them.

use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// One job's place; returns when it is dropped.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// The slots of one queue. Invariant: free + reserved + travelling with jobs = concurrency.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
    concurrency: u32,
}

/// Slots that a claimer holds for jobs that it is about to claim.
#[derive(Debug)]
pub struct Reserved(OwnedSemaphorePermit);

/// How long a claimer with a backlog waits for a worthwhile number of slots: shorter than a claim's
/// round trip, so that waiting never costs more than it saves.
const PATIENCE: Duration = Duration::from_millis(2);

impl Slots {
    /// As many slots as jobs may run at once.
    pub fn new(concurrency: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(concurrency as usize)), concurrency }
    }

    /// How many there are in all.
    pub fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// How many are reserved or travelling.
    pub fn in_use(&self) -> usize {
        (self.concurrency as usize).saturating_sub(self.free.available_permits())
    }

    /// Waits for at least one slot and takes up to `most`.
    ///
    /// With a backlog it is worth waiting a moment for a quarter of what could be had: claiming the
    /// first slot that falls free would make a round trip for every job.
    pub async fn reserve(&self, most: u32, backlog: bool) -> Option<Reserved> {
        let most = most.min(self.concurrency).max(1);
        let worthwhile = if backlog { (most / 4).max(1) } else { 1 };
        let many = Arc::clone(&self.free).acquire_many_owned(worthwhile);
        let mut permit = match timeout(PATIENCE, many).await {
            Ok(permit) => permit.ok()?,
            Err(_) => Arc::clone(&self.free).acquire_owned().await.ok()?,
        };
        let held = u32::try_from(permit.num_permits()).unwrap_or(most);
        let free = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        let more = most.saturating_sub(held).min(free);
        if let Ok(more) = Arc::clone(&self.free).try_acquire_many_owned(more) {
            permit.merge(more);
        }
        Some(Reserved(permit))
    }
}

impl Reserved {
    /// How many slots are held.
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.num_permits()).unwrap_or(u32::MAX)
    }

    /// Takes one slot out for a job.
    pub fn take(&mut self) -> Option<Slot> {
        self.0.split(1).map(Slot)
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
