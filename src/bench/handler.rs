//! The shipped no-op handler with a counter around it, and a stamp where latency is measured.
//!
//! The counter is what tells that every job ran once; in a drain nothing else is added.

use crate::{
    executor::{Context, Handler, HandlerFuture},
    handlers::Noop,
};
use serde::Deserialize;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::time::Instant;

/// When jobs were handled, in microseconds on one clock. 0 is never.
pub(super) struct Stamps {
    began: Instant,
    handled: AtomicU64,
    first: AtomicU64,
    started: Vec<AtomicU64>,
}

impl Stamps {
    /// Stamps the first `numbered` jobs one by one.
    pub(super) fn new(numbered: usize) -> Arc<Self> {
        let started = (0..numbered).map(|_| AtomicU64::new(0)).collect();
        let (handled, first) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { began: Instant::now(), handled, first, started })
    }

    /// Microseconds since the beginning, from 1.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// How many attempts ran.
    pub(super) fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }

    /// When the first ran.
    pub(super) fn first(&self) -> u64 {
        self.first.load(Relaxed)
    }

    /// When each numbered job started.
    pub(super) fn started(&self) -> impl Iterator<Item = u64> {
        self.started.iter().map(|at| at.load(Relaxed))
    }

    fn stamp(&self, context: &Context) {
        if !self.started.is_empty() {
            let number = serde_json::from_str(&context.job().payload).ok();
            let place =
                number.and_then(|n: Numbered| self.started.get(usize::try_from(n.seq).ok()?));
            if let Some(at) = place {
                // Run twice, the first counts.
                at.compare_exchange(0, self.now(), Relaxed, Relaxed).ok();
            }
        }
        if self.handled.fetch_add(1, Relaxed) == 0 {
            self.first.store(self.now(), Relaxed);
        }
    }
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// Counts, stamps, and does what the no-op does.
pub(super) struct Stamping {
    stamps: Arc<Stamps>,
    noop: Noop,
}

impl Stamping {
    pub(super) fn new(stamps: &Arc<Stamps>) -> Self {
        Self { stamps: Arc::clone(stamps), noop: Noop }
    }
}

impl Handler for Stamping {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        self.stamps.stamp(context);
        self.noop.run(context)
    }
}
