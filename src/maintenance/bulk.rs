//! Goes on with operations on many jobs: those that were begun here, and those that nobody goes on with.
//!
//! A batch at a time, with a rest between: claims and completions go before people's clearing up. Operations take turns, so that
//! a small one doesn't wait for the end of a large one.

use super::{Rested, rounds::UNREGISTERED_PAUSE};
use crate::{
    heartbeat::Leases,
    postgres::{
        DbError, Upkeep,
        operations::{BulkOperation, OperationState},
    },
    telemetry::{
        events,
        feed::{Feed, Occurrence},
    },
};
use std::{collections::VecDeque, error::Error, sync::Arc, time::Duration};

/// How often it is looked for an operation that nobody goes on with.
const LOOK_PAUSE: Duration = Duration::from_secs(15);
/// The rest between two batches, which take as long.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// Does batches.
pub struct Bulk {
    upkeep: Arc<Upkeep>,
    leases: Leases,
    feed: Arc<Feed>,
    /// The operations whose ends are still to be told, the one first that is next.
    held: VecDeque<i64>,
}

impl Bulk {
    /// It is at none yet.
    pub fn new(upkeep: Arc<Upkeep>, leases: Leases, feed: Arc<Feed>) -> Self {
        Self { upkeep, leases, feed, held: VecDeque::new() }
    }

    /// Does one batch, where there is an operation.
    pub async fn round(&mut self) -> Result<Rested, DbError> {
        let Some(holder) = self.leases.now() else { return Ok(Rested::idle(UNREGISTERED_PAUSE)) };
        let next = self.upkeep.next_operation(holder).await?;
        self.pass_over(next).await?;
        let Some(operation) = next else { return Ok(LOOK_PAUSE.into()) };
        self.held.retain(|held| *held != operation);
        self.held.push_back(operation);
        match self.upkeep.step_operation(operation, holder).await {
            Ok(None) => {}
            Ok(Some(now)) => self.is_done(&now),
            // It would be refused again, and every operation behind it would wait.
            Err(error) if error.comes_again() => self.fail(operation, &error).await?,
            Err(error) => return Err(error),
        }
        Ok(BATCH_PAUSE.into())
    }

    /// What isn't next though it would be its turn has failed, or somebody ended it, or goes on with it elsewhere; or there is
    /// a new one, which goes before all.
    async fn pass_over(&mut self, next: Option<i64>) -> Result<(), DbError> {
        let is_passed = |held: &&i64| next != Some(**held);
        let passed: Vec<_> = self.held.iter().take_while(is_passed).copied().collect();
        for operation in passed {
            let now = self.upkeep.show_operation(operation).await?;
            if now.as_ref().is_some_and(|now| now.state == OperationState::Running) {
                continue;
            }
            self.held.retain(|held| *held != operation);
            if let Some(now) = now {
                self.feed.tell(|| news(&now));
            }
        }
        Ok(())
    }

    fn is_done(&mut self, now: &BulkOperation) {
        self.feed.tell(|| news(now));
        if now.state == OperationState::Running {
            return;
        }
        self.held.retain(|held| *held != now.id);
        tracing::info!(
            event = events::OPERATION_ENDED,
            operation.id = now.id,
            jobs = now.changed,
            "an operation on many jobs is done"
        );
    }

    async fn fail(&self, operation: i64, error: &DbError) -> Result<(), DbError> {
        // It is shown to whoever may see operations, who may not all see payloads: as in a line.
        let why = error.refusal().unwrap_or_else(|| error.to_string());
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
