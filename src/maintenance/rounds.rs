//! One round of each maintenance loop.

use crate::{
    claimer::Bell,
    executor::Stop,
    heartbeat::{LeaseTimes, Leases},
    job::QueueName,
    postgres::{DbError, Upkeep},
    telemetry::{events, health::Check, metrics::Metrics},
    worker::Running,
};
use std::time::Duration;

/// Jobs that one statement promotes or rescues; a full one is followed by the next at once.
const BATCH: u64 = 1000;
/// A due job waits at most this long for promotion.
const PROMOTE_MAX: Duration = Duration::from_secs(1);
/// Two promotions are at least this far apart.
const PROMOTE_MIN: Duration = Duration::from_millis(10);
/// How often cancel requests are looked for while jobs run.
const CANCEL_PAUSE: Duration = Duration::from_secs(1);
/// How often history is looked after; days are made 35 ahead, so a day of outage costs nothing.
const PRUNE_PAUSE: Duration = Duration::from_hours(1);
/// Days of history that are made ahead.
const DAYS_AHEAD: i32 = 35;

/// Puts due jobs in line and sleeps until the next one is due.
pub async fn promote(upkeep: &Upkeep, bell: &Bell) -> Result<Duration, DbError> {
    let promoted = upkeep.promote().await?;
    if promoted > 0 {
        bell.ring();
    }
    if promoted >= BATCH {
        return Ok(Duration::ZERO);
    }
    let next = upkeep.next_due().await?.unwrap_or(PROMOTE_MAX);
    Ok(next.clamp(PROMOTE_MIN, PROMOTE_MAX))
}

/// Declares daemons dead whose lease ran out, and puts their jobs back in line.
///
/// Daemons that died in the last hour are looked at again: a claim of theirs that was in flight may
/// have committed after the first look.
pub async fn rescue(
    upkeep: &Upkeep,
    times: LeaseTimes,
    bell: &Bell,
    metrics: &Metrics,
) -> Result<Duration, DbError> {
    let newly = upkeep.declare_dead(times.margin()).await?;
    for dead in upkeep.dead().await? {
        let mut rescued = 0_usize;
        loop {
            let batch = upkeep.rescue(dead).await?;
            if batch.is_empty() {
                break;
            }
            rescued += batch.len();
            // What the database takes for a queue's name, so do we.
            for queue in batch.iter().filter_map(|queue| QueueName::new(queue).ok()) {
                metrics.queue(&queue).rescues.increment(1);
            }
        }
        if rescued > 0 {
            bell.ring_for_sweep();
        }
        if rescued > 0 || newly.contains(&dead) {
            tracing::warn!(
                event = events::JOB_RESCUED,
                daemon.id = dead,
                jobs = rescued,
                "a daemon died; its jobs are back in line"
            );
        }
    }
    upkeep.forget().await?;
    Ok(times.interval)
}

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
    match upkeep.make_partitions(DAYS_AHEAD).await {
        Ok(0) => {}
        Ok(partitions) => {
            tracing::info!(event = events::PARTITION_MADE, partitions, "days of history were made");
        }
        Err(error) => {
            check.failing("history's next days can't be made");
            return Err(error);
        }
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
