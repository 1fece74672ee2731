//! What operators decide at run time: overrides of queues, pauses and drains with an end, and what a daemon is told.
//!
//! Each is a row that every daemon reads, so that it holds for the fleet and outlives whoever decided it; its end is the
//! database's to see. What can be meant is decided by the SQL functions.

use super::{Asker, Connection, OperationError, queues::unchanged, traced::traced};
use crate::{
    config::QueueOverride,
    job::QueueName,
    postgres::{Wanted, moment::timestamp_text},
};
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;

/// When something that was decided ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// Not before somebody ends it.
    #[default]
    Never,
    /// So long from now, by the database's clock.
    In(Duration),
    /// At this moment, by the same.
    At(OffsetDateTime),
}

impl End {
    /// As the statements take it: a moment, or seconds.
    pub(super) fn parts(self) -> (Option<String>, Option<f64>) {
        match self {
            Self::Never => (None, None),
            Self::In(time) => (None, Some(time.as_secs_f64())),
            Self::At(at) => (Some(timestamp_text(at)), None),
        }
    }
}

/// Drains a queue; true where it wasn't drained or drained before.
pub async fn drain_queue(
    connection: &mut Connection,
    queue: &QueueName,
    end: End,
    asker: &Asker,
) -> Result<bool, OperationError> {
    let (until, seconds) = end.parts();
    let statement = sqlx::query_scalar(include_str!("../sql/drain_queue.sql"))
        .persistent(false)
        .bind(queue.as_str())
        .bind(until)
        .bind(seconds)
        .bind(asker.only_if.clone());
    let statement = asker.asks(statement).fetch_one(connection);
    let done = traced("SELECT legwork.drain", statement).await;
    done.map_err(OperationError::PauseQueue).and_then(unchanged)
}

/// Decides a queue's concurrency, its rate limit, or both; true where anything changed.
pub async fn override_queue(
    connection: &mut Connection,
    queue: &QueueName,
    decided: QueueOverride,
    end: End,
    asker: &Asker,
) -> Result<bool, OperationError> {
    let (until, seconds) = end.parts();
    // What is larger than any bound stays so.
    let concurrency = decided.concurrency.map(|jobs| i32::try_from(jobs).unwrap_or(i32::MAX));
    let statement = sqlx::query_scalar(include_str!("../sql/override_queue.sql"))
        .persistent(false)
        .bind(queue.as_str())
        .bind(concurrency)
        .bind(decided.rate_limit.map(|limit| limit.to_string()))
        .bind(until)
        .bind(seconds)
        .bind(asker.only_if.clone());
    let statement = asker.asks(statement).fetch_one(connection);
    let done = traced("SELECT legwork.override_queue", statement).await;
    done.map_err(OperationError::OverrideQueue).and_then(unchanged)
}

/// Takes away what was decided for a queue, all of it or one setting; true where there was any.
pub async fn reset_queue(
    connection: &mut Connection,
    queue: &QueueName,
    setting: Option<&str>,
    asker: &Asker,
) -> Result<bool, OperationError> {
    let statement = sqlx::query_scalar(include_str!("../sql/reset_queue.sql"))
        .persistent(false)
        .bind(queue.as_str())
        .bind(setting)
        .bind(asker.only_if.clone());
    let statement = asker.asks(statement).fetch_one(connection);
    let done = traced("SELECT legwork.reset_queue", statement).await;
    done.map_err(OperationError::ResetQueue).and_then(unchanged)
}

/// Tells a daemon what to do; true where it wasn't told before.
pub async fn tell_daemon(
    connection: &mut Connection,
    id: i64,
    wanted: Wanted,
    asker: &Asker,
) -> Result<bool, OperationError> {
    let statement = sqlx::query_scalar(include_str!("../sql/tell_daemon.sql"))
        .persistent(false)
        .bind(id)
        .bind(wanted.as_str());
    let statement = asker.asks(statement).fetch_one(connection);
    traced("SELECT legwork.tell_daemon", statement).await.map_err(OperationError::TellDaemon)
}

/// Notes what was done to a process, which no row shows.
pub async fn note(
    connection: &mut Connection,
    action: &str,
    target: &str,
    detail: &Value,
    asker: &Asker,
) -> Result<(), OperationError> {
    let statement = sqlx::query_scalar::<_, i64>(include_str!("../sql/note.sql"))
        .persistent(false)
        .bind(action)
        .bind(target)
        .bind(detail.to_string());
    let statement = asker.asks(statement).fetch_one(connection);
    traced("SELECT legwork.note", statement).await.map(drop).map_err(OperationError::Note)
}
