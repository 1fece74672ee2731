//! Looks at what nobody tells the daemon: how much waits, which queues are paused, and where the
//! schema stands.
//!
//! Of pauses the controller tells, which is notified of them.
//!
//! It exists so that neither a scrape nor a probe has to ask the database. What it finds is as old as
//! `legwork_queue_stats_age_seconds` says. Counting is bounded, and jobs that run aren't counted: to
//! find them would mean to read the whole table (ADR 0001), and each daemon knows its own.

use crate::{
    job::QueueName,
    postgres::{DbError, QueueCount, Upkeep, migrate::SchemaCheck},
    telemetry::{
        events,
        health::Check,
        metrics::{Metrics, QueueMetrics},
    },
};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{Mutex, Notify};

/// How often it looks.
const PAUSE: Duration = Duration::from_secs(20);

/// What this daemon serves, and what it last saw of it.
pub struct Stats {
    /// Locked by the one task that runs; survives its restart.
    queues: Mutex<Vec<Queue>>,
    /// The version of the schema that was told of.
    version: AtomicI64,
    metrics: Arc<Metrics>,
    schema: Check,
}

struct Queue {
    name: QueueName,
    /// Not held, so that a name which is served no more leaves the metrics at once.
    metrics: Weak<QueueMetrics>,
    paused: AtomicBool,
}

impl Stats {
    /// It knows no queue yet. `schema` fails while the schema isn't one to work with.
    pub fn new(metrics: Arc<Metrics>, schema: Check) -> Self {
        Self { queues: Mutex::default(), version: AtomicI64::new(0), metrics, schema }
    }

    /// Takes note of where the schema stands. A newer one is none of a running daemon's business:
    /// migrations leave the binary before them able to work.
    pub fn saw_schema(&self, found: SchemaCheck) {
        let version = found.version();
        let daemon = &self.metrics.daemon;
        daemon.schema_version.set(count(version));
        daemon.schema_version_expected.set(count(crate::postgres::migrate::EXPECTED_VERSION));
        match found {
            SchemaCheck::Current | SchemaCheck::Newer { .. } => self.schema.ok(),
            SchemaCheck::Missing | SchemaCheck::Older { .. } => {
                self.schema.failing(found.to_string());
            }
        }
        if self.version.swap(version, Relaxed) == version {
            return;
        }
        let event = events::SCHEMA_CHECKED;
        if found == SchemaCheck::Current {
            tracing::info!(event, schema.version = version, "{found}");
        } else {
            tracing::warn!(event, schema.version = version, "{found}");
        }
    }

    /// One look at everything, these queues and kinds being served; wakes the controller where a pause shows that it may
    /// not have heard of.
    pub async fn round(
        &self,
        upkeep: &Upkeep,
        (queues, kinds): (Vec<QueueName>, Vec<String>),
        controller: &Notify,
    ) -> Result<Duration, DbError> {
        let known = &mut *self.queues.lock().await;
        self.follow(known, queues);
        self.saw_schema(upkeep.schema().await?);
        let names: Vec<_> = known.iter().map(|queue| queue.name.to_string()).collect();
        let mut unserved = upkeep.outside(&names).await?;
        let counts = upkeep.count(names, kinds).await?;
        let mut turned = false;
        for (queue, counted) in known.iter().zip(counts) {
            unserved += counted.unserved;
            turned |= queue.show(counted);
        }
        if turned {
            controller.notify_one();
        }
        show_waiting(known, upkeep).await?;
        self.metrics.daemon.unserved_jobs.set(count(unserved));
        self.metrics.daemon.queue_stats.refreshed();
        Ok(PAUSE)
    }

    /// Goes over to these queues; of those that are no longer served nothing is shown.
    fn follow(&self, known: &mut Vec<Queue>, served: Vec<QueueName>) {
        let mut before = std::mem::take(known);
        for name in served {
            let at = before.iter().position(|queue| queue.name == name);
            let metrics = Arc::downgrade(&self.metrics.queue(&name));
            let paused = at.map(|at| before.swap_remove(at).paused).unwrap_or_default();
            known.push(Queue { name, metrics, paused });
        }
        before.iter().for_each(Queue::show_nothing);
    }
}

async fn show_waiting(queues: &[Queue], upkeep: &Upkeep) -> Result<(), DbError> {
    let waiting = upkeep.waiting().await?;
    for queue in queues {
        let of = |retryable: bool| {
            let here = waiting.iter().filter(|w| w.queue == queue.name.as_str());
            count(here.filter(|w| w.retryable == retryable).map(|w| w.jobs).sum())
        };
        if let Some(metrics) = queue.metrics.upgrade() {
            metrics.jobs_scheduled.set(of(false));
            metrics.jobs_retryable.set(of(true));
        }
    }
    Ok(())
}

impl Queue {
    fn show_nothing(&self) {
        let Some(metrics) = self.metrics.upgrade() else { return };
        let QueueMetrics { jobs_available, jobs_scheduled, jobs_retryable, paused, .. } = &*metrics;
        let age = &metrics.oldest_available_age_seconds;
        for gauge in [jobs_available, jobs_scheduled, jobs_retryable, paused, age] {
            gauge.set(0.0);
        }
    }

    /// Shows what was counted; gives whether it was paused, or resumed, since the last time.
    fn show(&self, counted: QueueCount) -> bool {
        if let Some(metrics) = self.metrics.upgrade() {
            metrics.jobs_available.set(count(counted.available));
            metrics.oldest_available_age_seconds.set(counted.oldest_seconds.max(0.0));
            metrics.paused.set(f64::from(u8::from(counted.paused)));
        }
        self.paused.swap(counted.paused, Relaxed) != counted.paused
    }
}

#[expect(clippy::cast_precision_loss, reason = "counted to a bound far below 2^52")]
fn count(jobs: i64) -> f64 {
    jobs as f64
}
