//! One round of each maintenance loop that remembers nothing.

use super::Rested;
use crate::{
    executor::Stop,
    heartbeat::Leases,
    postgres::{DbError, Upkeep},
    telemetry::events,
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
/// How soon it is looked again for a daemon that isn't registered yet.
pub(super) const UNREGISTERED_PAUSE: Duration = Duration::from_secs(1);

/// Stops running jobs that somebody wants stopped.
pub async fn cancel_requested(
    upkeep: &Upkeep,
    leases: &Leases,
    running: &Running,
) -> Result<Rested, DbError> {
    let (false, Some(holder)) = (running.is_empty(), leases.now()) else {
        return Ok(Rested::idle(CANCEL_PAUSE));
    };
    for (job, token) in upkeep.cancel_requests(holder).await? {
        running.stop(job, token, Stop::Cancelled);
    }
    Ok(CANCEL_PAUSE.into())
}

/// Discards waiting jobs whose `expires_at` has passed. Not before this daemon is registered: jobs that
/// expired while it was away would seem to be of kinds that nobody serves.
pub async fn expire(upkeep: &Upkeep, leases: &Leases) -> Result<Rested, DbError> {
    if leases.now().is_none() {
        return Ok(Rested::idle(UNREGISTERED_PAUSE));
    }
    let expired = upkeep.expire().await?;
    if expired > 0 {
        tracing::warn!(
            event = events::JOB_EXPIRED,
            jobs = expired,
            "jobs that waited are discarded: their expires_at has passed"
        );
    }
    Ok(EXPIRE_PAUSE.into())
}
