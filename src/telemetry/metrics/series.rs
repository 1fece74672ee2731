//! What is counted under one set of labels, as atomics that any thread may change at any time.
//!
//! Each figure stands alone, so the weakest ordering does: a scrape sees each as it was a moment ago. A
//! distribution keeps a count for each bucket and no samples, so its size is its bounds'. An exemplar is
//! a sample by nature: where two come at once, one of them is left out and nobody waits.

use super::catalogue::Shape;
use crate::telemetry::Trace;
use metrics::{CounterFn, GaugeFn, HistogramFn};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// One series, or those of one histogram.
#[derive(Debug, Clone)]
pub(super) enum Series {
    Count(Arc<Count>),
    Level(Arc<Level>),
    Distribution(Arc<Distribution>),
}

impl Series {
    pub(super) fn new(shape: Shape) -> Self {
        match shape {
            Shape::Counter => Self::Count(Arc::default()),
            Shape::Gauge => Self::Level(Arc::default()),
            Shape::Histogram(bounds) => Self::Distribution(Arc::new(Distribution::new(bounds))),
        }
    }

    /// Whether somebody has a handle of it.
    pub(super) fn is_held(&self) -> bool {
        let holders = match self {
            Self::Count(count) => Arc::strong_count(count),
            Self::Level(level) => Arc::strong_count(level),
            Self::Distribution(spread) => Arc::strong_count(spread),
        };
        holders > 1
    }
}

/// Only goes up.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }
}

/// Goes up and down. Invariant: the bits of an `f64`.
#[derive(Debug, Default)]
pub(super) struct Level(AtomicU64);

impl Level {
    pub(super) fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn add(&self, value: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // It always gives a value, so this can't fail.
        self.0.fetch_update(Relaxed, Relaxed, sum).ok();
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// How values spread over buckets. Invariants: one count more than bounds, for what is above them all;
/// at most one exemplar a bucket.
#[derive(Debug)]
pub(super) struct Distribution {
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    sum: Level,
    exemplars: Mutex<Box<[Option<Exemplar>]>>,
}

/// A value that was counted, and the span in which it came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: Trace,
    pub(super) value: f64,
    /// In seconds since 1970.
    pub(super) at: f64,
}

impl Distribution {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: Level::default(), exemplars: Mutex::default() }
    }

    /// Counts a value; the trace, where there is one to be looked at, becomes its bucket's exemplar.
    pub(super) fn observe(&self, value: f64, trace: Option<Trace>) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.add(value);
        let Some(trace) = trace else { return };
        if let (Some(at), Ok(mut exemplars)) = (super::process::now(), self.exemplars.try_lock()) {
            if exemplars.is_empty() {
                *exemplars = vec![None; self.counts.len()].into();
            }
            exemplars[bucket] = Some(Exemplar { trace, value, at });
        }
    }

    /// Each bucket's upper bound, how many values were below it, and its exemplar.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64, Option<Exemplar>)> {
        let exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let mut below = 0;
        let cumulated = self.counts.iter().map(move |count| {
            below += count.load(Relaxed);
            below
        });
        let exemplar = move |at| exemplars.get(at).copied().flatten();
        let buckets = bounds.zip(cumulated).enumerate();
        buckets.map(move |(at, (bound, below))| (bound, below, exemplar(at)))
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum.value()
    }
}

impl HistogramFn for Distribution {
    fn record(&self, value: f64) {
        self.observe(value, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::{SpanId, TraceId};

    fn trace(id: u128) -> Trace {
        Trace { trace_id: id.into(), span_id: SpanId::from(7), flags: 1 }
    }

    #[test]
    fn a_value_is_below_every_bound_that_it_doesnt_exceed() {
        let spread = Distribution::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 2.5] {
            spread.record(value);
        }
        let below: Vec<_> = spread.buckets().map(|(bound, n, _)| (bound, n)).collect();
        assert_eq!(below, [(1.0, 2), (2.0, 4), (f64::INFINITY, 5)]);
        assert!((spread.sum() - 7.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_bucket_keeps_the_last_trace_that_fell_into_it() {
        let spread = Distribution::new(&[1.0]);
        spread.observe(0.2, Some(trace(1)));
        spread.observe(0.3, Some(trace(2)));
        spread.observe(0.4, None);
        spread.observe(9.0, Some(trace(3)));
        let kept = spread.buckets().map(|(_, _, exemplar)| exemplar.unwrap());
        let kept: Vec<_> = kept.map(|it| (it.trace.trace_id, it.value)).collect();
        assert_eq!(kept, [(TraceId::from(2), 0.3), (TraceId::from(3), 9.0)]);
    }

    #[test]
    fn nothing_that_threads_add_at_once_is_lost() {
        const EACH: u32 = 50_000;
        let (count, spread) = (Count::default(), Distribution::new(&[1.0]));
        let begin = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    begin.wait();
                    for _ in 0..EACH {
                        count.increment(1);
                        spread.observe(1.0, Some(trace(1)));
                    }
                });
            }
        });
        assert_eq!(count.value(), u64::from(4 * EACH));
        assert_eq!(spread.buckets().next().map_or(0, |first| first.1), u64::from(4 * EACH));
        assert!((spread.sum() - f64::from(4 * EACH)).abs() < f64::EPSILON);
    }
}
