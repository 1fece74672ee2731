//! What is counted once a queue: claims, waiting, the pool, and the backlog in the database.

use super::{catalogue as c, claims::ClaimTimes, registry::Registry};
use metrics::{Counter, Gauge, Histogram};
use std::{sync::Arc, time::Duration};

/// What made a claimer look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeSource {
    /// A notification from the database.
    Notify,
    /// The net under it.
    Poll,
}

/// Handles of one queue.
#[derive(Debug)]
pub struct QueueMetrics {
    pub(super) label: Arc<str>,
    /// Claim statements.
    pub poll: PollMetrics,
    /// Seconds from due to started.
    pub queue_wait_seconds: Histogram,
    /// Seconds that the attempt which runs longest has run; 0 when none runs.
    pub oldest_running_age_seconds: Gauge,
    wakeups_notify: Counter,
    wakeups_poll: Counter,
    /// Seconds that a claimer waited for room before its dispatcher.
    pub channel_send_wait_seconds: Histogram,
    /// Most claimed jobs that may wait for a worker.
    pub channel_capacity: Gauge,
    /// Claimed jobs that wait for a worker.
    pub channel_depth: Gauge,
    /// Workers that have a job.
    pub workers_busy: Gauge,
    /// Workers that wait for one.
    pub workers_idle: Gauge,
    /// Workers that wait for a handler which was told to stop.
    pub workers_stopping: Gauge,
    /// Jobs in line.
    pub jobs_available: Gauge,
    /// Jobs due in the future, never attempted.
    pub jobs_scheduled: Gauge,
    /// Jobs that wait for their backoff.
    pub jobs_retryable: Gauge,
    /// Seconds that the oldest due job has waited; 0 when none waits.
    pub oldest_available_age_seconds: Gauge,
    /// 1 while the queue is paused.
    pub paused: Gauge,
    /// Jobs returned after their daemon died.
    pub rescues: Counter,
}

impl QueueMetrics {
    pub(super) fn new(registry: &Registry, queue: &str, claims: &Arc<ClaimTimes>) -> Self {
        let gauge = |metric| registry.gauge(metric, &[queue]);
        let workers = |state| registry.gauge(&c::WORKERS, &[queue, state]);
        let wakeups = |source| registry.counter(&c::NOTIFY_WAKEUPS, &[queue, source]);
        let jobs = |state| registry.gauge(&c::QUEUE_JOBS, &[queue, state]);
        Self {
            label: queue.into(),
            poll: PollMetrics::new(registry, queue, claims),
            queue_wait_seconds: registry.histogram(&c::JOB_QUEUE_WAIT, &[queue]),
            oldest_running_age_seconds: gauge(&c::JOB_OLDEST_RUNNING),
            wakeups_notify: wakeups("notify"),
            wakeups_poll: wakeups("poll"),
            channel_send_wait_seconds: registry.histogram(&c::CHANNEL_SEND_WAIT, &[queue]),
            channel_capacity: gauge(&c::CHANNEL_CAPACITY),
            channel_depth: gauge(&c::CHANNEL_DEPTH),
            workers_busy: workers("busy"),
            workers_idle: workers("idle"),
            workers_stopping: workers("stopping"),
            jobs_available: jobs("available"),
            jobs_scheduled: jobs("scheduled"),
            jobs_retryable: jobs("retryable"),
            oldest_available_age_seconds: gauge(&c::QUEUE_OLDEST_AVAILABLE),
            paused: gauge(&c::QUEUE_PAUSED),
            rescues: registry.counter(&c::RESCUES, &[queue]),
        }
    }

    /// A claimer of the queue woke up.
    pub fn woke(&self, source: WakeSource) {
        match source {
            WakeSource::Notify => self.wakeups_notify.increment(1),
            WakeSource::Poll => self.wakeups_poll.increment(1),
        }
    }
}

/// Handles of a queue's claim statements.
#[derive(Debug)]
pub struct PollMetrics {
    claimed: Counter,
    batch: Histogram,
    rows: Histogram,
    empty: Histogram,
    error: Histogram,
    each: Arc<ClaimTimes>,
}

impl PollMetrics {
    fn new(registry: &Registry, queue: &str, each: &Arc<ClaimTimes>) -> Self {
        let duration = |result| registry.histogram(&c::POLL_DURATION, &[queue, result]);
        Self {
            claimed: registry.counter(&c::JOBS_CLAIMED, &[queue]),
            batch: registry.histogram(&c::POLL_BATCH, &[queue]),
            rows: duration("rows"),
            empty: duration("empty"),
            error: duration("error"),
            each: Arc::clone(each),
        }
    }

    /// A claim that answered, with how many jobs it brought.
    pub fn answered(&self, jobs: usize, took: Duration) {
        let duration = if jobs > 0 { &self.rows } else { &self.empty };
        duration.record(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^52 jobs")]
        self.batch.record(jobs as f64);
        self.claimed.increment(jobs as u64);
        self.each.note(jobs, took);
    }

    /// A claim that failed.
    pub fn failed(&self, took: Duration) {
        self.error.record(took.as_secs_f64());
    }
}
