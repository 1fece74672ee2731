//! What is looked at when somebody asks instead of being told at each change.
//!
//! A pool's width or the tasks that run are known to their rooms at any moment; to count every change
//! of them would cost each job something, and a scrape comes every few seconds. A sampler must read
//! memory only, and must not keep alive what it looks at.

use super::Metrics;
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

type Sampler = Box<dyn Fn(&Metrics) + Send + Sync>;

/// The samplers, in the order in which they were added. Bounded by the rooms: one a queue and one for
/// the supervisor.
#[derive(Default)]
pub(super) struct Samplers(Mutex<Vec<Sampler>>);

impl fmt::Debug for Samplers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samplers").finish_non_exhaustive()
    }
}

impl Samplers {
    pub(super) fn add(&self, sample: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(sample));
    }

    /// Lets each set its gauges.
    pub(super) fn take(&self, metrics: &Metrics) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|it| it(metrics));
    }
}
