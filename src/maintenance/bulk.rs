//! Goes on with operations on many jobs: those that were begun here, and those that nobody goes on with.
//!
//! A batch at a time, with a rest between: claims and completions go before people's clearing up.

use crate::{
    heartbeat::Leases,
    postgres::{
        DbError, Upkeep,
        operations::{OperationState, said},
    },
    telemetry::events,
};
use std::{error::Error, time::Duration};

/// How often it is looked for an operation that nobody goes on with.
const LOOK_PAUSE: Duration = Duration::from_secs(15);
/// The rest between two batches, which take as long.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// Does one batch, where there is an operation.
pub async fn go_on(upkeep: &Upkeep, leases: &Leases) -> Result<Duration, DbError> {
    let Some(holder) = leases.now() else { return Ok(LOOK_PAUSE) };
    let Some(operation) = upkeep.next_operation(holder).await? else { return Ok(LOOK_PAUSE) };
    match upkeep.step_operation(operation, holder).await {
        Ok(None) => {}
        Ok(Some(now)) if now.state == OperationState::Running => {}
        Ok(Some(now)) => tracing::info!(
            event = events::OPERATION_ENDED,
            operation.id = operation,
            jobs = now.changed,
            "an operation on many jobs is done"
        ),
        // It would be refused again, and every operation behind it would wait.
        Err(error) if error.comes_again() => {
            let told = error.source().and_then(said).map(|said| said.message);
            let why = told.unwrap_or_else(|| error.to_string());
            upkeep.fail_operation(operation, why).await?;
            let error: &dyn Error = &error;
            tracing::warn!(
                event = events::OPERATION_ENDED,
                operation.id = operation,
                error,
                "an operation on many jobs ends: the database refuses its next batch"
            );
        }
        Err(error) => return Err(error),
    }
    Ok(BATCH_PAUSE)
}
