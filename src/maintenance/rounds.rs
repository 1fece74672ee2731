//! One round of each maintenance loop.

use crate::{
    executor::Stop,
    heartbeat::Leases,
    postgres::{DbError, Upkeep},
    telemetry::{events, health::Check},
    worker::Running,
};
use std::time::Duration;

/// How often cancel requests are looked for while jobs run.
const CANCEL_PAUSE: Duration = Duration::from_secs(1);
/// Two looks that notifications ask for are at least this far apart: any role can notify, and a
/// storm of notifications mustn't be a storm of statements.
pub const CANCEL_REST: Duration = Duration::from_millis(50);
/// How often jobs are looked for whose time has passed; a claim looks by itself.
const EXPIRE_PAUSE: Duration = Duration::from_secs(15);
/// How soon the expirer looks again for a daemon that isn't registered.
const UNREGISTERED_PAUSE: Duration = Duration::from_secs(1);
/// How often history is looked after; days are made 35 ahead, so a day of outage costs nothing.
const PRUNE_PAUSE: Duration = Duration::from_hours(1);
/// Days of history that are made ahead.
const DAYS_AHEAD: i32 = 35;

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

/// Discards waiting jobs whose `expires_at` has passed. Not before this daemon is registered: jobs that
/// expired while it was away would seem to be of kinds that nobody serves.
pub async fn expire(upkeep: &Upkeep, leases: &Leases) -> Result<Duration, DbError> {
    if leases.now().is_none() {
        return Ok(UNREGISTERED_PAUSE);
    }
    let expired = upkeep.expire().await?;
    if expired == 0 {
        return Ok(EXPIRE_PAUSE);
    }
    tracing::warn!(
        event = events::JOB_EXPIRED,
        jobs = expired,
        "jobs that waited are discarded: their expires_at has passed"
    );
    Ok(Duration::ZERO)
}

/// Makes history's next days and drops those that are past; forgets daemons that died long ago.
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
    upkeep.forget().await?;
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
