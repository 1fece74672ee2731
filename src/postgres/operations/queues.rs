//! Looking at queues, pausing and resuming them.
//!
//! A queue exists where somebody names it, so the list is gathered from jobs, rows and daemons; a queue
//! whose jobs nobody serves is the one that people look for.

use super::{Connection, OperationError};
use crate::job::QueueName;
use serde::{Deserialize, Serialize};

/// Most queues that are listed.
pub const QUEUES_MAX: i64 = 500;

/// Every known queue.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueueList {
    /// The database's time, to which ages refer.
    pub now: String,
    /// The queues, by name.
    pub queues: Vec<QueueRow>,
}

/// One queue.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueueRow {
    /// Its name.
    pub name: String,
    /// Whether claiming from it is stopped.
    pub paused: bool,
    /// Since when.
    pub paused_at: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Jobs in line, counted to 10,000 and no further.
    pub in_line: i64,
    /// Live daemons that serve it.
    pub daemons: i64,
}

/// Lists every queue that anybody knows, at most [`QUEUES_MAX`].
pub async fn list_queues(connection: &mut Connection) -> Result<QueueList, OperationError> {
    let json: String = sqlx::query_scalar(include_str!("../sql/list_queues.sql"))
        .persistent(false)
        .bind(QUEUES_MAX)
        .fetch_one(connection)
        .await
        .map_err(OperationError::ListQueues)?;
    serde_json::from_str(&json).map_err(OperationError::Decode)
}

/// Stops claiming from a queue; true where it wasn't paused before.
pub async fn pause_queue(
    connection: &mut Connection,
    queue: &QueueName,
    reason: Option<&str>,
) -> Result<bool, OperationError> {
    sqlx::query_scalar(include_str!("../sql/pause_queue.sql"))
        .persistent(false)
        .bind(queue.as_str())
        .bind(reason)
        .fetch_one(connection)
        .await
        .map_err(OperationError::PauseQueue)
}

/// Lets a queue run again; true where it was paused.
pub async fn resume_queue(
    connection: &mut Connection,
    queue: &QueueName,
) -> Result<bool, OperationError> {
    sqlx::query_scalar(include_str!("../sql/resume_queue.sql"))
        .persistent(false)
        .bind(queue.as_str())
        .fetch_one(connection)
        .await
        .map_err(OperationError::ResumeQueue)
}
