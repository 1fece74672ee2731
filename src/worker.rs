//! The pool that runs claimed jobs: slots, the hand-off, and the life of one attempt.
//!
//! A slot is reserved before the claim and travels with the job until the completer has accepted
//! the verdict, so "in flight" is one honest number per queue. Workers are long-lived and started
//! on demand; ADR 0011 says why and what a burst costs.

mod aside;
mod handoff;
mod pool;
mod running;
mod slots;

pub use handoff::{Census, Handoff, Summons};
pub use pool::{KindRuntime, Kinds, Pool, PoolParts};
pub use running::{Running, RunningJob};
pub use slots::{Reserved, Slot, Slots};

use crate::job::ClaimedJob;

/// A claimed job with the slot that was reserved for it.
#[derive(Debug)]
pub struct Assignment {
    /// The job.
    pub job: ClaimedJob,
    /// Its place in the queue's concurrency.
    pub slot: Slot,
}
