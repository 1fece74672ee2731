//! Goes on with operations on many jobs: those that were begun here, and those that nobody goes on with.
//!
//! A batch at a time, with a rest between: claims and completions go before people's clearing up.

use crate::{
    heartbeat::Leases,
    postgres::{
        DbError, Upkeep,
        operations::{BulkOperation, OperationState, said},
    },
    telemetry::{
        events,
        feed::{Feed, Occurrence},
    },
};
use std::{error::Error, sync::Arc, time::Duration};

/// How often it is looked for an operation that nobody goes on with.
const LOOK_PAUSE: Duration = Duration::from_secs(15);
/// The rest between two batches, which take as long.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// Does batches.
pub struct Bulk {
    upkeep: Arc<Upkeep>,
    leases: Leases,
    feed: Arc<Feed>,
    /// The operation whose end is still to be told.
    at: Option<i64>,
}

impl Bulk {
    /// It is at none yet.
    pub fn new(upkeep: Arc<Upkeep>, leases: Leases, feed: Arc<Feed>) -> Self {
        Self { upkeep, leases, feed, at: None }
    }

    /// Does one batch, where there is an operation.
    pub async fn round(&mut self) -> Result<Duration, DbError> {
        let Some(holder) = self.leases.now() else { return Ok(LOOK_PAUSE) };
        let next = self.upkeep.next_operation(holder).await?;
        if let Some(left) = self.at.filter(|at| next != Some(*at)) {
            // It failed, somebody ended it between two batches, or there is one that goes before it.
            let now = self.upkeep.show_operation(left).await?;
            if let Some(now) = now.filter(|now| now.state != OperationState::Running) {
                self.feed.tell(|| news(&now));
            }
            self.at = None;
        }
        let Some(operation) = next else { return Ok(LOOK_PAUSE) };
        self.at = Some(operation);
        match self.upkeep.step_operation(operation, holder).await {
            Ok(None) => {}
            Ok(Some(now)) => self.is_done(&now),
            // It would be refused again, and every operation behind it would wait.
            Err(error) if error.comes_again() => self.fail(operation, &error).await?,
            Err(error) => return Err(error),
        }
        Ok(BATCH_PAUSE)
    }

    fn is_done(&mut self, now: &BulkOperation) {
        self.feed.tell(|| news(now));
        if now.state == OperationState::Running {
            return;
        }
        self.at = None;
        tracing::info!(
            event = events::OPERATION_ENDED,
            operation.id = now.id,
            jobs = now.changed,
            "an operation on many jobs is done"
        );
    }

    async fn fail(&self, operation: i64, error: &DbError) -> Result<(), DbError> {
        let told = error.source().and_then(said).map(|said| said.message);
        let why = told.unwrap_or_else(|| error.to_string());
        self.upkeep.fail_operation(operation, why).await?;
        let error: &dyn Error = error;
        tracing::warn!(
            event = events::OPERATION_ENDED,
            operation.id = operation,
            error,
            "an operation on many jobs ends: the database refuses its next batch"
        );
        Ok(())
    }
}

fn news(now: &BulkOperation) -> Occurrence {
    Occurrence::Operation {
        id: now.id,
        action: now.action.as_str(),
        state: now.state.as_str(),
        looked_at: now.looked_at,
        changed: now.changed,
    }
}
