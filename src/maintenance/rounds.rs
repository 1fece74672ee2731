//! One round of each maintenance loop.

use crate::{
    executor::Stop,
    heartbeat::Leases,
    job::QueueName,
    postgres::{DbError, Upkeep},
    telemetry::{
        events,
        health::Check,
        metrics::{Metrics, QueueMetrics},
    },
    worker::Running,
};
use std::{sync::Arc, time::Duration};

/// How often cancel requests are looked for while jobs run.
const CANCEL_PAUSE: Duration = Duration::from_secs(1);
/// Two looks that notifications ask for are at least this far apart: any role can notify, and a
/// storm of notifications mustn't be a storm of statements.
pub const CANCEL_REST: Duration = Duration::from_millis(50);
/// How often history is looked after; days are made 35 ahead, so a day of outage costs nothing.
const PRUNE_PAUSE: Duration = Duration::from_hours(1);
/// Days of history that are made ahead.
const DAYS_AHEAD: i32 = 35;
/// How often waiting jobs are counted.
const STATS_PAUSE: Duration = Duration::from_secs(15);

/// Stops running jobs that somebody wants stopped.
pub async fn cancel_requested(
    upkeep: &Upkeep,
    leases: &Leases,
    running: &Running,
) -> Result<Duration, DbError> {
    if let (false, Some(holder)) = (running.is_empty(), leases.now()) {
        for (job, token) in upkeep.cancel_requests(holder).await? {
            running.stop(job, token, Stop::Cancelled);
        }
    }
    Ok(CANCEL_PAUSE)
}

/// Makes history's next days and drops those that are past.
pub async fn prune(upkeep: &Upkeep, check: &Check) -> Result<Duration, DbError> {
    if let Err(error) = upkeep.make_partitions(DAYS_AHEAD).await {
        check.failing("history's next days can't be made");
        return Err(error);
    }
    check.ok();
    for name in upkeep.droppable_partitions().await? {
        match upkeep.drop_partition(name.clone()).await {
            Ok(()) => tracing::info!(
                event = events::PARTITION_DROPPED,
                partition = name,
                "a day of history was dropped"
            ),
            // Somebody reads it: the lock is tried for again in the next round.
            Err(error) if error.sqlstate().as_deref() == Some("55P03") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(PRUNE_PAUSE)
}

/// Counts what waits, for the metrics.
pub async fn stats(
    upkeep: &Upkeep,
    queues: &[(QueueName, Arc<QueueMetrics>)],
    metrics: &Metrics,
) -> Result<Duration, DbError> {
    for (queue, handles) in queues {
        let count = upkeep.count(queue).await?;
        #[expect(clippy::cast_precision_loss, reason = "counted to 10,000 at most")]
        handles.jobs_available.set(count.available as f64);
        handles.oldest_available_age_seconds.set(count.oldest_seconds.max(0.0));
        handles.paused.set(f64::from(u8::from(count.paused)));
    }
    metrics.daemon.queue_stats.refreshed();
    Ok(STATS_PAUSE)
}
