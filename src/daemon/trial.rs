//! What can go wrong when a daemon is tried on a database that was made for it.
//!
//! The benchmark and the demo both make a schema, enqueue jobs, run the daemon in this process and ask
//! what became of them. They are told here in one way what failed of that, so that both mean the same
//! exit code by it. What is theirs alone stands in their own errors.

use super::StartError;
use crate::postgres::{ConnectError, DbError, enqueue::EnqueueError, migrate::MigrateError};

/// Which step of a trial failed.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The server can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The schema couldn't be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The jobs couldn't be enqueued.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
    /// The database couldn't be asked.
    #[error(transparent)]
    Ask(#[from] DbError),
    /// The daemon didn't start.
    #[error(transparent)]
    Start(#[from] StartError),
}
